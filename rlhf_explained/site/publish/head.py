"""What a page says of itself to programs: title, description, picture, structured data."""

from __future__ import annotations

import html
import json
import math
import posixpath
import re
from collections.abc import Mapping
from typing import Any

from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

from rlhf_explained.site.markdown import learn

_TAGS = re.compile(r"<svg\b.*?</svg>|<math\b.*?</math>|<[^>]+>", re.S)
_FIRST_PROSE = re.compile(r"<p>(?!<a download)(.*?)</p>", re.S)
_TERM = re.compile(r"href=\"[^\"]*glossary(?:/|\.html)#([\w-]+)\"")
CARDS = "assets/cards"
_KINDS = {"quiz": "quiz", "glossary": "glossary", "bibliography": "bibliography"}


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


def minutes(page: Page) -> int:
    """How long a page takes: what a chapter says of itself, by its words for others."""
    if page.file.src_uri.startswith("guide/"):
        return learn.minutes(page.markdown or "")
    words = len(_TAGS.sub(" ", page.content or "").split())
    return max(1, math.ceil(words / learn.WORDS))


def describe(page: Page, places: Mapping[str, int], config: Any) -> dict[str, str]:
    """All that the head of a page's HTML says of it.

    Args:
        page: A page of the navigation, rendered.
        places: The place of each page in reading order, from 1, by its URL.
        config: The site's configuration.

    Returns:
        Title, description, the address of the picture, its alternative text, and JSON.
    """
    image = f"{CARDS}/{name(page)}.png"
    title = heading(page)
    return {
        "title": title,
        "description": page.meta.get("description", ""),
        "image": config.site_url + image if config.site_url else get_relative_url(image, page.url),
        "alt": f"{config.site_name}: {title}",
        "structured": script(structured(page, places, config)),
    }


def structured(page: Page, places: Mapping[str, int], config: Any) -> dict[str, Any]:
    """Structured data in the words of schema.org.

    Args:
        page: A page of the navigation, rendered.
        places: The place of each page in reading order, from 1, by its URL.
        config: The site's configuration.

    Returns:
        A `LearningResource`; a `TechArticle` for the API and for what concerns the project.
    """
    source = page.file.src_uri
    lesson = source in ("index.md", "whole.md") or source.startswith(("guide/", "notebooks/"))
    lesson = lesson or source in ("reference/glossary.md", "reference/bibliography.md")
    content = page.content or ""
    about: dict[str, Any] = {
        "@context": "https://schema.org",
        "@type": "LearningResource" if lesson else "TechArticle",
        "name": heading(page),
        "description": page.meta.get("description", ""),
        "inLanguage": "en",
        "isAccessibleForFree": True,
        "license": "https://spdx.org/licenses/MIT.html",
        "timeRequired": f"PT{minutes(page)}M",
        "position": places.get(page.url, 0),  # 0: a fault of mkdocs.yml
        "isPartOf": {"@type": "Course" if lesson else "WebSite", "name": config.site_name}
        | ({"url": config.site_url} if config.site_url else {}),
    }
    if page.canonical_url:
        about |= {"@id": page.canonical_url, "url": page.canonical_url}
    if lesson:
        about |= {
            "learningResourceType": _kind(source),
            "educationalLevel": "intermediate",
            "teaches": _terms(content) or [heading(page)],
        }
    return about


def _kind(source: str) -> str:
    stem = source.rsplit("/", 1)[-1].split(".")[0]
    return "notebook" if source.endswith(".py") else _KINDS.get(stem, "tutorial")


def _terms(content: str, most: int = 12) -> list[str]:
    """The terms that a page leads to the glossary for, in its order."""
    names = dict.fromkeys(_TERM.findall(content))
    return [name.replace("-", " ") for name in names][:most]


def script(about: dict[str, Any]) -> str:
    """JSON that may stand inside `<script>`: nothing in it ends the element."""
    return json.dumps(about, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
