"""The site as plain text for language models: `llms.txt` lists the pages, `llms-full.txt` is all.

Text is made from the rendered pages, so that values are numbers, snippets have their outputs and
docstrings are there. See https://llmstxt.org for the form of the list.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from mkdocs.structure.pages import Page

from rlhf_explained import figures, memo
from rlhf_explained.site.publish.metadata import heading
from rlhf_explained.site.shown_run import current_run

OPTIONAL = "API"  # a section of the navigation that a reader with little room may leave out

_SVG = re.compile(r"<svg\b.*?>(?:\s*<title\b[^>]*>(.*?)</title>)?.*?</svg>", re.S)
_TOOLTIP = re.compile(r'<span [^>]*role="tooltip"[^>]*>.*?</span>', re.S)
_MATH = re.compile(r"<math\b.*?</math>", re.S)
_DATA = re.compile(
    r"(<figure\b[^>]*\bid=\"figure-([\w-]+)\"(?:(?!</figure>).)*?"
    r"<details\b[^>]*>\s*<summary>Data</summary>).*?(</details>)",
    re.S,
)
_DRAWN = re.compile(  # in a notebook, where the data are links to files
    r"(<figure\b[^>]*\bid=\"figure-([\w-]+)\"(?:(?!</figure>|<details\b).)*)(</figure>)", re.S
)
_FENCED = re.compile(r"(^[ >]*(`{3,})\w+\n.*?^[ >]*\2$)", re.M | re.S)


def listing(pages: Sequence[Page], name: str, description: str, address: str) -> str:
    """`llms.txt`.

    Args:
        pages: All pages in reading order.
        name: The site's.
        description: The site's.
        address: Where the site is published; without it links are relative to its root.

    Returns:
        Markdown.
    """
    sections: dict[str, list[str]] = {}
    for page in pages:
        above = [str(section.title) for section in page.ancestors]
        section = "Optional" if OPTIONAL in above else above[-1] if above else "Start"
        link = urljoin(address, page.url) if address else page.url or "index.html"
        line = f"- [{heading(page)}]({link}): {page.meta.get('description', '')}"
        sections.setdefault(section, []).append(line)
    listed = "\n\n".join(f"## {title}\n\n" + "\n".join(sections[title]) for title in sections)
    return (
        f"# {name}\n\n> {' '.join(description.split())}\n\n"
        f"The text of all these pages, with code, measured values and the data of the figures, "
        f"is one file: [llms-full.txt]({urljoin(address, 'llms-full.txt')}).\n\n{listed}\n"
    )


def full(pages: Sequence[tuple[str, str]], name: str, description: str, address: str) -> str:
    """`llms-full.txt`.

    Args:
        pages: URL and HTML of all pages in reading order; none of them repeats another one.
        name: The site's.
        description: The site's.
        address: Where the site is published; without it links are relative to its root.

    Returns:
        Markdown, each page under a heading of the first level.
    """
    texts = [f"# {name}\n\n> {' '.join(description.split())}\n"]
    given: set[str] = set()

    def once(name: str, again: str = "<p>Above, where the figure stands first.</p>") -> str:
        if name in given:
            return again
        given.add(name)
        return _data(name)

    texts += [_remembered(_slim(content, once), url, address) for url, content in pages]
    return "\n\n".join(text.strip("\n") for text in texts) + "\n"


def _remembered(*page: str) -> str:
    """The text of a page from the memo: an edit of one page converts one."""
    made_by = (memo.version("markdownify"), memo.source_digest([Path(__file__)]))

    def make(folder: Path) -> None:
        (folder / "page.md").write_text(text(*page), encoding="utf-8")

    entry = memo.entry("texts", memo.key(page=page, made_by=made_by), make)
    return (entry / "page.md").read_text(encoding="utf-8")


def _data(name: str) -> str:
    """All numbers of a figure as HTML, where its page may show a part."""
    figure = figures.FIGURES.get(name)
    tables = figure.tables(current_run()) if figure else ()
    return "".join(
        f'<p>{html.escape(table.title)}:</p><div class="language-csv"><pre><code>'
        f"{html.escape(table.csv())}</code></pre></div>"
        for table in tables
    )


def _box(data: str) -> str:
    return f"<details><summary>Data</summary>{data}</details>" if data else ""


def _slim(content: str, data: Callable[..., str]) -> str:
    """Leave drawings their title, formulas their TeX, terms no tooltip; give figures all data."""
    content = _SVG.sub(lambda found: f"<svg>{found[1] or ''}</svg>", content)
    content = _TOOLTIP.sub("", _MATH.sub("", content))
    content = _DATA.sub(lambda found: f"{found[1]}{data(found[2])}{found[3]}", content)
    return _DRAWN.sub(lambda found: f"{found[1]}{_box(data(found[2], ''))}{found[3]}", content)


def text(content: str, url: str, address: str) -> str:
    """Convert a page.

    Args:
        content: Its HTML, slim.
        url: Its address in the site.
        address: Where the site is published, or nothing.

    Returns:
        Markdown, with the page's own address under its title.
    """
    link = urljoin(address, url) if address else url or "index.html"
    title, end, rest = _converter(url, address).convert(content).strip().partition("\n")
    pieces = _FENCED.split(rest)  # code may have as many empty lines as it likes
    pieces[::3] = [re.sub(r"\n\s*\n", "\n\n", piece) for piece in pieces[::3]]
    del pieces[2::3]
    return f"{title}\n\n<{link}>{end}{''.join(pieces)}\n"


def _converter(url: str, address: str) -> Any:
    """A converter that knows what the pages of this site are made of."""
    import markdownify  # only a page that has changed pays for it

    converter: Any = markdownify.MarkdownConverter

    class Text(converter):
        def convert_a(self, el: Any, text: str, parent_tags: set[str]) -> str:
            if "headerlink" in el.get("class", ()):
                return ""
            if "href" not in el.attrs:
                return text
            del el["title"]
            root = address or "site:///"  # a link is right for who has only the text
            el["href"] = urljoin(urljoin(root, url), el["href"]).removeprefix("site:///")
            return super().convert_a(el, text, parent_tags)

        def convert_span(self, el: Any, text: str, parent_tags: set[str]) -> str:
            if "data-tex" in el.attrs:
                return f"${el['data-tex']}$"
            names = el.get("class", ())
            if "filename" in names:
                return f"*{text}:*"
            return f"*{text}:* " if "label" in names else text

        def convert_div(self, el: Any, text: str, parent_tags: set[str]) -> str:
            if "data-tex" in el.attrs:
                return f"\n\n$$\n{el['data-tex']}\n$$\n\n"
            return super().convert_div(el, text, parent_tags)

        def convert_pre(self, el: Any, text: str, parent_tags: set[str]) -> str:
            box = " ".join(el.parent.get("class", ()) if el.parent else ())
            language = re.search(r"language-(\w+)", box)
            fence = "`" * max(3, 1 + max(map(len, re.findall(r"`+", text)), default=0))
            code = text.strip("\n")
            return f"\n\n{fence}{language[1] if language else 'text'}\n{code}\n{fence}\n\n"

        def convert_table(self, el: Any, text: str, parent_tags: set[str]) -> str:
            if "highlighttable" in el.get("class", ()):  # code beside its line numbers
                return self.process_tag(el.select_one("td.code > *"), {"div"})
            return super().convert_table(el, text, parent_tags)

        def convert_summary(self, el: Any, text: str, parent_tags: set[str]) -> str:
            return f"\n\n**{text.strip()}**\n\n"

        def convert_figure(self, el: Any, text: str, parent_tags: set[str]) -> str:
            alt = el.get("aria-label")
            return f"\n\n{f'[Figure: {alt}]' if alt else ''}{text}\n\n"

        def convert_svg(self, el: Any, text: str, parent_tags: set[str]) -> str:
            return f"\n\n[Figure: {text.strip()}]\n\n" if text.strip() else ""

        convert_details = converter.convert_div
        convert_input = convert_label = convert_legend = convert_button = (
            lambda self, el, text, parent_tags: ""
        )

    return Text(
        heading_style=markdownify.ATX, bullets="-", escape_asterisks=False, escape_underscores=False
    )
