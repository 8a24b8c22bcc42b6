"""Notebooks: executed for their code, shown like other pages, published with their outputs."""

import re
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import pytest
from mkdocs.config import load_config
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs_jupyter.plugin import NotebookFile

from rlhf_explained import memo, studies
from rlhf_explained.pipeline import Run
from rlhf_explained.site import faults
from rlhf_explained.site.notebooks import execute, read
from rlhf_explained.site.notebooks.download import published, wheel
from rlhf_explained.site.notebooks.execute import Execution
from rlhf_explained.site.notebooks.page import first_lines, markdown
from rlhf_explained.site.notebooks.stored import is_stored
from tests.made_up_run import made_up_run
from tests.site.conftest import DESK, PAGES, PHONE, Visit

ROOT = Path(__file__).resolve().parents[2]
CLIPPED = """blocks => {
  for (const fold of document.querySelectorAll("details")) fold.open = true
  return [...document.querySelectorAll(blocks)]
    .filter(code => code.scrollWidth > code.clientWidth + 1).map(code => code.textContent)
}"""
HEADER = """\
# ---
# jupyter:
#   text_representation:
#     format_name: percent
#   search:
#     terms: {page: tiny}
# ---

"""
TITLED = HEADER + "# %% [markdown]\n# # Tiny\n\n"
NOTEBOOK = """\
# %% tags=["install", "skip-execution"]
# %pip install --quiet rlhf_explained.whl

# %% [markdown]
# # A tiny notebook
#
# With $\\beta < 1$, see [PPO](../guide/ppo.md#loop) and [far](https://example.org).
#
# $$\\frac{1}{2}$$
#
# \\begin{align}a &= b\\end{align}
#
# ## One
#
# ## Two
#
# | a | b |
# |---|---|
# | `x|y` | [it](../reference/glossary.md#reference-model) |
#
# ```text
# ┌──┐
# └──┘
# ```
#
# <details><summary>In words</summary>
#
# An empty box.
#
# </details>

# %% alt="A line that rises"
import matplotlib.pyplot as plt

print("first <b>")
print("second")
plt.figure(figsize=(1, 1))
plt.plot([0, 1])
plt.show()
6 * 7

#%%
%config InlineBackend.close_figures = True
from IPython.display import Math, Markdown, HTML, display

display(Math("x"), Markdown("**bold** $y$"), HTML("<p onion=1>all</p>"))

# %%
# %%time
text = \"\"\"
# %% no cell
```
\"\"\"
print(text, end="\\033[1m\\r")

# %% tags=["raises-exception"]
1 / 0
"""


@pytest.fixture(autouse=True)
def execution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Execution:
    """What the hooks make when a build begins, with an empty memo."""
    monkeypatch.setenv("RLHF_EXPLAINED_CACHE", str(tmp_path / "memo"))
    run = made_up_run(tmp_path / "run")
    for part in ("fences", "macros"):
        monkeypatch.setattr(f"rlhf_explained.site.markdown.{part}.current_run", lambda: run)
    return Execution(run, "https://site/downloads/it.whl")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a notebook may be written."""
    (tmp_path / "docs/notebooks").mkdir(parents=True)
    return tmp_path / "docs/notebooks/tiny.py"


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What a strict build would fail with."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("mkdocs")]


def converted(path: Path, execution: Execution) -> tuple[str, Page]:
    """A notebook's page, made in the way of mkdocs-jupyter and the hooks."""
    docs = str(path.parents[1])
    changed: dict[str, Any] = {"docs_dir": docs, "plugins": [], "hooks": [], "edit_uri": ""}
    config = load_config(str(ROOT / "mkdocs.yml"), **changed)
    places = docs, str(path.parents[2] / "site"), True
    file = NotebookFile(File("notebooks/tiny.py", *places), **config)
    others = ("guide/ppo.md", "reference/glossary.md", "notebooks/tiny.ipynb", "downloads/it.whl")
    page = Page("Tiny", file, config)
    faults.rendering(path)
    page.markdown = markdown(execution, str(path), execute=True)
    Page.render(page, config, Files([file, *(File(name, *places) for name in others)]))
    return page.content or "", page


