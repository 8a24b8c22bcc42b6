"""What a page says of itself elsewhere: title, description, picture; and whether it leads on."""

from __future__ import annotations

import html
import posixpath
import re
from itertools import pairwise
from pathlib import Path

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

from rlhf_explained.disk import shown
from rlhf_explained.site import faults
from rlhf_explained.site.markdown import commands
from rlhf_explained.site.markdown.glossary import BIBLIOGRAPHY, GLOSSARY, entries, navigation

CARDS = "assets/cards"
DESCRIPTION = range(50, 181)  # characters of what a page says of itself elsewhere
FRONT_MATTER: dict[str, type] = {
    "description": str, "search": dict, "hide": list, "edition": list, "numbers": str,
}  # fmt: skip
CHOICES = {
    "hide": ("navigation", "toc", "path", "footer", "feedback", "tags"),
    "search": ("terms", "exclude", "boost"),
    "numbers": ("dated",),
}
_NAMES: dict[type, str] = {str: "a text", dict: "names with values", list: "a list"}

_TAGS = re.compile(r"<svg\b.*?</svg>|<math\b.*?</math>|<[^>]+>", re.S)
_FIRST_PROSE = re.compile(r"<p>(?!<a download)(.*?)</p>", re.S)


def heading(page: Page) -> str:
    """The page's own title, where the navigation may have a shorter one."""
    first = next(iter(page.toc), None)
    return html.unescape(first.title if first and first.level == 1 else str(page.title))


def name(page: Page) -> str:
    """A page's path as one word, for what is made of it."""
    return posixpath.splitext(page.file.src_uri)[0].replace("/", "-")


def description(content: str) -> str:
    """Describe a page that has no description by the first sentences of its prose.

    Args:
        content: Its HTML.

    Returns:
        At most 160 characters, cut after a sentence if that leaves enough, else after a word.
    """
    found = _FIRST_PROSE.search(content)
    text = " ".join(html.unescape(_TAGS.sub("", found[1] if found else "")).split())
    if len(text) <= 160:
        return text
    sentence = text.rfind(". ", 60, 160)
    return text[: sentence + 1] if sentence > 0 else f"{text[:158].rsplit(' ', 1)[0]} …"


def preview(page: Page, config: MkDocsConfig) -> dict[str, str]:
    """What a link to a page shows elsewhere: its title, and the address of its picture."""
    image = f"{CARDS}/{name(page)}.png"
    address = config.site_url + image if config.site_url else get_relative_url(image, page.url)
    return {"title": heading(page), "image": address}


def check(markdown: str, page: Page, config: MkDocsConfig) -> None:
    """Check what a page says of itself and of its neighbours.

    Args:
        markdown: The page without its front matter.
        page: Not rendered yet; what its front matter says wrongly is taken out.
        config: The site's configuration.
    """
    _check_front_matter(markdown, page)
    _check_way(markdown, page, config)
    check_commands(markdown, config)
    listed = entries(page.file.src_uri) if page.file.src_uri in (GLOSSARY, BIBLIOGRAPHY) else {}
    for before, anchor in pairwise(listed):
        if re.split(r"(?<=\d{4})", anchor)[0] < re.split(r"(?<=\d{4})", before)[0]:
            name, other = listed[anchor].name, listed[before].name
            what = f"{name!r} stands below {other!r}: put it where the alphabet has it"
            faults.report(what, rf"(?m)^## {re.escape(name)}")


def check_commands(markdown: str, config: MkDocsConfig) -> None:
    """Find commands on a page that cannot be."""
    for words, what in commands.faults(markdown, Path(config.config_file_path).parent):
        faults.report(what, re.escape(words))


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
    source = Path(page.file.abs_src_path or "").read_text(encoding="utf-8")
    if markdown.startswith("---\n") or (page.meta and not source.startswith("---\n")):
        begun = re.match(r"---\n(.*?)\n---\n", source, re.S)
        text, place, why = begun[1] if begun else "", r"\A", ""
        try:
            yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            faulty = text.split("\n")[error.problem_mark.line] if error.problem_mark else ""
            place, why = rf"(?m)^{re.escape(faulty)}$", f" ({error.problem})"
        what = f"the front matter is no YAML between two lines `---`{why}: mend it"
        faults.report(what, place)
        return
    for key, value in list(page.meta.items()):
        known = FRONT_MATTER.get(key, object)
        why = f"the front matter says {key!r}; {faults.nearest(key, FRONT_MATTER)}"
        if known is not object:
            why = f"{key!r} has to be {_NAMES[known]}: mend it"
        choices = CHOICES.get(key, ())
        chosen = [value] if isinstance(value, str) else value
        for one in chosen if choices and isinstance(value, known) else ():
            if one not in choices:
                what = f"{key!r} knows no {one!r}; {faults.nearest(str(one), choices)}"
                faults.report(what, rf"(?m)^(?:{key}:|\s).*\b{re.escape(str(one))}\b")
        if known is dict and isinstance(value, dict):
            value, why = value.get("terms", value), "'terms' has to be names with values: mend it"
        if known is object or not isinstance(value, known):
            faults.report(why, rf"(?m)^{re.escape(key)}:")
            del page.meta[key]
    length = len(page.meta.setdefault("description", ""))
    if length not in DESCRIPTION:
        faults.report(
            f"the description has {length} characters, but search results show it: write one of "
            f"{DESCRIPTION.start} to {DESCRIPTION.stop - 1} into the front matter",
            r"(?m)^description:" if length else r"\A",
        )


def _check_way(markdown: str, page: Page, config: MkDocsConfig) -> None:
    """Find a chapter that the home page does not name, or that leads on to another than the next.

    The order stands in `mkdocs.yml`: a page that is checked alone knows no other pages.
    """
    home, own = Path(config.docs_dir, "index.md"), page.file.src_uri
    order = navigation(Path(config.config_file_path))
    chapters = [path for path in order if path.startswith("guide/")]
    if own not in chapters:
        return
    if f"]({own})" not in home.read_text(encoding="utf-8"):
        where = f"{shown(home)}:{faults.line_of(home, r'(?m)^- .*guide/') or 1}"
        what = f"the home page does not name this chapter: add it at {where}"
        faults.report(what, r"(?m)^# ")
    said = re.search(r"(?m)^\*\*Next:\*\* \[.*?\]\(([^)#]+)", markdown)
    for after in chapters[chapters.index(own) + 1 :][:1]:
        if not said or f"guide/{said[1]}" != after:
            name = posixpath.basename(after)
            what = f"in mkdocs.yml {name} comes next: end with `**Next:** [its title]({name})`"
            faults.report(what, r"(?m)^\*\*Next:" if said else r"(?m)^# ")
