"""The measured values: their digits, and conclusions that follow the numbers either way."""

from __future__ import annotations

import json
import math
import random
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
from made_up_run import Curve, made_up_run

from rlhf_explained import measured, pipeline
from rlhf_explained.measured import of_studies, study_verdicts, verdicts
from rlhf_explained.measured.text import number, points, seconds
from rlhf_explained.pipeline import Run
from rlhf_explained.studies import STUDIES, Interval, Results, stored
from rlhf_explained.studies.intervals import holm
from rlhf_explained.world import corpus

SPACE = "\N{NO-BREAK SPACE}"
VERDICTS = tuple(name for name in measured.names() if name.endswith("-verdict"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return made_up_run(tmp_path_factory.mktemp("run"), seed=3)


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


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return made_up_run(tmp_path_factory.mktemp("short"), iterations=2, noise=0.0)


@pytest.fixture(scope="module")
def origins() -> set[str]:
    return {f"5 seeds · {stored(study).date}" for study in STUDIES}


@pytest.mark.parametrize("name", measured.names())
def test_every_value_has_a_text_and_names_its_run(
    name: str, run: Run, short: Run, origins: set[str]
):
    found = measured.value(name, run)
    assert found.text
    assert "nan" not in found.text
    assert found.note.endswith("seed 3") or any(origin in found.note for origin in origins)
    assert measured.value(name, short).text


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
        ("ppo-courteous", f"64{SPACE}%"),
        ("ppo-courteous-helpful-share", f"100{SPACE}%"),
        ("ppo-courteous-false-share", f"0{SPACE}%"),
        ("ppo-courteous-false-proxy", "undefined"),
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
    for where in ("chosen", "rejected"):
        counted = [50, 25] if where == side else [0, 0]
        for what, percent in zip(("state", "ask"), counted, strict=True):
            name = f"pairs-rejected-{what}-heldout".replace("rejected-" * (where == "chosen"), "")
            assert measured.value(name, run).text == f"{percent}{SPACE}%"


def test_a_share_is_0_or_100_only_if_it_is():
    values = 0.0, 0.004, 0.26, 0.994, 1.0, -0.003, -0.26, 1e-5
    texts = "0", "0.4", "26", "99.4", "100", "−0.3", "−26", f"<{SPACE}0.1"
    assert [measured.share(value) for value in values] == [f"{text}{SPACE}%" for text in texts]


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
    text = measured.filled("{ppo-gold} of {sft-gold}", run)
    after, before = (measured.value(name, run).text for name in ("ppo-gold", "sft-gold"))
    assert text == f"{after} of {before}"
    with pytest.raises(ValueError, match="ppo-gold"):
        measured.filled("{ppo-gld}", run)


def test_values_and_tables_need_neither_torch_nor_matplotlib(run: Run):
    code = (
        "import sys; from pathlib import Path; from rlhf_explained import figures, measured\n"
        "from rlhf_explained.pipeline import Run, RunConfig\n"
        "run = Run(RunConfig(), 'made-up', Path(sys.argv[1]))\n"
        "for name in measured.names(): measured.value(name, run)\n"
        "for figure in figures.FIGURES.values(): figure.tables(run)\n"
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


# Conclusions of the run


@pytest.mark.parametrize("name", VERDICTS)
def test_a_verdict_is_whole_sentences(name: str, run: Run):
    text = measured.value(name, run).text
    assert re.fullmatch(r"([A-Z].*[^ ]\. )*[A-Z].*[^ ]\.", text)
    assert "  " not in text
    assert not re.search(r"\bnone\b|, ,|: [.;]|\(\)", text)


def give(run: Run, policy: str, temperature: str = "1.0", **quantities: float) -> None:
    """Change all that a run holds of an exam."""
    run.temperatures[policy][temperature].update(quantities)
    if temperature == "1.0":
        run.evaluation[policy].update(quantities)


@pytest.mark.parametrize(
    ("gap", "conclusion"),
    [
        (1.0, "which is 1.00 ± 0.07 higher."),
        (0.1, "a difference within the noise."),
        (-0.4, "which is 0.40 ± 0.07 lower."),
    ],
)
def test_ppo_is_held_against_sft_at_its_best_temperature_and_greedy(
    gap: float, conclusion: str, tmp_path: Path
):
    run = made_up_run(tmp_path)
    for temperature, gold in zip(run.temperatures["sft"], (0.2, 0.4, 0.5, 0.3, 0.1), strict=True):
        give(run, "sft", temperature, gold=gold)
    give(run, "ppo", gold=0.5 + gap)
    give(run, "ppo", "0.0", gold=0.1 + gap)
    text = measured.value("temperature-verdict", run).text
    assert "SFT does best at 0.5, with a gold reward of 0.50." in text
    assert f"PPO reaches {number(0.5 + gap)} at temperature 1, {conclusion}" in text
    assert f"SFT reaches 0.10 and PPO {number(0.1 + gap)}, {conclusion}" in text


def test_a_difference_that_the_shown_numbers_do_not_give_is_named_one(tmp_path: Path):
    run = made_up_run(tmp_path)
    for temperature in run.temperatures["sft"]:
        give(run, "sft", temperature, gold=-0.106)
    give(run, "ppo", gold=2.368)  # 2.37 and 0.11 would be 2.48
    give(run, "ppo", "0.0", gold=2.37)
    text = measured.value("temperature-verdict", run).text
    assert (
        "PPO reaches 2.37 at temperature 1, which is 2.47 ± 0.07 higher (before rounding)" in text
    )
    assert "PPO 2.37, which is 2.48 ± 0.07 higher." in text
    run.win_rates["ppo_no_kl"]["labeler"]["mean"] = 0.584
    run.win_rates["ppo_no_kl"]["reward_model"]["mean"] = 0.866
    text = measured.value("win-rate-verdict", run).text
    assert "by 28 percentage points (before rounding)" in text


@pytest.mark.parametrize(
    ("gold", "said"), [(9.0, "better than usual"), (-9.0, "worse than usual"), (None, "about as")]
)
def test_a_run_is_held_against_those_of_the_study(gold: float | None, said: str, tmp_path: Path):
    run = made_up_run(tmp_path)
    usual = stored("second_round").interval("first_no_kl", "gold").mean
    give(run, "ppo_no_kl", gold=usual if gold is None else gold)
    assert said in measured.value("usual-verdict", run).text


def test_a_kl_is_also_told_as_a_factor(tmp_path: Path):
    run = made_up_run(tmp_path)
    for kl, said in ((math.log(2413), "2,400"), (math.log(4.23), "4.2")):
        give(run, "ppo_no_kl", kl=kl)
        assert measured.value("ppo-no-kl-kl-times", run).text == said


@pytest.mark.parametrize(
    ("judge", "conclusion"),
    [
        (
            0.9,
            f"the reward model does so in 90{SPACE}%: the reward model overrates the policy by 20",
        ),
        (0.7, f"the reward model does so in 70{SPACE}%: this single run shows no clear"),
        (
            0.5,
            f"the reward model does so in 50{SPACE}%: the reward model underrates the policy by 20",
        ),
    ],
)
@pytest.mark.parametrize("policy", ["ppo", "ppo_no_kl"])
def test_judges_are_compared(policy: str, judge: float, conclusion: str, tmp_path: Path):
    run = made_up_run(tmp_path)
    run.win_rates[policy]["labeler"]["mean"] = 0.7
    run.win_rates[policy]["reward_model"]["mean"] = judge
    start = f"The labeler prefers an answer from {verdicts.NAMES[policy]} to one from SFT in 70"
    text = measured.value("win-rate-verdict", run).text
    assert conclusion in text[text.index(start) :]


def hump(t: float) -> float:
    """Gold that rises to 1.1 half way and falls to where it began."""
    return 0.3 + 0.8 * 4 * t * (1 - t)


@pytest.mark.parametrize(
    ("free", "conclusion"),
    [
        (
            {"gold": hump, "proxy": lambda t: 2 * t},
            "still rises, from 1.00 to 2.00: this is reward hack",
        ),
        ({"gold": hump, "proxy": lambda t: 1.0}, "stays about the same (1.00, then 1.00): the"),
        ({"gold": hump, "proxy": hump}, "falls too, from 1.10 to 0.30: the policy gets worse"),
        (
            {"gold": lambda t: t, "proxy": lambda t: 2 * t},
            "ends at 1.00, and its highest value, 1.00",
        ),
        (
            {"gold": lambda t: 1.0 if 0.8 < t < 1 else 0.99 * t},
            "gold reward ends at 0.99, and its highest value, 1.00, exceeds that by no more",
        ),
    ],
)
def test_hacking_is_judged_at_the_checkpoints(
    free: dict[str, Curve], conclusion: str, tmp_path: Path
):
    run = made_up_run(tmp_path, noise=0.0, curves={"ppo_no_kl": free})
    text = measured.value("hack-verdict", run).text
    assert conclusion in text
    assert ("No reward hacking" in text) == ("ends at" in conclusion)
    assert ("After iteration 30, " in text) == (free["gold"] is hump)


@pytest.mark.parametrize(
    ("change", "conclusion"),
    [
        (0.01, "does not see that the fact is false"),
        (2.0, "prefers the false fact"),
        (-2.0, "notices some of the harm"),
    ],
)
def test_what_a_false_fact_does_to_the_score_is_read_off_the_answers(
    change: float, conclusion: str, tmp_path: Path
):
    run = made_up_run(tmp_path, noise=0.0)
    first, second = {"gold": 2.0, "proxy": 3.0}, {"gold": -0.5, "proxy": 3.0 + change}
    given = [
        {"prompt": f"{prompt} ?", "response": f"{prompt} is {word} .", "category": category}
        | values
        for prompt in ("a", "b", "c")
        for word, category, values in (
            ("right", "helpful", first),
            ("wrong", "false", second | {"proxy": second["proxy"] + 0.1 * (prompt == "a")}),
            ("so wrong", "false", {"gold": 9.0, "proxy": 9.0}),  # two words changed
        )
    ]
    other = [{**one, "prompt": "d ?", "gold": 9.0} for one in given]  # of a policy that was judged
    answers = {"base": given[:2], "sft": given[2:], "ppo": other}
    (tmp_path / "responses.json").write_text(json.dumps(answers))
    text = measured.value("blind-verdict", pipeline.Run(run.config, "key", tmp_path)).text
    assert "the gold reward by −2.50" in text
    assert conclusion in text


def test_the_changes_are_made_of_the_worlds_own_words():
    ours = verdicts.OPENER, verdicts.CLOSER, verdicts.ASIDE
    assert ours == (f"{corpus.OPENER} ", f" {corpus.CLOSER}", corpus.ASIDE)


def test_noise_is_hardly_ever_called_hacking(tmp_path: Path):
    """The best of many looks is chosen, and yet its lead is hardly ever called a difference."""
    run, chance, called = made_up_run(tmp_path), random.Random(0), 0
    for _ in range(200):
        for look in run.checkpoints["ppo_no_kl"]:
            look["gold"] = 1 + chance.gauss(0, look["stderr"]["gold"])
        called += "No reward hacking" not in measured.value("hack-verdict", run).text
    assert called <= 0.05 * 200


@pytest.mark.parametrize(
    ("lengths", "conclusions"),
    [
        ((18.0, 12.0), ("18.0, which is 3.0 ± 0.4 more", "12.0, which is 3.0 ± 0.4 fewer")),
        ((15.1, 18.0), ("15.1, a difference within the noise", "18.0, which is 3.0 ± 0.4 more")),
        ((12.0, 15.1), ("12.0, which is 3.0 ± 0.4 fewer", "15.1, a difference within the noise")),
    ],
)
def test_length_is_judged_by_the_numbers(
    lengths: tuple[float, float], conclusions: tuple[str, str], tmp_path: Path
):
    curves = {
        policy: {"length": lambda t, end=end: end}
        for policy, end in zip(("ppo", "ppo_no_kl"), lengths, strict=True)
    }
    run = made_up_run(tmp_path, curves=curves)
    held, free = conclusions
    said = f"with the penalty, a response has {held}. After PPO without the penalty, it has {free}."
    assert said in measured.value("length-verdict", run).text


@pytest.mark.parametrize("slope", [2.0, -2.0, 0.0])
def test_score_and_length_correlate_as_they_do(slope: float, tmp_path: Path):
    run, chance = made_up_run(tmp_path), random.Random(0)
    for response in run.responses["sft"]:
        noise = 0.0 if slope else chance.gauss(0, 1)
        response["length"] = chance.randint(3, 20)
        response["proxy"] = slope * response["length"] + noise
    found = float(measured.value("score-length-correlation", run).text.replace("−", "-"))
    assert found == pytest.approx(slope / 2, abs=0.1)  # 0.03 is a standard error at slope 0


@pytest.mark.parametrize(
    ("slope", "conclusion"),
    [
        (0.5, "From one iteration to the next, the rise exceeds the noise."),
        (0.1, "To see the rise, compare iterations that are 3 apart."),
        (0.0, "No rise is visible."),
        (-0.1, "No rise is visible."),
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


def of(study: str, setting: str, quantity: str = "gold") -> float:
    return fmean(stored(study).values(setting, quantity))


def is_said(text: str, name: str, lead: float) -> bool:
    """Whether a text says by how much PPO is above a method, surely or within the noise."""
    words, size = re.escape(study_verdicts.IN_WORDS[name]), re.escape(number(lead))
    return bool(re.search(rf"{words} (by |\(){size} ± ", text))


def test_ppo_is_held_against_each_method_and_greedily_against_trained_ones():
    said, gaps = study_verdicts.methods_told(), of_studies.leads()
    greedy = said.pop("greedy")
    warm = " ".join(said.values())
    for name in of_studies.METHODS.keys() - {"ppo", "ppo_no_kl"}:
        lead = of("methods", "ppo") - fmean(of_studies.method(name, "gold"))
        assert gaps[name].mean == pytest.approx(lead)
        assert is_said(warm, name, lead)
    for name in of_studies.GREEDY:
        lead = of("methods", "ppo", "gold_greedy") - of("methods", name, "gold_greedy")
        assert is_said(greedy, name, lead)
    assert gaps.keys() == of_studies.METHODS.keys() - {"ppo"} | {
        f"greedy/{name}" for name in of_studies.GREEDY
    }


def test_comparisons_are_held_against_curation_with_their_numbers():
    text, gaps = study_verdicts.curation_verdict()[0], study_verdicts.curation_gaps()
    sure = [case for case, gap in gaps.items() if gap.p <= of_studies.ALPHA]
    assert f"Only {len(sure)} of these {len(gaps)} differences" in text
    for learner, rival, good, at in sure:
        setting = f"good_{good}"
        gap = of("curation", setting, f"{learner}_{at}") - of("curation", setting, f"{rival}_{at}")
        place = "above" if gap > 0 else "below"
        said = rf"{learner.upper()} (is )?{number(abs(gap))} ± \S+ (and DPO \S+ ± \S+ )?{place}"
        assert re.search(said, text)


def test_a_second_round_is_held_against_the_first_and_against_more_data():
    text = " ".join(study_verdicts.second_round_told().values())
    cases = {
        (quantity, f"of_ppo{price}", f"{rival}{price}")
        for quantity in ("accuracy", "gold", "false")
        for price in ("", "_no_kl")
        for rival in ("first", "of_sft")
    }
    assert study_verdicts.second_round_gaps().keys() == cases
    better = of("second_round", "of_ppo", "accuracy") - of("second_round", "of_sft", "accuracy")
    assert f"right {number(100 * better, 1)} ± " in text
    golds = [number(of("second_round", name, "gold")) for name in ("of_ppo", "first", "of_sft")]
    assert "gold reward of {}. It was {} with the first judge and {} with".format(*golds) in text
    free = [number(of("second_round", f"{name}_no_kl", "gold")) for name in ("first", "of_ppo")]
    assert "gold reward is {} with the first judge and {} after the".format(*free) in text


def test_the_frontiers_shares_stand_in_their_order():
    texts = [of_studies.frontier_share(name)[0] for name in ("group", "ratio_k3", "grpo")]
    most, between, least = (float(text.split()[0]) for text in texts)
    assert least < 95 < between < most <= 100


def test_ppo_is_held_against_what_needs_no_learning():
    said = study_verdicts.shortcuts_told()
    for part, at, gold in (("warm", "1.0", "gold"), ("greedy", "0.0", "gold_greedy")):
        leads = {
            name: of("methods", "ppo", gold) - of("shortcuts", f"{name}_{at}")
            for name in of_studies.SHORTCUTS
            if at == "1.0" or not name.endswith("likeliest")  # of several; greedily there is one
        }
        assert min(leads, key=leads.__getitem__) == "sft_dressed"
        assert f" {number(abs(leads['sft_dressed']))} ± " in said[part]
        assert (leads["sft_dressed"] < 0) == ("trails the polite filter" in said[part])


def test_early_stopping_is_told_with_its_numbers():
    said = study_verdicts.early_stopping_told()
    for speed, rate in (("fast", "0.001"), ("slow", "0.0002")):
        stop, kl, end = (
            number(of("early_stopping", f"{speed}_{what}"[: -len(quantity) - 1], quantity))
            for what, quantity in (
                ("free_stop_gold", "stop_gold"),
                ("free_stop_kl", "stop_kl"),
                ("held_end_gold", "end_gold"),
            )
        )
        text = said[speed]
        mine = f"rate of {rate}, the run without the penalty is stopped at a gold reward of {stop} "
        assert f"{mine}and a KL of {kl}{SPACE}nats; the run with the penalty ends at {end}" in text


def test_changes_of_gold_are_one_family_whichever_sentence_asks():
    for quantity in ("gold", "gold_on_the_way"):
        alone = {
            name: Interval.of(of_studies.ablation(name, quantity)) for name in of_studies.ABLATIONS
        }
        found = of_studies.gold_changes(quantity)
        assert {name: gap.p for name, gap in found.items()} == holm(
            {name: gap.p for name, gap in alone.items()}
        )
    sure = [name for name, gap in of_studies.gold_changes().items() if gap.p <= of_studies.ALPHA]
    lower, others = study_verdicts.ablations_verdict()[0].split("No change raises it.")
    same = others.split("Averaged over")[0]
    for name, words in study_verdicts.CHANGES.items():
        assert re.search(
            rf"(: |, |and ){re.escape(words)}(,|\.| and)", lower if name in sure else same
        )


def test_a_change_is_said_with_its_sign_and_its_noise():
    surely, hardly = Interval(0.5, 0.1, 0.001), Interval(-0.02, 0.05, 0.4)
    said = study_verdicts._changes(surely, "false answers", hardly)
    noise = f"has no clear effect on false answers (−2.0 ± 5.0{SPACE}percentage points)"
    assert said == f"raises gold reward by 0.50 ± 0.10 and {noise}"
    fallen = replace(surely, mean=-0.5)
    assert study_verdicts._changes(fallen, "x", surely) == (
        f"lowers gold reward by 0.50 ± 0.10 and raises x by 50.0 ± 10.0{SPACE}percentage points"
    )
    assert study_verdicts._changes(hardly, "x", hardly).startswith(
        "has no clear effect on gold reward (−0.02 ± 0.05) or x (−2.0 ± 5.0"
    )


def changes(text: str, name: str, gap: float, digits: int = 2) -> bool:
    """Whether a text says that a quantity is raised or lowered so far, or changed in the noise."""
    verb, others = ("raises", "lowers|has") if gap > 0 else ("lowers", "raises|has")
    surely = rf"{verb} ((?!{others}).)*{name} by {number(abs(gap), digits)} ± "
    return bool(re.search(rf"{surely}|{name} \(\+?{number(gap, digits)} ± ", text))


def test_critics_and_mixes_are_told_with_their_numbers():
    critics, mixes = (
        study_verdicts.critic_verdict()[0],
        " ".join(study_verdicts.mix_told().values()),
    )
    for name in ("critic_from_sft", "critic_detached", "critic_shared"):
        gold, false = (fmean(of_studies.ablation(name, quantity)) for quantity in ("gold", "false"))
        explained = number(of("ablations", name, "late_explained_variance"))
        said = re.search(rf"explains {explained} ± \S+ [^A].*?(?= A |$)", critics)
        assert said
        assert changes(said[0], "gold reward", gold)
        assert changes(said[0], "false answers", 100 * false, 1)
    least = min(stored("ablations").values("ppo", "least_explained_variance"))
    assert f"at least {number(least)} in each" in critics
    gaps = {
        name: fmean(of_studies.ablation(name, "accuracy")) for name in ("mix_practised", "mix_all")
    }
    for name, about in (
        ("mix_practised", "only documents about practised questions"),
        ("mix_all", "documents from the whole web"),
    ):
        said = re.search(rf"Mixing in {about} .*?(?= Mixing| With|$)", mixes)
        assert said
        assert changes(said[0], "stated facts", 100 * gaps[name], 1)
    leak = number(100 * (gaps["mix_all"] - gaps["mix_practised"]), 1)
    assert f"With the second mix, accuracy is {leak} ± " in mixes
    assert "points higher than with the first, which is more than the noise." in mixes


@pytest.mark.parametrize(
    "verdict",
    [
        *("methods-simpler", "best-of-16", "shortcuts-warm", "facts-study", "early-stopping-slow"),
        *("ablations", "mix-leak", "curation", "second-round-judge"),
    ],
)
@pytest.mark.parametrize("wrong", ["all is noise", "nothing is noise", "the signs are others"])
def test_a_sentence_is_said_only_while_it_is_so(
    verdict: str, wrong: str, monkeypatch: pytest.MonkeyPatch
):
    paired = of_studies._paired
    if wrong == "the signs are others":
        monkeypatch.setattr(of_studies, "_paired", lambda ones, others: paired(others, ones))
    else:
        monkeypatch.setattr(study_verdicts, "ALPHA", -1 if wrong == "all is noise" else 2)
    if (verdict, wrong) in STILL_SO:
        assert study_verdicts.VALUES[f"{verdict}-verdict"]()
    else:
        with pytest.raises(AssertionError):
            study_verdicts.VALUES[f"{verdict}-verdict"]()


STILL_SO = {
    ("shortcuts-warm", "nothing is noise"),
    ("facts-study", "all is noise"),
    ("facts-study", "the signs are others"),
    ("mix-leak", "nothing is noise"),
}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch):
    """Puts made-up results in the place of a study's."""

    def put(name: str, values: dict[str, dict[str, list[float]]]) -> None:
        rows = [
            {"setting": setting, "seed": seed, **dict(zip(quantities, row, strict=True))}
            for setting, quantities in values.items()
            for seed, row in enumerate(zip(*quantities.values(), strict=True))
        ]
        results = Results(name, "2026-01-01", "", {key: {} for key in values}, rows)
        monkeypatch.setattr(of_studies, "study", {name: results}.__getitem__)

    return put


def test_sft_is_taken_at_the_best_temperature_of_each_seed(made):
    golds = {name: [0.0, 0.0] for name in of_studies.COLDER}
    golds |= {"sft_0.7": [1.0, 0.0], "sft_0.0": [0.0, 2.0]}
    values = {
        name: {"gold": gold, "helpful": gold, "kl": [float(name.removeprefix("sft_"))] * 2}
        for name, gold in golds.items()
    }
    made("methods", values)
    assert of_studies.method("sft_best", "gold") == [1.0, 2.0]
    assert of_studies.method("sft_best", "helpful") == [1.0, 2.0]
    assert of_studies.method("sft_best", "kl") == [0.7, 0.3]  # a greedy policy has no KL


def test_eight_epochs_without_the_clip_are_compared_with_eight_epochs(made):
    golds = {"ppo": 1.0, "no_clip": 3.0, "eight_epochs": 10.0, "eight_epochs_no_clip": 9.0}
    made("ablations", {setting: {"gold": [gold]} for setting, gold in golds.items()})
    assert of_studies.ablation("no_clip", "gold") == [2.0]
    assert of_studies.ablation("eight_epochs_no_clip", "gold") == [-1.0]


def test_a_unit_stands_once_behind_a_mean_with_its_interval():
    for interval, show, text in (
        (Interval(1.5, 0.25, 0.0), number, "1.50 ± 0.25"),
        (Interval(0.85, 0.02, 0.0), measured.share, f"85 ± 2{SPACE}%"),
        (Interval(30.2, 2.7, 0.0), seconds, f"30 ± 3{SPACE}s"),
        (Interval(-0.025, 0.01, 0.0), points, f"−2.5 ± 1.0{SPACE}percentage points"),
    ):
        assert measured.within(interval, show) == text
