"""A notebook's page: its cells, rebuilt of the site's own parts.

nbconvert's HTML is made for JupyterLab's style sheet. Rebuilt, a notebook's code, outputs,
formulas, headings and links look and are checked like those of every other page.
"""

from __future__ import annotations

import html
import itertools
import posixpath
import re
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup, Tag
from markdown.extensions.toc import nest_toc_tokens, unique
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page
from mkdocs.structure.toc import get_toc
from nbformat import NotebookNode

from rlhf_explained.disk import shown
from rlhf_explained.site.faults import logger, report
from rlhf_explained.site.markdown import diagrams
from rlhf_explained.site.markdown.figure import notebook_caption, themed
from rlhf_explained.site.markdown.formulas import FormulaError, mathml
from rlhf_explained.site.notebooks.execute import Execution, executed, first_lines, is_solution

_FORMULA = re.compile(r"\$\$(.+?)\$\$|(?<![\\$])\$(?!\s)([^$]+)(?<!\s)\$(?!\d)", re.S)


def rebuilt(content: str, offer: str, page: Page, files: Files) -> str:
    """Rebuild mkdocs-jupyter's HTML of the site's own parts.

    Args:
        content: A notebook as nbconvert shows it, with style sheet and scripts.
        offer: HTML to put under the title.
        page: Gets the table of contents, and the links and ids that MkDocs will check.
        files: Where links may lead.

    Returns:
        The page, which begins with its title even where the notebook begins with another cell.
    """
    path = Path(page.file.abs_src_path or "")
    notebook, lines = executed[path], first_lines(path)
    jupyter, soup = _parsed(content), _parsed("")
    boxes = jupyter.select('[id^="cell-id="]')
    for cell, line, box in zip(notebook.cells, lines, boxes, strict=True):
        into = _folded(soup) if is_solution(cell) else soup
        if prose := box.select_one(".jp-MarkdownOutput"):
            for word in re.findall(r"\{\{\s*value:|^```(?:figure|samples)", cell.source, re.M):
                at = line + cell.source[: cell.source.index(word)].count("\n")
                why = f"{word!r} means nothing in a download: let a cell print or draw it"
                logger.warning(f"{shown(path)}:{at}: {why}")
            for block in prose.select(".highlight"):  # of a language, or a diagram
                _restyle(block, "code" if block.select_one("span[class]") else "text")
            into.extend(prose.contents.copy())
        if code := box.select_one(".highlight-ipynb"):
            into.append(_restyle(code, "python"))
        alt = cell.metadata.get("alt", "")
        outputs = box.select(".jp-OutputArea-output")
        for is_text, group in itertools.groupby(outputs, _is_text):
            if is_text:
                text = "\n".join(one.get_text().strip("\n") for one in group)
                shown_text = _parsed(f"<div><pre>{html.escape(text)}\n</pre></div>")
                if text.strip():
                    into.append(_restyle(shown_text.select("div")[0], "text", "Output"))
            for output in () if is_text else group:
                if not alt and output.select_one("img"):
                    why = 'an image without alt text: write `# %% alt="…"` above its cell'
                    logger.warning(f"{shown(path)}:{line - 1}: {why}")
                into.extend(_restyled_output(output, alt))
    diagrams.in_notebook(soup)
    _render_formulas(soup)
    _resolve_links(soup, page, files)
    _number_headings(soup, page)
    if title := soup.find("h1"):
        soup.insert(0, title.extract())
        title.insert_after(_parsed(f"<p>{offer}</p>"))
    page.present_anchor_ids = {str(element["id"]) for element in soup.select("[id]")}
    drawings = _drawings(notebook)
    return re.sub(r'<svg id="([^"]+)"></svg>', lambda found: themed(drawings[found[1]]), str(soup))


def _drawings(notebook: NotebookNode) -> dict[str, str]:
    """The drawings among a notebook's outputs by their figures' ids, as they were made.

    Parsed and written again, as nbconvert does, they have a fifth more bytes.
    """
    outputs = itertools.chain(*(cell.get("outputs", []) for cell in notebook.cells))
    made = "".join(output.get("data", {}).get("text/html", "") for output in outputs)
    return dict(re.findall(r'<figure class="drawn" id="([^"]+)">(<svg.*?</svg>)', made, re.S))


def _folded(soup: BeautifulSoup) -> Tag:
    """What the page's last cell was folded into, or a new fold at its end."""
    last = next((part for part in reversed(soup.contents) if isinstance(part, Tag)), None)
    if last is None or last.get("class") != ["solution"]:
        fold = '<details class="solution"><summary>Solution</summary></details>'
        (last,) = _parsed(fold).select("details")
        soup.append(last)
    return last


