"""What the theme gets wrong, mended in the pages and scripts that were built with it."""

from __future__ import annotations

import html
import re
from pathlib import Path

from mkdocs.exceptions import PluginError

# The switch of the menu has no name, and it stands outside of all landmarks.
_SWITCH = '<input class="md-toggle" data-md-toggle="drawer" type="checkbox" id="__drawer" {}>'
_MENU = '<label class="md-header__button md-icon" for="__drawer">'
_HTML = {
    ' tabindex=""': "",
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">': '<svg viewBox="0 0 24 24">',
    _SWITCH.format('autocomplete="off"'): "",
    _MENU: _SWITCH.format('aria-label="Menu" autocomplete="off"') + _MENU,
}
# Each heading with headings below it makes a landmark, often of a name that another one has.
_PART_OF_CONTENTS = re.compile(r'<nav class="md-nav" aria-label="[^"]*">')
# A sheet that every page would wait for, though only those of the API have something to lay out.
_API_SHEET = re.compile(r'<link rel="stylesheet" href="[^"]*assets/_mkdocstrings\.css">')
# So does a script that opens the tab a link leads to.
_TABS = re.compile(r"<script>var target=document\.getElementById\(location\.hash[^<]*</script>")
_AS_IT_STANDS = re.compile(r"(<(?:pre|script|textarea)\b.*?</(?:pre|script|textarea)>)", re.S)
# A line may end after a hyphen, so it may end within an arrow.
_RETURNS = re.compile(r'(<div class="[^"]*doc-signature[^"]*"><pre>.*?) -&gt; ')
# What changes nothing on the screen: a tenth of a page of the API.
_NEEDLESS = {
    re.compile(r'<span class="md-ellipsis">([^<]*?)\s*</span></a>'): r"\1</a>",  # in the menu
    re.compile(r' class="autorefs autorefs-internal"'): "",
    re.compile(r'<span title="([^"<>]*)">\1</span>'): r"\1",
    re.compile(r'<span class="normal">([\s\d]+)</span>'): r"\1",  # the numbers of lines
    re.compile(
        r'<div class="doc-md-description">\s*<p>((?:(?!<p>|</div>).)*)</p>\s*</div>', re.S
    ): r"\1",  # shown within the line
    re.compile(r'<span class="\w+">(\s+)</span>'): r"\1",  # blanks in code
    re.compile(r' data-search-exclude(?:="")?(?=[ >])'): "",  # the index is made before
    re.compile(r">  +<"): "> <",
    re.compile("&para;"): "¶",
}
_ONE_COLOUR = re.compile(r'<span class="(\w+)">[^<]*</span>(?:\s*<span class="\1">[^<]*</span>)+')
_FORMAT = re.compile(r':<span class="s[12]">([^<"]+)</span>}')  # in an f-string
_FIELDS = re.compile(
    r'<span class="(s[12])">(["\'])</span>((?:{[^<{}]*})+)<span class="\1">\2</span>'
)
_NARROW = 24  # characters of code that fit into the narrowest window, 320 px

BUNDLE = {
    # Without a server the theme fetches the search's index when the search is opened, else with
    # every page. Here it waits everywhere, unless a question stands in the field already.
    '$(location.protocol!=="file:"),Je("search")': (
        '$(!!document.forms.search.query.value),Je("search")'
    ),
    # A copy button is no navigation: each would be a landmark, and none has a name.
    '"nav",{class:"md-code__nav"}': '"div",{class:"md-code__nav"}',
    # Code took its id from an element around it that has one: in the edition all of a chapter had
    # one id, and every button copied the first.
    "p=c?c.id:Za++;": "p=Za++;",
    # The theme waits for an event that is over when its scripts come later. Without it there are no
    # copy buttons, and the table of contents does not follow.
    'h(document,"DOMContentLoaded",{once:!0}).subscribe(()=>e.next(document)),e}': (
        'document.readyState==="loading"?'
        'h(document,"DOMContentLoaded",{once:!0}).subscribe(()=>e.next(document)):'
        "e.next(document),e}"
    ),
}
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
    """Mend a page, and leave out the templates' blank lines, a third of it.

    Args:
        output: Its HTML.

    Returns:
        The same page, as it looks.
    """
    begin, article, end = re.split(r"(<article\b.*</article>)", output, maxsplit=1, flags=re.S)
    begin, end = (re.sub(r">\s*\n\s*", ">", part) for part in (begin, end))
    parts = _AS_IT_STANDS.split(f"{begin}{article}{end}")
    parts[::2] = map(_without_blanks, parts[::2])
    parts[1::2] = map(_code, parts[1::2])
    output = "".join(parts)
    for fault, mended in _HTML.items():
        output = output.replace(fault, mended)
    if 'class="doc ' in output:
        output = _RETURNS.sub(r'\1 <span class="arrow">-&gt;</span> ', output)
    else:
        output = _API_SHEET.sub("", output)
    if 'class="tabbed-' not in output:
        output = _TABS.sub("", output)
    for needless, rest in _NEEDLESS.items():
        output = needless.sub(rest, output)
    return _PART_OF_CONTENTS.sub('<nav class="md-nav" role="none">', output)


def _without_blanks(part: str) -> str:
    """Leave out blank lines, and blanks where lines begin and end."""
    first, *lines = part.split("\n")
    if not lines:
        return part
    *inner, last = lines
    return "\n".join([first.rstrip(), *filter(None, map(str.strip, inner)), last.lstrip()])


def _code(block: str) -> str:
    """Give neighbours of one colour one tag, and let the keyboard reach code that may scroll."""
    if not block.startswith("<pre"):
        return block
    block = block.replace("<span></span>", "", 1)  # before what could begin with an empty line
    block = _FORMAT.sub(r":\1}", _ONE_COLOUR.sub(_together, block))
    block = _FIELDS.sub(r"\2\3\2", block)  # an f-string without text
    lines = html.unescape(re.sub(r"<[^>]+>", "", block)).splitlines()
    wide = any(len(line) > _NARROW for line in lines)
    return block.replace("<code>", '<code tabindex="0">', 1) if wide else block


def _together(spans: re.Match[str]) -> str:
    return f'<span class="{spans[1]}">{re.sub("<[^>]+>", "", spans[0])}</span>'


def scripts(folder: Path) -> None:
    """Mend the theme's scripts.

    Args:
        folder: Where the built site has them.

    Raises:
        PluginError: If they are not the ones that are known here.
    """
    (worker,) = (folder / "workers").glob("search.*.min.js")
    worker.write_text(_PLAIN_QUESTION + worker.read_text(encoding="utf-8"), encoding="utf-8")
    (bundle,) = folder.glob("bundle.*.min.js")
    script = bundle.read_text(encoding="utf-8")
    for fault, mended in BUNDLE.items():
        if script.count(fault) != 1:
            raise PluginError(f"{__file__}: {bundle.name} no longer holds {fault}")
        script = script.replace(fault, mended)
    bundle.write_text(script, encoding="utf-8")
