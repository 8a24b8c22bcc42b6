"""Watch it cheat: both PPO runs round by round, after a bet on where the true reward peaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlhf_explained.explore.fence import Kind
from rlhf_explained.measured.text import number
from rlhf_explained.pipeline import Run

RUNS = {"ppo": "with the penalty", "ppo_no_kl": "without it"}
_QUANTITIES = {"proxy": "judge’s score", "gold": "true reward", "kl": "KL (nats)"}


def rounds(run: Run) -> dict[str, Any]:
    """What the script shows: of each run, each quantity in every round."""
    return {
        name: {what: [round(row[what], 3) for row in run.history[name]] for what in _QUANTITIES}
        for name in RUNS
    }


def recorded(run: Run, options: Mapping[str, str]) -> str:
    """The rounds as a table: the first, every tenth, and each run's best."""
    last = len(run.history["ppo"])
    best = {max(run.history[name], key=lambda row: row["gold"])["iteration"] for name in RUNS}
    shown = sorted({1, last, *range(10, last, 10), *best})
    groups = "".join(
        f'<th scope="colgroup" colspan="{len(RUNS)}">{what}</th>' for what in _QUANTITIES.values()
    )
    heads = "".join(f'<th scope="col">{name}</th>' for name in RUNS.values()) * len(_QUANTITIES)
    body = "".join(
        f'<tr><th scope="row">{at}</th>'
        + "".join(
            f"<td>{number(run.history[name][at - 1][what], 2)}</td>"
            for what in _QUANTITIES
            for name in RUNS
        )
        + "</tr>"
        for at in shown
    )
    return (
        '<div class="numbers" role="region" aria-label="Recorded rounds" tabindex="0">'
        '<table class="plain"><caption>Recorded: the first round, every tenth, and the best of '
        f'each run.</caption><thead><tr><th scope="col" rowspan="2">round</th>{groups}</tr>'
        f"<tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


KIND = Kind("cheat", "Place your bet", recorded, ("cheat",), {"rounds": rounds})
