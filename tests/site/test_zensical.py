"""The successor of the theme shows the same pages: our Markdown extensions need no hook of MkDocs.

Notebooks stay behind, and what hooks publish beside the pages is laid into the docs instead.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from bs4 import BeautifulSoup
from mkdocs.utils.yaml import yaml_load

from rlhf_explained.site.publish import links
from tests.site.conftest import ROOT, SITE

PAGES = sorted(
    path.relative_to(ROOT / "docs").with_suffix("").as_posix()
    for path in (ROOT / "docs").rglob("*.md")
    if "api" not in path.parts
    and path.name not in ("whole.md", "decisions.md")  # filled by a hook; not published
)

# What our extensions make, by the CSS selector of an article's elements: it must say the same there
HOLDS = {
    "figures": "figure.drawn",
    "drawings": "figure.drawn svg[role=img]",
    "what drawings show": "figure.drawn svg > title",
    "captions": "figcaption",
    "values": ".measured",
    "formulas": "math",
    "samples": ".samples, .answers",
    "diagrams and output": ".language-text pre",
    "code": ".language-python pre",
    "hidden answers": "details",
    "tables": "table",
    "headings": "h1, h2, h3, h4",
    "links": "a[href]:not(.headerlink, .md-content__button)",
}
PUBLISHED = {"downloads", "figures"}  # folders that hooks fill
UNEXPANDED = r"\{\{ ?value|\$[^$\n]+\$|\]\[rlhf_|```|wzxhzdk"


def config() -> dict[str, Any]:
    """What `mkdocs.yml` says to any theme."""
    settings = yaml_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    del settings["hooks"], settings["theme"]["custom_dir"]
    settings.pop("edit_uri", None)  # a hook says whether the repository's address is known
    settings["plugins"] = [
        plugin
        for plugin in settings["plugins"]
        if not (isinstance(plugin, dict) and "mkdocs-jupyter" in plugin)
    ]
    settings["nav"] = [entry for entry in settings["nav"] if "Notebooks" not in entry]
    return settings


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as Zensical builds it."""
    folder = tmp_path_factory.mktemp("zensical")
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("notebooks"))
    for published in PUBLISHED & {path.name for path in SITE.iterdir()}:
        shutil.copytree(SITE / published, folder / "docs" / published)
    (folder / "rlhf_explained").symlink_to(ROOT / "rlhf_explained")  # whose docstrings are shown
    (folder / "mkdocs.yml").write_text(yaml.dump(config(), sort_keys=False), encoding="utf-8")
    build = [sys.executable, "-m", "zensical", "build", "--strict"]
    paths = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(build, cwd=folder, env=paths, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


def article(site: Path, page: str) -> BeautifulSoup:
    """The part of a page that its Markdown became."""
    path = site / page / "index.html"
    path = site / page.removesuffix("index") / "index.html" if page.endswith("index") else path
    found = re.search(r"<article.*</article>", path.read_text(encoding="utf-8"), re.S)
    assert found, page
    return BeautifulSoup(found[0], "html.parser")


def said(content: BeautifulSoup, selector: str) -> list[str]:
    return [re.sub(r"\s+", " ", element.get_text()) for element in content.select(selector)]


def test_it_says_the_same_and_nothing_stays_unexpanded_or_at_fault(site: Path) -> None:
    there = dict.fromkeys(HOLDS, 0)
    for page in PAGES:
        mkdocs, zensical = article(SITE, page), article(site, page)
        for what, selector in HOLDS.items():
            expected = said(mkdocs, selector)
            assert said(zensical, selector) == expected, f"{page}: {what}"
            there[what] += len(expected)
        assert not zensical.select(".fault, .arithmatex"), page
        for part in zensical.select("pre, code, script, svg, math"):
            part.extract()
        assert not re.search(UNEXPANDED, zensical.get_text()), page
    assert all(there.values()), f"no page holds any: is the selector still right? {there}"


def test_links_lead_to_pages_and_files(site: Path) -> None:
    found = [fault for fault in links.faults(site) if site / "404.html" != fault.page]
    notebooks = re.compile(r"\.py(#.*)?$")
    assert [fault for fault in found if not notebooks.search(fault.words)] == []


def test_the_stylesheet_is_taken_over(site: Path) -> None:
    styles = "assets/stylesheets/extra.css"
    assert (site / styles).read_bytes() == (ROOT / "docs" / styles).read_bytes()
    assert f"../../{styles}" in (site / "guide/ppo/index.html").read_text(encoding="utf-8")
