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
            paths = [unquote(urlsplit(link).path) for link in links]
            broken |= {f"{name}: {path}" for path in paths if not Path(path).is_file()}
    assert not broken


def test_a_walk_through_the_site(visit: Visit) -> None:
    with visit("", folder=True) as page:
        for step, place in (
            (".md-tabs__link:text('Guide')", r"/guide/alignment-problem/index\.html$"),
            (".md-footer__link--next", r"/guide/pipeline/index\.html$"),
            (".md-footer__link--prev", r"/guide/alignment-problem/index\.html$"),
            (".md-nav--primary .md-nav__link:has-text('Stage 3')", r"/guide/ppo/index\.html$"),
            ("article a[href*='glossary/']", r"/reference/glossary/index\.html#[\w-]+$"),
            ("a.md-logo", r"/site/index\.html$"),
        ):
            page.locator(step).first.click()
            page.wait_for_url(re.compile(place))


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
