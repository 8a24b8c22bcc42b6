"""What sliders begin with is what was recorded, and what they compute with is all there is."""

from __future__ import annotations

import gzip
import json
import re
from math import exp, fsum
from typing import Any

import pytest
import torch

from rlhf_explained import explore, formulas, pipeline
from rlhf_explained.explore import slider_numbers as numbers
from rlhf_explained.explore import sliders
from rlhf_explained.formulas import kl_exact
from rlhf_explained.measured.text import number
from rlhf_explained.pipeline import Run
from rlhf_explained.studies import frontier, stored
from rlhf_explained.world import exact, optima


@pytest.fixture(scope="module")
def run() -> Run:
    return pipeline.run()


@pytest.fixture(scope="module")
def world() -> dict[str, Any]:
    return numbers.world()


@pytest.mark.parametrize("kind", sliders.KINDS, ids=lambda kind: kind.name)
def test_a_press_loads_little(kind: explore.Kind, run: Run) -> None:
    files = explore.files(run)
    loaded = (files[f"{explore.FOLDER}/{name}"] for name in explore.names(kind, run))
    assert sum(len(gzip.compress(text)) for text in loaded) <= 20_000


# The exact world


def test_the_answers_are_those_of_the_study(world: dict[str, Any]) -> None:
    here = frontier.world(frontier.SEEDS[0])
    reference, rewards = here.logprobs(here.reference), here.rewards.double()
    ended = rewards != frontier.UNFINISHED
    _, worth, logprobs = zip(*world["answers"], strict=True)
    assert len({text for text, *_ in world["answers"]}) == len(worth) == ended.sum() + 1
    assert worth == pytest.approx([*rewards[ended].tolist(), frontier.UNFINISHED], abs=1e-7)
    assert logprobs[:-1] == pytest.approx(reference[ended].tolist(), abs=1e-7)
    assert exp(logprobs[-1]) == pytest.approx(reference[~ended].exp().sum().item())
    assert fsum(map(exp, logprobs)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("kind", ["beta", "n"])
def test_one_answer_for_all_that_were_cut_off_changes_nothing(
    kind: str, world: dict[str, Any]
) -> None:
    """Neither policy tells them apart: they earn the same."""
    _, worth, logprobs = zip(*world["answers"], strict=True)
    rewards, reference = torch.tensor([worth, logprobs], dtype=torch.float64)
    make = {"beta": exact.tilted, "n": optima.best_of_n}[kind]
    for at, recorded in world[kind].items():
        policy = make(reference, rewards, **{kind: {"beta": float, "n": int}[kind](at)})
        gained = (policy.exp() - reference.exp()) @ rewards
        kl = (policy.exp() * (policy - reference)).nan_to_num().sum()
        assert gained.item() == pytest.approx(recorded["gained"], abs=1e-6)
        assert kl.item() == pytest.approx(recorded["kl"], abs=1e-6)
        shares = policy.exp()[world["shown"]].tolist()
        assert shares == pytest.approx(recorded["shares"], abs=1e-6)


def test_the_study_found_the_same(world: dict[str, Any]) -> None:
    study = stored("frontier")
    assert world["price"] == study.config["dpo"]["beta"]
    for setting in study.config:
        name, _, at = setting.rpartition("_")
        kind = {"frontier": "beta", "best_of": "n"}.get(name)
        if kind and at in world[kind]:
            for quantity in ("gained", "kl"):
                assert world[kind][at][quantity] == pytest.approx(
                    study.values(setting, quantity)[0],
                    abs=1e-3,  # another processor may have made it
                )


def test_the_first_answer_shown_earns_most(world: dict[str, Any]) -> None:
    rewards = [world["answers"][place][1] for place in world["shown"]]
    assert rewards == sorted(rewards, reverse=True)
    assert rewards[0] == max(reward for _, reward, _ in world["answers"])


@pytest.mark.parametrize("rounded", [-1e-16, 1e-16])
def test_best_of_one_is_the_reference_however_sums_are_rounded(
    monkeypatch: pytest.MonkeyPatch, rounded: float
) -> None:
    """Processors add in other orders: what is 0 may come out on either side of it."""
    monkeypatch.setattr(formulas, "kl_exact", lambda *both: kl_exact(*both) + rounded)
    one = numbers._world()["n"][1]
    assert (one["kl"], one["part"]) == (pytest.approx(0, abs=1e-12), 1)
    assert one["kl"] >= 0


def test_the_frontier_is_recorded_and_says_so(run: Run, world: dict[str, Any]) -> None:
    page = sliders.frontier(run, {})
    for kind, at in (("beta", "0.5"), ("beta", "2.0"), ("n", "4"), ("n", "64")):
        for quantity in ("gained", "kl"):
            assert f"<td>{number(world[kind][at][quantity])}</td>" in page
    assert page.count("Recorded: ") == 5
    assert all("omputed" in live for live in re.findall('data-live="(.*?)"', page))
    begins = json.loads(json.dumps(sliders.listed(run)))
    assert begins["beta"][begins["start"]["beta"]] == 0.5
    assert begins["n"][begins["start"]["n"]] == 4


# The credit of each token


def test_the_answer_is_the_notebooks(run: Run) -> None:
    one = numbers.answer(run)
    (first, *_) = (
        other
        for other in run.responses["ppo"]
        if other["length"] == len(other["response"].split()) + 1
    )
    assert (one["prompt"], " ".join(one["words"][:-1])) == (
        first["prompt"],
        first["response"].strip(),
    )
    ratio = fsum(one["logprobs"]) - fsum(one["ref_logprobs"])
    assert ratio == pytest.approx(first["kl"], abs=1e-3)
    assert one["score"] == pytest.approx(first["proxy"], abs=1e-3)
    assert fsum(one["rewards"]) == pytest.approx(one["score"] - one["beta"] * ratio, abs=1e-5)
    assert one["beta"] == run.facts["kl_coef"]


def test_no_bar_leaves_its_drawing(run: Run) -> None:
    one = numbers.answer(run)
    given = sliders.credited(run)
    assert max(map(abs, one["advantages"] + one["deltas"])) <= one["reach"]
    assert {name: given[name][place] for name, place in given["start"].items()} == {
        name: one[name] for name in numbers.CREDIT
    }


def test_credit_is_recorded_and_says_so(run: Run) -> None:
    page, one = sliders.credit(run, {}), numbers.answer(run)
    for name in ("rewards", "values", "deltas", "advantages", "returns"):
        assert all(f"<td>{number(value)}</td>" in page for value in one[name])
    assert page.count("Recorded") == 3
    assert all("omputed" in live for live in re.findall('data-live="(.*?)"', page))
