"""The values that the studies give: means over seeds, with their intervals.

Where a sentence compares several settings, the p-values of the paired differences over the seeds
are corrected for their number by Holm's procedure; what is left above 5 % is called noise. What a
sentence says besides its numbers is asserted: when the results say otherwise, rewrite it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache, partial
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import TypeVar

from rlhf_explained import studies
from rlhf_explained.measured.text import listed, nats, number, points, seconds, share, within
from rlhf_explained.studies import Interval
from rlhf_explained.studies.intervals import holm


def _stored(name: str) -> studies.Results:
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
IN_WORDS = METHODS | {
    "sft_best": "SFT at its best temperature",
    "sft_good": "SFT on the demonstrations marked good",
    "sft_best_tenth": "SFT on the tenth with the highest grades",
    "best_of_16": "best-of-16",
}
"""Methods as a sentence names them."""
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
CHANGES = {
    "critic_from_sft": "initialising the critic from the SFT model",
    "critic_detached": "a critic that reads the policy’s network without training it",
    "critic_shared": "a critic that also trains the policy’s network",
    "no_critic": "removing the critic",
    "lambda_1": "setting λ to 1",
    "no_clip": "removing the clip",
    "no_value_clip": "removing the value clip",
    "no_kl": "removing the KL penalty",
    "no_whitening": "not whitening the advantages",
    "mix_practised": "mixing in only documents about practised questions",
    "mix_all": "mixing in documents from the whole web",
    "eight_epochs": "training for eight epochs per batch instead of two",
    "eight_epochs_no_clip": "removing the clip when training for eight epochs",
}
"""The same, as a sentence names them."""
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

Name = TypeVar("Name")
_Entry = Callable[[], tuple[str, str]]  # the value's text and what it is
_NOISE = (
    "each ± is the 95 % interval of that difference alone; whether it counts is decided by paired "
    "p-values across the seeds, corrected by Holm, at 5 %"
)


def method(name: str, quantity: str) -> list[float]:
    """What a method reaches, by seed.

    Args:
        name: One of `METHODS`.
        quantity: What was measured.

    Returns:
        One number of each seed.
    """
    results = _stored("methods")
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
    values = (_stored("ablations").values(name, quantity) for name in (setting, other))
    return _paired(*values)


def _paired(ones: list[float], others: list[float]) -> list[float]:
    return [one - other for one, other in zip(ones, others, strict=True)]


def _gap(ones: list[float], others: list[float]) -> Interval:
    return Interval.of(_paired(ones, others))


def corrected(gaps: Mapping[Name, Interval]) -> dict[Name, Interval]:
    """Several differences, with p-values corrected for their number by Holm's procedure."""
    p_values = holm({str(name): gap.p for name, gap in gaps.items()})
    return {name: replace(gap, p=p_values[str(name)]) for name, gap in gaps.items()}


def _size(gap: Interval) -> Interval:
    return replace(gap, mean=abs(gap.mean))


def leads() -> dict[str, Interval]:
    """By how much PPO's gold reward exceeds each other method's, seed by seed, corrected.

    Returns:
        One difference for each of `METHODS` but PPO; and for those of `GREEDY` another, after
        `greedy/`, where both always choose the most likely word.
    """
    pairs = {name: (name, "gold") for name in METHODS if name != "ppo"}
    pairs |= {f"greedy/{name}": (name, "gold_greedy") for name in GREEDY}
    return corrected(
        {key: _gap(method("ppo", of), method(name, of)) for key, (name, of) in pairs.items()}
    )


def methods_told() -> dict[str, str]:
    """Does PPO beat imitation, the trivial rivals, and the other trained methods?"""
    gaps = leads()
    above = {name for name, gap in gaps.items() if gap.p <= ALPHA}
    assert above == {"sft_1.0", "sft_best", "dpo", "grpo", "ppo_no_kl"}
    assert all(gaps[name].mean > 0 for name in above)

    def beaten(*names: str) -> str:
        return listed([f"{IN_WORDS[name]} by {within(gaps[name])}" for name in names])

    def close(*names: str, at: str = "") -> str:
        return listed([f"{IN_WORDS[name]} ({within(gaps[at + name])})" for name in names])

    return {
        "imitation": f"In gold reward at temperature 1, PPO beats {beaten('sft_1.0', 'sft_best')}.",
        "simpler": "Four simpler methods do not differ clearly from PPO (in brackets: its "
        f"mean minus theirs): {close(*CURATED, 'rejection_sampling', 'best_of_16')}.",
        "greedy": "When all methods always choose the most likely word, PPO does not differ "
        f"clearly from {close(*GREEDY, at='greedy/')}.",
        "comparisons": "Among the methods that train on the comparisons, PPO beats "
        f"{beaten('dpo', 'grpo')}. It does not differ clearly from {close('rloo')}.",
    }


