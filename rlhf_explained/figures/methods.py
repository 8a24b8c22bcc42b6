"""Every method from the same start, side by side."""

from __future__ import annotations

from matplotlib.figure import Figure

from rlhf_explained.figures import numbers, style
from rlhf_explained.measured import number
from rlhf_explained.measured.of_studies import METHODS, method
from rlhf_explained.pipeline import Run
from rlhf_explained.studies import stored

COLOURS = {
    **style.COLOURS,
    "sft_1.0": style.SFT,
    "sft_best": style.SFT,
    "sft_good": style.SFT,
    "sft_best_tenth": style.SFT,
    "rejection_sampling": style.REWARD,
    "best_of_16": style.REWARD,
    "dpo": style.ALIGNED,
}
IMITATION = ("sft_1.0", "sft_best", "sft_good", "sft_best_tenth")
MARKERS = {**style.MARKERS, **dict.fromkeys(IMITATION, "^")}


@style.drawn
def gold_by_method(run: Run) -> Figure:
    """The gold reward that each method reaches, and the KL that it takes, over seeds."""
    results = stored("methods")
    (table,) = numbers.methods(run)
    gap, left, right = 30.0, 148.0, 62.0
    height = gap * len(table.rows)
    figure, page = style.page(height + 106)
    axes = style.panel(
        figure,
        left,
        36,
        style.WIDTH - left - right,
        height,
        title="Gold",
        unit="true reward, mean",
        xlabel="gold, on held-out prompts",
    )
    style.words(page, style.WIDTH - 4, 27, "KL, nats", size=style.SMALL, align="right")
    axes.set_yticks([])
    axes.set_ylim(len(table.rows) - 0.5, -0.5)
    axes.xaxis.set_major_locator(style.MaxNLocator(4, steps=[1, 2, 5, 10]))
    seeds: list[tuple[float, float]] = []
    keys = {name: key for key, name in METHODS.items()}
    for place, row in enumerate(table.rows):
        name, mean, reach, kl = row[0], row[1], row[2], row[5]
        key = keys[name]
        colour, middle = COLOURS.get(key, style.INK), 36 + gap * (place + 0.5) + 4
        style.words(page, left - 10, middle, name, colour=colour, align="right")
        golds = method(key, "gold")
        seeds += [(gold, place + 0.27) for gold in golds]
        axes.plot([mean - reach, mean + reach], [place + 0.09] * 2, color=style.INK, linewidth=1.6)
        marker = MARKERS.get(key, "D")
        axes.plot(mean, place - 0.1, marker, color=colour, markersize=7)
        text = number(kl) if key != "best_of_16" else f"≤ {number(kl)}"
        style.words(page, style.WIDTH - 4, middle, text, colour=style.MUTED, align="right")
    golds, places = zip(*seeds, strict=True)
    style.dots(axes, golds, places, style.MUTED)
    sft = results.interval("sft_1.0", "gold").mean
    axes.axvline(sft, color=style.SFT, linewidth=1.2, linestyle=style.DASHES["sft"], zorder=0)
    margin = 0.06 * (max(golds) - min(golds))
    axes.set_xlim(min(golds) - margin, max(golds) + margin)
    style.remark(figure, "large: mean with 95 % interval · small: one seed")
    style.note(figure, results.origin)
    return figure


@style.drawn
def curation(run: Run) -> Figure:
    """Gold against the share of good demonstrations: imitation, curation, comparisons."""
    (table,) = numbers.curation(run)
    figure, _ = style.page(300)
    axes = style.panel(
        figure,
        36,
        24,
        style.WIDTH - 36 - 140,
        200,
        title="Gold",
        unit="true reward, held-out, temperature 1",
        xlabel="good demonstrations, %",
    )
    looks = {
        "SFT": (style.SFT, (0, (1, 2)), "^"),
        "SFT on good ones": (style.SFT, (0, (6, 2, 1, 2)), "^"),
        "SFT on the best tenth": (style.SFT, (0, (3, 1, 1, 1)), "v"),
        "DPO": (style.ALIGNED, (0, (4, 2)), "D"),
        "PPO": (style.PPO, "-", "o"),
    }
    labels, values = [], []
    for place, (name, (colour, dash, marker)) in enumerate(looks.items()):
        rows = table.where("method", name)
        shares, means, reaches = (
            rows[column] for column in ("good demonstrations", "gold", "± gold")
        )
        xs = [share + place - 2 for share in shares]  # so that no interval hides another
        axes.plot(
            xs, means, color=colour, linestyle=dash, linewidth=1.8, marker=marker, markersize=5
        )
        for x, mean, reach in zip(xs, means, reaches, strict=True):
            axes.plot([x, x], [mean - reach, mean + reach], color=colour, linewidth=1)
            values += mean - reach, mean + reach
        labels.append((means[-1], name, colour))
    style.limits(axes, [1, 74], [*values, max(values) + 0.3])  # room for the labels
    axes.set_xticks([5, 30, 70])
    style.end_labels(axes, labels)
    style.remark(figure, "bars: 95 % interval of the mean")
    style.note(figure, stored("curation").origin)
    return figure
