"""Notebooks: executed for their code, shown like other pages, published with their outputs."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import jupytext
import nbformat
import pytest
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs_jupyter.plugin import NotebookFile

from rlhf_explained import memo, studies
from rlhf_explained.pipeline import Run
from rlhf_explained.site import faults, notebooks
from rlhf_explained.site.notebooks import execute
from rlhf_explained.site.notebooks import page as notebook_page
from rlhf_explained.site.notebooks.download import wheel
from rlhf_explained.site.notebooks.execute import Execution
from tests.made_up_run import made_up_run

ROOT = Path(__file__).resolve().parents[2]
HEADER = """\
# ---
# jupyter:
#   text_representation:
#     format_name: percent
# ---

"""
NOTEBOOK = (
    HEADER
    + """\
# %% tags=["install", "skip-execution"]
# %pip install --quiet rlhf_explained.whl

# %% [markdown]
# # A tiny notebook
#
# With $\\beta < 1$, see [PPO](../guide/ppo.md#loop) and [far](https://example.org).
#
# $$\\frac{1}{2}$$
#
# ## Twice
#
# ## Twice
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
"""
)


@pytest.fixture
def a_run(tmp_path: Path) -> Run:
    return made_up_run(tmp_path / "run")


@pytest.fixture(autouse=True)
def own_memo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLHF_EXPLAINED_CACHE", str(tmp_path / "memo"))


def written(folder: Path, text: str) -> Path:
    path = folder / "docs/notebooks/tiny.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def execution(a_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the hooks do when a build begins."""
    monkeypatch.setattr("nbconvert.preprocessors.ExecutePreprocessor", Execution)
    monkeypatch.setattr(Execution, "run", a_run, raising=False)
    monkeypatch.setattr(Execution, "wheel", "https://site/downloads/it.whl", raising=False)


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What a strict build would fail with; nbconvert has a logger of its own."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("mkdocs")]


def converted(path: Path) -> tuple[str, Page]:
    """A notebook's page, made in the way of mkdocs-jupyter and the hooks."""
    config = MkDocsConfig()
    config.load_dict({"site_name": "Site", "docs_dir": str(path.parents[1])})
    places = str(path.parents[1]), str(path.parents[2] / "site"), True
    file = NotebookFile(File("notebooks/tiny.py", *places), **config)
    files = Files([file, File("guide/ppo.md", *places)])
    page = Page("Tiny", file, config)
    faults.rendering(path)
    content = execute.nb2html(str(path), execute=True, allow_errors=False)
    return notebook_page.rebuilt(content, "<em>Download</em>", page, files), page


def test_a_notebook_from_source_to_page_and_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    path = written(tmp_path, NOTEBOOK)
    converted(path)

    # Prose is not code: mending it runs nothing. Neither does building again.
    monkeypatch.setattr(Execution, "execute_cells", None)
    path.write_text(NOTEBOOK.replace("# With", "# Together with"))
    html, page = converted(path)
    assert (html, page.toc.items[0].id) == (converted(path)[0], "a-tiny-notebook")
    assert messages(caplog) == []

    link = '<a aria-label="Permalink" class="headerlink" href="#{0}">¶</a>'
    title = f'<h1 id="a-tiny-notebook">A tiny notebook{link.format("a-tiny-notebook")}</h1>'
    assert html.startswith(f"{title}<p><em>Download</em></p>")
    assert [item.id for item in page.toc.items[0].children] == ["twice", "twice_1"]
    assert {"a-tiny-notebook", "twice", "twice_1"} == page.present_anchor_ids
    assert re.search(
        r'Together with <span class="math" data-tex="[^"]+"><math>.*?β.*?</math></span>, see', html
    )
    assert re.search(
        r'<div class="math" data-tex="[^"]+" tabindex="0"><math [^>]*display="block".*?<mfrac>',
        html,
    )
    assert '<a href="../../guide/ppo/#loop">PPO</a>' in html
    assert '<a href="https://example.org">far</a>' in html
    ((linked, anchors),) = (page.links_to_anchors or {}).items()  # for MkDocs to check
    assert (linked.src_uri, anchors) == ("guide/ppo.md", {"loop": "../guide/ppo.md#loop"})
    drawn = (
        '<div class="language-text highlight"><pre class="diagram"><code aria-label="Diagram. What'
    )
    assert drawn in html
    words = (
        r'<details class="words">\s*<summary>In words</summary>\s*<p>An empty box.</p>\s*</details>'
    )
    assert re.search(words, html)
    assert '<div class="language-python highlight"><pre><code>' in html
    output = '<div class="language-text highlight"><span class="filename">Output</span>'
    assert f"{output}<pre><code>first &lt;b&gt;\nsecond\n</code></pre></div>" in html
    assert f"{output}<pre><code>42\n</code></pre></div>" in html
    assert re.search(
        r'<div class="cell-output paper" data-search-exclude="">\s*'
        r'<img alt="A line that rises" [^>]*src="data:image/png;base64,',
        html,
    )
    assert not re.search(r"<style|<script|jp-|clipboard-copy|anchor-link", html)

    text = execute.published(
        execute.executed[path], {"../guide/ppo.md": "https://site/guide/ppo/"}.get
    )
    download = nbformat.reads(text, as_version=4)
    nbformat.validate(download)
    assert [cell.id for cell in download.cells] == ["cell-0", "cell-1", "cell-2"]
    assert download.cells[0].source == "%pip install --quiet https://site/downloads/it.whl"
    assert download.cells[0].execution_count is None
    assert "[PPO](https://site/guide/ppo/#loop) and [far](https://example.org)" in text
    assert download.cells[2].outputs[0].text == "first <b>\nsecond\n"
    alone = execute.published(execute.executed[path], lambda link: None)
    assert "see PPO and [far]" in alone


