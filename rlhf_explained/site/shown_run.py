"""The run that the site shows."""

from __future__ import annotations

import functools
import subprocess
import sys

from rlhf_explained import memo
from rlhf_explained.disk import EXIT, DiskError
from rlhf_explained.pipeline import Run, RunConfig, run, run_key


def is_trained() -> bool:
    """Whether the memo holds the run, undamaged."""
    return memo.find("runs", run_key(RunConfig())) is not None


@functools.cache
def current_run() -> Run:
    """The run, trained first if the memo does not hold it.

    Training is another process, with its own progress bar: the site's process imports no torch,
    and `mkdocs serve` never trains with code from before an edit.

    Raises:
        DiskError: If the memo cannot be written.
    """
    if not is_trained():
        train = [sys.executable, "-m", "rlhf_explained", "train"]
        done = subprocess.run(train, stdout=sys.stderr)
        if done.returncode == EXIT:
            raise DiskError("There is no run to show: see the line above")
        done.check_returncode()
    return run(RunConfig())
