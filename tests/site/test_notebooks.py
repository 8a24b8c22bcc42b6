"""Notebooks: executed for their code, shown as Markdown, published with their outputs."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

from rlhf_explained import memo
from rlhf_explained.pipeline import Run
from rlhf_explained.site import notebooks
from rlhf_explained.site.wheel import wheel
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
# With $\\beta$, see [PPO](../guide/ppo.md#loop) and [far](https://example.org).

# %% alt="A line that rises"
import matplotlib.pyplot as plt

print("first ```")
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
    path = folder / "tiny.py"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_notebook_from_source_to_page_and_download(
    tmp_path: Path, a_run: Run, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    path = written(tmp_path, NOTEBOOK)
    notebook = notebooks.executed(path, a_run)
    assert [cell.id for cell in notebook.cells] == ["cell-0", "cell-1", "cell-2"]
    assert notebook.cells[0].execution_count is None

    # Prose is not code: mending it runs nothing. Neither does building again.
    monkeypatch.setattr(notebooks, "execute", None)
    path.write_text(NOTEBOOK.replace("# With", "# Together with"))
    notebook = notebooks.executed(path, a_run)

    notebooks.point_at(notebook, "https://site/downloads/it.whl")
    page = notebooks.to_markdown(notebook, path, "[Download](tiny.ipynb)")
    assert page.startswith(
        "# A tiny notebook\n\n[Download](tiny.ipynb)\n\n\nTogether with $\\beta$"
    )
    assert "```python\n%pip install --quiet https://site/downloads/it.whl\n```" in page
    assert '````text title="Output"\nfirst ```\nsecond\n````' in page
    assert re.search(r'<img src="data:image/png;base64,\S+" alt="A line that rises">', page)
    assert '```text title="Output"\n42\n```' in page
    assert not caplog.records

    text = notebooks.published(notebook, {"../guide/ppo.md": "https://site/guide/ppo/"}.get)
    download = nbformat.reads(text, as_version=4)
    nbformat.validate(download)
    assert download.cells[0].source == "%pip install --quiet https://site/downloads/it.whl"
    assert "[PPO](https://site/guide/ppo/#loop) and [far](https://example.org)" in text
    assert download.cells[2].outputs[0].text == "first ```\nsecond\n"
    assert text == notebooks.published(
        notebooks.executed(path, a_run), {"../guide/ppo.md": "https://site/guide/ppo/"}.get
    ).replace("rlhf_explained.whl", "https://site/downloads/it.whl")
    alone = notebooks.published(notebook, lambda link: None)
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
    cell: str, line: int, why: str, tmp_path: Path, a_run: Run, caplog
) -> None:
    path = written(tmp_path, HEADER + f"# %%\n{cell}\n")
    assert path.read_text().splitlines()[6] == "# %%"
    notebook = notebooks.executed(path, a_run)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{path}:{line}: the cell raises ")
    assert why in record.getMessage()
    assert notebook.cells[0].outputs == []  # shown without outputs, and not remembered
    assert not list((memo.root() / "notebooks").glob("*/outputs.json"))


def test_other_faults_of_notebooks(tmp_path: Path, caplog) -> None:
    text = HEADER + "# %% [markdown]\n# Words.\n#\n# So {{ value: ppo-gold }}.\n\n# %%\nplot()\n"
    path = written(tmp_path, text)
    notebook = notebooks.read(path)
    picture = nbformat.v4.new_output("display_data", {"image/png": "aGk="})
    notebook.cells[1].outputs = [picture]
    notebooks.to_markdown(notebook, path, "")
    value, image = (record.getMessage() for record in caplog.records)
    assert value.startswith(f"{path}:10: '{{{{ value:' means nothing in a download")
    assert image.startswith(f"{path}:12: an image without alt text")


def test_the_package_and_the_run_decide_what_is_remembered(
    tmp_path: Path, a_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, HEADER + "# %%\n1\n")
    ran: list[int] = []
    monkeypatch.setattr(notebooks, "execute", lambda notebook: ran.append(1))
    for run in (a_run, a_run, Run(a_run.config, "another", a_run.folder)):
        notebooks.executed(path, run)
    assert len(ran) == 2
    monkeypatch.setattr(memo, "source_digest", lambda paths: "after an edit")
    notebooks.executed(path, a_run)
    assert len(ran) == 3


def test_first_lines_count_the_cells_that_jupytext_sees() -> None:
    for path in (ROOT / "docs/notebooks").glob("*.py"):
        cells = notebooks.read(path).cells
        starts = notebooks.first_lines(path)
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
