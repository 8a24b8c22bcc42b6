"""The built site as files: `make site` comes first."""

import html
import json
import re
import string
import subprocess
import sys
from pathlib import Path

import pytest

from rlhf_explained.site.publish import links
from tests.site import fonts
from tests.site.conftest import ROOT, SITE


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """The HTML of every page, by its path."""
    found = {
        path.relative_to(SITE).as_posix(): path.read_text(encoding="utf-8")
        for path in SITE.rglob("*.html")
    }
    assert found, "site/ is empty: run make site"
    return found


def test_no_link_is_broken_no_id_double_nothing_foreign_loaded(pages: dict[str, str]) -> None:
    assert list(links.faults(SITE)) == []


def test_no_page_shows_a_fault_or_unexpanded_markdown(pages: dict[str, str]) -> None:
    for name, page in pages.items():
        text = re.sub(r"<(pre|code|script)\b.*?</\1>", "", page, flags=re.S)
        for sign in ('class="fault"', "{{ value", "wzxhzdk", "```", 'class="arithmatex"'):
            assert sign not in text, f"{name} shows {sign}"
        visible = html.unescape(re.sub(r"<[^>]+>", "", text))
        assert not re.search(r"\\(?:frac|mathrm|pi|beta|log)\b|\]\[rlhf_", visible), name


def test_a_page_waits_only_for_what_it_needs(pages: dict[str, str]) -> None:
    sheet, font = "assets/_mkdocstrings.css", "assets/fonts/math.woff2"
    assert {name for name, page in pages.items() if sheet in page} == {
        name for name, page in pages.items() if "doc-object" in page
    }
    assert {name for name, page in pages.items() if font in page} == {
        name for name, page in pages.items() if "<math" in page
    }


def test_the_notebook_can_be_taken_along(pages: dict[str, str]) -> None:
    notebook = json.loads((SITE / "notebooks/01_what_is_rlhf.ipynb").read_text(encoding="utf-8"))
    (wheel,) = (SITE / "downloads").glob("rlhf_explained-*.whl")
    first = "".join(notebook["cells"][0]["source"])
    assert first.startswith("%pip install")
    assert wheel.name in first
    if "http" not in first:  # no address was given: the wheel lies beside the notebook
        assert (SITE / "notebooks" / wheel.name).read_bytes() == wheel.read_bytes()
    page = pages["notebooks/01_what_is_rlhf/index.html"]
    assert '<a download="01_what_is_rlhf.ipynb" href="../01_what_is_rlhf.ipynb"' in page
    assert len(page) < 300_000, "JupyterLab's style sheet alone is twice as long"
    assert not re.search(r'<style type|class="jp-|highlight-ipynb|[Mm]ath[Jj]ax', page)
    index = json.loads((SITE / "search/search_index.json").read_text(encoding="utf-8"))
    found = {entry["location"] for entry in index["docs"] if "clueless" in entry["text"]}
    assert "notebooks/01_what_is_rlhf/#what-youll-learn" in found
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    assert outputs
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]


def test_formulas_and_diagrams_have_all_their_glyphs(pages: dict[str, str]) -> None:
    for name, page in pages.items():
        for formula in re.findall(r"<math.*?</math>", page, re.S):
            letters = set(html.unescape(re.sub(r"<[^>]+>", "", formula)))
            # a letter in <mi> is shown in italics, which fonts.MATH holds where they are needed
            # and an upright letter is in every font.
            letters -= set(string.ascii_letters + string.digits + "αβγδεζηθικλμνξοπρστυφχψωϵϑϕ")
            assert letters <= set(fonts.MATH), f"{name}: {letters - set(fonts.MATH)} in {formula}"
        for block in re.findall(r'<div class="language-text highlight">(.*?)</div>', page, re.S):
            letters = set(html.unescape(re.sub(r"<[^>]+>", "", block))) - {"\n"}
            assert letters <= set(fonts.DIAGRAMS), f"{name}: {letters - set(fonts.DIAGRAMS)}"


