"""Recorded numbers that a closed formula computes anew as a slider moves.

The live part is the recorded one with other numbers in it: `js/sliders.js` writes them into the
same cells. What else has other words then says so in `data-live`; rows marked `data-recorded` go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from math import sqrt
from typing import Any

from rlhf_explained.explore import slider_numbers as numbers
from rlhf_explained.explore.fence import Kind, Row, table
from rlhf_explained.measured.text import number
from rlhf_explained.pipeline import Run

_COUNT = 4  # of answers: what best-of-n begins with
_BESIDE = {"beta": (2.0, 1.0, 0.25), "n": (16, 64)}  # settings that are recorded as well
NAMES = {"beta": "best policy, β = {}", "n": "best of {}"}


def percent(part: float) -> str:
    """A share with a digit behind the point, as the script writes it."""
    return f"{number(100 * part, 1)}\N{NO-BREAK SPACE}%"


# The exact world


def listed(run: Run) -> dict[str, Any]:
    """What the script computes policies from.

    Args:
        run: Any: the world is the same for all.

    Returns:
        `answers`, each with reward and log-probability; the places of those `shown`; the settings
        of both sliders, `beta` and `n`, and which one each `start`s at.
    """
    world = numbers.world()
    start = {
        "beta": numbers.PRICES.index(world["price"]),
        "n": numbers.COUNTS.index(_COUNT),
    }
    return {
        "answers": world["answers"],
        "shown": world["shown"],
        "beta": numbers.PRICES,
        "n": numbers.COUNTS,
        "start": start,
    }


def frontier(run: Run, options: Mapping[str, str]) -> str:
    """The best policies and best-of-n: a drawing, what some of them gain, and what they answer.

    Args:
        run: Any.
        options: None.

    Returns:
        HTML.
    """
    world = numbers.world()
    chosen = {"beta": world["price"], "n": _COUNT}
    policies = {kind: world[kind][str(at)] for kind, at in chosen.items()}
    rows: list[Row] = [("reference", gains(world["reference"]), "")]
    for kind, others in _BESIDE.items():
        for at in sorted({chosen[kind], *others}, key=lambda at: world[kind][str(at)]["kl"]):
            about = "" if at == chosen[kind] else " data-recorded"
            rows.append((NAMES[kind].format(f"{at:g}"), gains(world[kind][str(at)]), about))
    heads = ("policy", "reward gained", "KL (nats)", "share of the maximum")
    title = "what each policy gains over the reference, and its KL from the reference"
    live = "Computed in this page, over all answers: what each policy gains"
    gained = table(title, f"Recorded: {title}.", heads, rows, live=f"{live} over the reference.")

    all_three = (world["reference"], *policies.values())
    shares = []
    for row, place in enumerate(world["shown"]):
        text, reward, _ = world["answers"][place]
        cells = [number(reward), *(percent(one["shares"][row]) for one in all_three)]
        shares.append((text, cells, ""))
    others = [percent(1 - sum(one["shares"])) for one in all_three]
    shares.append(("all others", ["", *others], ""))
    heads = ("answer", "reward", "reference", f"β = {chosen['beta']:g}", f"best of {_COUNT}")
    live = "Rewards and the reference’s shares are recorded, the other shares computed in this page"
    title = "how often each policy writes these answers"
    answers = table(title, f"Recorded: {title}.", heads, shares, live=f"{live}.")
    return f'<div class="panel">{_plane(world, policies, chosen)}</div>{gained}{answers}'


def gains(policy: Mapping[str, Any]) -> list[str]:
    """What a policy gains, its KL, and its part of what can be gained, as text."""
    return [number(policy["gained"]), number(policy["kl"]), percent(policy["part"])]


Place = Callable[[float, float], tuple[str, str]]
"""Where a KL and a gain are drawn."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 26.0, 334.0, 10.0, 164.0  # of the plane


