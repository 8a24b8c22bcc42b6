"""What a run's numbers say: sentences that are computed.

Each has a branch for every way the run can turn out, and says so when a difference is within the
noise. They are about one seed. Errors are standard errors clustered by question, so they say how
far other questions would have moved a number, not how far other seeds would. Nothing is smoothed.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from rlhf_explained.measured.text import number, share, tokens
from rlhf_explained.pipeline import Run

WINDOW = 5  # iterations that a smoothed line averages over; no sentence does
BEYOND_NOISE = 3.0  # standard errors; with fewer, the best of several looks better than it is
NAMES = {
    "base": "pretrained model",
    "sft": "SFT",
    "ppo": "PPO",
    "ppo_no_kl": "PPO without the KL penalty",
}


def smoothed(values: Sequence[float], window: int | None = None) -> list[float]:
    """The mean of the values around each one; near an end, that of the nearest full window.

    Args:
        values: A measurement of each step.
        window: How many values a mean is taken over; `WINDOW` by default.

    Returns:
        As many means.
    """
    size = min(window or WINDOW, len(values))
    starts = (min(max(0, place - size // 2), len(values) - size) for place in range(len(values)))
    return [math.fsum(values[start : start + size]) / size for start in starts]


def best_temperature(run: Run, policy: str) -> tuple[str, dict[str, Any]]:
    """The temperature of the five at which a policy's exam has most gold, and that exam."""
    exams = run.temperatures[policy]
    best = max(exams, key=lambda temperature: exams[temperature]["gold"])
    return best, exams[best]


def _difference(value: float, error: float, digits: int = 2) -> str:
    return f"{number(abs(value), digits)} ± {number(error, digits)}"


def _gap(one: dict[str, Any], other: dict[str, Any], name: str) -> tuple[float, float]:
    """A difference of two exams and its error, as if they had been sat on different questions."""
    error = math.hypot(one["stderr"][name], other["stderr"][name])
    return one[name] - other[name], error


def temperature_verdict(run: Run) -> tuple[str, str]:
    """Does PPO at temperature 1 beat SFT at its best temperature, and greedy PPO greedy SFT?"""
    at, cold = best_temperature(run, "sft")
    ppo, greedy, cold_greedy = (
        run.evaluation["ppo"],
        run.temperatures["ppo"]["0.0"],
        run.temperatures["sft"]["0.0"],
    )
    text = (
        f"Of the five temperatures, SFT has most gold reward at {float(at):g}: "
        f"{number(cold['gold'])}. "
        f"PPO has {number(ppo['gold'])} at temperature 1"
    )
    text += f", {_compared(*_gap(ppo, cold, 'gold'))}. "
    text += (
        f"If both always take the likeliest word, SFT has {number(cold_greedy['gold'])} and PPO "
        f"{number(greedy['gold'])}, {_compared(*_gap(greedy, cold_greedy, 'gold'))}."
    )
    return text, _note(run)


def _compared(gap: float, error: float) -> str:
    if abs(gap) <= BEYOND_NOISE * error:
        return "which is no difference beyond the noise"
    return f"{'more' if gap > 0 else 'less'} by {_difference(gap, error)}"


def _note(run: Run) -> str:
    exam = run.evaluation["ppo"]
    return (
        f"held-out questions, {exam['questions']} of them; ± one standard error, clustered by "
        f"question; a difference counts beyond {BEYOND_NOISE:.0f}; seed {run.config.seed} alone"
    )


def facts_verdict(run: Run) -> tuple[str, str]:
    """Of the facts that a policy states, are fewer right after PPO than before?"""
    shown = [_stated(run, policy) for policy in ("base", "sft", "ppo")]
    text = f"Of the answers that state a fact, these are right: {'; '.join(shown)}. "
    for before, after in (("base", "sft"), ("sft", "ppo")):
        exams = run.evaluation[after], run.evaluation[before]
        verb = "this one run shows no difference beyond the noise"
        if not all(exam["stated"] for exam in exams):
            verb = "there is nothing to compare"
        else:
            gap, error = _gap(*exams, "accuracy")
            if abs(gap) > BEYOND_NOISE * error:
                verb = f"a {'larger' if gap > 0 else 'smaller'} share is right, beyond the noise"
        text += f"From {_plain(before)} to {_plain(after)}, {verb}. "
    cold = [run.temperatures[policy]["0.0"] for policy in ("sft", "ppo")]
    if all(exam["stated"] for exam in cold):
        sft, ppo = (share(exam["accuracy"]) for exam in cold)
        text += (
            f"If both always take the likeliest word, {sft} of SFT’s stated facts are right and "
            f"{ppo} of PPO’s."
        )
    return text.strip(), _note(run)


