"""Every page by the rules of axe-core: light and dark, wide and narrow, search and menu open.

None of them may scroll sideways either, nor say anything on the console, which `visit` watches.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.site.conftest import DESK, MODULES, PAGES, PHONE, Visit, not_run

# WCAG 2.2 up to level AA, and best practices: no rule is switched off.
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
COLOURS = ("color-contrast", "link-in-text-block")  # the rules of these that look at colours
AXE = """([part, type, values]) => axe
  .run(part, {runOnly: {type, values}, resultTypes: ["violations"]})
  .then(({violations}) => violations.flatMap(({id, help, nodes}) =>
    nodes.map(({target, html}) =>
      `${id}: ${help}\\n    ${target.join(" ")}\\n    ${html.slice(0, 200)}`)))
"""


OVERHANG = """() => {  // what reaches beyond the right edge, and cannot be scrolled by itself
  const scrolls = e =>
    e != document.body && (getComputedStyle(e).overflowX != "visible" || scrolls(e.parentElement))
  return [...document.querySelectorAll("main *")]
    .filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !scrolls(e.parentElement))
    .slice(0, 3).map(e => e.outerHTML.slice(0, 120)).join(" ")
}"""


AT_REST = """async () => {  // the menu slides away for a moment when the window narrows
  const moves = () => document.getAnimations().some(a => a.playState == "running")
  const fits = () => document.documentElement.scrollWidth <= innerWidth
  for (const end = Date.now() + 5000; (moves() || !fits()) && Date.now() < end;)
    await new Promise(requestAnimationFrame)
  return fits()
}"""
TWO_FRAMES = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def violations(page: Page, part: str = "html", *, colours: bool = False) -> list[str]:
    """What axe-core finds wrong: each rule broken, with the element that breaks it.

    `part` is a selector of what it looks at; of `colours` alone or of everything.
    """
    if not page.evaluate("'axe' in window"):
        script = MODULES / "axe-core" / "axe.min.js"
        if not script.is_file():
            not_run("axe-core", "make test")
        page.evaluate(script.read_text(encoding="utf-8"))
    rules = ["rule", COLOURS] if colours else ["tag", TAGS]
    return page.evaluate(AXE, [part, *rules])


def looks(page: Page, *sizes: Any) -> Iterator[str]:
    """Show the page in light and dark and in each size, and let all that moves come to rest."""
    for size, scheme in itertools.product(sizes, ("light", "dark")):
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        shown = {"light": "default", "dark": "slate"}[scheme]
        page.wait_for_selector(f'body[data-md-color-scheme="{shown}"]', state="attached")
        if not page.evaluate(AT_REST):
            pytest.fail(f"scrolls sideways at {size['width']} px: {page.evaluate(OVERHANG)}")
        page.evaluate(TWO_FRAMES)  # in the first, the theme learns which blocks now scroll
        yield f"{scheme}, {size['width']} px"


# One page of each kind: here everything is looked at in the dark too, and again with the search and
# the menu open. Elsewhere these are the same, and nothing but colours is another in the dark.
KINDS = (
    *("", "404.html", "whole/", "guide/ppo/", "guide/quiz/", "notebooks/01_what_is_rlhf/"),
    *("reference/api/stages/ppo/", "reference/bibliography/", "reference/glossary/"),
)


@pytest.mark.looks
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(name: str, visit: Visit) -> None:
    found = {}
    with visit(name) as page:
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        for state in looks(page, DESK, PHONE):
            is_kind = name in KINDS
            found[state] = violations(page, colours="dark" in state and not is_kind)
            if is_kind:
                page.keyboard.press("/")
                if not page.locator(".md-search-result__link").count():
                    page.keyboard.type("bradley terry")
                page.wait_for_selector(".md-search-result__link")
                assert page.evaluate(AT_REST)
                found[f"{state}, search"] = violations(page, ".md-search")
                page.keyboard.press("Escape")
            if is_kind and page.viewport_size == PHONE:
                page.locator(".md-header__button[for=__drawer]").click()
                assert page.evaluate(AT_REST)
                found[f"{state}, menu"] = violations(page)
                page.locator("#__drawer").evaluate("e => { e.click(); e.blur() }")
    assert len(found) == (10 if name in KINDS else 4)
    wrong = [f"{state}: {what}" for state, whats in found.items() for what in whats]
    assert not wrong, f"{name or 'home'}, " + "\n".join(wrong)


def test_axe_finds_nothing_in_one_question_at_a_time(visit: Visit) -> None:
    assert set(KINDS) <= set(PAGES)
    with visit("guide/quiz/") as page:
        page.get_by_label("One at a time").check()
        page.locator(".quiz summary:visible").click()
        assert not [what for _ in looks(page, DESK, PHONE) for what in violations(page)]


@pytest.mark.parametrize(
    ("opener", "part", "planted"),
    [
        ("drawer", ".md-sidebar--primary", ".md-nav__item--active .md-nav__list"),
        ("search", ".md-header", ".md-search-result__list"),
    ],
)
def test_axe_looks_at_what_opens(opener: str, part: str, planted: str, visit: Visit) -> None:
    with visit("guide/summary/", viewport=PHONE, reduced_motion="reduce") as page:
        page.locator(f".md-header__button[for=__{opener}]").click()
        page.wait_for_timeout(60)
        assert violations(page, part) == []
        pale = '<li style="color: #bbb; background: #fff">pale</li>'
        list_ = page.locator(f"{part} {planted}").first
        list_.evaluate("(e, html) => e.insertAdjacentHTML('afterbegin', html)", pale)
        assert any(wrong.startswith("color-contrast") for wrong in violations(page, part))


def test_a_page_too_wide_is_noticed(visit: Visit) -> None:
    with visit("guide/summary/") as page:
        page.evaluate("document.querySelector('h1').style.width = '400px'")
        with pytest.raises(pytest.fail.Exception, match="sideways at 360 px: <h1"):
            list(looks(page, PHONE))


@pytest.mark.parametrize(
    ("planted", "rule"),
    [
        ('<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">', "image-alt"),
        ('<p style="color: #bbb; background: #fff">pale</p>', "color-contrast"),
        ('<p>a <a href="#x"></a> link</p>', "link-name"),
        ('<button style="width: 9px; height: 9px">x</button><button>y</button>', "target-size"),
        ("<h5>Down and down</h5>", "heading-order"),
        ('<div style="overflow: auto; width: 9px"><pre>too wide</pre></div>', "scrollable-region"),
    ],
)
def test_axe_finds_what_is_planted(planted: str, rule: str, visit: Visit) -> None:
    with visit("guide/summary/") as page:
        page.evaluate("html => document.querySelector('article h1').outerHTML += html", planted)
        assert any(wrong.startswith(rule) for wrong in violations(page))
