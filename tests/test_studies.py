"""The studies: what is stored is whole, is of this code, and comes out again."""

from __future__ import annotations

import importlib
import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import joblib
import pytest

from rlhf_explained import studies
from rlhf_explained.pipeline import deciding
from rlhf_explained.studies import Results, stored
from rlhf_explained.studies.intervals import Interval

NOT_COMPARED = {"setting", "seed", "seconds"}  # time depends on the machine


@pytest.mark.parametrize("name", studies.STUDIES)
def test_stored_results_are_of_this_code(name: str) -> None:
    stale = stored(name).is_stale
    assert not stale, (
        f"{studies.results_file(name)}:1: the code that measures {name} has changed since: "
        f"measure it again, `python -m rlhf_explained studies {name}`"
    )


@pytest.mark.parametrize("name", studies.STUDIES)
def test_stored_results_are_whole_and_say_where_they_come_from(name: str) -> None:
    content = json.loads(studies.results_file(name).read_text(encoding="utf-8"))
    rows = [(row["setting"], row["seed"]) for row in content["rows"]]
    assert rows == studies.points(name)
    assert {seed for _, seed in rows} >= set(range(5))
    assert {"date", "source", "versions", "machine", "config"} <= content.keys()
    assert studies.results_file(name).stat().st_size < 60_000


def numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Every number in what was measured, however deep it lies, with where it lies."""
    match value:
        case dict():
            for key, part in value.items():
                yield from numbers(part, f"{name}/{key}")
        case list():
            for place, part in enumerate(value):
                yield from numbers(part, f"{name}/{place}")
        case int() | float():
            yield name, float(value)


@pytest.mark.parametrize("name", studies.STUDIES)
def test_a_point_measured_again_comes_out_within_what_seeds_differ_by(name: str) -> None:
    """On another processor sums are added in another order, and training goes another way.

    So the stated interval is that in which one more seed would lie with 95 %: 3.04 standard
    deviations of five.
    """
    study = importlib.import_module(f"rlhf_explained.studies.{name}")
    rows = [row for row in stored(name).rows if row["setting"] == study.SAMPLE]
    rows.sort(key=lambda row: row["seed"])
    compared = [
        dict(numbers({key: part for key, part in row.items() if key not in NOT_COMPARED}))
        for row in (studies.point(name, study.SAMPLE, 0), *rows)
    ]
    again, *known = compared
    assert again, "nothing is compared"
    assert again.keys() == known[0].keys()
    for quantity, value in again.items():
        first, *others = (one[quantity] for one in known if quantity in one)
        reach = 3.04 * statistics.stdev([first, *others]) + 1e-5 * abs(first)
        assert value == pytest.approx(first, abs=reach), (
            f"{studies.results_file(name)}: {study.SAMPLE}, seed 0: {quantity} is {value} "
            f"now, {first} ± {reach} is stored; measure the study again"
        )


# How they are measured and stored


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """Two settings and three seeds; it counts what is measured, and breaks where it is told to."""
    study = SimpleNamespace(
        SETTINGS={"low": {"level": 1}, "high": {"level": 2}}, SEEDS=range(3), SAMPLE="low",
        measured=[], breaks_at=None,
    )  # fmt: skip

    def measure(name: str, seed: int) -> dict[str, Any]:
        if (name, seed) == study.breaks_at:
            raise KeyboardInterrupt
        study.measured.append((name, seed))
        gold = study.SETTINGS[name]["level"] + seed / 3
        return {"gold": gold, "way": [{"gold": gold / 3}, {"gold": gold}]}

    study.measure = measure
    monkeypatch.setitem(sys.modules, "rlhf_explained.studies.made_up", study)
    monkeypatch.setattr(studies, "STUDIES", ("made_up",))
    monkeypatch.setattr(studies, "_RESULTS", tmp_path)
    monkeypatch.setattr(studies, "source_digest", lambda name: "5eed")
    monkeypatch.setenv("RLHF_EXPLAINED_CACHE", str(tmp_path / "cache"))
    return study


def run() -> Results:
    with joblib.parallel_config(backend="threading"):
        return studies.run("made_up")


def test_a_study_is_measured_and_read_back(made_up: SimpleNamespace) -> None:
    results = run()
    assert results.values("high", "gold") == pytest.approx([2, 2 + 1 / 3, 2 + 2 / 3], abs=1e-5)
    assert results.rows[1]["way"] == [{"gold": 0.666667}, {"gold": 2.0}]  # six digits are stored
    assert results.config == {"low": {"level": 1}, "high": {"level": 2}}
    assert results.seeds == [0, 1, 2]
    assert not results.is_stale
    assert "since" not in results.origin


def test_an_interrupted_study_goes_on_where_it_was(made_up: SimpleNamespace) -> None:
    made_up.breaks_at = ("high", 2)
    with pytest.raises(KeyboardInterrupt):
        run()
    with pytest.raises(ValueError, match="run `make studies`"):
        stored("made_up")
    before, made_up.breaks_at = len(made_up.measured), None
    assert before
    run()
    assert sorted(made_up.measured) == sorted(studies.points("made_up"))  # none of them twice


def test_results_of_other_code_say_so(
    made_up: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = run().fingerprint
    monkeypatch.setattr(studies, "source_digest", lambda name: "0ther")
    assert stored("made_up").is_stale
    assert "code changed since" in stored("made_up").origin
    assert stored("made_up").fingerprint != fresh


def test_what_decides_a_study_is_what_it_imports_and_what_that_imports() -> None:
    """Another study among it: curation learns by the methods' functions."""
    package = Path(studies.__file__).parents[1]
    found = {
        path.relative_to(package).as_posix()
        for path in deciding(package / "studies" / "curation.py")
    }
    assert {"studies/curation.py", "studies/methods.py", "training.py"} <= found
    assert {"stages/best_of_n.py", "world/optima.py"} <= found  # of methods alone
    assert not {"studies/frontier.py", "studies/ablations.py", "pipeline.py", "memo.py"} & found


def test_the_digest_is_of_all_that_a_study_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[Path]] = []
    monkeypatch.setattr(studies.memo, "source_digest", lambda paths: seen.append(set(paths)) or "")
    for name in ("methods", "ablations"):
        studies.source_digest(name)
    package = Path(studies.__file__).parents[1]
    methods, ablations = ({path.relative_to(package).as_posix() for path in one} for one in seen)
    shared = {"training.py", "rollout.py", "stages/ppo.py", "formulas/kl.py", "world/labeler.py"}
    assert shared | {"studies/methods.py", "stages/dpo.py", "stages/grpo.py"} <= methods
    assert shared | {"studies/ablations.py"} <= ablations
    assert not {"stages/dpo.py", "stages/grpo.py", "memo.py", "pipeline.py"} & ablations


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stored("made-up"), r"^name: 'made-up' is none of"),
        (lambda: stored("methods").values("sftt", "gold"), r"^setting: 'sftt' is none of sft_"),
        (lambda: stored("methods").values("ppo", "golds"), r"^quantity: 'golds' is none of"),
        (lambda: Interval.of([1.0]), r"^values: 1 of them, at least 2 are needed"),
    ],
)
def test_what_there_is_not_is_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_differences_are_taken_seed_by_seed() -> None:
    rows = [
        {"setting": setting, "seed": seed, "gold": 10.0 * seed + extra}
        for setting, extra in (("a", 1.0), ("b", 0.0))
        for seed in (2, 0, 1)
    ]
    results = Results("methods", "2026-01-01", "", {"a": {}, "b": {}}, rows)
    assert results.difference("a", "b", "gold") == Interval(1.0, 0.0, 0.0)
