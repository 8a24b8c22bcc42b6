"""The values that the studies give: means over seeds, with their intervals."""

from __future__ import annotations

from collections.abc import Callable

from rlhf_explained.measured.text import listed, nats, number, seconds, share, within
from rlhf_explained.studies import Interval, stored

METHODS = {
    "sft": "SFT",
    "best_of_16": "best of 16",
    "dpo": "DPO",
    "grpo": "GRPO",
    "rloo": "RLOO",
    "ppo": "PPO",
    "ppo_no_kl": "PPO, no penalty",
}

# Of the study that takes a part out of PPO. The last is compared with the one before it.
ABLATIONS = {
    "no_critic": "no critic",
    "no_clip": "no clip",
    "no_kl": "no KL penalty",
    "no_whitening": "no whitening",
    "no_pretraining": "no pretraining mix",
    "eight_epochs": "8 epochs instead of 2",
    "eight_epochs_no_clip": "8 epochs without clip",
}

_Entry = Callable[[], tuple[str, str]]  # the value's text and what it is


def ablation(setting: str, quantity: str) -> list[float]:
    """How much of something PPO has more without a part than with it.

    Args:
        setting: One of `ABLATIONS`.
        quantity: What was measured.

    Returns:
        Each seed's difference. Eight epochs without the clip are compared with eight epochs, the
        others with PPO as shipped.
    """
    other = "eight_epochs" if setting == "eight_epochs_no_clip" else "ppo"
    values = (stored("ablations").values(name, quantity) for name in (setting, other))
    return [without - whole for without, whole in zip(*values, strict=True)]


def methods_verdict() -> tuple[str, str]:
    """Which methods end above SFT on every seed, and which has most gold beyond the noise?"""
    results = stored("methods")
    start = results.values("sft", "gold")
    above, below = [], []
    for method, name in METHODS.items():
        if method != "sft":
            golds = results.values(method, "gold")
            wins = sum(gold > sft for gold, sft in zip(golds, start, strict=True))
            (above if wins == len(golds) else below).append((name, wins))
    text = f"On every seed, {listed([name for name, _ in above])} end above SFT in gold reward. "
    for name, wins in below:
        text += f"{name} does so on {wins} of {len(start)} seeds. "
    trained = ("dpo", "grpo", "rloo", "ppo")
    best = max(trained, key=lambda method: results.interval(method, "gold").mean)
    rivals = [
        METHODS[method]
        for method in trained
        if method != best and results.difference(best, method, "gold").has_zero
    ]
    lead = (
        f"; its lead over {listed(rivals)} is within the noise" if rivals else ", beyond the noise"
    )
    text += f"Of those that train with a penalty, {METHODS[best]} has the most{lead}."
    return text, f"{results.origin}; noise: the 95 % interval of the paired difference"


def ablations_verdict() -> tuple[str, str]:
    """Which parts of PPO are missed, at the end and on the way there?"""
    text = ""
    for when, quantity in (("At the end", "gold"), ("On the way there", "gold_on_the_way")):
        less, more, same = [], [], []
        for setting, name in ABLATIONS.items():
            gap = Interval.of(ablation(setting, quantity))
            (same if gap.has_zero else more if gap.mean > 0 else less).append(name)
        text += (
            f"{when}, there is less gold reward with {listed(less)}; more with {listed(more)}; "
            f"and no difference beyond the noise with {listed(same)}. "
        )
    origin = stored("ablations").origin
    return text.strip(), f"{origin}; noise: the 95 % interval of the paired difference"


def _method(method: str, quantity: str, show: Callable[[float], str]) -> _Entry:
    def entry() -> tuple[str, str]:
        results = stored("methods")
        found = results.interval(method, quantity)
        # Best-of-n's KL is a bound, the same for every seed.
        text = within(found, show) if found.reach else show(found.mean)
        return text, f"{METHODS[method]}: {quantity}, mean of {results.origin}, 95 % interval"

    return entry


def _ablation(setting: str) -> _Entry:
    def entry() -> tuple[str, str]:
        about = f"change in gold, mean of {stored('ablations').origin}, 95 % interval"
        return within(Interval.of(ablation(setting, "gold"))), about

    return entry


def _judge(setting: str, quantity: str, show: Callable[[float], str]) -> _Entry:
    def entry() -> tuple[str, str]:
        results = stored("reward_data")
        about = f"reward model {setting}: {quantity}, mean of {results.origin}, 95 % interval"
        return within(results.interval(setting, quantity), show), about

    return entry


VALUES: dict[str, _Entry] = {
    "methods-verdict": methods_verdict,
    "ablations-verdict": ablations_verdict,
}
for _setting in METHODS:
    for _quantity, _show in (
        ("gold", number), ("proxy", number), ("kl", nats), ("helpful", share), ("seconds", seconds)
    ):  # fmt: skip
        _name = f"methods-{_setting}-{_quantity}".replace("_", "-")
        VALUES[_name] = _method(_setting, _quantity, _show)
for _setting in ABLATIONS:
    VALUES[f"ablations-{_setting}".replace("_", "-")] = _ablation(_setting)
for _setting in ("careful_50", "careful_6400", "careful_12800", "distracted_6400", "hesitant_6400"):
    for _quantity, _show in (("accuracy", share), ("gold_accuracy", share), ("best_of_16", number)):
        _name = f"reward-data-{_setting}-{_quantity}".replace("_", "-")
        VALUES[_name] = _judge(_setting, _quantity, _show)