def best_of_16_verdict() -> tuple[str, str]:
    """Does best-of-16 score above PPO without losing gold reward?"""
    proxy, gold = (
        {name: method(name, of) for name in ("best_of_16", "ppo", "ppo_no_kl")}
        for of in ("proxy", "gold")
    )
    gaps = corrected(
        {
            "score": _gap(proxy["best_of_16"], proxy["ppo"]),
            "gold": _gap(gold["best_of_16"], gold["ppo"]),
            "hack": _gap(gold["ppo_no_kl"], gold["ppo"]),
        }
    )
    assert max(gaps["score"].p, gaps["hack"].p) <= ALPHA < gaps["gold"].p
    assert gaps["hack"].mean < 0 < gaps["score"].mean
    text = (
        f"Best-of-16 scores {number(fmean(proxy['best_of_16']))}, more than PPO’s "
        f"{number(fmean(proxy['ppo']))}, but their gold rewards do not clearly differ. PPO without "
        f"the penalty scores {number(fmean(proxy['ppo_no_kl']))}, and its gold reward is only "
        f"{number(fmean(gold['ppo_no_kl']))}."
    )
    return text, f"{_stored('methods').origin}; {_NOISE}"


def frontier_share(setting: str) -> tuple[str, str]:
    """The fraction of the highest reward at its KL that a method gains in the exact worlds."""
    results = _stored("frontier")
    found = (results.values(setting, quantity) for quantity in ("gained", "most"))
    shares = Interval.of([gained / most for gained, most in zip(*found, strict=True)])
    about = "fraction of the frontier's reward at the same KL"
    return within(shares, share), f"{setting}: {about}, mean of {results.origin}, 95 % interval"


def facts_verdict() -> tuple[str, str]:
    """Over the seeds, are fewer of the stated facts right after PPO than before it?"""
    before, after = (method(name, "accuracy") for name in ("sft_1.0", "ppo"))
    gap = _size(_gap(after, before))
    assert gap.p > ALPHA
    text = (
        f"Averaged over the seeds, {share(fmean(before))} of the facts stated by SFT at "
        f"temperature 1 are right, and {share(fmean(after))} of those stated by PPO. The "
        f"difference of {number(100 * gap.mean, 1)} ± {number(100 * gap.reach, 1)} percentage "
        "points is within the noise."
    )
    return text, f"{_stored('methods').origin}; 95 % interval of the paired difference"


SHORTCUTS = (
    *("base_likeliest", "sft_likeliest", "base_begun", "sft_begun"),
    *("sft_cut", "sft_dressed"),
)
"""What needs no learning: the likeliest of 16 answers, priming with “sure !”, and two filters."""


def shortcuts_told() -> dict[str, str]:
    """Is PPO above what needs no learning, at temperature 1 and greedily?"""
    results = _stored("shortcuts")
    ppo = {"1.0": method("ppo", "gold"), "0.0": method("ppo", "gold_greedy")}
    found = corrected(
        {
            (at, name): _gap(golds, results.values(f"{name}_{at}", "gold"))
            for at, golds in ppo.items()
            for name in SHORTCUTS
            if f"{name}_{at}" in results.config  # the most likely of several needs several
        }
    )
    assert all(gap.p <= ALPHA for gap in found.values())
    assert [key for key, gap in found.items() if gap.mean < 0] == [("0.0", "sft_dressed")]
    warm = {name: gap for (at, name), gap in found.items() if at == "1.0"}
    assert min(warm, key=lambda name: warm[name].mean) == "sft_dressed"
    return {
        "warm": "At temperature 1, PPO beats all of these shortcuts: the most likely of 16 "
        "answers, priming and both filters. Its smallest lead, over the polite filter, is "
        f"{within(warm['sft_dressed'])}.",
        "greedy": "If both always choose the most likely word, PPO beats priming and the plain "
        f"filter, but trails the polite filter by {within(_size(found['0.0', 'sft_dressed']))}.",
    }


