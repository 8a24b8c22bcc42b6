"""What "Watch it cheat" shows is what was recorded, whatever that was."""

from __future__ import annotations

import copy
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from rlhf_explained import explore, pipeline
from rlhf_explained.explore import cheat, recordings
from rlhf_explained.measured.text import number
from rlhf_explained.pipeline import Run

RUNS = ("ppo", "ppo_no_kl")


@pytest.fixture(scope="module")
def run() -> Run:
    return pipeline.run()


@pytest.fixture(scope="module")
def kept(run: Run) -> dict[str, Any]:
    return recordings.recorded(run)


def with_golds(kept: dict[str, Any], *golds: float) -> dict[str, Any]:
    """Recordings in which the true reward without the penalty took this course."""
    other = copy.deepcopy({name: rows[: len(golds)] for name, rows in kept.items() if name in RUNS})
    for row, gold in zip(other["ppo_no_kl"], golds, strict=True):
        row["gold"] = gold
    return {"identical": True, **other}


def test_the_data_are_small_and_hold_what_was_recorded(run: Run, kept: dict[str, Any]) -> None:
    told = cheat.rounds(run)
    assert len(gzip.compress(json.dumps(told).encode())) <= 20_000
    assert told["after"] == [row["iteration"] for row in kept["ppo"]]
    for name in RUNS:
        for place, row in enumerate(kept[name]):
            proxy, gold, kl, helpful = told["runs"][name][place]
            assert proxy == number(row["proxy"])
            assert gold == f"{number(row['gold'])} ± {number(row['stderr']['gold'])}"
            assert kl == number(row["kl"])
            assert float(helpful.rstrip("\xa0%")) == pytest.approx(100 * row["helpful"], abs=0.51)
            for question, said in zip(told["asked"], told["answers"][name][place], strict=True):
                first = next(one for one in row["answers"] if one["prompt"] == question)
                text, category = told["said"][said]
                assert text == (first["response"].strip() or "(nothing)")
                assert category == first["category"].replace("_", "-")


def test_one_question_of_each_kind_is_asked_and_none_was_practised(
    run: Run, kept: dict[str, Any]
) -> None:
    asked = cheat.rounds(run)["asked"]
    kinds = {one["prompt"]: one["kind"] for one in run.data["heldout"]}
    assert sorted(kinds[question] for question in asked) == sorted({*kinds.values()})


def test_the_best_round_is_computed(run: Run, kept: dict[str, Any]) -> None:
    told = cheat.rounds(run)
    golds = [row["gold"] for row in kept["ppo_no_kl"]]
    assert golds[told["best"]] == max(golds)
    assert f"highest after {kept['ppo_no_kl'][told['best']]['iteration']} round" in told["outcome"]


@pytest.mark.parametrize(
    ("golds", "says"),
    [
        ((0.2, 1.5, 0.9), "highest after 1 round, at 1.50. After 2 rounds it is 0.90"),
        ((0.2, 1.5, 1.6), "rises to the last round, to 1.60"),
        ((1.7, 1.5, -0.4), "highest after 0 rounds, at 1.70. After 2 rounds it is −0.40"),
    ],
)
def test_the_sentence_is_true_of_other_runs(
    golds: tuple[float, ...], says: str, kept: dict[str, Any]
) -> None:
    assert says in cheat.outcome(with_golds(kept, *golds))


def test_the_recorded_result_holds_each_number_and_says_so(run: Run, kept: dict[str, Any]) -> None:
    page = cheat.recorded(run, {})
    for name in RUNS:
        for row in kept[name]:
            for what in ("proxy", "gold", "kl"):
                assert re.search(rf"<td>{number(row[what])}[< ]", page)
    assert page.count("ecorded") >= 6
    alts = re.findall("<title>(.*?)</title>", page)
    assert len(alts) == 2
    for alt, what in zip(alts, ("proxy", "gold"), strict=True):
        for name in RUNS:
            some = [row[what] for row in kept[name]]
            told = [number(one) for one in (some[0], some[-1], max(some))]
            assert re.search(r"from {} to {}, highest {}".format(*told), alt)


def test_another_processor_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "another kind of processor" not in cheat.recorded(run, {})
    other = recordings.recorded(run) | {"identical": False}
    monkeypatch.setattr(recordings, "recorded", lambda run: other)
    assert "another kind of processor" in cheat.recorded(run, {})


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("", "it names no kind"),
        ("cheat", "'cheat' is no option: write `name: value`"),
        ("seed: 1", "it names no kind: begin it with a line"),
        ("kind: cheat\nkind: ask", "kind is given twice"),
        ("kind:\n\nCaption.", "'kind:' is no option"),
    ],
)
def test_a_wrong_fence_is_refused(source: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        explore.Fence.read(source)


def test_a_fence_is_read() -> None:
    fence = explore.Fence.read("kind: cheat\nrounds: 3\n\nOne *caption*.\n\nTwo.\n")
    assert fence == explore.Fence("cheat", {"rounds": "3"}, "One *caption*.\n\nTwo.")


def test_names_and_sizes_follow_the_content(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (before, _), button = explore.names(cheat.KIND, run), explore.button(cheat.KIND, run)
    (tmp_path / "cheat.js").write_text("".join(f"{n * n}\n" for n in range(20_000)))
    monkeypatch.setattr(explore, "_SCRIPTS", tmp_path)
    other = explore.Kind("cheat", "Place your bet", cheat.recorded, ("cheat",), cheat.KIND.data)
    (after, _) = explore.names(other, run)
    assert before.startswith("cheat.")
    assert after.startswith("cheat.")
    assert before != after
    assert button != explore.button(other, run)
    assert int(re.findall(r"\d+", explore.button(other, run))[0]) >= 40
