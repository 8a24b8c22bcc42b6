"""The measured values: their digits, and conclusions that follow the numbers either way."""

from __future__ import annotations

import json
import math
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from made_up_run import CURVES, Curve, made_up_run

from rlhf_explained import measured, pipeline
from rlhf_explained.measured import of_studies
from rlhf_explained.measured.verdicts import smoothed
from rlhf_explained.pipeline import Run
from rlhf_explained.studies import STUDIES, Interval, Results, stored

SPACE = "\N{NO-BREAK SPACE}"
VERDICTS = ("early-stopping-verdict", "hack-verdict", "length-verdict", "reward-rise-verdict")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return made_up_run(tmp_path_factory.mktemp("run"), seed=3)


def told(name: str, folder: Path, **changes) -> str:
    return measured.value(name, made_up_run(folder, **changes)).text


def shape(thing: object) -> object:
    """What kind of thing it is: the keys of what has keys, the first of a list."""
    if isinstance(thing, dict):
        return {key: shape(inner) for key, inner in thing.items()}
    if isinstance(thing, list):
        return [shape(thing[0])]
    return type(thing)


def test_the_made_up_run_is_shaped_like_a_real_one(run: Run):
    real = pipeline.run(pipeline.RunConfig())
    for name in ("report.json", "responses.json"):
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
        ("base-helpful", f"23{SPACE}%"),
        ("ppo-gold", "1.18"),
        ("base-gold", "−0.60"),
        ("ppo-no-kl-off-topic", f"1{SPACE}%"),
        ("ppo-no-kl-kl", f"3.10{SPACE}nats"),
        ("sft-length", f"9.0{SPACE}tokens"),
        ("parameters", "117,312"),
        ("vocabulary", "203"),
        ("kl-coef", "0.1"),
        ("rm-accuracy", f"87{SPACE}%"),
        ("rm-ceiling", f"92{SPACE}%"),
        ("seconds-total", f"65{SPACE}s"),
        ("seconds-sft", f"1.4{SPACE}s"),
        ("sft-loss-floor", f"0.84{SPACE}nats"),
        ("heldout-questions", "26"),
        ("run-seed", "3"),
    ],
)
def test_values_are_written_with_their_units(name: str, text: str, run: Run):
    assert measured.value(name, run).text == text


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