def early_stopping_told() -> dict[str, str]:
    """Does the KL penalty end above the run without it, stopped at its best moment?"""
    results, gaps, text = _stored("early_stopping"), {}, {}
    for speed in SPEEDS:
        held, free = (
            results.values(f"{speed}_{setting}", f"{when}_gold")
            for setting, when in (("held", "end"), ("free", "stop"))
        )
        gaps[speed] = _gap(held, free)
    gaps = corrected(gaps)
    assert gaps["fast"].p <= ALPHA < gaps["slow"].p
    assert gaps["fast"].mean > 0
    said = {
        "fast": "The run with the penalty leads by {}, which is more than the noise.",
        "slow": "The difference in gold reward, {}, is within the noise.",
    }
    for speed, conclusion in said.items():
        rate = results.config[f"{speed}_free"]["learning_rate"]
        stop, spent, held, paid = (
            results.interval(f"{speed}_{kind}", f"{when}_{quantity}").mean
            for kind, when in (("free", "stop"), ("held", "end"))
            for quantity in ("gold", "kl")
        )
        text[speed] = (
            f"At a learning rate of {rate:g}, the run without the penalty is stopped at a gold "
            f"reward of {number(stop)} and a KL of {nats(spent)}; the run with the penalty ends at "
            f"{number(held)} and {nats(paid)}. {conclusion.format(within(gaps[speed]))}"
        )
    return text


def gold_changes(quantity: str = "gold") -> dict[str, Interval]:
    """Each change's difference in gold reward: one family, whichever sentence asks.

    Args:
        quantity: `gold` at the end, or `gold_on_the_way`.

    Returns:
        By the names of `ABLATIONS`, corrected.
    """
    changes = {setting: Interval.of(ablation(setting, quantity)) for setting in ABLATIONS}
    return corrected(changes)


def ablations_verdict() -> tuple[str, str]:
    """Which changes of PPO matter, at the end and on the way there?"""
    lower = {}
    for quantity in ("gold", "gold_on_the_way"):
        gaps = gold_changes(quantity)
        lower[quantity] = [name for name, gap in gaps.items() if gap.p <= ALPHA]
        assert 0 < len(lower[quantity]) < len(gaps)
        assert all(gaps[name].mean < 0 for name in lower[quantity])
    end, way = lower.values()
    assert set(way) < set(end)

    def named(settings: Iterable[str]) -> str:
        return listed([CHANGES[name] for name in settings])

    unclear = named(name for name in CHANGES if name not in end)
    only_at_the_end = named(name for name in end if name not in way)
    text = (
        f"At the end of training, these changes lower gold reward: {named(end)}. No change raises "
        f"it. The others show no clear effect: {unclear}. Averaged over the whole training, the "
        "same changes lower gold reward, except for these, whose effect is then within the noise: "
        f"{only_at_the_end}."
    )
    note = "against PPO as shipped, the last of all against 8 epochs with the clip"
    return text, f"{note}; {_stored('ablations').origin}; {_NOISE}"


def parts_verdict() -> tuple[str, str]:
    """What PPO loses without its critic, with GAE's λ at 1, and without the clip."""
    gaps = gold_changes()
    critic, far, clip, epochs = (
        gaps[name] for name in ("no_critic", "lambda_1", "no_clip", "eight_epochs_no_clip")
    )
    assert min(critic.p, far.p) > ALPHA >= max(clip.p, epochs.p)
    assert epochs.mean < clip.mean < 0
    text = (
        f"Without the critic, gold reward changes by {within(critic)}. With the critic but λ = 1, "
        f"so that GAE looks all the way ahead to the score, it changes by {within(far)}. Both "
        f"changes are within the noise. Without the clip, gold reward falls by "
        f"{within(_size(clip))}. With eight epochs per batch instead of two, removing the clip "
        f"lowers it by {within(_size(epochs))}."
    )
    return text, f"{_stored('ablations').origin}; {_NOISE}"


