"""What the theme gets wrong and lets nobody mend in a template."""

from __future__ import annotations

from pathlib import Path

# The switch of the menu has no name, and it stands outside of all landmarks.
_SWITCH = '<input class="md-toggle" data-md-toggle="drawer" type="checkbox" id="__drawer" autocomplete="off">'  # noqa: E501
_NAMED = _SWITCH.replace(" autocomplete", ' aria-label="Menu" autocomplete')
_MENU = '<label class="md-header__button md-icon" for="__drawer">'
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
    """Name the switch of the menu, and put it where the menu's sign is.

    Args:
        output: A page's HTML.

    Returns:
        The same page, as it looks.
    """
    return output.replace(_SWITCH, "", 1).replace(_MENU, _NAMED + _MENU, 1)


def scripts(folder: Path) -> None:
    """Let the search leave out words that say nothing.

    Args:
        folder: Where the built site has the theme's scripts.
    """
    (worker,) = (folder / "workers").glob("search.*.min.js")
    worker.write_text(_PLAIN_QUESTION + worker.read_text(encoding="utf-8"), encoding="utf-8")
