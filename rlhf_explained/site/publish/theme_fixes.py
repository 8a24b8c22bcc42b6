"""What the theme gets wrong, or writes in vain, and lets nobody mend in a template."""

from __future__ import annotations

import html
import re
from pathlib import Path

# The switch of the menu has no name, and it stands outside of all landmarks.
_SWITCH = (
    '<input class="md-toggle" data-md-toggle="drawer" type="checkbox" id="__drawer" '
    'autocomplete="off">'
)
_NAMED = _SWITCH.replace(" autocomplete", ' aria-label="Menu" autocomplete')
_MENU = '<label class="md-header__button md-icon" for="__drawer">'
_AS_IT_STANDS = re.compile(r"(<(pre|script|textarea)\b.*?</\2>)", re.S)
_NEEDLESS = {  # it changes nothing on the screen, and is a tenth of a page of the API
    re.compile(r'<span class="md-ellipsis">([^<]*?)\s*</span></a>'): r"\1</a>",  # in the menu
    re.compile(r' class="autorefs autorefs-internal"'): "",
    re.compile(r'<span title="([^"<>]*)">\1</span>'): r"\1",
    re.compile(r'<span class="normal">([\s\d]+)</span>'): r"\1",  # the numbers of lines
    re.compile(r' data-search-exclude(?:="")?(?=[ >])'): "",  # the index is made before
    re.compile(r' xmlns="http://www.w3.org/2000/svg"(?= viewBox="0 0 24 24">)'): "",
}
_NARROW = 24  # characters of code that fit into the narrowest window, 320 px
_ONE_COLOUR = re.compile(r'<span class="(\w+)">[^<]*</span>(?:\s*<span class="\1">[^<]*</span>)+')
# The worker looks for words that begin like those of the question, so "is" finds every "isolated".
# The index holds no stop words; a question is better without them too, if anything is left.
_PLAIN_QUESTION = """\
addEventListener("message", ({ data: message }) => {
  if (message.type !== 2) return
  const says = word => lunr.stopWordFilter(word.toLowerCase().replace(/\\W+$/, ""))
  message.data = message.data.split(/\\s+/).filter(says).join(" ") || message.data
});
"""


def page(output: str) -> str:
    """Name the switch of the menu, and put it where its sign is; leave out the templates' blanks.

    Args:
        output: A page's HTML.

    Returns:
        The same page, as it looks.
    """
    output = output.replace(_SWITCH, "", 1).replace(_MENU, _NAMED + _MENU, 1)
    for needless, rest in _NEEDLESS.items():
        output = needless.sub(rest, output)
    parts = _AS_IT_STANDS.split(output)  # text, block, its tag, text, …
    del parts[2::3]
    parts[::2] = (re.sub(r"\s*\n\s*", "\n", part) for part in parts[::2])
    parts[1::2] = map(_code, parts[1::2])
    return "".join(parts)


def _code(block: str) -> str:
    """Let the keyboard reach code that may scroll; give neighbours of one colour one tag."""
    if not block.startswith("<pre"):
        return block
    lines = html.unescape(re.sub(r"<[^>]+>", "", block)).splitlines()
    if any(len(line) > _NARROW for line in lines):
        block = block.replace("<code>", '<code tabindex="0">', 1)
    return _ONE_COLOUR.sub(_together, block)


def _together(spans: re.Match[str]) -> str:
    """One tag for neighbours of one colour in code."""
    return f'<span class="{spans[1]}">{re.sub("<[^>]+>", "", spans[0])}</span>'


def scripts(folder: Path) -> None:
    """Let the search leave out words that say nothing.

    Args:
        folder: Where the built site has the theme's scripts.
    """
    (worker,) = (folder / "workers").glob("search.*.min.js")
    worker.write_text(_PLAIN_QUESTION + worker.read_text(encoding="utf-8"), encoding="utf-8")
