"""The figures: each draws from any run, the same each time, and nothing in it gets in the way."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from made_up_run import CURVES, another_run, made_up_run
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, PathPatch, StepPatch
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from places import place

from rlhf_explained import figures, measured, studies
from rlhf_explained.figures import FIGURES, colours, draw, labels
from rlhf_explained.figures.chapters import history
from rlhf_explained.names import STAGES
from rlhf_explained.pipeline import Run

SVG = "{http://www.w3.org/2000/svg}"
STILL = {name: lambda t: 0.0 for name in ("proxy", "gold", "kl", "length")}
RUNS = {
    "usual": {},
    "one iteration": {"iterations": 1},
    "two iterations": {"iterations": 2},
    "long": {"iterations": 200, "seed": 12345},
    "constant": {"noise": 0.0, "curves": {"ppo": STILL, "ppo_no_kl": STILL}},
    "alike": {"curves": {"ppo_no_kl": CURVES["ppo"]}, "noise": 0.3},
    "wild": {"noise": 25.0},
    "big": {
        "seconds": dict.fromkeys((*STAGES, "total"), 12345.6),
        "curves": {"ppo": {name: lambda t: -1e3 * t for name in STILL}},
    },
    "all the same score": {
        "reward_model": {
            "heldout_accuracy": 0.0,
            "accuracy_ceiling": 1.0,
            "hard_negative_accuracy": 0.0,
            "plain_negative_accuracy": 0.0,
            "heldout_pairs": 3,
            "chosen_scores": [1.0] * 3,
            "rejected_scores": [1.0] * 3,
        }
    },
}


OF_A_RUN = [name for name, figure in FIGURES.items() if not figure.studies]
ALL = [(name, kind) for name in OF_A_RUN for kind in RUNS]
ALL += [(name, "usual") for name in FIGURES if name not in OF_A_RUN]
SOME = [(name, kind) for name, kind in ALL if kind in ("usual", "one iteration", "constant")]


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("runs")
    made = {kind: made_up_run(folder / kind, **changes) for kind, changes in RUNS.items()}
    return made | {"another": another_run(folder / "another", made["usual"])}


@pytest.fixture
def run(runs: dict[str, Run]) -> Run:
    return runs["usual"]


def at(name: str) -> str:
    """File and line of a figure's name."""
    return place(str(FIGURES[name].file), f'"{name}",')


# What can get in the way


class _Watching(RendererAgg):
    """Remembers each text that it draws."""

    def __init__(self, figure: Figure) -> None:
        width, height = figure.bbox.size
        super().__init__(width, height, figure.dpi)
        self.texts: list[Text] = []

    def draw_text(self, gc, x, y, s, prop, angle, ismath=False, mtext=None):
        assert mtext is not None, f"{s!r} is one of several lines: a browser would shift it"
        self.texts.append(mtext)
        super().draw_text(gc, x, y, s, prop, angle, ismath, mtext)


def texts(figure: Figure) -> dict[str, tuple[Text, Bbox]]:
    renderer = _Watching(figure)
    figure.draw(renderer)
    # The extent reaches from the highest letter to the lowest one there could be.
    return {
        f"{number}: {text.get_text()}": (text, text.get_window_extent().padded(-0.5, -1.0))
        for number, text in enumerate(renderer.texts)
        if text.get_text().strip()
    }


def _lines(figure: Figure) -> list[list[tuple[float, float]]]:
    """The corners of every arrow, on the paper."""
    arrows = [patch for patch in figure.axes[0].patches if isinstance(patch, FancyArrowPatch)]
    paths = [arrow.get_transform().transform(arrow._path_original.vertices) for arrow in arrows]
    return [list(map(tuple, path)) for path in paths]


def _cross(first: tuple, second: tuple) -> bool:
    (a, b), (c, d) = first, second

    def side(p, q, r) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0


def _enters(piece: tuple, box: Bbox) -> bool:
    (x0, y0), (x1, y1) = piece
    steps = [step / 50 for step in range(51)]
    return any(box.contains(x0 + t * (x1 - x0), y0 + t * (y1 - y0)) for t in steps)


