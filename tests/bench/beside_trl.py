"""How fast GRPO trains in the miniature, beside TRL's `GRPOTrainer` on the same work.

The two take turns, each in a process of its own, each with the number of threads that suits it.
`tests/trl/grpo.py` has both sides and says what is the same; TRL has an environment of its own.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf_explained.site.shown_run import current_run

PAIRS = 3
UPDATES = 50
TRIAL = 6  # updates, at each number of threads
THREADS = (1, 2)
SIDES = ("ours", "theirs")
# The latter holds on a busy machine too, if each side has one thread: two wait at full speed.
RATES = ("samples_per_second", "samples_per_cpu_second")

Report = dict[str, Any]


class SetUpError(Exception):
    """The environment cannot be made; the message says in one line where and why."""


def environment(root: Path) -> Path:
    """Set up `.venv-trl` of a checkout, unless it is there, and give its Python.

    Raises:
        SetUpError: If there is none and no network to make one.
    """
    done = subprocess.run(
        [sys.executable, str(root / ".ci" / "venv.py"), "trl"], capture_output=True, text=True
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "rror" in line or "×" in line]
        why = said[0].strip() if said else f"exit {done.returncode}"
        raise SetUpError(f"no environment with TRL, for which the network is needed: {why}")
    return root / ".venv-trl" / "bin" / "python"


def train(python: Path, root: Path, side: str, run: Path, threads: int, updates: int) -> Report:
    """Let one side train once with the models of a run, and give what it printed."""
    own = {"PYTHONPATH": str(root), "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    program = [str(python), str(root / "tests" / "trl" / "grpo.py")]
    done = subprocess.run(
        [*program, side, str(run), str(threads), str(updates)],
        cwd=root, env={**os.environ, **own}, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"GRPO, {side}: exit {done.returncode}. {done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def compared(turns: Sequence[Mapping[str, Report]]) -> Report:
    """Compare the two sides turn by turn; a `ValueError` says so if they did not do the same work.

    Gives what each side printed, with the median and the spread of samples per second, and the
    ratios of the turns with their median, by the clock and by the processor's time.
    """
    report: Report = {"turns": [dict(turn) for turn in turns]}
    for name in ("samples", "length", "torch"):
        if len({turn[side][name] for turn in turns for side in SIDES}) != 1:
            raise ValueError(f"{name}: not the same on both sides")
    sizes = [turns[0][side]["parameters"] for side in SIDES]
    if max(sizes) > 1.02 * min(sizes):
        raise ValueError(f"parameters: {sizes} are not one architecture's")
    for side in SIDES:
        report[side] = {**turns[0][side]}
        for rate in RATES:
            rates = [turn[side][rate] for turn in turns]
            report[side][rate] = {"median": statistics.median(rates), "all": rates}
    for rate in RATES:
        ratios = [turn["ours"][rate] / turn["theirs"][rate] for turn in turns]
        report[f"ratio_of_{rate}"] = {"median": statistics.median(ratios), "all": ratios}
    return report


def measure(root: Path) -> Report:
    """Find each side's best number of threads, then train in turns.

    Gives what `compared` gives, and the samples per second of the trial.
    """
    python = environment(root)
    run = current_run().folder
    pythons = {"ours": Path(sys.executable), "theirs": python}

    def once(side: str, threads: int, updates: int) -> Report:
        done = train(pythons[side], root, side, run, threads, updates)
        rates = " and ".join(f"{done[rate]:.0f} {rate.replace('_', ' ')}" for rate in RATES)
        print(f"GRPO, {side}, threads: {threads}, {rates}", file=sys.stderr, flush=True)
        return done

    # the faster of two, for other programs may have slowed one down
    fastest = {side: dict.fromkeys(THREADS, 0.0) for side in SIDES}
    for _ in range(2):
        for threads in THREADS:
            for side in SIDES:
                rate = once(side, threads, TRIAL)["samples_per_second"]
                fastest[side][threads] = max(rate, fastest[side][threads])
    best = {side: max(THREADS, key=lambda threads: fastest[side][threads]) for side in SIDES}
    turns = [{side: once(side, best[side], UPDATES) for side in SIDES} for _ in range(PAIRS)]
    return {**compared(turns), "trial": fastest}


def table(report: Report) -> tuple[str, Sequence[str], Sequence[Sequence[Any]]]:
    """Title, headings and rows of what `compared` gave."""

    def spread(of: Report) -> str:
        return f"{of['median']:.3g} ({min(of['all']):.3g} to {max(of['all']):.3g})"

    rows = [
        (
            "ours" if side == "ours" else "TRL's",
            report[side]["threads"],
            *(spread(report[side][rate]) for rate in RATES),
            report[side]["parameters"],
            " to ".join(f"{score:.2f}" for score in report[side]["scores"]),
        )
        for side in SIDES
    ]
    ratios = [spread(report[f"ratio_of_{rate}"]) for rate in RATES]
    title = f"GRPO, {report['ours']['length']:g} tokens an answer"
    headings = ("", "threads", "samples/s", "samples/CPU s", "parameters", "score")
    return title, headings, [*rows, ("ratio", "", *ratios, "", "")]
