"""The tables under the figures: they hold the run's numbers, and the figures show just those."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_up_run import another_run, made_up_run
from matplotlib.axes import Axes
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from places import place

from rlhf_explained import studies
from rlhf_explained.figures import FIGURES, draw
from rlhf_explained.figures.chapters import over_optimisation, ppo
from rlhf_explained.figures.colours import FAINT, INK, MUTED, PPO, REWARD, SFT
from rlhf_explained.figures.table import Column, Table
from rlhf_explained.formulas import gae
from rlhf_explained.measured.of_studies import SPEEDS
from rlhf_explained.measured.text import number
from rlhf_explained.pipeline import Run
from rlhf_explained.studies import Interval

Pairs = Iterator[tuple[Any, Any]]  # what is drawn, and the table's numbers that must equal it
COMPARISONS: dict[str, Callable[..., Pairs]] = {}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return made_up_run(tmp_path_factory.mktemp("run"), seed=3)


# What the artists of a figure hold, compared with its tables


def compares(name: str) -> Callable:
    return lambda comparison: COMPARISONS.setdefault(name, comparison)


def lines(axes: Axes, width: float) -> list[np.ndarray]:
    """The lines of this width through more than two points, as they were drawn."""
    chosen = [line for line in axes.lines if line.get_linewidth() == width]
    return [line.get_xydata() for line in chosen if len(line.get_xdata()) > 2]


def level(axes: Axes) -> list[float]:
    """Where lines run across the whole panel."""
    across = [line for line in axes.lines if list(line.get_xdata()) == [0, 1]]
    return [line.get_ydata()[0] for line in across]


def single(axes: Axes, **looks: Any) -> list[np.ndarray]:
    """Where marks of one point stand."""
    marks = [line for line in axes.lines if len(line.get_xdata()) == 1]
    return [
        mark.get_xydata()[0]
        for mark in marks
        if all(getattr(mark, f"get_{name}")() == value for name, value in looks.items())
    ]


def points(*columns: list) -> np.ndarray:
    return np.array(list(zip(*columns, strict=True)), dtype=float)


@compares("before-after")
def before_after(base: Figure, sft: Figure, ppo: Figure, table: Table) -> Pairs:
    pages, shares = [page.axes[0] for page in (base, sft, ppo)], table["share"]
    bars = [bar for axes in pages for bar in axes.patches]
    origin, percent = bars[0].get_x(), bars[0].get_width() / shares[0]
    yield [bar.get_width() / percent for bar in bars], shares
    lines = [line for axes in pages for line in axes.lines]
    whiskers = [line.get_xdata() for line in lines if line.get_color() == INK]
    drawn = [(ends[1] - origin) / percent for ends in whiskers if len(ends) == 2]
    yield drawn, [s + e for s, e in zip(shares, table["standard error"], strict=True)]


@compares("stage-seconds")
def stage_seconds(figure: Figure, table: Table) -> Pairs:
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    scale = max(widths) / max(table["wall time"])
    yield [width / scale for width in widths], table["wall time"]


@compares("sft-loss")
def sft_loss(figure: Figure, table: Table) -> Pairs:
    axes, steps = figure.axes[1], table["step"]
    yield lines(axes, 0.7), [points(steps, table["training loss"])]
    smooth = points(steps, table["smoothed"])[draw.centred(len(steps))]
    yield lines(axes, 2), [smooth, points(steps, table["held-out loss"])]
    yield level(axes), [table.line("floor")]


@compares("reward-model-training")
def reward_model_training(
    first: Figure, second: Figure, third: Figure, table: Table, scores: Table
) -> Pairs:
    loss, accuracy, histogram = (page.axes[1] for page in (first, second, third))
    steps = table["step"]
    dots = [patch.get_path().vertices[::2] for patch in loss.patches]
    yield dots, [points(steps, table["loss"])]
    yield level(loss), [table.line("loss of guessing")]
    yield lines(accuracy, 2), [points(steps, table["held-out accuracy"])]
    yield level(accuracy), [table.line("ceiling of the accuracy")]
    wrong, right = (patch.get_data() for patch in histogram.patches)
    yield [*wrong.values, *right.values], scores["pairs"]
    yield histogram.get_ylim()[0], 0.0  # or its areas are no numbers
    yield wrong.edges[-1], 0.0
    yield right.edges[0], 0.0
    yield [*wrong.edges[:-1], *right.edges[:-1]], scores["difference of scores from"]
    yield right.edges[-1], scores["to"][-1]


def ends(figure: Figure, colours: Sequence[str], key: int = 0) -> list[list[float]]:
    """How long the bars of each colour are, with their signs, without the first `key` of them."""
    bars = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)][key:]
    return [
        [bar.get_width() for bar in bars if same_color(bar.get_edgecolor(), colour)]
        for colour in colours
    ]


@compares("judge-changes")
def judge_changes(figure: Figure, table: Table) -> Pairs:
    gold, score = ends(figure, (MUTED, REWARD), key=2)
    scale = gold[0] / table["gold changes by"][0]
    yield [length / scale for length in gold], table["gold changes by"]
    yield [length / scale for length in score], table["score changes by"]


@compares("rl-step")
def rl_step(figure: Figure, table: Table) -> Pairs:
    before, after = ends(figure, (SFT, PPO))
    scale = before[0] / table["before"][0]
    yield [length / scale for length in before], table["before"]
    yield [length / scale for length in after], table["after"]
    yield from in_words(map(number, table["reward"]), figure)


@compares("ppo-advantages")
def ppo_advantages(figure: Figure, table: Table) -> Pairs:
    surprises, advantages = ends(figure, (MUTED, PPO), key=2)
    scale = advantages[0] / table["advantage A"][0]
    yield [length / scale for length in surprises], table["surprise δ"]
    yield [length / scale for length in advantages], table["advantage A"]


@compares("ppo-loop")
def ppo_loop(figure: Figure, table: Table) -> Pairs:
    cells = (cell for cell in table.rows[0][4:] if cell != table["β"][0])
    yield from in_words(map(number, cells), figure)


@compares("text-to-score")
def text_to_score(figure: Figure, table: Table) -> Pairs:
    prompt, response, *_, score = table.rows[0]
    yield from in_words((prompt, response, number(score)), figure)


def over_iterations(axes: Axes, table: Table, name: str) -> Pairs:
    runs = [table.where("KL penalty", penalty) for penalty in ("with", "without")]
    yield lines(axes, 0.7), [points(rows["iteration"], rows[name]) for rows in runs]
    smooth, middle = f"{name}, smoothed", draw.centred(len(runs[0].rows))
    yield lines(axes, 2), [points(rows["iteration"], rows[smooth])[middle] for rows in runs]


@compares("ppo-curves")
def ppo_curves(proxy: Figure, gold: Figure, kl: Figure, table: Table) -> Pairs:
    for page, name in ((proxy, "proxy"), (gold, "gold"), (kl, "KL")):
        yield from over_iterations(page.axes[1], table, name)


@compares("response-length")
def response_length(figure: Figure, table: Table) -> Pairs:
    yield from over_iterations(figure.axes[1], table, "length")
    yield level(figure.axes[1]), [table.line("SFT")]


@compares("gold-against-kl")
def gold_against_kl(
    whole: Figure, fast: Figure, slow: Figure, means: Table, seeds: Table, stops: Table
) -> Pairs:
    for page, speed in ((whole, "fast"), (fast, "fast"), (slow, "slow")):
        (_, axes), dots, paths = page.axes, [], []
        for penalty in ("with", "without"):
            rows = means.where("rate", speed).where("KL penalty", penalty)
            paths.append(points(rows["KL"], rows["gold"]))
            rows = seeds.where("rate", speed).where("KL penalty", penalty).rows
            dots.append(np.array([row[-2:] for row in rows if row[3] % 10 == 0]))
        yield [patch.get_path().vertices[::2] for patch in axes.patches], dots
        yield lines(axes, 1.8), paths
        chosen = stops.where("rate", speed)
        stop = [sum(chosen[name]) / len(chosen.rows) for name in ("KL", "gold")]
        yield single(axes), [*(path[-1] for path in paths), stop]


def means(axes: Axes, *series: tuple[Sequence[float], Table, str]) -> Pairs:
    """Curves through the means of a column, with an upright interval at each."""
    yield lines(axes, 1.8), [points(list(xs), rows[y]) for xs, rows, y in series]
    upright = [line.get_ydata() for line in axes.lines if line.get_linewidth() == 1]
    both = [pair for _, rows, y in series for pair in zip(rows[y], rows[f"± {y}"], strict=True)]
    yield upright, [(mean - reach, mean + reach) for mean, reach in both]


def apart(table: Table, column: str) -> list[Table]:
    return [table.where(column, name) for name in dict.fromkeys(table[column])]


@compares("temperatures")
def temperatures(figure: Figure, table: Table) -> Pairs:
    series = ((rows["temperature"], rows, "gold") for rows in apart(table, "model"))
    yield from means(figure.axes[1], *series)


@compares("curation")
def curation(figure: Figure, table: Table) -> Pairs:
    series = [  # the marks of one share stand side by side
        ([x + place - 2 for x in rows["good demonstrations"]], rows, "gold")
        for place, rows in enumerate(apart(table, "method"))
    ]
    yield from means(figure.axes[1], *series)


@compares("critic-positions")
def critic_positions(figure: Figure, table: Table) -> Pairs:
    series = ((rows["token"], rows, "explained variance") for rows in apart(table, "critic"))
    yield from means(figure.axes[1], *series)


@compares("reward-data")
def reward_data(one: Figure, other: Figure, table: Table) -> Pairs:
    above, below = one.axes[1], other.axes[1]
    aside = [1.1 * pairs for pairs in table["pairs"]]
    careful = (table["pairs"], table, "accuracy")
    yield from means(above, careful, (aside, table, "gold accuracy"))
    yield from means(below, (table["pairs"], table, "best-of-16 gold"))
    yield level(above), [table.line("ceiling of the accuracy")]
    yield level(below), [table.line("gold of the best of 16"), table.line("gold of any answer")]


@compares("label-noise")
def label_noise(figure: Figure, table: Table) -> Pairs:
    series = [
        ([aside * pairs for pairs in rows["pairs"]], rows, "gold accuracy")
        for labeler, aside in (("careful", 1), ("distracted", 1.1), ("hesitant", 0.9))
        for rows in [table.where("labeler", labeler)]
    ]
    yield from means(figure.axes[1], *series)


@compares("goodhart")
def goodhart(figure: Figure, table: Table) -> Pairs:
    curves = [points(table["KL"], table[name]) for name in ("proxy", "gold")]
    drawn = [line for line in figure.axes[1].lines if len(line.get_xdata()) > 2]
    yield [line.get_xydata() for line in drawn if line.get_linewidth() == 2], curves
    dots = [line.get_xydata() for line in drawn if line.get_linewidth() == 0]
    yield dots, [curve[:: over_optimisation.BETWEEN] for curve in curves]


@compares("courteous-answers")
def courtesy(figure: Figure, table: Table) -> Pairs:
    bars = figure.axes[0].patches[3:]  # without the key
    line = next(line for line in figure.axes[0].lines)
    whole = line.get_xdata()[1] - line.get_xdata()[0]
    yield [100 * bar.get_width() / whole for bar in bars], [n for r in table.rows for n in r[2:]]


@compares("beta-sweep")
def beta_sweep(figure: Figure, table: Table) -> Pairs:
    axes = figure.axes[1]
    drawn = [line.get_ydata() for line in axes.lines if list(line.get_xdata()) == [0, 1]]
    yield drawn, points(table["score: total at β = 0"], table["total at β = 1"])
    betas = [beta for beta in table["β from which it beats the hack"] if beta is not None]
    yield [x for x, _ in single(axes)], betas


@compares("demonstrations-preferences")
def demonstrations_preferences(asked: Figure, counted: Figure, table: Table) -> Pairs:
    axes = counted.axes[0]
    grid = [line.get_xdata()[0] for line in axes.lines if line.get_color() == FAINT]
    decade = grid[1] - grid[0]  # the first line stands at a hundred
    marks = [line for line in axes.lines if line.get_color() != FAINT]
    drawn = [10 ** (2 + (x - grid[0]) / decade) for line in marks for x in line.get_xdata()]
    counts = [count for row in table.rows for count in row[2:] if count is not None]
    yield np.array(drawn) / counts, np.ones(len(counts))


@compares("methods")
def methods(figure: Figure, table: Table) -> Pairs:
    axes = figure.axes[1]
    marks = {round(y + 0.1): x for x, y in single(axes)}
    yield [marks[row] for row in range(len(table.rows))], table["gold"]
    whiskers = [line.get_xdata() for line in axes.lines if line.get_linewidth() == 1.6]
    yield [(end - start) / 2 for start, end in whiskers], table["± gold"]


@compares("ablations")
def ablations(one: Figure, other: Figure, table: Table, seeds: Table) -> Pairs:
    both = one.axes[1], other.axes[1]
    assert both[0].get_xlim() == both[1].get_xlim()
    low, high = both[0].get_xlim()
    changed = [row for row in table.rows if row[2] is not None]
    rows = [row for row in changed if low <= row[2] <= high]
    assert len(rows) >= len(changed) - 1  # the farthest may lie off the scale
    yield [x for axes in both for x, _ in single(axes, marker="D")], [row[2] for row in rows]
    drawn = [line for axes in both for line in axes.lines]
    bars = [line.get_xdata() for line in drawn if line.get_linewidth() == 1.4]
    yield [(end - start) / 2 for start, end in bars], [row[3] for row in rows]
    dots = [patch.get_path().vertices[::2, 0] for axes in both for patch in axes.patches]
    yield dots, [np.array(seeds.where("setting", row[0])["change"]) for row in rows]


@compares("frontier")
def frontier(first: Figure, second: Figure, world: Table, shares: Table) -> Pairs:
    one, every = first.axes[1], second.axes[1]
    for policy, width in (("frontier", 1.6), ("best-of-n", 0.8)):
        rows = world.where("policy", policy)
        yield lines(one, width), [points(rows["KL"], rows["reward gained"])]
    trained = [world.where("policy", name) for name in dict.fromkeys(shares["method"])]
    rows = [table.rows[0][2:] for table in trained if table.rows]
    yield sorted(map(tuple, single(one))), sorted(rows)
    yield [x for line in every.lines for x in line.get_xdata()], shares["share of the frontier"]


@compares("verifiable-rewards")
def verifiable_rewards(first: Figure, second: Figure, right: Table, tries: Table) -> Pairs:
    one, other = first.axes[1], second.axes[1]
    yield [x for line in one.lines for x in line.get_xdata()], right["right"]
    drawn = [line.get_ydata() for line in other.lines if line.get_linewidth() == 1.8]
    yield np.concatenate(drawn).tolist(), tries["solved"]
    bars = [line.get_ydata() for line in other.lines if line.get_linewidth() == 1]
    yield [(high - low) / 2 for low, high in bars], tries["± solved"]


def in_words(cells: Iterable[str | int], *pages: Figure) -> Pairs:
    """What stands there as text; a number as a word of its own."""
    texts = [text for page in pages for axes in page.axes for text in axes.texts]
    found = " | ".join(text.get_text() for text in texts)
    for cell in cells:
        yield (f" {cell:,} " if isinstance(cell, int) else cell) in f"{found} ", True


@compares("three-stages")
def three_stages(figure: Figure, table: Table) -> Pairs:
    yield from in_words(table["how many"], figure)


@compares("timeline")
def timeline(one: Figure, other: Figure, table: Table) -> Pairs:
    cells = (cell for when, *rest in table.rows for cell in (when[:4], *rest))
    yield from in_words(cells, one, other)


def differences(name: str, run: Run, tables: tuple[Table, ...]) -> int:
    """How many groups of numbers of the drawn figure are others than the tables say."""
    found = 0
    for drawn, tabled in COMPARISONS[name](*FIGURES[name].drawn(run), *tables):
        pairs = zip(drawn, tabled, strict=True) if isinstance(drawn, list) else [(drawn, tabled)]
        found += not all(np.allclose(one, other, atol=1e-9) for one, other in pairs)
    return found


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_shows_the_numbers_of_its_tables(name: str, run: Run):
    figure = FIGURES[name]
    tables, where = figure.tables(run), place(str(figure.file), f'"{name}",')
    assert tables or "{" not in figure.alt, f"{where}: {name} is measured: give it `numbers`"
    assert bool(tables) == (name in COMPARISONS), (
        f"{place(__file__, 'COMPARISONS: ')}: compare {name} with its tables, if it has some"
    )
    assert not tables or differences(name, run, tables) == 0


def other(found: Any, seed: int) -> Any:
    """Other numbers of the same shape, others for each seed."""
    if isinstance(found, dict):
        return {key: found[key] if key == "iteration" else other(found[key], seed) for key in found}
    if isinstance(found, list):
        return [other(part, seed) for part in found]
    return 1.1 * found + seed if isinstance(found, float) else found


@pytest.mark.parametrize("name", [name for name in COMPARISONS if name != "timeline"])
def test_a_figure_of_other_numbers_would_be_noticed(
    name: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tables = FIGURES[name].tables(run)
    for study in FIGURES[name].studies:
        content = json.loads(studies.results_file(study).read_text(encoding="utf-8"))
        content["rows"] = [other(row, row["seed"]) for row in content["rows"]]
        (tmp_path / f"{study}.json").write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setattr(
        studies, "_RESULTS", tmp_path if FIGURES[name].studies else studies._RESULTS
    )
    monkeypatch.setitem(ppo.SCENARIOS, "great", (9.4, 0.8))
    monkeypatch.setitem(ppo.GUESSES, ".", 1.4)
    monkeypatch.setitem(over_optimisation.ANSWERS, "plain", (0.4, 1.1, 0.9))
    assert differences(name, another_run(tmp_path / "another", run), tables) > 0


def test_tables_hold_what_the_run_measured(run: Run):
    (curves,) = FIGURES["ppo-curves"].tables(run)
    for policy, penalty in (("ppo", "with"), ("ppo_no_kl", "without")):
        rows = curves.where("KL penalty", penalty)
        for column, name in (("proxy", "proxy"), ("gold", "gold"), ("KL", "kl")):
            assert rows[column] == [row[name] for row in run.history[policy]]
    training, scores = FIGURES["reward-model-training"].tables(run)
    assert training["loss"] == [row["loss"] for row in run.history["reward_model"]]
    both = (run.reward_model[f"{side}_scores"] for side in ("chosen", "rejected"))
    given = np.subtract(*both)
    counts, _ = np.histogram(given, [*scores["difference of scores from"], scores["to"][-1]])
    assert counts.tolist() == scores["pairs"]
    assert sum(counts) == len(given)
    (shares,) = FIGURES["before-after"].tables(run)
    after = shares.where("model", "after RLHF").where("responses", "helpful")
    assert after["share"] == [100 * run.evaluation["ppo"]["helpful"]]
    (exams,) = FIGURES["temperatures"].tables(run)
    mine, found = exams.where("model", "after RLHF"), run.temperatures["ppo"]
    assert dict(zip(mine["temperature"], mine["gold"], strict=True)) == {
        float(at): exam["gold"] for at, exam in found.items()
    }


def test_a_run_is_stopped_where_practised_questions_say(run: Run):
    _, _, stops = FIGURES["gold-against-kl"].tables(run)
    for speed in SPEEDS:
        found = [
            r for r in studies.stored("early_stopping").rows if r["setting"] == f"{speed}_free"
        ]
        best = [max(row["way"], key=lambda look: look["practised_gold"]) for row in found]
        assert stops.where("rate", speed)["gold"] == [look["gold"] for look in best]


def test_goodharts_figure_shows_what_the_page_prints(run: Run):
    page = (Path(__file__).parents[1] / "docs/guide/over-optimisation.md").read_text("utf-8")
    printed = re.findall(r"(?m)^([\d.]+) +([\d.]+) +([\d.]+) +(-?[\d.]+) +(\d+)%$", page)
    (table,) = FIGURES["goodhart"].tables(run)
    rows = table.rows[:: over_optimisation.BETWEEN]
    assert [float(row[0]) for row in printed] == [row[0] for row in rows]
    for row, texts in zip(rows, printed, strict=True):
        assert [float(text) for text in texts[1:4]] == pytest.approx(row[1:4], abs=0.0051)
        assert float(texts[4]) == pytest.approx(row[4], abs=0.51)


def test_the_hack_stops_paying_where_the_totals_are_equal():
    hacked = ppo.SCENARIOS["hacked"]
    for scenario in ppo.SCENARIOS.values():
        if scenario is not hacked:
            beta = ppo.crossing(hacked, scenario)
            totals = [score - beta * kl for score, kl in (hacked, scenario)]
            assert totals[0] == pytest.approx(totals[1])


def test_the_step_is_the_gradient_of_the_mean_reward(run: Run):
    (table,) = FIGURES["rl-step"].tables(run)
    logits = (torch.tensor(table["before"]).double() / 100).log().requires_grad_()
    mean = logits.softmax(0) @ torch.tensor(table["reward"]).double()
    mean.backward()
    assert table.line("mean reward") == pytest.approx(mean.item())
    after = 100 * (logits + logits.grad).softmax(0)
    assert table["after"] == pytest.approx(after.tolist())


def test_the_drawn_advantages_are_those_of_gae(run: Run):
    (table,) = FIGURES["ppo-advantages"].tables(run)
    rewards, guesses = (torch.tensor([[*row.values()]]) for row in (ppo.REWARDS, ppo.GUESSES))
    mask = torch.ones(1, 3, dtype=torch.bool)
    for column, gae_lambda in (("surprise δ", 0.0), ("advantage A", ppo.GAE_LAMBDA)):
        found, _ = gae(rewards, guesses, mask, gamma=1.0, gae_lambda=gae_lambda)
        assert table[column] == pytest.approx(found[0].tolist(), abs=1e-6)
    page = Path(__file__).parents[1] / "docs/guide/ppo-by-hand.md"
    text = page.read_text(encoding="utf-8")
    for row in (ppo.REWARDS, ppo.GUESSES):
        assert f"[[{', '.join(f'{value:.2f}' for value in row.values())}]]" in text


# A table itself


def table(rows: int) -> Table:
    cells = [(n, n / 3, None if n % 2 else "even") for n in range(rows)]
    headings = "step", "loss (nats) .3", "note"
    return Table.of("example", "An example", headings, cells, {"floor (nats)": 0.25})


def test_headings_are_read_and_intervals_take_two_columns():
    rows = [("a", Interval(1.5, 0.25, 0.1), 3), ("b", None, 4), ("c", Interval(2.0, 0.0, 0.1), 5)]
    found = Table.of("t", "T", ("method", "KL, all (nats) .1 ±", "seconds"), rows)
    assert found.columns[1:3] == (Column("KL, all", "nats", 1), Column("± KL, all", "nats", 1))
    assert found.rows == (("a", 1.5, 0.25, 3), ("b", None, None, 4), ("c", 2.0, 0.0, 5))
    headings, read = found.read
    assert headings == ["method", "KL, all (nats)", "seconds"]
    assert read == [["a", "1.5 ± 0.2", "3"], ["b", "–", "4"], ["c", "2.0", "5"]]


def test_a_csv_holds_all_rows_and_single_values_in_each():
    read = list(csv.DictReader(io.StringIO(table(100).csv())))
    third = {"step": "2", "loss (nats)": "0.666667", "note": "even", "floor (nats)": "0.25"}
    assert len(read) == 100
    assert read[2] == third
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
    assert [Column("x").text(cell) for cell in (-0.5, 12345, None)] == ["−0.50", "12,345", "–"]
