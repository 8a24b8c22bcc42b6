"""The Content-Security-Policy of each page: browsers keep to it, and the page lives with it."""

import re

import pytest
from playwright.sync_api import Browser

from rlhf_explained.site.publish.policy import policy, protected
from tests.site.conftest import PAGES, SITE, file_of, patient

FIRST = (
    '<!doctype html><html lang="en" class="no-js"><head><meta charset="utf-8"><meta http-equiv="'
)
WATCH = "blocked = []; addEventListener('securitypolicyviolation', e => blocked.push(e.blockedURI))"
PLANT = """script => {
  const planted = document.createElement("script")
  planted.textContent = script
  document.head.append(planted)
  return new Promise(resolve => setTimeout(() => resolve(blocked.splice(0)), 50))
}"""


def test_only_the_sites_own_scripts_may_run() -> None:
    for name in PAGES:
        page = file_of(name).read_text(encoding="utf-8")
        begin = re.sub(r">\s+<", "><", page[:500])
        assert begin.startswith(f'{FIRST}Content-Security-Policy" content="'), "it comes first"
        found = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
        (content,) = found
        said = dict(part.strip().split(" ", 1) for part in content.split(";"))
        own, *hashes = said["script-src"].split()
        assert own == said["default-src"] == "'self'"
        assert hashes
        assert all(re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", word) for word in hashes)
        assert said["object-src"] == said["base-uri"] == "'none'"


@pytest.mark.parametrize("folder", [False, True])
def test_pages_keep_to_it_and_what_is_planted_does_not_run(
    browser: Browser, address: str, folder: bool
) -> None:
    page = patient(browser.new_page())
    page.add_init_script(WATCH)
    for name in PAGES:
        if folder and name == "404.html":
            continue  # only a server shows it
        page.goto(f"{SITE.as_uri()}/{name}index.html" if folder else address + name)
        page.mouse.move(1, 1)
        page.mouse.move(2, 2)
        page.wait_for_selector("html.js", state="attached")
        assert page.evaluate("blocked") == [], name
        assert page.evaluate(PLANT, "window.planted = true") == ["inline"], name
        assert page.evaluate("window.planted") is None, name
    page.close()


def test_a_changed_script_is_not_run(browser: Browser, address: str) -> None:
    built = (SITE / "guide" / "summary" / "index.html").read_text(encoding="utf-8")
    page = SITE / "guide" / "summary" / "planted.html"
    page.write_text(built.replace("__md_hash=", "__md_hush="), encoding="utf-8")
    tab = patient(browser.new_page())
    try:
        tab.add_init_script(WATCH)
        tab.goto(f"{address}guide/summary/planted.html")
        assert tab.evaluate("blocked") == ["inline"]
        assert tab.evaluate("typeof __md_get") == "undefined"
    finally:
        tab.close()
        page.unlink()


def test_scripts_have_hashes_but_not_data_and_files() -> None:
    page = '<meta charset="utf-8"><script src="a.js"></script><script type="application/json">1'
    assert "sha256" not in policy(f"{page}</script>")
    assert policy(f"{page}</script>") in protected(f"{page}</script>")
    # the example of Content Security Policy Level 3
    script = f"{page}</script><script>alert('Hello, world.');</script>"
    assert "'self' 'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng=';" in policy(script)
