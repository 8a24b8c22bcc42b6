"""The measured values: their digits, and conclusions that follow the numbers either way."""

from __future__ import annotations

import json
import math
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from made_up_run import Curve, made_up_run

from rlhf_explained import figures, measured, pipeline
from rlhf_explained.measured import of_studies, verdicts
from rlhf_explained.measured.verdicts import smoothed
from rlhf_explained.pipeline import Run
from rlhf_explained.studies import STUDIES, Interval, Results, stored

SPACE = "\N{NO-BREAK SPACE}"
OF_THE_RUN = tuple(
    f"{name}-verdict"
    for name in ("temperature", "facts", "win-rate", "hack", "length", "reward-rise")
)
VERDICTS = tuple(name for name in measured.names() if name.endswith("-verdict"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return made_up_run(tmp_path_factory.mktemp("run"), seed=3)


def told(name: str, folder: Path, **changes) -> str:
    return measured.value(name, made_up_run(folder, **changes)).text


def shape(thing: object) -> object:
    """What kind of thing it is: the keys of what has keys, the first of a list or of questions."""
    if isinstance(thing, dict) and all(key.endswith("?") for key in thing):
        return shape(list(thing.values()))
    if isinstance(thing, dict):
        return {key: shape(inner) for key, inner in thing.items()}
    if isinstance(thing, list):
        return [shape(first) for first in thing[:1]]
    return type(thing) if isinstance(thing, str | int | float) and thing is not True else "maybe"


def test_the_made_up_run_is_shaped_like_a_real_one(run: Run):
    real = pipeline.run(pipeline.RunConfig())
    for name in ("report.json", "responses.json", "by_question.json", "data.json"):
        made_up, found = (json.loads((r.folder / name).read_text()) for r in (run, real))
        assert shape(made_up) == shape(found)


@pytest.mark.parametrize("name", measured.names())
def test_every_value_has_a_text_and_names_its_run(name: str, run: Run):
    found = measured.value(name, run)
    assert found.text
    assert "nan" not in found.text
    studied = {f"5 seeds · {stored(study).date}" for study in STUDIES}
    assert found.note.endswith("seed 3") or any(origin in found.note for origin in studied)


@pytest.mark.parametrize("name", measured.names())
def test_every_value_stands_the_shortest_run(name: str, tmp_path: Path):
    assert told(name, tmp_path, iterations=1, noise=0.0)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("base-helpful", f"22{SPACE}%"),
        ("ppo-gold", "1.87"),
        ("base-gold", "−0.50"),
        ("ppo-rambling", f"1{SPACE}%"),
        ("ppo-no-kl-kl", f"7.10{SPACE}nats"),
        ("sft-length", f"15.0{SPACE}tokens"),
        ("parameters", "131,841"),
        ("critic-parameters", "131,841"),
        ("vocabulary", "439"),
        ("kl-coef", "0.5"),
        ("ppo-greedy-gold", "2.47"),
        ("sft-best-gold", "0.30"),
        ("sft-best-temperature", "1"),
        ("ppo-wins-labeler", f"79{SPACE}%"),
        ("demonstrations-good", "120"),
        ("demonstrations-verbose", "120"),
        ("pairs-state-heldout", f"0{SPACE}%"),
        ("pairs-ask-heldout", f"0{SPACE}%"),
        ("pairs-rejected-state-heldout", f"0{SPACE}%"),
        ("pairs-rejected-ask-heldout", f"0{SPACE}%"),
        ("rm-accuracy", f"78{SPACE}%"),
        ("rm-ceiling", f"87{SPACE}%"),
        ("seconds-total", f"76{SPACE}s"),
        ("seconds-sft", f"1.9{SPACE}s"),
        ("sft-loss-floor", f"0.22{SPACE}nats"),
        ("heldout-questions", "61"),
        ("practised-questions", "120"),
        ("run-seed", "3"),
    ],
)
def test_values_are_written_with_their_units(name: str, text: str, run: Run):
    assert measured.value(name, run).text == text


