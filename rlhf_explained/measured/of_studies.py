"""The values that the studies give: means over seeds, with their intervals.

The sentences that compare settings are in `study_verdicts`. Several differences are corrected for
their number by Holm's procedure; what is left above 5 % is called noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import TypeVar

from rlhf_explained import studies
from rlhf_explained.measured.text import nats, number, points, seconds, share, within
from rlhf_explained.studies import Interval
from rlhf_explained.studies.intervals import holm


def study(name: str) -> studies.Results:
    """What a study measured, read once."""
    return _read(name, studies.results_file(name))


@cache
def _read(name: str, file: Path) -> studies.Results:
    """From this file; it is there for the cache."""
    return studies.stored(name)


METHODS = {
    "sft_1.0": "SFT",
    "sft_best": "SFT, colder",
    "sft_good": "SFT on good ones",
    "sft_best_tenth": "SFT on the best tenth",
    "rejection_sampling": "rejection sampling",
    "best_of_16": "best of 16",
    "dpo": "DPO",
    "grpo": "GRPO",
    "rloo": "RLOO",
    "ppo": "PPO",
    "ppo_no_kl": "PPO, no penalty",
}
"""What is compared. SFT at its best temperature is chosen for each seed by the evaluation itself,
which favours it."""
NEVER_MEASURED = {"sft_1.0": ("seconds",), "sft_best": ("seconds",), "best_of_16": ("gold_greedy",)}
"""A colder policy needs no training, and the best of several draws is not the most likely."""
COLDER = ("sft_1.0", "sft_0.7", "sft_0.5", "sft_0.3", "sft_0.0")
CURATED = ("sft_good", "sft_best_tenth")
GREEDY = (*CURATED, "rejection_sampling", "dpo", "grpo", "rloo")
"""What PPO is compared with where each always chooses the most likely word, too."""

CRITICS = {
    "ppo": "own, from the reward model",
    "critic_from_sft": "own, from SFT",
    "critic_detached": "shared trunk, detached",
    "critic_shared": "shared trunk",
}
# Of the study that takes a part out of PPO. The last is compared with the one before it.
ABLATIONS = {
    "critic_from_sft": "critic from SFT",
    "critic_detached": "detached critic on a shared trunk",
    "critic_shared": "critic on a shared trunk",
    "no_critic": "no critic",
    "lambda_1": "λ = 1",
    "no_clip": "no clip",
    "no_value_clip": "no value clip",
    "no_kl": "no KL penalty",
    "no_whitening": "no whitening",
    "mix_practised": "pretraining mix without answers",
    "mix_all": "pretraining mix with answers",
    "eight_epochs": "8 epochs instead of 2",
    "eight_epochs_no_clip": "8 epochs without clip",
}
SHORTCUTS = "base_likeliest", "sft_likeliest", "base_begun", "sft_begun", "sft_cut", "sft_dressed"
"""What needs no learning: the likeliest of 16 answers, priming with “sure !”, and two filters."""
# Of the study of rewards that a rule gives.
RULES = {
    "base": "the pretrained model",
    "sft": "the SFT model",
    "imitation": "imitation of the SFT model’s right answers",
    "correct": "a reward for content",
    "correct_kl": "a reward for content with the KL penalty",
    "form": "a reward for form",
    "form_kl": "a reward for form with the KL penalty",
    "both": "a reward for both",
    "form_tenfold": "a reward for both with form at ten times the weight",
    "base_correct": "a reward for content without SFT",
    "base_both": "a reward for both without SFT",
}
ATTEMPTED = (1, 2, 4, 8, 16, 32, 64)
SPEEDS = ("fast", "slow")
SHARES = ("0.05", "0.3", "0.7")
ALPHA = 0.05
NOISE = (
    "each ± is the 95 % interval of that difference alone; whether it counts is decided by paired "
    "p-values across the seeds, corrected by Holm, at 5 %"
)

Name = TypeVar("Name")
_Entry = Callable[[], tuple[str, str]]  # the value's text and what it is


def method(name: str, quantity: str) -> list[float]:
    """What a method reaches, by seed.

    Args:
        name: One of `METHODS`.
        quantity: What was measured.

    Returns:
        One number of each seed.
    """
    results = study("methods")
    if name != "sft_best":
        return results.values(name, quantity)
    golds = zip(*(results.values(setting, "gold") for setting in COLDER), strict=True)
    best = [COLDER[max(range(len(COLDER)), key=row.__getitem__)] for row in golds]
    kept = []
    for place, setting in enumerate(best):
        if setting == "sft_0.0" and quantity == "kl":  # it has none: take the coldest that has
            setting = "sft_0.3"
        kept.append(results.values(setting, quantity)[place])
    return kept


def ablation(setting: str, quantity: str) -> list[float]:
    """How much a change raises some quantity of PPO above PPO as shipped.

    Args:
        setting: One of `ABLATIONS`.
        quantity: What was measured.

    Returns:
        Each seed's difference. Eight epochs without the clip are compared with eight epochs, the
        others with PPO as shipped.
    """
    other = "eight_epochs" if setting == "eight_epochs_no_clip" else "ppo"
    values = (study("ablations").values(name, quantity) for name in (setting, other))
    return _paired(*values)


def _paired(ones: list[float], others: list[float]) -> list[float]:
    return [one - other for one, other in zip(ones, others, strict=True)]


def difference(ones: list[float], others: list[float]) -> Interval:
    """By how much the ones are above the others, seed by seed."""
    return Interval.of(_paired(ones, others))


def corrected(gaps: Mapping[Name, Interval]) -> dict[Name, Interval]:
    """Several differences, with p-values corrected for their number by Holm's procedure."""
    p_values = holm({str(name): gap.p for name, gap in gaps.items()})
    return {name: replace(gap, p=p_values[str(name)]) for name, gap in gaps.items()}


