"""Diagrams in words, what a page teaches and how long it takes, terms, sources, signs."""

from __future__ import annotations

import ast
import functools
import html
import io
import re
import textwrap
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import markdown
import pytest
from bs4 import BeautifulSoup
from mkdocs.config import load_config
from PIL import Image
from playwright.sync_api import Page

from rlhf_explained.site import faults
from rlhf_explained.site.markdown import diagrams, glossary, learn
from tests.site.conftest import PAGES, PHONE, SITE, Visit

ROOT = Path(__file__).resolve().parents[2]
GUIDE = sorted(ROOT.glob("docs/guide/*.md"))
NOTEBOOKS = sorted(ROOT.glob("docs/notebooks/*.py"))
DRAWN = ["guide/pipeline/", "guide/history/", "notebooks/01_what_is_rlhf/"]

Show = Callable[..., str]


@functools.cache
def configured() -> tuple[list[str], dict]:
    config = load_config(str(ROOT / "mkdocs.yml"))
    return config.markdown_extensions, config.mdx_configs


@pytest.fixture
def show(tmp_path: Path) -> Show:
    """Render a page of the guide, or another, as MkDocs does."""

    def convert(text: str, folder: str = "guide") -> str:
        (tmp_path / folder).mkdir(exist_ok=True)
        page = tmp_path / folder / "page.md"
        page.write_text(text, encoding="utf-8")
        faults.rendering(page)
        extensions, settings = configured()
        return markdown.Markdown(extensions=extensions, extension_configs=settings).convert(text)

    return convert


def soup(name: str) -> BeautifulSoup:
    return BeautifulSoup((SITE / name / "index.html").read_text(encoding="utf-8"), "html.parser")


def words(text: str) -> set[str]:
    return set(re.findall(r"[^\W_]+", text.casefold()))


# Diagrams

DRAWING = "```text\n┌──────┐\n│ A Bc │\n└──────┘\n```\n"
IN_WORDS = '\n??? words "In words"\n\n    A, then **Bc**.\n'


@pytest.mark.parametrize("name", PAGES)
def test_the_words_of_a_diagram_say_all_that_it_says(name: str) -> None:
    page = soup(name) if not name.endswith(".html") else BeautifulSoup("", "html.parser")
    for code in page.select("pre code"):
        if not diagrams.BOX.search(code.get_text()) or code.find_parent(class_="doc-signature"):
            continue
        assert code["role"] == "img", "a drawing that a screen reader would spell"
        assert str(code["aria-label"]).startswith(f"Diagram: {diagrams.title(code.get_text())}. ")
        said = code.find_parent("div", class_="language-text").find_next_sibling()  # type: ignore[union-attr]
        assert said
        assert said.select(":scope.words > summary")[0].get_text() == "In words"
        numbers = {str(n) for steps in said.select("ol") for n in range(1, 1 + len(steps("li")))}
        assert words(code.get_text()) - words(said.get_text()) - numbers == set()


def test_there_are_drawings_to_look_at() -> None:
    drawn = [page for page in PAGES if not page.endswith(".html") and soup(page).select(".diagram")]
    assert len(drawn) >= 9


def test_a_diagram_is_one_picture_and_its_words_are_its_details(show: Show) -> None:
    shown = show(f"{DRAWING}{IN_WORDS}", "reference")
    assert '<pre class="diagram"><span></span><code role="img"' in shown
    assert 'aria-label="Diagram: A Bc. ' in shown
    assert re.search(r'</code></pre></div>\s*<details class="words">', shown)
    inside = show(f"- x\n\n{textwrap.indent(DRAWING + IN_WORDS, '    ')}", "reference")
    assert 'role="img" aria-label="Diagram: A Bc. ' in inside


def test_other_text_is_left_alone(show: Show) -> None:
    for fence in ("```text\nA -> B\n```\n", '```text title="Output"\n│ 1\n```\n'):
        assert "role=" not in show(fence, "reference")


@pytest.mark.parametrize("after", ["", "\nA paragraph.\n", '\n??? note "In words"\n\n    A Bc\n'])
def test_a_diagram_without_words_is_a_fault(
    after: str, show: Show, caplog: pytest.LogCaptureFixture
) -> None:
    shown = show(f"Text.\n\n{DRAWING}{after}", "reference")
    assert "page.md:5: the diagram has no words" in caplog.text
    assert 'class="fault"' in shown
    caplog.clear()
    show(f"Text.\n\n{DRAWING}{IN_WORDS}", "reference")
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