@pytest.mark.parametrize(
    ("cell", "line", "why"),
    [
        ("fine = 1\n\n1 / 0\nnever = 2", 10, "ZeroDivisionError: division by zero"),
        ("def inner():\n    return missing\n\n\ninner()", 9, "NameError"),
        ("import json\n\njson.loads('{')", 10, "JSONDecodeError"),
        ("fine = 1\nthis is bad Python", 9, "SyntaxError"),
    ],
)
def test_a_cell_that_raises_is_a_fault_at_its_line(
    cell: str, line: int, why: str, tmp_path: Path, caplog
) -> None:
    path = written(tmp_path, HEADER + f"# %%\n{cell}\n")
    assert path.read_text().splitlines()[6] == "# %%"
    converted(path)
    (message,) = messages(caplog)
    assert message.startswith(f"{path}:{line}: the cell raises ")
    assert why in message
    # shown without outputs, and not remembered
    assert execute.executed[path].cells[0].outputs == []
    assert not list(memo.root().glob("*/*/*.*"))


def test_other_faults_of_notebooks(tmp_path: Path, caplog) -> None:
    prose = "# As \\frac{1.\n# [y](#b)\n# So {{ value: ppo-gold }}.\n# $\\frac{1$\n"
    prose += "# [x](../guide/gone.md#a)\n"
    plot = "import matplotlib.pyplot as plt\n\nplt.plot([1])\nplt.show()\n"
    path = written(tmp_path, HEADER + f"# %% [markdown]\n{prose}\n# %%\n{plot}")
    html, page = converted(path)
    value, image, formula, link = messages(caplog)
    assert value.startswith(f"{path}:10: '{{{{ value:' means nothing in a download")
    assert image.startswith(f"{path}:14: an image without alt text")
    assert formula.startswith(f"{path}:11: the formula `\\frac{{1` does not parse")
    assert link.startswith(f"{path}:12: the link '../guide/gone.md#a' leads nowhere")
    assert "does not parse" in html
    assert page.links_to_anchors == {page.file: {"b": "#b"}}  # for MkDocs to check


