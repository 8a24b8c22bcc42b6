"""The run that the site shows."""

from __future__ import annotations

import functools
import subprocess
import sys

from rlhf_explained import memo
from rlhf_explained.pipeline import Run, RunConfig, run, run_key


def is_trained() -> bool:
    """Whether the memo holds the run."""
    return (memo.root() / "runs" / run_key(RunConfig())).is_dir()


@functools.cache
def current_run() -> Run:
    """The run, trained first if the memo does not hold it.

    Training is another process, with its own progress bar: the site's process imports no torch,
    and `mkdocs serve` never trains with code from before an edit.
    """
    if not is_trained():
        train = [sys.executable, "-m", "rlhf_explained", "train"]
        subprocess.run(train, check=True, stdout=sys.stderr)
    return run(RunConfig())
