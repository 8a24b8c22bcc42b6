"""What PPO did to this run, with the KL penalty and without it."""

from __future__ import annotations

import math
from typing import Any

from rlhf_explained.figures import draw, labels
from rlhf_explained.figures.colours import COLOURS, DASHES, MARKERS, NAMES, NOKL, PAPER, SFT
from rlhf_explained.figures.registry import figure
from rlhf_explained.figures.table import Table
from rlhf_explained.measured.of_studies import SPEEDS
from rlhf_explained.measured.verdicts import smoothed
from rlhf_explained.pipeline import Run
from rlhf_explained.studies import stored

PENALTY = {"ppo": "with", "ppo_no_kl": "without"}  # the run's KL penalty
TICKS = (0, 0.5, 2, 5, 10, 20)
# How far from its mark a name stands, clear of lines and dots, by the learning rate.
NAMED = {
    "fast": {"with": (-23, -4), "without": (-34, -19), "stopped": (34, 11)},
    "slow": {"with": (-23, -4), "without": (34, -4), "stopped": (0, -40)},
}


def _over_iterations(
    run: Run, name: str, title: str, headings: dict[str, str], lines: dict[str, float]
) -> Table:
    """Quantities of both PPO runs over the iterations, each measured and smoothed."""
    rows: list[tuple[Any, ...]] = []
    for policy, penalty in PENALTY.items():
        history, columns = run.history[policy], []
        for quantity in headings:
            measured = [float(row[quantity.lower()]) for row in history]
            columns += [measured, smoothed(measured)]
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
    alt="Reward model score, gold reward and KL over the iterations of PPO, with the KL penalty "
    "and without it. At the end, on held-out prompts: score {ppo-proxy} against "
    "{ppo-no-kl-proxy}, gold {ppo-gold} against {ppo-no-kl-gold}, KL {ppo-kl} against "
    "{ppo-no-kl-kl}.",
)
def curves(run: Run, table: Table) -> draw.Figure:
    """Reward model score, gold reward and KL over the iterations, with the penalty and without."""
    panels = (
        ("proxy", "Proxy", "reward model score, mean"),
        ("gold", "Gold", "true reward, mean"),
        ("KL", "KL from SFT", "nats per response", "iteration"),
    )
    figure, _ = draw.page(3 * 158 + 38)
    for place, (name, *said) in enumerate(panels):
        axes = draw.panel(figure, (44, 24 + 158 * place, 222, 116), *said)
        _both_runs(table, axes, name)
    draw.notes(figure, f"KL penalty: with and without · seed {run.config.seed}")
    return figure


def lengths(run: Run) -> Table:
    """Response length over the iterations of both PPO runs."""
    start = {"SFT (tokens) .1": float(run.evaluation["sft"]["length"])}
    headings = {"length": " (tokens) .1"}
    return _over_iterations(run, "response-length", "Mean response length", headings, start)


