"""Every page in a browser: on a phone and on a desk, light and dark."""

import pytest
from playwright.sync_api import TimeoutError as TooLate

from tests.site.conftest import DESK, PAGES, PHONE, Visit

OVERHANG = """() => {  // what reaches beyond the right edge, and cannot be scrolled by itself
  const width = document.documentElement.clientWidth;
  const scrolls = e => e &&
    (getComputedStyle(e).overflowX != "visible" || scrolls(e.parentElement));
  return [...document.querySelectorAll("main *")]
    .filter(e => e.getBoundingClientRect().right > width + 1 && !scrolls(e.parentElement))
    .slice(0, 3).map(e => e.outerHTML.slice(0, 120)).join("\\n");
}"""


@pytest.mark.parametrize("name", PAGES)
def test_a_page_in_every_light_and_width(name: str, visit: Visit) -> None:
    with visit(name) as page:
        for size, scheme in ((DESK, "light"), (DESK, "dark"), (PHONE, "dark"), (PHONE, "light")):
            page.set_viewport_size(size)
            page.emulate_media(color_scheme=scheme)
            shown = {"light": "default", "dark": "slate"}[scheme]
            page.wait_for_selector(f'body[data-md-color-scheme="{shown}"]', state="attached")
            try:  # the drawer slides away for a moment when the window narrows
                page.wait_for_function(
                    "width => document.documentElement.scrollWidth <= width",
                    arg=size["width"],
                    timeout=5000,
                )
            except TooLate:
                pytest.fail(f"scrolls sideways at {size['width']} px:\n{page.evaluate(OVERHANG)}")


def test_figures_follow_the_theme(visit: Visit) -> None:
    ink = "getComputedStyle(document.querySelector('.drawing text')).fill"
    with visit("guide/ppo/") as page:
        light = page.evaluate(ink)
        page.emulate_media(color_scheme="dark")
        page.wait_for_selector('body[data-md-color-scheme="slate"]', state="attached")
        assert page.evaluate(ink) != light


def test_boxes_of_diagrams_join(visit: Visit) -> None:
    """The font is there, and a line is no higher than the glyphs that must touch."""
    with visit("guide/pipeline/") as page:
        block = page.locator(".language-text:not(:has(> .filename)) pre > code").first
        font, size, line = block.evaluate(
            "e => { const s = getComputedStyle(e);"
            " return [s.fontFamily, parseFloat(s.fontSize), parseFloat(s.lineHeight)] }"
        )
        assert font.startswith("Diagram")
        assert page.evaluate("document.fonts.check('14px Diagram')")
        assert line <= 1.25 * size


def test_search_finds_a_term(visit: Visit) -> None:
    with visit("") as page:
        page.locator("input.md-search__input").click()
        page.keyboard.type("reward hacking")
        page.wait_for_selector(".md-search-result__link", state="attached")
