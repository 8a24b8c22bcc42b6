"""The site as plain text: all of it, once, in reading order."""

from __future__ import annotations

import difflib
import functools
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from bs4 import BeautifulSoup, Tag

from rlhf_explained.site.publish import llms
from tests.site.conftest import SITE

LINK = re.compile(r"^- \[(.+)\]\((.+?)\): (.+)$", re.M)
FENCED = re.compile(r"^[ >]*(`{3,})\w+\n(.*?)^[ >]*\1$", re.M | re.S)
UNSEEN = ".headerlink, td.linenos, script, style, label, legend, button, [hidden]"
DATA = re.compile(r"^\*\*Data\*\*\n\n([^\n]+:\n\n```csv\n.*?^```\n+)+", re.M | re.S)


def listed() -> list[str]:
    """The pages in the order of `llms.txt`, as paths in the site."""
    text = (SITE / "llms.txt").read_text(encoding="utf-8")
    paths = [link for _, link, _ in LINK.findall(text) if link != "llms-full.txt"]
    return [re.sub(r"^\w+://[^/]+/|index\.html$", "", path) for path in paths]


@functools.cache
def texts() -> dict[str, str]:
    """The pages' texts in `llms-full.txt`, by path."""
    text = (SITE / "llms-full.txt").read_text(encoding="utf-8")
    pieces = re.split(r"^(# .+)\n\n<(.*)>\n", text, flags=re.M)
    assert pieces[0].startswith("# RLHF Explained\n\n> ")
    titles, links, bodies = pieces[1::3], pieces[2::3], pieces[3::3]
    assert len(set(links)) == len(links), "a page is there twice"
    names = [re.sub(r"^\w+://[^/]+/|index\.html$", "", link) for link in links]
    return {name: f"{t}\n{b}" for name, t, b in zip(names, titles, bodies, strict=True)}


def test_all_pages_are_there_in_reading_order() -> None:
    assert list(texts()) == [name for name in listed() if name != "whole/"]
    built = {path.parent.relative_to(SITE) for path in SITE.rglob("index.html")}
    assert {Path(name) for name in listed()} == built


def test_the_list_has_its_form() -> None:
    text = (SITE / "llms.txt").read_text(encoding="utf-8")
    blocks = text.strip().split("\n\n")
    assert blocks[0] == "# RLHF Explained"
    assert blocks[1].startswith("> RLHF explained by running it")
    sections = [block for block in blocks if block.startswith("## ")]
    assert sections[-1] == "## Optional"
    assert {"## Guide", "## Notebooks", "## Reference"} < set(sections)
    lines = [line for line in text.split("\n") if line.startswith("- ")]
    assert lines
    for line in lines:
        assert LINK.fullmatch(line), line


def shown(name: str) -> list[str]:
    """All words of a built page, in order, a formula as its TeX and a drawing as its title."""
    html = (SITE / name / "index.html").read_text(encoding="utf-8")
    page = BeautifulSoup(html, "html.parser").find("article")
    assert isinstance(page, Tag)
    for part in page.select(UNSEEN):
        part.decompose()
    for part in page.select("figure details"):  # its numbers are there as a file has them
        if part.summary and part.summary.get_text() == "Data":
            part.decompose()
    for part in page.select("svg"):
        part.replace_with(part.title.get_text() if part.title else "")
    for part in page.select("figure[aria-label]"):
        part.insert(0, str(part["aria-label"]))
    for part in page.select("[data-tex]"):
        part.replace_with(f"${part['data-tex']}$")
    for list_ in page.select("ol"):
        for number, item in enumerate(list_.find_all("li", recursive=False), start=1):
            item.insert(0, f"{number}. ")
    for part in page.select(
        "h1, h2, h3, p, li, td, th, div, span.label, span.filename, dt, dd, br, summary, caption"
    ):
        part.insert_after("\n")
    return re.findall(r"\w+", page.get_text())


def written(text: str) -> list[str]:
    """All words of a page's text, without those of its links' addresses and of our own marks."""
    pieces: list[str] = []
    at, text = 0, DATA.sub("", text)
    for fence in FENCED.finditer(text):
        pieces += [unmarked(text[at : fence.start()]), fence[2]]
        at = fence.end()
    pieces.append(unmarked(text[at:]))
    return re.findall(r"\w+", "\n".join(pieces))


def unmarked(prose: str) -> str:
    without_links = re.sub(r"\[([^\]]*)\]\([^)\s]+\)", r"\1", prose)
    return without_links.replace("[Figure: ", "").replace("*", "")


@pytest.mark.parametrize("name", [name for name in listed() if name != "whole/"])
def test_every_word_of_a_page_is_there_once_and_in_order(name: str) -> None:
    there, here = shown(name), written(texts()[name])
    if there != here:
        lines = difflib.unified_diff(there, here, "the page", "llms-full.txt", n=3, lineterm="")
        pytest.fail("\n".join(list(lines)[:40]), pytrace=False)


def test_every_line_of_code_is_there_as_it_is() -> None:
    for name, text in texts().items():
        html = (SITE / name / "index.html").read_text(encoding="utf-8")
        for part in BeautifulSoup(html, "html.parser").select("article pre > code"):
            lines = part.get_text().strip("\n").split("\n")
            spaced = [r"[ >]*" + re.escape(line) for line in lines]
            assert re.search("\n".join(spaced), text), f"{name}: {lines[0]}"


