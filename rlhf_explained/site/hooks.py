"""The few things that only MkDocs hooks can do.

Notebooks get the site's looks and their downloads, faults learn which page is rendered, and the
built HTML is checked.
"""

from __future__ import annotations

import posixpath
import re
from functools import partial
from pathlib import Path

import mkdocs_jupyter.convert
import mkdocstrings_handlers.python
from jinja2 import Environment
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page

from rlhf_explained import explore, parallel
from rlhf_explained.disk import shown
from rlhf_explained.figures import cached
from rlhf_explained.site import docstrings, faults, preview, publish, settings
from rlhf_explained.site.markdown.glossary import BIBLIOGRAPHY
from rlhf_explained.site.notebooks import download, execute, read
from rlhf_explained.site.notebooks import page as notebook_page
from rlhf_explained.site.publish import (
    links,
    metadata,
    policy,
    search,
    style_sheets,
    theme_fixes,
    vouched,
)
from rlhf_explained.site.publish.dates import last_changes, last_commit
from rlhf_explained.site.shown_run import current_run

RUN = "downloads/run.json"
COMMIT = "the last commit"  # among the dates, for what git does not know

_sources: dict[str, Path] = {}  # by path in the built site
_pages: list[Page] = []
_changes: dict[str, str] = {}  # dates, by path in the docs
_finished = theme_fixes.page
_published = True
_nav: list[Navigation] = []


def on_startup(command: str, dirty: bool) -> None:
    """Put our memo around what plugins do. Protect what is published, not what is served here.

    The server that reloads a page adds a script to each.
    """
    global _finished, _published
    # where mkdocstrings looks up what reads docstrings
    mkdocstrings_handlers.python.get_handler = docstrings.handler  # pyright: ignore
    _published = command != "serve"
    _finished = (
        (lambda output: policy.protected(theme_fixes.page(output)))
        if _published
        else theme_fixes.page
    )


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Ask git when each page was changed last, where a page may say so."""
    for of_last_build in (_changes, _sources, _pages):
        of_last_build.clear()
    config.extra_css.remove("assets/_mkdocstrings.css")  # only pages of the API name it
    settings.check(config)
    docs = Path(config.docs_dir)
    if config.repo_url or config.site_url:
        _changes.update(last_changes(docs) | {COMMIT: last_commit(docs)})
    if not config.repo_url:  # MkDocs would make a link of the second half of an address
        config.edit_uri = None
    return config


@event_priority(-100)  # when the references to the API are resolved too
def on_env(env: Environment, config: MkDocsConfig, files: Files) -> Environment:
    """Make what readers take along, now that all pages are rendered."""
    faults.rendering(None)
    publish.take_along(env, config, files, _nav[-1].pages)
    preview.remember(config, files, _nav[-1], env)
    return env


def on_nav(nav: Navigation, config: MkDocsConfig, files: Files) -> Navigation:
    """Keep the navigation, which no later event knows; find what in it is no page."""
    _nav[:] = [nav]
    place = Path(config.config_file_path)
    for name in [page.file.src_uri for page in nav.pages if not page.file.is_documentation_page()]:
        line = faults.line_of(place, re.escape(name)) or 1
        what = f"{name!r} is no page of the site: name a .md file, or a .py of a notebook"
        faults.logger.warning(f"{shown(place)}:{line}: {what}")
    return nav


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add all downloads, and make what other processes make: drawings, notebooks' outputs."""
    _check_sources(files)
    run = current_run()
    report = run.folder / "report.json"
    files.append(File.generated(config, RUN, abs_src_path=str(report)))
    for address, content in cached.files(run).items():
        files.append(File.generated(config, address, content=content))
    for file in filter(_is_notebook, files):  # mkdocs-jupyter forgets which are left out
        file.inclusion = getattr(file, "file", file).inclusion
    sources = [file for file in files.documentation_pages() if _is_notebook(file)]
    execution = _execution(files, config) if sources else None
    places = [Path(file.abs_src_path or "") for file in sources]
    runs = [partial(execution.outputs, path) for path in places if execution]
    parallel.together([*runs, partial(explore.files, run), *cached.jobs(run)])
    for address, content in explore.files(run).items():
        files.append(File.generated(config, address, content=content))
    for file, (notebook, _) in zip(sources, (outputs() for outputs in runs), strict=True):
        address = partial(_address, file, files, config)
        content = download.published(notebook, address)
        name = file.src_uri.removesuffix(".py") + ".ipynb"
        files.append(File.generated(config, name, content=content))
    return files


def _check_sources(files: Files) -> None:
    """Find pages that cannot be read, and two that would be published at one address."""
    addresses: dict[str, str] = {}
    unreadable = ""
    for file in files.documentation_pages():
        if file.abs_src_path and (fault := faults.unreadable(Path(file.abs_src_path))):
            faults.logger.warning(unreadable := fault)
        other = addresses.setdefault(file.dest_uri, file.src_uri)
        if other != file.src_uri:
            what = f"{other} is published at the same address: give one of them another name"
            faults.logger.warning(f"{shown(Path(file.abs_src_path or file.src_uri))}:1: {what}")
    if unreadable:
        raise PluginError(unreadable)