def test_fonts_are_small() -> None:
    assert (SITE / "assets/fonts/diagram.woff2").stat().st_size <= 10_000
    assert (SITE / "assets/fonts/math.woff2").stat().st_size <= 18_000


# The check itself


@pytest.mark.parametrize(
    ("planted", "what"),
    [
        ('<a href="missing/">x</a>', "'missing/' leads nowhere: no such file"),
        ('<a href="other/#nowhere">x</a>', "other/index.html has no 'nowhere'"),
        ('<a href="#nowhere">x</a>', "index.html has no 'nowhere'"),
        ('<a href="../outside.html">x</a>', "no such file"),
        ('<a href="/missing.html">x</a>', "no such file"),
        ('<i id="twice"></i><b id="twice"></b>', "two elements have the id 'twice'"),
        ('<img src="there.png">', "has no alt text"),
        ('<img src="there.png" alt="">', "has no alt text"),
        ('<img src="gone.png" alt="Gone">', "no such file"),
        ("<article><script>go()</script></article>", "no page's own script is run"),
        ('<b class="x" onclick="go()">x</b>', "take out 'onclick='"),
        ('<a href=" JavaScript:go()">x</a>', "runs a script"),
        ('<script src="https://cdn.example/x.js"></script>', "another origin"),
        ('<script src=""></script>', "it is empty"),
        ('<link rel="stylesheet" href="//cdn.example/x.css">', "another origin"),
        ('<iframe src="https://example.org"></iframe>', "another origin"),
        ('<link rel="stylesheet" href="bad.css">', "'https://fonts.example/a.woff2' is loaded"),
    ],
)
def test_the_check_finds(planted: str, what: str, tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "other").mkdir(parents=True)
    (tmp_path / "outside.html").touch()
    (site / "there.png").touch()
    (site / "bad.css").write_text("")
    (site / "other/index.html").write_text('<h1 id="here">Other</h1><a href="..">up</a>')
    sound = '<a href="other/#here">a</a><a href="https://example.org">b</a><a href="#">c</a>'
    (site / "index.html").write_text(f"<body>{sound}</body>")
    assert list(links.faults(site)) == []
    if "bad.css" in planted:
        (site / "bad.css").write_text("@font-face { src: url('https://fonts.example/a.woff2') }")
    (site / "index.html").write_text(f"<body>{sound}\n{planted}</body>")
    (fault,) = links.faults(site)
    assert what in fault.what


def test_the_check_knows_the_address_of_the_site(tmp_path: Path) -> None:
    address = "https://example.org/rlhf/"
    (tmp_path / "index.html").write_text(
        f'<a href="{address}">a</a><a href="/rlhf/b.html">b</a><a href="{address}gone/">c</a>'
    )
    (tmp_path / "b.html").touch()
    (fault,) = links.faults(tmp_path, address)
    assert "gone/" in fault.what


# Building it again

BUILD = """
import sys
from mkdocs.commands.build import build
from mkdocs.config import load_config

config = load_config("mkdocs.yml", site_dir=sys.argv[1])
config.plugins.on_startup(command="build", dirty=False)
build(config)
"""
CHECK = "import sys; sys.exit(42 if {'torch', 'matplotlib'} & set(sys.modules) else 0)"


def test_a_warm_build_needs_neither_torch_nor_matplotlib_and_repeats_its_bytes(
    pages: dict[str, str], tmp_path: Path
) -> None:
    again = [sys.executable, "-c", BUILD + CHECK, str(tmp_path)]
    assert subprocess.run(again, cwd=ROOT).returncode == 0
    for name, page in pages.items():
        assert (tmp_path / name).read_text(encoding="utf-8") == page, f"{name}: run make site"

    heavy = [sys.executable, "-c", f"import torch; {CHECK}"]
    assert subprocess.run(heavy).returncode == 42
