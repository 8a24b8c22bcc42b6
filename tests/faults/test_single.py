"""`make test PAGE=`: all faults of one page, those of no other, and nothing that is not needed."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rlhf_explained.site.check_page import led_to, showing
from rlhf_explained.site.snippets.find import page_at
from tests.faults.conftest import ROOT, Command
from tests.faults.planted import SUMMARY


@contextmanager
def edited(path: Path, old: str, new: str) -> Iterator[None]:
    """A file as it might be, for a while."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(text, encoding="utf-8")


def test_all_faults_are_listed_not_only_the_first(copy: Path, command: Command) -> None:
    wrong = (
        "{{ value: a }}, {{ value: b }}, [c](c.md)\n\n```python\nd\n```\n\n```python\ne\n```\n\n"
    )
    with edited(copy / SUMMARY, "## What is RLHF?\n", f"{wrong}## What is RLHF?\n"):
        done = command("check", SUMMARY)
    for words in ("value 'a'", "value 'b'", "'c.md'", "name 'd' is not", "name 'e' is not"):
        assert words in done.stderr
    assert f"5 to mend in {SUMMARY}" in done.stderr
    assert done.returncode == 1


def test_the_faults_of_other_pages_are_not_listed(copy: Path, command: Command) -> None:
    other = "docs/reference/glossary.md"
    with edited(copy / other, "# ", "{{ value: nothing }} [x](x.md)\n\n# "):
        assert command("check", SUMMARY).returncode == 0  # though it leads there
        assert command("check", other).returncode == 1


def test_a_heading_that_another_page_has_lost_is_missed(copy: Path, command: Command) -> None:
    link = "[PPO](ppo.md#why-ppo)\n\n## What is RLHF?\n"
    with edited(copy / SUMMARY, "## What is RLHF?\n", link):
        assert command("check", SUMMARY).returncode == 0
        with edited(copy / "docs/guide/ppo.md", "## Why PPO", "## Why not PPO"):
            done = command("check", SUMMARY)
    assert "does not contain an anchor '#why-ppo'; did you mean #why-not-ppo?" in done.stderr


def test_a_page_without_code_is_checked_without_torch(copy: Path, command: Command) -> None:
    def imported() -> set[str]:
        done = command("check", SUMMARY, PYTHONPROFILEIMPORTTIME="1")
        return set(re.findall(r"(?m)^import time:.*\| +(\w+)", done.stderr))

    assert {"torch", "matplotlib", "pytest"}.isdisjoint(imported())
    code = "```python\nx = 1\n```\n\n## What is RLHF?\n"
    with edited(copy / SUMMARY, "## What is RLHF?\n", code):
        assert "torch" in imported()


def test_only_what_a_page_leads_to_is_rendered_with_it() -> None:
    docs = ROOT / "docs"
    every = {*docs.rglob("*.md")}
    needed = led_to(ROOT, [docs / "guide/ppo.md"])
    assert docs / "reference/glossary.md" in needed
    assert docs / "reference/api/figures/ppo.md" in needed  # its figures link their code
    assert docs / "guide/history.md" not in needed
    assert len(needed) < len(every) / 2
    assert every <= led_to(ROOT, [docs / "reference/bibliography.md"])  # made from all pages


def test_a_module_is_shown_by_its_page_and_by_that_of_its_package() -> None:
    api = ROOT / "docs/reference/api"
    assert api / "formulas/kl.md" in showing("rlhf_explained.formulas.kl", ROOT / "docs")
    assert api / "formulas/index.md" in showing("rlhf_explained.formulas.kl", ROOT / "docs")
    assert api / "models.md" not in showing("rlhf_explained.formulas.kl", ROOT / "docs")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("docs/guide/no-such-page.md", "does not exist"),
        ("guide/ppo.md", "does not exist: did you mean docs/guide/ppo.md?"),
        ("mkdocs.yml", "is no page: it is one of docs/"),
        ("docs", "is no page: it is one of docs/"),
    ],
)
def test_a_wrong_name_gets_one_line(name: str, says: str, command: Command) -> None:
    for verb in ("check", "outputs"):
        done = command(verb, name)
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.startswith(f"Error: PAGE={name} {says}")
        assert done.stderr.count("\n") == 1


def test_a_notebook_can_be_checked_but_has_no_output_blocks() -> None:
    name = "docs/notebooks/01_what_is_rlhf.py"
    assert page_at(ROOT, name, notebooks=True) == ROOT / name
    with pytest.raises(ValueError, match="is no page"):
        page_at(ROOT, name, notebooks=False)


def commands(*arguments: str) -> str:
    make = ["make", "--dry-run", "--no-print-directory", f"PYTHON={sys.executable}", *arguments]
    return subprocess.run(make, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_make_passes_the_page_on_and_runs_nothing_else() -> None:
    python = f"{sys.executable} -m"
    assert commands("test", "PAGE=README.md") == f"{python} rlhf_explained check README.md\n"
    assert commands("outputs", "PAGE=README.md") == f"{python} rlhf_explained outputs README.md\n"
    assert f"{python} pytest" in commands("test")
