"""What PPO loses, or not, without one of its parts."""

from __future__ import annotations

from typing import Any

from rlhf_explained.figures import colours, draw
from rlhf_explained.figures.colours import BASE, INK, MUTED, NOKL, PPO, SFT
from rlhf_explained.figures.registry import figure
from rlhf_explained.figures.table import Table
from rlhf_explained.measured.of_studies import ABLATIONS, ALPHA, CRITICS, ablation, gold_changes
from rlhf_explained.measured.text import number
from rlhf_explained.pipeline import Run
from rlhf_explained.studies import Interval, stored

LOOKS = {
    "ppo": (PPO, "-", "o"),
    "critic_from_sft": (SFT, colours.DASH_DOT, "^"),
    "critic_detached": (MUTED, colours.DASHED, "s"),
    "critic_shared": (NOKL, colours.DOTTED, "X"),
}


def changes(run: Run) -> tuple[Table, Table]:
    """What PPO reaches without one of its parts, and each seed's change in gold."""
    study = stored("ablations")
    headings = {
        "helpful": "helpful (%) .0",
        "false": "false (%) .0",
        "kl": "KL (nats)",
        "largest_kl": "largest KL (nats) .1",
        "late_explained_variance": "late explained variance",
    }
    found = gold_changes()
    rows: list[tuple[Any, ...]] = []
    for setting, name in {"ppo": "PPO as shipped", **ABLATIONS}.items():
        change = found.get(setting)
        means = (
            study.interval(setting, quantity).mean * (100 if "%" in heading else 1)
            for quantity, heading in headings.items()
        )
        gold, cells = study.interval(setting, "gold").mean, [None] * 3
        if change:
            cells = [change.mean, change.reach, change.p]
        rows.append((name, gold, *cells, *means))
    seeds = [
        (name, seed, gap)
        for setting, name in ABLATIONS.items()
        for seed, gap in zip(study.seeds, ablation(setting, "gold"), strict=True)
    ]
    title = (
        f"PPO without one of its parts, mean of {len(study.seeds)} seeds; ± 95 % interval. "
        "“Largest” is over all iterations, “late” over the last ten; in “no critic”, a critic was "
        "trained but not used"
    )
    head = "setting", "gold", "change", "±", "p, corrected (Holm) .4"
    by_seed = "setting", "seed", "change .3"
    return (
        Table.of("ablations", title, (*head, *headings.values()), rows),
        Table.of("ablations-seeds", "Change in gold, seed by seed", by_seed, seeds),
    )


@figure(
    "ablations",
    numbers=changes,
    studies=("ablations",),
    alt="The change in gold reward on held-out prompts when one part of PPO is changed, with 95 % "
    "intervals over five seeds. A critic that starts from SFT changes it by "
    "{ablations-critic-from-sft}. A critic on the policy’s network changes it by "
    "{ablations-critic-shared}, or by {ablations-critic-detached} if its gradient is stopped "
    "there. The other changes are: no critic {ablations-no-critic}, λ = 1 {ablations-lambda-1}, "
    "no clip {ablations-no-clip}, no value clip {ablations-no-value-clip}, no KL penalty "
    "{ablations-no-kl}, and no whitening {ablations-no-whitening}. Mixing in documents about "
    "practised questions changes it by {ablations-mix-practised}, and mixing in documents that "
    "contain the answers by {ablations-mix-all}. Eight epochs per batch instead of two change it "
    "by {ablations-eight-epochs}. Compared with eight epochs with the clip, eight epochs "
    "without it change it by {ablations-eight-epochs-no-clip}.",
)
def gold_without(run: Run, table: Table, seeds: Table) -> tuple[draw.Figure, ...]:
    """The change in gold reward, seed by seed, when a part is taken out.

    The scale is that of all rows but the farthest, which may lie off it: an arrow says so. A change
    is coloured and bold if it is beyond the noise after Holm's correction.
    """
    rows = [row[:5] for row in table.rows if row[2] is not None]
    single = {name: seeds.where("setting", name)["change"] for name, *_ in rows}
    farthest = max(rows, key=lambda row: abs(row[2]))
    near = [0.0]
    for name, _, mean, reach, _ in (row for row in rows if row is not farthest):
        near += [*single[name], mean - reach, mean + reach]
    margin = 0.08 * (max(near) - min(near))
    low, high = min(near) - margin, max(near) + margin
    half = (len(rows) + 1) // 2
    first, second = (_changes(part, single, low, high) for part in (rows[:half], rows[half:]))
    key = "◆ mean, 95 % interval · dots: seeds"
    if not low <= farthest[2] <= high:
        key += f" · {'◂' if farthest[2] < low else '▸'} off the scale"
    draw.notes(first, key)
    bold = "bold: beyond the noise, corrected by Holm"
    draw.notes(second, bold, stored("ablations").origin)
    return first, second


