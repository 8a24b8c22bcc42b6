"""The site's figures by name. Looking one up imports no matplotlib; drawing one does.

Each chapter's module has its figures whole: their numbers, their alternative texts, their drawings.
"""

from __future__ import annotations

import re
from html import escape
from importlib import import_module

from rlhf_explained.figures.registry import FIGURES, Figure
from rlhf_explained.measured import filled
from rlhf_explained.pipeline import Run

__all__ = ["CHAPTERS", "FIGURES", "Figure", "alt_text", "as_html", "titled"]

CHAPTERS = tuple(
    import_module(f"{__name__}.chapters.{chapter}")
    for chapter in (
        "alignment",
        "pipeline",
        "sft",
        "reward_model",
        "ppo",
        "ppo_runs",
        "over_optimisation",
        "frontier",
        "why",
        "methods",
        "verifiable",
        "ablations",
        "reward_study",
        "history",
    )
)


def alt_text(name: str, run: Run) -> str:
    """The figure's alternative text with the run's values in it."""
    return filled(FIGURES[name].alt, run)


def titled(drawing: str, title: str, alt: str) -> str:
    """Say what a drawing shows to those who cannot see it.

    Args:
        drawing: An `<svg>` element, of a page or of several.
        title: An id for its title, which no other element of the page has.
        alt: The alternative text.

    Returns:
        An image of that name: the element, or one that lays out the elements of all pages.
    """
    named = f'role="img" aria-labelledby="{title}"'
    words = f'<title id="{title}">{escape(alt, quote=False)}</title>'
    pages = re.split(r"(?<=>)(?=<svg )", drawing)[1:]
    if pages:
        opening, rest = "".join(pages).removesuffix("</svg>").split(">", 1)
        return f'<div class="pages" {named}>{opening}>{words}{rest}</div>'
    opening, rest = drawing.removeprefix("<svg").split(">", 1)
    return f"<svg {named}{opening}>{words}{rest}"


def as_html(name: str, run: Run) -> str:
    """The figure drawn from the run, as an element of a page that holds it once."""
    drawing = titled(FIGURES[name].svg(run), f"figure-{name}-alt", alt_text(name, run))
    return f'<figure class="drawn" id="figure-{name}">{drawing}</figure>'
