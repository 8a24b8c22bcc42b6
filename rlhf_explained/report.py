"""Floor 6: a run on the terminal, as a progress bar while it trains and a table when it is done."""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from rlhf_explained import pipeline, studies
from rlhf_explained.explore import recordings
from rlhf_explained.measured.of_run import held_out_in_pairs
from rlhf_explained.names import CATEGORIES, POLICIES
from rlhf_explained.pipeline import Run, RunConfig
from rlhf_explained.studies.cluster import on_cluster


@contextmanager
def progress_bars() -> Iterator[pipeline.Progress]:
    """One bar per stage on standard error: steps, loss and time left."""
    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks = {}

        def show(stage: str, step: int, steps: int, loss: float) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=steps, loss="")
            text = "" if math.isnan(loss) else f"loss {loss:.3f}"  # an evaluation has no loss: NaN
            bars.update(tasks[stage], completed=step, loss=text)

        yield show


def trained(seed: int, *, no_cache: bool = False, preferences: Path | None = None) -> Run:
    """Recall or train the run of a seed, with progress on standard error.

    Args:
        seed: Which run.
        no_cache: Train it into a temporary folder instead, and leave the memo alone.
        preferences: A reader's own comparisons, see `rlhf_explained.preferences.read`.

    Returns:
        The run, its report already read.

    Raises:
        ValueError: If a line of `preferences` cannot be learned from.
    """
    config = RunConfig(seed=seed)
    if not preferences:
        train, recall = partial(pipeline.train, config), partial(recordings.run, config)
    else:
        from rlhf_explained import preferences as own

        comparisons = own.read(preferences)  # what is wrong with them is said before any bar
        train, recall = (
            partial(own.train, comparisons, config),
            partial(own.run, comparisons, config),
        )
    with progress_bars() as progress:
        if not no_cache:
            return recall(progress=progress)
        with tempfile.TemporaryDirectory() as folder:
            train(Path(folder), progress)
            run = Run(config, "", Path(folder))
            run.summary()  # reads the report before the folder goes
            return run


def run_studies(names: Sequence[str], cluster: str = "") -> None:
    """Run studies one after the other, with a bar of their points on standard error.

    Args:
        names: Which of `studies.STUDIES`; all of them if there is none.
        cluster: Address of the scheduler of a Dask cluster, or nothing for this machine's cores.

    Raises:
        ValueError: If there is no study of a name, or the cluster cannot measure.
    """
    names = names or studies.STUDIES
    for name in names:
        studies.results_file(name)  # before any of them begins
    where = on_cluster(cluster, names) if cluster else nullcontext()
    with where, progress_bars() as show:
        for name in names:
            studies.run(name, lambda done, points, name=name: show(name, done, points, math.nan))


def print_run(run: Run, *, as_json: bool) -> None:
    """Print a run's summary: one JSON object, or tables for people."""
    if as_json:
        json.dump(run.summary(), sys.stdout)
        print()
        return
    console = Console()
    title = f"Seed {run.config.seed}: {run.parameters:,} parameters"
    table = Table(title=title, box=None, pad_edge=False)
    measures = (*CATEGORIES, "gold", "proxy", "kl")
    for heading in ("policy", *measures):
        table.add_column(heading, justify="left" if heading == "policy" else "right")
    for policy in POLICIES:
        table.add_row(policy, *(f"{run.evaluation[policy][name]:.2f}" for name in measures))
    console.print(table)
    accuracy, ceiling, courteous, plain = run.summary()["reward_model"].values()
    bound = f", ceiling {ceiling:.3f}" if ceiling else ""
    console.print(
        f"reward model: accuracy {accuracy:.3f} on held-out pairs{bound}; a plain right answer "
        f"scores above a courteous false one in {courteous:.3f}, above a plain one in {plain:.3f}"
    )
    if run.preferences:
        _print_preferences(run.preferences, console)
    colder = Table(title="Mean gold by temperature", box=None, pad_edge=False)
    temperatures = list(run.temperatures["sft"])
    for heading in ("policy", *temperatures):
        colder.add_column(heading, justify="left" if heading == "policy" else "right")
    for policy in POLICIES:
        golds = (run.temperatures[policy][at]["gold"] for at in temperatures)
        colder.add_row(policy, *(f"{gold:.2f}" for gold in golds))
    console.print(colder)
    spent = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in run.seconds.items())
    console.print(f"seconds: {spent}")


def _print_preferences(own: dict[str, Any], console: Console) -> None:
    """What a reader preferred, what their reward model prefers, and what became of the answers."""
    console.print(
        f"your preferences: {own['comparisons']:,} comparisons learned from and {own['heldout']:,} "
        f"held out, on {own['prompts']:,} prompts, "
        f"of which the evaluation asks {own['exam_prompts']}"
    )
    if own["accuracy_stderr"] is not None:
        error = f" (standard error {own['accuracy_stderr']:.3f}, by prompt)"
    else:
        error = " (all on one prompt)"
    agreement = own["agreement"]
    console.print(
        f"on held-out comparisons your reward model chooses as you do in {own['accuracy']:.3f}"
        f"{error}; the site's labeler would "
        + (f"in {agreement:.3f} of all" if agreement is not None else "have no opinion")
    )
    title = "What decides: the side with more of it is preferred, and how much of it answers have"
    table = Table(title=title, box=None, pad_edge=False)
    for heading in ("trait", "differ in it", "you", "reward model", "sft", "ppo"):
        table.add_column(heading, justify="left" if heading == "trait" else "right")
    for name, of in own["traits"].items():
        shares = (of[who] for who in ("reader", "reward_model", "sft", "ppo"))
        texts = ("" if share is None else f"{share:.2f}" for share in shares)
        table.add_row(name, str(of["differ"]), *texts)
    console.print(table)


def print_data(run: Run, *, as_json: bool) -> None:
    """Print what the stages after pretraining read: one JSON object, or counts for people."""
    if as_json:
        json.dump(run.data, sys.stdout)
        print()
        return
    for name, texts in run.data.items():
        print(f"{name:16s}{len(texts):6,}")
    for side in ("chosen", "rejected"):
        said = held_out_in_pairs(run, side)
        print(
            f"{said['state']:.2%} of the {side} answers state a held-out fact and "
            f"{said['ask']:.2%} ask a held-out question: the model itself wrote them"
        )
