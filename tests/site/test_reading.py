"""Diagrams in words, what a page teaches and how long it takes, terms, sources, signs."""

from __future__ import annotations

import ast
import html
import io
import re
import textwrap
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from PIL import Image
from playwright.sync_api import Page

from rlhf_explained.site.markdown import diagrams, glossary, reading_time
from tests.site.conftest import PAGES, ROOT, Show, Visit, soup

GUIDE = sorted(ROOT.glob("docs/guide/*.md"))
NOTEBOOKS = sorted(ROOT.glob("docs/notebooks/*.py"))
DRAWN = ["guide/pipeline/", "guide/history/", "notebooks/01_what_is_rlhf/"]


def words(text: str) -> set[str]:
    return set(re.findall(r"[^\W_]+", text.casefold()))


# Diagrams

DRAWING = "```text\n┌──────┐\n│ A Bc │\n└──────┘\n```\n"
IN_WORDS = '\n??? words "In words"\n\n    A, then **Bc**.\n'


def test_the_words_of_a_diagram_say_all_that_it_says() -> None:
    drawn = 0
    for name in PAGES:
        for code in soup(name).select("pre code"):
            drawing = code.get_text()
            if not diagrams.BOX.search(drawing) or code.find_parent(class_="doc-signature"):
                continue
            drawn += 1
            assert code["role"] == "img", "a drawing that a screen reader would spell"
            assert str(code["aria-label"]).startswith(f"Diagram: {diagrams.title(drawing)}. ")
            said = code.find_parent("div", class_="language-text").find_next_sibling()
            assert said
            assert said.select(":scope.words > summary")[0].get_text() == "In words"
            steps = {str(n) for some in said.select("ol") for n in range(1, 1 + len(some("li")))}
            assert words(drawing) - words(said.get_text()) - steps == set(), name
    assert drawn >= 9


def test_a_diagram_is_one_picture_and_its_words_are_its_details(show: Show) -> None:
    shown = show(f"{DRAWING}{IN_WORDS}")
    assert '<pre class="diagram"><span></span><code role="img"' in shown
    assert 'aria-label="Diagram: A Bc. ' in shown
    assert re.search(r'</code></pre></div>\s*<details class="words">', shown)
    inside = show(f"- x\n\n{textwrap.indent(DRAWING + IN_WORDS, '    ')}")
    assert 'role="img" aria-label="Diagram: A Bc. ' in inside
    for other in ("```text\nA -> B\n```\n", '```text title="Output"\n│ 1\n```\n'):
        assert "role=" not in show(other)


@pytest.mark.parametrize("after", ["", "\nA paragraph.\n", '\n??? note "In words"\n\n    A Bc\n'])
def test_a_diagram_without_words_is_a_fault(after: str, show: Show, caplog) -> None:
    shown = show(f"Text.\n\n{DRAWING}{after}")
    assert "page.md:5: the diagram has no words" in caplog.text
    assert 'class="fault"' in shown
    caplog.clear()
    show(f"Text.\n\n{DRAWING}{IN_WORDS}")
    assert caplog.text == ""


def unbroken(page: Page) -> list[int]:
    """How many pixels high the left side of the first drawing is, and the gaps in it."""
    box = page.locator("pre.diagram > code").first
    image = Image.open(io.BytesIO(box.screenshot())).convert("L")
    width, height = image.size
    paper = image.getpixel((width - 1, 0))
    ink = [[abs(image.getpixel((x, y)) - paper) > 60 for y in range(height)] for x in range(14)]  # type: ignore[operator]
    side = max(ink, key=sum)
    first, last = side.index(True), len(side) - 1 - side[::-1].index(True)
    return [last - first + 1, side[first : last + 1].count(False)]


@pytest.mark.looks
@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("name", DRAWN)
def test_lines_of_diagrams_join(name: str, scale: int, visit: Visit) -> None:
    with visit(name, device_scale_factor=scale) as page:
        high, gaps = unbroken(page)
        assert high > 60 * scale
        assert gaps == 0
        page.add_style_tag(content="pre.diagram > code { line-height: 1.6 !important }")
        assert unbroken(page)[1] > 0, "a gap would not be seen"


