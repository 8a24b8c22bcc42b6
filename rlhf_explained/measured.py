"""Floor 5: the named values that prose may quote, written out with their units.

A page says `{{ value: ppo-gold }}`; what stands there comes from here and from the run, so no
number of a training is ever typed by hand. Sentences that draw a conclusion are computed too: each
has a branch for every way the run can turn out, and says so when a difference is within the noise.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rlhf_explained.pipeline import Run
from rlhf_explained.studies import Interval, stored

WINDOW = 5  # iterations that a smoothed curve averages over
BEYOND_NOISE = 3.0  # standard errors; with fewer, the best of many noisy points looks real

POLICIES = {"base": "base", "sft": "sft", "ppo": "ppo", "ppo-no-kl": "ppo_no_kl"}
NAMES = {
    "base": "pretrained model",
    "sft": "SFT",
    "ppo": "PPO",
    "ppo_no_kl": "PPO without the KL penalty",
}
SHARES = ("helpful", "harmful", "off-topic", "rambling", "wrong")
STAGES = ("pretrain", "sft", "preferences", "reward-model", "ppo", "ppo-no-kl", "evaluation")

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

_SPACE = "\N{NO-BREAK SPACE}"  # so that a number and its unit stay on one line
_Entry = Callable[[Run], tuple[str, str]]  # from a run to the value's text and what it is


@dataclass(frozen=True)
class Measured:
    """A value as a page shows it.

    Attributes:
        text: The whole of it, unit included.
        note: What it is and which run it comes from, for those who point at it.
    """

    text: str
    note: str


def share(value: float) -> str:
    """A share in per cent: whole ones, but never 0 or 100 for what is neither."""
    percent = 100 * value
    digits = 1 if 0 < abs(percent) < 1 or 99 < percent < 100 else 0
    text = number(percent, digits)
    text = {"0.0": f"<{_SPACE}0.1", "100.0": f">{_SPACE}99.9"}.get(text, text)
    return f"{text}{_SPACE}%"


def number(value: float, digits: int = 2) -> str:
    """A number with a true minus sign and no negative zero."""
    text = f"{value:.{digits}f}"
    if not text.strip("-0."):
        text = text.removeprefix("-")
    return text.replace("-", "\N{MINUS SIGN}")


def nats(value: float) -> str:
    """An amount of information."""
    return f"{number(value)}{_SPACE}nats"


def tokens(value: float) -> str:
    """A length."""
    return f"{number(value, 1)}{_SPACE}tokens"


def seconds(value: float) -> str:
    """A time: whole seconds from ten on."""
    return f"{number(value, 1 if value < 10 else 0)}{_SPACE}s"


def smoothed(values: Sequence[float], window: int = WINDOW) -> list[float]:
    """The mean of the values around each one, as many on either side: of fewer at the ends."""
    result = []
    for place in range(len(values)):
        half = min(window // 2, place, len(values) - 1 - place)
        near = values[place - half : place + half + 1]
        result.append(math.fsum(near) / len(near))
    return result


def value(name: str, run: Run) -> Measured:
    """Look up a value.

    Args:
        name: One of `names()`.
        run: The run it is taken from.

    Returns:
        The value written out, and a note on it.

    Raises:
        ValueError: If there is no value of that name; the message names the closest ones.
    """
    if name in _STUDIED:
        return _STUDIED[name]()
    if name not in _VALUES:
        close = difflib.get_close_matches(name, names(), n=3) or names()[:3]
        raise ValueError(f"value: there is no {name!r}; the closest are {', '.join(close)}")
    text, about = _VALUES[name](run)
    return Measured(text, f"{about}; seed {run.config.seed}")


def names() -> list[str]:
    """All names that `value` knows, in order."""
    return sorted([*_VALUES, *_STUDIED])


def _quantity(policy: str, name: str, show: Callable[[float], str], about: str) -> _Entry:
    def entry(run: Run) -> tuple[str, str]:
        measures = run.evaluation[policy]
        text = show(measures[name])
        error = measures["stderr"].get(name, 0.0)
        note = f"{NAMES[policy]}: {about}, n = {measures['responses']:,}"
        return text, f"{note}, standard error {show(error)}" if error else note

    return entry


def _fact(name: str, about: str) -> _Entry:
    return lambda run: (f"{run.facts[name]:,}", about)


def _seconds(stage: str) -> _Entry:
    return lambda run: (seconds(run.seconds[stage.replace("-", "_")]), f"wall time of {stage}")


def _sft_loss(row: int, column: str, about: str) -> _Entry:
    return lambda run: (nats(run.history["sft"][row][column]), f"{about}, per token")


def _mean_score(side: str) -> _Entry:
    def entry(run: Run) -> tuple[str, str]:
        scores = run.reward_model[f"{side}_scores"]
        about = f"mean score of the {side} responses of {len(scores):,} held-out pairs"
        return number(math.fsum(scores) / len(scores)), about

    return entry


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
    text += f"It ends at {number(end.gold)}. "
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


_VALUES: dict[str, _Entry] = {
    "run-seed": lambda run: (str(run.config.seed), "source of all the run's randomness"),
    "parameters": lambda run: (f"{run.parameters:,}", "parameters of the policy with value head"),
    "vocabulary": _fact("vocabulary", "words and marks the model knows"),
    "pretrain-steps": _fact("pretrain_steps", "optimiser steps of pretraining"),
    "demonstrations": _fact("demonstrations", "demonstrations that SFT imitates"),
    "sft-steps": _fact("sft_steps", "optimiser steps of SFT"),
    "ppo-iterations": _fact("ppo_iterations", "iterations of PPO"),
    "rollout-batch": _fact("rollout_batch", "responses generated per iteration of PPO"),
    "kl-coef": lambda run: (f"{run.facts['kl_coef']:g}", "weight β of the KL penalty"),
    "responses": lambda run: (
        f"{run.evaluation['ppo']['responses']:,}",
        "held-out responses in the evaluation of each policy",
    ),
    "rm-accuracy": lambda run: (
        share(run.reward_model["heldout_accuracy"]),
        f"held-out pairs in which the chosen response scores higher, "
        f"of {run.reward_model['heldout_pairs']:,}",
    ),
    "rm-ceiling": lambda run: (
        share(run.reward_model["accuracy_ceiling"]),
        "expected accuracy on those pairs of a judge who knows the gold reward",
    ),
    "rm-pairs": _fact("pairs", "preference pairs that the reward model learns from"),
    "rm-heldout-pairs": lambda run: (
        f"{run.reward_model['heldout_pairs']:,}",
        "preference pairs on prompts that no training pair uses",
    ),
    "rm-chosen-score": _mean_score("chosen"),
    "rm-rejected-score": _mean_score("rejected"),
    "sft-loss-first": _sft_loss(0, "loss", "SFT loss of the first step"),
    "sft-loss-last": _sft_loss(-1, "loss", "SFT loss of the last step"),
    "sft-heldout-loss-first": _sft_loss(0, "heldout_loss", "loss on held-out demonstrations"),
    "sft-heldout-loss-last": _sft_loss(-1, "heldout_loss", "loss on held-out demonstrations"),
    "sft-loss-floor": lambda run: (
        nats(run.sft["loss_floor"]),
        "entropy of the demonstrations, per token: the least a model can lose on unseen ones",
    ),
    "seconds-total": _seconds("total"),
    "early-stopping-verdict": early_stopping_verdict,
    "hack-verdict": hack_verdict,
    "length-verdict": length_verdict,
    "reward-rise-verdict": reward_rise_verdict,
    "score-length-correlation": score_length_correlation,
}
_VALUES |= {f"seconds-{stage}": _seconds(stage) for stage in STAGES}
for _short, _policy in POLICIES.items():
    _VALUES |= {
        f"{_short}-{name}": _quantity(_policy, name.replace("-", "_"), share, f"{name} share")
        for name in SHARES
    }
    _VALUES |= {
        f"{_short}-gold": _quantity(_policy, "gold", number, "mean gold reward"),
        f"{_short}-proxy": _quantity(_policy, "proxy", number, "mean reward model score"),
        f"{_short}-kl": _quantity(_policy, "kl", nats, "mean KL from SFT (k1)"),
        f"{_short}-length": _quantity(_policy, "length", tokens, "mean length"),
    }


def within(interval: Interval, show: Callable[[float], str] = number) -> str:
    """A mean and how far the true one may be from it; the unit stands once."""
    reach, unit = show(interval.reach), ""
    if _SPACE in reach:
        reach, unit = reach.rsplit(_SPACE, 1)
    mean = show(interval.mean).removesuffix(f"{_SPACE}{unit}")
    return f"{mean} ± {reach}{_SPACE}{unit}" if unit else f"{mean} ± {reach}"


def _method(method: str, quantity: str, show: Callable[[float], str]) -> Callable[[], Measured]:
    def entry() -> Measured:
        results = stored("methods")
        found = results.interval(method, quantity)
        # Best-of-n's KL is a bound, the same for every seed.
        text = within(found, show) if found.reach else show(found.mean)
        about = f"{METHODS[method]}: {quantity}, mean of {results.origin}, 95 % interval"
        return Measured(text, about)

    return entry


def methods_verdict() -> Measured:
    """Which methods end above SFT on every seed, and which has most gold beyond the noise?"""
    results = stored("methods")
    start = results.values("sft", "gold")
    above, below = [], []
    for method, name in METHODS.items():
        if method != "sft":
            golds = results.values(method, "gold")
            wins = sum(gold > sft for gold, sft in zip(golds, start, strict=True))
            (above if wins == len(golds) else below).append((name, wins))
    text = f"On every seed {_listed([name for name, _ in above])} end above SFT in gold reward. "
    for name, wins in below:
        text += f"{name} does so on {wins} of {len(start)}. "
    trained = ("dpo", "grpo", "rloo", "ppo")
    best = max(trained, key=lambda method: results.interval(method, "gold").mean)
    rivals = [
        METHODS[method]
        for method in trained
        if method != best and results.difference(best, method, "gold").has_zero
    ]
    text += f"Of those that train with a penalty, {METHODS[best]} has most, "
    text += (
        f"but not beyond the noise more than {_listed(rivals)}." if rivals else "beyond the noise."
    )
    return Measured(text, f"{results.origin}; noise: the 95 % interval of the paired difference")


def _listed(names: Sequence[str]) -> str:
    """Names as a sentence has them."""
    if not names:
        return "none"
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


_STUDIED: dict[str, Callable[[], Measured]] = {"methods-verdict": methods_verdict}
for _method_name in METHODS:
    _shown = f"methods-{_method_name.replace('_', '-')}"
    _STUDIED |= {
        f"{_shown}-gold": _method(_method_name, "gold", number),
        f"{_shown}-proxy": _method(_method_name, "proxy", number),
        f"{_shown}-kl": _method(_method_name, "kl", nats),
        f"{_shown}-helpful": _method(_method_name, "helpful", share),
        f"{_shown}-seconds": _method(_method_name, "seconds", seconds),
    }


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


def ablations_verdict() -> Measured:
    """Which parts of PPO are missed, at the end and on the way there?"""
    text = ""
    for when, quantity in (("At the end", "gold"), ("On the way there", "gold_on_the_way")):
        less, more, same = [], [], []
        for setting, name in ABLATIONS.items():
            gap = Interval.of(ablation(setting, quantity))
            (same if gap.has_zero else more if gap.mean > 0 else less).append(name)
        text += (
            f"{when}, there is less gold reward with {_listed(less)}; more with {_listed(more)}; "
            f"and no difference beyond the noise with {_listed(same)}. "
        )
    origin = stored("ablations").origin
    return Measured(text.strip(), f"{origin}; noise: the 95 % interval of the paired difference")


def _ablation(setting: str) -> Callable[[], Measured]:
    def entry() -> Measured:
        about = f"change in gold, mean of {stored('ablations').origin}, 95 % interval"
        return Measured(within(Interval.of(ablation(setting, "gold"))), about)

    return entry


_STUDIED["ablations-verdict"] = ablations_verdict
for _setting in ABLATIONS:
    _STUDIED[f"ablations-{_setting.replace('_', '-')}"] = _ablation(_setting)


def _judge(setting: str, quantity: str, show: Callable[[float], str]) -> Callable[[], Measured]:
    def entry() -> Measured:
        results = stored("reward_data")
        about = f"reward model {setting}: {quantity}, mean of {results.origin}, 95 % interval"
        return Measured(within(results.interval(setting, quantity), show), about)

    return entry


for _setting in ("careful_50", "careful_6400", "careful_12800", "distracted_6400", "hesitant_6400"):
    for _quantity_name in ("accuracy", "gold_accuracy", "best_of_16"):
        _shown = f"reward-data-{_setting}-{_quantity_name}".replace("_", "-")
        _show = number if _quantity_name == "best_of_16" else share
        _STUDIED[_shown] = _judge(_setting, _quantity_name, _show)
