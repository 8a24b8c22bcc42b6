"""The pages in a browser: figures in the theme's colours, a long title in the header."""

from tests.site.conftest import PHONE, Visit


def test_figures_follow_the_theme(visit: Visit) -> None:
    ink = "getComputedStyle(document.querySelector('.drawing text')).fill"
    with visit("guide/ppo/") as page:
        light = page.evaluate(ink)
        page.emulate_media(color_scheme="dark")
        page.wait_for_selector('body[data-md-color-scheme="slate"]', state="attached")
        assert page.evaluate(ink) != light


def test_a_long_title_stays_in_the_header(visit: Visit) -> None:
    bottom = "e => e.getBoundingClientRect().bottom"
    with visit("guide/ppo-by-hand/", viewport=PHONE) as page:
        page.mouse.wheel(0, 1800)
        title = page.locator("[data-md-component=header-topic] .md-ellipsis")
        title.wait_for()
        assert title.evaluate(bottom) <= page.locator(".md-header").evaluate(bottom)