def _execution(files: Files, config: MkDocsConfig) -> execute.Execution:
    """Add the wheel that notebooks install, and let mkdocs-jupyter convert with what is ours."""
    built = download.wheel(Path(config.config_file_path).parent)
    files.append(File.generated(config, f"downloads/{built.name}", abs_src_path=str(built)))
    address = f"{config.site_url.rstrip('/')}/downloads/{built.name}" if config.site_url else ""
    if not address:  # nothing to install from: the wheel must lie beside the notebook
        beside = f"notebooks/{built.name}"
        files.append(File.generated(config, beside, abs_src_path=str(built)))
    execution = execute.Execution(current_run(), address or built.name)
    mkdocs_jupyter.convert.nb2html = partial(notebook_page.markdown, execution)
    return execution


def _address(notebook: File, files: Files, config: MkDocsConfig, link: str) -> str | None:
    """Where a link of a notebook leads for who has only that."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(notebook.src_uri), link))
    file = files.get_file_from_path(target)
    return f"{config.site_url}{file.url}" if file and config.site_url else None


def _is_notebook(file: File) -> bool:
    return file.src_uri.endswith(".py")


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Tell the Markdown extension, which cannot know, where faults are."""
    source = Path(page.file.abs_src_path) if page.file.abs_src_path else None
    faults.rendering(source)
    if source:
        _sources[page.file.dest_uri] = source
        _pages.append(page)
    if source and source.suffix == ".md":
        metadata.check(markdown, page, config)
    date = _changes.get(page.file.src_uri)
    # for the map of the site; MkDocs would take the day on which it is built
    page.update_date = date or _changes.get(COMMIT) or page.update_date
    if date and config.repo_url:  # where the theme looks for it
        page.meta["git_revision_date_localized"] = (
            f'Last change: <time datetime="{date}">{date}</time>'
        )
    return markdown


@event_priority(100)  # before others look at a notebook's headings
def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Render notebooks, which come as Markdown."""
    if _is_notebook(page.file):
        page.markdown = html
        Page.render(page, config, files)
        html = re.sub(
            r'(?<=href=")/(figures/[^"]+)', partial(_way, page, files), page.content or ""
        )
        page.meta["search"] = read.read(Path(page.file.abs_src_path or "")).metadata.search
        metadata.check_notebook(page.meta.setdefault("description", metadata.description(html)))
        metadata.check_commands(page.markdown, config)
    return html


def _way(page: Page, files: Files, address: re.Match[str]) -> str:
    """The way from a page to a file that is published, which MkDocs finds in Markdown alone."""
    file = files.get_file_from_path(address[1])
    return file.url_relative_to(page.file) if file else address[0]


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Mend what the theme made, and say what the page may run."""
    return _finished(output)


def on_post_template(output: str, template_name: str, config: MkDocsConfig) -> str:
    """Finish the 404 page too. Write no map of the site without an address: it would be empty."""
    if template_name == "404.html":
        return _finished(output)
    return "" if template_name == "sitemap.xml" and not config.site_url else output


def on_post_build(config: MkDocsConfig) -> None:
    """Finish the search. Check the HTML, where raw HTML and theme are as visible as Markdown."""
    site = Path(config.site_dir)
    theme_fixes.scripts(site / "assets/javascripts")
    if _published:  # while pages are written, the next one may need any rule
        style_sheets.thin(site)
    _finish_search(site)
    _check_numbers(site)
    checked = {
        (page.file.dest_uri, f"{file.url_relative_to(page.file)}#{anchor}")
        for page in _pages
        for file, links in (page.links_to_anchors or {}).items()
        for anchor in links
    }
    for fault in links.faults(site, config.site_url or ""):
        name = fault.page.relative_to(site).as_posix()
        source = _sources.get(name, fault.page)
        end = re.split(r'[/"]', fault.words.rstrip('/"'))[-1]  # MkDocs may have led it elsewhere
        lines = (faults.line_of(source, re.escape(words)) for words in (fault.words, end) if words)
        line = next(filter(None, lines), 1)
        in_markdown = faults.line_of(source, rf"\]\({re.escape(fault.words)}\)")
        if not in_markdown and (name, fault.words) not in checked:  # MkDocs reports those itself
            faults.logger.warning(f"{shown(source)}:{line}: {fault.what}")


def _finish_search(site: Path) -> None:
    """Hand over the words that pages say in `search: terms:` they should be found by."""
    terms = {page.url: (page.meta.get("search") or {}).get("terms") or {} for page in _pages}
    by_url = {page.url: _sources[page.file.dest_uri] for page in _pages}
    for url, section in search.finish(site, terms):
        source = by_url[url]
        line = faults.line_of(source, rf"(?m)^[# ]* {re.escape(section)}:") or 1
        what = f"search terms of {section!r}: the page has no such id; name one of its headings"
        faults.logger.warning(f"{shown(source)}:{line}: {what}")


def _check_numbers(site: Path) -> None:
    """Find numbers in prose that nobody vouches for, but where all are cited or dated."""
    for page in _pages:
        source = _sources[page.file.dest_uri]
        name, dated = page.file.src_uri, page.meta.get("numbers") == "dated"
        composed = name in (publish.EDITION, BIBLIOGRAPHY) or name.startswith("reference/api/")
        if name.endswith(".md") and not composed and not dated:
            for what, words in vouched.faults(site / page.file.dest_uri):
                line = faults.line_of(source, rf"(?<![\d.]){re.escape(words)}(?![\d])") or 1
                faults.logger.warning(f"{shown(source)}:{line}: {what}")
