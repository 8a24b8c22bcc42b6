"""The tables under the figures: they hold the run's numbers, and the figures show just those."""

from __future__ import annotations

import csv
import importlib
import io
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_run import made_up_run
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from places import place

from rlhf_explained import figures, studies
from rlhf_explained.figures import numbers, style
from rlhf_explained.figures.table import Column, Table
from rlhf_explained.pipeline import Run

Tables = tuple[Table, ...]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return made_up_run(tmp_path_factory.mktemp("run"), seed=3)


def drawing(name: str, run: Run) -> Figure:
    entry = figures.FIGURES[name]
    module = importlib.import_module(f"rlhf_explained.figures.{entry.module}")
    return getattr(module, entry.function)(run)


# What the artists of a figure hold, compared with its tables: each yields pairs that must be equal.


def lines(axes: Axes, width: float) -> list[np.ndarray]:
    """The lines of this width through more than two points, as they were drawn."""
    chosen = [line for line in axes.lines if line.get_linewidth() == width]
    return [line.get_xydata() for line in chosen if len(line.get_xdata()) > 2]


def level(axes: Axes) -> list[float]:
    """Where lines run across the whole panel."""
    across = [line for line in axes.lines if list(line.get_xdata()) == [0, 1]]
    return [line.get_ydata()[0] for line in across]


def points(*columns: list) -> np.ndarray:
    return np.array(list(zip(*columns, strict=True)), dtype=float)


def before_after(figure: Figure, tables: Tables):
    (table,) = tables
    axes = figure.axes[0]
    origin, percent = axes.patches[0].get_x(), axes.patches[0].get_width() / table["share"][0]
    yield [bar.get_width() / percent for bar in axes.patches], table["share"]
    whiskers = [line.get_xdata() for line in axes.lines if line.get_color() == style.INK]
    ends = [ends for ends in whiskers if len(ends) == 2]
    drawn = [(x - origin) / percent for _, x in ends]
    yield drawn, [s + e for s, e in zip(table["share"], table["standard error"], strict=True)]
    diamonds = [line for line in axes.lines if line.get_marker() == "D"][:-1]  # without the key
    claims = [claim for claim in table["illustrative"] if claim is not None]
    yield [(mark.get_xdata()[0] - origin) / percent for mark in diamonds], claims


def stage_seconds(figure: Figure, tables: Tables):
    (table,) = tables
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    scale = max(widths) / max(table["wall time"])
    yield [width / scale for width in widths], table["wall time"]


def sft_loss(figure: Figure, tables: Tables):
    (table,), axes = tables, figure.axes[1]
    yield lines(axes, 0.7), [points(table["step"], table["training loss"])]
    heldout = points(table["step"], table["held-out loss"])
    smooth = points(table["step"], table["smoothed"])[style.centred(len(table.rows))]
    yield lines(axes, 2), [smooth, heldout]
    yield level(axes), [table.line("floor")]


def reward_model_training(figure: Figure, tables: Tables):
    (table, scores), (_, loss, accuracy, histogram) = tables, figure.axes
    steps = table["step"]
    yield lines(loss, 2), [points(steps, table["loss"])]
    yield level(loss), [table.line("loss of guessing")]
    yield lines(accuracy, 2), [points(steps, table["held-out accuracy"])]
    yield level(accuracy), [table.line("ceiling of the accuracy")]
    for patch, name in zip(histogram.patches, ("rejected", "chosen"), strict=True):
        counts, edges, _ = patch.get_data()
        yield counts, scores[name]
        yield edges, [*scores["score from"], scores["to"][-1]]
    means = [line.get_xdata()[0] for line in histogram.lines]
    yield means, [scores.line(f"mean of the {name}") for name in ("rejected", "chosen")]


def over_iterations(axes: Axes, table: Table, name: str):
    runs = [table.where("KL penalty", penalty) for penalty in ("with", "without")]
    yield lines(axes, 0.7), [points(rows["iteration"], rows[name]) for rows in runs]
    smooth, middle = f"{name}, smoothed", style.centred(len(runs[0].rows))
    yield lines(axes, 2), [points(rows["iteration"], rows[smooth])[middle] for rows in runs]


