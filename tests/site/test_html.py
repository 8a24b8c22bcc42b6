"""Every page is valid HTML, by html-validate's reading of the standard."""

import json
from pathlib import Path

import pytest
from selectolax.lexbor import LexborHTMLParser

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


PARTS = dict.fromkeys(("mfrac", "mroot", "msub", "msup", "munder", "mover"), 2)
PARTS |= {"msubsup": 3, "munderover": 3}


def miscounted(page: LexborHTMLParser) -> list[str]:
    """Elements of formulas that have not as many parts as MathML gives them."""
    return [
        one.html or ""
        for name, count in PARTS.items()
        for one in page.css(name)
        if len([*one.iter()]) != count
    ]


def test_formulas_have_all_their_parts() -> None:
    pages = {
        str(path): miscounted(LexborHTMLParser(path.read_text(encoding="utf-8")))
        for path in SITE.rglob("*.html")
    }
    assert {path: found for path, found in pages.items() if found} == {}


@pytest.mark.parametrize("name", PARTS)
def test_a_part_too_few_is_found(name: str) -> None:
    whole, half = (f"<math><{name}>{'<mi>x</mi>' * n}</{name}></math>" for n in (PARTS[name], 1))
    assert not miscounted(LexborHTMLParser(whole))
    assert miscounted(LexborHTMLParser(half))


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
