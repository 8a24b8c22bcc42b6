"""A site that knows its addresses, in a subfolder of a host; and one that does not."""

import datetime
import functools
import http.server
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from rlhf_explained import memo
from tests.site.conftest import ASLEEP, SITE, Host, patient
from tests.test_build import ROOT, copied, make_site

REPOSITORY = "https://github.com/example/rlhf-explained"
FOLDER = "/some/where"
UNKNOWN = "reference/glossary"  # to git


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as a host gets it, built in a checkout with one commit that lacks a page."""
    copy = copied(ROOT, tmp_path_factory.mktemp("published") / "copy", memo.root())
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org"]
    for words in (
        ["init", "--quiet"],
        ["add", "docs", f":!docs/{UNKNOWN}.md"],
        ["commit", "--quiet", "-m", "Begin"],
    ):
        subprocess.run([*git, *words], cwd=copy, check=True)
    process = make_site(copy, REPO_URL=REPOSITORY, SITE_URL=f"https://example.org{FOLDER}/")
    _, errors = process.communicate(timeout=1800)
    assert process.returncode == 0, errors
    return copy / "site"


class Below(Host):
    """Serves a site in a folder of the host."""

    def translate_path(self, path: str) -> str:
        """Leave out the folder; nothing lies beside it."""
        inside = path.startswith(f"{FOLDER}/")
        return super().translate_path(path.removeprefix(FOLDER) if inside else "/nothing-there")


@pytest.fixture(scope="module")
def host(published: Path) -> Iterator[str]:
    handler = functools.partial(Below, directory=str(published))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    context = patient(browser.new_context())
    context.add_init_script(ASLEEP)
    yield context.new_page()
    context.close()


# Editing and last changes


def test_pages_say_where_to_edit_them_and_when_they_changed(published: Path) -> None:
    today = datetime.date.today()
    days = {(today + datetime.timedelta(days)).isoformat() for days in (-1, 0)}  # midnight may pass
    for page, source in {
        "guide/ppo": "guide/ppo.md",
        "reference/api/formulas": "reference/api/formulas/index.md",
        "notebooks/01_what_is_rlhf": "notebooks/01_what_is_rlhf.py",
    }.items():
        html = (published / page / "index.html").read_text(encoding="utf-8")
        assert f'<a href="{REPOSITORY}/edit/main/docs/{source}" title="Edit this page"' in html
        (date,) = set(re.findall(r'Last change: <time datetime="(.*?)">\1</time>', html))
        assert date in days
    html = (published / f"{UNKNOWN}/index.html").read_text(encoding="utf-8")
    assert 'rel="edit"' in html
    assert "<time" not in html, "git does not know this page"


def test_nobody_is_asked_for_stars(host: str, published: Path, tab: Page) -> None:
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(f"{host}{FOLDER}/guide/ppo/", wait_until="networkidle")
    assert tab.locator(f'.md-header a[href="{REPOSITORY}"]').is_visible()
    assert [url for url in asked if not url.startswith((host, "data:", "blob:"))] == []


def test_without_an_address_nothing_is_shown() -> None:
    pages = [path.read_text(encoding="utf-8") for path in SITE.rglob("*.html")]
    assert pages
    for sign in ('rel="edit"', "Last change", 'class="md-source"', "edit/main"):
        assert not [page for page in pages if sign in page], sign


# The page for missing addresses


def first_result(tab: Page) -> str:
    tab.locator("#found a").first.wait_for()
    return tab.locator("#found a").first.get_attribute("href") or ""


def test_a_missing_page_is_searched_for(address: str, tab: Page) -> None:
    answer = tab.goto(f"{address}guide/pppo/")
    assert answer is not None
    assert answer.status == 404
    assert first_result(tab) == f"{address}guide/ppo/"
    assert "nothing at /guide/pppo/." in tab.locator("main").inner_text()
    assert tab.locator("#found").get_attribute("aria-live") == "polite"
    assert "pppo" in tab.locator("input.md-search__input").input_value()
    tab.locator("#found a").first.click()
    assert tab.locator("h1").first.inner_text().startswith("Stage 3: PPO")


@pytest.mark.parametrize("missing", ["/pppo.html", "/a/deep/er/pppo/", "/%E0%A4%A/pppo/index.html"])
def test_in_a_subfolder_at_any_depth(missing: str, host: str, tab: Page) -> None:
    wrong: list[str] = []
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("console", lambda message: wrong.append(message.text))
    tab.goto(f"{host}{FOLDER}{missing}")
    assert first_result(tab) == f"{host}{FOLDER}/guide/ppo/"
    tab.get_by_role("link", name="Stage 2: The reward model").last.click()
    tab.wait_for_url(f"{host}{FOLDER}/guide/reward-model/")
    assert [line for line in wrong if "status of 404" not in line] == []  # the page's own status


def test_words_like_none_on_the_site(address: str, tab: Page) -> None:
    tab.goto(f"{address}zzqqzz")
    tab.get_by_text("and found nothing like that").wait_for()
    assert tab.locator("#found a").count() == 0


def test_a_missing_page_reads_whole_without_scripts(browser: Browser, address: str) -> None:
    context = patient(browser.new_context(java_script_enabled=False))
    page = context.new_page()
    page.goto(f"{address}guide/pppo/")
    text = page.locator("main article").inner_text()
    assert "There is nothing at this address." in text
    assert page.locator("main article li a:visible").count() >= 10
    context.close()