def _plane(
    world: Mapping[str, Any],
    policies: Mapping[str, Mapping[str, Any]],
    chosen: Mapping[str, float | int],
) -> str:
    """Reward gained against the root of the KL, with a mark for each of two policies."""
    furthest = world["beta"][str(numbers.PRICES[0])]
    width = (_RIGHT - _LEFT) / sqrt(furthest["kl"])
    height = (_BOTTOM - _TOP) / furthest["gained"] / 1.05

    def place(kl: float, gained: float) -> tuple[str, str]:
        return f"{_LEFT + width * sqrt(kl):.1f}", f"{_BOTTOM - height * gained:.1f}"

    names = {kind: NAMES[kind].format(f"{chosen[kind]:g}") for kind in policies}
    told = " and ".join(
        f"{names[kind]}, at {number(one['kl'])} nats and a gain of {number(one['gained'])}"
        for kind, one in policies.items()
    )
    alt = (
        "Recorded: reward gained over the reference against the KL from it. The line of the best "
        "policies rises ever less steeply. The line of best-of-n runs just below it and ends at "
        f"{number(world['n'][str(numbers.COUNTS[-1])]['kl'])} nats. Two policies are marked: "
        f"{told}."
    )
    live = (
        "Recorded: the line of the best policies and, below it, the line of best-of-n. Computed "
        "in this page: where on these lines the two policies of the table lie."
    )
    return (
        '<p data-live="Reward gained: lines recorded, marks computed in this page">'
        'Recorded: reward gained</p><svg role="img" viewBox="0 0 340 200" '
        f'data-scale="{_LEFT} {_BOTTOM} {width} {height}">'
        f'<title data-live="{live}">{alt}</title>'
        f"{_axes(place)}{_lines(world, place)}{_marks(policies, names, place)}</svg>"
    )


def _axes(place: Place) -> str:
    """Their numbers and what they are of."""
    parts = []
    for gained in (0.0, 0.5, 1.0, 1.5):
        _, y = place(0.0, gained)
        parts.append(
            f'<line class="line-faint" x1="{_LEFT}" x2="{_RIGHT}" y1="{y}" y2="{y}"/>'
            f'<text class="fill-muted" x="{_LEFT - 5}" y="{float(y) + 4:.1f}" text-anchor="end">'
            f"{gained:g}</text>"
        )
    for kl in (0.0, 0.1, 0.5, 1.0, 2.0, 3.0, 5.0):
        x, _ = place(kl, 0.0)
        parts.append(
            f'<text class="fill-muted" x="{x}" y="{_BOTTOM + 16}" text-anchor="middle">'
            f"{kl:g}</text>"
        )
    return (
        f'{"".join(parts)}<text class="fill-muted" x="{(_LEFT + _RIGHT) / 2}" y="{_BOTTOM + 32}" '
        'text-anchor="middle">KL from the reference, nats (root scale)</text>'
    )


def _lines(world: Mapping[str, Any], place: Place) -> str:
    """The best policies, and best-of-n."""
    looks = {
        "beta": ('class="line-muted"', numbers.PRICES),
        "n": ('class="line-rm bet"', numbers.COUNTS),
    }
    drawn = ""
    for kind, (look, settings) in looks.items():
        points = [world["reference"]] * (kind == "beta")
        points += sorted((world[kind][str(one)] for one in settings), key=lambda one: one["kl"])
        where = " ".join(",".join(place(one["kl"], one["gained"])) for one in points)
        drawn += f'<polyline {look} points="{where}"/>'
    return drawn


def _marks(
    policies: Mapping[str, Mapping[str, Any]], names: Mapping[str, str], place: Place
) -> str:
    """The two policies, and the key to their marks."""
    shapes = {
        "beta": '<circle class="fill-ink" r="5"/>',
        "n": '<path class="fill-rm" d="M-5 5h10l-5-10z"/>',
    }
    drawn = ""
    for row, (kind, shape) in enumerate(shapes.items()):
        x, y = place(policies[kind]["kl"], policies[kind]["gained"])
        key = f"{_RIGHT - 132} {_BOTTOM - 32 + 18 * row}"
        drawn += (
            f'<g data-mark transform="translate({x} {y})">{shape}</g>'
            f'<g data-key transform="translate({key})">{shape}<text class="fill-ink" x="12" y="4">'
            f"{names[kind]}</text></g>"
        )
    return drawn


# The credit of each token of an answer


