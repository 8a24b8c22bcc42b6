"""Notebooks: py:percent files in `docs/notebooks/`, executed and shown by mkdocs-jupyter.

mkdocs-jupyter lets nbconvert execute a notebook and make HTML of it. Two things are added. Around
both there is our memo: a notebook runs once for its code, the package and the run, in a kernel that
needs no network, and a cell that raises is reported with file and line. And its HTML, made for
JupyterLab's style sheet, is rebuilt of the site's own parts, so that its code, outputs, formulas,
headings and links look and are checked like those of every other page.

The first cell installs the package where a reader runs the notebook. Its tag `skip-execution` keeps
it from running in the build, which has the package and no network.

The tag `solution` marks what answers an exercise. It runs like all code; the page folds it, and so
does JupyterLab where the notebook is downloaded.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import html
import itertools
import json
import os
import posixpath
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import jupytext
import nbformat
from bs4 import BeautifulSoup, Tag
from jupyter_client.manager import AsyncKernelManager
from markdown.extensions.toc import nest_toc_tokens, unique
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page
from mkdocs.structure.toc import get_toc
from mkdocs_jupyter.nbconvert2 import nb2html as convert
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert.preprocessors.execute import ExecutePreprocessor
from nbformat import NotebookNode

from rlhf_explained import memo
from rlhf_explained.pipeline import Run
from rlhf_explained.site import diagrams
from rlhf_explained.site.faults import logger, report, shown
from rlhf_explained.site.figure import notebook_caption, themed
from rlhf_explained.site.mathml import FormulaError, mathml
from rlhf_explained.studies import STUDIES, results_file

WHEEL = re.compile(r"\brlhf_explained\S*\.whl")
_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<to>[^)\s#]*)(?P<anchor>#[^)\s]*)?\)")
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_FORMULA = re.compile(r"\$\$(.+?)\$\$|(?<![\\$])\$(?!\s)([^$]+)(?<!\s)\$(?!\d)", re.S)


executed: dict[Path, NotebookNode] = {}  # what was converted, with outputs


class CellError(Exception):
    """A cell that raised.

    Attributes:
        cell: Its number among all cells, from 0.
        line: Line in the cell, from 1.
    """

    def __init__(self, cell: int, line: int, what: str) -> None:
        super().__init__(what)
        self.cell = cell
        self.line = line


class Execution(ExecutePreprocessor):
    """What mkdocs-jupyter's nbconvert executes notebooks with: its own class, with our memo.

    nbconvert makes the object and tells it nothing but the cells, so the rest stands in the class.

    Attributes:
        run: What the notebook's code will read.
        wheel: Address or file name of the package's wheel, for the install cell.
        last: The notebook that was executed last.
        failed: What raised, by key: it is not run again before its code is another.
    """

    run: ClassVar[Run]
    wheel: ClassVar[str]
    last: ClassVar[NotebookNode]
    failed: ClassVar[dict[str, CellError]] = {}

    def preprocess(
        self, nb: NotebookNode, resources: Any = None, km: Any = None
    ) -> tuple[NotebookNode, Any]:
        """Give a notebook the outputs of its code, from the memo or by running it.

        Args:
            nb: Filled in place.
            resources: Of the conversion; left alone.
            km: Not needed: each notebook gets a kernel of its own.

        Returns:
            Both.

        Raises:
            CellError: If a cell raises, hangs or kills the kernel.
        """
        tidy(nb)
        code = [cell for cell in nb.cells if cell.cell_type == "code"]

        def execute_into(folder: Path) -> None:
            try:
                self.execute_cells(copy.deepcopy(nb), folder / "outputs.json")
            except CellError as error:
                self.failed[key] = error
                raise

        parts = [cell.source + json.dumps(cell.metadata, sort_keys=True) for cell in code]
        key = self.key(*parts)
        if key in self.failed:
            raise self.failed[key]
        folder = memo.entry("notebooks", key, execute_into)
        outputs = json.loads((folder / "outputs.json").read_text(encoding="utf-8"))
        for cell, (count, produced) in zip(code, outputs, strict=True):
            cell.execution_count = count
            cell.outputs = [NotebookNode(output) for output in produced]
        point_at(nb, self.wheel)
        Execution.last = copy.deepcopy(nb)
        return nb, resources

    @classmethod
    def key(cls, *parts: str) -> str:
        """What outputs depend on beside the code: the package, run, studies, and what runs them."""
        package = Path(__file__).parent.parent
        sources = [file for file in package.rglob("*.py") if "site" not in file.parts[-2:-1]]
        versions = [memo.version(name) for name in ("ipykernel", "matplotlib")]
        digest = memo.source_digest([*sources, Path(__file__)])
        files = filter(Path.is_file, map(results_file, STUDIES))
        studied = [file.read_text(encoding="utf-8") for file in files]
        whole = "\0".join([digest, cls.run.key, *studied, *versions, *parts])
        return hashlib.sha256(whole.encode()).hexdigest()[:20]

    def execute_cells(self, nb: NotebookNode, into: Path) -> None:
        """Run a notebook's cells in a new kernel, the way nbconvert does.

        Args:
            nb: Its code cells are filled in place.
            into: JSON file for the outputs.
        """
        self.timeout, self.record_timing = 900, False
        self.coalesce_streams = True  # in how many pieces a line comes is chance
        with tempfile.TemporaryDirectory() as folder:  # what a notebook writes stays out of docs/
            # Sockets are files: a kernel on TCP would need a loopback interface.
            manager = AsyncKernelManager(kernel_name="python3", transport="ipc")
            manager.connection_file = str(Path(folder, "kernel.json"))
            super().preprocess(nb, {"metadata": {"path": folder}}, manager)
        ran = [cell for cell in nb.cells if cell.cell_type == "code"]
        outputs = [[cell.execution_count, cell.outputs] for cell in ran]
        into.write_text(json.dumps(outputs), encoding="utf-8")

    def setup_kernel(self, **settings: Any) -> Any:
        """Start the kernel in the environment that Jupyter would give it."""
        environment = os.environ | {
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "OMP_NUM_THREADS": "1",  # sums come out the same however many processors there are
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # no warning about a debugger that nobody uses
        }
        return super().setup_kernel(env=environment, cleanup_kc=True, **settings)

    def preprocess_cell(self, cell: NotebookNode, resources: Any, index: int) -> tuple[Any, Any]:
        """Run one cell.

        Raises:
            CellError: If it raises, hangs or kills the kernel.
        """
        try:
            return super().preprocess_cell(cell, resources, index)
        except CellExecutionError as error:
            inside = re.findall(r"Cell In\[\d+\], line (\d+)", _ANSI.sub("", str(error)))
            what = f"the cell raises {error.ename}: {error.evalue}"
            raise CellError(index, int(inside[-1]) if inside else 1, what) from None
        except (CellTimeoutError, DeadKernelError) as error:
            raise CellError(index, 1, str(error)) from None


def execute(path: Path) -> None:
    """Run a notebook ahead of its conversion, which reports what raises.

    Args:
        path: A py:percent file.
    """
    with contextlib.suppress(CellError):
        Execution().preprocess(jupytext.read(path))


def tidy(notebook: NotebookNode) -> None:
    """Give cells ids that repeat, and the notebook no more metadata than a reader needs."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata = NotebookNode(kernelspec=kernel, language_info={"name": "python"})
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"


