"""A study's points on a Dask cluster, in place of the cores of this machine.

`studies.run` gives its points to joblib, and joblib to the processes that it is told of: here to
the workers of a cluster. They need this package in the same version, and one thread each. Runs are
trained once for all of them if they share a memo (`RLHF_EXPLAINED_CACHE` on a disk that all see),
else once on each machine.

`distributed` is imported when a function needs it. It comes with the extra `cluster`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rlhf_explained import pipeline
from rlhf_explained.studies import source_digest

WAIT = 10.0
"""Seconds in which a scheduler has to answer and its first worker to be there."""


@contextmanager
def on_cluster(address: str, names: Sequence[str]) -> Iterator[None]:
    """Let the workers of a cluster measure what `studies.run` measures meanwhile.

    Args:
        address: Of the cluster's scheduler, `tcp://HOST:PORT`.
        names: The studies that will be measured.

    Raises:
        ValueError: If `distributed` is not installed, no scheduler or worker is there, or a worker
            would measure something else than this machine.
    """
    import joblib

    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise ValueError("cluster: it needs `pip install distributed`") from None
    try:
        client = Client(address, timeout=WAIT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ValueError(f"cluster: no scheduler at {address!r}: {error}") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=WAIT)
        except TimeoutError:
            raise ValueError(f"cluster: the scheduler at {address} has no workers") from None
        _compare(client, names)
        with joblib.parallel_config(backend="dask", client=client):
            yield


def _compare(client: Any, names: Sequence[str]) -> None:
    """Refuse workers whose numbers would not be those of this machine."""
    for worker, threads in client.nthreads().items():
        if threads > 1:  # one point would change the number of torch's threads under another
            raise ValueError(f"cluster: {worker} has {threads} threads; start it with --nthreads 1")
    here = _circumstances(names)
    try:
        everywhere = client.run(_circumstances, names)
    except ImportError as error:
        raise ValueError(f"cluster: a worker cannot import what it needs: {error}") from None
    for worker, there in everywhere.items():
        if other := [what for what, value in here.items() if there[what] != value]:
            raise ValueError(f"cluster: {worker} differs from this machine in {', '.join(other)}")


def _circumstances(names: Sequence[str]) -> dict[str, str]:
    """What a study's numbers depend on, as far as a machine decides it."""
    code = {f"the code of {name}": source_digest(name) for name in names}
    return code | pipeline.numerics()