def test_a_notebook_from_source_to_page_and_download(
    path: Path, execution: Execution, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    path.write_text(f"\ufeff{HEADER}{NOTEBOOK}", encoding="utf-8")  # some editors begin so
    converted(path, execution)

    # Prose is not code: mending it runs nothing. Neither does building again.
    monkeypatch.setattr(execute, "execute", None)
    path.write_text(HEADER + NOTEBOOK.replace("# With", "# Together with"), encoding="utf-8")
    html, page = converted(path, execution)
    assert (html, page.toc.items[0].id) == (converted(path, execution)[0], "a-tiny-notebook")
    assert messages(caplog) == []

    assert re.match(r'<h1 id="a-tiny-notebook">A tiny notebook<a [^>]*>&para;</a></h1>', html)
    offer = (
        '<p><a download="tiny.ipynb" href="../tiny.ipynb">Download this notebook</a> and '
        '<a download="it.whl" href="../../downloads/it.whl">the package it uses</a> into '
        "one folder.</p>"
    )
    assert html.split("</h1>\n")[1].startswith(offer)
    assert [item.id for item in page.toc.items[0].children] == ["one", "two"]
    for shown in (
        r'Together with <span class="math" data-tex="[^"]+"><math>.*?β.*?</math></span>, see',
        r'<div class="math" data-tex="[^"]+" tabindex="0"><math [^>]*display="block".*?<mfrac>',
        r'<div class="math" data-tex="\\begin\{align\}[^"]+" tabindex="0"><math',
        r'<a href="\.\./\.\./guide/ppo/#loop">PPO</a>',
        r'<a href="https://example\.org">far</a>',
        r"<td><code>x\|y</code></td>",
        r'<a aria-describedby="term-reference-model" href="[^"]*">it</a><span[^>]* role="tooltip"',
        r'<pre class="diagram"><span></span><code role="img" aria-label="Diagram. What',
        r'<details class="words">\s*<summary>In words</summary>\s*<p>An empty box.</p>\s*</det',
        r'<div class="language-python highlight"><pre><span></span><code><span',
        r'"filename">Output</span><pre><span></span><code>first &lt;b&gt;\nsecond\n</code>',
        r'"filename">Output</span><pre><span></span><code>42\n</code>',
        r'<div class="cell-output paper" data-search-exclude><img alt="A line that rises" '
        r'src="data:image/png;base64,\w',
        r"<strong>bold</strong> <span[^>]*><math><mi>y</mi>",
        r'<div class="cell-output"><p onion=1>all</p></div>',
        r"<code># %% no cell\n```\nCPU times",
        r'"filename">Output</span><pre><span></span><code>-+\nZeroDivisionError +Traceback',
    ):
        assert re.search(shown, html, re.S), shown
    assert not re.search(r"<style|<script|jp-|clipboard-copy|anchor-link|\x1b", html)

    assert read.read(path).metadata.search == {"terms": {"page": "tiny"}}
    text = published(execution.outputs(path)[0], {"../guide/ppo.md": "https://site/ppo/"}.get)
    download = nbformat.reads(text, as_version=4)
    nbformat.validate(download)
    assert [cell.id for cell in download.cells] == [f"cell-{number}" for number in range(6)]
    assert download.cells[0].source == "%pip install --quiet https://site/downloads/it.whl"
    assert download.cells[0].execution_count is None
    assert download.metadata.keys() == {"kernelspec", "language_info"}
    assert "[PPO](https://site/ppo/#loop) and [far](https://example.org)" in text
    assert download.cells[2].outputs[0].text == "first <b>\nsecond\n"
    assert "see PPO and [far]" in published(execution.outputs(path)[0], lambda link: None)


def test_a_kernel_has_this_checkout_and_its_memo_wherever_it_runs(
    path: Path, execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    monkeypatch.setenv("RLHF_EXPLAINED_CACHE", "memo")
    path.write_text(
        f"{HEADER}# %%\nimport rlhf_explained.memo as m\nprint(m.__file__, m.root())\n",
        encoding="utf-8",
    )
    notebook, _ = execution.outputs(path)
    assert notebook.cells[0].outputs[0].text.split() == [memo.__file__, str(path.parent / "memo")]


@pytest.mark.parametrize(
    ("cell", "line", "why"),
    [
        ("fine = 1\n\n1 / 0\nnever = 2", 3, "the cell raises ZeroDivisionError: division by zero"),
        ("def inner():\n    return missing\n\n\ninner()", 2, "the cell raises NameError"),
        ("import json\n\njson.loads('{')", 3, "the cell raises JSONDecodeError"),
        ("fine = 1\nthis is bad Python", 2, "this is no Python"),
        (
            "import os\nos._exit(3)",
            1,
            "the cell ends Python or takes more than 15 minutes: mend",
        ),
    ],
)
def test_a_cell_that_raises_is_a_fault_at_its_line(
    cell: str, line: int, why: str, path: Path, execution: Execution, caplog: Any
) -> None:
    path.write_text(f'{TITLED}# %%\n1\n\n# %% tags=["solution"]\n{cell}\n', encoding="utf-8")
    converted(path, execution)
    (message,) = messages(caplog)
    assert message.startswith(f"{path}:{15 + line}: {why}")
    # shown without outputs, and not remembered
    assert [cell.get("outputs") for cell in execution.outputs(path)[0].cells] == [None, [], []]
    assert not list(memo.root().glob("*/*/*.*"))


IMPORTS = "# %%\nimport threading, warnings\nimport matplotlib.pyplot as plt\n"
IMPORTS += "from IPython.display import HTML, JSON, SVG, display\n\n"
CELLS = {  # a cell, its line that is named, from the marker on, and what is said
    "# %% [raw]\n# x": (0, "no page shows a raw cell: make it Markdown"),
    '# %% tags=["remove_cell"]\n1': (0, "no page heeds the tag 'remove_cell'; "),
    "# %%\nwarnings.warn('careful')": (1, "this cell writes to standard error: "),
    "# %%\nt = threading.Thread(target=lambda: 1 / 0)\nt.start()\nt.join()": (
        *(1, "this cell writes to standard error: ZeroDivisionError: division by zero; mend it"),
    ),
    "# %%\nobject()": (1, "this output holds 'at 0x"),
    "# %%\nprint({'a', 'b'})": (1, "this output holds \"{'"),
    "# %%\nJSON({})": (1, "no page can show application/json: let the cell print or draw it"),
    "# %%\ndisplay(HTML('<p>x</p><script>1</script>'))": (1, "this output holds '<script'"),
    "# %%\ndisplay(HTML('<a href=\"javascript:x()\">x</a>'))": (
        1,
        "this output holds 'javascript:",
    ),
    "# %%\ndisplay(HTML('<p onclick=\"x()\">x</p>'))": (1, "this output holds ' onclick=\"'"),
    "# %%\nplt.plot([1])\nplt.show()": (0, "an image without alt text: write `# %% alt="),
    "# %%\nSVG('<svg xmlns=\"http://www.w3.org/2000/svg\"/>')": (0, "an image without alt text"),
    '# %% alt="A line"\nfor _ in range(2):\n    plt.plot([1])\n    plt.show()': (
        *(0, "one alt text for 2 images: draw each in a cell of its own"),
    ),
    "# %% [md]\n# ```python\n# x\n# ```": (1, "nobody runs this fence: make it a cell"),
    '# %% [markdown]\n"""\nx\n\n```pycon\n>>> 1\n1\n```\n"""': (4, "nobody runs this fence"),
    "# %% [markdown]\n# x\n#\n# ```pyhton\n# ```": (3, "nobody knows whether to run pyhton"),
    "# %% [markdown]\n# x\n# So {{ value: ppo-gold }}.": (
        *(2, "'{{ value:' means nothing in a download: let a cell print or draw it"),
    ),
    "# %% [markdown]\n# ```figure\n# none\n# ```": (1, "'```figure' means nothing in a downl"),
    "# %% [markdown]\n# x\n# As $\\frac{1$": (2, "the formula `\\frac{1` does not parse"),
    "# %% [markdown]\n# ```text\n# ┌───────┐\n# │ Boxed │\n# └───────┘\n# ```": (
        *(3, "the diagram has no words: write them in "),
    ),
}


def test_what_a_page_cannot_show_is_a_fault_at_its_line(
    path: Path, execution: Execution, caplog: Any
) -> None:
    text = TITLED + IMPORTS + "".join(f"{cell}\n\n" for cell in CELLS)
    text += "# %% [markdown]\n# [x](../guide/gone.md#a)\n"
    path.write_text(text, encoding="utf-8")
    html, _ = converted(path, execution)
    told = messages(caplog)
    for cell, (line, what) in CELLS.items():
        at = text.count("\n", 0, text.index(cell)) + 1 + line
        assert [one for one in told if one.startswith(f"{path}:{at}: {what}")], (at, what, told)
    assert any("'../guide/gone.md#a', but the target" in one for one in told)  # MkDocs says it
    assert len(told) == len(CELLS) + 2  # and that nobody knows the figure
    assert 'alt="an image without alt text' in html  # so it is told once


def test_a_notebook_that_uses_the_package_begins_by_installing_it(
    path: Path, execution: Execution, caplog: Any
) -> None:
    uses = "# %%\nimport torch\nfrom rlhf_explained import memo\n"
    path.write_text(TITLED + uses, encoding="utf-8")
    converted(path, execution)
    (message,) = messages(caplog)
    assert message.startswith(
        f"{path}:14: whoever downloads this has no rlhf_explained: begin with"
    )
    install = (
        '# %% tags=["install", "skip-execution"]\n# %pip install --quiet rlhf_explained.whl\n\n'
    )
    path.write_text(TITLED + install + uses, encoding="utf-8")
    converted(path, execution)
    assert len(messages(caplog)) == 1
    path.write_text("# # Light\n#\n# A notebook without cells.\n\n1\n", encoding="utf-8")
    converted(path, execution)
    assert f"{path}:1: this notebook has no title: begin with `# %% [markdown]`" in caplog.text


def test_solutions_run_and_are_folded(path: Path, execution: Execution, caplog: Any) -> None:
    cells = (
        "# %% [markdown]\n# **Exercise.** What is six times seven?\n",
        '# %% tags=["solution"]\nanswer = 6 * 7\nprint(answer)\n',
        '# %% [markdown] tags=["solution"]\n# As everybody knows, by $7$.\n',
        '# %% tags=["solution"]\nanswer + 1\n',
        "# %% [markdown]\n# **Exercise.** And half of it?\n",
        '# %% tags=["solution"]\nprint(answer / 2)\n',
        "# %%\nprint('in the open')\n",
    )
    path.write_text(TITLED + "\n".join(cells), encoding="utf-8")
    html, _ = converted(path, execution)
    assert messages(caplog) == []
    folds = re.findall(r'<details class="solution">\s*(.*?)</details>', html, re.S)
    assert len(folds) == html.count("<details") == 2
    opened = re.sub(r"<[^>]+>", "", re.sub(r"<math.*?</math>", "7", folds[0]))
    assert "".join(opened.split()) == (
        "Solutionanswer=6*7print(answer)Output42Aseverybodyknows,by7.answer+1Output43"
    )
    assert all(fold.startswith("<summary>Solution</summary>") for fold in folds)
    outside = re.sub(r"<details.*?</details>", "", html, flags=re.S)
    assert not re.search(r"42|43|21\.0", outside)
    assert "in the open" in outside

    whole = nbformat.reads(published(execution.outputs(path)[0], lambda link: None), as_version=4)
    nbformat.validate(whole)
    hidden = [cell.metadata.get("jupyter", {}) for cell in whole.cells]
    closed = {"source_hidden": True, "outputs_hidden": True}
    assert hidden == [{}, {}, closed, {}, closed, {}, closed, {}]
    assert whole.cells[2].outputs[0].text == "42\n"
    prose = "<details><summary>Solution</summary>\n\nAs everybody knows, by $7$.\n\n</details>"
    assert whole.cells[3].source == prose
    assert "<details>" not in whole.cells[5].source


def test_the_package_the_run_and_the_studies_decide_what_is_remembered(
    path: Path, execution: Execution, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text(HEADER + "# %%\n1\n", encoding="utf-8")
    ran: list[int] = []

    def run(notebook: nbformat.NotebookNode, into: Path) -> None:
        ran.append(1)
        (into / "outputs.json").write_text("[[1, []]]")

    monkeypatch.setattr(execute, "execute", run)
    first = execution.run
    for it in (first, first, Run(first.config, "another", first.folder)):
        Execution(it, "it.whl").outputs(path)
    assert len(ran) == 2
    monkeypatch.setattr(studies, "_RESULTS", tmp_path)
    (tmp_path / f"{studies.STUDIES[0]}.json").write_text("measured again", encoding="utf-8")
    execution.outputs(path)
    assert len(ran) == 3
    asked: list[Path] = []
    monkeypatch.setattr(memo, "source_digest", lambda paths: asked.extend(paths) or "after an edit")
    execution.outputs(path)
    assert len(ran) == 4
    assert Path(execute.__file__) in asked  # it decides how cells are executed


def test_first_lines_are_those_of_the_cells() -> None:
    for path in (ROOT / "docs/notebooks").glob("*.py"):
        cells = read.read(path).cells
        lines = path.read_text(encoding="utf-8").splitlines()
        for start, cell in zip(first_lines(path, cells), cells, strict=True):
            assert lines[start - 2].startswith("# %%"), f"{path}:{start}"
            assert lines[start - 1].endswith(cell.source.splitlines()[0]), f"{path}:{start}"


def test_the_wheel_holds_the_package_and_repeats_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = wheel(ROOT)
    assert first.name == "rlhf_explained-0.1.0-py3-none-any.whl"
    names = zipfile.ZipFile(first).namelist()
    assert not [name for name in names if name.endswith(".pyc") or name.startswith("docs")]
    monkeypatch.setenv("RLHF_EXPLAINED_CACHE", str(tmp_path / "other"))
    assert wheel(ROOT).read_bytes() == first.read_bytes()
    zipfile.ZipFile(first).extractall(tmp_path / "there")
    code = "import rlhf_explained.pipeline as p; print(p.__file__)"
    settings = {"cwd": tmp_path, "env": {"PYTHONPATH": str(tmp_path / "there")}}
    run = partial(subprocess.run, capture_output=True, encoding="utf-8", **settings)
    done = run([sys.executable, "-c", code])
    assert str(tmp_path / "there") in done.stdout, done.stderr


def test_outputs_depend_on_what_a_notebook_imports_and_draws() -> None:
    package, notebooks = ROOT / "rlhf_explained", ROOT / "docs/notebooks"
    first, judges = (
        {file.relative_to(package).as_posix() for file in read.sources(notebooks / name)}
        for name in ("01_what_is_rlhf.py", "02_reward_modeling.py")
    )
    assert {
        "walkthrough.py",
        "stages/ppo.py",
        "figures/chapters/ppo_runs.py",
        "figures/draw.py",
    } <= first
    assert "stages/reward_model.py" in judges
    assert not any(name.startswith(("figures/", "site/", "walkthrough")) for name in judges)


WIDTH = 78  # columns that a page shows at 1280 pixels


def test_code_is_no_wider_than_a_page_shows_it() -> None:
    wide = []
    for path in sorted((ROOT / "docs/notebooks").glob("0[1-4]*.py")):
        notebook = read.read(path)
        assert not is_stored(notebook), "its code cannot change without its outputs"
        for start, cell in zip(first_lines(path, notebook.cells), notebook.cells, strict=True):
            if cell.cell_type == "code":
                lines = enumerate(cell.source.splitlines(), start)
                wide += [f"{path.name}:{at}" for at, line in lines if len(line) > WIDTH]
    assert wide == []


@pytest.mark.looks
@pytest.mark.parametrize("name", [name for name in PAGES if name.startswith("notebooks/")])
def test_no_block_of_code_is_clipped(name: str, visit: Visit) -> None:
    with visit(name, viewport=DESK) as page:
        assert page.evaluate(CLIPPED, "pre > code") == []
        page.set_viewport_size(PHONE)
        assert page.evaluate(CLIPPED, ".highlight:not(.language-text) pre > code") == []