@figure(
    "response-length",
    numbers=lengths,
    alt="Mean response length over the iterations of PPO, with and without the KL penalty. SFT "
    "responses have {sft-length}; at the end, on held-out prompts, {ppo-length} with the "
    "penalty and {ppo-no-kl-length} without.",
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
    chosen = "Where the run without the penalty is stopped, chosen on practised questions"
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
    alt="Two panels, for a fast learning rate and a slow one: gold reward on held-out questions "
    "against KL from the SFT policy, the ways of PPO with the penalty and without it, means "
    "over five seeds. With the penalty the way ends at gold {early-stopping-fast-held-end-gold}"
    ", KL {early-stopping-fast-held-end-kl}, and at {early-stopping-slow-held-end-gold}, KL "
    "{early-stopping-slow-held-end-kl}. Without it the way goes on to more KL; it is stopped "
    "at {early-stopping-fast-free-stop-gold}, KL {early-stopping-fast-free-stop-kl}, and at "
    "{early-stopping-slow-free-stop-gold}, KL {early-stopping-slow-free-stop-kl}, and ends at "
    "{early-stopping-fast-free-end-gold} and {early-stopping-slow-free-end-gold}.",
)
def gold_against_kl(run: Run, means: Table, seeds: Table, stops: Table) -> draw.Figure:
    """The ways of both runs through KL and gold on held-out questions, at two rates."""
    import numpy as np

    def root(kl: np.ndarray) -> np.ndarray:
        """Gao et al. 2022 plot gold against the root of KL; an estimate of KL may be negative."""
        return np.sign(kl) * np.sqrt(np.abs(kl))

    def square(root: np.ndarray) -> np.ndarray:
        return np.sign(root) * np.square(root)

    study, most = stored("early_stopping"), max(seeds["KL"])
    figure, _ = draw.page(2 * 250 + 48)
    for place, speed in enumerate(SPEEDS):
        rate = study.config[f"{speed}_free"]["learning_rate"]
        frame = (44, 24 + 250 * place, draw.WIDTH - 58, 186)
        said = (
            f"held-out questions, learning rate {rate:g}",
            "KL from SFT, nats per response, root scale",
        )
        axes = draw.panel(figure, frame, "Gold", *said)
        draw.limits(axes, seeds["KL"], seeds["gold"])
        axes.set_xscale("function", functions=(root, square))
        axes.set_xlim(min(0.0, *seeds["KL"]), most * 1.05)
        ticks = [tick for tick in TICKS if tick <= most * 1.05]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        for policy, penalty in PENALTY.items():
            colour, dash = COLOURS[policy], DASHES[policy]
            rows = seeds.where("rate", speed).where("KL penalty", penalty).rows
            few = [row[-2:] for row in rows if row[3] % 10 == 0]
            xs, ys = zip(*few, strict=True)
            draw.dots(axes, xs, ys, colour, square=policy == "ppo_no_kl")
            mean = means.where("rate", speed).where("KL penalty", penalty)
            path = list(zip(mean["KL"], mean["gold"], strict=True))
            axes.plot(*zip(*path, strict=True), color=colour, linewidth=1.8, linestyle=dash)
            axes.plot(*path[-1], MARKERS[policy], color=colour, markersize=7)
            away = NAMED[speed][penalty]
            labels.write(axes, penalty, path[-1], away, colour, xycoords="data")
        chosen = stops.where("rate", speed)
        kl, gold = (math.fsum(chosen[name]) / len(chosen.rows) for name in ("KL", "gold"))
        look = {"markerfacecolor": PAPER, "markeredgecolor": NOKL, "markeredgewidth": 1.6}
        axes.plot(kl, gold, "D", markersize=8, zorder=4, **look)
        away = NAMED[speed]["stopped"]
        labels.write(axes, "stopped", (kl, gold), away, NOKL, xycoords="data")
    draw.notes(
        figure,
        "KL penalty: with and without · ◇ where it is stopped",
        "lines: means · dots: seeds, every tenth iteration",
        study.origin,
    )
    return figure


def exams(run: Run) -> Table:
    """Gold of each policy's exam at each temperature, with standard errors by question."""
    rows = [
        (name, float(at), exam["gold"], exam["stderr"]["gold"], 100.0 * exam["helpful"])
        for policy, name in NAMES.items()
        for at, exam in sorted(run.temperatures[policy].items())
    ]
    headings = "model", "temperature .1", "gold", "± gold", "helpful (%) .0"
    title = "The exam at five temperatures; ± one standard error"
    return Table.of("temperatures", title, headings, rows)


@figure(
    "temperatures",
    numbers=exams,
    alt="Gold reward on held-out questions against the temperature, from 0 to 1, of four models. "
    "The pretrained model has {base-greedy-gold} at 0 and {base-gold} at 1; SFT has "
    "{sft-greedy-gold} at 0, {sft-best-gold} at its best temperature and {sft-gold} at 1; PPO "
    "{ppo-greedy-gold} at 0 and {ppo-gold} at 1; PPO without the penalty "
    "{ppo-no-kl-greedy-gold} and {ppo-no-kl-gold}.",
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
