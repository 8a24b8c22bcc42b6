"""A notebook with an environment of its own is shown as it ran, and says if its code changed."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from rlhf_explained import memo
from rlhf_explained.site.notebooks import alone, stored
from rlhf_explained.site.notebooks.download import published
from rlhf_explained.site.notebooks.execute import CellError, Execution
from rlhf_explained.site.notebooks.page import markdown
from rlhf_explained.site.notebooks.read import read
from tests.made_up_run import made_up_run

ROOT = Path(__file__).resolve().parents[2]
CURE = "run `make trl`, and commit what it wrote"
NOTEBOOKS = alone.notebooks(ROOT)
TINY = """\
# ---
# jupyter:
#   environment: trl
# ---

# %% tags=["install", "skip-execution"]
# %pip install --quiet rlhf_explained.whl

# %% [markdown]
# # Tiny

# %%
import rlhf_explained.names

print("one", 2)

# %%
print("three")
"""


@pytest.fixture
def execution(tmp_path: Path) -> Execution:
    return Execution(made_up_run(tmp_path / "run"), "it.whl")


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a notebook that ran, here in the site's own environment."""
    path = tmp_path / "docs" / "notebooks" / "tiny.py"
    path.parent.mkdir(parents=True)
    path.write_text(TINY, encoding="utf-8")
    monkeypatch.setattr(stored, "VERSIONS", ("torch",))
    monkeypatch.setattr(alone, "current_run", lambda: None)
    alone.run(tmp_path, Path(sys.executable))
    return path


def edited(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_there_are_three() -> None:
    assert [path.name[:4] for path in NOTEBOOKS] == ["05_p", "05b_", "05c_"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_stored_is_of_the_code_that_is_here(path: Path) -> None:
    found = stored.stored(path)
    code = [cell.source for cell in read(path).cells if cell.cell_type == "code"]
    assert [cell["code"] for cell in found.cells] == code, (
        "run `make trl`, and commit what it wrote"
    )
    assert not found.is_stale, "run `make trl`, and commit what it wrote"
    assert found.versions.keys() == {"Python", *stored.VERSIONS}
    kinds = {output["output_type"] for cell in found.cells for output in cell["outputs"]}
    assert "error" not in kinds


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_page_has_every_output_and_says_where_they_are_from(
    path: Path, execution: Execution, caplog: Any
) -> None:
    page = markdown(execution, str(path))
    assert [record.getMessage() for record in caplog.records] == []
    found = stored.stored(path)
    assert found.origin in page
    printed = [out["text"] for cell in found.cells for out in cell["outputs"] if "text" in out]
    assert printed
    assert [text for text in printed if text.strip("\n") not in page] == []


def test_it_is_run_once_by_the_command_and_never_by_a_build(
    tiny: Path, execution: Execution, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr("rlhf_explained.site.notebooks.execute.execute", None)
    page = markdown(execution, str(tiny))
    assert "one 2\n```" in page
    assert "three\n```" in page
    assert "`make trl` ran it on" in page
    assert "changed since" not in page
    assert caplog.records == []
    download = json.loads(published(execution.outputs(tiny)[0], lambda link: None))
    assert download["cells"][2]["outputs"][0]["text"] == "one 2\n"
    assert "environment" not in download["metadata"]


def test_a_cell_that_has_changed_shows_nothing_and_the_page_says_so(
    tiny: Path, execution: Execution
) -> None:
    edited(tiny, "# # Tiny", "# # Tiny\n#\n# More prose.")
    assert not stored.stored(tiny).is_stale
    edited(tiny, 'print("one", 2)', 'print("one", 3)')
    page = markdown(execution, str(tiny))
    assert "one 2\n```" not in page
    assert "three\n```" in page
    assert "**Its code has changed since.**" in page


@pytest.mark.parametrize("change", ["a cell more", "a cell less", "another order"])
def test_other_cells_are_noticed(tiny: Path, change: str) -> None:
    last = '# %%\nprint("three")\n'
    if change == "a cell more":
        edited(tiny, last, last + "\n# %%\n4\n")
    elif change == "a cell less":
        edited(tiny, last, "")
    else:
        edited(tiny, last, "")
        edited(tiny, "# %%\nimport", f"{last}\n# %%\nimport")
    assert stored.stored(tiny).is_stale


def test_changed_code_of_the_package_is_noticed(tiny: Path, monkeypatch: Any) -> None:
    assert not stored.stored(tiny).is_stale
    whole, other = memo.sources_of, ROOT / "rlhf_explained" / "disk.py"
    monkeypatch.setattr(memo, "sources_of", lambda *asked: {*whole(*asked), other})
    assert stored.stored(tiny).is_stale


def test_without_stored_outputs_the_build_says_what_to_run(
    tiny: Path, execution: Execution, caplog: Any
) -> None:
    stored.outputs_file(tiny).unlink()
    markdown(execution, str(tiny))
    (record,) = caplog.records
    assert record.getMessage().endswith(f"tiny.py:7: {stored.FORGOTTEN}")


def test_a_cell_that_raises_stores_nothing(tiny: Path, tmp_path: Path) -> None:
    before = stored.outputs_file(tiny).read_text(encoding="utf-8")
    edited(tiny, 'print("three")', "1 / 0")
    with pytest.raises(CellError, match=r"tiny\.py: the cell raises ZeroDivisionError"):
        alone.run(tmp_path, Path(sys.executable))
    assert stored.outputs_file(tiny).read_text(encoding="utf-8") == before


def test_what_libraries_say_on_standard_error_is_not_stored(tiny: Path, tmp_path: Path) -> None:
    edited(tiny, 'print("three")', 'import sys\n\nprint("a warning", file=sys.stderr)\nprint(4)')
    alone.run(tmp_path, Path(sys.executable))
    outputs = stored.stored(tiny).cells[-1]["outputs"]
    assert [(output["name"], output["text"]) for output in outputs] == [("stdout", "4\n")]
