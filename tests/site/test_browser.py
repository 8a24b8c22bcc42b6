"""The pages in a browser: figures in the theme's colours, joined boxes, search."""

from tests.site.conftest import PHONE, Visit


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


def test_a_long_title_stays_in_the_header(visit: Visit) -> None:
    bottom = "e => e.getBoundingClientRect().bottom"
    with visit("guide/ppo-by-hand/", viewport=PHONE) as page:
        page.mouse.wheel(0, 1800)
        title = page.locator("[data-md-component=header-topic] .md-ellipsis")
        title.wait_for()
        assert title.evaluate(bottom) <= page.locator(".md-header").evaluate(bottom)
