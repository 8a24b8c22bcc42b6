"""Figures as they are seen: contrast from the page's own pixels, size, data, print and theme."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page

from rlhf_explained.figures import FIGURES, cached
from rlhf_explained.site.shown_run import current_run
from tests.site.conftest import PAGES, PHONE, SITE, Visit

DRAWN = [
    name
    for name in PAGES
    if name != "whole/"  # which shows the same drawings once more
    and (SITE / name / "index.html").is_file()
    and '<figure class="drawn"' in (SITE / name / "index.html").read_text(encoding="utf-8")
]

# Everything painted in each figure: texts with their boxes, marks with points along their outlines.
PAINTED = """() => {
  const style = document.createElement("style");
  style.textContent = ".md-header, .md-tabs { display: none !important }" +
    "figure.drawn text { visibility: hidden }";
  document.head.append(style);
  const colour = value => value.startsWith("rgb") ? value.match(/[\\d.]+/g).map(Number) : null;
  const box = e => { const r = e.getBoundingClientRect();
    return [r.left + scrollX, r.top + scrollY, r.right + scrollX, r.bottom + scrollY] };
  const points = (e, much) => {
    if (!much || e.closest("defs, pattern, clipPath")) return [];
    const m = e.getScreenCTM(), all = e.getTotalLength();
    return Array.from({length: much}, (_, i) => {
      const p = e.getPointAtLength(all * (i + .5) / much).matrixTransform(m);
      return [p.x + scrollX, p.y + scrollY] });
  };
  return [...document.querySelectorAll("figure.drawn")].map(figure => {
    const svgs = [...figure.querySelectorAll("svg")], boxes = svgs.map(box);
    const scale = boxes.map((b, i) => (b[2] - b[0]) / svgs[i].viewBox.baseVal.width)[0];
    const edges = [0, 1, 2, 3].map(i => Math[i < 2 ? "min" : "max"](...boxes.map(b => b[i])));
    const all = what => svgs.flatMap(svg => [...svg.querySelectorAll(what)]);
    const look = e => { const s = getComputedStyle(e); return {
      what: e.outerHTML.slice(0, 90), classes: (e.closest("[class]")?.getAttribute("class") ?? ""),
      fill: colour(s.fill), stroke: colour(s.stroke), fillOpacity: +s.fillOpacity,
      strokeOpacity: +s.strokeOpacity, width: parseFloat(s.strokeWidth) * scale } };
    const faint = getComputedStyle(figure).getPropertyValue("--md-default-fg-color--lightest");
    return { name: figure.id, box: edges, pages: boxes, faint: faint.trim(),
      texts: all("text").map(e => ({...look(e), box: box(e),
        size: parseFloat(getComputedStyle(e).fontSize) * scale,
        page: boxes[svgs.indexOf(e.ownerSVGElement)]})),
      marks: all("path, circle, rect").filter(e => !e.closest("clipPath"))
        .map(e => ({...look(e), points: points(e, 24)})) };
  });
}"""


def luminance(colours: np.ndarray) -> np.ndarray:
    """Relative luminance, as WCAG 2 defines it, of colours in 0–255."""
    parts = np.asarray(colours, dtype=float) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def contrast(one: Any, other: Any) -> np.ndarray:
    first, second = luminance(one), luminance(other)
    return (np.maximum(first, second) + 0.05) / (np.minimum(first, second) + 0.05)


def crop(pixels: np.ndarray, box: list[float]) -> np.ndarray:
    left, top, right, bottom = (max(round(edge), 0) for edge in box)
    return pixels[top : bottom + 1, left : right + 1].reshape(-1, 3)


def usual(pixels: np.ndarray) -> np.ndarray:
    """The colour that most pixels have."""
    colours, counts = np.unique(pixels.astype(int) @ (65536, 256, 1), return_counts=True)
    most = int(colours[counts.argmax()])
    return np.array([most >> 16, most >> 8 & 255, most & 255])


def pale_text(text: dict[str, Any], pixels: np.ndarray) -> str:
    """What is wrong with a text: its colour against the pixels that lie behind it."""
    behind = crop(pixels, text["box"])
    enough = contrast(text["fill"][:3], behind) >= 4.5
    if enough.mean() > 0.85 and contrast(text["fill"][:3], usual(behind)) >= 4.5:
        return ""  # a line may run through a corner of the box
    return f"text {text['what']} on {usual(behind)}"


def pale_mark(mark: dict[str, Any], pixels: np.ndarray, paper: np.ndarray, faint: list) -> str:
    """What is wrong with a mark: its colours as they come out on paper, and what is beside it."""
    seen = []
    for kind in ("fill", "stroke"):
        colour = mark[kind]
        if colour is None or colour[3:] == [0] or colour[:3] == faint:
            continue  # nothing there, or a gridline
        if contrast(colour[:3], paper) < 1.01 and "paper" in mark["classes"]:
            continue  # it covers something
        opacity = mark[f"{kind}Opacity"] * (colour[3] if len(colour) == 4 else 1)
        if opacity == 0 or (kind == "stroke" and not mark["width"]):
            continue
        seen.append(opacity * np.array(colour[:3]) + (1 - opacity) * paper)
    if not seen:
        return ""
    colour = max(seen, key=lambda one: contrast(one, paper))  # an outline makes up for a tint
    if contrast(colour, paper) < 3:
        return f"{contrast(colour, paper):.2f}: mark {mark['what']}"
    reach = mark["width"] / 2 + 3
    lost = 0
    for x, y in mark["points"]:
        beside = crop(pixels, [x - reach, y - reach, x + reach, y + reach])
        lost += not (contrast(colour, beside) >= 3).any()
    if lost > 0.1 * len(mark["points"]):
        return f"lost at {lost} of {len(mark['points'])} points: mark {mark['what']}"
    return ""


def faults(page: Page) -> list[str]:
    """Every text and mark of the page's figures that is too pale."""
    painted = page.evaluate(PAINTED)
    image = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
    pixels, found = np.asarray(image), []
    for figure in painted:
        paper = usual(crop(pixels, figure["box"])).astype(float)
        digits = figure["faint"].lstrip("#")
        faint = [int(digits[place : place + 2], 16) for place in (0, 2, 4)]
        assert figure["texts"]
        assert figure["marks"]
        wrong = [pale_text(text, pixels) for text in figure["texts"]]
        wrong += [pale_mark(mark, pixels, paper, faint) for mark in figure["marks"]]
        found += [f"{figure['name']}: {what}" for what in wrong if what]
    return found