def leads() -> dict[str, Interval]:
    """By how much PPO's gold reward exceeds each other method's, seed by seed, corrected.

    Returns:
        One difference for each of `METHODS` but PPO; and for those of `GREEDY` another, after
        `greedy/`, where both always choose the most likely word.
    """
    pairs = {name: (name, "gold") for name in METHODS if name != "ppo"}
    pairs |= {f"greedy/{name}": (name, "gold_greedy") for name in GREEDY}
    return corrected(
        {key: difference(method("ppo", of), method(name, of)) for key, (name, of) in pairs.items()}
    )


def gold_changes(quantity: str = "gold") -> dict[str, Interval]:
    """Each change's difference in gold reward: one family, whichever sentence asks.

    Args:
        quantity: `gold` at the end, or `gold_on_the_way`.

    Returns:
        By the names of `ABLATIONS`, corrected.
    """
    changes = {setting: Interval.of(ablation(setting, quantity)) for setting in ABLATIONS}
    return corrected(changes)


def _mean(name: str, found: Interval, show: Callable[[float], str], about: str) -> tuple[str, str]:
    """A mean over a study's seeds; alone where every seed has the same, as a bound or a count."""
    text = within(found, show) if found.reach else show(found.mean)
    return text, f"{about}, mean of {study(name).origin}, 95 % interval"


def _of_study(name: str, setting: str, quantity: str) -> tuple[str, str]:
    found = study(name).interval(setting, quantity)
    return _mean(name, found, _SHOWN.get(quantity, number), f"{setting}: {quantity}")


def _of_method(name: str, quantity: str) -> tuple[str, str]:
    found, about = Interval.of(method(name, quantity)), f"{METHODS[name]}: {quantity}"
    return _mean("methods", found, _SHOWN.get(quantity, number), about)


def _of_change(setting: str) -> tuple[str, str]:
    found = Interval.of(ablation(setting, "gold"))
    return _mean("ablations", found, number, "change in gold reward")


def frontier_share(setting: str) -> tuple[str, str]:
    """The fraction of the highest reward at its KL that a method gains in the exact worlds."""
    found = (study("frontier").values(setting, quantity) for quantity in ("gained", "most"))
    shares = Interval.of([gained / most for gained, most in zip(*found, strict=True)])
    about = f"{setting}: fraction of the frontier's reward at the same KL"
    return _mean("frontier", shares, share, about)


def pass_at(setting: str, attempts: int) -> tuple[str, str]:
    """The share of questions with a right answer among so many attempts."""
    place, rows = ATTEMPTED.index(attempts), study("verifiable").rows
    attempted = (row["pass_at"] for row in rows if row["setting"] == setting)
    found = Interval.of([float(solved[place]) for solved in attempted])
    return _mean("verifiable", found, share, f"{RULES[setting]}: pass@{attempts}")


RULE_GAPS = {
    "content": (("correct", "right"), ("sft", "right")),
    "content-colder": (("correct", "right"), ("sft", "right_0.5")),
    "content-coldest": (("correct", "right"), ("sft", "right_0.0")),
    "content-imitation": (("correct", "right"), ("imitation", "right")),
    "content-kl": (("correct_kl", "right"), ("correct", "right")),
    "form": (("form", "accuracy"), ("sft", "accuracy")),
    "form-kl": (("form_kl", "accuracy"), ("form", "accuracy")),
    "both": (("both", "right"), ("correct", "right")),
    "tenfold": (("form_tenfold", "right"), ("both", "right")),
    "no-sft": (("base_correct", "right"), ("correct", "right")),
    "no-sft-both": (("base_both", "right"), ("base_correct", "right")),
}
"""What is compared of the rewards that a rule gives: a setting's share, and the other one."""
_MORE, _LESS = {"content", "form-kl", "no-sft"}, {"content-colder", "content-coldest", "form"}