@pytest.mark.looks
@pytest.mark.parametrize("text", ["100%", "200%"])
@pytest.mark.parametrize("name", DRAWN)
def test_diagrams_scroll_in_their_own_box(name: str, text: str, visit: Visit) -> None:
    with visit(name, viewport={"width": 320, "height": 640}) as page:
        page.add_style_tag(content=f"html {{ font-size: calc(1.25 * {text}) }}")
        wrong = page.evaluate(
            """() => [...document.querySelectorAll("pre.diagram > code")].filter(e => {
              const rows = e.textContent.trimEnd().split("\\n").length
              const line = parseFloat(getComputedStyle(e).lineHeight)
              return e.clientHeight > (rows + 2) * line || e.scrollWidth <= e.clientWidth ||
                e.getBoundingClientRect().right > innerWidth
            }).length"""
        )
        assert wrong == 0, "wraps, or does not scroll"


# What you'll learn


def test_a_chapter_says_what_it_teaches_and_how_long_it_takes() -> None:
    times = [reading_time.minutes(path.read_text(encoding="utf-8")) for path in GUIDE]
    for path, time in zip(GUIDE, times, strict=True):
        box = soup(f"guide/{path.stem}/").select_one("h1 + .admonition.learn")
        assert box, f"{path}: under the title"
        heading = box.select(".admonition-title")[0].get_text()
        assert heading == f"What you'll learn · {reading_time.in_words(time)}"
        assert 2 <= len(box.select("li")) <= 4
    home = soup("")
    assert f"about {sum(times)} minutes in all" in home.get_text()


PROSE, HIDDEN = "word " * 600, textwrap.indent("word " * 200, "    ")


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("", 1),
        (f"---\ndescription: x\n---\n{PROSE}", 3),
        (PROSE + "\n\n```python\n" + "x = 1\n" * 40 + "```\n", 5),
        (PROSE + "\n\n```figure\nx\nA caption.\n```\n" * 4, 4),
        (f'{PROSE}\n\n??? question "q"\n\n{HIDDEN}', 4),
        (f'{PROSE}\n\n??? words "In words"\n\n{HIDDEN}', 3),
        (f'??? words "In words"\n\n{HIDDEN}\n\n{PROSE}', 3),
        ("[word](https://example.org/a-b-c-d-e-f-g-h) " * 600, 3),
    ],
)
def test_reading_time_counts_what_is_read(text: str, minutes: int) -> None:
    assert reading_time.minutes(text) == minutes


def test_the_notebook_knows_its_time() -> None:
    """It is downloaded as it is, so its time is written by hand."""
    for path in NOTEBOOKS:
        lines = path.read_text(encoding="utf-8").split("\n# %%")[1:]
        cells = [cell.partition("\n") for cell in lines]
        prose = [
            re.sub(r"(?m)^# ?", "", text) if "[markdown]" in head else f"```python\n{text}\n```"
            for head, _, text in cells
        ]
        said = re.search(r"about (\d+) minutes", html.unescape("\n".join(prose)))
        assert said
        assert abs(int(said[1]) - reading_time.minutes("\n\n".join(prose))) <= 5


# Terms


def test_a_term_begins_with_a_sentence_of_plain_words() -> None:
    for term in glossary.entries(glossary.GLOSSARY):
        sentence = glossary.definition(term)
        assert re.fullmatch(r"[A-Z][^$\\{}\[\]<>|`*_]{9,179}[.!?]", sentence), sentence


def test_the_first_link_to_a_term_carries_its_meaning(show: Show) -> None:
    link = "[PPO](../reference/glossary.md#ppo)"
    page = BeautifulSoup(show(f"# A\n\n{link} and {link}."), "html.parser")
    first, second = page.select("a[href*=ppo]")
    assert page.select(f"#{first['aria-describedby']}")[0].get_text() == glossary.definition("ppo")
    assert not second.has_attr("aria-describedby")


