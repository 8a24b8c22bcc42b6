"""Makes the theme's search find the right page first, from a folder too, and only when asked.

The theme's plugin lists all sections, its worker ranks them, its bundle loads both. What they lack
is added to the built files, so that nothing of theirs is kept here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

WEIGHTS = {  # by how a path begins, the first that fits: what explains stands before what lists
    "guide/quiz/": 1.0,
    "guide/history/": 1.0,
    "guide/": 2.0,
    "notebooks/": 0.8,
    "reference/glossary/": 1.5,
    "reference/bibliography/": 0.5,
    "reference/": 0.25,
    "": 2.0,
}
PAGE = "page"  # the name of a page's beginning among its sections

_DRAWING = re.compile(r"<pre>(?:(?!</pre>).)*[│┌].*?</pre>", re.S)

# The worker looks for words that begin like those of the question, so "is" finds every "isolated".
# The index holds no stop words; a question is better without them too, if anything is left.
_PLAIN_QUESTION = """\
addEventListener("message", ({ data: message }) => {
  if (message.type !== 2) return
  const says = word => lunr.stopWordFilter(word.toLowerCase().replace(/\\W+$/, ""))
  message.data = message.data.split(/\\s+/).filter(says).join(" ") || message.data
});
"""
# Without a server the theme fetches the index when the search is opened, else with every page. Here
# it waits everywhere, unless a question stands in the field already.
AT_ONCE = '$(location.protocol!=="file:"),Je("search")'
WHEN_OPENED = '$(!!document.forms.search.query.value),Je("search")'


def finish(site: Path, terms: Mapping[str, Mapping[str, str]]) -> list[tuple[str, str]]:
    """Weigh the index, write it for a folder too, and mend the scripts that use it.

    Args:
        site: The built site.
        terms: For each page's URL what its sections answer, by their ids: words for which a reader
            may look although no heading says them. They are searched, not shown.

    Returns:
        URL and id of each section that is not there.

    Raises:
        PluginError: If the theme's scripts are not the ones that are known here.
    """
    path = site / "search/search_index.json"
    index = json.loads(path.read_text(encoding="utf-8"))
    left = {(page, name) for page, sections in terms.items() for name in sections}
    for entry in index["docs"]:
        page, _, section = entry["location"].partition("#")
        entry["boost"] = next(WEIGHTS[start] for start in WEIGHTS if page.startswith(start))
        entry["text"] = _DRAWING.sub("", entry["text"])
        key = (page, section or PAGE)
        if key in left:
            left.remove(key)
            entry["terms"] = terms[page][key[1]]
    path.write_text(_compact(index), encoding="utf-8")
    for entry in index["docs"]:
        entry["location"] = re.sub(r"(^|/)(?=#|$)", r"\1index.html", entry["location"])
    path.with_suffix(".js").write_text(f"var __index = {_compact(index)}", encoding="utf-8")
    _mend(site / "assets/javascripts")
    return sorted(left)


def _mend(scripts: Path) -> None:
    """Change the two scripts of the theme that search."""
    (worker,) = (scripts / "workers").glob("search.*.min.js")
    worker.write_text(_PLAIN_QUESTION + worker.read_text(encoding="utf-8"), encoding="utf-8")
    (bundle,) = scripts.glob("bundle.*.min.js")
    script = bundle.read_text(encoding="utf-8")
    if script.count(AT_ONCE) != 1:
        raise PluginError(f"{__file__}: {bundle.name} no longer holds {AT_ONCE}")
    bundle.write_text(script.replace(AT_ONCE, WHEN_OPENED), encoding="utf-8")


def _compact(index: Any) -> str:
    return json.dumps(index, separators=(",", ":"))