def ppo_curves(figure: Figure, tables: Tables):
    for axes, name in zip(figure.axes[1:], ("proxy", "gold", "KL"), strict=True):
        yield from over_iterations(axes, tables[0], name)


def response_length(figure: Figure, tables: Tables):
    yield from over_iterations(figure.axes[1], tables[0], "length")
    yield level(figure.axes[1]), [tables[0].line("SFT")]


def gold_against_kl(figure: Figure, tables: Tables):
    means, seeds, stops = tables
    for speed, axes in zip(numbers.SPEEDS, figure.axes[1:], strict=True):
        dots = [patch.get_path().vertices[::2] for patch in axes.patches]
        paths, wanted = [], []
        for penalty in ("with", "without"):
            rows = means.where("rate", speed).where("KL penalty", penalty)
            paths.append(points(rows["KL"], rows["gold"]))
            rows = seeds.where("rate", speed).where("KL penalty", penalty)
            wanted.append(
                np.array(
                    [
                        (kl, gold)
                        for kl, gold, iteration in zip(
                            rows["KL"], rows["gold"], rows["iteration"], strict=True
                        )
                        if iteration % 10 == 0
                    ]
                )
            )
        yield dots, wanted
        yield lines(axes, 1.8), paths
        marks = [line.get_xydata()[0] for line in axes.lines if len(line.get_xdata()) == 1]
        chosen = stops.where("rate", speed)
        stop = [sum(chosen[name]) / len(chosen.rows) for name in ("KL", "gold")]
        yield marks, [*(path[-1] for path in paths), stop]


def whiskered(axes: Axes, means: list, reaches: list, width: float):
    """A curve through means, with an upright interval at each."""
    yield lines(axes, 1.8), list(means)
    drawn = [line for line in axes.lines if line.get_linewidth() == width]
    ends = [line.get_ydata() for line in drawn if len(set(line.get_xdata())) == 1]
    yield ends, [(m - r, m + r) for curve, errors in zip(means, reaches, strict=True)
                 for (_, m), r in zip(curve, errors, strict=True)]  # fmt: skip


def by_series(table: Table, column: str, x: str, y: str) -> tuple[list, list]:
    """Of each series its points, and how far they may be off."""
    series = [table.where(column, name) for name in dict.fromkeys(table[column])]
    return [points(rows[x], rows[y]) for rows in series], [rows[f"± {y}"] for rows in series]


def temperatures(figure: Figure, tables: Tables):
    curves, errors = by_series(tables[0], "model", "temperature", "gold")
    yield from whiskered(figure.axes[1], curves, errors, 1)


def curation(figure: Figure, tables: Tables):
    curves, errors = by_series(tables[0], "method", "good demonstrations", "gold")
    curves = [  # the marks of one share stand side by side
        [(x + place - 2, y) for x, y in curve] for place, curve in enumerate(curves)
    ]
    yield from whiskered(figure.axes[1], curves, errors, 1)


def critic_positions(figure: Figure, tables: Tables):
    curves, errors = by_series(tables[0], "critic", "token", "explained variance")
    yield from whiskered(figure.axes[1], curves, errors, 0.8)


def beta_sweep(figure: Figure, tables: Tables):
    (table,), axes = tables, figure.axes[1]
    drawn = [line.get_ydata() for line in axes.lines if list(line.get_xdata()) == [0, 1]]
    yield drawn, points(table["score: total at β = 0"], table["total at β = 1"])
    marks = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    betas = [beta for beta in table["β from which it beats the hack"] if beta is not None]
    yield marks, betas


def demonstrations_preferences(figure: Figure, tables: Tables):
    (table,), axes = tables, figure.axes[0]
    grid = [line.get_xdata()[0] for line in axes.lines if line.get_color() == style.FAINT]
    decade = grid[1] - grid[0]  # the first line stands at a hundred
    marks = [line for line in axes.lines if line.get_color() != style.FAINT]
    drawn = [10 ** (2 + (x - grid[0]) / decade) for line in marks for x in line.get_xdata()]
    counts = [count for row in table.rows for count in row[2:] if count is not None]
    yield np.array(drawn) / counts, np.ones(len(counts))


