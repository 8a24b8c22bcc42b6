"""The style sheets as they are published: without what nothing on the site can match.

Every page waits for them. A third of the theme's rules are for parts of it that no page has, and
with them go the icons and colours that then nothing mentions.
"""

from __future__ import annotations

import re
from collections.abc import Set
from pathlib import Path

_STRING = r'"[^"]*"|\'[^\']*\''
_COMMENT = re.compile(rf"({_STRING})|/\*.*?\*/", re.S)
_BLANKS = re.compile(rf"({_STRING})|\s*([{{}};,])\s*|(:)\s+|(\s)\s*")
_RULE = re.compile(rf"(?<=[{{}}])((?:[^{{}}@\"']|{_STRING})+)(\{{(?:[^{{}}\"']|{_STRING})*\}})")
_EMPTY = re.compile(r"@(?:media|supports)[^{}]*\{\}")
_PARENTHESES = r"\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)"
_SELECTOR = re.compile(rf"(?:[^,()]|{_PARENTHESES})+")
_NAMED = re.compile(r"\.([a-zA-Z_][\w-]*)|\[[\w-]+=\"?([\w-]+)\"?\]")
_VARIABLE = re.compile(rf"(?<=[{{;])(--[\w-]+):(?:[^;{{}}\"']|{_STRING})*(?:;|(?=\}}))")


def thin(site: Path) -> None:
    """Make all sheets of a built site as short as its pages and scripts let them be.

    Args:
        site: Where it lies.
    """
    pages = (path.read_text(encoding="utf-8") for path in site.rglob("*.html"))
    tags = (tag for page in pages for tag in re.findall(r"<[^>]*>", page))
    scripts = (path.read_text(encoding="utf-8") for path in site.glob("assets/javascripts/*.js"))
    words = {word for text in (*tags, *scripts) for word in re.findall(r"[\w-]+", text)}
    sheets = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.css")}
    thinner = {path: without_idle_rules(sheet, words - {"rtl"}) for path, sheet in sheets.items()}
    words.update(re.findall(r"(?<=var\()--[\w-]+", "".join(thinner.values())))
    for path, sheet in thinner.items():  # variables too that nothing asks for, with their icons
        used = _VARIABLE.sub(lambda found: found[0] if found[1] in words else "", sheet)
        path.write_text(used, encoding="utf-8")


def without_idle_rules(sheet: str, words: Set[str]) -> str:
    """Leave out comments, blanks, and the selectors that nothing can match.

    Args:
        sheet: A style sheet.
        words: All words of the pages, and of the scripts that may put a class on something; that
            text runs from right to left (`rtl`) scripts ask, and no page's does.

    Returns:
        The rest of it.
    """

    def is_met(selector: str) -> bool:
        whole = re.sub(_PARENTHESES, "", selector)  # what stands in :not() need not be there
        return all((name or value) in words for name, value in _NAMED.findall(whole))

    def met(rule: re.Match[str]) -> str:
        selectors = ",".join(filter(is_met, _SELECTOR.findall(rule[1])))
        return selectors and f"{selectors}{rule[2]}"

    sheet = _COMMENT.sub(lambda found: found[1] or " ", sheet)
    sheet = _BLANKS.sub(r"\1\2\3\4", sheet)
    sheet = _RULE.sub(met, "}" + sheet.strip().replace(";}", "}"))[1:]
    while _EMPTY.search(sheet):
        sheet = _EMPTY.sub("", sheet)
    return sheet
