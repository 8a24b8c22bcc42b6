"""The values that the studies give: means over seeds, with their intervals.

Where a sentence compares several settings, the p-values of the paired differences over the seeds
are corrected for their number by Holm's procedure; what is left above 5 % is called noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from statistics import fmean

from rlhf_explained.measured.text import listed, nats, number, points, seconds, share, within
from rlhf_explained.studies import Interval, Results, stored
from rlhf_explained.studies.intervals import holm

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
"""What is compared. SFT at its best temperature is chosen for each seed by the exam itself, which
favours it."""
NEVER_MEASURED = {"sft_1.0": ("seconds",), "sft_best": ("seconds",), "best_of_16": ("gold_greedy",)}
"""A colder policy needs no training, and the best of several draws is not the likeliest answer."""
TRAINED = ("dpo", "grpo", "rloo", "ppo")
"""The methods that learn from the comparisons, with a penalty."""
COLDER = ("sft_1.0", "sft_0.7", "sft_0.5", "sft_0.3", "sft_0.0")
IN_WORDS = METHODS | {
    "sft_best": "SFT at its best temperature",
    "sft_good": "SFT on the demonstrations marked good",
    "sft_best_tenth": "SFT on the tenth of them graded best",
}
"""Methods as a sentence names them."""
CURATED = ("sft_good", "sft_best_tenth")

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
SPEEDS = ("fast", "slow")
SHARES = ("0.05", "0.3", "0.7")
ALPHA = 0.05

_Entry = Callable[[], tuple[str, str]]  # the value's text and what it is
_NOISE = (
    "each ± is the 95 % interval of that difference alone; whether it counts is decided by paired "
    "p-values over the seeds, corrected by Holm, at 5 %"
)


def method(name: str, quantity: str) -> list[float]:
    """What a method reaches, by seed.

    Args:
        name: One of `METHODS`.
        quantity: What was measured.

    Returns:
        One number of each seed.
    """
    results = stored("methods")
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
    """How much of something PPO has more with a change than as shipped.

    Args:
        setting: One of `ABLATIONS`.
        quantity: What was measured.

    Returns:
        Each seed's difference. Eight epochs without the clip are compared with eight epochs, the
        others with PPO as shipped.
    """
    other = "eight_epochs" if setting == "eight_epochs_no_clip" else "ppo"
    values = (stored("ablations").values(name, quantity) for name in (setting, other))
    return _paired(*values)


def _paired(ones: list[float], others: list[float]) -> list[float]:
    return [one - other for one, other in zip(ones, others, strict=True)]


def corrected(gaps: Mapping[str, Interval]) -> dict[str, float]:
    """Holm's p-value of each of several differences."""
    return holm({name: gap.p for name, gap in gaps.items()})


def _size(gap: Interval) -> Interval:
    return Interval(abs(gap.mean), gap.reach, gap.p)


def leads() -> dict[str, Interval]:
    """By how much PPO's gold is above each other method's, seed by seed.

    Returns:
        One difference for each of `METHODS` but PPO; and for those of `CURATED` another, after
        `greedy/`, where both always take the likeliest word.
    """

    def lead(name: str, quantity: str) -> Interval:
        return Interval.of(_paired(method("ppo", quantity), method(name, quantity)))

    gaps = {name: lead(name, "gold") for name in METHODS if name != "ppo"}
    return gaps | {f"greedy/{name}": lead(name, "gold_greedy") for name in CURATED}


def _against(gaps: Mapping[str, Interval], p_values: Mapping[str, float], *names: str) -> str:
    """PPO beside others, in words: above, below, or not told apart."""
    beyond, same = [], []
    for name in names:
        gap, about = gaps[name], (IN_WORDS | SHORTCUTS)[name.removeprefix("greedy/")]
        if p_values[name] > ALPHA:
            same.append(f"{about} ({within(gap)})")
        else:
            place = "above" if gap.mean > 0 else "below"
            beyond.append(f"{within(_size(gap))} {place} {about}")
    if same:
        beyond.append(f"not told apart from {listed(same)}")
    return listed(beyond)


def methods_verdict() -> tuple[str, str]:
    """Does PPO beat imitation, the best trained method, and the trivial rivals?"""
    gaps = leads()
    p_values = corrected(gaps)
    against = partial(_against, gaps, p_values)
    greedy = (f"greedy/{name}" for name in CURATED)
    best = max(TRAINED, key=lambda name: fmean(method(name, "gold")))
    text = (
        f"In gold reward at temperature 1, PPO is {against('sft_1.0', 'sft_best')}. As for what is "
        f"simpler, PPO is {against(*CURATED, 'rejection_sampling', 'best_of_16')}. If both always "
        f"take the likeliest word, PPO is {against(*greedy)}. As for the other "
        f"methods that learn from the comparisons, PPO is {against('dpo', 'grpo', 'rloo')}; "
    )
    if best == "ppo":
        text += "of all four, PPO has the most."
    else:
        lead = "is not" if p_values[best] > ALPHA else "is"
        text += (
            f"{METHODS[best]} has the most, {number(-gaps[best].mean)} above PPO, which {lead} "
            "beyond the noise."
        )
    return text, f"gold, {stored('methods').origin}; {_NOISE}"