def methods(figure: Figure, tables: Tables):
    (table,) = tables
    axes = figure.axes[1]
    marks = {
        round(line.get_ydata()[0] + 0.1): line for line in axes.lines if len(line.get_xdata()) == 1
    }
    yield [marks[row].get_xdata()[0] for row in range(len(table.rows))], table["gold"]
    whiskers = [line.get_xdata() for line in axes.lines if len(set(line.get_ydata())) == 1]
    reaches = sorted((ends[1] - ends[0]) / 2 for ends in whiskers if len(ends) == 2)
    yield reaches, sorted(table["± gold"])


def ablations(figure: Figure, tables: Tables):
    (table, seeds), axes = tables, figure.axes[1]
    low, high = axes.get_xlim()
    changed = [row for row in table.rows if row[2] is not None]
    rows = [row for row in changed if low <= row[2] <= high]
    assert len(rows) >= len(changed) - 1  # the farthest may lie off the scale
    diamonds = [line for line in axes.lines if line.get_marker() == "D"]
    yield [mark.get_xdata()[0] for mark in diamonds], [row[2] for row in rows]
    bars = [line.get_xdata() for line in axes.lines if line.get_linewidth() == 1.4]
    yield [(end - start) / 2 for start, end in bars], [row[3] for row in rows]
    dots = [patch.get_path().vertices[::2, 0] for patch in axes.patches]
    yield dots, [np.array(seeds.where("setting", row[0])["change"]) for row in rows]


def frontier(figure: Figure, tables: Tables):
    world, shares = tables
    _, one, every = figure.axes
    for policy, width in (("frontier", 1.6), ("best-of-n", 0.8)):
        rows = world.where("policy", policy)
        yield lines(one, width), [points(rows["KL"], rows["reward gained"])]
    marks = [line.get_xydata()[0] for line in one.lines if len(line.get_xdata()) == 1]
    trained = [world.where("policy", name) for name in dict.fromkeys(shares["method"])]
    rows = [table.rows[0][2:] for table in trained if table.rows]
    yield sorted(map(tuple, marks)), sorted(rows)
    yield [x for line in every.lines for x in line.get_xdata()], shares["share of the frontier"]


def over_pairs(table: Table, *names: str):
    """For each curve what must be drawn: the means, and the ends of upright intervals."""
    for name in names:
        whiskers = zip(table[name], table[f"± {name}"], strict=True)
        doublings = np.log2(np.array(table["pairs"]) / 50)
        ends = [[mean - reach, mean + reach] for mean, reach in whiskers]
        yield points(doublings.tolist(), table[name]), np.array(ends)


def doubled(axes: Axes) -> list[np.ndarray]:
    """The curves, by how often fifty pairs were doubled; they stand a little aside of that."""
    curves = lines(axes, 2)
    return [np.column_stack([np.round(np.log2(xy[:, 0] / 50)), xy[:, 1]]) for xy in curves]


def upright(axes: Axes) -> np.ndarray:
    return np.array([line.get_ydata() for line in axes.lines if len(set(line.get_xdata())) == 1])


def reward_data(figure: Figure, tables: Tables):
    (table,) = tables
    above, below = figure.axes[1:]
    for axes, names in ((above, ("accuracy", "gold accuracy")), (below, ("best-of-16 gold",))):
        curves, intervals = zip(*over_pairs(table, *names), strict=True)
        yield doubled(axes), list(curves)
        yield upright(axes), np.concatenate(intervals)
    yield level(above), [table.line("ceiling of the accuracy")]
    yield level(below), [table.line("gold of the best of 16"), table.line("gold of any answer")]


