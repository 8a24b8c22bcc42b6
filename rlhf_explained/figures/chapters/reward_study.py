"""How good a reward model gets with more comparisons, and with worse labelers."""

from __future__ import annotations

from rlhf_explained.figures import colours, draw, labels
from rlhf_explained.figures.colours import INK, MUTED, REWARD
from rlhf_explained.figures.registry import figure
from rlhf_explained.figures.table import Table
from rlhf_explained.measured.text import number, share
from rlhf_explained.pipeline import Run
from rlhf_explained.studies import Interval, stored

# Colour, dash and marker; and how far a line is moved aside, so that no interval hides another.
LOOKS = {
    "careful": ((REWARD, "-", "o"), 1.0),
    "distracted": ((INK, colours.DASHED, "s"), 1.1),
    "hesitant": ((MUTED, colours.DOTTED, "^"), 0.9),
}
BY_GOLD = ((INK, colours.DASH_DOT, "D"), 1.1)


def _found(setting: str, heading: str, quantity: str) -> Interval:
    """A mean of the study with its interval, in per cent where the heading says so."""
    values, scale = stored("reward_data").values(setting, quantity), 100 if "%" in heading else 1
    return Interval.of([scale * value for value in values])


def careful(run: Run) -> Table:
    """What the careful labeler's comparisons are worth, the more of them there are."""
    study = stored("reward_data")
    headings = {
        "accuracy": "accuracy (%) .1 ±",
        "gold_accuracy": "gold accuracy (%) .1 ±",
        "best_of_16": "best-of-16 gold ±",
        "hard_negative_accuracy": "hard negatives (%) .1 ±",
    }
    lines = {
        "ceiling": "ceiling of the accuracy (%)",
        "any_of_16": "gold of any answer",
        "gold_of_16": "gold of the best of 16",
    }
    return Table.of(
        "reward-data",
        f"Reward models on held-out prompts, mean of {len(study.seeds)} seeds ± 95 % interval",
        ("pairs", *headings.values()),
        [
            (setting["pairs"], *(_found(name, headings[of], of) for of in headings))
            for name, setting in study.config.items()
            if name.startswith("careful")
        ],
        {heading: _found("careful_50", heading, of).mean for of, heading in lines.items()},
    )


@figure(
    "reward-data",
    numbers=careful,
    studies=("reward_data",),
    alt="Two panels for 50 to 12,800 preference pairs, with 95 % intervals over five seeds. The "
    "first shows the accuracy on held-out pairs. Compared with the labeler's choices, it is "
    "{reward-data-careful-50-accuracy} with 50 pairs and {reward-data-careful-12800-accuracy} "
    "with 12,800, below a dashed line for the ceiling. Compared with the order of the gold "
    "rewards, it is {reward-data-careful-50-gold-accuracy} and "
    "{reward-data-careful-12800-gold-accuracy}. The second panel shows the gold reward of the "
    "answer with the highest score among 16: {reward-data-careful-50-best-of-16} and "
    "{reward-data-careful-12800-best-of-16}. It lies between dashed lines for any answer and for "
    "the best of the 16.",
)
def over_pairs(run: Run, table: Table) -> tuple[draw.Figure, ...]:
    """Held-out accuracy under its ceiling, and what best-of-16 makes of it."""
    ceiling, any_, best = (value for _, value in table.lines)
    names = "accuracy", "gold accuracy", "best-of-16 gold"
    accuracy, by_gold, gold = (table[name][-1] for name in names)
    (one, _), (other, _), xlabel = draw.page(264), draw.page(264), "preference pairs, doubling"

    axes = _panel(one, 24, 176, "Accuracy", "held-out pairs ordered correctly, %", xlabel)
    values = _line(axes, table, "accuracy", *LOOKS["careful"])
    values += _line(axes, table, "gold accuracy", *BY_GOLD)
    draw.level(axes, ceiling, MUTED)
    _scale(axes, table, [*values, ceiling])
    ends = [
        (ceiling, f"ceiling {share(ceiling / 100)}", MUTED),
        (by_gold, f"by gold {share(by_gold / 100)}", INK),
        (accuracy, f"labeler {share(accuracy / 100)}", REWARD),
    ]
    labels.end_labels(axes, ends)

    axes = _panel(other, 24, 176, "Gold", "of the best-scored answer of 16", xlabel)
    values = _line(axes, table, "best-of-16 gold", *LOOKS["careful"])
    draw.level(axes, best, MUTED)
    draw.level(axes, any_, MUTED)
    _scale(axes, table, [*values, any_, best])
    ends = [
        (best, f"perfect {number(best)}", MUTED),
        (gold, f"judge {number(gold)}", REWARD),
        (any_, f"no judge {number(any_)}", MUTED),
    ]
    labels.end_labels(axes, ends)
    draw.notes(one, "bars: 95 % interval of the mean")
    draw.notes(other, stored("reward_data").origin)
    return one, other


