"""The `explore` fence: which kind of explorable, with which options, under which caption.

And the table in which recorded numbers stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from rlhf_explained.pipeline import Run


@dataclass(frozen=True, eq=False)
class Kind:
    """A kind of explorable.

    Attributes:
        name: By which a fence asks for it, and under which its script registers itself.
        button: What its button says, without the size.
        recorded: Makes the recorded result from a run and the fence's options: HTML with all its
            numbers, which stands on the page before the press, without scripts, in print and in
            `llms.txt`. Raises a `ValueError` that names an option with a wrong value. None for the
            answers that the `samples` fence shows by the same options.
        scripts: Names of files in `js/`, in the order in which they are loaded.
        data: What the scripts find in `explore.data`, by name: anything that JSON can hold, or an
            expression of JavaScript as text.
        options: Names that a fence may give.
    """

    name: str
    button: str
    recorded: Callable[[Run, Mapping[str, str]], str] | None
    scripts: tuple[str, ...]
    data: Mapping[str, Callable[[Run], Any]] = field(default_factory=dict)
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fence:
    """What a fence asks for.

    Attributes:
        kind: A name in `explore.KINDS`, or what was written there.
        options: By name.
        caption: Markdown.
    """

    kind: str
    options: dict[str, str]
    caption: str

    @classmethod
    def read(cls, source: str) -> Fence:
        """Read the lines of a fence.

        Args:
            source: Lines `key: value`, one of them `kind`, then a blank line and the caption.

        Returns:
            What they ask for.

        Raises:
            ValueError: If a line is no option, one is given twice, or no kind is named.
        """
        head, _, caption = source.strip().partition("\n\n")
        given: dict[str, str] = {}
        for line in head.splitlines():
            key, colon, value = (part.strip() for part in line.partition(":"))
            if not colon or not key or not value:
                raise ValueError(f"{line!r} is no option: write `name: value`, then a blank line")
            if key in given:
                raise ValueError(f"{key} is given twice: leave one")
            given[key] = value
        if "kind" not in given:
            raise ValueError("it names no kind: begin it with a line `kind: NAME`")
        return cls(given.pop("kind"), given, caption.strip())


Row = tuple[str, Sequence[str], str]
"""Of a table: its head, its cells, and its attributes."""


def table(
    label: str, caption: str, heads: Sequence[str], rows: Iterable[Row], *, live: str = ""
) -> str:
    """A table of numbers, which scrolls in its box.

    Args:
        label: What a screen reader calls the box.
        caption: What stands above the table.
        heads: Of the columns; the first may be empty.
        rows: In order.
        live: The caption after the press, where the script fills this table.

    Returns:
        HTML.
    """
    head = "".join(f'<th scope="col">{text}</th>' if text else "<td></td>" for text in heads)
    body = "".join(
        f'<tr{about}><th scope="row">{first}</th>'
        f"{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        for first, cells, about in rows
    )
    about = f' data-live="{live}"' if live else ""
    return (
        f'<div class="numbers" role="region" aria-label="{escape(label)}" tabindex="0">'
        f'<table class="plain"><caption{about}>{caption}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
