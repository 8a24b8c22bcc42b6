"""Makes the theme's search find the right page first, from a folder too.

The theme's plugin lists all sections, and its worker ranks them. What they lack is added to the
built index.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

WEIGHTS = {  # by how a path begins, the first that fits: what explains stands before what lists
    "guide/quiz/": 1.0,
    "guide/history/": 1.0,
    "guide/": 2.0,
    "notebooks/": 0.8,
    "reference/glossary/": 1.5,
    "reference/bibliography/": 0.55,
    "reference/": 0.25,
    "": 2.0,
}
PAGE = "page"  # the name of a page's beginning among its sections


def finish(site: Path, terms: Mapping[str, Mapping[str, str]]) -> list[tuple[str, str]]:
    """Weigh the index, and write it for a folder too.

    Args:
        site: The built site.
        terms: For each page's URL what its sections answer, by their ids: words for which a reader
            may look although no heading says them. They are searched, not shown.

    Returns:
        URL and id of each section that is not there.
    """
    path = site / "search/search_index.json"
    index = json.loads(path.read_text(encoding="utf-8"))
    left = {(page, name) for page, sections in terms.items() for name in sections}
    for entry in index["docs"]:
        page, _, section = entry["location"].partition("#")
        entry["boost"] = next(WEIGHTS[start] for start in WEIGHTS if page.startswith(start))
        key = (page, section or PAGE)
        if key in left:
            left.remove(key)
            entry["terms"] = terms[page][key[1]]
    path.write_text(json.dumps(index, separators=(",", ":")), encoding="utf-8")
    for entry in index["docs"]:
        entry["location"] = re.sub(r"(^|/)(?=#|$)", r"\1index.html", entry["location"])
    path.with_suffix(".js").write_text(f"var __index = {json.dumps(index)}", encoding="utf-8")
    return sorted(left)
