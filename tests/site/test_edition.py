"""The whole guide on one page and on paper: everything is there, nothing is cut, paper is white."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pypdfium2
import pytest
from bs4 import BeautifulSoup, Tag

from rlhf_explained.site.publish import edition, pdf
from rlhf_explained.site.publish.edition import Chapter, moved
from tests.site.conftest import SITE, Visit, not_run, soup

TEXT_WIDTH = {"width": 642, "height": 900}  # pixels between the margins of A4
DIAGRAM = ".language-text:not(:has(> .filename)) pre > code"
NOT_ON_PAPER = ".headerlink, form, label, legend, button, script, svg title, figure details.data"


@pytest.fixture(scope="module")
def whole() -> Tag:
    """The edition."""
    return soup("whole/").select("article")[0]


@pytest.fixture(scope="module")
def chapters(whole: Tag) -> dict[str, Tag]:
    """The sections of the edition by the page that each is made of."""
    names = {str(part.select("span")[0]["id"]): part for part in whole.select("section.chapter")}
    return {"" if name == "index" else name.replace("-", "/", 1): names[name] for name in names}


def words(part: Tag) -> list[str]:
    copy = BeautifulSoup(str(part), "html.parser")
    for dropped in copy.select(NOT_ON_PAPER):
        dropped.decompose()
    return copy.get_text(" ").split()


def test_every_chapter_is_there_whole_and_in_reading_order(chapters: dict[str, Tag]) -> None:
    guide = {path.parent.relative_to(SITE).as_posix() for path in SITE.glob("guide/*/*.html")}
    order = list(chapters)
    assert set(order) == {"", *guide, "reference/glossary", "reference/bibliography"}
    assert [order[0], *order[-2:]] == ["", "reference/glossary", "reference/bibliography"]
    assert order.index("guide/sft") < order.index("guide/ppo") < order.index("guide/quiz")
    for name, chapter in chapters.items():
        page = soup(name).select("article")[0]
        assert words(chapter) == words(page)
        parts = ("math", "figure", "pre", "table:not(figure details *)", "svg")
        for there, here in [("h1, h2", "h2, h3"), *zip(parts, parts, strict=True)]:
            assert len(chapter.select(here)) == len(page.select(there)), f"{name}: {there}"
        assert not [hidden for hidden in chapter.select("details") if "open" not in hidden.attrs]


def test_links_between_chapters_stay_on_the_page(whole: Tag) -> None:
    links = [str(link["href"]) for link in whole.select("a[href]")]
    assert "#guide-ppo" in links
    assert any(link.startswith("#reference-glossary--") for link in links)
    chapters_elsewhere = re.compile(r"\.\./(guide/[^#]|reference/(glossary|bibliography)|#|$)")
    assert not [link for link in links if chapters_elsewhere.match(link)]
    assert any(link.startswith("../reference/api/") for link in links)


PARTS = {
    url: Chapter(name, url, "", "")
    for url, name in {"guide/ppo/": "guide-ppo", "guide/sft/": "guide-sft", "": "index"}.items()
}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('<h1 id="a">T</h1>', '<h2 id="guide-ppo--a">T</h2>'),
        ("<h6>T</h6>", "<h6>T</h6>"),
        ("<hr><header>T</header>", "<hr><header>T</header>"),
        ('<a href="#a">x</a>', '<a href="#guide-ppo--a">x</a>'),
        ('<a href="#">x</a>', '<a href="#guide-ppo">x</a>'),
        ('<a href="../sft/">x</a>', '<a href="#guide-sft">x</a>'),
        ('<a href="../sft/#b">x</a>', '<a href="#guide-sft--b">x</a>'),
        ('<a href="../..">x</a>', '<a href="#index">x</a>'),
        ('<a href="../../reference/api/x/#y.z">x</a>', '<a href="../reference/api/x/#y.z">x</a>'),
        ('<a href="../../run.json">x</a>', '<a href="../run.json">x</a>'),
        ('<a href="https://x.org/?a&amp;b#c">x</a>', '<a href="https://x.org/?a&amp;b#c">x</a>'),
        ('<a href="mailto:a@b.org">x</a>', '<a href="mailto:a@b.org">x</a>'),
        ('<img src="pic.png" alt="x">', '<img src="../guide/ppo/pic.png" alt="x">'),
        ('<output for="a">x</output>', '<output for="guide-ppo--a">x</output>'),
        ('<i aria-labelledby="a b"></i>', '<i aria-labelledby="guide-ppo--a guide-ppo--b"></i>'),
        ('<svg viewBox="0 0 1 1"><use href="#g"/></svg>',
         '<svg viewBox="0 0 1 1"><use href="#guide-ppo--g"></use></svg>'),
        ('<svg><path clip-path="url(#c)"/></svg>',
         '<svg><path clip-path="url(#guide-ppo--c)"></path></svg>'),
        ('<details class="q"></details>', '<details class="q" open=""></details>'),
        ('<details name="one"></details>', '<details name="guide-ppo--one" open=""></details>'),
        ('<code>href="#a" &lt;h1 id="c"&gt;</code>', '<code>href="#a" &lt;h1 id="c"&gt;</code>'),
        ('a<input type="radio" id="x">b', "ab"),
        ("a<label>All <input></label><legend>x</legend>b", "ab"),
        ('<form><button>x</button></form><fieldset class="q">b</fieldset>',
         '<div class="q">b</div>'),
        ('<figure>a<details class="data"><summary>Data</summary></details>b</figure>',
         "<figure>ab</figure>"),
    ],
)  # fmt: skip
def test_html_is_right_from_its_new_place(written: str, expected: str) -> None:
    assert moved(Chapter("guide-ppo", "guide/ppo/", "PPO", written), "whole/", PARTS) == expected


CUT = """() => {  // what is wider than the paper, or than a box that hides the rest
  const shown = e => e.checkVisibility() && e.getClientRects().length;
  const width = document.documentElement.clientWidth + 1;
  return [...document.querySelectorAll("main *:not(svg *)")].filter(shown)
    .filter(e => e.getBoundingClientRect().right > width ||
      (e.scrollWidth > e.clientWidth + 1 && e.clientWidth &&
       getComputedStyle(e).overflowX != "visible" && e.localName != "math"))
    .map(e => e.outerHTML.slice(0, 150)).slice(0, 5);
}"""
DARK = """() => {  // backgrounds darker than the middle, and text lighter than it
  const light = text => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    const scale = text.startsWith("color(") ? 1 : 255;
    return [(0.3 * r + 0.59 * g + 0.11 * b) / scale, a];
  };
  const wrong = e => {
    const style = getComputedStyle(e), [behind, solid] = light(style.backgroundColor);
    return (solid > 0.5 && behind < 0.7) || light(style.color)[0] > 0.6;
  };
  return [document.documentElement, ...document.querySelectorAll("body, main *")]
    .filter(e => e.checkVisibility() && wrong(e)).map(e => e.outerHTML.slice(0, 100)).slice(0, 5);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["whole/", "guide/ppo/"])