def facts_verdict() -> tuple[str, str]:
    """Over the seeds, are fewer of the stated facts right after PPO than before it?"""
    before, after = (method(name, "accuracy") for name in ("sft_1.0", "ppo"))
    gap = Interval.of(_paired(after, before))
    text = (
        f"Over the seeds, {share(fmean(before))} of the facts that SFT states are right and "
        f"{share(fmean(after))} of those that PPO states, at temperature 1. "
    )
    size = _size(gap)
    points = f"{number(100 * size.mean, 1)} ± {number(100 * size.reach, 1)} percentage points"
    if gap.p > ALPHA:
        text += f"The difference of {points} is within the noise."
    else:
        text += f"PPO has {'more' if gap.mean > 0 else 'fewer'} right, by {points}."
    return text, f"{stored('methods').origin}; 95 % interval of the paired difference"


SHORTCUTS = {
    "base_likeliest": "the likeliest of 16 answers of the pretrained model",
    "sft_likeliest": "the likeliest of 16 answers of SFT",
    "base_begun": "the pretrained model whose answers are begun with “sure !”",
    "sft_begun": "SFT whose answers are begun so",
    "sft_cut": "SFT whose asides are cut off",
    "sft_dressed": "SFT whose asides are cut off and whose answers are made polite",
}
"""What needs no learning; as a sentence names it."""


def shortcuts_verdict() -> tuple[str, str]:
    """Is PPO above what needs no learning, at temperature 1 and greedily?"""
    results, measured = stored("shortcuts"), {}
    at = {
        "1.0": ("At temperature 1", "gold"),
        "0.0": ("If both always take the likeliest word", "gold_greedy"),
    }
    for temperature, (_, quantity) in at.items():
        for name in SHORTCUTS:
            if (setting := f"{name}_{temperature}") in results.config:
                other = results.values(setting, "gold")
                measured[setting] = Interval.of(_paired(method("ppo", quantity), other))
    p_values, sentences = corrected(measured), []
    for temperature, (when, _) in at.items():
        named = {name: f"{name}_{temperature}" for name in SHORTCUTS}
        gaps = {name: measured[key] for name, key in named.items() if key in measured}
        found = _against(gaps, {name: p_values[named[name]] for name in gaps}, *gaps)
        sentences.append(f"{when}, PPO is {found}.")
    return " ".join(sentences), f"gold, {results.origin}; {_NOISE}"


def early_stopping_verdict() -> tuple[str, str]:
    """Does the KL penalty end above the run without it, stopped at its best moment?"""
    results = stored("early_stopping")
    gaps = {
        speed: Interval.of(
            _paired(
                results.values(f"{speed}_held", "end_gold"),
                results.values(f"{speed}_free", "stop_gold"),
            )
        )
        for speed in SPEEDS
    }
    p_values, text = corrected(gaps), ""
    for speed, gap in gaps.items():
        rate = results.config[f"{speed}_free"]["learning_rate"]
        stop, spent = (
            results.interval(f"{speed}_free", f"stop_{quantity}").mean
            for quantity in ("gold", "kl")
        )
        held, paid = (
            results.interval(f"{speed}_held", f"end_{quantity}").mean for quantity in ("gold", "kl")
        )
        text += (
            f"At a learning rate of {rate:g}, the run without the penalty has {number(stop)} gold "
            f"where it is stopped, at a KL of {nats(spent)}; the run with the penalty ends at "
            f"{number(held)} gold and {nats(paid)}. "
        )
        if p_values[speed] > ALPHA:
            text += f"The difference in gold, {within(gap)}, is within the noise. "
        else:
            winner = "The penalty" if gap.mean > 0 else "Stopping early"
            text += f"{winner} is ahead by {within(_size(gap))}, beyond the noise. "
    return text.strip(), (
        f"held-out questions; the stop is chosen on practised ones; {results.origin}; {_NOISE}"
    )


def _gold_changes(quantity: str = "gold") -> dict[str, float]:
    """Holm's p-value of each change's difference in gold: one family, whichever sentence asks."""
    return corrected({setting: _change(setting, quantity) for setting in ABLATIONS})


