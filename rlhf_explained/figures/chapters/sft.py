"""Supervised fine-tuning: the loss, and the floor under it."""

from __future__ import annotations

from rlhf_explained.figures import draw, labels
from rlhf_explained.figures.colours import DASHED, INK, REWARD, SFT
from rlhf_explained.figures.registry import figure
from rlhf_explained.figures.table import Table
from rlhf_explained.measured.text import number
from rlhf_explained.pipeline import Run


def losses(run: Run) -> Table:
    """The SFT loss on demonstrations, its smoothed line, and the loss on held-out ones."""
    steps, train, heldout = (
        [row[name] for row in run.history["sft"]] for name in ("step", "loss", "heldout_loss")
    )
    names = "training loss", "smoothed", "held-out loss"
    return Table.of(
        "sft-loss",
        "SFT loss",
        ["step", *(f"{name} (nats per token) .3" for name in names)],
        zip(steps, train, draw.smoothed(train), heldout, strict=True),
        {"floor (nats per token) .3": float(run.sft["loss_floor"])},
    )


@figure(
    "sft-loss",
    numbers=losses,
    alt="The SFT loss over the training steps. On the demonstrations it falls from "
    "{sft-loss-first} to {sft-loss-last}, and on held-out demonstrations it ends at "
    "{sft-heldout-loss-last}. A dashed line marks the entropy of the demonstrations, "
    "{sft-loss-floor}. On demonstrations that it has not seen, no model can have a lower loss on "
    "average.",
)
def loss(run: Run, table: Table) -> draw.Figure:
    """Loss on demonstrations and on held-out ones over the steps, above the data's entropy."""
    steps, train, smooth = table["step"], table["training loss"], table["smoothed"]
    heldout, floor = table["held-out loss"], table.line("floor")
    figure, _ = draw.page(246)
    axes = draw.panel(figure, (32, 30, 216, 160), "SFT loss", "nats per token", "optimiser step")
    draw.curve(axes, steps, smooth, SFT, "-", raw=train)
    draw.curve(axes, steps, heldout, INK, (0, (1, 1.5)))
    axes.axhline(floor, color=REWARD, linewidth=1.4, linestyle=DASHED)
    draw.limits(axes, steps, [*train, *heldout, floor])
    ends = [(smooth[-1], "training", SFT), (heldout[-1], "held out", INK)]
    labels.end_labels(axes, [*ends, (floor, f"floor {number(floor)}", REWARD)])
    draw.notes(figure, f"floor: entropy of the demonstrations · seed {run.config.seed}")
    return figure
