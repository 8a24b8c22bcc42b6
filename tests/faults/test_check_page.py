"""`make test PAGE=`: all faults of one page, those of no other, and nothing that is not needed."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rlhf_explained import memo
from rlhf_explained.site.check_page import led_to, page_faults, showing
from rlhf_explained.site.snippets.find import page_at
from tests.faults.conftest import ROOT, Command
from tests.faults.planted import NOTEBOOK, SUMMARY


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


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")), ids=lambda page: page.name)
def test_the_texts_beside_the_pages_are_right(page: Path) -> None:
    """The build does not read them."""
    assert page_faults(ROOT, page) == []


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


def test_no_notebook_runs_for_a_page_that_leads_to_none(
    copy: Path, command: Command, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    with edited(copy / NOTEBOOK, "# %%\n", f"# %%\nopen({str(ran)!r}, 'x')\n"):
        assert command("check", SUMMARY).returncode == 0
    assert not ran.exists()


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
    assert page_at(ROOT, NOTEBOOK, notebooks=True) == ROOT / NOTEBOOK
    with pytest.raises(ValueError, match="is no page"):
        page_at(ROOT, NOTEBOOK, notebooks=False)


def commands(*arguments: str) -> str:
    make = ["make", "--dry-run", "--no-print-directory", f"PYTHON={sys.executable}", *arguments]
    return subprocess.run(make, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_a_page_that_is_not_utf_8_is_named(copy: Path, command: Command) -> None:
    page = copy / SUMMARY
    text = page.read_text(encoding="utf-8")
    try:
        page.write_bytes(f"{text}\nnaïve\n".encode("latin-1", "ignore"))
        done = command("check", SUMMARY)
    finally:
        page.write_text(text, encoding="utf-8")
    assert done.returncode == 1
    assert re.fullmatch(rf"{SUMMARY}:\d+: this is not UTF-8: save the file as UTF-8\n", done.stderr)


def test_what_is_no_page_and_what_shares_an_address_is_told(copy: Path) -> None:
    """Two sources of one address, a page that is not UTF-8, and an entry that is no page."""
    (copy / "docs/guide/other").mkdir()
    twins = [copy / "docs/guide/other.md", copy / "docs/guide/other/index.md"]
    for twin in twins:
        twin.write_text("# Twin\n", encoding="utf-8")
    config = copy / "mkdocs.yml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("  - Guide:\n", "  - Card: card.png\n  - Guide:\n"))
    (copy / "docs/card.png").touch()
    script = """
from pathlib import Path
from rlhf_explained.site.build import listen, render

root = Path.cwd()
only = {
    "exclude_docs": "*.md\\n*.py\\n!/index.md\\n!/guide/other*\\n!/guide/other/*",
    "nav": ["index.md", {"Card": "card.png"}],
}
print(*render(root, root / "pages", listen(root, aloud=False), strict=False, **only)[0], sep="\\n")
"""
    try:
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=copy,
            env=os.environ | {"PYTHONPATH": str(copy), "RLHF_EXPLAINED_CACHE": str(memo.root())},
            capture_output=True,
            encoding="utf-8",
        )
    finally:
        config.write_text(text, encoding="utf-8")
        (copy / "docs/card.png").unlink()
        for twin in twins:
            twin.unlink()
        (copy / "docs/guide/other").rmdir()
    said = done.stdout
    assert re.search(r"(?m)^mkdocs.yml:\d+: 'card.png' is no page of the site: name a .md", said), (
        done
    )
    assert re.search(r"(?m)^docs/guide/other\S+:1: guide/other\S+ is published at the same", said)


def test_make_passes_the_page_on_and_runs_nothing_else() -> None:
    python = f"{sys.executable} -m"
    assert commands("test", "PAGE=README.md") == f'{python} rlhf_explained check "README.md"\n'
    assert commands("outputs", "PAGE=README.md") == f'{python} rlhf_explained outputs "README.md"\n'
    assert f"{python} pytest" in commands("test")


@pytest.mark.parametrize(
    ("setting", "cure"), [("PAGE=", "name a page, or leave it out"), ("page=README.md", "capitals")]
)
def test_make_does_not_take_a_page_that_is_not_named_for_none(setting: str, cure: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        commands("test", setting)
    assert cure in failed.value.stderr


def test_a_python_without_the_packages_is_told_in_a_line(tmp_path: Path) -> None:
    """Python's own, in an environment where nothing is installed."""
    done = subprocess.run(
        [sys.executable, "-S", "-m", "rlhf_explained", "site"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert re.fullmatch(r"\S+ lacks click: leave out PYTHON=, .*\n", done.stderr)
