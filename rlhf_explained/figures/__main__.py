"""Draw figures as SVG files: `python -m rlhf_explained.figures NAME … --into DIR`.

This is a process of its own, so that the process that builds or serves the site never imports
matplotlib and an edited figure is never drawn by the code from before the edit.
"""

from pathlib import Path

import click

from rlhf_explained.figures import FIGURES


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(sorted(FIGURES)))
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), required=True)
@click.option("--seed", default=0, show_default=True, help="The run's seed.")
def main(names: tuple[str, ...], into: Path, seed: int) -> None:
    """Draw the figures NAMES (all of them by default) as DIR/<name>.svg."""
    from rlhf_explained.pipeline import RunConfig, run

    result = run(RunConfig(seed=seed))
    into.mkdir(parents=True, exist_ok=True)
    for name in names or FIGURES:
        (into / f"{name}.svg").write_text(FIGURES[name].svg(result), encoding="utf-8")


if __name__ == "__main__":
    main()
