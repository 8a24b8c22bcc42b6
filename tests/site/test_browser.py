"""Every page in a browser: on a phone and on a desk, light and dark."""

import contextlib
import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import TimeoutError as TooLate

SITE = Path(__file__).resolve().parents[2] / "site"
PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 900}
OVERHANG = """() => {  // what reaches beyond the right edge, and cannot be scrolled by itself
  const width = document.documentElement.clientWidth;
  const scrolls = e => e &&
    (getComputedStyle(e).overflowX != "visible" || scrolls(e.parentElement));
  return [...document.querySelectorAll("main *")]
    .filter(e => e.getBoundingClientRect().right > width + 1 && !scrolls(e.parentElement))
    .slice(0, 3).map(e => e.outerHTML.slice(0, 120)).join("\\n");
}"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves the site and logs nothing."""

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextlib.contextmanager
def visit(browser: Browser, url: str) -> Iterator[Page]:
    """Open a page; afterwards nothing may have gone wrong in it."""
    context = browser.new_context(viewport=DESK, color_scheme="light")
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
    origin = "/".join(url.split("/")[:3])
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((origin, "data:", "blob:"))
            else wrong.append(f"foreign: {request.url}")
        ),
    )
    page.goto(url, wait_until="networkidle")
    yield page
    context.close()
    assert wrong == []


PAGES = sorted(
    path.relative_to(SITE).as_posix().removesuffix("index.html") for path in SITE.rglob("*.html")
)


@pytest.mark.parametrize("name", PAGES or ["missing: run make site"])
def test_a_page_in_every_light_and_width(name: str, browser: Browser, address: str) -> None:
    with visit(browser, address + name) as page:
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


def test_figures_follow_the_theme(browser: Browser, address: str) -> None:
    ink = "getComputedStyle(document.querySelector('.drawing text')).fill"
    with visit(browser, address + "guide/ppo/") as page:
        light = page.evaluate(ink)
        page.emulate_media(color_scheme="dark")
        page.wait_for_selector('body[data-md-color-scheme="slate"]', state="attached")
        assert page.evaluate(ink) != light


def test_boxes_of_diagrams_join(browser: Browser, address: str) -> None:
    """The font is there, and a line is no higher than the glyphs that must touch."""
    with visit(browser, address + "guide/pipeline/") as page:
        block = page.locator(".language-text:not(:has(> .filename)) pre > code").first
        font, size, line = block.evaluate(
            "e => { const s = getComputedStyle(e);"
            " return [s.fontFamily, parseFloat(s.fontSize), parseFloat(s.lineHeight)] }"
        )
        assert font.startswith("Diagram")
        assert page.evaluate("document.fonts.check('14px Diagram')")
        assert line <= 1.25 * size


def test_search_finds_a_term(browser: Browser, address: str) -> None:
    with visit(browser, address) as page:
        page.locator("input.md-search__input").click()
        page.keyboard.type("reward hacking")
        page.wait_for_selector(".md-search-result__link", state="attached")