def rule_gap(name: str) -> tuple[str, str]:
    """One of `RULE_GAPS` in percentage points; they are one family for Holm's procedure."""
    results = study("verifiable")
    gaps = corrected(
        {
            key: difference(results.values(*one), results.values(*other))
            for key, (one, other) in RULE_GAPS.items()
        }
    )
    counting = {key: gap.mean > 0 for key, gap in gaps.items() if gap.p <= ALPHA}
    assert counting == dict.fromkeys(_MORE, True) | dict.fromkeys(_LESS, False)
    gap = gaps[name]
    noise = ", which is within the noise" * (gap.p > ALPHA)
    about = " against ".join(f"{setting}: {what}" for setting, what in RULE_GAPS[name])
    text = f"{'+' * (gap.mean > 0)}{within(gap, points)}{noise}"
    return text, f"{about}; {results.origin}; {NOISE}"


DRIFT = {"before": "sft", "free": "correct", "held": "correct_kl", "pretrained": "base_correct"}
"""Settings by the name under which a page shows what became of a habit that no rule looks at."""


def extremes(setting: str, quantity: str) -> tuple[str, str]:
    """The lowest and the highest value that a rule led to on any seed."""
    results = study("verifiable")
    found, show = results.values(setting, quantity), _SHOWN.get(quantity, number)
    about = f"{RULES[setting]}: {quantity}, lowest and highest of {results.origin}"
    return f"{show(min(found))} to {show(max(found))}", about


def _count(value: float) -> str:
    return f"{value:,.0f}"


_SHOWN: dict[str, Callable[[float], str]] = {
    **dict.fromkeys(("kl", "stop_kl", "end_kl"), nats),
    **dict.fromkeys(("helpful", "false", "courteous", "accuracy"), share),
    **dict.fromkeys(("gold_accuracy", "hard_negative_accuracy"), share),
    **dict.fromkeys(("right", "right_0.5", "right_0.0", "form", "aside", "practised"), share),
    **dict.fromkeys(("labels", "good"), _count),
    "seconds": seconds,
}
"""How a quantity is written; others are plain numbers."""

_LEARNERS = ("sft", "marked", "tenth", "dpo", "ppo", "marked_plain", "ppo_plain")
_QUOTED = {
    "shortcuts": (
        [f"{name}_1.0" for name in SHORTCUTS]
        + [f"{name}_{at}" for name in SHORTCUTS[2:] for at in ("0.5", "0.0")],
        ["gold", "helpful"],
    ),
    "ablations": (["ppo", *ABLATIONS], ["late_explained_variance"]),
    "early_stopping": (
        [f"{speed}_{kind}" for speed in SPEEDS for kind in ("held", "free")],
        ["stop_gold", "stop_kl", "end_gold", "end_kl"],
    ),
    "curation": (
        [f"good_{good}" for good in SHARES],
        ["good", *(f"{who}_{at}" for who in _LEARNERS for at in ("1.0", "0.0"))],
    ),
    "verifiable": (
        list(RULES),
        ["right", "right_0.5", "right_0.0", "form", "accuracy", "aside", "gold", "practised"],
    ),
    "reward_data": (
        [f"careful_{pairs}" for pairs in (50, 6400, 12800)]
        + ["distracted_6400", "hesitant_6400", "one_pass_12800"],
        ["accuracy", "gold_accuracy", "best_of_16", "hard_negative_accuracy"],
    ),
    "second_round": (
        [f"{judge}{price}" for judge in ("first", "of_sft", "of_ppo") for price in ("", "_no_kl")]
        + ["twice_the_penalty"],
        ["gold", "kl", "helpful", "false", "courteous", "accuracy", "hard_negative_accuracy"],
    ),
}
"""Of each study the settings, and the quantities of each, that have a name."""
_OF_METHODS = (
    *("gold", "gold_greedy", "gold_stderr", "proxy", "kl"),
    *("helpful", "false", "accuracy", "seconds", "labels"),
)


def _named(*parts: str) -> str:
    return "-".join(parts).replace("_", "-").replace(".", "-")


VALUES: dict[str, _Entry] = {
    _named("frontier", setting): partial(frontier_share, setting)
    for setting in ("ppo", "group", "dpo", "grpo", "grpo_no_std", "ratio_k3", "k2")
}
VALUES |= {f"rules-{name}": partial(rule_gap, name) for name in RULE_GAPS}
VALUES |= {
    _named("drift", name, quantity): partial(extremes, setting, quantity)
    for name, setting in DRIFT.items()
    for quantity in ("aside", "gold")
}
VALUES |= {
    _named("pass-at", str(attempts), setting): partial(pass_at, setting, attempts)
    for attempts, setting in product((1, 64), ("base", "sft", "correct", "base_correct"))
}
VALUES |= {_named("ablations", setting): partial(_of_change, setting) for setting in ABLATIONS}
VALUES |= {
    _named("methods", name.removesuffix("_1.0"), quantity): partial(_of_method, name, quantity)
    for name, quantity in product(METHODS, _OF_METHODS)
    if quantity not in NEVER_MEASURED.get(name, ())
}
VALUES |= {
    _named(name, setting.removeprefix("good_"), quantity.removeprefix("late_")): partial(
        _of_study, name, setting, quantity
    )
    for name, (settings, quantities) in _QUOTED.items()
    for setting, quantity in product(settings, quantities)
}
