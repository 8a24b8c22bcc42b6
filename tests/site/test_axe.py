"""Every page by the rules of axe-core: light and dark, wide and narrow, search and menu open."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.site.conftest import DESK, MODULES, PAGES, PHONE, Visit, not_run

# WCAG 2.2 up to level AA, and best practices: no rule is switched off.
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
AXE = """tags => axe
  .run(document, {runOnly: {type: "tag", values: tags}, resultTypes: ["violations"]})
  .then(({violations}) => violations.flatMap(({id, help, nodes}) =>
    nodes.map(({target, html}) =>
      `${id}: ${help}\\n    ${target.join(" ")}\\n    ${html.slice(0, 200)}`)))
"""


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong: each rule broken, with the element that breaks it."""
    if not page.evaluate("'axe' in window"):
        script = MODULES / "axe-core" / "axe.min.js"
        if not script.is_file():
            not_run("axe-core", "make test")
        page.evaluate(script.read_text(encoding="utf-8"))
    return page.evaluate(AXE, TAGS)


def look(page: Page, size: Any, scheme: str) -> None:
    """Show the page in a size and in light or dark, and let all that moves come to rest."""
    page.set_viewport_size(size)
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    shown = {"light": "default", "dark": "slate"}[scheme]
    page.wait_for_selector(f'body[data-md-color-scheme="{shown}"]', state="attached")
    page.wait_for_function("document.getAnimations().every(a => a.playState != 'running')")


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(name: str, visit: Visit) -> None:
    found: dict[str, list[str]] = {}
    with visit(name) as page:
        for number, scheme in enumerate(("light", "dark")):
            if number:
                page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            for size in (DESK, PHONE):
                state = f"{name or 'home'}, {scheme}, {size['width']} px"
                look(page, size, scheme)
                found[state] = violations(page)
                if size is PHONE:
                    page.locator(".md-header__button[for=__drawer]").click()
                    page.wait_for_timeout(60)
                    found[f"{state}, menu open"] = violations(page)
                    page.locator(".md-overlay").click(position={"x": 350, "y": 400})
                    page.wait_for_timeout(60)
                    page.locator(".md-header__button[for=__search]").click()
                else:
                    page.locator("input.md-search__input").click()
                page.keyboard.press("Control+A")
                page.keyboard.type("reward")
                page.wait_for_selector(".md-search-result__link")
                page.wait_for_timeout(60)
                found[f"{state}, search open"] = violations(page)
                page.keyboard.press("Escape")
                page.wait_for_timeout(60)
    wrong = [f"{state}: {what}" for state, whats in found.items() for what in whats]
    assert not wrong, "\n".join(wrong)


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
