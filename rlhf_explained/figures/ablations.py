"""What PPO loses, or not, without one of its parts."""

from __future__ import annotations

from matplotlib.figure import Figure

from rlhf_explained.figures import numbers, style
from rlhf_explained.measured import number
from rlhf_explained.measured.of_studies import ALPHA
from rlhf_explained.pipeline import Run
from rlhf_explained.studies import stored


@style.drawn
def gold_without(run: Run) -> Figure:
    """The change in gold reward, seed by seed, when a part is taken out.

    The scale is that of all rows but the farthest, which may lie off it: an arrow says so. A change
    is coloured and bold if it is beyond the noise after Holm's correction.
    """
    table, seeds = numbers.ablations(run)
    rows = [row[:5] for row in table.rows if row[2] is not None]
    rows = [(name, mean, reach, p <= ALPHA) for name, _, mean, reach, p in rows]
    gap, top = 42.0, 36.0
    figure, page = style.page(top + gap * len(rows) + 88)
    axes = style.panel(
        figure,
        14,
        top,
        style.WIDTH - 28,
        gap * len(rows),
        title="Change in gold",
        unit="true reward, held-out prompts",
        xlabel="change, against the same seed with that part",
        headroom=14,
    )
    axes.set_yticks([])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.xaxis.set_major_locator(style.MaxNLocator(6, steps=[1, 2, 5, 10]))
    changes = [seeds.where("setting", name)["change"] for name, *_ in rows]
    farthest = max(range(len(rows)), key=lambda place: abs(rows[place][1]))
    near = [0.0]
    for place, (_, mean, reach, _) in enumerate(rows):
        near += [] if place == farthest else [*changes[place], mean - reach, mean + reach]
    margin = 0.08 * (max(near) - min(near))
    low, high = min(near) - margin, max(near) + margin
    axes.set_xlim(low, high)
    key = "◆ mean, 95 % interval · dots: seeds"
    for place, (name, mean, reach, beyond) in enumerate(rows):
        at, line = place + 0.18, top + gap * place + 16
        colour = style.INK if not beyond else style.PPO if mean > 0 else style.BASE
        style.words(page, 14, line, name)
        text = f"{number(mean)} ± {number(reach)}"
        style.words(page, style.WIDTH - 14, line, text, colour=colour, align="right", bold=beyond)
        axes.plot([0, 0], [place - 0.05, place + 0.42], color=style.MUTED, linewidth=1)
        if low <= mean <= high:
            style.dots(axes, changes[place], [place + 0.36] * len(changes[place]), style.MUTED)
            axes.plot([mean - reach, mean + reach], [at, at], color=colour, linewidth=1.4)
            axes.plot(mean, at, "D", color=colour, markersize=6)
        else:
            edge, marker, arrow = (low, "<", "◂") if mean < low else (high, ">", "▸")
            axes.plot(edge, at, marker, color=colour, markersize=9, clip_on=False)
            key = f"◆ mean, 95 % interval · dots: seeds · {arrow} off the scale"
    style.note(figure, key, above=37)
    style.remark(figure, "bold: beyond the noise, corrected by Holm")
    style.note(figure, stored("ablations").origin)
    return figure


@style.drawn
def critic_positions(run: Run) -> Figure:
    """What four kinds of critic explain before each token of an answer."""
    (table,) = numbers.critic_positions(run)
    figure, page = style.page(328)
    axes = style.panel(
        figure,
        40,
        24,
        style.WIDTH - 54,
        180,
        title="Explained variance",
        unit="of what is still to be earned",
        xlabel="token of the answer that is about to be written",
    )
    looks = {
        "ppo": (style.PPO, "-", "o"),
        "critic_from_sft": (style.SFT, (0, (6, 2, 1, 2)), "^"),
        "critic_detached": (style.MUTED, (0, (4, 2)), "s"),
        "critic_shared": (style.NOKL, (0, (1, 2)), "X"),
    }
    values = [0.0]
    for place, (setting, (colour, dash, marker)) in enumerate(looks.items()):
        rows = table.where("critic", numbers.CRITICS[setting])
        xs, means, reaches = (
            rows[name] for name in ("token", "explained variance", "± explained variance")
        )
        axes.plot(
            xs, means, color=colour, linestyle=dash, linewidth=1.8, marker=marker, markersize=4.5
        )
        for x, mean, reach in zip(xs, means, reaches, strict=True):
            axes.plot([x, x], [mean - reach, mean + reach], color=colour, linewidth=0.8)
        values += means
        left, line = 4 + 202 * (place % 2), 258 + 18 * (place // 2)
        page.plot([left, left + 26], [line - 4] * 2, color=colour, linestyle=dash, linewidth=1.8)
        page.plot(left + 13, line - 4, marker, color=colour, markersize=4.5)
        style.words(
            page, left + 32, line, numbers.CRITICS[setting], size=style.SMALL, colour=colour
        )
    axes.axhline(0, color=style.MUTED, linewidth=0.8)
    low = max(min(values), -1.0)  # what is worse is worse
    axes.set_ylim(low - 0.08, 1)
    axes.set_xlim(0.6, max(table["token"]) + 0.4)
    style.remark(figure, "bars: 95 % interval of the mean")
    style.note(figure, stored("ablations").origin)
    return figure
