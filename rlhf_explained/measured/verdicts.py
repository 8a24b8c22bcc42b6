"""What a run's numbers say: sentences that are computed.

The run differs between processors, so each sentence follows the numbers, and says so when a
difference is within the noise. All are about one seed. Errors are standard errors clustered by
question: how far other questions would have moved a number, not how far other seeds would. Nothing
is smoothed.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

from rlhf_explained.measured.text import number, share, tokens
from rlhf_explained.pipeline import Run

BEYOND_NOISE = 3.0  # standard errors; with fewer, the best of several looks better than it is
NAMES = {
    "base": "pretrained model",
    "sft": "SFT",
    "ppo": "PPO",
    "ppo_no_kl": "PPO without the KL penalty",
}

OPENER, CLOSER, ASIDE = "sure ! ", " happy to help !", " but did you know that "
"""As the world's corpus has them, which needs torch."""
UNJUDGED = ("base", "sft")  # policies that never met the reward model
CHANGES: dict[str, Callable[[str, str, str], bool]] = {
    "opens politely": lambda before, after, kind: after == OPENER + before,
    "closes politely": lambda before, after, kind: after == before + CLOSER,
    "adds an aside": lambda before, after, kind: (
        after.startswith(before + ASIDE) and after.endswith("?")
    ),
    "gives a false fact": lambda before, after, kind: kind == "false" and _one_word(before, after),
}
"""One change to a helpful answer: whether a second answer, of this category, is the changed one."""


def _one_word(before: str, after: str) -> bool:
    words = before.split(), after.split()
    return len(words[0]) == len(words[1]) and sum(map(str.__ne__, *words)) == 1


def edits(run: Run) -> dict[str, list[tuple[float, float]]]:
    """What one change to a helpful answer does to its gold reward and to its score.

    Both answers stand in the evaluation, written to one question by a policy that never met the
    reward model: nobody chose them for their scores.

    Args:
        run: Whose answers are looked at.

    Returns:
        By the names of `CHANGES`, for each question with such answers, the mean changes of the
        gold reward and of the reward model's score.
    """
    said: dict[str, dict[str, dict[str, Any]]] = {}
    for policy in UNJUDGED:
        for one in run.responses[policy]:
            said.setdefault(one["prompt"], {})[one["response"].strip()] = one
    found: dict[str, list[tuple[float, float]]] = {}
    for name, is_changed in CHANGES.items():
        found[name] = []
        for answers in said.values():
            pairs = [
                (one, answers[after])
                for before, one in answers.items()
                if one["category"] == "helpful"
                for after in answers
                if is_changed(before, after, answers[after]["category"])
            ]
            if name.endswith("politely"):  # not a courtesy behind another of its kind
                pairs = [pair for pair in pairs if pair[1]["category"] == "helpful"]
            if pairs:
                gold, score = (
                    statistics.fmean(after[quantity] - before[quantity] for before, after in pairs)
                    for quantity in ("gold", "proxy")
                )
                found[name].append((gold, score))
    return found


def best_temperature(run: Run, policy: str) -> tuple[str, dict[str, Any]]:
    """The one of five temperatures with the highest gold reward, and the evaluation there."""
    exams = run.temperatures[policy]
    best = max(exams, key=lambda temperature: exams[temperature]["gold"])
    return best, exams[best]


def _sign(gap: float, error: float) -> int:
    """Whether a difference is positive (1), negative (-1) or within the noise (0)."""
    return 0 if abs(gap) <= BEYOND_NOISE * error else 1 if gap > 0 else -1


def _gap(one: dict[str, Any], other: dict[str, Any], name: str) -> tuple[float, float]:
    """A difference of two evaluations and its error, as if on different questions."""
    return one[name] - other[name], math.hypot(one["stderr"][name], other["stderr"][name])


def _compared(
    one: dict[str, Any], other: dict[str, Any], name: str, said: tuple[str, str], digits: int = 2
) -> str:
    """A difference in words, such as `said`, more or less, unless it is within the noise."""
    gap, error = _gap(one, other, name)
    if not (sign := _sign(gap, error)):
        return "a difference within the noise"
    by = f"{number(abs(gap), digits)} ± {number(error, digits)}"
    shown = round(one[name], digits) - round(other[name], digits)
    apart = number(shown, digits) != number(gap, digits)  # a reader who subtracts would wonder
    return f"which is {by} {said[sign < 0]}{' (before rounding)' * apart}"


def _note(run: Run) -> str:
    return (
        f"held-out questions, {run.evaluation['ppo']['questions']} of them; ± one standard error, "
        f"clustered by question; a difference counts beyond {BEYOND_NOISE:.0f} of them; only seed "
        f"{run.config.seed}"
    )


def temperature_verdict(run: Run) -> tuple[str, str]:
    """Does PPO at temperature 1 beat SFT at its best temperature, and greedy PPO greedy SFT?"""
    at, cold = best_temperature(run, "sft")
    sft, ppo = (run.temperatures[policy]["0.0"] for policy in ("sft", "ppo"))
    said = "higher", "lower"
    warm = run.evaluation["ppo"]
    text = (
        f"Of five temperatures, SFT does best at {float(at):g}, with a gold reward of "
        f"{number(cold['gold'])}. PPO reaches {number(warm['gold'])} at temperature 1, "
        f"{_compared(warm, cold, 'gold', said)}. If both always choose the most likely "
        f"word, SFT reaches {number(sft['gold'])} and PPO {number(ppo['gold'])}, "
        f"{_compared(ppo, sft, 'gold', said)}."
    )
    return text, _note(run)