def _changes(gold: Interval, about: str, other: Interval) -> str:
    """What a change of PPO does to gold reward and to a share, as a sentence's predicate."""
    said: dict[str, list[str]] = {"lowers": [], "raises": [], "has no clear effect on": []}
    for name, gap, show in (("gold reward", gold, number), (about, other, points)):
        if gap.p > ALPHA:
            change = f"{'+' * (gap.mean > 0)}{within(gap, show)}"
            said["has no clear effect on"].append(f"{name} ({change})")
        else:
            verb = "raises" if gap.mean > 0 else "lowers"
            said[verb].append(f"{name} by {within(_size(gap), show)}")
    return listed(
        [
            f"{verb} {' or '.join(them) if verb.startswith('has') else listed(them)}"
            for verb, them in said.items()
            if them
        ]
    )


def critic_verdict() -> tuple[str, str]:
    """What each kind of critic explains, and its effect on gold reward and false answers."""
    results = _stored("ablations")
    kinds = {
        "critic_from_sft": "separate network initialised from the SFT model",
        "critic_detached": "critic that reads the policy’s network without training it",
        "critic_shared": "critic that also trains the policy’s network",
    }
    gold = gold_changes()
    false = corrected({name: Interval.of(ablation(name, "false")) for name in kinds})
    explained = {
        name: within(results.interval(name, "late_explained_variance")) for name in CRITICS
    }
    least = min(results.values("ppo", "least_explained_variance"))
    text = (
        "Over the last ten iterations, a separate critic network initialised from the reward model "
        f"explains {explained['ppo']} of the variance of the returns, and at least {number(least)} "
        "in each of these iterations on every seed. The others are compared with it."
    )
    for name, about in kinds.items():
        changes = _changes(gold[name], "the share of false answers", false[name])
        text += f" A {about} explains {explained[name]}. It {changes}."
    return text, f"{results.origin}; {_NOISE}"


def mix_told() -> dict[str, str]:
    """What pretraining's documents protect, with the evaluation's answers in them or not."""
    mixes = {
        "mix_practised": "only documents about practised questions",
        "mix_all": "documents from the whole web",
    }
    results, gold, text = _stored("ablations"), gold_changes(), {}
    gaps = {name: Interval.of(ablation(name, "accuracy")) for name in mixes}
    gaps["leak"] = _gap(
        *(results.values(name, "accuracy") for name in ("mix_all", "mix_practised"))
    )
    gaps = corrected(gaps)
    assert gaps["leak"].p <= ALPHA
    assert gaps["leak"].mean > 0
    for name, about in mixes.items():
        changes = _changes(gold[name], "the accuracy of stated facts", gaps[name])
        text[name.removeprefix("mix_")] = f"Mixing in {about} {changes}."
    text["leak"] = (
        f"With the second mix, accuracy is {within(gaps['leak'], points)} higher than with the "
        "first, which is more than the noise."
    )
    return text


def curation_gaps() -> dict[tuple[str, ...], Interval]:
    """What PPO and DPO earn above either kind of curation, as one family for Holm's procedure.

    Returns:
        By learner, rival, share of good demonstrations and temperature.
    """
    results = _stored("curation")
    gaps = {}
    for case in product(("ppo", "dpo"), ("marked", "tenth"), SHARES, ("1.0", "0.0")):
        learner, rival, good, at = case
        golds = (results.values(f"good_{good}", f"{who}_{at}") for who in (learner, rival))
        gaps[case] = _gap(*golds)
    return corrected(gaps)