def nb2html(nb_path: str, **settings: Any) -> str:
    """Convert a notebook as mkdocs-jupyter's function of this name does, or read it from the memo.

    Args:
        nb_path: A py:percent file.
        **settings: Of mkdocs-jupyter.

    Returns:
        HTML, without style sheets and scripts. If a cell raises, that is reported with file and
        line, and no cell has outputs.
    """
    path = Path(nb_path)

    def convert_into(folder: Path) -> None:
        content = convert(nb_path, **settings)
        content = re.sub(r"<(style|script)\b.*?</\1>", "", content, flags=re.S)
        (folder / "page.html").write_text(content, encoding="utf-8")
        (folder / "notebook.json").write_text(json.dumps(Execution.last), encoding="utf-8")

    parts = [path.read_text(encoding="utf-8"), repr(settings), Execution.wheel]
    parts += [memo.version("mkdocs-jupyter"), memo.version("nbconvert")]
    try:
        folder = memo.entry("notebooks", Execution.key(*parts), convert_into)
    except CellError as error:
        line = first_lines(path)[error.cell] + error.line - 1
        logger.warning(f"{shown(path)}:{line}: {error}")
        executed[path] = jupytext.read(path, fmt="py:percent")
        tidy(executed[path])
        settings["execute"] = False
        return convert(nb_path, **settings)
    notebook = json.loads((folder / "notebook.json").read_text(encoding="utf-8"))
    executed[path] = nbformat.from_dict(notebook)  # pyright: ignore[reportArgumentType]
    return (folder / "page.html").read_text(encoding="utf-8")


def first_lines(path: Path) -> list[int]:
    """The line of each cell's first line in a py:percent file, from 1."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [number + 2 for number, line in enumerate(lines) if line.startswith("# %%")]


def search_settings(path: Path) -> dict[str, Any]:
    """What a py:percent file says under `search:` in its header, as pages do in theirs."""
    return jupytext.read(path, fmt="py:percent").metadata.get("search") or {}


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
        into = _folded(soup) if _is_solution(cell) else soup
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


def _is_solution(cell: NotebookNode | dict[str, Any]) -> bool:
    return "solution" in cell["metadata"].get("tags", [])


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
        file = files.get_file_from_path(path) if target else page.file
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
        link = f'<a class="headerlink" href="#{name}" aria-label="Link to this section">&para;</a>'
        heading.append(_parsed(link))
    page.toc = get_toc(nest_toc_tokens(tokens))  # pyright: ignore[reportArgumentType]


def point_at(notebook: NotebookNode, wheel: str) -> None:
    """Let the install cell install this build's wheel.

    Args:
        notebook: Its cells tagged `install` are changed in place.
        wheel: Address or file name.
    """
    for cell in notebook.cells:
        if "install" in cell.metadata.get("tags", []):
            cell.source = WHEEL.sub(lambda _: wheel, cell.source)


def published(notebook: NotebookNode, address: Callable[[str], str | None]) -> str:
    """The notebook as it is downloaded.

    Args:
        notebook: Cells with outputs.
        address: From the target of a relative link to where it lies for a reader who has only the
            notebook, or None if it lies nowhere for them.

    Returns:
        JSON of an `.ipynb`.
    """

    def absolute(link: re.Match[str]) -> str:
        if not link["to"] or ":" in link["to"]:
            return link[0]
        target = address(link["to"])
        return f"[{link['text']}]({target}{link['anchor'] or ''})" if target else link["text"]

    copy: dict[str, Any] = json.loads(json.dumps(notebook))
    for cell in copy["cells"]:
        is_prose = cell["cell_type"] == "markdown"
        if is_prose:
            cell["source"] = _LINK.sub(absolute, cell["source"])
        if is_prose and _is_solution(cell):  # JupyterLab hides the source of code alone
            folded = f"<details><summary>Solution</summary>\n\n{cell['source']}\n\n</details>"
            cell["source"] = folded
        elif _is_solution(cell):
            cell["metadata"]["jupyter"] = {"source_hidden": True, "outputs_hidden": True}
    return json.dumps(copy, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
