"""Every page is valid HTML, by html-validate's reading of the standard."""

import json
from pathlib import Path

import pytest

from tests.site.conftest import MODULES, SITE, node

SETTINGS = {"root": True, "extends": ["html-validate:standard"]}
# The theme's own faults, each by rule and element.
THEME = {
    # Firefox would otherwise leave menu and search open when a page is loaded again
    ("valid-autocomplete", "#__drawer"),
    ("valid-autocomplete", "#__search"),
}


def faults(folder: Path, tmp_path: Path) -> list[str]:
    """What is invalid in a folder's pages, each with file, line and column."""
    settings = tmp_path / "htmlvalidate.json"
    settings.write_text(json.dumps(SETTINGS), encoding="utf-8")
    program = MODULES / "html-validate" / "bin" / "html-validate.mjs"
    report = tmp_path / "report.json"
    options = ("--config", str(settings), "--formatter", f"json={report}")
    done = node(str(program), *options, f"{folder}/**/*.html", cwd=tmp_path)
    assert report.is_file(), done.stderr
    return [
        f"{page['filePath']}:{fault['line']}:{fault['column']}: {fault['message']} "
        f"({fault['ruleId']}, {fault.get('selector')})"
        for page in json.loads(report.read_text(encoding="utf-8"))
        for fault in page["messages"]
        if (fault["ruleId"], fault.get("selector")) not in THEME
    ]


def test_every_page_is_valid(tmp_path: Path) -> None:
    found = faults(SITE, tmp_path)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("planted", "rule"),
    [
        ("<p>the end token, <eos>, is a word</p>", "element-name"),
        ("<p><div>a block in a paragraph</div></p>", "close-order"),
        ('<i id="a"></i><i id="a"></i>', "no-dup-id"),
        ("<ul><p>no item</p></ul>", "element-permitted-content"),
        ('<input type="texxt">', "attribute-allowed-values"),
        ("<center>old</center>", "deprecated"),
    ],
)
def test_what_is_invalid_is_found(planted: str, rule: str, tmp_path: Path) -> None:
    head = '<!doctype html>\n<html lang="en">\n<head><title>Page</title></head>\n'
    page = f"{head}<body>{planted}</body></html>"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text(page, encoding="utf-8")
    found = faults(tmp_path / "site", tmp_path)
    assert any("index.html:4:" in fault and f"({rule}," in fault for fault in found), found