def _changes(
    rows: list[Any], single: dict[str, list[float]], low: float, high: float
) -> draw.Figure:
    """A page of changes on a scale from `low` to `high`, each under its name."""
    gap, top, wide = 42.0, 36.0, draw.WIDTH - 28
    figure, page = draw.page(top + gap * len(rows) + 74)
    frame, unit = (14, top, wide, gap * len(rows)), "true reward, held-out prompts"
    xlabel = "change from the same seed with that part"
    axes = draw.panel(figure, frame, "Change in gold", unit, xlabel, room=14)
    axes.set_yticks([])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.locator_params(axis="x", nbins=6, integer=False)
    axes.set_xlim(low, high)
    for place, (name, _, mean, reach, p_value) in enumerate(rows):
        at, line, bold = place + 0.18, top + gap * place + 16, p_value <= ALPHA
        colour = INK if not bold else PPO if mean > 0 else BASE
        text = f"{number(mean)} ± {number(reach)}"
        draw.words(page, 14, line, name)
        draw.words(page, draw.WIDTH - 14, line, text, colour, ha="right", bold=bold)
        axes.plot([0, 0], [place - 0.05, place + 0.42], color=MUTED, linewidth=1)
        if low <= mean <= high:
            draw.dots(axes, single[name], [place + 0.36] * len(single[name]), MUTED)
            axes.plot([mean - reach, mean + reach], [at, at], color=colour, linewidth=1.4)
            axes.plot(mean, at, "D", color=colour, markersize=6)
        else:
            edge, marker = (low, "<") if mean < low else (high, ">")
            axes.plot(edge, at, marker, color=colour, markersize=9, clip_on=False)
    return figure


def by_position(run: Run) -> Table:
    """What each kind of critic explains before each token of an answer."""
    study, rows = stored("ablations"), []
    for setting, name in CRITICS.items():
        kept = [row["explained_by_position"] for row in study.rows if row["setting"] == setting]
        tokens = enumerate(zip(*kept, strict=True), start=1)
        rows += ((name, token, Interval.of(values)) for token, values in tokens)
    title = f"Explained variance by position, mean of {len(study.seeds)} seeds ± 95 % interval"
    headings = "critic", "token", "explained variance ±"
    return Table.of("critic-positions", title, headings, rows)


@figure(
    "critic-positions",
    numbers=by_position,
    studies=("ablations",),
    alt="For four kinds of critic, the figure shows how much of the variance of the reward still "
    "to come each of them explains, before each of an answer's first tokens. Values are means "
    "over five seeds with 95 % intervals. Over the last ten rounds of training, a separate "
    "network explains {ablations-ppo-explained-variance} if it starts from the reward model and "
    "{ablations-critic-from-sft-explained-variance} if it starts from SFT. A head on the policy’s "
    "network explains {ablations-critic-detached-explained-variance} if it does not change that "
    "network, and {ablations-critic-shared-explained-variance} if it does.",
)
def critic_positions(run: Run, table: Table) -> draw.Figure:
    """What four kinds of critic explain before each token of an answer."""
    figure, page = draw.page(328)
    unit, xlabel = "of the reward still to come", "next token of the answer"
    frame = (40, 24, draw.WIDTH - 54, 180)
    axes = draw.panel(figure, frame, "Explained variance", unit, xlabel)
    values = [0.0]
    for place, (setting, look) in enumerate(LOOKS.items()):
        (colour, dash, marker), name = look, CRITICS[setting]
        rows = table.where("critic", name)
        draw.means(axes, rows["token"], rows, "explained variance", look)
        values += rows["explained variance"]
        left, line = 4 + 202 * (place % 2), 258 + 18 * (place // 2)
        page.plot([left, left + 26], [line - 4] * 2, color=colour, linestyle=dash, linewidth=1.8)
        page.plot(left + 13, line - 4, marker, color=colour, markersize=4.5)
        draw.words(page, left + 32, line, name, colour, size=draw.SMALL)
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.set_ylim(max(min(values), -1.0) - 0.08, 1)  # what is worse is worse
    axes.set_xlim(0.6, max(table["token"]) + 0.4)
    draw.notes(figure, "bars: 95 % interval of the mean", stored("ablations").origin)
    return figure
