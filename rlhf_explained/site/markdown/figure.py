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
from rlhf_explained.site.markdown.ways import PUBLISHED

_ALONE = r' (?:fill|stroke)="#[0-9a-f]+"'  # the colour beside a class


def themed(drawing: str) -> str:
    """The drawing without what it has for a reader who sees it alone, without a stylesheet."""
    opening, rest = drawing.split(">", 1)
    opening = re.sub(r' (?:xmlns|font-family|width|height)="[^"]*"', "", opening)
    return f"{opening}>{re.sub(_ALONE, '', rest)}"


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
        The element, its caption still Markdown.

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
    link = f"[Code][{figures.__name__}.{what.module}.{what.function}]"  # a reference to the API
    for paragraph in f"{caption.strip()} {link}".split("\n\n"):
        SubElement(words, "p").text = paragraph.strip()
    if tables := what.tables(run):
        # HTML wants the caption to be a figure's last part, so the numbers stand in it
        looks = {"class": "data", "data-search-exclude": ""} | ({"open": ""} if what.opened else {})
        data = SubElement(words, "details", looks)
        SubElement(data, "summary").text = "Data"
        content = "".join(map(numbers, tables))
        SubElement(data, "div").text = AtomicString(stash.store(content))
    return figure


def notebook_caption(name: str, run: Run) -> str:
    """The links under a figure in a notebook, whose prose says the rest, as HTML."""
    what = figures.FIGURES[name]
    code = f"{figures.__name__}.{what.module}.{what.function}"
    links = [f'<autoref identifier="{code}">Code</autoref>']
    for table in what.tables(run):
        file = f"{table.name}.csv"
        links.append(f'<a download href="{PUBLISHED}{cached.address(table)}">Data: {file}</a>')
    return f"<figcaption><p>{' · '.join(links)}</p></figcaption>"


def numbers(table: Table) -> str:
    """A table as HTML that scrolls in its own box, and a link to the whole as a file."""
    part, title = table.excerpt, html.escape(table.title)
    is_whole = len(part.rows) == len(table.rows)
    caption = title if is_whole else f"{title}: {len(part.rows)} of {len(table.rows)} rows"
    for column, value in table.lines:
        unit = f"\N{NO-BREAK SPACE}{column.unit}" if column.unit else ""
        caption += f"; {html.escape(column.name)} {column.text(value)}{unit}"
    looks = [
        ' class="word"' if all(isinstance(row[place], str | None) for row in part.rows) else ""
        for place, column in enumerate(part.columns)
        if not column.name.startswith("±")
    ]
    headings, rows = part.read
    heads = "".join(
        f'<th scope="col"{look}>{html.escape(heading)}</th>'
        for heading, look in zip(headings, looks, strict=True)
    )
    body = "".join(f"<tr>{_row(row, looks)}</tr>" for row in rows)
    whole = "" if is_whole else f", all {len(table.rows)} rows"
    return (
        f'<div class="numbers" role="region" aria-label="Data: {title}" tabindex="0">'
        f'<table class="plain"><caption>{caption}.</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
        f'<p><a download href="{PUBLISHED}{cached.address(table)}">'
        f"{table.name}.csv{whole}</a></p>"
    )


def _row(row: list[str], looks: list[str]) -> str:
    first, *rest = zip(looks, map(html.escape, row), strict=True)
    head = f'<th scope="row"{first[0]}>{first[1]}</th>'
    return head + "".join(f"<td{look}>{cell}</td>" for look, cell in rest)