def test_nothing_is_cut_and_nothing_is_dark_in_print(name: str, scheme: str, visit: Visit) -> None:
    with visit(name, color_scheme=scheme, viewport=TEXT_WIDTH) as page:
        shown = {"light": "default", "dark": "slate"}[scheme]
        page.wait_for_selector(f'body[data-md-color-scheme="{shown}"]', state="attached")
        assert scheme == "light" or page.evaluate(DARK), "on the screen it is dark"
        page.emulate_media(media="print")
        assert page.evaluate(CUT) == []
        assert page.evaluate(DARK) == []
        narrow = "pre { width: 200px; overflow: hidden; white-space: pre !important }"
        page.add_style_tag(content=narrow)
        assert page.evaluate(CUT), "a long line was cut, and the test did not see it"


# On paper


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pypdfium2.PdfDocument]:
    try:
        pdf.browser()
    except pdf.PrintError as error:
        not_run("Chromium", str(error))
    into = tmp_path_factory.mktemp("paper") / "edition.pdf"
    pdf.print_page(SITE / "whole/index.html", into)
    document = pypdfium2.PdfDocument(into)
    document.raw_bytes = into.read_bytes()  # type: ignore[attr-defined]
    yield document
    document.close()


@pytest.fixture(scope="module")
def sheets(paper: pypdfium2.PdfDocument) -> list[str]:
    """The text of each sheet without white space and page number."""
    found = []
    for number, page in enumerate(paper, start=1):
        text = page.get_textpage().get_text_bounded().strip()
        found.append(bare(re.sub(rf"\A{number}\s*\n|\n\s*{number}\Z", "", text)))
    return found


def bare(text: str) -> str:
    """Without what differs in a PDF: space, hyphens at the ends of lines, letters of formulas."""
    return re.sub(r"[\s\x02\ufffe\u00ad-]", "", unicodedata.normalize("NFKC", text))


def breaks(text: str, sheet: str, following: str) -> bool:
    """Whether a text begins on a sheet and goes on on the next; they may tell it in any order."""
    begins = text[:12] in sheet
    return begins and any(
        text[:cut] in sheet and text[cut:] in following for cut in range(12, len(text))
    )


