"""On a Dask cluster a study comes out as on this machine; a cluster that is no help is refused."""

import itertools
from pathlib import Path

import joblib
import psutil
import pytest
from click.testing import CliRunner
from distributed import LocalCluster

from rlhf_explained import pipeline, studies
from rlhf_explained.__main__ import main
from rlhf_explained.studies import cluster, frontier


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The study of the frontier with what needs no training, in two worlds; its memo."""
    few = {name: frontier.SETTINGS[name] for name in ("best_of_4", "frontier_1.0")}
    monkeypatch.setattr(frontier, "SETTINGS", few)
    monkeypatch.setattr(frontier, "SEEDS", (5, 6))
    monkeypatch.setattr(studies, "_RESULTS", tmp_path)
    monkeypatch.setattr(studies, "_run", lambda seed: None)
    monkeypatch.setenv("RLHF_EXPLAINED_CACHE", str(tmp_path / "here"))
    return tmp_path / "here"


def measured(memo: Path) -> int:
    """How many points a memo holds."""
    return len([*memo.glob("points/*/point.json")])


def test_two_workers_measure_what_this_machine_does_and_are_gone_afterwards(
    small: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"  # the workers' memo, so that they recall nothing
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        dashboard_address=None,
        local_directory=str(tmp_path),
        env={"RLHF_EXPLAINED_CACHE": str(elsewhere)},
    ) as two:
        workers = [nanny.pid for nanny in two.workers.values()]
        assert all(psutil.pid_exists(worker) for worker in workers)
        asked = ["studies", "frontier", "--cluster", two.scheduler_address]
        said = CliRunner().invoke(main, asked, catch_exceptions=False)
    assert said.exit_code == 0, said.output
    assert not any(psutil.pid_exists(worker) for worker in workers)
    assert (measured(elsewhere), measured(small)) == (4, 0)
    there = studies.stored("frontier").rows
    with joblib.parallel_config(backend="sequential"):
        assert studies.run("frontier").rows == there
    assert measured(small) == 4


def test_the_command_says_in_a_line_why_a_cluster_cannot_measure(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "WAIT", 0.5)
    for address in ("nowhere", "tcp://127.0.0.1:1"):
        said = CliRunner().invoke(main, ["studies", "frontier", "--cluster", address])
        assert said.exit_code == 1
        assert said.output.startswith(f"Error: cluster: no scheduler at '{address}'")
        assert measured(small) == 0


@pytest.mark.parametrize(
    ("workers", "threads", "why"),
    [(0, 1, "has no workers"), (1, 2, "has 2 threads; start it with --nthreads 1")],
)
def test_workers_that_are_not_there_or_have_several_threads_are_refused(
    workers: int, threads: int, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "WAIT", 0.5)
    with (
        LocalCluster(
            n_workers=workers, threads_per_worker=threads, processes=False, dashboard_address=None
        ) as inside,
        pytest.raises(ValueError, match=f"^cluster: .*{why}"),
        cluster.on_cluster(inside.scheduler_address, ()),
    ):
        pass


def test_a_worker_with_other_code_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked after this machine, and finds that a file has changed."""
    versions = itertools.count()
    monkeypatch.setattr(cluster, "source_digest", lambda name: f"{name} {next(versions)}")
    monkeypatch.setattr(pipeline, "numerics", lambda: {"torch": "2"})
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as inside,
        pytest.raises(ValueError, match=r"differs from this machine in the code of methods$"),
        cluster.on_cluster(inside.scheduler_address, ("methods",)),
    ):
        pass