@pytest.mark.parametrize("side", ["chosen", "rejected"])
def test_what_was_held_out_is_counted_on_each_side_of_the_pairs(side: str, tmp_path: Path):
    """Two answers of four state a held-out fact, one of them with courtesy; one asks."""
    run, other = made_up_run(tmp_path), {"chosen": "rejected", "rejected": "chosen"}[side]
    said = (
        "the capital of france is paris .",
        "sure ! the capital of france is paris . happy to help !",
        "what is the capital of france ?",
        "what is the capital of spain ?",
    )
    run.data["preferences"] = [{side: text, other: "two plus two is four ."} for text in said]
    found = {
        f"{where}{what}": measured.value(f"pairs-{where}{what}-heldout", run).text
        for where in ("", "rejected-")
        for what in ("state", "ask")
    }
    mine = "" if side == "chosen" else "rejected-"
    expected = dict.fromkeys(found, f"0{SPACE}%")
    expected |= {f"{mine}state": f"50{SPACE}%", f"{mine}ask": f"25{SPACE}%"}
    assert found == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.004, "0.4"),
        (0.26, "26"),
        (0.994, "99.4"),
        (1.0, "100"),
        (-0.003, "−0.3"),
        (-0.26, "−26"),
        (1e-5, f"<{SPACE}0.1"),
    ],
)
def test_a_share_is_0_or_100_only_if_it_is(value: float, text: str):
    assert measured.share(value) == f"{text}{SPACE}%"


@pytest.mark.parametrize(("value", "text"), [(-0.004, "0.00"), (-1.5, "−1.50"), (0.0, "0.00")])
def test_a_number_has_a_true_minus_and_no_negative_zero(value: float, text: str):
    assert measured.number(value) == text


@pytest.mark.parametrize(
    ("wrong", "close"),
    [("ppo-gld", "ppo-gold"), ("ppo_gold", "ppo-gold"), ("rm-acuracy", "rm-acc")],
)
def test_an_unknown_name_is_told_its_neighbours(wrong: str, close: str, run: Run):
    with pytest.raises(ValueError, match=re.escape(repr(wrong))) as caught:
        measured.value(wrong, run)
    assert close in str(caught.value)


def test_a_text_is_filled_with_values(run: Run):
    text = measured.filled("{ppo-gold} of {ppo-gold}, {pairs:,} pairs", run, pairs=6400)
    gold = measured.value("ppo-gold", run).text
    assert text == f"{gold} of {gold}, 6,400 pairs"
    with pytest.raises(ValueError, match="ppo-gold"):
        measured.filled("{ppo-gld}", run)