def _sorted_out(quantity: str) -> str:
    """Which changes of PPO lower the gold, which raise it, and which do neither for sure."""
    less, more, same = [], [], []
    for name, p_value in _gold_changes(quantity).items():
        gap = _change(name, quantity)
        kept = same if p_value > ALPHA else more if gap.mean > 0 else less
        kept.append(ABLATIONS[name])
    lower = f"gold is lower with these changes: {listed(less)}" if less else "no change lowers gold"
    higher = f"It is higher with these: {listed(more)}" if more else "No change raises it"
    text = f"{lower}. {higher}."
    if same:
        text += f" No difference beyond the noise is seen with these: {listed(same)}."
    return text


def ablations_verdict() -> tuple[str, str]:
    """Which changes of PPO matter, at the end and on the way there?"""
    end, way = _sorted_out("gold"), _sorted_out("gold_on_the_way")
    text = f"At the end, {end} On average over the whole training, "
    text += "the same changes are told apart." if way == end else way
    return text, (
        f"{stored('ablations').origin}; against PPO as shipped, the last of all against 8 epochs "
        f"with the clip; {_NOISE}"
    )


_PARTS: dict[str, tuple[str, Callable[[float], str]]] = {
    "gold": ("gold", number),
    "false": ("false answers", points),
    "accuracy": ("accuracy among stated facts", points),
}
"""Quantities of the ablations as a sentence names them, and how their differences are written."""


def _changes(setting: str, other: str, p_other: float) -> str:
    """What a change of PPO does to gold and to another quantity, in words."""
    parts = []
    for quantity, p_value in (("gold", _gold_changes()[setting]), (other, p_other)):
        name, show = _PARTS[quantity]
        gap = _change(setting, quantity)
        noise = ", within the noise," if p_value > ALPHA else ""
        sign = "+" if gap.mean > 0 else ""
        parts.append(f"{name} by {sign}{within(gap, show)}{noise}")
    return listed(parts).removesuffix(",")


def critic_verdict() -> tuple[str, str]:
    """What each kind of critic explains, and what it costs in gold and in false answers."""
    results = stored("ablations")
    kinds = {
        "critic_from_sft": "network of its own that starts from SFT",
        "critic_detached": "head on the policy’s trunk that does not change the trunk",
        "critic_shared": "head on the policy’s trunk that does",
    }
    p_values = corrected({name: _change(name, "false") for name in kinds})
    explained = {
        name: within(results.interval(name, "late_explained_variance")) for name in CRITICS
    }
    least = min(results.values("ppo", "least_explained_variance"))
    text = (
        "Over the last ten iterations, a critic of its own that starts from the reward model "
        f"explains {explained['ppo']} of the variance of the returns, and never less than "
        f"{number(least)} in any of these iterations on any seed."
    )
    for name, about in kinds.items():
        text += (
            f" A {about} explains {explained[name]}; it changes "
            f"{_changes(name, 'false', p_values[name])}."
        )
    return text, f"{results.origin}; {_NOISE}"


def _change(setting: str, quantity: str) -> Interval:
    return Interval.of(ablation(setting, quantity))


def mix_verdict() -> tuple[str, str]:
    """What pretraining's documents protect, with the exam's answers in them and without."""
    results = stored("ablations")
    mixes = {"mix_practised": "about practised questions alone", "mix_all": "of the whole web"}
    gaps = {name: _change(name, "accuracy") for name in mixes}
    gaps["leak"] = results.difference("mix_all", "mix_practised", "accuracy")
    p_values = corrected(gaps)
    text = " ".join(
        f"Mixing in documents {about} changes {_changes(name, 'accuracy', p_values[name])}."
        for name, about in mixes.items()
    )
    leak, verb = within(gaps["leak"], points), "is" if p_values["leak"] <= ALPHA else "is not"
    text += f" From the first mix to the second, accuracy changes by {leak}; the change {verb} "
    text += "beyond the noise."
    return text, f"{results.origin}; {_NOISE}"


def curation_verdict() -> tuple[str, str]:
    """Where do comparisons do better than curation, by marks or by grades?"""
    results = stored("curation")
    rivals = {"marked": "SFT on those marked good", "tenth": "SFT on the best tenth"}
    when = {"1.0": "at temperature 1", "0.0": "if both always take the likeliest word"}
    gaps = {
        f"{name}, where {share(float(good))} of the demonstrations are good, {at}": Interval.of(
            _paired(
                results.values(f"good_{good}", f"ppo_{temperature}"),
                results.values(f"good_{good}", f"{rival}_{temperature}"),
            )
        )
        for rival, name in rivals.items()
        for good in SHARES
        for temperature, at in when.items()
    }
    p_values, text = corrected(gaps), []
    apart = [case for case in gaps if p_values[case] <= ALPHA]
    for more, word in ((True, "more"), (False, "less")):
        cases = [case for case in apart if (gaps[case].mean > 0) is more]
        text += [f"PPO has {word} gold reward than {'; than '.join(cases)}."] if cases else []
    level = len(gaps) - len(apart)
    if level:
        which = f"the other {level} of {len(gaps)}" if apart else f"each of the {len(gaps)}"
        text.append(f"In {which} comparisons the two are not told apart.")
    return " ".join(text), f"PPO against either, at each share; {results.origin}; {_NOISE}"


