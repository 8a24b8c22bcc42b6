"""A figure on a page: the drawing, its alternative text and caption, its numbers and its code."""

from __future__ import annotations

import html
import re
from xml.etree.ElementTree import Element, SubElement

from markdown.util import AtomicString, HtmlStash

from rlhf_explained import figures
from rlhf_explained.figures import cached
from rlhf_explained.figures.table import Table
from rlhf_explained.pipeline import Run


def themed(drawing: str) -> str:
    """The drawing without what it has for a reader who sees it alone, without a stylesheet."""
    alone = re.compile(r' (?:xmlns|font-family|y|width|height)="[^"]*"')
    drawing = re.sub(r"<svg [^>]*>", lambda opening: alone.sub("", opening[0]), drawing)
    return re.sub(r' (?:fill|stroke)="#[0-9a-f]+"', "", drawing)  # the colour beside a class


def element(name: str, alt: str, caption: str, run: Run, stash: HtmlStash, number: int) -> Element:
    """Build `<figure>`.

    Args:
        name: A name in `figures.FIGURES`.
        alt: Its alternative text.
        caption: Markdown.
        run: What to draw.
        stash: Of the page; takes what is HTML already.
        number: How often the figure stands on the page, this time included.

    Returns:
        The element; its caption is still Markdown, and links begin at the folder of the pages.

    Raises:
        DrawingError: If the drawing function fails.
    """
    drawing = themed(cached.svg(name, run))
    unique = name if number == 1 else f"{name}-{number}"
    if unique != name:  # ids in a page are unique, even where a figure stands twice
        drawing = re.sub(rf'(\bid="|url\(#|href="#){name}-', rf"\g<1>{unique}-", drawing)
    figure = Element("figure", {"class": "drawn", "id": f"figure-{unique}"})
    box = SubElement(figure, "div", {"class": "drawing", "data-search-exclude": ""})
    box.text = AtomicString(stash.store(figures.titled(drawing, f"figure-{unique}-alt", alt)))
    words = SubElement(figure, "figcaption")
    what = figures.FIGURES[name]
    link = f"[Code][{what.module}.{what.function}]"  # a reference to the API
    for paragraph in f"{caption.strip()} {link}".split("\n\n"):
        SubElement(words, "p").text = paragraph.strip()
    if tables := what.tables(run):
        # HTML wants the caption to be a figure's last part, so the numbers stand in it
        looks = {"class": "data", "data-search-exclude": ""} | ({"open": ""} if what.opened else {})
        data = SubElement(words, "details", looks)
        SubElement(data, "summary").text = "Data"
        data = SubElement(data, "div")
        for table in tables:
            scrolls = {"role": "region", "aria-label": f"Data: {table.title}", "tabindex": "0"}
            box = SubElement(data, "div", {"class": "numbers", **scrolls})
            box.text = AtomicString(stash.store(numbers(table)))
            file = {"download": "", "href": f"/{cached.address(table)}"}
            rows = "" if _is_whole(table) else f", all {len(table.rows)} rows"
            download = SubElement(SubElement(data, "p"), "a", file)
            download.text = AtomicString(f"{table.name}.csv{rows}")
    return figure


def notebook_caption(name: str, run: Run) -> str:
    """The links under a figure in a notebook, whose prose says the rest, as HTML."""
    what = figures.FIGURES[name]
    code = f"{what.module}.{what.function}"
    links = [f'<autoref identifier="{code}">Code</autoref>']
    for table in what.tables(run):
        file = f"{table.name}.csv"
        links.append(f'<a download href="/{cached.address(table)}">Data: {file}</a>')
    return f"<figcaption><p>{' · '.join(links)}</p></figcaption>"


def numbers(table: Table) -> str:
    """A table, or its excerpt, as HTML."""
    part, caption = table.excerpt, html.escape(table.title)
    if not _is_whole(table):
        caption += f": {len(part.rows)} of {len(table.rows)} rows"
    for column, value in table.lines:
        unit = f"\N{NO-BREAK SPACE}{column.unit}" if column.unit else ""
        caption += f"; {html.escape(column.name)} {column.text(value)}{unit}"
    looks = [
        ' class="word"' if all(isinstance(row[place], str | None) for row in part.rows) else ""
        for place, column in enumerate(part.columns)
        if not column.name.startswith("±")
    ]

    def cells(texts: list[str], first: str, other: str) -> str:
        tags = [first, *[other] * (len(texts) - 1)]
        each = zip(tags, looks, map(html.escape, texts), strict=True)
        return "".join(f"<{tag}{look}>{text}</{tag[:2]}>" for tag, look, text in each)

    headings, rows = part.read
    head = cells(headings, 'th scope="col"', 'th scope="col"')
    each = (cells(row, 'th scope="row"', "td") for row in rows)
    body = "".join(f"<tr>{row}</tr>" for row in each)
    return (
        f'<table class="plain"><caption>{caption}.</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _is_whole(table: Table) -> bool:
    return len(table.excerpt.rows) == len(table.rows)
