"""Faults in pages: each is logged with file and line, and shown in the page.

Nothing here stops a build. A warning on a logger below `mkdocs` makes a strict build fail at its
end, so that all faults are listed at once, and leaves `mkdocs serve` running.
"""

from __future__ import annotations

import difflib
import html
import logging
import re
import traceback
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from xml.etree.ElementTree import Element

from markdown.util import AtomicString

from rlhf_explained.disk import shown

logger = logging.getLogger("mkdocs.rlhf_explained")

_page: Path | None = None
_met: Counter[str] = Counter()


def rendering(page: Path | None) -> None:
    """Say which source file is being rendered from here on.

    Python-Markdown does not tell its extensions, so a hook does.
    """
    global _page
    _page = page
    _met.clear()


def report(what: str, pattern: str) -> str:
    """Log a fault of the page that is being rendered.

    Args:
        what: What is wrong, why, and how to mend it, in a line.
        pattern: Regular expression of the faulty words as they stand in the source. If it is
            reported again on the same page, the next place that matches is meant.

    Returns:
        The line that was logged, as HTML text to show in the page.
    """
    line = f"{_place(pattern, _met[pattern])}: {what}"
    _met[pattern] += 1
    logger.warning(line)
    return html.escape(line)


def element(tag: str, what: str, place: str) -> Element:
    """Report a fault, and show it in the page.

    Args:
        tag: Of the element to make.
        what: As for `report`.
        place: The pattern, as for `report`.

    Returns:
        What to put where the faulty thing stood.
    """
    shown = Element(tag, {"class": "fault"})
    shown.text = AtomicString(html.unescape(report(what, place)))
    return shown


def is_chapter() -> bool:
    """Whether the page that is being rendered belongs to the guide."""
    return _page is not None and _page.parent.name == "guide"


def nearest(name: str, known: Iterable[str]) -> str:
    """Name what could have been meant, closest first.

    Args:
        name: What was written.
        known: Every name that exists.

    Returns:
        Words for the end of a message.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    guess = f"did you mean {' or '.join(close)}? " if close else ""
    rest = [other for other in names if other not in close]
    listed, hidden = rest[:15], len(rest) - 15
    more = f" and {hidden} more" if hidden > 0 else ""
    others = f"known{' too' if close else ''}: {', '.join(listed)}{more}"
    return f"{guess}{others}" if rest or not close else guess.strip()


def no_python(error: SyntaxError) -> str:
    """Say where a file is no Python."""
    where = f"{shown(Path(error.filename or ''))}:{error.lineno}"
    return f"{where}: this is no Python, so nothing of it can be run: {error.msg}; mend it"


def unreadable(path: Path) -> str:
    """Say where a text is not UTF-8; nothing if all of it is."""
    content = path.read_bytes()
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return f"{shown(path)}:{line}: this is not UTF-8: save the file as UTF-8"
    return ""


def raised(error: BaseException) -> str:
    """Say of an exception where in the project's own code it was raised, and what it is."""
    frames = traceback.extract_tb(error.__traceback__)
    package = Path(__file__).parent.parent
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(package)] or frames
    where = f"{shown(Path(ours[-1].filename))}:{ours[-1].lineno}"
    return f"{where}: {type(error).__name__}: {error}"


def ended(error: BaseException) -> str:
    """Say what ended a build, and which page was being rendered, if one was."""
    what = f"{raised(error)}; mend that line"
    return f"{shown(_page)}:1: this page ends the build: {what}, or the page" if _page else what


def line_of(path: Path, pattern: str, occurrence: int = 0) -> int | None:
    """Find the line of a match in a file.

    Args:
        path: Text file.
        pattern: Regular expression.
        occurrence: Which of its matches, from 0; the last one if there are fewer.

    Returns:
        The line's number, from 1, or None if nothing matches.
    """
    text = path.read_text(encoding="utf-8")
    matches = list(re.finditer(pattern, text))
    if not matches:
        return None
    return text.count("\n", 0, matches[min(occurrence, len(matches) - 1)].start()) + 1


def _place(pattern: str, occurrence: int) -> str:
    """Look in the page; a docstring shown by it stands in the package instead."""
    if _page is None:
        return "(unknown page)"
    package = Path(__file__).parent.parent
    for path in (_page, *sorted(package.rglob("*.py"))):
        line = line_of(path, pattern, occurrence)
        if line is not None:
            return f"{shown(path)}:{line}"
        occurrence = 0
    return f"{shown(_page)}:1"