def credited(run: Run) -> dict[str, Any]:
    """What the script computes rewards and advantages from.

    Args:
        run: Whose answer.

    Returns:
        What was recorded of each token, the `score`, and by setting the slider's values and which
        one it `start`s at.
    """
    one = numbers.answer(run)
    given = {name: one[name] for name in ("logprobs", "ref_logprobs", "values", "score", "gamma")}
    start = {name: some.index(one[name]) for name, some in numbers.CREDIT.items()}
    return {**given, **numbers.CREDIT, "start": start}


def credit(run: Run, options: Mapping[str, str]) -> str:
    """An answer token by token: reward, value, surprise and advantage, drawn and in numbers.

    Args:
        run: Whose answer.
        options: None.

    Returns:
        HTML.
    """
    one = numbers.answer(run)
    settings = ", ".join(
        f"{sign} = {one[name]:g}" for name, sign in (("beta", "β"), ("gamma", "γ"), ("lambda", "λ"))
    )
    columns = {
        "log-ratio": [a - b for a, b in zip(one["logprobs"], one["ref_logprobs"], strict=True)],
        "reward": one["rewards"],
        "value": one["values"],
        "δ": one["deltas"],
        "advantage": one["advantages"],
        "return": one["returns"],
    }
    heads = ("token", *columns)
    rows = [
        (escape(word), [number(value) for value in values], "")
        for word, *values in zip(one["words"], *columns.values(), strict=True)
    ]
    sums = [sum(columns["log-ratio"]), sum(one["rewards"]), None, sum(one["deltas"]), None, None]
    rows.append(("sum", ["" if value is None else number(value) for value in sums], ""))
    asked = f"the trained policy’s answer to “{one['prompt']}”, with {settings}"
    score = f"log-ratios, values and the score of {number(one['score'])} are recorded"
    live = f"Computed in this page: rewards, surprises, advantages and returns; {score}."
    told = table(asked, f"Recorded: {escape(asked)}.", heads, rows, live=live)
    return f'<div class="panel">{_bars(one, settings)}</div>{told}'


def _bars(one: Mapping[str, Any], settings: str) -> str:
    """Surprise and advantage of each token, to the left or right of zero."""
    zero, unit, step = 200.0, 128 / one["reach"], 34
    height = step * len(one["words"]) + 26
    looks = {"deltas": ("surprise δ", "muted"), "advantages": ("advantage", "ppo")}
    parts = [
        f'<rect class="fill-{colour}" x="{74 + 120 * place}" y="4" width="12" height="9"/>'
        f'<text class="fill-{colour}" x="{91 + 120 * place}" y="13">{name}</text>'
        for place, (name, colour) in enumerate(looks.values())
    ]
    parts.append(f'<line class="line-faint" x1="{zero}" x2="{zero}" y1="20" y2="{height}"/>')
    for place, word in enumerate(one["words"]):
        top = 26 + step * place
        parts.append(
            f'<text class="fill-ink" x="66" y="{top + 17}" text-anchor="end">{escape(word)}</text>'
        )
        for row, (name, (_, colour)) in enumerate(looks.items()):
            value = one[name][place]
            left, width = zero + min(0, unit * value), abs(unit * value)
            parts.append(
                f'<rect data-bar class="fill-{colour}" x="{left:.1f}" y="{top + 13 * row}" '
                f'width="{width:.1f}" height="10"/>'
            )
    alt = "; ".join(
        f"{escape(word)} {number(delta)} and {number(advantage)}"
        for word, delta, advantage in zip(
            one["words"], one["deltas"], one["advantages"], strict=True
        )
    )
    live = "Computed in this page: the surprise and the advantage at each token, as in the table."
    return (
        '<p data-live="Computed in this page: surprise and advantage">'
        f'Recorded: surprise and advantage</p><svg role="img" viewBox="0 0 340 {height}" '
        f'data-scale="{zero} {unit}">'
        f'<title data-live="{live}">Recorded, with {settings}: surprise and advantage at each '
        f"token. {alt}.</title>{''.join(parts)}</svg>"
    )


_SCRIPTS = ("page", "sliders")
FRONTIER = Kind("frontier", "Move β and n", frontier, _SCRIPTS, {"listed": listed})
CREDIT = Kind("credit", "Move β and λ", credit, _SCRIPTS, {"credited": credited})
KINDS = (FRONTIER, CREDIT)
