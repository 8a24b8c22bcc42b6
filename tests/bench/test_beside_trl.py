"""GRPO beside TRL's trainer: the same work on both sides, and what is made of the times."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from rlhf_explained import rollout
from rlhf_explained.models.gpt import GPT, GPTConfig
from rlhf_explained.stages.grpo import GRPOConfig
from tests.bench import __main__ as command
from tests.bench import beside_trl
from tests.test_build import ROOT
from tests.trl import grpo


def turn(ours: float, theirs: float, **other: Any) -> dict[str, dict[str, Any]]:
    work = {
        "threads": 1, "samples": 128, "length": 28, "torch": "2", "parameters": 1000,
        "samples_per_cpu_second": 1.0, "scores": [0.0, 1.0],
    }  # fmt: skip
    return {
        "ours": work | {"samples_per_second": ours},
        "theirs": work | {"samples_per_second": theirs, "threads": 2} | other,
    }


def test_the_sides_are_compared_turn_by_turn() -> None:
    report = beside_trl.compared([turn(80.0, 20.0), turn(90.0, 30.0), turn(50.0, 25.0)])
    assert report["ours"]["samples_per_second"] == {"median": 80, "all": [80, 90, 50]}
    assert report["theirs"]["samples_per_second"] == {"median": 25, "all": [20, 30, 25]}
    # not 80 / 25: the machine may have been busier in one turn than in another
    assert report["ratio_of_samples_per_second"] == {"median": 3, "all": [4, 3, 2]}
    assert report["ratio_of_samples_per_cpu_second"]["median"] == 1
    assert (report["ours"]["threads"], report["theirs"]["threads"]) == (1, 2)
    assert json.loads(json.dumps(report)) == report
    _, headings, rows = beside_trl.table(report)
    assert [len(row) for row in rows] == [len(headings)] * 3
    assert [row[1:3] for row in rows] == [
        (1, "80 (50 to 90)"), (2, "25 (20 to 30)"), ("", "3 (2 to 4)"),
    ]  # fmt: skip


def test_each_side_has_the_number_of_threads_that_suits_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {("ours", 1): 80.0, ("ours", 2): 70.0, ("theirs", 1): 20.0, ("theirs", 2): 40.0}
    called = []

    def train(python: Path, root: Path, side: str, run: Path, threads: int, updates: int) -> Any:
        called.append((side, threads, updates))
        busy = len(called) < 3  # another program
        return turn(1, 1)[side] | {
            "samples_per_second": rates[side, threads] / (10 if busy else 1),
            "threads": threads,
        }

    made_up = SimpleNamespace(folder=Path("run"))
    monkeypatch.setattr(beside_trl, "environment", lambda *_: Path("python"))
    monkeypatch.setattr(beside_trl, "train", train)
    monkeypatch.setattr(beside_trl, "current_run", lambda: made_up)
    report = beside_trl.measure(ROOT)
    assert (
        called[8:]
        == [("ours", 1, beside_trl.UPDATES), ("theirs", 2, beside_trl.UPDATES)] * beside_trl.PAIRS
    )
    assert report["ratio_of_samples_per_second"]["median"] == 2


@pytest.mark.parametrize(
    "other", [{"length": 27}, {"samples": 64}, {"torch": "1"}, {"parameters": 1100}]
)
def test_sides_that_did_not_do_the_same_work_are_not_compared(other: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(other))):
        beside_trl.compared([turn(80.0, 20.0, **other)])


def test_our_answers_are_all_as_long_as_they_may_be_and_what_does_that_is_put_back() -> None:
    config = GRPOConfig(iterations=3, prompts=4, epochs=1)
    shape = GPTConfig(vocabulary=len(grpo.TOKENIZER), width=16, layers=1)
    sft, judge = (GPT(shape, generator=torch.Generator().manual_seed(n)) for n in (0, 1))
    eos = rollout.EOS
    measured = grpo.ours(sft, judge, config)
    assert measured["length"] == config.response_limit
    assert measured["samples"] == 2 * 4 * config.group_size  # the first update is not timed
    assert measured["samples_per_second"] > 0
    assert eos == rollout.EOS
    assert grpo.NEVER not in range(shape.vocabulary)


def test_without_an_environment_one_line_says_why_and_all_else_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "ROOT", tmp_path)
    monkeypatch.setattr(command, "current_run", lambda: None)
    (tmp_path / ".ci").mkdir()
    fails = "import sys; sys.exit('.venv-trl: setting up\\nerror: no index')"
    (tmp_path / ".ci" / "venv.py").write_text(fails, encoding="utf-8")
    (tmp_path / "bench.json").write_text('{"run": 1}', encoding="utf-8")
    done = CliRunner().invoke(command.main, ["--only", "trl"])
    assert done.exit_code == 1
    *_, line = done.output.splitlines()
    said = "Error: no environment with TRL, for which the network is needed: error: no index"
    assert line == said
    assert json.loads((tmp_path / "bench.json").read_text(encoding="utf-8")) == {"run": 1}


def test_with_one_its_python_is_given(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "venv.py").write_text("", encoding="utf-8")
    assert beside_trl.environment(tmp_path) == tmp_path / ".venv-trl" / "bin" / "python"