def _stated(run: Run, policy: str) -> str:
    exam = run.evaluation[policy]
    if not exam["stated"]:
        return f"{NAMES[policy]} states none"
    error = number(100 * exam["stderr"]["accuracy"], 1)
    return f"{NAMES[policy]} {share(exam['accuracy'])} (± {error}, of {exam['stated']:,})"


def _plain(policy: str) -> str:
    return "the pretrained model" if policy == "base" else NAMES[policy]


def win_rate_verdict(run: Run) -> tuple[str, str]:
    """Do the labeler and the reward model agree on who wins against SFT?"""
    text = ""
    for policy in ("ppo", "ppo_no_kl"):
        rates = run.win_rates[policy]
        labeler, judge = rates["labeler"], rates["reward_model"]
        gap = judge["mean"] - labeler["mean"]
        error = math.hypot(judge["stderr"], labeler["stderr"])
        text += (
            f"The labeler prefers an answer of {NAMES[policy]} to one of SFT’s in "
            f"{share(labeler['mean'])} of the comparisons, and the reward model does so in "
            f"{share(judge['mean'])}: "
        )
        if abs(gap) <= BEYOND_NOISE * error:
            text += "this one run does not tell them apart. "
        else:
            text += (
                f"the reward model {'overrates' if gap > 0 else 'underrates'} it, by "
                f"{number(100 * abs(gap), 0)} percentage points. "
            )
    return text.strip(), _note(run)


def hack_verdict(run: Run) -> tuple[str, str]:
    """Did the run without the penalty gain the reward model's score and lose the gold reward?"""
    way = run.checkpoints["ppo_no_kl"]
    best, end = max(way, key=lambda look: look["gold"]), way[-1]
    fall, fall_error = _gap(best, end, "gold")
    rise, rise_error = _gap(end, best, "proxy")
    if fall <= BEYOND_NOISE * fall_error:
        text = "There is no reward hacking to see here: without the penalty the gold reward ends "
        text += (
            f"at its highest, {number(end['gold'])}."
            if end is best
            else f"at {number(end['gold'])}, and its highest, {number(best['gold'])}, is not "
            "above that beyond the noise."
        )
    else:
        text = (
            f"After iteration {best['iteration']:.0f} the run without the penalty loses gold "
            f"reward, from {number(best['gold'])} to {number(end['gold'])}, while the reward "
            "model’s score "
        )
        if rise > BEYOND_NOISE * rise_error:
            text += (
                f"still rises, from {number(best['proxy'])} to {number(end['proxy'])}: reward "
                "hacking."
            )
        elif rise < -BEYOND_NOISE * rise_error:
            text += (
                f"falls too, from {number(best['proxy'])} to {number(end['proxy'])}: the policy "
                "gets worse, but not by fooling the reward model."
            )
        else:
            text += (
                f"stays where it is, {number(best['proxy'])} and {number(end['proxy'])}: the "
                "reward model does not notice the loss."
            )
    return text, f"looks at every fifth iteration; {_note(run)}"


def length_verdict(run: Run) -> tuple[str, str]:
    """Do responses get longer or shorter from SFT to PPO, with the penalty and without?"""
    sft = run.evaluation["sft"]

    def change(policy: str) -> str:
        after = run.evaluation[policy]
        gap, error = _gap(after, sft, "length")
        text = number(after["length"], 1)
        if abs(gap) <= BEYOND_NOISE * error:
            return f"{text}, no change beyond the noise"
        return f"{text}, {'longer' if gap > 0 else 'shorter'} by {_difference(gap, error, 1)}"

    text = (
        f"On held-out prompts an SFT response has {tokens(sft['length'])} on average; after PPO "
        f"with the penalty {change('ppo')}; without it {change('ppo_no_kl')}."
    )
    return text, _note(run)


def reward_rise_verdict(run: Run) -> tuple[str, str]:
    """Does the score rise by more than the noise of a batch, early and late?"""
    batch, text = run.facts["rollout_batch"], ""
    for when, policy, part in (
        ("first five", "sft", slice(5)),
        ("last twenty", "ppo", slice(-20, None)),
    ):
        scores = [row["proxy"] for row in run.history["ppo"]][part]
        single = statistics.stdev(response["proxy"] for response in run.responses[policy])
        error = single / math.sqrt(batch)
        middle = (len(scores) - 1) / 2
        spread = math.fsum((place - middle) ** 2 for place in range(len(scores)))
        rises = (score * (place - middle) for place, score in enumerate(scores))
        rise = math.fsum(rises) / spread if spread else 0.0
        text += (
            f"Over the {when} iterations the score changes by {number(rise, 4)} per iteration; the "
            f"error of a batch’s mean is {number(error, 3)}. "
        )
        if rise > 0:
            apart = math.ceil(2 * math.sqrt(2) * error / rise)  # two errors of a difference
            text += (
                f"To see the rise, compare iterations that lie {apart:,} apart. "
                if apart > 1
                else "From one iteration to the next, the rise is beyond the noise. "
            )
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