@pytest.mark.looks
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", DRAWN)
def test_text_and_marks_have_contrast(name: str, scheme: str, visit: Visit) -> None:
    with visit(name, color_scheme=scheme) as page:
        found = faults(page)
        assert not found, "\n".join(found)


PALE = {
    "pale curves": ".line-rm { stroke-opacity: .4 }",
    "pale text": ".fill-muted { fill: #8a8a8a }",
    "text on a solid box": "[fill-opacity] { fill-opacity: 1 !important }",
    "a tint without outline": "[fill-opacity], [fill-opacity] * { stroke: none !important }",
    "a line in the colour of the paper": ".line-muted { stroke: var(--md-default-bg-color) }",
    "lines on a grey page": "figure.drawn svg { background: #777 }",
}


@pytest.mark.parametrize("fault", PALE)
def test_that_test_notices(fault: str, visit: Visit) -> None:
    with visit("guide/reward-model/") as page:
        page.add_style_tag(content=PALE[fault])
        assert faults(page)


@pytest.mark.looks
@pytest.mark.parametrize("name", DRAWN)
def test_figures_are_readable_on_a_phone(name: str, visit: Visit) -> None:
    with visit(name, viewport=PHONE) as page:
        for figure in page.evaluate(PAINTED):
            for text in figure["texts"]:
                assert text["size"] >= 11, f"{figure['name']}: {text['what']}"
                (x0, y0, x1, y1), (left, top, right, bottom) = text["box"], text["page"]
                inside = x0 >= left - 1 and y0 >= top - 1 and x1 <= right + 1 and y1 <= bottom + 1
                assert inside, f"{figure['name']} cuts {text['what']}"


WIDTHS = (360, 900, 960, 1220, 1280, 1600)  # at 960 and 1,220 menus have just come in


@pytest.mark.looks
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", [name for name in DRAWN if not name.startswith("notebooks/")])
def test_pages_stand_side_by_side_where_there_is_room(name: str, width: int, visit: Visit) -> None:
    with visit(name, viewport={"width": width, "height": 800}) as page:
        around = page.evaluate(
            """() => ["article", ".md-sidebar--secondary"].map(e => document.querySelector(e))
            .filter(e => e?.checkVisibility()).map(e => e.getBoundingClientRect().toJSON())"""
        )
        limit = around[1]["left"] if len(around) > 1 and around[1]["width"] else width
        for figure in page.evaluate(PAINTED):
            tops = {round(top) for _, top, _, _ in figure["pages"]}
            assert len(tops) == (1 if width >= 900 else len(figure["pages"])), figure["name"]
            assert min(text["size"] for text in figure["texts"]) >= 11, figure["name"]
            assert 0 <= figure["box"][0] <= figure["box"][2] <= limit, figure["name"]
        assert page.evaluate("document.documentElement.scrollWidth") == width


