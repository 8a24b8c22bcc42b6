"""The values that the studies give: means over seeds, with their intervals.

Where a sentence compares several settings, the p-values of the paired differences over the seeds
are corrected for their number by Holm's procedure; what is left above 5 % is called noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import fmean

from rlhf_explained.measured.text import listed, nats, number, seconds, share, within
from rlhf_explained.studies import Interval, Results, stored
from rlhf_explained.studies.intervals import holm

METHODS = {
    "sft_1.0": "SFT",
    "sft_best": "SFT, colder",
    "sft_good": "SFT on good ones",
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
TRAINED = ("dpo", "grpo", "rloo", "ppo")
"""The methods that learn from the comparisons, with a penalty."""
COLDER = ("sft_1.0", "sft_0.7", "sft_0.5", "sft_0.3", "sft_0.0")

CRITICS = {
    "ppo": "own, from the reward model",
    "critic_from_sft": "own, from SFT",
    "critic_detached": "shared trunk, detached",
    "critic_shared": "shared trunk",
}
# Of the study that takes a part out of PPO. The last is compared with the one before it.
ABLATIONS = {
    "critic_from_sft": "critic from SFT",
    "critic_detached": "critic on the policy’s trunk, detached",
    "critic_shared": "critic on the policy’s trunk",
    "no_critic": "no critic",
    "lambda_1": "λ = 1",
    "no_clip": "no clip",
    "no_value_clip": "no value clip",
    "no_kl": "no KL penalty",
    "no_whitening": "no whitening",
    "mix_practised": "pretraining mix, practised",
    "mix_all": "pretraining mix with the answers",
    "eight_epochs": "8 epochs instead of 2",
    "eight_epochs_no_clip": "8 epochs without clip",
}
SPEEDS = ("fast", "slow")
SHARES = ("0.05", "0.1", "0.2", "0.36", "0.6", "0.8")
ALPHA = 0.05

_Entry = Callable[[], tuple[str, str]]  # the value's text and what it is
_NOISE = "paired over the seeds, p-values corrected by Holm, noise above 5 %"


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


def methods_verdict() -> tuple[str, str]:
    """Does PPO beat imitation, the best trained method, and the trivial rivals?"""
    ppo = method("ppo", "gold")
    rivals = [name for name in METHODS if name not in ("ppo", "ppo_no_kl")]
    gaps = {name: Interval.of(_paired(ppo, method(name, "gold"))) for name in rivals}
    gaps["greedy"] = Interval.of(
        _paired(method("ppo", "gold_greedy"), method("sft_good", "gold_greedy"))
    )
    p_values = corrected(gaps)

    def against(name: str) -> str:
        gap = gaps[name]
        if p_values[name] > ALPHA:
            return f"level with {METHODS[name]} within the noise ({within(gap)})"
        return f"{'above' if gap.mean > 0 else 'below'} {METHODS[name]} by {within(gap)}"

    simple = ("sft_good", "rejection_sampling", "best_of_16")
    text = (
        f"At temperature 1, PPO is {against('sft_1.0')} and {against('sft_best')}. Of what is "
        f"simpler, PPO is {'; '.join(against(name) for name in simple)}. If both always take the "
        f"likeliest word, PPO’s gold is that of SFT on good ones {_plus(gaps['greedy'])}"
    )
    text += ". " if p_values["greedy"] <= ALPHA else ", within the noise. "
    best = max(TRAINED, key=lambda name: fmean(method(name, "gold")))
    others = [against(name) for name in TRAINED if name != "ppo"]
    text += f"Of the methods that learn from the comparisons, PPO is {'; '.join(others)}; "
    behind = Interval.of(_paired(method(best, "gold"), ppo)).mean
    text += (
        "PPO has the most."
        if best == "ppo"
        else f"{METHODS[best]} has the most, {number(behind)} above PPO."
    )
    return text, f"gold, {stored('methods').origin}; {_NOISE}"


def _plus(gap: Interval) -> str:
    size = Interval(abs(gap.mean), gap.reach, gap.p)
    return f"{'plus' if gap.mean >= 0 else 'minus'} {within(size)}"


def early_stopping_verdict() -> tuple[str, str]:
    """Does the KL penalty end above the run without it, stopped at its best moment?"""
    results = stored("early_stopping")
    golds = {
        speed: _paired(
            results.values(f"{speed}_held", "end_gold"),
            results.values(f"{speed}_free", "stop_gold"),
        )
        for speed in SPEEDS
    }
    gaps = {speed: Interval.of(values) for speed, values in golds.items()}
    p_values, text = corrected(gaps), ""
    for speed, gap in gaps.items():
        rate = results.config[f"{speed}_free"]["learning_rate"]
        stop, held = (
            results.interval(f"{speed}_{kind}", quantity).mean
            for kind, quantity in (("free", "stop_gold"), ("held", "end_gold"))
        )
        spent, paid = (
            results.interval(f"{speed}_{kind}", quantity).mean
            for kind, quantity in (("free", "stop_kl"), ("held", "end_kl"))
        )
        text += (
            f"At the learning rate {_rate(rate)}, the run without the penalty has "
            f"{number(stop)} gold where it is stopped, at {nats(spent)}; the run with the penalty "
            f"ends at {number(held)}, at {nats(paid)}. The difference of {within(gap)} is "
        )
        if p_values[speed] > ALPHA:
            text += "within the noise. "
        else:
            winner = "the penalty" if gap.mean > 0 else "stopping early"
            text += f"beyond the noise, in favour of {winner}. "
    return text.strip(), (
        f"held-out questions; the stop is chosen on practised ones; {results.origin}; {_NOISE}"
    )


def _rate(rate: float) -> str:
    """A learning rate as it is written in code: 8e-4."""
    return f"{rate:.0e}".replace("e-0", "e-")


def _sorted_out(gaps: Mapping[str, Interval], names: Mapping[str, str]) -> str:
    """Which differences are below zero, above it, or within the noise."""
    p_values = corrected(gaps)
    less, more, same = [], [], []
    for name, gap in gaps.items():
        kept = same if p_values[name] > ALPHA else more if gap.mean > 0 else less
        kept.append(names[name])
    return (
        f"less gold reward with {listed(less)}; more with {listed(more)}; no difference beyond "
        f"the noise with {listed(same)}"
    )


def ablations_verdict() -> tuple[str, str]:
    """Which changes of PPO matter, at the end and on the way there?"""
    text = ""
    for when, quantity in (("At the end", "gold"), ("On the way there", "gold_on_the_way")):
        gaps = {setting: Interval.of(ablation(setting, quantity)) for setting in ABLATIONS}
        text += f"{when}, there is {_sorted_out(gaps, ABLATIONS)}. "
    return text.strip(), f"{stored('ablations').origin}; {_NOISE}"


def critic_verdict() -> tuple[str, str]:
    """What each kind of critic explains, and what it costs in gold and in false answers."""
    results, text = stored("ablations"), ""
    kinds = [name for name in CRITICS if name != "ppo"]
    p_values = corrected({f"{k}/{q}": _change(k, q) for k in kinds for q in ("gold", "false")})
    for name, about in CRITICS.items():
        late = results.values(name, "late_explained_variance")
        text += f"Critic {about}: over the last ten rounds it explains {within(Interval.of(late))}"
        if name == "ppo":
            low = min(results.values(name, "least_explained_variance"))
            text += f" of the variance of the returns, in no round of any seed less than {number(low)}. "
            continue
        text += "; against the shipped one "
        parts = []
        for quantity, show, unit in (("gold", number, "gold"), ("false", share, "false answers")):
            gap = _change(name, quantity)
            noise = " (noise)" if p_values[f"{name}/{quantity}"] > ALPHA else ""
            parts.append(f"{_signed(gap, show)} {unit}{noise}")
        text += f"{listed(parts)}. "
    return text.strip(), f"{results.origin}; {_NOISE}"


def _change(setting: str, quantity: str) -> Interval:
    return Interval.of(ablation(setting, quantity))


def _signed(gap: Interval, show: Callable[[float], str] = number) -> str:
    sign = "+" if gap.mean > 0 else ""
    return f"{sign}{within(gap, show)}"


def mix_verdict() -> tuple[str, str]:
    """What pretraining's documents protect, with the exam's answers in them and without."""
    mixes = {"mix_practised": "on practised questions", "mix_all": "of the whole web"}
    gaps = {
        f"{name}/{quantity}": Interval.of(ablation(name, quantity))
        for name in mixes
        for quantity in ("gold", "accuracy")
    }
    p_values, text = corrected(gaps), ""
    for name, about in mixes.items():
        parts = []
        for quantity, show, unit in (
            ("gold", number, "gold"),
            ("accuracy", share, "accuracy of stated facts"),
        ):
            gap = gaps[f"{name}/{quantity}"]
            noise = " (noise)" if p_values[f"{name}/{quantity}"] > ALPHA else ""
            parts.append(f"{_signed(gap, show)} {unit}{noise}")
        text += f"Documents {about} mixed in: {listed(parts)}. "
    return text.strip(), f"{stored('ablations').origin}; {_NOISE}"


def curation_verdict() -> tuple[str, str]:
    """From which share of good demonstrations on does curation do as well as comparisons?"""
    results = stored("curation")
    gaps = {
        share_: Interval.of(
            _paired(*(results.values(f"good_{share_}", who) for who in ("ppo", "marked")))
        )
        for share_ in SHARES
    }
    p_values = corrected(gaps)
    above, level, below = [], [], []
    for share_, gap in gaps.items():
        kept = level if p_values[share_] > ALPHA else above if gap.mean > 0 else below
        kept.append(share(float(share_)))
    text = "At temperature 1, PPO has "
    parts = []
    if above:
        parts.append(
            f"more gold reward than SFT on the marked demonstrations where {listed(above)} of the "
            "demonstrations are good"
        )
    if level:
        parts.append(f"no more and no less beyond the noise where {listed(level)} are")
    if below:
        parts.append(f"less where {listed(below)} are")
    return text + "; ".join(parts) + ".", f"{results.origin}; {_NOISE}"


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
        ("labels", _count),
    ):  # fmt: skip
        VALUES[_named("methods", _short, _quantity)] = _of_method(_setting, _quantity, _show)
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
    for _quantity in ("sft", "marked", "dpo", "ppo"):
        for _best in (_quantity, f"{_quantity}_best"):
            VALUES[_named("curation", _setting, _best)] = _of(
                "curation", f"good_{_setting}", _best, number
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
