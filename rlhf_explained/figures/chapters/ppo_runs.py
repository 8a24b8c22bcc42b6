"""What PPO did to this run, with the KL penalty and without it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rlhf_explained.figures import draw, labels
from rlhf_explained.figures.colours import COLOURS, DASHES, MARKERS, NAMES, NOKL, PAPER, SFT
from rlhf_explained.figures.registry import figure
from rlhf_explained.figures.table import Table
from rlhf_explained.measured import verdicts
from rlhf_explained.measured.of_studies import SPEEDS
from rlhf_explained.pipeline import Run
from rlhf_explained.studies import stored

# Parts of gold against KL, and how far from its mark each name stands, clear of lines and dots.
VIEWS = (
    ("fast", "the whole way", {"with": (28, -4), "without": (-34, -14)}),
    ("fast", "enlarged", {"with": (-36, -4), "without": (6, 16), "stopped": (0, -20)}),
    ("slow", "enlarged", {"with": (-38, -4), "without": (-26, -18), "stopped": (0, -34)}),
)
PENALTY = {"ppo": "with", "ppo_no_kl": "without"}  # the run's KL penalty


def _over_iterations(
    run: Run, name: str, title: str, headings: dict[str, str], lines: dict[str, float]
) -> Table:
    """Quantities of both PPO runs over the iterations, each measured and smoothed."""
    rows: list[tuple[Any, ...]] = []
    for policy, penalty in PENALTY.items():
        history, columns = run.history[policy], []
        for quantity in headings:
            measured = [float(row[quantity.lower()]) for row in history]
            columns += [measured, draw.smoothed(measured)]
        iterations = [row["iteration"] for row in history]
        rows += zip([penalty] * len(history), iterations, *columns, strict=True)
    both = [f"{q}{part}{unit}" for q, unit in headings.items() for part in ("", ", smoothed")]
    return Table.of(name, title, ["KL penalty", "iteration", *both], rows, lines)


def _both_runs(table: Table, axes: draw.Axes, name: str, *others: tuple[float, str, str]) -> None:
    """A quantity of both runs over the iterations, the lines named at their ends."""
    ends, values = list(others), [y for y, _, _ in others]
    for policy, penalty in PENALTY.items():
        rows = table.where("KL penalty", penalty)
        xs, ys, smooth = rows["iteration"], rows[name], rows[f"{name}, smoothed"]
        draw.curve(axes, xs, smooth, COLOURS[policy], DASHES[policy], raw=ys)
        ends.append((smooth[-1], penalty, COLOURS[policy]))
        values += ys
    draw.limits(axes, table["iteration"], values)
    labels.end_labels(axes, ends)


def progress(run: Run) -> Table:
    """Score, gold reward and KL over the iterations of both PPO runs."""
    headings = {"proxy": "", "gold": "", "KL": " (nats)"}
    return _over_iterations(run, "ppo-curves", "PPO with and without the KL penalty", headings, {})


@figure(
    "ppo-curves",
    numbers=progress,
    alt="Three panels show the reward model's score, the gold reward and the KL over the "
    "iterations of PPO, with and without the KL penalty. At the end, on held-out prompts, the run "
    "with the penalty has a score of {ppo-proxy}, a gold reward of {ppo-gold} and a KL of "
    "{ppo-kl}. Without the penalty these are {ppo-no-kl-proxy}, {ppo-no-kl-gold} and "
    "{ppo-no-kl-kl}.",
)
def curves(run: Run, table: Table) -> tuple[draw.Figure, ...]:
    """Reward model score, gold reward and KL over the iterations, with the penalty and without.

    An upright line stands where the run without the penalty has most gold on held-out questions, if
    it loses gold after that beyond the noise.
    """
    panels = (
        ("proxy", "Proxy", "reward model score, mean"),
        ("gold", "Gold", "true reward, mean"),
        ("KL", "KL from SFT", "nats per response"),
    )
    best, _, lost = verdicts.turning_point(run)
    pages = []
    for name, title, unit in panels:
        figure, page = draw.page(216, draw.THIRD)
        axes = draw.panel(figure, (44, 38, 112, 116), title, unit, "iteration", room=22)
        _both_runs(table, axes, name)
        if lost:
            at = best["iteration"]
            words = f"most gold: iteration {at:.0f}" if name == "gold" else ""
            labels.turn(page, axes, at, words, COLOURS["ppo_no_kl"])
        pages.append(figure)
    draw.notes(pages[0], "KL penalty: with and without")
    draw.notes(pages[1], *["grey line: held-out questions"] * lost)
    draw.notes(pages[-1], f"seed {run.config.seed}")
    return tuple(pages)


def lengths(run: Run) -> Table:
    """Response length over the iterations of both PPO runs."""
    start = {"SFT (tokens) .1": float(run.evaluation["sft"]["length"])}
    headings = {"length": " (tokens) .1"}
    return _over_iterations(run, "response-length", "Mean response length", headings, start)


@figure(
    "response-length",
    numbers=lengths,
    alt="The mean length of responses over the iterations of PPO, with and without the KL "
    "penalty. SFT responses average {sft-length}. At the end, on held-out prompts, responses "
    "average {ppo-length} with the penalty and {ppo-no-kl-length} without it.",
)
def response_length(run: Run, table: Table) -> draw.Figure:
    """Mean response length over the iterations, with the penalty and without."""
    figure, _ = draw.page(246)
    said = "Response length", "tokens, mean", "iteration"
    axes = draw.panel(figure, (44, 24, 222, 150), *said)
    start = table.line("SFT")
    axes.axhline(start, color=SFT, linewidth=1.4, linestyle=DASHES["sft"])
    _both_runs(table, axes, "length", (start, "SFT", SFT))
    seed = f"KL penalty: with and without · seed {run.config.seed}"
    draw.notes(figure, "SFT: held-out prompts; curves: training prompts", seed)
    return figure


def ways(run: Run) -> tuple[Table, ...]:
    """Gold and KL on the way of both runs, at both rates: each seed, and means over the seeds."""
    study = stored("early_stopping")
    single, means, stops = [], [], []
    for speed in SPEEDS:
        for kind, penalty in (("held", "with"), ("free", "without")):
            found = (row for row in study.rows if row["setting"] == f"{speed}_{kind}")
            rows = sorted(found, key=lambda row: row["seed"])
            single += (
                (speed, penalty, row["seed"], look["iteration"], look["kl"], look["gold"])
                for row in rows
                for look in row["way"]
            )
            for looks in zip(*(row["way"] for row in rows), strict=True):
                middle = (math.fsum(look[q] for look in looks) / len(looks) for q in ("kl", "gold"))
                means.append((speed, penalty, looks[0]["iteration"], *middle))
        chosen = (study.values(f"{speed}_free", f"stop_{q}") for q in ("iteration", "kl", "gold"))
        stops += ((speed, *stop) for stop in zip(study.seeds, *chosen, strict=True))
    title = f"Gold against KL on held-out questions, mean of {len(study.seeds)} seeds"
    chosen = "Where the run without the penalty is stopped: a round chosen on practised questions"
    tail = "iteration .0", "KL (nats)", "gold"
    both = "rate", "KL penalty"
    return (
        Table.of("gold-against-kl", title, (*both, *tail), means),
        Table.of("gold-against-kl-seeds", "Each seed", (*both, "seed", *tail), single),
        Table.of("gold-against-kl-stops", chosen, ("rate", "seed", *tail), stops),
    )


@figure(
    "gold-against-kl",
    numbers=ways,
    studies=("early_stopping",),
    alt="Three panels show the gold reward on held-out questions against the KL from the SFT "
    "policy, for PPO with and without the penalty. The lines are means over five seeds, and ± is "
    "their confidence interval. The first panel shows the whole training at a high learning rate. "
    "With the penalty it ends at a gold reward of {early-stopping-fast-held-end-gold} and a KL of "
    "{early-stopping-fast-held-end-kl}. Without the penalty the KL reaches "
    "{early-stopping-fast-free-end-kl} and the gold reward falls to "
    "{early-stopping-fast-free-end-gold}. The second panel enlarges the beginning of the same "
    "lines. Stopped early, the run without the penalty has a gold reward of "
    "{early-stopping-fast-free-stop-gold} at a KL of {early-stopping-fast-free-stop-kl}. The "
    "third panel shows a low learning rate. There the run with the penalty ends at a gold reward "
    "of {early-stopping-slow-held-end-gold} and a KL of {early-stopping-slow-held-end-kl}. The "
    "run without it is stopped at a gold reward of {early-stopping-slow-free-stop-gold} and a KL "
    "of {early-stopping-slow-free-stop-kl}. If it is not stopped, it ends at "
    "{early-stopping-slow-free-end-gold}.",
)
def gold_against_kl(run: Run, means: Table, seeds: Table, stops: Table) -> tuple[Any, ...]:
    """The ways of both runs through KL and gold on held-out questions, whole and enlarged."""
    slow = means.where("rate", "slow")
    most, start = max(means["gold"]), means["gold"][0]
    near = {"xlim": (0, 1.06 * max(slow["KL"])), "ylim": ((start + most) / 2, 1.1 * most)}
    study, pages = stored("early_stopping"), []
    for speed, part, named in VIEWS:
        figure, _ = draw.page(252, draw.THIRD)
        rate = study.config[f"{speed}_free"]["learning_rate"]
        unit, along = f"gold, {part}", "KL from SFT, nats per response"
        axes = draw.panel(figure, (34, 24, 172, 160), f"Rate {rate:g}", unit, along)
        mean, every, stop = (table.where("rate", speed) for table in (means, seeds, stops))
        draw.limits(axes, [*every["KL"], 0], every["gold"])
        axes.set(**near if part == "enlarged" else {})
        _ways(axes, mean, every, stop, named)
        pages.append(figure)
    draw.notes(pages[0], "◇ where it is stopped")
    draw.notes(pages[1], "lines: means · dots: seeds")
    draw.notes(pages[2], study.origin)
    return tuple(pages)


def _ways(
    axes: draw.Axes, means: Table, seeds: Table, stops: Table, named: Mapping[str, draw.Point]
) -> None:
    """The ways of both runs at one rate, their ends, and where the one without is stopped."""
    for policy, penalty in PENALTY.items():
        colour, dash = COLOURS[policy], DASHES[policy]
        few = [row[-2:] for row in seeds.where("KL penalty", penalty).rows if row[3] % 10 == 0]
        xs, ys = zip(*few, strict=True)
        draw.dots(axes, xs, ys, colour, square=policy == "ppo_no_kl")
        way = [row[-2:] for row in means.where("KL penalty", penalty).rows]
        axes.plot(*zip(*way, strict=True), color=colour, linewidth=1.8, linestyle=dash)
        axes.plot(*way[-1], MARKERS[policy], color=colour, markersize=7)
        seen = [place for place in way if place[0] <= axes.get_xlim()[1]][-1]
        labels.write(axes, penalty, seen, named[penalty], colour, xycoords="data")
    kl, gold = (math.fsum(stops[name]) / len(stops.rows) for name in ("KL", "gold"))
    look = {"markerfacecolor": PAPER, "markeredgecolor": NOKL, "markeredgewidth": 1.6}
    axes.plot(kl, gold, "D", markersize=8, zorder=4, **look)
    if "stopped" in named:
        labels.write(axes, "stopped", (kl, gold), named["stopped"], NOKL, xycoords="data")


def exams(run: Run) -> Table:
    """Gold of each policy's evaluation at each temperature, with standard errors by question."""
    rows = [
        (name, float(at), exam["gold"], exam["stderr"]["gold"], 100.0 * exam["helpful"])
        for policy, name in NAMES.items()
        for at, exam in sorted(run.temperatures[policy].items())
    ]
    headings = "model", "temperature .1", "gold", "± gold", "helpful (%) .0"
    title = "Evaluation at five temperatures; ± one standard error, clustered by question"
    return Table.of("temperatures", title, headings, rows)