def curation_verdict() -> tuple[str, str]:
    """Where do comparisons do better or worse than curation, by marks or by grades?"""
    gaps = curation_gaps()
    clear = {case: gap for case, gap in gaps.items() if gap.p <= ALPHA}
    few, most = ("marked", "0.05", "1.0"), ("marked", "0.7", "0.0")
    assert clear.keys() == {("ppo", *most), ("dpo", *most), ("dpo", *few)}
    ppo, dpo, lacking = clear["ppo", *most], clear["dpo", *most], clear["dpo", *few]
    assert lacking.mean < 0 < min(ppo.mean, dpo.mean)
    text = (
        "At each share we compared PPO and DPO with SFT on the marked demonstrations and with SFT "
        "on the best tenth, once at temperature 1 and once at temperature 0. Among so many "
        "differences some look large by chance. "
        f"Only {len(clear)} of these {len(gaps)} differences in gold reward exceed the noise when "
        "we allow for that. Where "
        f"{share(float(SHARES[-1]))} of the demonstrations are good, PPO is {within(ppo)} and DPO "
        f"{within(dpo)} above SFT on the marked demonstrations at temperature 0. Where "
        f"{share(float(SHARES[0]))} are good, DPO is {within(_size(lacking))} below SFT on the "
        "marked demonstrations at temperature 1."
    )
    return text, f"{_stored('curation').origin}; {_NOISE}"


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
    results = _stored("verifiable")
    gaps = corrected(
        {
            key: _gap(results.values(*one), results.values(*other))
            for key, (one, other) in RULE_GAPS.items()
        }
    )
    counting = {key: gap.mean > 0 for key, gap in gaps.items() if gap.p <= ALPHA}
    assert counting == dict.fromkeys(_MORE, True) | dict.fromkeys(_LESS, False)
    gap = gaps[name]
    noise = ", which is within the noise" * (gap.p > ALPHA)
    about = " against ".join(f"{setting}: {what}" for setting, what in RULE_GAPS[name])
    return f"{'+' * (gap.mean > 0)}{within(gap, points)}{noise}", (
        f"{about}; {results.origin}; {_NOISE}"
    )


def _second_round_gaps() -> dict[tuple[str, ...], Interval]:
    """What a second round of comparisons changes, as one family for Holm's procedure.

    Returns:
        By what is measured, setting and rival: where the judge has learned from answers of the
        policy that practised, too, against the first judge, and against one that has learned from
        as many further answers of the SFT policy.
    """
    values, gaps = _stored("second_round").values, {}
    for quantity, price in product(("accuracy", "gold", "false"), ("", "_no_kl")):
        for rival in ("first", "of_sft"):
            case = quantity, f"of_ppo{price}", f"{rival}{price}"
            gaps[case] = _gap(*(values(setting, quantity) for setting in case[1:]))
    return corrected(gaps)


def _second_round_told() -> dict[str, str]:
    """Do comparisons of the practised answers improve the judge, and then the policy?"""
    results, gaps = _stored("second_round"), _second_round_gaps()
    clear = {case: gap for case, gap in gaps.items() if gap.p <= ALPHA}
    judge = "accuracy", "of_ppo", "of_sft"
    assert clear.keys() == {judge}
    assert clear[judge].mean > 0

    def mean(setting: str, quantity: str = "gold") -> float:
        return results.interval(setting, quantity).mean

    assert mean("of_ppo_no_kl") < mean("first")
    assert mean("of_ppo", "helpful") < mean("first", "helpful")
    assert mean("of_ppo", "courteous") > mean("first", "courteous")
    return {
        "judge": "On choices between answers of the PPO model, the judge that has also learned "
        f"from such choices is right {within(clear[judge], points)} more often than a judge that "
        "has learned from as many further choices between answers of the SFT model.",
        "gold": f"Practice against it leads to a gold reward of {number(mean('of_ppo'))}. It was "
        f"{number(mean('first'))} with the first judge and {number(mean('of_sft'))} with the "
        "other, but neither difference exceeds the noise. False answers are no rarer: "
        f"{share(mean('first', 'false'))} before, {share(mean('of_ppo', 'false'))} after. "
        f"Nor are helpful ones more frequent ({share(mean('first', 'helpful'))} and "
        f"{share(mean('of_ppo', 'helpful'))}); courteous ones are "
        f"({share(mean('first', 'courteous'))} and {share(mean('of_ppo', 'courteous'))}).",
        "free": "Without the KL penalty, gold reward is "
        f"{number(mean('first_no_kl'))} with the first judge and {number(mean('of_ppo_no_kl'))} "
        "after the second round, far below what PPO reaches with the penalty.",
    }


DRIFT = {"before": "sft", "free": "correct", "held": "correct_kl", "pretrained": "base_correct"}
"""Settings by the name under which a page shows what became of a habit that no rule looks at."""