def colours(page: Page) -> list[str]:
    every = "[...document.querySelectorAll('figure.drawn :is(text, path, circle)')]"
    return page.evaluate(f"{every}.map(e => getComputedStyle(e).fill + getComputedStyle(e).stroke)")


def test_the_theme_button_recolours_figures_at_once(visit: Visit) -> None:
    with visit("guide/ppo/") as page:
        page.evaluate("window.stayed = true")
        before = colours(page)
        for _ in range(2):  # from the system's choice by way of light to dark
            page.locator("label.md-header__button[for^=__palette]:visible").click()
        after = colours(page)
        assert page.evaluate("window.stayed")
        assert [one != other for one, other in zip(before, after, strict=True)].count(False) == 0


def test_figures_are_dark_on_white_in_print_and_on_any_forced_background(visit: Visit) -> None:
    with visit("guide/ppo/", color_scheme="dark") as page:
        page.emulate_media(media="print")
        (ink,) = {re.findall(r"rgb\(\d+, \d+, \d+\)", c)[0] for c in page.evaluate(
            "[...document.querySelectorAll('figure.drawn .fill-ink')]"
            ".map(e => getComputedStyle(e).fill)")}  # fmt: skip
        assert ink == "rgb(0, 0, 0)"
        page.emulate_media(media="screen", forced_colors="active")
        assert len(Counter(colours(page))) < 8  # text, paper and grid in the reader's own colours


# The numbers under a figure


@pytest.mark.parametrize("name", [name for name in DRAWN if name.startswith("guide/")])
def test_numbers_are_a_table_and_a_file(name: str, visit: Visit) -> None:
    run = current_run()
    with visit(name, java_script_enabled=False, viewport=PHONE) as page:
        narrow = page.evaluate("document.documentElement.scrollWidth")
        for figure in page.locator("figure.drawn").all():
            shown = str(figure.get_attribute("id")).removeprefix("figure-")
            tables = FIGURES[shown].tables(run)
            assert figure.locator("details").count() == bool(tables)
            if not tables:
                continue
            summary = figure.locator("summary")
            summary.focus()
            if not FIGURES[shown].opened:
                page.keyboard.press("Enter")
            for number, table in enumerate(tables):
                box = figure.locator(".numbers").nth(number)
                page.keyboard.press("Tab")
                assert box.evaluate("e => e === document.activeElement"), "reachable by keyboard"
                assert box.locator("caption").inner_text().startswith(table.title)
                rows = box.locator("tbody tr").count()
                assert rows == (
                    len(table.rows) if len(table.rows) <= 30 else len(table.excerpt.rows)
                )
                assert box.locator("thead th[scope=col]").all_inner_texts() == table.read[0]
                assert box.locator("tbody th[scope=row]").count() == rows
                page.keyboard.press("Tab")
                link = figure.locator("details a").nth(number)
                assert link.evaluate("e => e === document.activeElement")
                file = (SITE / name / str(link.get_attribute("href"))).resolve()
                content = file.read_text(encoding="utf-8")
                assert content == table.csv()
                assert len(list(csv.reader(io.StringIO(content)))) == len(table.rows) + 1
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide == narrow, "a table scrolls in its own box"


def test_every_figure_leads_to_the_code_that_draws_it(visit: Visit) -> None:
    for name in DRAWN:
        html = (SITE / name / "index.html").read_text("utf-8")
        for figure in re.findall(r'<figure class="drawn".*?</figure>', html, re.S):
            (drawn,) = re.findall(r'^<figure [^>]*id="figure-([\w-]+)"', figure)
            (link,) = re.findall(r'<a [^>]*href="([^"]+)"[^>]*>Code</a>', figure)
            path, _, anchor = link.partition("#")
            page = (SITE / name / path / "index.html").resolve().read_text("utf-8")
            after = page[page.index(f'id="{anchor}"') :]
            what = FIGURES[drawn]
            source = after[after.index("mkdocstrings-source") :].split("</details>")[0]
            code = re.sub(r"<[^>]+>", "", source)
            assert f"def {what.function}(run: Run" in code


def test_all_numbers_are_published() -> None:
    for address, content in cached.files(current_run()).items():
        assert (SITE / address).read_text(encoding="utf-8") == content