def faults(figure: Figure) -> list[str]:
    """Everything that overlaps, crosses or leaves the page."""
    found, page = [], figure.bbox
    placed = {name: extent for name, (_, extent) in texts(figure).items()}
    for name, extent in placed.items():
        if extent.x0 < 0 or extent.y0 < 0 or extent.x1 > page.x1 or extent.y1 > page.y1:
            found.append(f"{name} leaves the page")
    for (one, first), (other, second) in combinations(placed.items(), 2):
        if first.overlaps(second):
            found.append(f"{one} overlaps {other}")
    patches = [patch for axes in figure.axes for patch in axes.patches]
    boxes = [patch.get_window_extent() for patch in patches if isinstance(patch, FancyBboxPatch)]
    for box in boxes:
        for name, extent in placed.items():
            whole = box.contains(extent.x0, extent.y0) and box.contains(extent.x1, extent.y1)
            if box.overlaps(extent) and not whole:
                found.append(f"{name} crosses the edge of a box")
    lines = enumerate(_lines(figure))
    pieces = [(number, piece) for number, line in lines for piece in pairwise(line)]
    for number, piece in pieces:
        if any(_enters(piece, box.padded(-1.5)) for box in boxes):
            found.append(f"arrow {number} crosses a box")
        for name, extent in placed.items():
            if _enters(piece, extent):
                found.append(f"arrow {number} crosses {name}")
    for (one, first), (other, second) in combinations(pieces, 2):
        if one != other and _cross(first, second):
            found.append(f"arrow {one} crosses arrow {other}")
    return found


@pytest.mark.parametrize(("name", "kind"), ALL)
def test_nothing_overlaps_crosses_or_is_clipped(name: str, kind: str, runs: dict[str, Run]):
    for page in FIGURES[name].drawn(runs[kind]):
        found = "; ".join(faults(page))
        assert not found, f"{at(name)}: drawn from the run {kind!r}, {found}: move it"