def test_all_is_printed(
    paper: pypdfium2.PdfDocument, sheets: list[str], whole: Tag, chapters: dict[str, Tag]
) -> None:
    printed = "".join(sheets)
    outline = [bare(bookmark.get_title()) for bookmark in paper.get_toc()]
    for chapter in chapters.values():
        assert bare(chapter.select("h2")[0].get_text().removesuffix("¶")) in outline
    captions = [bare(caption.get_text()) for caption in whole.select("figcaption p")]
    diagrams = [bare(diagram.get_text()) for diagram in whole.select(DIAGRAM)]
    code = [block.get_text().split("\n") for block in whole.select("pre > code")]
    assert len(code) > 50
    for text in (*captions, *diagrams, *(bare(line) for lines in code for line in lines)):
        assert text in printed
    assert sum(printed.count(sign) for sign in "𝔼∑𝜋πσβ") > 20
    prose = ", ".join(f"{tag}:not(details.words {tag}, svg *)" for tag in ("p", "li", "td"))
    for paragraph in whole.select(prose):
        copy = BeautifulSoup(str(paragraph), "html.parser")
        for definition in copy.select("[role=tooltip], .footnote-backref"):
            definition.extract()
        if not copy.select(
            "math, svg, pre, table, .md-button, .offer, ul, ol, .label, a[href^=http]"
        ):
            text = bare(copy.get_text())
            assert text in printed or any(breaks(text, *two) for two in pairwise(sheets)), text


def test_all_stands_on_white_sheets_of_a4(paper: pypdfium2.PdfDocument) -> None:
    for page in paper:
        width, height = page.get_size()
        assert [round(width), round(height)] in ([595, 842], [594, 842], [596, 842])
        text = page.get_textpage()
        for place in range(text.count_chars()):
            if text.get_text_range(place, 1).strip():
                left, bottom, right, top = text.get_charbox(place)
                near = text.get_text_range(max(0, place - 30), 31)
                assert left >= 40, near
                assert right <= width - 40, near
                assert bottom >= 20, near
                assert top <= height - 20, near
        sheet = page.render(scale=0.4, draw_annots=False).to_pil().convert("L")
        corners = [(x, y) for x in (1, sheet.width - 2) for y in (1, sheet.height - 2)]
        assert min(map(sheet.getpixel, corners)) >= 250
        counts = sheet.histogram()
        assert sum(counts[:128]) < 0.2 * sum(counts), "much of this sheet is dark"


def test_the_pdf_leads_to_no_file_of_this_machine(paper: pypdfium2.PdfDocument) -> None:
    content = paper.raw_bytes  # type: ignore[attr-defined]
    assert b"https://arxiv.org/" in content
    assert b"file:" not in content


def test_links_of_a_printed_page(tmp_path: Path) -> None:
    html = '<link rel="stylesheet" href="../a.css"><a class="x" href="../guide/">x</a><a href="#y">'
    there = '<link rel="canonical" href="https://x.org/rlhf/whole/">'
    sheet = f'<link rel="stylesheet" href="{(tmp_path / "../a.css").as_uri()}">'
    assert pdf.standalone(html, tmp_path) == f'{sheet}<a class="x" >x</a><a href="#y">'
    led = '<a class="x" href="https://x.org/rlhf/guide/">'
    assert led in pdf.standalone(there + html, tmp_path)


# Whether there is a PDF to offer


def test_a_pdf_is_offered_for_the_edition_that_it_was_made_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLHF_EXPLAINED_CACHE", str(tmp_path))
    sheet = tmp_path / "sheet.css"
    sheet.write_text("a")
    digest = edition.digest("<p>text", [sheet])
    assert pdf.printed(digest) is None
    monkeypatch.setattr(pdf, "print_page", lambda page, into: into.write_bytes(b"%PDF"))
    file = pdf.remembered(digest, tmp_path / "page.html")
    assert pdf.printed(digest) == file
    assert pdf.printed(edition.digest("<p>Text", [sheet])) is None
    sheet.write_text("b")
    assert pdf.printed(edition.digest("<p>text", [sheet])) is None
    file.write_bytes(b"spoilt")
    assert pdf.printed(digest) is None


def test_the_page_offers_the_pdf_that_is_there(whole: Tag) -> None:
    links = [str(link["href"]) for link in whole.select(".offer a")]
    assert links == (["../rlhf-explained.pdf"] if (SITE / pdf.NAME).is_file() else [])


def test_a_browser_that_is_not_there_or_fails_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho out of paper >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CHROMIUM", str(broken))
    (tmp_path / "page.html").write_text("<p>x</p>")
    with pytest.raises(pdf.PrintError, match=r"printed nothing \(3\): out of paper"):
        pdf.print_page(tmp_path / "page.html", tmp_path / "page.pdf")
    monkeypatch.setenv("CHROMIUM", "no-such-browser")
    with pytest.raises(pdf.PrintError, match="no no-such-browser on the path"):
        pdf.browser()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CHROMIUM")
    assert pdf.publish(tmp_path) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "install Chromium" in line
