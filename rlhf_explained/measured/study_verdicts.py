"""What the studies' numbers say: sentences that compare settings over seeds.

Where a sentence compares several settings, the p-values of the paired differences over the seeds
are corrected for their number by Holm's procedure; what is left above 5 % is called noise. What a
sentence says besides its numbers is asserted: when the results say otherwise, rewrite it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from itertools import product
from statistics import fmean

from rlhf_explained.measured.of_studies import (
    ALPHA,
    CRITICS,
    CURATED,
    GREEDY,
    METHODS,
    NOISE,
    SHARES,
    SHORTCUTS,
    SPEEDS,
    ablation,
    corrected,
    difference,
    gold_changes,
    leads,
    method,
    study,
)
from rlhf_explained.measured.text import listed, nats, number, points, share, within
from rlhf_explained.studies import Interval

IN_WORDS = METHODS | {
    "sft_best": "SFT at its best temperature",
    "sft_good": "SFT on the demonstrations marked good",
    "sft_best_tenth": "SFT on the tenth with the highest grades",
    "best_of_16": "best-of-16",
}
"""Methods as a sentence names them."""
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
"""What is changed of PPO, as a sentence names it."""


def _size(gap: Interval) -> Interval:
    return replace(gap, mean=abs(gap.mean))


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
            "score": difference(proxy["best_of_16"], proxy["ppo"]),
            "gold": difference(gold["best_of_16"], gold["ppo"]),
            "hack": difference(gold["ppo_no_kl"], gold["ppo"]),
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
    return text, f"{study('methods').origin}; {NOISE}"


def facts_verdict() -> tuple[str, str]:
    """Over the seeds, are fewer of the stated facts right after PPO than before it?"""
    before, after = (method(name, "accuracy") for name in ("sft_1.0", "ppo"))
    gap = _size(difference(after, before))
    assert gap.p > ALPHA
    text = (
        f"Averaged over the seeds, {share(fmean(before))} of the facts stated by SFT at "
        f"temperature 1 are right, and {share(fmean(after))} of those stated by PPO. The "
        f"difference of {number(100 * gap.mean, 1)} ± {number(100 * gap.reach, 1)} percentage "
        "points is within the noise."
    )
    return text, f"{study('methods').origin}; 95 % interval of the paired difference"


def shortcuts_told() -> dict[str, str]:
    """Is PPO above what needs no learning, at temperature 1 and greedily?"""
    results = study("shortcuts")
    ppo = {"1.0": method("ppo", "gold"), "0.0": method("ppo", "gold_greedy")}
    found = corrected(
        {
            (at, name): difference(golds, results.values(f"{name}_{at}", "gold"))
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
    results, text = study("early_stopping"), {}
    ends = {speed: results.values(f"{speed}_held", "end_gold") for speed in SPEEDS}
    stops = {speed: results.values(f"{speed}_free", "stop_gold") for speed in SPEEDS}
    gaps = corrected({speed: difference(ends[speed], stops[speed]) for speed in SPEEDS})
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
    return text, f"{note}; {study('ablations').origin}; {NOISE}"


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
    return text, f"{study('ablations').origin}; {NOISE}"


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
    results = study("ablations")
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
    return text, f"{results.origin}; {NOISE}"


def mix_told() -> dict[str, str]:
    """What pretraining's documents protect, with the evaluation's answers in them or not."""
    mixes = {
        "mix_practised": "only documents about practised questions",
        "mix_all": "documents from the whole web",
    }
    results, gold, text = study("ablations"), gold_changes(), {}
    gaps = {name: Interval.of(ablation(name, "accuracy")) for name in mixes}
    first, second = (results.values(name, "accuracy") for name in mixes)
    gaps = corrected(gaps | {"leak": difference(second, first)})
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
    results = study("curation")
    gaps = {}
    for case in product(("ppo", "dpo"), ("marked", "tenth"), SHARES, ("1.0", "0.0")):
        learner, rival, good, at = case
        golds = (results.values(f"good_{good}", f"{who}_{at}") for who in (learner, rival))
        gaps[case] = difference(*golds)
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
    return text, f"{study('curation').origin}; {NOISE}"


def second_round_gaps() -> dict[tuple[str, ...], Interval]:
    """What a second round of comparisons changes, as one family for Holm's procedure.

    Returns:
        By what is measured, setting and rival: where the judge has learned from answers of the
        policy that practised, too, against the first judge, and against one that has learned from
        as many further answers of the SFT policy.
    """
    values, gaps = study("second_round").values, {}
    for quantity, price in product(("accuracy", "gold", "false"), ("", "_no_kl")):
        for rival in ("first", "of_sft"):
            case = quantity, f"of_ppo{price}", f"{rival}{price}"
            gaps[case] = difference(*(values(setting, quantity) for setting in case[1:]))
    return corrected(gaps)


def second_round_told() -> dict[str, str]:
    """Do comparisons of the practised answers improve the judge, and then the policy?"""
    results, gaps = study("second_round"), second_round_gaps()
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
    "second-round": (second_round_told, ("judge", "gold", "free"), "second_round", ""),
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
    tell, _, source, note = TOLD[name]
    return tell()[part], f"{note}{study(source).origin}; {NOISE}"


VALUES: dict[str, Callable[[], tuple[str, str]]] = {
    "best-of-16-verdict": best_of_16_verdict,
    "facts-study-verdict": facts_verdict,
    "ablations-verdict": ablations_verdict,
    "parts-verdict": parts_verdict,
    "critic-verdict": critic_verdict,
    "curation-verdict": curation_verdict,
}
VALUES |= {
    f"{name}-{part}-verdict": partial(told, name, part)
    for name, (_, parts, *_) in TOLD.items()
    for part in parts
}
