"""What readers and programs take along, made when all pages are rendered and none is written."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from rlhf_explained.site import faults
from rlhf_explained.site.publish import cards, edition, llms, metadata, pdf

EDITION = "whole.md"


def take_along(env: Environment, config: MkDocsConfig, files: Files, pages: list[Page]) -> None:
    """Fill the one-page edition, write the site as plain text, draw a card for each page.

    Args:
        env: Templates find here what they may offer.
        config: The site's configuration.
        files: Gets what is published beside the pages.
        pages: All pages of the navigation, in its order.
    """
    env.trim_blocks = env.lstrip_blocks = True  # a template's own lines are a part of every page
    whole = next((page for page in pages if page.file.src_uri == EDITION), None)
    if whole:
        env.globals["along"] = _edition(whole, pages, config, files)
    about = (config.site_name, config.site_description or "", config.site_url or "")
    once = [(page.url, page.content or "") for page in pages if page is not whole]
    files.append(File.generated(config, "llms.txt", content=llms.listing(pages, *about)))
    text = llms.full(once, *about)
    files.append(File.generated(config, "llms-full.txt", content=text))
    _cards(pages, config, files)
    env.globals["preview"] = partial(metadata.preview, config=config)


def _cards(pages: list[Page], config: MkDocsConfig, files: Files) -> None:
    """Publish each page's picture; what keeps them from being drawn is a fault."""
    asked = {
        metadata.name(page): {
            "title": metadata.heading(page),
            "description": page.meta.get("description", ""),
            "site": config.site_name,
        }
        for page in pages
    }
    try:
        for name, picture in cards.pictures(asked).items():
            path = f"{metadata.CARDS}/{name}.png"
            files.append(File.generated(config, path, abs_src_path=str(picture)))
    except ValueError as error:
        faults.logger.warning(str(error))


def _edition(whole: Page, pages: list[Page], config: MkDocsConfig, files: Files) -> dict[str, Any]:
    """Fill the page, and offer the PDF that was printed from it, if one was."""
    wanted = tuple(whole.meta["edition"])
    parts = {
        page.url: edition.Chapter(
            metadata.name(page), page.url, metadata.heading(page), page.content or ""
        )
        for page in pages
        if page.file.src_uri.startswith(wanted)
    }
    content = edition.composed(parts, whole.url)
    docs = Path(config.docs_dir)
    looks = [docs / str(sheet) for sheet in config.extra_css if (docs / str(sheet)).is_file()]
    digest = edition.digest(f"{whole.content}{content}", looks)
    offer = ""
    if printed := pdf.printed(digest):
        file = File.generated(config, pdf.NAME, abs_src_path=str(printed))
        files.append(file)
        offer = (
            f'<p class="offer"><a class="md-button md-button--primary" download '
            f'href="{file.url_relative_to(whole.file)}">Download it as a PDF</a></p>\n'
        )
    whole.content = (
        f'{whole.content}\n{offer}<div class="edition" data-edition="{digest}">\n{content}</div>'
    )
    for title in whole.toc:
        title.children.extend(edition.outline(parts))
    return {"whole": whole.url, "pdf": pdf.NAME if printed else ""}