@pytest.mark.parametrize("scripts", [True, False])
def test_definitions_show_to_the_pointer_and_to_the_keyboard(scripts: bool, visit: Visit) -> None:
    with visit("guide/sft/", java_script_enabled=scripts) as page:
        link = page.locator(".term > a").first
        meaning = page.locator("#" + str(link.get_attribute("aria-describedby")))
        assert not meaning.is_visible()
        link.hover()
        meaning.wait_for(state="visible")
        link_box, box = link.bounding_box(), meaning.bounding_box()
        assert link_box
        assert box
        assert box["y"] >= link_box["y"] + link_box["height"] - 2, "it must not hide its link"
        across = link_box["x"] + link_box["width"] / 2
        page.mouse.move(across, box["y"] - 1)
        page.mouse.move(across, box["y"] + box["height"] / 2)
        page.wait_for_timeout(400)
        assert meaning.is_visible(), "one can point at it"
        page.mouse.move(0, 0)
        meaning.wait_for(state="hidden")
        link.evaluate("e => e.focus({focusVisible: true})") if scripts else link.press("Shift")
        meaning.wait_for(state="visible")
        page.keyboard.press("Escape")
        assert meaning.is_visible() != scripts, "Escape puts it away"
        page.keyboard.press("Tab")
        assert not meaning.is_visible()


@pytest.mark.parametrize("name", ["guide/ppo/", "guide/reward-model/", "guide/summary/"])
def test_definitions_stay_on_a_small_screen(name: str, visit: Visit) -> None:
    with visit(name, viewport={"width": 320, "height": 640}) as page:
        page.add_style_tag(content="[role=tooltip] { display: block !important }")
        wide = page.evaluate(
            """() => [...document.querySelectorAll("[role=tooltip]")].filter(e => {
              const box = e.getBoundingClientRect()
              return box.width && (box.left < 0 || box.right > 320)
            }).map(e => e.id)"""
        )
        assert wide == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 320


# Sources


def in_docstrings() -> set[str]:
    """The identity of each source that a docstring of a formula or stage cites."""
    found = set()
    for path in (ROOT / "rlhf_explained").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                _, _, cited = (ast.get_docstring(node) or "").partition("Source:")
                found |= set(map(identity, re.findall(r"\((https?://[^\s)]+)\)", cited)))
    return found


def identity(address: str) -> str:
    """What two addresses of one paper have in common."""
    paper = re.search(r"arxiv\.org/(?:abs|pdf)/([\d.]+\d)|doi\.org/(.+)", address)
    return (paper[1] or paper[2]).casefold() if paper else address.rstrip("/").casefold()


def test_each_source_has_one_entry_and_each_entry_a_citation() -> None:
    text = (ROOT / "docs" / glossary.BIBLIOGRAPHY).read_text(encoding="utf-8")
    entries = glossary.entries(glossary.BIBLIOGRAPHY)
    assert len(entries) == len(re.findall(r"(?m)^## ", text)), "two entries with one anchor"
    assert len(entries) == len(set(re.findall(r"(?m): \*(.+?)\*\.$", text))), "or of one title"
    listed = [
        (identity(address), anchor)
        for anchor, entry in entries.items()
        for address in re.findall(r"\]\((https?://[^\s)]+)\)", entry.text)
    ]
    assert len(listed) == len(dict(listed)), "or of one address"
    cited = in_docstrings()
    assert cited - set(dict(listed)) == set(), "a docstring cites what the bibliography lacks"
    used = set(glossary.citations()) | {dict(listed)[one] for one in cited}
    assert used == set(entries), "one that nobody cites, or that is not there"


def test_the_bibliography_leads_back_to_every_citation() -> None:
    page = soup("reference/bibliography/")
    links = {str(link["href"]) for link in page.select(".cited a")}
    back = {re.sub(r"^(\.\./)*", "", link) for link in links if "#cite-" in link}
    there = {
        f"{name.removeprefix('reference/')}#{link['id']}"
        for name in PAGES
        if not name.startswith("notebooks/")  # the list is of pages
        for link in soup(name).select("a[id^=cite-]")
    }
    assert back == there
    assert len(there) > 70
    assert page.select('#bradley1952 ~ .cited a[href*="losses/#rlhf_explained.formulas"]')


def test_the_navigation_is_read_in_its_order(tmp_path: Path) -> None:
    settings = tmp_path / "mkdocs.yml"
    settings.write_text("x: !ENV [A, b]\nnav:\n- Home: a.md\n- B:\n  - C: [c.md]\n  - b.md\n")
    assert glossary.navigation(settings) == ["a.md", "c.md", "b.md"]
    assert glossary.navigation(tmp_path / "gone.yml") == []