def _of_method(name: str, quantity: str, show: Callable[[float], str]) -> _Entry:
    def entry() -> tuple[str, str]:
        results = stored("methods")
        found = Interval.of(method(name, quantity))
        # Best-of-n's KL is a bound, the same for every seed; so is the number of labels.
        text = within(found, show) if found.reach else show(found.mean)
        return text, f"{METHODS[name]}: {quantity}, mean of {results.origin}, 95 % interval"

    return entry


def _ablation(setting: str) -> _Entry:
    def entry() -> tuple[str, str]:
        about = f"change in gold, mean of {stored('ablations').origin}, 95 % interval"
        return within(_change(setting, "gold")), about

    return entry


def _of(study: str, setting: str, quantity: str, show: Callable[[float], str]) -> _Entry:
    def entry() -> tuple[str, str]:
        results: Results = stored(study)
        about = f"{setting}: {quantity}, mean of {results.origin}, 95 % interval"
        return within(results.interval(setting, quantity), show), about

    return entry


def _count(value: float) -> str:
    return f"{value:,.0f}"


VALUES: dict[str, _Entry] = {
    "methods-verdict": methods_verdict,
    "shortcuts-verdict": shortcuts_verdict,
    "facts-study-verdict": facts_verdict,
    "early-stopping-verdict": early_stopping_verdict,
    "ablations-verdict": ablations_verdict,
    "critic-verdict": critic_verdict,
    "mix-verdict": mix_verdict,
    "curation-verdict": curation_verdict,
}


def _named(*parts: str) -> str:
    return "-".join(parts).replace("_", "-").replace(".", "-")


for _setting in METHODS:
    _short = "sft" if _setting == "sft_1.0" else _setting
    for _quantity, _show in (
        ("gold", number), ("gold_greedy", number), ("proxy", number), ("kl", nats),
        ("helpful", share), ("false", share), ("accuracy", share), ("seconds", seconds),
        ("labels", _count), ("gold_stderr", number),
    ):  # fmt: skip
        if _quantity not in NEVER_MEASURED.get(_setting, ()):
            VALUES[_named("methods", _short, _quantity)] = _of_method(_setting, _quantity, _show)
for _setting in (
    *(f"{policy}_likeliest_1.0" for policy in ("base", "sft")),
    *(
        f"{name}_{at}"
        for name in SHORTCUTS
        for at in ("1.0", "0.5", "0.0")
        if not name.endswith("likeliest")
    ),
):
    for _quantity, _show in (("gold", number), ("helpful", share)):
        VALUES[_named("shortcuts", _setting, _quantity)] = _of(
            "shortcuts", _setting, _quantity, _show
        )
for _setting in ABLATIONS:
    VALUES[_named("ablations", _setting)] = _ablation(_setting)
    VALUES[_named("ablations", _setting, "explained_variance")] = _of(
        "ablations", _setting, "late_explained_variance", number
    )
VALUES["ablations-ppo-explained-variance"] = _of(
    "ablations", "ppo", "late_explained_variance", number
)
for _setting in (f"{speed}_{kind}" for speed in SPEEDS for kind in ("held", "free")):
    for _quantity, _show in (
        ("stop_gold", number), ("stop_kl", nats), ("end_gold", number), ("end_kl", nats),
    ):  # fmt: skip
        VALUES[_named("early_stopping", _setting, _quantity)] = _of(
            "early_stopping", _setting, _quantity, _show
        )
for _setting in SHARES:
    VALUES[_named("curation", _setting, "good")] = _of(
        "curation", f"good_{_setting}", "good", "{:.0f}".format
    )
    for _quantity in ("sft", "marked", "tenth", "dpo", "ppo", "marked_plain", "ppo_plain"):
        for _temperature in ("1.0", "0.0"):
            VALUES[_named("curation", _setting, _quantity, _temperature)] = _of(
                "curation", f"good_{_setting}", f"{_quantity}_{_temperature}", number
            )
for _setting in (
    "careful_50", "careful_6400", "careful_12800", "distracted_6400", "hesitant_6400",
    "one_pass_12800",
):  # fmt: skip
    for _quantity, _show in (
        ("accuracy", share), ("gold_accuracy", share), ("best_of_16", number),
        ("hard_negative_accuracy", share),
    ):  # fmt: skip
        VALUES[_named("reward_data", _setting, _quantity)] = _of(
            "reward_data", _setting, _quantity, _show
        )