def test_values_need_neither_torch_nor_matplotlib(run: Run):
    code = (
        "import sys; from pathlib import Path; from rlhf_explained import measured\n"
        "from rlhf_explained.pipeline import Run, RunConfig\n"
        "run = Run(RunConfig(), 'made-up', Path(sys.argv[1]))\n"
        "for name in measured.names(): measured.value(name, run)\n"
        "sys.exit(bool({'torch', 'matplotlib', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code, str(run.folder)]).returncode == 0


def test_smoothing_is_the_mean_of_the_neighbours():
    assert smoothed([1.0, 2.0, 6.0, 8.0], window=3) == [1.0, 3.0, 16 / 3, 8.0]
    assert smoothed([7.0] * 9) == [7.0] * 9
    assert smoothed([1.0, 2.0, 3.0, 4.0, 5.0]) == [
        1.0,
        2.0,
        3.0,
        4.0,
        5.0,
    ]  # no bias at the ends
    assert smoothed([]) == []


# Conclusions


def stories(held: Curve, **free: Curve) -> dict[str, dict[str, Curve]]:
    """The penalised run's gold and what differs in the other one."""
    return {"ppo": CURVES["ppo"] | {"gold": held}, "ppo_no_kl": CURVES["ppo_no_kl"] | free}


def hump(t: float) -> float:
    """Gold that rises to 1.1 half way and falls to where it began."""
    return 0.3 + 0.8 * 4 * t * (1 - t)


@pytest.mark.parametrize(
    ("end", "conclusion"),
    [
        (2.0, "the penalty beats stopping early, by 0.90"),
        (1.1, "within the noise: here, stopping at the right moment does as well as the penalty"),
        (0.4, "stopping at the right moment beats the penalty, by 0.70"),
    ],
)
def test_early_stopping_is_judged_by_the_numbers(end: float, conclusion: str, tmp_path: Path):
    curves = stories(lambda t: 0.3 + (end - 0.3) * min(1.0, 2 * t), gold=hump)
    text = told("early-stopping-verdict", tmp_path, curves=curves, noise=0.0)
    assert conclusion in text
    assert "never has that KL: it reaches 0.78" in text


@pytest.mark.parametrize(
    ("lead", "conclusion"),
    [(0.5, "more by 0.5"), (0.0, "no difference beyond the noise"), (-0.5, "less by 0.5")],
)
def test_runs_are_compared_at_equal_kl(lead: float, conclusion: str, tmp_path: Path):
    curves = stories(lambda t: hump(t) + lead, gold=hump)
    curves["ppo"]["kl"] = curves["ppo_no_kl"]["kl"]
    text = told("early-stopping-verdict", tmp_path, curves=curves, noise=0.005)
    assert "At the same KL the run with the penalty has" in text
    assert conclusion in text


def test_the_best_moment_is_where_gold_is_highest(tmp_path: Path):
    curves = stories(lambda t: 0.3, gold=hump)
    text = told("early-stopping-verdict", tmp_path, iterations=61, curves=curves, noise=0.0)
    assert "around iteration 31" in text
    at_best = CURVES["ppo_no_kl"]["kl"](0.5)
    assert f"at a KL of {at_best:.2f}" in text


def test_two_runs_of_one_policy_do_not_differ(tmp_path: Path):
    """The best of many noisy windows is chosen, and yet hardly ever called a difference."""
    flat = {"ppo": {"gold": lambda t: 1.0}, "ppo_no_kl": {"gold": lambda t: 1.0}}
    told_apart = 0
    for seed in range(100):
        # One response spreads by 0.03 · √1000, so the mean of a batch of 128 by this:
        noise = 0.03 * math.sqrt(1000 / 128)
        text = told(
            "early-stopping-verdict",
            tmp_path / str(seed),
            seed=seed,
            curves=flat,
            noise=noise,
            recorded=1,
        )
        told_apart += "within the noise" not in text
    assert told_apart <= 5


@pytest.mark.parametrize(
    ("free", "conclusion"),
    [
        ({"gold": hump, "proxy": lambda t: 2 * t}, "still rises, from 1.0"),
        ({"gold": hump, "proxy": lambda t: 1.0}, "stays where it is"),
        ({"gold": hump, "proxy": hump}, "falls too"),
        ({"gold": lambda t: t, "proxy": lambda t: 2 * t}, "No reward hacking to see here"),
    ],
)
def test_hacking_is_judged_by_the_numbers(free: dict[str, Curve], conclusion: str, tmp_path: Path):
    curves = stories(lambda t: t, **free)
    text = told("hack-verdict", tmp_path, curves=curves, noise=0.005)
    assert conclusion in text
    assert ("hacking" in text) == (conclusion.startswith(("still", "No")))


@pytest.mark.parametrize(
    ("lengths", "conclusion"),
    [
        ((12.0, 6.0), "12.0, longer by 3.0 ± 0.1; without it 6.0, shorter by 3.0 ± 0.1"),
        ((9.1, 12.0), "9.1, no change beyond the noise; without it 12.0, longer by 3.0 ± 0.1"),
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
    [(0.1, "changes by 0.1000 a time"), (0.0, "no rise to see"), (-0.1, "no rise to see")],
)
def test_a_rise_is_held_against_the_noise(slope: float, conclusion: str, tmp_path: Path):
    """A batch of 128 has a mean with √(1000 / 128) times the error of the exam's 1,000 answers."""
    curves = {"ppo": CURVES["ppo"] | {"proxy": lambda t: 60 * slope * t}}
    run = made_up_run(tmp_path, iterations=61, noise=0.0, curves=curves)
    text = measured.value("reward-rise-verdict", run).text
    assert conclusion in text
    error = run.evaluation["sft"]["stderr"]["proxy"] * math.sqrt(1000 / 128)
    assert f"a batch's mean is {error:.3f}" in text
    apart = f"iterations that lie {math.ceil(2 * math.sqrt(2) * error / 0.1)} apart"
    assert (apart in text) == (slope > 0)


@pytest.mark.parametrize("name", VERDICTS)
def test_a_verdict_is_whole_sentences(name: str, run: Run):
    assert re.fullmatch(r"([A-Z].*\. )*[A-Z].*\.", measured.value(name, run).text)


# What is said of the methods


def compared(monkeypatch: pytest.MonkeyPatch, **golds: list[float]) -> str:
    """The verdict on made-up methods, of which those that are not named have 1.0 and a little."""
    usual = {method: [1.0, 1.01, 0.99] for method in of_studies.METHODS} | {"sft": [0.0, 0.1, 0.2]}
    rows = [
        {"setting": method, "seed": seed, "gold": gold}
        for method, values in (usual | golds).items()
        for seed, gold in enumerate(values)
    ]
    results = Results("methods", "2026-01-01", "", {}, rows)
    monkeypatch.setattr(of_studies, "stored", lambda name: results)
    text, _ = of_studies.methods_verdict()
    return text


def test_the_verdict_says_who_is_above_sft_on_every_seed(monkeypatch: pytest.MonkeyPatch):
    text = compared(monkeypatch, ppo_no_kl=[-1.0, 0.05, 0.3])
    assert "best of 16, DPO, GRPO, RLOO and PPO end above SFT" in text
    assert "PPO, no penalty does so on 1 of 3 seeds." in text


def test_the_verdict_names_one_best_only_beyond_the_noise(monkeypatch: pytest.MonkeyPatch):
    alone = compared(monkeypatch, dpo=[2.0, 2.01, 1.99])
    assert alone.endswith("DPO has the most, beyond the noise.")
    close = compared(monkeypatch, dpo=[2.0, 2.01, 1.99], rloo=[2.5, 1.5, 1.6])
    assert close.endswith("DPO has the most; its lead over RLOO is within the noise.")


@pytest.mark.parametrize(
    ("gap", "conclusion"),
    [
        (-1.0, "less gold reward with no critic; more with none;"),
        (1.0, "less gold reward with none; more with no critic;"),
        (0.0, "less gold reward with none; more with none; and no difference beyond the noise"),
    ],
)
def test_a_part_is_missed_only_beyond_the_noise(
    gap: float, conclusion: str, monkeypatch: pytest.MonkeyPatch
):
    rows = [
        {"setting": setting, "seed": seed, "gold": gold, "gold_on_the_way": gold}
        for setting in ("ppo", *of_studies.ABLATIONS)
        for seed in range(3)
        for gold in [seed + (seed - 1) * 0.1 * (setting != "ppo") + gap * (setting == "no_critic")]
    ]
    results = Results("ablations", "2026-01-01", "", {}, rows)
    monkeypatch.setattr(of_studies, "stored", lambda name: results)
    text, _ = of_studies.ablations_verdict()
    assert text.count(conclusion) == 2


def test_eight_epochs_without_the_clip_are_compared_with_eight_epochs(
    monkeypatch: pytest.MonkeyPatch,
):
    golds = {"ppo": 1.0, "no_clip": 3.0, "eight_epochs": 10.0, "eight_epochs_no_clip": 9.0}
    rows = [{"setting": setting, "seed": 0, "gold": gold} for setting, gold in golds.items()]
    results = Results("ablations", "2026-01-01", "", {}, rows)
    monkeypatch.setattr(of_studies, "stored", lambda name: results)
    assert of_studies.ablation("no_clip", "gold") == [2.0]
    assert of_studies.ablation("eight_epochs_no_clip", "gold") == [-1.0]


def test_a_unit_stands_once_behind_a_mean_with_its_interval():
    assert measured.within(Interval(1.5, 0.25)) == "1.50 ± 0.25"
    assert measured.within(Interval(0.85, 0.02), measured.share) == "85 ± 2\N{NO-BREAK SPACE}%"