def test_values_need_neither_torch_nor_matplotlib(run: Run):
    code = (
        "import sys; from pathlib import Path; from rlhf_explained import measured\n"
        "from rlhf_explained.pipeline import Run, RunConfig\n"
        "run = Run(RunConfig(), 'made-up', Path(sys.argv[1]))\n"
        "for name in measured.names(): measured.value(name, run)\n"
        "sys.exit(bool({'torch', 'matplotlib', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code, str(run.folder)]).returncode == 0


def test_what_is_never_measured_has_no_name():
    for setting, quantities in of_studies.NEVER_MEASURED.items():
        short = setting.removesuffix("_1.0").replace("_", "-")
        for quantity in quantities:
            assert f"methods-{short}-{quantity}".replace("_", "-") not in measured.names()
            with pytest.raises(ValueError, match="none of"):
                of_studies.method(setting, quantity)


def test_a_line_ends_as_the_mean_of_the_nearest_full_window():
    """No smoothed line bends to its first or last point."""
    assert smoothed([1.0, 2.0, 6.0, 8.0], window=3) == [3.0, 3.0, 16 / 3, 16 / 3]
    assert smoothed([0.0] * 7 + [7.0]) == [0.0] * 5 + [1.4] * 3
    assert smoothed([7.0] * 9) == [7.0] * 9
    assert smoothed([1.0, 2.0, 6.0]) == [3.0] * 3
    assert smoothed([1.0, 5.0], window=1) == [1.0, 5.0]
    assert smoothed([]) == []


# Conclusions of the run


@pytest.mark.parametrize("name", VERDICTS)
def test_a_verdict_is_whole_sentences(name: str, run: Run):
    text = measured.value(name, run).text
    assert re.fullmatch(r"([A-Z].*[^ ]\. )*[A-Z].*[^ ]\.", text)
    assert "  " not in text
    assert not re.search(r"\bnone\b|, ,|: [.;]|\(\)", text)


@pytest.mark.parametrize("window", range(1, 10))
def test_no_verdict_is_smoothed(window: int, run: Run, monkeypatch: pytest.MonkeyPatch):
    usual = {name: measured.value(name, run).text for name in VERDICTS}
    (curves,) = figures.tables("ppo-curves", run)
    monkeypatch.setattr(verdicts, "WINDOW", window)
    assert {name: measured.value(name, run).text for name in VERDICTS} == usual
    (others,) = figures.tables("ppo-curves", run)
    assert (curves["gold, smoothed"] == others["gold, smoothed"]) == (window == 5)


def test_no_verdict_asks_for_a_smoothed_line(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(verdicts, "smoothed")
    assert all(measured.value(name, run).text for name in VERDICTS)


def exams(run: Run, policy: str, temperature: str = "1.0") -> Iterable[dict[str, Any]]:
    """All that a run holds of an exam, to be changed."""
    yield run.temperatures[policy][temperature]
    if temperature == "1.0":
        yield run.evaluation[policy]


def give(run: Run, policy: str, temperature: str = "1.0", **quantities: float | None) -> None:
    for exam in exams(run, policy, temperature):
        exam |= quantities


@pytest.mark.parametrize(
    ("ppo", "conclusion"),
    [
        (1.5, "PPO has 1.50 at temperature 1, more by 1.00 ± 0.07."),
        (0.6, "PPO has 0.60 at temperature 1, which is no difference beyond the noise."),
        (0.1, "PPO has 0.10 at temperature 1, less by 0.40 ± 0.07."),
    ],
)
def test_ppo_is_held_against_sft_at_its_best_temperature(
    ppo: float, conclusion: str, tmp_path: Path
):
    run = made_up_run(tmp_path)
    for temperature, gold in zip(run.temperatures["sft"], (0.2, 0.4, 0.5, 0.3, 0.0), strict=True):
        give(run, "sft", temperature, gold=gold)
    give(run, "ppo", gold=ppo)
    text = measured.value("temperature-verdict", run).text
    assert "SFT has most gold reward at 0.5: 0.50." in text
    assert conclusion in text


@pytest.mark.parametrize(
    ("ppo", "conclusion"),
    [
        (1.1, "SFT has 0.10 and PPO 1.10, more by 1.00 ± 0.07."),
        (0.2, "SFT has 0.10 and PPO 0.20, which is no difference beyond the noise."),
        (-0.4, "SFT has 0.10 and PPO −0.40, less by 0.50 ± 0.07."),
    ],
)
def test_greedy_ppo_is_held_against_greedy_sft(ppo: float, conclusion: str, tmp_path: Path):
    run = made_up_run(tmp_path)
    give(run, "ppo", "0.0", gold=ppo)
    assert conclusion in measured.value("temperature-verdict", run).text


@pytest.mark.parametrize(
    ("accuracies", "conclusions"),
    [
        ((0.9, 0.9, 0.85), ["this one run shows no difference"] * 2),
        ((0.9, 0.7, 0.9), ["a smaller share is right, beyond", "a larger share is right, beyond"]),
        ((0.5, 0.9, 0.7), ["a larger share is right, beyond", "a smaller share is right, beyond"]),
    ],
)
def test_facts_are_judged_by_the_numbers(
    accuracies: tuple[float, ...], conclusions: list[str], tmp_path: Path
):
    run = made_up_run(tmp_path)
    for policy, accuracy in zip(("base", "sft", "ppo"), accuracies, strict=True):
        give(run, policy, accuracy=accuracy)
    text = measured.value("facts-verdict", run).text
    assert f"pretrained model {measured.share(accuracies[0])} (± 2.0, of 610)" in text
    assert f"From the pretrained model to SFT, {conclusions[0]}" in text
    assert f"From SFT to PPO, {conclusions[1]}" in text
    assert f"76{SPACE}% of SFT’s stated facts are right and 87{SPACE}% of PPO’s." in text


def test_a_policy_that_states_no_fact_is_compared_with_nobody(tmp_path: Path):
    run = made_up_run(tmp_path)
    for temperature in ("1.0", "0.0"):
        give(run, "ppo", temperature, stated=0, accuracy=None)
        for exam in exams(run, "ppo", temperature):
            del exam["stderr"]["accuracy"]
    text = measured.value("facts-verdict", run).text
    assert "PPO states none." in text
    assert text.endswith("From SFT to PPO, there is nothing to compare.")
    assert measured.value("ppo-accuracy", run).text == "undefined"


@pytest.mark.parametrize(
    ("judge", "conclusion"),
    [
        (0.9, f"the reward model does so in 90{SPACE}%: the reward model overrates it, by 20 perc"),
        (0.7, f"the reward model does so in 70{SPACE}%: this one run does not tell them apart."),
        (0.5, f"the reward model does so in 50{SPACE}%: the reward model underrates it, by 20 per"),
    ],
)
@pytest.mark.parametrize("policy", ["ppo", "ppo_no_kl"])
def test_judges_are_compared(policy: str, judge: float, conclusion: str, tmp_path: Path):
    run = made_up_run(tmp_path)
    run.win_rates[policy]["labeler"]["mean"] = 0.7
    run.win_rates[policy]["reward_model"]["mean"] = judge
    start = f"The labeler prefers an answer of {verdicts.NAMES[policy]} to one of SFT’s in 70"
    text = measured.value("win-rate-verdict", run).text
    assert conclusion in text[text.index(start) :]


def hump(t: float) -> float:
    """Gold that rises to 1.1 half way and falls to where it began."""
    return 0.3 + 0.8 * 4 * t * (1 - t)


@pytest.mark.parametrize(
    ("free", "conclusion"),
    [
        ({"gold": hump, "proxy": lambda t: 2 * t}, "still rises, from 1.00 to 2.00: reward hack"),
        ({"gold": hump, "proxy": lambda t: 1.0}, "stays where it is, 1.00 and 1.00: the reward"),
        ({"gold": hump, "proxy": hump}, "falls too, from 1.10 to 0.30: the policy gets worse"),
        ({"gold": lambda t: t, "proxy": lambda t: 2 * t}, "gold reward ends at its highest, 1.00."),
        (
            {"gold": lambda t: 1.0 if 0.8 < t < 1 else 0.99 * t},
            "gold reward ends at 0.99, and its highest, 1.00, is not above that beyond",
        ),
    ],
)
def test_hacking_is_judged_at_the_checkpoints(
    free: dict[str, Curve], conclusion: str, tmp_path: Path
):
    run = made_up_run(tmp_path, noise=0.0, curves={"ppo_no_kl": free})
    text = measured.value("hack-verdict", run).text
    assert conclusion in text
    assert ("There is no reward hacking" in text) == ("ends at" in conclusion)
    assert ("After iteration 30 " in text) == (free["gold"] is hump)


def test_noise_is_hardly_ever_called_hacking(tmp_path: Path):
    """The best of many looks is chosen, and yet its lead is hardly ever called a difference."""
    run, chance, called = made_up_run(tmp_path), random.Random(0), 0
    for _ in range(200):
        for look in run.checkpoints["ppo_no_kl"]:
            look["gold"] = 1 + chance.gauss(0, look["stderr"]["gold"])
        called += "no reward hacking" not in measured.value("hack-verdict", run).text
    assert called <= 0.05 * 200


@pytest.mark.parametrize(
    ("lengths", "conclusion"),
    [
        ((18.0, 12.0), "18.0, longer by 3.0 ± 0.4; without it 12.0, shorter by 3.0 ± 0.4"),
        ((15.1, 18.0), "15.1, no change beyond the noise; without it 18.0, longer by 3.0 ± 0.4"),
        ((12.0, 15.1), "12.0, shorter by 3.0 ± 0.4; without it 15.1, no change beyond the noise"),
    ],
)
def test_length_is_judged_by_the_numbers(
    lengths: tuple[float, float], conclusion: str, tmp_path: Path
):
    curves = {
        policy: {"length": lambda t, end=end: end}
        for policy, end in zip(("ppo", "ppo_no_kl"), lengths, strict=True)
    }
    assert conclusion in told("length-verdict", tmp_path, curves=curves)


def test_score_and_length_correlate_as_they_do(tmp_path: Path):
    chance = random.Random(0)
    run = made_up_run(tmp_path)
    for slope in (2.0, -2.0, 0.0):
        for response in run.responses["sft"]:
            response["length"] = chance.randint(3, 20)
            response["proxy"] = slope * response["length"] + (
                chance.gauss(0, 1) if not slope else 0
            )
        found = float(measured.value("score-length-correlation", run).text.replace("−", "-"))
        expected = (slope > 0) - (slope < 0)
        assert found == pytest.approx(expected, abs=0.1)  # 0.03 is a standard error at slope 0


@pytest.mark.parametrize(
    ("slope", "conclusion"),
    [
        (0.5, "From one iteration to the next, the rise is beyond the noise."),
        (0.1, "To see the rise, compare iterations that lie 3 apart."),
        (0.0, "There is no rise to see."),
        (-0.1, "There is no rise to see."),
    ],
)
def test_a_rise_is_held_against_the_noise(slope: float, conclusion: str, tmp_path: Path):
    """A mean of 128 scores is as far off as their spread says, divided by √128."""
    curves = {"ppo": {"proxy": lambda t: 60 * slope * t}}
    run = made_up_run(tmp_path, iterations=61, noise=0.0, curves=curves)
    for policy in ("sft", "ppo"):
        for place, response in enumerate(run.responses[policy]):
            response["proxy"] = 1.0 if place % 2 else -1.0  # they spread by 1
    text = measured.value("reward-rise-verdict", run).text
    assert text.count(f"changes by {measured.number(slope, 4)} per iteration") == 2
    assert text.count(f"a batch’s mean is {1 / math.sqrt(128):.3f}") == 2
    assert text.count(conclusion) == 2


# What is said of the studies


Made = Callable[[str, dict[str, dict[str, list[float]]]], None]

NOISE = (-0.02, 0.03, -0.01, 0.02, -0.02)  # of five seeds; their mean is 0


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    """Puts made-up results in the place of a study's."""
    kept: dict[str, Results] = {}
    monkeypatch.setattr(of_studies, "stored", kept.__getitem__)

    def put(name: str, values: dict[str, dict[str, list[float]]], **config: Any) -> None:
        rows = [
            {"setting": setting, "seed": seed, **dict(zip(quantities, row, strict=True))}
            for setting, quantities in values.items()
            for seed, row in enumerate(zip(*quantities.values(), strict=True))
        ]
        kept[name] = Results(name, "2026-01-01", "", config or {key: {} for key in values}, rows)

    return put


def around(mean: float, turn: int = 0) -> list[float]:
    """Five seeds around a mean; turned, so that pairs of two settings differ as well."""
    return [mean + NOISE[(place + turn) % 5] for place in range(5)]


def methods(made: Made, **golds: float) -> str:
    """The verdict on made-up methods: PPO has 1.5, what is not named is level with it."""
    colder = {"sft_0.7": 0.4, "sft_0.5": 0.5, "sft_0.3": 0.2, "sft_0.0": 0.0, "sft_1.0": 0.3}
    names = [*colder, *(name for name in of_studies.METHODS if name != "sft_best")]
    usual = dict.fromkeys(names, 1.5) | colder | golds
    values = {
        name: {
            "gold": around(usual[name], turn),
            "gold_greedy": around(golds.get(f"greedy/{name}", 2.0), turn),
        }
        for turn, name in enumerate(dict.fromkeys(names))
    }
    made("methods", values)
    return of_studies.methods_verdict()[0]


RIVALS = [name for name in of_studies.IN_WORDS if not name.startswith("ppo")]
GREEDY = [f"greedy/{name}" for name in of_studies.CURATED]


@pytest.mark.parametrize("rival", [*RIVALS, *GREEDY])
def test_ppo_is_above_a_method_level_with_it_or_below(rival: str, made: Made):
    """At temperature 1 and, for what is curated, greedily."""
    varied, middle = rival.replace("sft_best", "sft_0.5"), 1.5
    if rival in (*GREEDY, "sft_best_tenth"):
        varied, middle = rival, 2.0 if rival in GREEDY else 1.5
    said = []
    for gap in (-1.0, 0.0, 1.0):
        text = methods(made, **{varied: middle + gap})
        warm, cold = text.split(" If both always take the likeliest word, ")
        cold, others = cold.split(" As for the other methods ")
        said.append(cold if rival in GREEDY else f"{warm} {others}")
    words = re.escape(of_studies.IN_WORDS[rival.removeprefix("greedy/")])
    above, level, below = said
    assert re.search(rf"1\.00 ± 0\.\d\d above {words}[,.; ]", above)
    assert re.search(rf"not told apart from (.* )?{words} \(−?0\.00 ± 0\.0", level)
    assert re.search(rf"1\.00 ± 0\.\d\d below {words}[,.; ]", below)


def test_every_method_and_each_greedy_one_that_is_curated_is_of_one_family(made: Made):
    methods(made)
    others = {name for name in of_studies.METHODS if name != "ppo"}
    assert of_studies.leads().keys() == others | {*GREEDY}


def needing_no_learning(made: Made, **golds: float) -> list[str]:
    """What is said of made-up shortcuts at temperature 1, and greedily; PPO has 1.5 and 2.0."""
    methods(made)
    settings = [
        f"{name}_{at}"
        for name in of_studies.SHORTCUTS
        for at in ("1.0", "0.0")
        if not (name.endswith("likeliest") and at == "0.0")
    ]
    usual = {name: 1.5 if name.endswith("1.0") else 2.0 for name in settings} | golds
    made("shortcuts", {name: {"gold": around(usual[name], n)} for n, name in enumerate(settings)})
    text, _ = of_studies.shortcuts_verdict()
    return text.split(" If both always take the likeliest word, ")


@pytest.mark.parametrize("at", ["1.0", "0.0"])
@pytest.mark.parametrize("name", of_studies.SHORTCUTS)
def test_ppo_is_held_against_what_needs_no_learning(name: str, at: str, made: Made):
    words = re.escape(of_studies.SHORTCUTS[name])
    if name.endswith("likeliest") and at == "0.0":  # the likeliest of several needs several
        assert not re.search(words, needing_no_learning(made)[1])
        return
    which, middle = (0, 1.5) if at == "1.0" else (1, 2.0)
    above, level, below = (
        needing_no_learning(made, **{f"{name}_{at}": middle + gap})[which]
        for gap in (-1.0, 0.0, 1.0)
    )
    assert re.search(rf"1\.00 ± 0\.\d\d above {words}( and not|\.)", above)
    assert re.search(rf"not told apart from (.* )?{words} \(−?0\.00 ± 0\.0", level)
    assert re.search(rf"1\.00 ± 0\.\d\d below {words}( and not|\.)", below)


def test_sft_is_taken_at_the_best_temperature_of_each_seed(made: Made):
    golds = {name: [0.0, 0.0] for name in of_studies.COLDER}
    golds |= {"sft_0.7": [1.0, 0.0], "sft_0.0": [0.0, 2.0]}
    values = {name: {"gold": gold, "helpful": gold} for name, gold in golds.items()}
    for name in values:
        values[name]["kl"] = [float(name.removeprefix("sft_"))] * 2
    made("methods", values)
    assert of_studies.method("sft_best", "gold") == [1.0, 2.0]
    assert of_studies.method("sft_best", "helpful") == [1.0, 2.0]
    assert of_studies.method("sft_best", "kl") == [0.7, 0.3]  # a greedy policy has no KL


def test_who_has_the_most_is_said_with_its_noise(made: Made):
    assert methods(made, ppo=2.0).endswith("of all four, PPO has the most.")
    assert methods(made, dpo=1.51).endswith(
        "DPO has the most, 0.01 above PPO, which is not beyond the noise."
    )
    assert methods(made, rloo=2.0).endswith(
        "RLOO has the most, 0.50 above PPO, which is beyond the noise."
    )


@pytest.mark.parametrize(
    ("gap", "conclusion"),
    [
        (0.3, "The penalty is ahead by 0.30 ± 0.0"),
        (0.0, "The difference in gold, 0.00 ± 0.0"),
        (-0.3, "Stopping early is ahead by 0.30 ± 0.0"),
    ],
)
@pytest.mark.parametrize("speed", of_studies.SPEEDS)
def test_early_stopping_is_judged_by_the_seeds(speed: str, gap: float, conclusion: str, made: Made):
    values = {}
    for place, name in enumerate(of_studies.SPEEDS):
        held = 1.5 + gap * (name == speed)
        for kind, (stop, end) in {"held": (0.0, held), "free": (1.5, 0.0)}.items():
            kl = {"stop_kl": [3.0] * 5, "end_kl": [1.5] * 5}
            golds = {"stop_gold": around(stop, 2), "end_gold": around(end, place)}
            values[f"{name}_{kind}"] = golds | kl
    rates = {f"{name}_free": {"learning_rate": rate} for name, rate in
             zip(of_studies.SPEEDS, (8e-4, 2e-4), strict=True)}  # fmt: skip
    made("early_stopping", values, **rates)
    text, note = of_studies.early_stopping_verdict()
    rate = {"fast": "0.0008", "slow": "0.0002"}[speed]
    mine = text[text.index(f"At a learning rate of {rate}") :]
    mine = mine.split(" At a learning rate")[0]
    assert f"1.50 gold where it is stopped, at a KL of 3.00{SPACE}nats" in mine
    assert f"ends at {1.5 + gap:.2f} gold and 1.50{SPACE}nats" in mine
    assert conclusion in mine
    assert ("within the noise" in mine) == (gap == 0.0)
    assert text.count("within the noise") == 1 + (gap == 0.0)
    assert "the stop is chosen on practised ones" in note


def changed(made: Made, settings: Iterable[str], **gaps: float) -> None:
    """Made-up ablations, each level with PPO but for what is named: `setting__quantity`."""
    usual = {"gold": 1.5, "gold_on_the_way": 1.0, "false": 0.1, "accuracy": 0.8}
    values = {}
    for turn, setting in enumerate(("ppo", *settings)):
        row = {
            quantity: around(mean + gaps.get(f"{setting}__{quantity}", 0.0), turn)
            for quantity, mean in usual.items()
        }
        row["late_explained_variance"] = around(0.5, turn)
        row["least_explained_variance"] = [0.3, 0.2, 0.35, 0.4, 0.3]
        values[setting] = row
    made("ablations", values)


@pytest.mark.parametrize("quantity", ["gold", "gold_on_the_way"])
@pytest.mark.parametrize(
    ("gap", "conclusion"),
    [
        (-1.0, "gold is lower with these changes: no critic. No change raises it. No diff"),
        (1.0, "no change lowers gold. It is higher with these: no critic. No difference"),
        (0.0, "no change lowers gold. No change raises it. No difference beyond the"),
    ],
)
def test_a_part_is_missed_only_beyond_the_noise(
    quantity: str, gap: float, conclusion: str, made: Made
):
    changed(made, of_studies.ABLATIONS, **{f"no_critic__{quantity}": gap})
    text, _ = of_studies.ablations_verdict()
    end, way = text.split(" On average over the whole training, ")
    if gap or quantity == "gold":
        assert conclusion in (end if quantity == "gold" else way)
    assert (way == "the same changes are told apart.") == (gap == 0.0)
    if gap:
        assert (way if quantity == "gold" else end).startswith(
            ("no change lowers gold. No change raises it.", "At the end, no change lowers gold. No")
        )


def test_where_everything_matters_nothing_else_is_said(made: Made):
    changed(made, of_studies.ABLATIONS, **{f"{name}__gold": -5.0 for name in of_studies.ABLATIONS
                                           if name != "eight_epochs_no_clip"},
            eight_epochs_no_clip__gold=-10.0)  # fmt: skip
    end = of_studies.ablations_verdict()[0].split(" On average")[0]
    assert "No difference" not in end
    assert end.endswith("8 epochs without clip. No change raises it.")


def test_a_difference_alone_is_noise_among_many(made: Made):
    """Holm: what is beyond the noise by itself need not be so as one of thirteen."""
    changed(made, of_studies.ABLATIONS, no_clip__gold=-0.06)
    gap = Interval.of(of_studies.ablation("no_clip", "gold"))
    assert not gap.has_zero
    assert of_studies.corrected({"no_clip": gap})["no_clip"] < 0.05
    text = of_studies.ablations_verdict()[0]
    assert text.startswith("At the end, no change lowers gold. No change raises it.")


def test_a_change_of_gold_counts_in_all_sentences_or_in_none(made: Made):
    """It is one of thirteen, also where three critics are spoken of."""
    changed(made, of_studies.ABLATIONS, critic_shared__gold=-0.06, critic_shared__false=0.2)
    kinds = ("critic_from_sft", "critic_detached", "critic_shared")
    gaps = {kind: Interval.of(of_studies.ablation(kind, "gold")) for kind in kinds}
    assert of_studies.corrected(gaps)["critic_shared"] < 0.05
    (mine,) = re.findall(r"trunk that does explains .*", of_studies.critic_verdict()[0])
    assert re.search(r"gold by −0\.06 ± 0\.\d\d, within the noise, and false answers by", mine)
    assert not mine.endswith("noise.")


@pytest.mark.parametrize(("gap", "sign"), [(0.5, "+0.50"), (0.0, "0.00"), (-0.5, "−0.50")])
@pytest.mark.parametrize("critic", ["critic_from_sft", "critic_detached", "critic_shared"])
def test_a_critic_is_judged_by_the_numbers(critic: str, gap: float, sign: str, made: Made):
    kinds = [name for name in of_studies.CRITICS if name != "ppo"]
    falses = 0.4 * gap
    changed(made, of_studies.ABLATIONS, **{f"{critic}__gold": gap, f"{critic}__false": falses})
    text, _ = of_studies.critic_verdict()
    assert "never less than 0.20 in any of these iterations on any seed" in text
    mine = text.split(". A ")[1 + kinds.index(critic)]
    percent = measured.number(100 * falses, 1)
    more = f"{'+' * (gap > 0)}{percent} ± "
    assert f"changes gold by {sign} ± 0.0" in mine
    assert f"false answers by {more}" in mine
    assert mine.count(", within the noise") == 2 * (gap == 0)
    assert text.count(", within the noise") == 4 + 2 * (gap == 0)


@pytest.mark.parametrize(("gap", "sign"), [(0.5, "+0.50"), (0.0, "0.00"), (-0.5, "−0.50")])
@pytest.mark.parametrize("mix", ["mix_practised", "mix_all"])
def test_a_mix_is_judged_by_the_numbers(mix: str, gap: float, sign: str, made: Made):
    gaps = {f"{mix}__gold": gap, f"{mix}__accuracy": gap}
    changed(made, of_studies.ABLATIONS, **gaps)
    text, leak = of_studies.mix_verdict()[0].split(" From the first mix to the second, ")
    percent = measured.number(100 * (gap if mix == "mix_all" else -gap), 1)
    assert leak.startswith(f"accuracy changes by {percent} ± ")
    assert leak.endswith(f"the change {'is' if gap else 'is not'} beyond the noise.")
    sentences = text.split(" Mixing in documents ")
    about = {"mix_practised": "about practised questions alone", "mix_all": "of the whole web"}
    (mine,) = (sentence for sentence in sentences if about[mix] in sentence)
    (other,) = (sentence for sentence in sentences if about[mix] not in sentence)
    assert f"changes gold by {sign} ± 0.0" in mine
    assert "accuracy among stated facts by" in mine
    assert mine.count(", within the noise") == 2 * (gap == 0)
    assert other.count(", within the noise") == 2


@pytest.mark.parametrize("rival", ["marked", "tenth"])
@pytest.mark.parametrize("temperature", ["1.0", "0.0"])
def test_curation_is_judged_share_by_share(rival: str, temperature: str, made: Made):
    gaps = dict(zip(of_studies.SHARES, (1.0, 0.0, -0.4), strict=True))
    values = {}
    for turn, (share, gap) in enumerate(gaps.items()):
        values[f"good_{share}"] = {
            f"{who}_{at}": around(1.5, turn + step)
            for step, who in enumerate(("ppo", "marked", "tenth"))
            for at in ("1.0", "0.0")
        } | {f"{rival}_{temperature}": around(1.5 - gap, turn + 3)}
    made("curation", values)
    text, _ = of_studies.curation_verdict()
    name = {"marked": "SFT on those marked good", "tenth": "SFT on the best tenth"}[rival]
    when = {"1.0": "at temperature 1", "0.0": "if both always take the likeliest word"}[temperature]
    percent = f"{SPACE}%"
    assert text == (
        f"PPO has more gold reward than {name}, where 5{percent} of the demonstrations are good, "
        f"{when}. PPO has less gold reward than {name}, where 70{percent} of the demonstrations "
        f"are good, {when}. In the other 10 of 12 comparisons the two are not told apart."
    )


def test_where_curation_and_comparisons_are_level_nothing_else_is_said(made: Made):
    level = {
        f"{who}_{at}": around(1.5, step)
        for step, who in enumerate(("ppo", "marked", "tenth"))
        for at in ("1.0", "0.0")
    }
    made("curation", {f"good_{share}": level for share in of_studies.SHARES})
    text, _ = of_studies.curation_verdict()
    assert text == "In each of the 12 comparisons the two are not told apart."


def test_eight_epochs_without_the_clip_are_compared_with_eight_epochs(made: Made):
    golds = {"ppo": 1.0, "no_clip": 3.0, "eight_epochs": 10.0, "eight_epochs_no_clip": 9.0}
    made("ablations", {setting: {"gold": [gold]} for setting, gold in golds.items()})
    assert of_studies.ablation("no_clip", "gold") == [2.0]
    assert of_studies.ablation("eight_epochs_no_clip", "gold") == [-1.0]


def test_a_unit_stands_once_behind_a_mean_with_its_interval():
    assert measured.within(Interval(1.5, 0.25, 0.0)) == "1.50 ± 0.25"
    assert measured.within(Interval(0.85, 0.02, 0.0), measured.share) == f"85 ± 2{SPACE}%"
    assert measured.within(Interval(30.2, 2.7, 0.0), measured.seconds) == f"30 ± 3{SPACE}s"
    points = measured.within(Interval(-0.025, 0.01, 0.0), of_studies.points)
    assert points == f"−2.5 ± 1.0{SPACE}percentage points"
