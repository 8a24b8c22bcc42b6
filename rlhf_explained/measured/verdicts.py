"""What a run's numbers say: sentences that are computed.

Each has a branch for every way the run can turn out, and says so when a difference is within the
noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rlhf_explained.measured.text import nats, number, tokens
from rlhf_explained.pipeline import Run

WINDOW = 5  # iterations that a smoothed curve averages over
BEYOND_NOISE = 3.0  # standard errors; with fewer, the best of many noisy points looks real


def smoothed(values: Sequence[float], window: int = WINDOW) -> list[float]:
    """The mean of the values around each one, as many on either side: of fewer at the ends."""
    result = []
    for place in range(len(values)):
        half = min(window // 2, place, len(values) - 1 - place)
        near = values[place - half : place + half + 1]
        result.append(math.fsum(near) / len(near))
    return result


@dataclass(frozen=True)
class _Window:
    """Means over a few successive iterations of PPO, named by the middle one."""

    iteration: int
    gold: float
    proxy: float
    kl: float


def _windows(run: Run, policy: str) -> list[_Window]:
    rows = run.history[policy]
    size = min(WINDOW, len(rows))
    windows = []
    for start in range(len(rows) - size + 1):
        part = rows[start : start + size]
        gold, proxy, kl = (
            math.fsum(row[name] for row in part) / size for name in ("gold", "proxy", "kl")
        )
        windows.append(_Window(int(part[size // 2]["iteration"]), gold, proxy, kl))
    return windows


def _window_error(run: Run, policy: str, name: str) -> float:
    """Standard error of a window's mean, by the spread of single responses in the evaluation."""
    measures = run.evaluation[policy]
    size = min(WINDOW, len(run.history[policy]))
    spread = measures["stderr"][name] * math.sqrt(measures["responses"])
    return spread / math.sqrt(size * run.facts["rollout_batch"])


def _difference(value: float, error: float, digits: int = 2) -> str:
    return f"{number(abs(value), digits)} ± {number(error, digits)}"


def early_stopping_verdict(run: Run) -> tuple[str, str]:
    """Does the KL penalty beat stopping the unpenalised run at its best moment?"""
    free, held = _windows(run, "ppo_no_kl"), _windows(run, "ppo")
    best, end = max(free, key=lambda window: window.gold), held[-1]
    error = math.hypot(_window_error(run, "ppo", "gold"), _window_error(run, "ppo_no_kl", "gold"))
    same = min(held, key=lambda window: abs(window.kl - best.kl))
    text = (
        f"Without the penalty the gold reward is highest around iteration {best.iteration}, "
        f"{number(best.gold)} at a KL of {nats(best.kl)}. "
    )
    if abs(same.kl - best.kl) <= max(0.1, 0.1 * best.kl):
        gap = same.gold - best.gold
        text += f"At the same KL the run with the penalty has {number(same.gold)}, "
        if abs(gap) <= BEYOND_NOISE * error:
            text += "no difference beyond the noise. "
        else:
            text += f"{'more' if gap > 0 else 'less'} by {_difference(gap, error)}. "
    else:
        far = max(window.kl for window in held)
        text += f"The run with the penalty never has that KL: it reaches {nats(far)} at most. "
    gap = end.gold - best.gold
    text += f"The run with the penalty ends at {number(end.gold)}. "
    if abs(gap) <= BEYOND_NOISE * error:
        text += (
            f"The difference of {_difference(gap, error)} is within the noise: here, stopping at "
            "the right moment does as well as the penalty."
        )
    else:
        winner = "the penalty beats" if gap > 0 else "stopping at the right moment beats"
        loser = "stopping early" if gap > 0 else "the penalty"
        text += f"So here {winner} {loser}, by {_difference(gap, error)}."
    return text, (
        f"means over {WINDOW} iterations on training prompts, ± one standard error; a difference "
        f"counts beyond {BEYOND_NOISE:.0f}; the best moment is chosen afterwards, by the gold "
        "reward, which favours stopping early"
    )