def _parsed(text: str) -> BeautifulSoup:
    return BeautifulSoup(text, "html.parser")


def _is_text(output: Tag) -> bool:
    return "jp-RenderedText" in (output.get("class") or [])


def _restyle(block: Tag, language: str, title: str = "") -> Tag:
    """Let code or text look as the site's Markdown shows it."""
    block["class"] = f"language-{language} highlight"
    (pre,), code = block.select("pre"), _parsed("<code></code>").select("code")[0]
    code.extend(pre.contents.copy())
    pre.append(code)
    if title:
        pre.insert_before(_parsed(f'<span class="filename">{title}</span>'))
    return block


def _restyled_output(output: Tag, alt: str) -> list[Any]:
    """What to show of an output that is no text: Markdown, HTML or an image."""
    if "jp-RenderedMarkdown" in (output.get("class") or []):
        return output.contents.copy()
    for image in output.select("img"):
        image["alt"] = alt
    if figure := output.select_one("figure.drawn"):
        name = str(figure["id"]).removeprefix("figure-")
        figure["data-search-exclude"] = ""
        figure.select("svg")[0].replace_with(_parsed(f'<svg id="{figure["id"]}"></svg>'))
        figure.append(_parsed(notebook_caption(name, Execution.run)))
        return [figure.extract()]
    drawn = output.select_one("svg, img")
    themed = not drawn or "var(--" in str(drawn)
    output.attrs = {"class": "cell-output" if themed else "cell-output paper"}  # drawn for white
    if drawn:
        output["data-search-exclude"] = ""
    return [output]


def _render_formulas(soup: BeautifulSoup) -> None:
    for text in soup.find_all(string=_FORMULA):
        if text.find_parent(["code", "pre", "svg"]):
            continue

        def rendered(found: re.Match[str]) -> str:
            tex = (found[1] or found[2]).strip()
            try:
                formula = mathml(tex, display=found[1] is not None)
            except FormulaError as error:
                what = f"the formula `{tex}` does not parse: {error}"
                place = rf"\$[\s#]*{re.escape(tex.splitlines()[0])}"
                return f'<span class="fault">{report(what, place)}</span>'
            return f'<span class="math" data-tex="{html.escape(tex)}">{formula}</span>'

        pieces, at = [], 0
        for found in _FORMULA.finditer(text):
            pieces += [html.escape(text[at : found.start()]), rendered(found)]
            at = found.end()
        paragraph = text.parent
        text.replace_with(_parsed("".join([*pieces, html.escape(text[at:])])))
        math = paragraph.find("math", display="block") if paragraph else None
        if paragraph and math and paragraph.get_text() == math.get_text():
            alone = _parsed(f'<div class="math" tabindex="0">{math}</div>')
            alone.select("div")[0]["data-tex"] = math.parent["data-tex"] if math.parent else ""
            paragraph.replace_with(alone)


def _resolve_links(soup: BeautifulSoup, page: Page, files: Files) -> None:
    """Do what MkDocs does with the links of a Markdown page."""
    page.links_to_anchors = {}
    for element in soup.select("a[href], img[src]"):
        name = "href" if element.name == "a" else "src"
        link = str(element[name])
        target, _, anchor = link.partition("#")
        if ":" in target or "anchor-link" in (element.get("class") or []):
            continue
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page.file.src_uri), target))
        file = files.get_file_from_path(path.lstrip("/")) if target else page.file
        if file is None:
            report(f"the link {link!r} leads nowhere: no {path!r} in docs/", re.escape(link))
            continue
        if target:
            element[name] = file.url_relative_to(page.file) + (f"#{anchor}" if anchor else "")
        if anchor:
            page.links_to_anchors.setdefault(file, {})[anchor] = link


def _number_headings(soup: BeautifulSoup, page: Page) -> None:
    """Give headings an id of their own, a link to it, and a line in the table of contents."""
    ids: set[str] = set()
    tokens: list[dict[str, Any]] = []
    for heading in soup.find_all(re.compile(r"h[1-6]"), id=True):
        for link in heading.select(".anchor-link"):
            link.decompose()
        heading["id"] = name = unique(str(heading["id"]), ids)
        text = heading.get_text()
        tokens.append({"level": int(heading.name[1]), "id": name, "name": text, "html": text})
        link = f'<a class="headerlink" href="#{name}" aria-label="Permalink">&para;</a>'
        heading.append(_parsed(link))
    page.toc = get_toc(nest_toc_tokens(tokens))  # pyright: ignore[reportArgumentType]
