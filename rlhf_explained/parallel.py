"""Work that waits for other processes, spread over the processors."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def processors() -> int:
    """How many this process may use, where the system tells."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def shares(things: Sequence[T]) -> list[Sequence[T]]:
    """Deal things out, a share for each processor.

    Args:
        things: What there is to do.

    Returns:
        Shares of about one size, none of them empty.
    """
    count = processors()
    return [share for share in (things[start::count] for start in range(count)) if share]


def together(jobs: Sequence[Callable[[], object]]) -> None:
    """Do jobs that start processes, one on each processor at a time.

    Args:
        jobs: Called once each, in threads.

    Raises:
        Exception: What the first of those that failed raised, when those that had begun have ended.
            The others do not begin any more; nor do they when the user interrupts.
    """
    with ThreadPoolExecutor(processors()) as pool:
        try:
            for job in [pool.submit(job) for job in jobs]:
                job.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