def hack_verdict(run: Run) -> tuple[str, str]:
    """Did the run without the penalty gain the reward model's score and lose the gold reward?"""
    windows = _windows(run, "ppo_no_kl")
    best, end = max(windows, key=lambda window: window.gold), windows[-1]
    fall, rise = best.gold - end.gold, end.proxy - best.proxy
    gold_error, proxy_error = (
        math.sqrt(2) * _window_error(run, "ppo_no_kl", name) for name in ("gold", "proxy")
    )
    if fall <= BEYOND_NOISE * gold_error:
        text = (
            "No reward hacking to see here: without the penalty the gold reward ends at "
            f"{number(end.gold)}, not below its highest, {number(best.gold)}, beyond the noise."
        )
    else:
        text = (
            f"From iteration {best.iteration} on, the run without the penalty loses gold reward, "
            f"from {number(best.gold)} to {number(end.gold)}, while the reward model's score "
        )
        if rise > BEYOND_NOISE * proxy_error:
            text += (
                f"still rises, from {number(best.proxy)} to {number(end.proxy)}: reward hacking."
            )
        elif rise < -BEYOND_NOISE * proxy_error:
            text += (
                f"falls too, from {number(best.proxy)} to {number(end.proxy)}: the policy gets "
                "worse, but not by fooling the reward model."
            )
        else:
            text += (
                f"stays where it is, {number(best.proxy)} and {number(end.proxy)}: the reward "
                "model does not notice the loss."
            )
    return text, (
        f"means over {WINDOW} iterations on training prompts; a change counts beyond "
        f"{BEYOND_NOISE:.0f} standard errors"
    )


def length_verdict(run: Run) -> tuple[str, str]:
    """Do responses get longer or shorter from SFT to PPO, with the penalty and without?"""
    sft = run.evaluation["sft"]

    def change(policy: str) -> str:
        after = run.evaluation[policy]
        gap = after["length"] - sft["length"]
        error = math.hypot(after["stderr"]["length"], sft["stderr"]["length"])
        text = number(after["length"], 1)
        if abs(gap) <= BEYOND_NOISE * error:
            return f"{text}, no change beyond the noise"
        return f"{text}, {'longer' if gap > 0 else 'shorter'} by {_difference(gap, error, 1)}"

    text = (
        f"On held-out prompts an SFT response has {tokens(sft['length'])} on average; after PPO "
        f"with the penalty {change('ppo')}; without it {change('ppo_no_kl')}."
    )
    return text, f"{sft['responses']:,} responses of each policy, ± one standard error"


def reward_rise_verdict(run: Run) -> tuple[str, str]:
    """Does the score rise by more than the noise of a batch, early and late?"""
    batch, text = run.facts["rollout_batch"], ""
    for when, policy, part in (
        ("first five", "sft", slice(5)),
        ("last twenty", "ppo", slice(-20, None)),
    ):
        scores = [row["proxy"] for row in run.history["ppo"]][part]
        measures = run.evaluation[policy]
        error = measures["stderr"]["proxy"] * math.sqrt(measures["responses"] / batch)
        middle = (len(scores) - 1) / 2
        spread = math.fsum((place - middle) ** 2 for place in range(len(scores)))
        rises = (score * (place - middle) for place, score in enumerate(scores))
        rise = math.fsum(rises) / spread if spread else 0.0
        text += (
            f"Over the {when} iterations the score changes by {number(rise, 4)} a time; the error "
            f"of a batch's mean is {number(error, 3)}. "
        )
        if rise > 0:
            apart = math.ceil(2 * math.sqrt(2) * error / rise)  # two errors of a difference
            text += f"To see the rise, compare iterations that lie {apart:,} apart. "
        else:
            text += "There is no rise to see. "
    return text.strip(), "slope of a line through the means; error by the spread of single scores"


def score_length_correlation(run: Run) -> tuple[str, str]:
    """How the reward model's score and the length of SFT's responses go together."""
    responses = run.responses["sft"]
    lengths = [float(response["length"]) for response in responses]
    scores = [float(response["proxy"]) for response in responses]
    mean_length = math.fsum(lengths) / len(lengths)
    mean_score = math.fsum(scores) / len(scores)
    pairs = list(zip(lengths, scores, strict=True))
    covariance = math.fsum((x - mean_length) * (y - mean_score) for x, y in pairs)
    spreads = math.sqrt(
        math.fsum((x - mean_length) ** 2 for x in lengths)
        * math.fsum((y - mean_score) ** 2 for y in scores)
    )
    about = f"correlation of score and length over {len(pairs):,} SFT responses"
    return (number(covariance / spreads) if spreads else "undefined"), about
