"""What both PPO policies answered on the way: a memo entry of its own, beside that of the run.

A run keeps of the policies on the way only what their answers were worth on average. While it is
trained, `run` keeps the answers as well. Where a remembered run has none, stage 3 is repeated from
the run's own SFT policy and reward model, which gives the same policies bit for bit.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf_explained import memo, pipeline
from rlhf_explained.disk import EXIT, DiskError
from rlhf_explained.pipeline import Progress, Run, RunConfig

if TYPE_CHECKING:
    from rlhf_explained.explore.watched import Watched

_WATCHED = Path(__file__).with_name("watched.py")


def recorded(run: Run) -> dict[str, Any]:
    """Recall the answers on the way, or let another process repeat stage 3 for them.

    Args:
        run: Whose.

    Returns:
        `identical`, whether they come from the run's own policies, bit for bit (not if the run was
        trained on another kind of processor than stage 3 was repeated on); and by PPO run a list of
        its rounds, each with its `iteration`, the number of rounds before, all that
        `stages.evaluation.result` says, and the `answers` as `Run.responses` has them.

    Raises:
        DiskError: If the memo cannot be written.
    """
    folder = memo.find("recordings", _key(run))
    if not folder:
        again = [sys.executable, "-m", "rlhf_explained.explore", "--seed", str(run.config.seed)]
        done = subprocess.run(again, stdout=sys.stderr)
        if done.returncode == EXIT:
            raise DiskError("There are no rounds to show: see the line above")
        done.check_returncode()
        folder = memo.root() / "recordings" / _key(run)
    return json.loads((folder / "rounds.json").read_text(encoding="utf-8"))


def run(
    config: RunConfig, *, progress: Progress = lambda stage, step, steps, loss: None
) -> pipeline.Run:
    """Recall a run; or train it as `pipeline.run` does, and keep its answers on the way.

    Args:
        config: Which run.
        progress: Called after each step of each stage.

    Returns:
        The run: the same, bit for bit, as if nobody had kept them.

    Raises:
        DiskError: If it has to be trained and the memo cannot be written.
    """
    if memo.find("runs", pipeline.run_key(config)):
        return pipeline.run(config, progress=progress)
    from rlhf_explained.explore.watched import watched

    with watched() as lessons:
        trained = pipeline.run(config, progress=progress)
    for lesson in lessons:
        keep(trained, lesson, identical=True)
    return trained


def keep(run: Run, lesson: Watched, *, identical: bool) -> None:
    """Remember what a lesson's policies answered on the way.

    Args:
        run: Which run the lesson was, or whose stage 3 it repeated.
        lesson: Behind which stage 3 lies.
        identical: Whether its policies are the run's.

    Raises:
        DiskError: If the memo cannot be written.
    """

    def make(folder: Path) -> None:
        content = {"identical": identical, **lesson.on_the_way()}
        (folder / "rounds.json").write_text(json.dumps(content), encoding="utf-8")

    memo.entry("recordings", _key(run), make)


@functools.cache
def _key(run: Run) -> str:
    return memo.key(run=run.key, source=memo.source_digest([_WATCHED]))
