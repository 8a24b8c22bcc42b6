"""The way from a page to what the site publishes beside its pages: numbers, the run, downloads.

Markdown cannot write it, because a caption or a table does not know on which page it stands. So it
writes `published:` and the address within the site, and the way is put in last. MkDocs tells only
its hooks where a page is; its successor tells Markdown.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any

from markdown import Markdown
from markdown.postprocessors import Postprocessor

PUBLISHED = "published:"
_CONTEXT = "rendering_context"  # where Zensical keeps the page that it renders


class Ways(Postprocessor):
    """Puts in the ways where the program says which page is being rendered."""

    md: Markdown

    def run(self, text: str) -> str:
        """Replace every placeholder, or none."""
        if _CONTEXT not in self.md.preprocessors:
            return text
        context: Any = self.md.preprocessors[_CONTEXT]
        folder = posixpath.dirname(context.page.path) or "."
        address = rf"\b{PUBLISHED}([\w./-]+)"
        return re.sub(address, lambda found: posixpath.relpath(found[1], folder), text)