def extremes(setting: str, quantity: str) -> tuple[str, str]:
    """The lowest and the highest value that a rule led to on any seed."""
    results = _stored("verifiable")
    found, show = results.values(setting, quantity), _SHOWN.get(quantity, number)
    about = f"{RULES[setting]}: {quantity}, lowest and highest of {results.origin}"
    return f"{show(min(found))} to {show(max(found))}", about


def pass_at(setting: str, attempts: int) -> tuple[str, str]:
    """The share of questions with a right answer among so many attempts."""
    results, place = _stored("verifiable"), ATTEMPTED.index(attempts)
    found = [float(row["pass_at"][place]) for row in results.rows if row["setting"] == setting]
    about = f"{RULES[setting]}: pass@{attempts}, mean of {results.origin}, 95 % interval"
    return _with_reach(Interval.of(found), share), about


def _of_method(name: str, quantity: str) -> tuple[str, str]:
    found, show = Interval.of(method(name, quantity)), _SHOWN.get(quantity, number)
    origin = _stored("methods").origin
    return _with_reach(found, show), f"{METHODS[name]}: {quantity}, mean of {origin}, 95 % interval"


def _of_change(setting: str) -> tuple[str, str]:
    about = f"change in gold reward, mean of {_stored('ablations').origin}, 95 % interval"
    return within(Interval.of(ablation(setting, "gold"))), about


def _of(study: str, setting: str, quantity: str) -> tuple[str, str]:
    results, show = _stored(study), _SHOWN.get(quantity, number)
    about = f"{setting}: {quantity}, mean of {results.origin}, 95 % interval"
    return _with_reach(results.interval(setting, quantity), show), about


def _with_reach(found: Interval, show: Callable[[float], str]) -> str:
    """A mean with its interval; alone where every seed has the same, as with a bound or a count."""
    return within(found, show) if found.reach else show(found.mean)


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
        + [f"{name}_{at}" for name in list(SHORTCUTS)[2:] for at in ("0.5", "0.0")],
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
_OF_METHODS = ("gold", "gold_greedy", "proxy", "kl", "helpful", "false", "accuracy", "seconds")
_OF_METHODS += ("labels", "gold_stderr")


def _named(*parts: str) -> str:
    return "-".join(parts).replace("_", "-").replace(".", "-")


TOLD: dict[str, tuple[Callable[[], dict[str, str]], tuple[str, ...], str, str]] = {
    "methods": (
        methods_told,
        ("imitation", "simpler", "greedy", "comparisons"),
        "methods",
        "gold reward, ",
    ),
    "shortcuts": (shortcuts_told, ("warm", "greedy"), "shortcuts", "gold reward, "),
    "early-stopping": (
        early_stopping_told,
        SPEEDS,
        "early_stopping",
        "held-out questions; the stop is chosen on practised ones; ",
    ),
    "mix": (mix_told, ("practised", "all", "leak"), "ablations", ""),
    "second-round": (_second_round_told, ("judge", "gold", "free"), "second_round", ""),
}
"""Conclusions that pages show part by part: what tells them, the parts, the study, a note."""


def told(name: str, part: str) -> tuple[str, str]:
    """A part of a conclusion.

    Args:
        name: One of `TOLD`.
        part: One of its parts.

    Returns:
        The sentences, and what they are.
    """
    tell, _, study, note = TOLD[name]
    return tell()[part], f"{note}{_stored(study).origin}; {_NOISE}"


VALUES: dict[str, _Entry] = {
    "best-of-16-verdict": best_of_16_verdict,
    "facts-study-verdict": facts_verdict,
    "ablations-verdict": ablations_verdict,
    "parts-verdict": parts_verdict,
    "critic-verdict": critic_verdict,
    "curation-verdict": curation_verdict,
}
VALUES |= {
    _named(name, part, "verdict"): partial(told, name, part)
    for name, (_, parts, *_) in TOLD.items()
    for part in parts
}
VALUES |= {
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
    _named(study, setting.removeprefix("good_"), quantity.removeprefix("late_")): partial(
        _of, study, setting, quantity
    )
    for study, (settings, quantities) in _QUOTED.items()
    for setting, quantity in product(settings, quantities)
}
