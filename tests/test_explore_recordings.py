"""What was recorded on the way is the run's own: nobody trains otherwise for being watched."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from rlhf_explained import memo, pipeline
from rlhf_explained.explore import recordings
from rlhf_explained.explore.watched import EARLY, repeated
from rlhf_explained.pipeline import Run, RunConfig
from rlhf_explained.stages.evaluation import Marked, result
from rlhf_explained.training import CHECKPOINT_ANSWERS, CHECKPOINTS, Lesson, one_thread
from tests.test_pipeline import TINY, report

RUNS = ("ppo", "ppo_no_kl")


@pytest.fixture(scope="module")
def shown() -> tuple[Run, dict[str, Any]]:
    run = pipeline.run()
    return run, recordings.recorded(run)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, dict[str, Any]]:
    """A small run that was watched while it was trained, and what was kept of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLHF_EXPLAINED_CACHE", str(tmp_path_factory.mktemp("cache")))
        run = recordings.run(TINY)
        (kept,) = (memo.root() / "recordings").glob("*/rounds.json")
        assert recordings.recorded(run) == json.loads(kept.read_text())  # found, not made again
        return run, recordings.recorded(run)


def results(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "answers"}


def test_a_watched_run_is_the_run(watched: tuple[Run, dict[str, Any]], tmp_path: Path) -> None:
    run, _ = watched
    pipeline.train(TINY, tmp_path, lambda *_: None)
    assert report(run.folder) == report(tmp_path)
    for file in sorted(tmp_path.iterdir()):
        if file.name != "report.json":
            assert (run.folder / file.name).read_bytes() == file.read_bytes(), file.name


def test_repeating_stage_3_gives_the_same(watched: tuple[Run, dict[str, Any]]) -> None:
    run, kept = watched
    assert kept["identical"] is True
    lesson, identical = repeated(run)
    assert identical
    assert json.loads(json.dumps(lesson.on_the_way())) == {name: kept[name] for name in RUNS}


def test_a_repetition_that_is_another_is_told(watched: tuple[Run, dict[str, Any]]) -> None:
    run, _ = watched
    lesson, identical = repeated(replace(run, config=RunConfig(seed=4, effort=TINY.effort)))
    assert not identical
    assert {*lesson.watches} == {*RUNS}


def test_the_rounds_are_those_that_are_promised(shown: tuple[Run, dict[str, Any]]) -> None:
    run, kept = shown
    last = run.facts["ppo_iterations"]
    wanted = sorted({*range(0, last + 1, CHECKPOINTS), *(one for one in EARLY if one <= last)})
    for name in RUNS:
        assert [row["iteration"] for row in kept[name]] == wanted


def test_checkpoints_are_the_runs_own(shown: tuple[Run, dict[str, Any]]) -> None:
    run, kept = shown
    for name in RUNS:
        by_round = {row["iteration"]: results(row) for row in kept[name]}
        found = [by_round[one["iteration"]] for one in run.checkpoints[name]]
        if kept["identical"]:
            assert found == run.checkpoints[name]
        else:  # another processor
            golds = [one["gold"] for one in run.checkpoints[name]]
            assert [one["gold"] for one in found] == pytest.approx(golds, abs=0.5)


def test_results_are_those_of_the_answers(shown: tuple[Run, dict[str, Any]]) -> None:
    _, kept = shown
    for name in RUNS:
        for row in kept[name]:
            answers = [Marked(**one) for one in row["answers"]]
            assert results(row) == {"iteration": row["iteration"], **result(answers)}


@pytest.mark.parametrize("name", RUNS)
def test_the_last_answers_are_those_of_the_runs_policy(
    name: str, shown: tuple[Run, dict[str, Any]]
) -> None:
    run, kept = shown
    lesson, (sft, judge, policy) = Lesson(0), map(run.policy, ("sft", "reward_model", name))
    with one_thread():
        exam = lesson.examine(policy, sft, judge, answers=CHECKPOINT_ANSWERS)
    if kept["identical"]:
        assert [asdict(one) for one in exam] == kept[name][-1]["answers"]


def test_both_begin_as_the_sft_policy(shown: tuple[Run, dict[str, Any]]) -> None:
    _, kept = shown
    assert kept["ppo"][0] == kept["ppo_no_kl"][0]
    assert kept["ppo"][0]["kl"] == 0
    assert kept["ppo"][1]["kl"] != 0