def label_noise(figure: Figure, tables: Tables):
    (table,) = tables
    rows = [table.where("labeler", who) for who in ("careful", "distracted", "hesitant")]
    wanted = [pair for row in rows for pair in over_pairs(row, "gold accuracy")]
    yield doubled(figure.axes[1]), [curve for curve, _ in wanted]
    yield upright(figure.axes[1]), np.concatenate([ends for _, ends in wanted])


COMPARISONS: dict[str, Callable] = {
    "reward-data": reward_data,
    "label-noise": label_noise,
    "frontier": frontier,
    "ablations": ablations,
    "methods": methods,
    "before-after": before_after,
    "stage-seconds": stage_seconds,
    "sft-loss": sft_loss,
    "reward-model-training": reward_model_training,
    "ppo-curves": ppo_curves,
    "response-length": response_length,
    "gold-against-kl": gold_against_kl,
    "temperatures": temperatures,
    "curation": curation,
    "critic-positions": critic_positions,
    "beta-sweep": beta_sweep,
    "demonstrations-preferences": demonstrations_preferences,
}
SAID = ("three-stages", "timeline")  # their numbers stand there in words


def differences(figure: Figure, name: str, tables: Tables) -> int:
    """How many groups of numbers of the figure are others than the tables say."""
    found = 0
    for drawn, tabled in COMPARISONS[name](figure, tables):
        pairs = zip(drawn, tabled, strict=True) if isinstance(drawn, list) else [(drawn, tabled)]
        found += not all(np.allclose(one, other, atol=1e-9) for one, other in pairs)
    return found


def test_each_table_is_compared():
    tabled, compared, named = set(numbers.TABLES), {*COMPARISONS, *SAID}, set(figures.FIGURES)
    measured = {name for name, figure in figures.FIGURES.items() if "{" in figure.alt}
    for names, file, words, cure in (
        (tabled - compared, __file__, "COMPARISONS: ", "compare drawing and table: add an entry"),
        (compared - tabled, numbers.__file__, "TABLES: ", "a comparison needs a table: add it"),
        (measured - tabled, numbers.__file__, "TABLES: ", "a measured figure has a table: add it"),
        (tabled - named, figures.__file__, "FIGURES: ", "a table belongs to a figure: add it"),
    ):
        assert not names, f"{place(file, words)}: {', '.join(sorted(names))}: {cure}"


@pytest.mark.parametrize("name", COMPARISONS)
def test_a_figure_shows_the_numbers_of_its_tables(name: str, run: Run):
    assert differences(drawing(name, run), name, figures.tables(name, run)) == 0


def other(found: Any, seed: int) -> Any:
    """Other numbers of the same shape, others for each seed."""
    if isinstance(found, dict):
        return {key: found[key] if key == "iteration" else other(found[key], seed) for key in found}
    if isinstance(found, list):
        return [other(part, seed) for part in found]
    return 1.1 * found + seed if isinstance(found, float) else found