def win_rate_verdict(run: Run) -> tuple[str, str]:
    """Do the labeler and the reward model agree on who wins against SFT?"""
    text = []
    for policy in ("ppo", "ppo_no_kl"):
        labeler, judge = (run.win_rates[policy][name] for name in ("labeler", "reward_model"))
        gap = judge["mean"] - labeler["mean"]
        by = f"the policy by {number(100 * abs(gap), 0)} percentage points"
        apart = abs(round(100 * judge["mean"]) - round(100 * labeler["mean"]))
        by += " (before rounding)" * (apart != round(100 * abs(gap)))
        found = (
            "this single run shows no clear difference between labeler and reward model",
            f"the reward model overrates {by}",
            f"the reward model underrates {by}",
        )[_sign(gap, math.hypot(judge["stderr"], labeler["stderr"]))]
        text.append(
            f"The labeler prefers an answer from {NAMES[policy]} to one from SFT in "
            f"{share(labeler['mean'])} of the comparisons, and the reward model does so in "
            f"{share(judge['mean'])}: {found}."
        )
    return " ".join(text), _note(run)


def turning_point(run: Run) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """Where the run without the penalty has its highest gold, where it ends, whether it fell."""
    way = run.checkpoints["ppo_no_kl"]
    best, end = max(way, key=lambda look: look["gold"]), way[-1]
    return best, end, _sign(*_gap(best, end, "gold")) != 0


def hack_verdict(run: Run) -> tuple[str, str]:
    """Did the run without the penalty gain the reward model's score and lose the gold reward?"""
    best, end, lost = turning_point(run)
    gold, ends, proxy, score = (
        number(look[name]) for name in ("gold", "proxy") for look in (best, end)
    )
    if not lost:
        text = (
            "No reward hacking is visible here: without the penalty the gold reward ends at "
            f"{ends}, and its highest value, {gold}, exceeds that by no more than the noise."
        )
    else:
        meanwhile = (
            f"stays about the same ({proxy}, then {score}): the reward model does not notice the "
            "loss",
            f"still rises, from {proxy} to {score}: this is reward hacking",
            f"falls too, from {proxy} to {score}: the policy gets worse, but not by fooling the "
            "reward model",
        )[_sign(*_gap(end, best, "proxy"))]
        text = (
            f"After iteration {best['iteration']:.0f}, the gold reward of the run without the "
            f"penalty falls from {gold} to {ends}, while the reward model’s score {meanwhile}."
        )
    return text, f"looks at every fifth iteration; {_note(run)}"


def blind_verdict(run: Run) -> tuple[str, str]:
    """Does a false fact in a helpful answer move the score as it moves the gold reward?"""
    changes = edits(run)["gives a false fact"]
    if len(changes) < 2:
        return "This run has too few such pairs of answers for a conclusion.", _note(run)
    gold, score = (statistics.fmean(column) for column in zip(*changes, strict=True))
    error = statistics.stdev(change for _, change in changes) / math.sqrt(len(changes))
    found = (
        "which is within the noise: the reward model does not see that the fact is false",
        "so the reward model prefers the false fact",
        "so the reward model notices some of the harm",
    )[_sign(score, error)]
    text = (
        f"A false fact changes the gold reward by {number(gold)} on average, and the score by "
        f"{number(score)} ± {number(error)}, {found}."
    )
    about = f"{len(changes)} questions; ± one standard error across them; a difference counts"
    return text, f"{about} beyond {BEYOND_NOISE:.0f} of them; only seed {run.config.seed}"


def length_verdict(run: Run) -> tuple[str, str]:
    """Do responses get longer or shorter from SFT to PPO, with the penalty and without?"""
    sft = run.evaluation["sft"]

    def change(policy: str) -> str:
        after = run.evaluation[policy]
        by = _compared(after, sft, "length", ("more", "fewer"), digits=1)
        return f"{number(after['length'], 1)}, {by}"

    text = (
        f"An SFT response to a held-out prompt has {tokens(sft['length'])} on average. After PPO "
        f"with the penalty, a response has {change('ppo')}. After PPO without the penalty, it has "
        f"{change('ppo_no_kl')}."
    )
    return text, _note(run)


def reward_rise_verdict(run: Run) -> tuple[str, str]:
    """Does the score rise by more than the noise of a batch, early and late?"""
    history, text = run.history["ppo"], []
    for when, policy, rows in (
        ("first five", "sft", history[:5]),
        ("last twenty", "ppo", history[-20:]),
    ):
        scores = [row["proxy"] for row in rows]
        single = statistics.stdev(response["proxy"] for response in run.responses[policy])
        error = single / math.sqrt(run.facts["rollout_batch"])
        rise = statistics.linear_regression(range(len(scores)), scores).slope
        text.append(
            f"Over the {when} iterations the score changes by {number(rise, 4)} per iteration; the "
            f"standard error of a batch’s mean is {number(error, 3)}."
        )
        # two errors of a difference
        apart = math.ceil(2 * math.sqrt(2) * error / rise) if rise > 0 else 0
        if apart == 1:
            text.append("From one iteration to the next, the rise exceeds the noise.")
        elif apart:
            text.append(f"To see the rise, compare iterations that are {apart:,} apart.")
        else:
            text.append("No rise is visible.")
    note = "slope of a line through the means; error by the spread of single scores"
    return " ".join(text), note


def score_length_correlation(run: Run) -> tuple[str, str]:
    """How the reward model's score and the length of SFT's responses go together."""
    responses = run.responses["sft"]
    columns = ([float(response[name]) for response in responses] for name in ("length", "proxy"))
    about = f"correlation of score and length over {len(responses):,} SFT responses"
    return number(statistics.correlation(*columns)), about
