"""A published style sheet holds all that some page or script can need, and little else."""

from __future__ import annotations

import re
from pathlib import Path

import material
import pytest

from rlhf_explained.site.publish import style_sheets
from tests.site.conftest import ROOT, Visit

THEME = Path(material.__file__).parent / "templates/assets/stylesheets"


@pytest.mark.parametrize(
    ("written", "published"),
    [
        ("/* why */.there {\n  color: red;\n}\n", ".there { color: red; } "),
        (".gone { color: red } p { margin: 0 }", " p { margin: 0 }"),
        (".gone, .there > p,.there .gone{margin: 0}", " .there > p{margin: 0}"),
        ("@media print{.gone{a:b}@supports (x: y){.gone{a:b}p{a:b}}}",
         "@media print{@supports (x: y){p{a:b}}}"),
        (".there:not(.gone,:is(.gone, a:not(.gone))),.gone{a:b}",
         ".there:not(.gone,:is(.gone, a:not(.gone))){a:b}"),
        ("@keyframes x{from{a:b}to{a:c}}", "@keyframes x{from{a:b}to{a:c}}"),
        ("@font-face{src:url('x.woff2')}", "@font-face{src:url('x.woff2')}"),
        (".made{a:b}", ".made{a:b}"),
    ],
)  # fmt: skip
def test_what_nothing_can_match_is_left_out(written: str, published: str, tmp_path: Path) -> None:
    (tmp_path / "assets/javascripts").mkdir(parents=True)
    (tmp_path / "assets/javascripts/x.js").write_text('a.className = "made"')
    (tmp_path / "index.html").write_text('<p class="there">gone</p>')
    sheet = tmp_path / "x.css"
    sheet.write_text(written)
    style_sheets.thin(tmp_path)
    assert sheet.read_text() == published


LACKING = r"""whole => {
  const selectors = function* (rules) {
    for (const rule of rules) {
      if (rule.selectorText) yield* rule.selectorText.split(/, (?![^(]*\))/)
      else if (rule.cssRules) yield* selectors(rule.cssRules)
    }
  }
  const sheets = [...document.styleSheets]
  const published = new Set(sheets.flatMap(sheet => [...selectors(sheet.cssRules)]))
  const theme = new CSSStyleSheet()
  theme.replaceSync(whole)
  const states = /::?(before|after|hover|focus[a-z-]*|active|-[a-z-]+)(?![\w-])/g
  return [...selectors(theme.cssRules)].filter(each => {
    if (published.has(each)) return false
    try { return document.querySelector(each.replace(states, "")) } catch { return false }
  })
}"""
KINDS = ["", "404.html", "guide/methods/", "guide/quiz/", "notebooks/04_dpo/", "whole/"]
KINDS += ["reference/bibliography/", "reference/api/stages/ppo/"]


@pytest.mark.parametrize("name", KINDS)
def test_no_rule_that_a_page_meets_is_left_out(name: str, visit: Visit) -> None:
    whole = "".join(path.read_text(encoding="utf-8") for path in sorted(THEME.glob("*.min.css")))
    with visit(name) as page:
        assert page.evaluate(LACKING, whole) == []


def test_a_rule_that_is_lacking_is_noticed(visit: Visit) -> None:
    with visit("guide/summary/") as page:
        assert page.evaluate(LACKING, ".gone{a:b}main:not(.gone){color:red}") == ["main:not(.gone)"]


def test_nothing_hides_what_has_the_focus() -> None:
    for path in [*ROOT.glob("docs/**/*.css"), *ROOT.glob("rlhf_explained/explore/js/*.js")]:
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
            hidden = re.search(r"outline(?:-\w+)?: *(?:none|0)\b", line)
            assert not hidden, f"{path}:{number}: who has no mouse needs the outline: take this out"
