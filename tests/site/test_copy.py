"""Copy buttons: they stand at what can be run, and what they copy runs."""

import contextlib
import io
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Page

from tests.site.conftest import PAGES, SITE, Visit, file_of, soup

BUTTON = ".md-code__button[data-md-type=copy]"


def language(page: str, *names: str) -> bool:
    html = file_of(page).read_text(encoding="utf-8")
    return any(f'class="language-{name} highlight"' in html for name in names)


def copied(page: Page, block: str) -> list[str]:
    """Press every button that can be seen at such blocks, in order; what was copied each time."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    page.locator(BUTTON).first.wait_for(state="attached")
    texts = []
    for button in page.locator(f"{block} {BUTTON}").all():
        if button.is_visible():
            button.click()
            texts.append(page.evaluate("navigator.clipboard.readText()"))
            page.evaluate("navigator.clipboard.writeText('')")
    return texts


DECLARED = ".doc-signature, .mkdocstrings-source *"  # what nobody runs
BLOCK = ":is(.language-python, .language-pycon)"
CODE = [page for page in PAGES if language(page, "python", "pycon")]
NOTEBOOKS = [page for page in CODE if page.startswith("notebooks/")]


@pytest.mark.parametrize("name", [page for page in CODE if page not in NOTEBOOKS])
def test_what_a_page_copies_runs_as_one_script(name: str, visit: Visit, tmp_path: Path) -> None:
    with visit(name) as page:
        texts = copied(page, BLOCK)
    assert len(texts) == len(soup(name).select(f"{BLOCK}:not({DECLARED}) pre > code"))
    assert all(text.strip() for text in texts)
    with contextlib.chdir(tmp_path), contextlib.redirect_stdout(io.StringIO()):
        exec("\n".join(texts), {"__name__": "__main__"})


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebooks_page_copies_the_cells_that_the_build_ran(name: str, visit: Visit) -> None:
    with visit(name) as page:
        texts = copied(page, ".language-python")
    notebook = nbformat.read(SITE / f"{name.rstrip('/')}.ipynb", as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [text.strip() for text in texts] == [cell.source.strip() for cell in cells]
    installs, *others = cells
    assert installs.source.startswith("%pip install")
    assert all(cell.execution_count for cell in others)


def test_commands_come_without_prompt_and_remark(visit: Visit) -> None:
    with visit("") as page:
        (commands,) = copied(page, ".language-console")
        assert [line.rstrip() for line in commands.splitlines()] == ["make serve", "make test"]
        # no page has a `pycon` fence now, so a console session stands in for one
        session = '<span class="gp">&gt;&gt;&gt; </span>1 + 1\n<span class="go">2</span>\n'
        page.locator(".language-console code").evaluate("(e, html) => e.innerHTML = html", session)
        assert [text.strip() for text in copied(page, ".language-console")] == ["1 + 1"]


@pytest.mark.parametrize("name", ["guide/ppo/", "reference/api/formulas/kl/"])
def test_what_was_printed_drawn_or_declared_has_none(name: str, visit: Visit) -> None:
    with visit(name) as page:
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        page.locator(BUTTON).first.wait_for(state="attached")
        others = page.locator(f":is(.language-text, .doc-signature) {BUTTON}")
        assert others.count()
        assert not [button for button in others.all() if button.is_visible()]


def test_without_scripts_there_are_none(visit: Visit) -> None:
    with visit("guide/ppo/", java_script_enabled=False) as page:
        assert page.locator(BUTTON).count() == 0
