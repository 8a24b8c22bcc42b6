"""An explorable on a page: its recorded result, and the button that brings the live part."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement

from markdown.util import AtomicString, HtmlStash

from rlhf_explained import explore
from rlhf_explained.pipeline import Run
from rlhf_explained.site.faults import nearest
from rlhf_explained.site.markdown import samples


def element(source: str, run: Run, stash: HtmlStash, number: int) -> Element:
    """Build `<figure>`.

    Without scripts, and wherever buttons are left out, the recorded result is all of it. The script
    that waits for the press is `theme/assets/javascripts/explore.js`.

    Args:
        source: The fence.
        run: Whose result was recorded.
        stash: Of the page; takes what is HTML already.
        number: How often explorables stand on the page, this time included.

    Returns:
        The element; its caption is still Markdown.

    Raises:
        ValueError: If there is no such kind, or an option of it is wrong.
    """
    asked = explore.Fence.read(source)
    if asked.kind not in explore.KINDS:
        raise ValueError(f"unknown kind {asked.kind!r}; {nearest(asked.kind, explore.KINDS)}")
    kind = explore.KINDS[asked.kind]
    for name in asked.options:
        if name not in kind.options:
            raise ValueError(f"{asked.kind} has no option {name!r}; {_options(name, kind.options)}")
    figure = Element("figure", {"class": "explore", "id": f"explore-{number}"})
    box = SubElement(figure, "div", {"class": "recorded"})
    if kind.recorded:
        box.set("data-search-exclude", "")  # numbers and repeated answers, as a figure's data
        box.text = AtomicString(stash.store(kind.recorded(run, asked.options)))
    else:  # with the caption, which is of the recorded answers
        lines = "\n".join(f"{name}: {value}" for name, value in asked.options.items())
        box.append(samples.element(samples.parse(f"{lines}\n\n{asked.caption}"), run))
    looks = {"class": "md-button md-button--primary", "type": "button", "hidden": ""}
    asks = {"name": kind.name, "value": " ".join(explore.names(kind, run))}
    SubElement(figure, "button", looks | asks).text = AtomicString(explore.button(kind, run))
    SubElement(figure, "div", {"role": "status"})
    if kind.recorded:
        words = SubElement(figure, "figcaption")
        for paragraph in filter(None, asked.caption.split("\n\n")):
            SubElement(words, "p").text = paragraph.strip()
    return figure


def _options(name: str, known: Sequence[str]) -> str:
    return nearest(name, known) if known else "it takes none: leave the line out"