@figure(
    "temperatures",
    numbers=exams,
    alt="The gold reward of four models on held-out questions, against temperatures from 0 to 1. "
    "The pretrained model reaches {base-greedy-gold} at 0 and {base-gold} at 1. SFT reaches "
    "{sft-greedy-gold} at 0, {sft-best-gold} at its best temperature and {sft-gold} at 1. PPO "
    "reaches {ppo-greedy-gold} at 0 and {ppo-gold} at 1. PPO without the penalty reaches "
    "{ppo-no-kl-greedy-gold} at 0 and {ppo-no-kl-gold} at 1.",
)
def temperatures(run: Run, table: Table) -> draw.Figure:
    """Gold of every policy against the temperature at which it answers."""
    figure, _ = draw.page(286)
    said = "Gold", "true reward, held-out questions", "temperature"
    axes = draw.panel(figure, (44, 24, 166, 186), *said)
    ends, values = [], []
    for policy, name in NAMES.items():
        rows, look = table.where("model", name), (COLOURS[policy], DASHES[policy], MARKERS[policy])
        values += draw.means(axes, rows["temperature"], rows, "gold", look)
        ends.append((rows["gold"][-1], name, COLOURS[policy]))
    draw.limits(axes, [-0.04, 1.04], values)
    axes.set_xticks([0, 0.3, 0.5, 0.7, 1], ["0", "0.3", "0.5", "0.7", "1"])
    labels.end_labels(axes, ends)
    questions = f"{run.evaluation['ppo']['questions']} questions · seed {run.config.seed}"
    draw.notes(figure, "bars: one standard error, clustered by question", questions)
    return figure
