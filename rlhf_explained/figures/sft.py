"""Supervised fine-tuning: the loss, and the floor under it."""

from __future__ import annotations

from matplotlib.figure import Figure

from rlhf_explained.figures import numbers, style
from rlhf_explained.measured import number
from rlhf_explained.pipeline import Run


@style.drawn
def loss(run: Run) -> Figure:
    """Loss on demonstrations and on held-out ones over the steps, above the data's entropy."""
    (table,) = numbers.sft_loss(run)
    steps, train, smooth = table["step"], table["training loss"], table["smoothed"]
    heldout, floor = table["held-out loss"], table.line("floor")
    figure, _ = style.page(246)
    axes = style.panel(
        figure, 32, 30, 216, 160, title="SFT loss", unit="nats per token", xlabel="optimiser step"
    )
    style.curve(axes, steps, smooth, colour=style.SFT, dash="-", raw=train)
    style.curve(axes, steps, heldout, colour=style.INK, dash=(0, (1, 1.5)))
    axes.axhline(floor, color=style.REWARD, linewidth=1.4, linestyle=(0, (4, 2)))
    style.limits(axes, steps, [*train, *heldout, floor])
    style.end_labels(
        axes,
        [
            (smooth[-1], "training", style.SFT),
            (heldout[-1], "held out", style.INK),
            (floor, f"floor {number(floor)}", style.REWARD),
        ],
    )
    style.note(figure, f"floor: entropy of the demonstrations · seed {run.config.seed}")
    return figure