@pytest.mark.parametrize("name", [name for name in FIGURES if name not in OF_A_RUN])
def test_old_numbers_are_called_old_and_there_is_room_for_that(
    name: str, run: Run, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(studies, "source_digest", lambda name: "another")
    assert "code changed since" in said(name, run)
    assert not any(faults(page) for page in FIGURES[name].drawn(run))


PLANTED = {
    "overlaps": lambda axes: draw.words(axes, 40, 53, "another"),
    "leaves the page": lambda axes: draw.words(axes, 290, 90, "too far to the right"),
    "edge of a box": lambda axes: draw.words(axes, 140, 45, "too wide for it"),
    "crosses a box": lambda axes: draw.arrow(axes, (90, 30), (180, 35)),
    "crosses 0: a text": lambda axes: draw.arrow(axes, (10, 47), (90, 47)),
    "crosses arrow": lambda axes: draw.arrow(axes, (250, 10), (250, 60)),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_that_test_notices(fault: str):
    with draw.styled():
        figure, axes = draw.page(100)
        draw.words(axes, 20, 50, "a text")
        draw.box(axes, (100, 20, 60, 40), colours.SFT)
        draw.arrow(axes, (200, 20), (300, 20))
        assert not faults(figure)
        PLANTED[fault](axes)
        assert any(fault in found for found in faults(figure))


# The SVG


@pytest.mark.parametrize(("name", "kind"), SOME)
def test_svg_follows_the_theme_and_shares_a_page(name: str, kind: str, runs: dict[str, Run]):
    svg = FIGURES[name].svg(runs[kind])
    root = ElementTree.fromstring(svg)
    assert svg.startswith("<svg ")
    alone = {f"{prefix}-{word}": colour for prefix in ("fill", "line")
             for word, colour in colours.SENTINELS.values()}  # fmt: skip
    for element in root.iter():
        assert "style" not in element.attrib
        classes = element.get("class", "").split()
        seen = [element.attrib[key] for key in ("fill", "stroke") if key in element.attrib]
        painted = [c for c in seen if c != "none" and not c.startswith(f"url(#{name}-")]
        assert [alone[word] for word in classes] == painted  # each colour has its class
    assert not any(sentinel in svg for sentinel in colours.SENTINELS)
    ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    assert len(ids) == len(set(ids))
    assert all(found.startswith(f"{name}-") for found in ids)
    assert set(re.findall(r"url\(#([^)]+)\)", svg)) == set(ids)
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert tags <= {"svg", "g", "path", "circle", "text", "pattern", "rect", "clipPath"}
    assert "font-family" not in re.sub(r"<svg [^>]*>", "", svg)
    sizes = [float(size) for size in re.findall(r'font-size="([\d.]+)"', svg)]
    assert min(sizes) * 340 / draw.WIDTH >= 11, "too small on a phone"


@pytest.mark.parametrize("name", FIGURES)
def test_pages_are_as_wide_as_their_number_asks(name: str, run: Run):
    pages = FIGURES[name].drawn(run)
    widths = [draw.size(page)[0] for page in pages]
    wide = draw.WIDTH if len(pages) < 3 else draw.THIRD
    assert widths == pytest.approx([wide] * len(pages)), f"{at(name)}: draw.page(height, {wide})"
    drawing = ElementTree.fromstring(FIGURES[name].svg(run))
    parts = list(drawing.iter(f"{SVG}svg"))
    assert len(parts) == len(pages) + (len(pages) > 1)
    assert all(part.get("font-size") for part in parts[-len(pages) :])
    image = figures.titled(FIGURES[name].svg(run), "the-title", "What it shows.")
    assert image.count('role="img"') == image.count("<title") == 1, "one name for all pages"
    assert len(re.findall("<svg", image)) == len(pages)


def test_a_drawing_alone_has_the_colours_of_the_light_theme():
    sheet = Path("docs/assets/stylesheets/extra.css").read_text(encoding="utf-8")
    light = dict(re.findall(r"(--[\w-]+): (#\w+);", sheet.split("slate")[0]))
    for word, alone in colours.SENTINELS.values():
        for kind in (rf"\.fill-{word} {{ fill", rf"\.line-{word} {{ stroke"):
            (variable,) = re.findall(rf"{kind}: var\((--[\w-]+)\); }}", sheet)
            assert word == "paper" or light[variable] == alone


@pytest.mark.parametrize("name", FIGURES)
def test_svg_is_small(name: str, run: Run):
    size = len(FIGURES[name].svg(run).encode())
    assert size <= 10_000, f"{at(name)}: {name} has {size:,} bytes, 10,000 are allowed: draw less"


def test_bytes_repeat_in_another_process_with_other_settings(run: Run, tmp_path: Path):
    (tmp_path / "matplotlibrc").write_text(
        "font.size: 30\nlines.linewidth: 9\ngrid.linestyle: --\nxtick.major.width: 5\n"
    )
    code = (
        "import sys; from pathlib import Path; from rlhf_explained.figures import FIGURES\n"
        "from rlhf_explained.pipeline import Run, RunConfig\n"
        "run = Run(RunConfig(), 'made-up', Path(sys.argv[1]))\n"
        "for figure in FIGURES.values(): print(figure.svg(run))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(run.folder)],
        env=os.environ | {"MATPLOTLIBRC": str(tmp_path / "matplotlibrc"), "PYTHONHASHSEED": "1"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    here = "".join(f"{figure.svg(run)}\n" for figure in FIGURES.values())
    assert done.stdout == here


def test_drawing_leaves_the_callers_settings_alone(run: Run):
    import matplotlib

    before = dict(matplotlib.rcParams)
    FIGURES["ppo-curves"].svg(run)
    assert dict(matplotlib.rcParams) == before


# What the figures say


def said(name: str, run: Run) -> str:
    root = ElementTree.fromstring(FIGURES[name].svg(run))
    return " | ".join("".join(text.itertext()) for text in root.iter(f"{SVG}text"))


@pytest.mark.parametrize(("name", "kind"), SOME)
def test_alt_text_quotes_the_run(name: str, kind: str, runs: dict[str, Run]):
    alt = figures.alt_text(name, runs[kind])
    assert len(alt) > 80, f"{at(name)}: this alt text is short: say all that the drawing says"
    assert not re.search(r"[{}]", alt), f"{at(name)}: the alt text has a brace: take it out"
    assert name != "before-after" or "84\N{NO-BREAK SPACE}% after RLHF" in alt


@pytest.mark.parametrize("name", FIGURES)
def test_alt_text_types_no_number_that_may_change(name: str, runs: dict[str, Run]):
    """What is typed there is drawn for every run, or made up."""
    alt = re.sub(r"\{[^}]*\}", "", FIGURES[name].alt)
    kinds = ("usual", "another") if name in OF_A_RUN else ("usual",)
    for number in re.findall(r"\d+\.\d+|\d+(?= ?%)", alt) if "illustrat" not in alt else ():
        assert all(number in said(name, runs[kind]) for kind in kinds), (
            f"{at(name)}: its alt text types {number}: write the value's name in braces"
        )


@pytest.mark.parametrize(("name", "kind"), SOME)
def test_a_measured_figure_names_its_run_and_an_invented_one_says_so(
    name: str, kind: str, runs: dict[str, Run]
):
    words, run = said(name, runs[kind]), runs[kind]
    names_run, is_invented = f"seed {run.config.seed}" in words, "illustrative" in words
    tables = FIGURES[name].tables
    assert names_run == (tables(run) != tables(runs["another"])), (
        f"{at(name)}: its drawing says `seed {{run.config.seed}}` if its numbers are the run's"
    )
    assert is_invented == FIGURES[name].illustrative, (
        f"{at(name)}: `illustrative=True` stands there if the drawing says so"
    )


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_depends_on_all_that_draws_it_and_on_no_other_chapter(name: str):
    found = {f"{path.parent.name}/{path.stem}" for path in FIGURES[name].sources}
    shared = {"figures/draw", "figures/svg", "figures/table", "measured/text"}
    assert found >= shared
    chapters = {path for path in FIGURES[name].sources if path.parent.name == "chapters"}
    assert chapters == {FIGURES[name].file}
    assert ("formulas/losses" in found) == FIGURES[name].module.endswith(".ppo")


def test_the_reward_model_gets_the_prompt_and_the_kl_the_policy_and_the_reference(run: Run):
    (figure,) = FIGURES["ppo-loop"].drawn(run)
    placed = texts(figure)
    boxes = {}
    for patch in figure.axes[0].patches:
        if isinstance(patch, FancyBboxPatch):
            extent = patch.get_window_extent()
            inside = [t.get_text() for t, e in placed.values() if extent.contains(e.x0, e.y0)]
            boxes[inside[0].lstrip("1234567 ")] = extent.padded(1.5)

    def box(point: tuple[float, float]) -> str:
        return next(name for name, extent in boxes.items() if extent.contains(*point))

    assert {(box(line[0]), box(line[-1])) for line in _lines(figure)} == {
        ("PROMPT", "POLICY"),
        ("POLICY", "RESPONSE"),
        ("PROMPT", "REWARD MODEL"),
        ("RESPONSE", "REWARD MODEL"),
        ("RESPONSE", "REFERENCE"),
        ("REFERENCE", "KL PENALTY"),
        ("POLICY", "KL PENALTY"),
        ("REWARD MODEL", "TOTAL REWARD"),
        ("KL PENALTY", "TOTAL REWARD"),
        ("TOTAL REWARD", "PPO UPDATE"),
        ("PPO UPDATE", "POLICY"),
    }


def test_the_hack_stops_paying_where_it_is_said(run: Run):
    words = said("beta-sweep", run)
    assert all(beta in words for beta in ("0.119", "0.444", "0.625"))


def test_the_clipped_objective_is_flat_outside_the_clip_range_on_the_tempting_side(run: Run):
    axes = FIGURES["ppo-clip"].drawn(run)[0].axes[1]
    curves = [line for line in axes.lines if line.get_linewidth() > 2]
    for line, advantage in zip(curves, (1.0, -1.0), strict=True):
        for ratio, objective in zip(line.get_xdata(), line.get_ydata(), strict=True):
            clipped = min(max(ratio, 0.8), 1.2)
            assert objective == pytest.approx(min(ratio * advantage, clipped * advantage))


def test_a_line_ends_as_the_mean_of_the_nearest_full_window():
    """No smoothed line bends to its first or last point."""
    assert draw.smoothed([0.0] * 7 + [7.0]) == [0.0] * 5 + [1.4] * 3
    assert draw.smoothed([1.0, 2.0, 3.0, 4.0, 10.0, 11.0]) == [4.0] * 3 + [6.0] * 3
    assert draw.smoothed([7.0] * 9) == [7.0] * 9
    assert draw.smoothed([1.0, 2.0, 6.0]) == [3.0] * 3
    assert draw.smoothed([]) == []


@pytest.mark.parametrize(("count", "drawn"), [(1, 1), (2, 2), (5, 5), (6, 2), (60, 56)])
def test_a_smoothed_line_is_drawn_where_its_window_is_full(count: int, drawn: int):
    ys = [float(place % 7) for place in range(count)]
    figure, _ = draw.page(200)
    axes = draw.panel(figure, (30, 30, 200, 100), "")
    smooth = draw.smoothed(ys)
    draw.curve(axes, list(range(count)), smooth, colours.PPO, "-", raw=ys)
    single, line = axes.lines
    assert single.get_ydata().tolist() == ys
    assert len(line.get_xdata()) == drawn
    first = (count - drawn) // 2
    assert line.get_xdata().tolist() == list(range(first, first + drawn))
    assert smooth[first] == smooth[0], "its ends are those of the nearest full window"


def test_every_method_has_its_row_the_best_first(run: Run):
    (table,) = FIGURES["methods"].tables(run)
    assert table["gold"] == sorted(table["gold"], reverse=True)
    found = texts(*FIGURES["methods"].drawn(run)).values()
    rows = {text.get_text(): text.get_position()[1] for text, _ in found}
    places = [rows[name] for name in table["method"]]
    assert places == sorted(places)
    assert any(text.startswith("≤ ") for text in rows), "best-of-n's KL is a bound"


def test_a_change_is_bold_if_it_is_beyond_the_corrected_noise(run: Run):
    table, _ = FIGURES["ablations"].tables(run)
    found = [text for page in FIGURES["ablations"].drawn(run) for text, _ in texts(page).values()]
    bold = {text.get_text(): text.get_weight() == "bold" for text in found}
    for row in table.rows[1:]:
        change = f"{measured.number(row[2])} ± {measured.number(row[3])}"
        assert bold[change] == (row[4] <= 0.05)
    assert not all(row[4] <= 0.05 for row in table.rows[1:])


# Colour is never the only signal


def alike(figure: Figure) -> list[str]:
    """Marks of one panel that only their colours tell apart.

    A line through single measurements is not looked at: it follows its own smoothed line.
    """
    found = []
    for axes in figure.axes:
        looks: dict[tuple, str] = {}
        for line in axes.lines:
            colour = line.get_color()
            is_series = len(line.get_xdata()) > 2 and line.get_linewidth() > 1
            if is_series and colour != colours.PAPER:
                look = (line.get_linestyle(), str(line._dash_pattern), line.get_linewidth())
                if looks.setdefault(look, colour) != colour:
                    found.append(f"two lines of dash {look}")
        for patch in axes.patches:
            if isinstance(patch, StepPatch | PathPatch):
                look = (patch.get_hatch(), patch.get_capstyle(), type(patch))
                colour = str(patch.get_edgecolor())
                if looks.setdefault(look, colour) != colour:
                    found.append(f"two patches of {look}")
    return found


@pytest.mark.parametrize(("name", "kind"), SOME)
def test_series_differ_in_more_than_their_colour(name: str, kind: str, runs: dict[str, Run]):
    assert not any(alike(page) for page in FIGURES[name].drawn(runs[kind]))


def test_series_that_do_not_would_be_noticed(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(colours.DASHES, "ppo_no_kl", colours.DASHES["ppo"])
    assert all(alike(page) for page in FIGURES["ppo-curves"].drawn(run))
    figure = FIGURES["gold-against-kl"].drawn(run)[0]
    for patch in figure.axes[1].patches:
        patch.set_capstyle("round")
    assert any("patches" in found for found in alike(figure))


def test_kinds_of_events_and_policies_differ_in_their_marks():
    for marks in ([mark for _, mark, _ in history.KINDS.values()], colours.MARKERS.values()):
        assert len(set(marks)) == len(marks)


# Arithmetic


@pytest.mark.parametrize(
    "wanted", [[], [5.0], [5.0, 5.0], [1.0, 2.0, 3.0], [90.0, 95.0, 99.0], [50.0, 10.0, 52.0]]
)
def test_spread_keeps_order_and_distance_and_room(wanted: list[float]):
    placed = labels.spread(wanted, 13, 0, 100)
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    assert all(placed[b] - placed[a] >= 13 - 1e-9 for a, b in pairwise(order))
    assert all(-1e-9 <= place <= 100 + 1e-9 for place in placed)
    apart = all(abs(a - b) >= 13 for a, b in combinations(wanted, 2))
    if apart:
        assert placed == wanted


def test_limits_hold_all_points():
    figure, _ = draw.page(200)
    axes = draw.panel(figure, (30, 30, 200, 100), "")
    for ys in ([1.0], [2.0, 2.0], [-1e6, math.pi]):
        draw.limits(axes, list(range(len(ys))), ys)
        low, high = axes.get_ylim()
        assert low < min(ys)
        assert max(ys) < high
