"""The command line: `python -m rlhf_explained COMMAND`.

A command imports what it needs when it is called: none of them pays for another's torch.
"""

import os
import sys
from pathlib import Path

try:
    import click

    from rlhf_explained import memo
    from rlhf_explained.disk import EXIT, DiskError
except ModuleNotFoundError as missing:
    sys.exit(f"{sys.executable} lacks {missing.name}: leave out PYTHON=, and make sets up its own")

ROOT = Path(__file__).resolve().parent.parent


@click.group()
def main() -> None:
    """RLHF explained by running it."""
    if "RLHF_EXPLAINED_CACHE" in os.environ:  # processes that this one starts run elsewhere
        os.environ["RLHF_EXPLAINED_CACHE"] = str(memo.root())


@main.command()
def site() -> None:
    """Build the site, strictly, into site/."""
    from rlhf_explained.site.build import build

    raise SystemExit(build(ROOT))


@main.command()
def pdf() -> None:
    """Build the site with the whole guide as a PDF in it, printed by Chromium."""
    from rlhf_explained.site.publish.pdf import publish

    raise SystemExit(publish(ROOT))


@main.command()
@click.option("--port", default=8000, show_default=True, help="Port on 127.0.0.1.")
def serve(port: int) -> None:
    """Train what is missing, build, and serve with live reload."""
    from rlhf_explained.site.serve import serve

    serve(ROOT, port)


@main.command()
@click.argument("page")
def check(page: str) -> None:
    """Check one page alone: a page of docs/, a notebook, a module, README.md."""
    from rlhf_explained.site.check_page import check

    raise SystemExit(check(ROOT, _page(page, notebooks=True)))


@main.command()
@click.argument("page", required=False)
def outputs(page: str | None) -> None:
    """Rewrite the Output blocks and doctest results in all pages and docstrings, or in one PAGE."""
    from rlhf_explained.site.snippets.find import pages
    from rlhf_explained.site.snippets.run import refresh

    paths = [_page(page, notebooks=False)] if page else pages(ROOT)
    raise SystemExit(1 if refresh(paths) else 0)


def _page(name: str, *, notebooks: bool) -> Path:
    """The page that is named, or one line on what is wrong with the name."""
    from rlhf_explained.site.snippets.find import page_at

    try:
        return page_at(ROOT, name, notebooks=notebooks)
    except ValueError as error:
        raise click.ClickException(str(error)) from None


@main.command()
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@click.option("--no-cache", is_flag=True, help="Train even if this run is remembered.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--preferences",
    type=click.Path(path_type=Path),
    help="JSON lines of prompt, chosen and rejected, to learn from instead of the labeler's.",
)
def train(seed: int, no_cache: bool, as_json: bool, preferences: Path | None) -> None:
    """Train all stages once, or recall the run, and print what came out."""
    from rlhf_explained.report import print_run, trained

    try:
        run = trained(seed, no_cache=no_cache, preferences=preferences)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    print_run(run, as_json=as_json)


@main.command()
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def data(seed: int, as_json: bool) -> None:
    """Print what a run's stages after pretraining read, and the questions of its evaluation."""
    from rlhf_explained.report import print_data, trained

    print_data(trained(seed), as_json=as_json)


@main.command()
@click.argument("names", nargs=-1)
@click.option(
    "--cluster",
    metavar="ADDRESS",
    default="",
    help="Measure on the workers of a Dask cluster; the address of its scheduler, tcp://HOST:PORT.",
)
def studies(names: tuple[str, ...], cluster: str) -> None:
    """Measure the studies, all of them or those in NAMES, on all cores, and store what came out."""
    from rlhf_explained.report import run_studies

    try:
        run_studies(names, cluster)
    except ValueError as error:
        raise click.ClickException(str(error)) from None


@main.command()
def trl() -> None:
    """Run the notebooks that need TRL, in .venv-trl, and store what came out beside them."""
    from rlhf_explained.site.notebooks.alone import run
    from rlhf_explained.site.notebooks.execute import CellError

    try:
        run(ROOT, ROOT / ".venv-trl" / "bin" / "python")
    except CellError as error:
        cell, line, what = error.args
        raise click.ClickException(f"cell {cell}, line {line}: {what}") from None


if __name__ == "__main__":
    try:
        main(prog_name="python -m rlhf_explained")
    except DiskError as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT)