def test_no_html_is_left() -> None:
    for name, text in texts().items():
        prose = re.sub(r"`[^`\n]+`", "", FENCED.sub("", text))
        assert not re.search(r"</?(span|div|svg|math|mi|p|table|td|a|details)\b", prose), name


# The conversion


@pytest.mark.parametrize(
    ("html", "markdown"),
    [
        ("<p>Costs <code>a_b</code> 2*3 _x_</p>", "Costs `a_b` 2*3 _x_"),
        ('<p>See <a href="../ppo/#kl" title="no">KL</a>.</p>', "See [KL](guide/ppo/#kl)."),
        ('<p>See <a href="https://x.org">x</a>.</p>', "See [x](https://x.org)."),
        ('<h2 id="a">Two<a class="headerlink" href="#a">¶</a></h2>', "## Two"),
        (
            '<p>Is <span class="math" data-tex="x_1"><math><mi>x</mi></math></span>.</p>',
            "Is $x_1$.",
        ),
        ('<div class="math" data-tex="a &lt; b"><math/></math></div>', "$$\na < b\n$$"),
        (
            '<div class="language-python highlight"><pre><span></span>'
            "<code>a\n\n\n\n  b\n</code></pre></div>",
            "```python\na\n\n\n\n  b\n```",
        ),
        (
            '<div class="language-text highlight"><span class="filename">Output</span>'
            "<pre><code>```</code></pre></div>",
            "*Output:*\n\n````text\n```\n````",
        ),
        ("<details><summary>Why?</summary><p>So.</p></details>", "**Why?**\n\nSo."),
        (
            "<table><thead><tr><th>a</th></tr></thead><tbody><tr><td><p>1</p></td></tr></tbody></table>",
            "| a |\n| --- |\n| 1 |",
        ),
        (
            '<figure><svg><title id="t">A line.</title><path d="M0"/></svg>'
            "<figcaption><p>It.</p></figcaption></figure>",
            "[Figure: A line.]\n\nIt.",
        ),
    ],
)
def test_what_becomes_of(html: str, markdown: str) -> None:
    slim = llms._slim(f"<h1>T</h1>{html}", lambda *name: "")
    assert llms.text(slim, "guide/sft/", "") == f"# T\n\n<guide/sft/>\n\n{markdown}\n"


def page(content: str, url: str = "guide/sft/") -> tuple[str, str]:
    return url, content


def full(*pages: tuple[str, str], address: str = "") -> str:
    return llms.full(pages, "Name", "About.", address)


def test_a_figure_has_all_its_data_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLHF_EXPLAINED_CACHE", str(tmp_path))
    figure = (
        '<h1>T</h1><figure class="drawn" id="figure-loss"><svg></svg><figcaption>C</figcaption>'
        "<details><summary>Data</summary><table><tr><th>step</th></tr>"
        "<tr><td>1</td></tr></table></details></figure><p>After.</p>"
    )
    table = SimpleNamespace(title="Loss < 1", csv=lambda: "step\n1\n2\n")
    monkeypatch.setattr(llms, "current_run", lambda: None)
    drawn = SimpleNamespace(tables=lambda run: [table])
    monkeypatch.setattr(llms.figures, "FIGURES", {"loss": drawn})
    text = full(page(figure), page(figure))
    assert text.count("```csv\nstep\n1\n2\n```") == 1
    assert "**Data**\n\nLoss < 1:\n\n```csv" in text
    assert DATA.search(text)
    assert "| step |" not in text
    assert text.count("\n\nAfter.\n") == 2
    bare = re.sub("<details>.*</details>", "", figure)  # as in a notebook, where it is a link
    assert full(page(bare), page(figure), page(bare)).count("```csv\nstep\n1\n2\n```") == 1
    assert DATA.search(full(page(bare)))


def test_the_data_of_every_figure_is_there_once() -> None:
    text = (SITE / "llms-full.txt").read_text(encoding="utf-8")
    for file in SITE.glob("figures/*.csv"):
        assert text.count(file.read_text(encoding="utf-8").strip()) == 1, file.name


def test_links_are_whole_where_the_address_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLHF_EXPLAINED_CACHE", str(tmp_path))
    text = full(page('<h1>T</h1><p><a href="../ppo/">x</a></p>'), address="https://x.org/rlhf/")
    assert "<https://x.org/rlhf/guide/sft/>" in text
    assert "[x](https://x.org/rlhf/guide/ppo/)" in text


def test_an_edit_converts_one_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLHF_EXPLAINED_CACHE", str(tmp_path))
    converted: list[str] = []
    convert = llms.text

    def counted(content: str, url: str, address: str) -> str:
        converted.append(url)
        return convert(content, url, address)

    monkeypatch.setattr(llms, "text", counted)
    one, two = page("<h1>One</h1>", "one/"), page("<h1>Two</h1>", "two/")
    full(one, two)
    full(one, two)
    assert converted == ["one/", "two/"]
    full(one, page("<h1>Two!</h1>", "two/"))
    assert converted == ["one/", "two/", "two/"]
