"""Every page by keyboard, in large text, in a narrow window, without motion, without scripts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, Playwright, ViewportSize

from tests.site.conftest import DESK, PAGES, PHONE, Visit, launched, patient
from tests.site.test_axe import KINDS
from tests.site.test_explore_fence import SHOWN

# Where the focus is, and what is wrong with how it shows.
FOCUS = """() => {
  const e = document.activeElement
  if (e == document.body) return null
  if (!e.dataset.stop) e.dataset.stop = Math.random()
  const shown = e.matches(".md-option") ? e.nextElementSibling
    : e.matches(".md-search__input") ? e.form
    : e.id == "__drawer" ? document.querySelector(".md-header [for=__drawer]") : e
  const look = getComputedStyle(shown), box = shown.getBoundingClientRect()
  const top = shown.closest(".md-header, .md-skip, .md-sidebar") ? 0
    : document.querySelector(".md-header").getBoundingClientRect().bottom
  const wrong = []
  if (look.outlineStyle == "none" || parseFloat(look.outlineWidth) < 2) wrong.push("no outline")
  if (!shown.checkVisibility({opacityProperty: true, visibilityProperty: true}))
    wrong.push("invisible")
  if (box.right <= 0 || box.left >= innerWidth || box.bottom <= top || box.top >= innerHeight)
    wrong.push("out of sight")
  return [e.dataset.stop, wrong.join(", "), e.outerHTML.slice(0, 150)]
}"""
# What can be operated, and is there to be seen.
OPERABLE = """() => [...document.querySelectorAll("[href], button, input, summary, [tabindex='0']")]
  .filter(e => e.checkVisibility({visibilityProperty: true}) && e.tabIndex >= 0)
  .filter(e => !e.matches("input[type=radio]:not(:checked), .md-skip"))
  .filter(e => !e.dataset.stop).map(e => e.outerHTML.slice(0, 150))"""


def faults_by_keyboard(page: Page) -> list[str]:
    """Go through a page with Tab: what does not show that it has the focus, or is not reached."""
    met: set[str] = set()
    wrong = []
    for _ in range(1500):
        page.keyboard.press("Tab")
        focus = page.evaluate(FOCUS)
        for _ in range(10):  # search opens, and a page scrolls, in a moment
            if not focus or not focus[1]:
                break
            page.wait_for_timeout(200)
            focus = page.evaluate(FOCUS)
        if focus is None or focus[0] in met:
            break
        met.add(focus[0])
        wrong += [f"{focus[1]}: {focus[2]}"] if focus[1] else []
    return wrong + [f"not reached: {html}" for html in page.evaluate(OPERABLE)]


@pytest.mark.looks
@pytest.mark.parametrize(
    ("name", "size"),
    [(name, DESK) for name in PAGES] + [(name, PHONE) for name in KINDS],
)
def test_by_keyboard(name: str, size: Any, visit: Visit) -> None:
    """Tab reaches all that can be operated, and what has the focus shows it.

    On a phone pages of one kind differ only in what a wide window shows, too.
    """
    with visit(name, viewport=size, reduced_motion="reduce") as page:
        wrong = faults_by_keyboard(page)
        assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("planted", "what"),
    [
        ('<button style="outline: none">x</button>', "no outline: <button"),
        ('<button style="opacity: 0">x</button>', "invisible: <button"),
        ('<button style="position: fixed; left: -99px">x</button>', "out of sight: <button"),
        ("<div inert><button>x</button></div>", "not reached: <button"),
    ],
)
def test_what_a_keyboard_misses_is_noticed(planted: str, what: str, visit: Visit) -> None:
    with visit("guide/summary/", reduced_motion="reduce") as page:
        page.evaluate("html => document.querySelector('article h1').outerHTML += html", planted)
        (wrong,) = faults_by_keyboard(page)
        assert wrong.startswith(what)


def test_the_menu_by_keyboard(visit: Visit) -> None:
    with visit("guide/summary/", viewport=PHONE, reduced_motion="reduce") as page:
        link = page.locator(".md-sidebar--primary a[href='../quiz/']")
        assert not link.is_visible()
        page.keyboard.press("Tab")  # to the link that skips to the content
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        assert link.is_visible()
        link.focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/guide/quiz/")


def test_light_and_dark_by_keyboard(visit: Visit) -> None:
    with visit("", reduced_motion="reduce") as page:
        scheme = "document.body.dataset.mdColorScheme"
        assert page.evaluate(scheme) == "default"
        page.locator(".md-option:has(+ label:not([hidden]))").focus()
        seen = [page.keyboard.press("Enter") or page.evaluate(scheme) for _ in range(3)]
        assert set(seen) == {"default", "slate"}


# Large text and narrow windows

TEXTS = """() => {
  const root = document.querySelector("article"), sizes = []
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT)
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement
    if (!walker.currentNode.data.trim() || !e.checkVisibility()) continue
    if (e.closest("script, math")) continue
    const matrix = e.closest("svg")?.getScreenCTM()
    sizes.push([walker.currentNode.data.trim().slice(0, 40),
                parseFloat(getComputedStyle(e).fontSize) * (matrix ? matrix.a : 1)])
  }
  return sizes
}"""
CUT = """() => [...document.querySelectorAll("body *")].filter(e => {
  const look = getComputedStyle(e), hidden = v => v == "hidden" || v == "clip"
  if (!e.innerText?.trim() || !e.checkVisibility()) return false
  if (e.closest(".md-search, .md-header__title, math")) return false
  if (look.clipPath != "none" || e.clientWidth < 2) return false  // for screen readers only
  return hidden(look.overflowX) && e.scrollWidth > e.clientWidth + 1
      || hidden(look.overflowY) && e.scrollHeight > e.clientHeight + 3
}).map(e => e.outerHTML.slice(0, 150))"""
SMALLEST = """() => Math.min(...[...document.querySelectorAll(".live :not(svg, svg :not(text))")]
  .map(e => parseFloat(getComputedStyle(e).fontSize)
            * (e.closest("svg")?.getScreenCTM()?.a ?? 1)))"""
SIDEWAYS = "document.documentElement.scrollWidth - innerWidth"


@pytest.fixture(scope="session")
def large(playwright: Playwright) -> Iterator[BrowserContext]:
    """A browser whose reader has set all text to twice the usual size."""
    browser = launched(playwright, "--blink-settings=defaultFontSize=32,defaultFixedFontSize=26")
    yield patient(browser.new_context(viewport=DESK))
    browser.close()


@pytest.mark.looks
@pytest.mark.parametrize("name", PAGES)
def test_text_at_twice_the_size(
    name: str, visit: Visit, large: BrowserContext, address: str
) -> None:
    """Every text grows, none is cut, and the page does not scroll sideways."""
    with visit(name, wake=False) as page:
        usual = page.evaluate(TEXTS)
    page = large.new_page()
    page.goto(address + name)
    grown, cut, sideways = page.evaluate(TEXTS), page.evaluate(CUT), page.evaluate(SIDEWAYS)
    page.close()
    before: dict[str, float] = {}
    for text, size in usual:
        before[text] = min(size, before.get(text, size))
    small = [(text, size) for text, size in grown if size < 1.9 * before.get(text, 0)]
    assert grown
    assert (small, cut, sideways) == ([], [], 0)


@pytest.mark.parametrize("window", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize(("name", "figure"), SHOWN)
def test_live_parts_at_twice_the_size(
    name: str, figure: str, window: ViewportSize, large: BrowserContext, address: str
) -> None:
    page = large.new_page()
    page.set_viewport_size(window)
    page.goto(address + name)
    page.mouse.move(1, 1)
    page.click(f"#{figure} > button")
    page.wait_for_selector(f"#{figure} > button", state="detached")
    if page.locator(".live .choice").count():
        for key in "123":
            page.keyboard.press(key)
        page.click(".live .md-button--primary")
    if (stop := page.locator(".live button", has_text="Stop")).count():
        page.locator(".live .chart polyline:not([stroke-dasharray])").first.wait_for()
        stop.click()
        page.locator(".live .md-button--primary:not([disabled])").wait_for()
    if (word := page.locator(".live .answers .word")).count():
        word.first.click()
    page.evaluate("document.querySelectorAll('.live details').forEach(d => d.open = true)")
    cut = page.evaluate(CUT.replace("body *", ".explore *"))
    smallest, sideways = page.evaluate(SMALLEST), page.evaluate(SIDEWAYS)
    page.close()
    assert smallest >= 16  # pixels
    assert (cut, sideways) == ([], 0)


def test_what_does_not_fit_is_noticed(visit: Visit) -> None:
    looks = "looks => document.querySelector('h1').style.cssText = looks"
    with visit("guide/summary/", wake=False, viewport={"width": 320, "height": 640}) as page:
        page.evaluate(looks, "width: 400px")
        assert page.evaluate(SIDEWAYS) > 0
        page.evaluate(looks, "height: 9px; overflow: hidden")
        assert len(page.evaluate(CUT)) == 1


# Motion and scripts

MOVING = """() => {
  const moves = look => look.transitionDuration.split(", ").some(t => parseFloat(t) > 0)
    || look.animationName != "none" && parseFloat(look.animationDuration) > 0
    || look.scrollBehavior == "smooth"
  return [...document.querySelectorAll("*")].flatMap(e => ["", "::before", "::after"]
    .filter(part => moves(getComputedStyle(e, part))).map(part => e.outerHTML.slice(0, 80) + part))
}"""


@pytest.mark.parametrize("name", ["", "guide/quiz/", "notebooks/01_what_is_rlhf/"])
def test_nothing_moves_where_no_motion_is_wanted(name: str, visit: Visit) -> None:
    with visit(name) as page:
        assert page.evaluate(MOVING)  # the theme's own
        page.emulate_media(reduced_motion="reduce")
        assert page.evaluate(MOVING) == []


def shown(page: Page) -> list[str]:
    """What can be read in the main part, hidden answers included, figures' texts too."""
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    parts = "h1, h2, h3, p, li, pre, td, th, math, svg text, summary"
    text = (
        page.locator("main")
        .locator(parts)
        .evaluate_all(
            "all => all.filter(e => e.checkVisibility() && !e.querySelector('#asked'))"
            ".map(e => e.textContent.trim())"  # the 404 page says there what was asked for
        )
    )
    return [line for line in text if line]


@pytest.mark.looks
@pytest.mark.parametrize("name", PAGES)
def test_in_the_narrowest_window_with_scripts_and_without(name: str, visit: Visit) -> None:
    """320 px: what a reader has who enlarges a desktop page four times."""
    narrow = {"viewport": {"width": 320, "height": 640}, "reduced_motion": "reduce"}
    with visit(name, wake=False, **narrow) as page:
        with_scripts = shown(page)
        page.wait_for_timeout(200)  # what has been opened takes its place
        assert (page.evaluate(SIDEWAYS), page.evaluate(CUT)) == (0, [])
    with visit(name, java_script_enabled=False, **narrow) as page:
        without = shown(page)
        assert page.evaluate(SIDEWAYS) == 0
    assert without
    assert [text for text in with_scripts if text not in without] == []
