"""The few things that only MkDocs hooks can do.

Notebooks become pages and downloads, faults learn which page is rendered, and the built HTML is
checked.
"""

from __future__ import annotations

import importlib
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from rlhf_explained import figures, measured
from rlhf_explained.site import check, faults, notebooks
from rlhf_explained.site.current import current_run
from rlhf_explained.site.markdown import RUN_ADDRESS
from rlhf_explained.site.notebooks import NotebookFile
from rlhf_explained.site.wheel import wheel

RUN = "downloads/run.json"

_markdown: dict[str, str] = {}  # of notebooks, by path in docs/
_sources: dict[str, Path] = {}  # by path in the built site
_pages: list[Page] = []


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Read anew what a contributor may have edited since the last build of `mkdocs serve`."""
    for module in (measured, figures):
        importlib.reload(module)
    current_run.cache_clear()
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Execute notebooks; add their pages and all downloads: `.ipynb`, their wheel, the run."""
    report = current_run().folder / "report.json"
    files.append(File.generated(config, RUN, abs_src_path=str(report)))
    sources = [file for file in files if re.fullmatch(r"notebooks/[^/]+\.py", file.src_uri)]
    if not sources:
        return files
    built = wheel(Path(config.config_file_path).parent)
    files.append(File.generated(config, f"downloads/{built.name}", abs_src_path=str(built)))
    install = built.name
    if config.site_url:
        install = f"{config.site_url.rstrip('/')}/downloads/{built.name}"
    else:  # no address to install from: the wheel must lie beside the notebook
        beside = f"notebooks/{built.name}"
        files.append(File.generated(config, beside, abs_src_path=str(built)))
    pages = [_add_page(file, files) for file in sources]
    for page in pages:
        notebook = notebooks.executed(Path(page.abs_src_path or ""), current_run())
        notebooks.point_at(notebook, install)

        def address(link: str, page: File = page) -> str | None:
            target = posixpath.normpath(posixpath.join(posixpath.dirname(page.src_uri), link))
            file = files.get_file_from_path(target)
            return f"{config.site_url}{file.url}" if file and config.site_url else None

        download = page.src_uri.removesuffix(".py") + ".ipynb"
        text = notebooks.published(notebook, address)
        files.append(File.generated(config, download, content=text))
        offer = f"[Download this notebook]({posixpath.basename(download)}){{ download }}"
        offer += f" and [the package it uses](../downloads/{built.name}){{ download }}."
        _markdown[page.src_uri] = notebooks.to_markdown(
            notebook, Path(page.abs_src_path or ""), offer
        )
    return files


def _add_page(file: File, files: Files) -> NotebookFile:
    page = NotebookFile(
        file.src_uri,
        file.src_dir,
        file.dest_dir,
        file.use_directory_urls,
        inclusion=file.inclusion,
    )
    files.remove(file)
    files.append(page)
    return page


def on_page_read_source(page: Page, config: MkDocsConfig) -> str | None:
    """A notebook's page is made of its cells."""
    return _markdown.get(page.file.src_uri)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Tell the Markdown extension, which cannot know, where faults are."""
    source = Path(page.file.abs_src_path) if page.file.abs_src_path else None
    faults.rendering(source)
    if source:
        _sources[page.file.dest_uri] = source
        _pages.append(page)
    return markdown


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to the run's data, which Markdown cannot place, to the published file."""
    file = files.get_file_from_path(RUN)
    assert file is not None
    return html.replace(RUN_ADDRESS, file.url_relative_to(page.file))


def on_post_build(config: MkDocsConfig) -> None:
    """Check the HTML, where raw HTML and theme are as visible as Markdown."""
    site = Path(config.site_dir)
    checked = {
        (page.file.dest_uri, f"{file.url_relative_to(page.file)}#{anchor}")
        for page in _pages
        for file, links in (page.links_to_anchors or {}).items()
        for anchor in links
    }
    for fault in check.faults(site, config.site_url or ""):
        name = fault.page.relative_to(site).as_posix()
        source = _sources.get(name, fault.page)
        line = faults.line_of(source, re.escape(fault.words)) or 1
        in_markdown = faults.line_of(source, rf"\]\({re.escape(fault.words)}\)")
        if not in_markdown and (name, fault.words) not in checked:  # MkDocs reports those itself
            faults.logger.warning(f"{faults.shown(source)}:{line}: {fault.what}")