CONTRAST = """() => {  // of the drawing's letters against the nearest background
  const parts = colour => colour.match(/[\\d.]+/g).map(Number)
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
    .map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0)
  let e = document.querySelector("pre.diagram > code")
  const ink = light(parts(getComputedStyle(e).color))
  const clear = c => c.length > 3 && c[3] == 0
  while (clear(parts(getComputedStyle(e).backgroundColor))) e = e.parentElement
  const paper = light(parts(getComputedStyle(e).backgroundColor))
  return (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05)
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_diagrams_have_contrast(scheme: str, visit: Visit) -> None:
    with visit("guide/pipeline/", color_scheme=scheme) as page:
        assert page.evaluate(CONTRAST) >= 4.5
        grey = "color: #777 !important; background: #999 !important; transition: none !important"
        page.add_style_tag(content=f"pre.diagram > code {{ {grey} }}")
        assert page.evaluate(CONTRAST) < 4.5, "grey would not be seen"


# What you'll learn


@pytest.mark.parametrize("path", GUIDE, ids=lambda path: path.stem)
def test_a_chapter_says_what_it_teaches_and_how_long_it_takes(path: Path) -> None:
    box = soup(f"guide/{path.stem}/").select_one("h1 + .admonition.learn")
    assert box, "under the title"
    time = learn.in_words(learn.minutes(path.read_text(encoding="utf-8")))
    assert box.select(".admonition-title")[0].get_text() == f"What you'll learn · {time}"
    assert 2 <= len(box.select("li")) <= 4


def test_the_home_page_adds_the_minutes_up() -> None:
    chapters = [learn.minutes(path.read_text(encoding="utf-8")) for path in GUIDE]
    page = soup("")
    assert f"about {sum(chapters)} minutes for the whole guide" in page.get_text()
    table = Counter(cell.get_text() for cell in page.select("td > .time"))
    assert table == Counter(map(learn.in_words, chapters))


def test_a_chapter_without_its_box_is_a_fault(show: Show, caplog: pytest.LogCaptureFixture) -> None:
    show('# Title\n\n!!! learn "What you\'ll learn"\n\n    - x\n\nText.\n')
    show("# Title\n\nText.\n", "reference")
    assert caplog.text == ""
    show('Text.\n\n# Title\n\nText.\n\n!!! learn "What you\'ll learn"\n\n    - x\n')
    assert "page.md:3: no `!!! learn" in caplog.text


def test_reading_time_counts_what_is_read() -> None:
    prose = "word " * 600
    assert learn.minutes(prose) == 3
    assert learn.minutes("---\ndescription: x\n---\n" + prose) == 3
    assert learn.minutes(prose + "\n\n```python\n" + "x = 1\n" * 40 + "```\n") == 5
    assert learn.minutes(prose + "\n\n```figure\nx\nA caption.\n```\n" * 4) == 4
    hidden = textwrap.indent("word " * 200, "    ")
    assert learn.minutes(f'{prose}\n\n??? question "q"\n\n{hidden}') == 4
    assert learn.minutes(f'{prose}\n\n??? words "In words"\n\n{hidden}') == 3
    assert learn.minutes(f'??? words "In words"\n\n{hidden}\n\n{prose}') == 3
    link = "[word](https://example.org/a-b-c-d-e-f-g-h) "
    assert learn.minutes(link * 600) == 3
    assert learn.minutes("") == 1


def test_unknown_pages_have_no_minutes(show: Show, caplog: pytest.LogCaptureFixture) -> None:
    show("x\n\n{{ minutes: guide/gone.md }}", "reference")
    assert "page.md:3: no page 'guide/gone.md'" in caplog.text


# Terms


@pytest.mark.parametrize("term", glossary.entries(glossary.GLOSSARY))
def test_a_term_begins_with_a_sentence_of_plain_words(term: str) -> None:
    sentence = glossary.definition(term)
    assert re.fullmatch(r"[A-Z][^$\\{}\[\]<>|`*_]{9,179}[.!?]", sentence), sentence


def test_the_first_link_to_a_term_carries_its_meaning(show: Show) -> None:
    link = "[PPO](../reference/glossary.md#ppo)"
    page = BeautifulSoup(show(f"# A\n\n{link} and {link}.", "reference"), "html.parser")
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
        link.evaluate("e => e.focus({focusVisible: true})") if scripts else focus_by_tab(page, link)
        meaning.wait_for(state="visible")
        page.keyboard.press("Escape")
        assert meaning.is_visible() != scripts, "Escape puts it away"
        page.keyboard.press("Tab")
        assert not meaning.is_visible()


def focus_by_tab(page: Page, link) -> None:  # type: ignore[no-untyped-def]
    link.press("Shift")  # which focuses it, and makes the focus visible


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


def in_docstrings() -> dict[str, str]:
    """Each address that a docstring of a formula or stage cites, with its file."""
    found = {}
    for path in (ROOT / "rlhf_explained").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                text = ast.get_docstring(node) or ""
                _, _, cited = text.partition("Source:")
                found |= dict.fromkeys(re.findall(r"\((https?://[^\s)]+)\)", cited), path.name)
    return found


def identity(address: str) -> str:
    """What two addresses of one paper have in common."""
    paper = re.search(r"arxiv\.org/(?:abs|pdf)/([\d.]+\d)|doi\.org/(.+)", address)
    return (paper[1] or paper[2]).casefold() if paper else address.rstrip("/").casefold()


def test_there_is_one_entry_for_each_source() -> None:
    text = (ROOT / "docs" / glossary.BIBLIOGRAPHY).read_text(encoding="utf-8")
    entries = glossary.entries(glossary.BIBLIOGRAPHY)
    assert len(entries) == len(re.findall(r"(?m)^## ", text)), "two entries with one anchor"
    found = [identity(address) for address in re.findall(r"\]\((https?://[^\s)]+)\)", text)]
    assert [one for one, times in Counter(found).items() if times > 1] == []
    titles = Counter(re.findall(r"(?m): \*(.+?)\*\.$", text))
    assert len(titles) == len(entries)


def test_every_citation_has_an_entry_and_every_entry_a_citation() -> None:
    entries = glossary.entries(glossary.BIBLIOGRAPHY)
    assert set(glossary.citations()) <= set(entries)
    cited = {identity(address) for address in in_docstrings()}
    listed = {
        identity(address): anchor
        for anchor, text in entries.items()
        for address in re.findall(r"\]\((https?://[^\s)]+)\)", text)
    }
    assert cited - set(listed) == set(), "a docstring cites what the bibliography lacks"
    used = set(glossary.citations()) | {listed[one] for one in cited}
    assert set(entries) - used == set(), "nobody cites it"


def test_the_bibliography_leads_back_to_every_citation() -> None:
    page = soup("reference/bibliography/")
    back = {
        str(link["href"]).removeprefix("../../")
        for link in page.select(".cited a")
        if "#cite-" in str(link["href"])
    }
    there = set()
    for name in PAGES:
        if not name.endswith(".html") and not name.startswith("notebooks/"):  # not in the list yet
            ids = re.findall(
                r'<a [^>]*id="(cite-[\w-]+)"', (SITE / name / "index.html").read_text()
            )
            there |= {f"{name.removeprefix('reference/')}#{one}" for one in ids}
    back = {one.removeprefix("../") for one in back}
    assert back == there
    assert len(there) > 70
    assert page.select('#bradley1952 ~ .cited a[href*="losses/#rlhf_explained.formulas"]')


def test_an_entry_that_nobody_cites_is_a_fault(
    show: Show, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = "# B\n\n## X 1 {#x1}\n\nA text.\n"
    monkeypatch.setattr(glossary, "entries", lambda page: {"x1": "A text."})
    monkeypatch.setattr(glossary, "citations", lambda: {})
    show(entry, "reference")
    assert "page.md:3: nothing cites 'x1'" in caplog.text
    caplog.clear()
    place = [(learn.DOCS / "guide/ppo.md", "PPO", 2)]
    monkeypatch.setattr(glossary, "citations", lambda: {"x1": place})
    assert 'href="../guide/ppo.md#cite-x1-2"' in show(entry, "reference")
    assert caplog.text == ""


# Signs and footnotes

SIGNS = """() => [...document.querySelectorAll(".headerlink, .footnote-backref, .footnote-ref")]
  .filter(e => e.getBoundingClientRect().width)
  .map(e => [e.className, e.ariaLabel, e.getBoundingClientRect().height,
    e.getBoundingClientRect().width])"""


@pytest.mark.parametrize("name", ["guide/sft/", "notebooks/01_what_is_rlhf/", "guide/history/"])
def test_links_that_are_signs_have_names_and_room(name: str, visit: Visit) -> None:
    with visit(name, viewport=PHONE) as page:
        signs = page.evaluate(SIGNS)
        assert len(signs) > 3
        for kind, label, high, wide in signs:
            if kind == "headerlink":
                assert label == "Permalink"
                assert high >= 24
                assert wide >= 24
            elif kind == "footnote-backref":
                assert label.startswith("Jump back to footnote")
        sign = page.locator("h2 > .headerlink").first
        opacity = "e => getComputedStyle(e).opacity"
        page.mouse.move(0, 0)
        assert float(sign.evaluate(opacity)) == 0
        sign.press("Shift")  # which focuses it
        page.wait_for_timeout(300)
        assert float(sign.evaluate(opacity)) == 1


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
        assert abs(int(said[1]) - learn.minutes("\n\n".join(prose))) <= 5
