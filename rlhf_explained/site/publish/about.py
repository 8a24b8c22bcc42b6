"""Checks what a page says of itself and of its neighbours: front matter, home page, the way on."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.pages import Page

from rlhf_explained.disk import shown
from rlhf_explained.site import faults

DESCRIPTION = range(50, 181)  # characters of what a page says of itself elsewhere


def check(markdown: str, page: Page, config: MkDocsConfig) -> None:
    """Check what a page says of itself, and a chapter's place among the others.

    Args:
        markdown: The page without its front matter.
        page: Not rendered yet.
        config: The site's configuration.
    """
    _check_front_matter(markdown, page)
    _check_way(markdown, page, config)


def check_notebook(description: str) -> None:
    """Check what a notebook says of itself.

    Args:
        description: The beginning of its prose.
    """
    if len(description) < DESCRIPTION.start:
        what = (
            f"the first paragraph has {len(description)} characters, but search results show it: "
            f"say in {DESCRIPTION.start} or more what the notebook teaches"
        )
        faults.report(what, r"(?m)^# # ")


def _check_front_matter(markdown: str, page: Page) -> None:
    """Find what MkDocs takes for text because it is no YAML, or for front matter though it is."""
    source = Path(page.file.abs_src_path or "")
    has_begin = source.read_text(encoding="utf-8").startswith("---\n")
    if markdown.startswith("---\n") or (page.meta and not has_begin):
        faults.report("the front matter is no YAML between two lines `---`: mend it", r"\A")
        return
    length = len(str(page.meta.get("description") or ""))
    if length not in DESCRIPTION:
        faults.report(
            f"the description has {length} characters, but search results show it: write one of "
            f"{DESCRIPTION.start} to {DESCRIPTION.stop - 1} into the front matter",
            r"(?m)^description:" if length else r"\A",
        )


def _check_way(markdown: str, page: Page, config: MkDocsConfig) -> None:
    """Find a chapter that the home page does not name, or that leads on to another than the next.

    The order is read from `mkdocs.yml`: a page that is checked alone has no other.
    """
    home, order = Path(config.docs_dir, "index.md"), Path(config.config_file_path)
    chapters = re.findall(r"- (guide/\S+\.md)", order.read_text(encoding="utf-8"))
    own = page.file.src_uri
    if own not in chapters:
        return
    listed = home.read_text(encoding="utf-8")
    if f"]({own})" not in listed or f"minutes: {own} " not in listed:
        where = f"{shown(home)}:{faults.line_of(home, r'(?m)^[|].*guide/') or 1}"
        what = f"the home page does not name this chapter and its time: add a row at {where}"
        faults.report(what, r"(?m)^# ")
    said = re.search(r"(?m)^\*\*Next:\*\* \[.*?\]\(([^)#]+)", markdown)
    for after in chapters[chapters.index(own) + 1 :][:1]:
        if not said or f"guide/{said[1]}" != after:
            name = posixpath.basename(after)
            what = f"in mkdocs.yml {name} comes next: end with `**Next:** [its title]({name})`"
            faults.report(what, r"(?m)^\*\*Next:" if said else r"(?m)^# ")