def test_solutions_run_and_are_folded(tmp_path: Path, caplog) -> None:
    cells = (
        "# %% [markdown]\n# **Exercise.** What is six times seven?\n",
        '# %% tags=["solution"]\nanswer = 6 * 7\nprint(answer)\n',
        '# %% [markdown] tags=["solution"]\n# As everybody knows, by $7$.\n',
        '# %% tags=["solution"]\nanswer + 1\n',
        "# %% [markdown]\n# **Exercise.** And half of it?\n",
        '# %% tags=["solution"]\nprint(answer / 2)\n',
        "# %%\nprint('in the open')\n",
    )
    path = written(tmp_path, HEADER + "\n".join(cells))
    html, _ = converted(path)
    assert messages(caplog) == []
    folds = re.findall(r'<details class="solution">(.*?)</details>', html, re.S)
    assert len(folds) == html.count("<details") == 2
    opened = re.sub(r"<[^>]+>", "", re.sub(r"<math.*?</math>", "7", folds[0]))
    assert "".join(opened.split()) == (
        "Solutionanswer=6*7print(answer)Output42Aseverybodyknows,by7.answer+1Output43"
    )
    assert all(fold.startswith("<summary>Solution</summary>") for fold in folds)
    outside = re.sub(r"<details.*?</details>", "", html, flags=re.S)
    assert not re.search(r"42|43|21\.0", outside)
    assert "in the open" in outside

    download = execute.published(execute.executed[path], lambda link: None)
    whole = nbformat.reads(download, as_version=4)
    nbformat.validate(whole)
    hidden = [cell.metadata.get("jupyter", {}) for cell in whole.cells]
    closed = {"source_hidden": True, "outputs_hidden": True}
    assert hidden == [{}, closed, {}, closed, {}, closed, {}]
    assert whole.cells[1].outputs[0].text == "42\n"
    prose = "<details><summary>Solution</summary>\n\nAs everybody knows, by $7$.\n\n</details>"
    assert whole.cells[2].source == prose
    assert "<details>" not in whole.cells[4].source


def test_a_solution_that_raises_is_a_fault_too(tmp_path: Path, caplog) -> None:
    path = written(tmp_path, HEADER + '# %% tags=["solution"]\n1 / 0\n')
    converted(path)
    (message,) = messages(caplog)
    assert message.startswith(f"{path}:8: the cell raises ZeroDivisionError")


def test_the_package_the_run_and_the_studies_decide_what_is_remembered(
    tmp_path: Path, a_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, HEADER + "# %%\n1\n")
    ran: list[int] = []

    def execute(self: Execution, nb: nbformat.NotebookNode, into: Path) -> None:
        ran.append(1)
        into.write_text("[[1, []]]")

    monkeypatch.setattr(Execution, "execute_cells", execute)
    for run in (a_run, a_run, Run(a_run.config, "another", a_run.folder)):
        monkeypatch.setattr(Execution, "run", run)
        converted(path)
    assert len(ran) == 2
    monkeypatch.setattr(studies, "_RESULTS", tmp_path)
    (tmp_path / f"{studies.STUDIES[0]}.json").write_text("measured again", encoding="utf-8")
    converted(path)
    assert len(ran) == 3
    asked: list[Path] = []
    monkeypatch.setattr(memo, "source_digest", lambda paths: asked.extend(paths) or "after an edit")
    converted(path)
    assert len(ran) == 4
    assert Path(notebooks.execute.__file__) in asked  # it decides how cells are executed


def test_first_lines_count_the_cells_that_jupytext_sees() -> None:
    for path in (ROOT / "docs/notebooks").glob("*.py"):
        cells = jupytext.read(path, fmt="py:percent").cells
        starts = execute.first_lines(path)
        assert len(starts) == len(cells)
        lines = path.read_text(encoding="utf-8").splitlines()
        for start, cell in zip(starts, cells, strict=True):
            first = cell.source.splitlines()[0]
            assert lines[start - 1].endswith(first), f"{path}:{start}"


def test_the_wheel_holds_the_package_and_repeats_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = wheel(ROOT)
    assert first.name == "rlhf_explained-0.1.0-py3-none-any.whl"
    names = zipfile.ZipFile(first).namelist()
    assert "rlhf_explained/pipeline.py" in names
    assert not [name for name in names if name.endswith(".pyc") or name.startswith("docs")]
    monkeypatch.setenv("RLHF_EXPLAINED_CACHE", str(tmp_path / "other"))
    assert wheel(ROOT).read_bytes() == first.read_bytes()


def test_the_wheel_is_importable_from_a_folder_of_its_own(tmp_path: Path) -> None:
    zipfile.ZipFile(wheel(ROOT)).extractall(tmp_path / "there")
    code = "import rlhf_explained.pipeline as p; print(p.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "there")},
        capture_output=True,
        encoding="utf-8",
    )
    assert str(tmp_path / "there") in done.stdout, done.stderr
