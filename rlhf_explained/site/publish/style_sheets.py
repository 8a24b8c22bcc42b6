"""The style sheets as they are published: without rules for classes that nothing on the site has.

Every page waits for them, and a third of the theme's rules are for parts of it that no page has.
"""

from __future__ import annotations

import re
from collections.abc import Set
from pathlib import Path

_PARENTHESES = r"\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)"
_SELECTOR = re.compile(rf"(?:[^,()]|{_PARENTHESES})+")
_RULE = re.compile(r"(?<=[{}])([^{}@]+)(\{[^{}]*\})")


def thin(site: Path) -> None:
    """Make all sheets of a built site as short as its pages and scripts let them be.

    Args:
        site: Where it lies.
    """
    pages = (path.read_text(encoding="utf-8") for path in site.rglob("*.html"))
    tags = (tag for page in pages for tag in re.findall(r"<[^>]*>", page))
    scripts = (path.read_text(encoding="utf-8") for path in site.glob("assets/*/*.js"))
    words = {word for text in (*tags, *scripts) for word in re.findall(r"[\w-]+", text)}
    for path in site.rglob("*.css"):
        path.write_text(thinner(path.read_text(encoding="utf-8"), words), encoding="utf-8")


def thinner(sheet: str, words: Set[str]) -> str:
    """Leave out comments, needless blanks, and the selectors that nothing can match.

    Args:
        sheet: A style sheet.
        words: All words of the pages, and of the scripts that may put a class on something.

    Returns:
        The rest of it.
    """

    def is_met(selector: str) -> bool:
        whole = re.sub(_PARENTHESES, "", selector)  # what stands in :not() need not be there
        return all(name in words for name in re.findall(r"\.([a-zA-Z_][\w-]*)", whole))

    def met(rule: re.Match[str]) -> str:
        selectors = ",".join(filter(is_met, _SELECTOR.findall(rule[1])))
        return selectors and f"{selectors}{rule[2]}"

    sheet = re.sub(r"\s+", " ", re.sub(r"/\*.*?\*/", "", sheet, flags=re.S))
    return _RULE.sub(met, "}" + sheet)[1:]