def labelers(run: Run) -> Table:
    """Accuracy by the gold reward's order, by labeler and number of pairs."""
    study, heading = stored("reward_data"), "gold accuracy (%) .1 ±"
    rows = [
        (labeler, setting["pairs"], _found(name, heading, "gold_accuracy"))
        for name, setting in study.config.items()
        for labeler in LOOKS
        if name.startswith(labeler)
    ]
    title = f"Accuracy by labeler, mean of {len(study.seeds)} seeds ± 95 % interval"
    return Table.of("label-noise", title, ("labeler", "pairs", heading), rows)


@figure(
    "label-noise",
    numbers=labelers,
    studies=("reward_data",),
    alt="Accuracy by the order of the gold rewards against the number of pairs, for three "
    "labelers, with 95 % intervals over five seeds. With 6,400 pairs the careful labeler's judge "
    "reaches {reward-data-careful-6400-gold-accuracy}, the distracted one's "
    "{reward-data-distracted-6400-gold-accuracy} and the hesitant one's "
    "{reward-data-hesitant-6400-gold-accuracy}.",
)
def by_labeler(run: Run, table: Table) -> draw.Figure:
    """Accuracy by the gold reward's order, for three labelers of one taste."""
    figure, _ = draw.page(302)
    unit, xlabel = "held-out pairs ordered as gold does, %", "preference pairs, doubling"
    axes = _panel(figure, 36, 198, "Accuracy", unit, xlabel)
    ends, values = [], []
    for labeler, (look, aside) in LOOKS.items():
        rows = table.where("labeler", labeler)
        values += _line(axes, rows, "gold accuracy", look, aside)
        ends.append((rows["gold accuracy"][-1], labeler, look[0]))
    _scale(axes, table, values)
    labels.end_labels(axes, ends)
    draw.notes(figure, "bars: 95 % interval of the mean", stored("reward_data").origin)
    return figure


def _panel(figure: draw.Figure, top: draw.Real, height: draw.Real, *said: str) -> draw.Axes:
    """A panel over the number of pairs, on a scale of doublings; on its right room for names."""
    axes = draw.panel(figure, (34, top, draw.WIDTH - 126, height), *said)
    axes.set_xscale("log", base=2)
    axes.minorticks_off()
    axes.set_xticks([50, 400, 3200, 12800], ["50", "400", "3,200", "12,800"])
    return axes


def _line(
    axes: draw.Axes, rows: Table, name: str, look: tuple[str, draw.Dash, str], aside: float
) -> list[float]:
    """A line through the means of a column, in its look."""
    return draw.means(axes, [aside * pairs for pairs in rows["pairs"]], rows, name, look)


def _scale(axes: draw.Axes, table: Table, values: list[float]) -> None:
    """Room for all values, and for markers at both ends."""
    draw.limits(axes, table["pairs"], values)
    axes.set_xlim(min(table["pairs"]) / 1.2, max(table["pairs"]) * 1.2)