@pytest.mark.parametrize("name", COMPARISONS)
def test_a_figure_of_other_numbers_would_be_noticed(
    name: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tables = figures.tables(name, run)
    if studied := figures.FIGURES[name].studies:
        for study in studied:
            content = json.loads(studies.results_file(study).read_text(encoding="utf-8"))
            content["rows"] = [other(row, row["seed"]) for row in content["rows"]]
            (tmp_path / f"{study}.json").write_text(json.dumps(content), encoding="utf-8")
        monkeypatch.setattr(studies, "_RESULTS", tmp_path)
        drawn_from = run
    elif name == "beta-sweep":
        monkeypatch.setattr(numbers, "SCENARIOS", (("great", 9.4, 0.8), *numbers.SCENARIOS[1:]))
        drawn_from = run
    else:
        drawn_from = made_up_run(
            tmp_path / "other",
            seed=4,
            seconds=run.seconds | {"sft": 1.5},
            evaluation=run.evaluation
            | {"ppo": run.evaluation["ppo"] | {"helpful": 0.78}}
            | {"sft": run.evaluation["sft"] | {"length": 9.5}},
            facts=run.facts | {"pairs": 1501},
            temperatures=run.temperatures
            | {"ppo": run.temperatures["ppo"] | {"0.5": run.temperatures["ppo"]["0.0"]}},
        )
    assert differences(drawing(name, drawn_from), name, tables) > 0


@pytest.mark.parametrize("name", SAID)
def test_numbers_in_words_are_those_of_the_table(name: str, run: Run):
    words = [text.get_text() for axes in drawing(name, run).axes for text in axes.texts]
    (table,) = figures.tables(name, run)
    for row in table.rows:
        if name == "three-stages":
            assert any(f" {row[2]:,} " in f"{text} " for text in words)
        else:
            assert row[1] in words
            assert row[2] in words
            assert row[3] in words
            assert any(text.endswith(f" {row[0][:4]}") for text in words)


def test_tables_hold_what_the_run_measured(run: Run):
    (curves,) = figures.tables("ppo-curves", run)
    for policy, penalty in (("ppo", "with"), ("ppo_no_kl", "without")):
        rows = curves.where("KL penalty", penalty)
        for column, name in (("proxy", "proxy"), ("gold", "gold"), ("KL", "kl")):
            assert rows[column] == [row[name] for row in run.history[policy]]
    training, scores = figures.tables("reward-model-training", run)
    assert training["loss"] == [row["loss"] for row in run.history["reward_model"]]
    given = run.reward_model["chosen_scores"]
    assert sum(scores["chosen"]) == len(given)
    counts, _ = np.histogram(given, [*scores["score from"], scores["to"][-1]])
    assert counts.tolist() == scores["chosen"]
    assert scores.line("mean of the chosen") == pytest.approx(math.fsum(given) / len(given))
    (shares,) = figures.tables("before-after", run)
    after = shares.where("model", "after RLHF").where("responses", "helpful")
    assert after["share"] == [100 * run.evaluation["ppo"]["helpful"]]


# A table itself


def table(rows: int) -> Table:
    columns = (Column("step"), Column("loss", "nats", 3), Column("note"))
    cells = tuple((n, n / 3, None if n % 2 else "even") for n in range(rows))
    return Table("example", "An example", columns, cells, ((Column("floor", "nats"), 0.25),))


def test_a_csv_holds_all_rows_and_single_values_in_each():
    read = list(csv.DictReader(io.StringIO(table(100).csv())))
    assert len(read) == 100
    assert read[2] == {
        "step": "2",
        "loss (nats)": "0.666667",
        "note": "even",
        "floor (nats)": "0.25",
    }
    assert read[1]["note"] == ""


@pytest.mark.parametrize(
    ("rows", "shown"), [(0, 0), (1, 1), (30, 30), (31, 7), (100, 10), (120, 12)]
)
def test_a_long_table_is_shown_in_part_up_to_its_last_row(rows: int, shown: int):
    part = table(rows).excerpt.rows
    assert len(part) == shown
    assert part[-1:] == table(rows).rows[-1:]
    assert list(part) == sorted(part)


def test_cells_are_written_for_people():
    assert Column("x").text(-0.5) == "−0.50"
    assert Column("x").text(12345) == "12,345"
    assert Column("x").text(None) == "–"


def test_how_far_a_mean_may_be_off_stands_behind_it():
    columns = (Column("method"), Column("KL", "nats"), Column("± KL", "nats"), Column("seconds"))
    rows = (("a", 1.5, 0.25, 3), ("b", 1.0, None, 4), ("c", 2.0, 0.0, 5))
    headings, read = Table("t", "T", columns, rows).read
    assert headings == ["method", "KL (nats)", "seconds"]
    assert read == [["a", "1.50 ± 0.25", "3"], ["b", "1.00", "4"], ["c", "2.00", "5"]]


@pytest.mark.parametrize(("module", "heavy"), [("numbers", False), ("style", True)])
def test_numbers_need_no_matplotlib(module: str, heavy: bool):
    code = f"import sys, rlhf_explained.figures.{module}; sys.exit('matplotlib' in sys.modules)"
    assert (subprocess.run([sys.executable, "-c", code]).returncode == 1) == heavy
