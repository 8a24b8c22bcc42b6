"""Keep what a run's policies answered on the way: `python -m rlhf_explained.explore --seed N`.

A process of its own, because stage 3 is repeated for that and the site's process imports no torch.
"""

import sys

import click

from rlhf_explained.disk import EXIT, DiskError


@click.command()
@click.option("--seed", default=0, show_default=True, help="The run's seed.")
def main(seed: int) -> None:
    """Repeat stage 3 of the run of SEED, and remember the answers."""
    from rlhf_explained.explore import recordings
    from rlhf_explained.explore.watched import repeated
    from rlhf_explained.pipeline import RunConfig, run

    shown = run(RunConfig(seed=seed))
    lesson, identical = repeated(shown)
    recordings.keep(shown, lesson, identical=identical)


if __name__ == "__main__":
    try:
        main()
    except DiskError as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT)
