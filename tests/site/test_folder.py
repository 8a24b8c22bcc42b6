"""The site opened from a folder, as somebody would who unpacked it on a train."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.site.conftest import PAGES, PHONE, SITE, Visit

READ = [name for name in PAGES if name != "404.html"]  # only a server shows 404.html

LINKS = """() => [...document.querySelectorAll("a[href]")].map(a => a.href)
    .filter(link => link.startsWith("file:"))"""
UNREADABLE = """() =>
    [...document.querySelectorAll("article :is(h1, h2, p, table, pre, svg, math)")]
    .filter(e => !e.closest("details:not([open]), svg svg, .md-source-file, [hidden]"))
    .filter(e => !e.checkVisibility()).map(e => e.outerHTML.slice(0, 80))"""


def test_every_link_names_a_file(visit: Visit) -> None:
    broken = set()
    with visit("", folder=True) as page:
        for name in READ:
            page.goto(f"{SITE.as_uri()}/{name}index.html")
            links = page.evaluate(LINKS)
            assert len(links) > 5
            for link in links:
                if not Path(unquote(urlsplit(link).path)).is_file():
                    broken.add(f"{name}: {link}")
    assert not broken


def test_a_walk_through_the_site(visit: Visit) -> None:
    with visit("", folder=True) as page:
        page.locator(".md-tabs__link", has_text="Guide").click()
        page.wait_for_url(re.compile(r"/guide/alignment-problem/index\.html$"))
        page.locator(".md-footer__link--next").click()
        page.wait_for_url(re.compile(r"/guide/pipeline/index\.html$"))
        page.locator(".md-footer__link--prev").click()
        page.wait_for_url(re.compile(r"/guide/alignment-problem/index\.html$"))
        page.locator(".md-nav--primary .md-nav__link", has_text="Stage 3").click()
        page.wait_for_url(re.compile(r"/guide/ppo/index\.html$"))
        page.locator("article a[href*='glossary/']").first.click()
        page.wait_for_url(re.compile(r"/reference/glossary/index\.html#[\w-]+$"))
        page.locator("a.md-logo").first.click()
        page.wait_for_url(re.compile(r"/site/index\.html$"))


def test_every_page_reads_whole_without_javascript(visit: Visit) -> None:
    with visit("", folder=True, java_script_enabled=False, viewport=PHONE) as page:
        for name in READ:
            page.goto(f"{SITE.as_uri()}/{name}index.html")
            assert page.evaluate("document.fonts.size") > 0, "the stylesheet is there"
            assert page.evaluate(UNREADABLE) == [], name


def test_a_served_page_takes_nothing_that_is_for_folders(visit: Visit) -> None:
    with visit("guide/ppo/") as page:
        loaded = page.evaluate("[...document.scripts].map(script => script.src)")
        assert [name for name in loaded if "bundle." in name]
        assert not [name for name in loaded if "folder" in name]
        assert "native code" in page.evaluate("Worker.toString()")
