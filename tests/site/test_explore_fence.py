"""What every explorable owes: no load before the press, a word on failure, a recorded result."""

from __future__ import annotations

import itertools
import re

import pytest
from playwright.sync_api import Browser, Page

from rlhf_explained import explore
from rlhf_explained.site.shown_run import current_run
from tests.site.conftest import ASLEEP, DESK, PAGES, PHONE, SITE, Visit, patient, soup
from tests.site.test_axe import looks, violations

BOOT = SITE / "assets/javascripts/explore.js"
CELLS = ":is(td, .response)"
SHOWN = [
    (name, figure["id"])
    for name in PAGES
    for figure in soup(name).select("figure.explore[id]")
    if figure.button
]


def files(page: Page) -> list[str]:
    """Which scripts and data of explorables a page has asked for."""
    asked: list[str] = page.evaluate("performance.getEntriesByType('resource').map(e => e.name)")
    return [name.rpartition("/")[2] for name in asked if f"/{explore.FOLDER}/" in name]


def test_there_are_explorables() -> None:
    assert SHOWN


def test_the_script_that_waits_is_small() -> None:
    assert BOOT.stat().st_size <= 1024


def test_names_tell_the_content() -> None:
    published = {path.name: path.read_bytes() for path in (SITE / explore.FOLDER).iterdir()}
    assert {f"{explore.FOLDER}/{name}": content for name, content in published.items()} == (
        explore.files(current_run())
    )
    stems = [name.split(".")[0] for name in published]
    assert len({*stems}) == len(stems), "one name, two contents"


@pytest.mark.parametrize(("name", "figure"), SHOWN)
def test_nothing_is_loaded_before_the_press(name: str, figure: str, visit: Visit) -> None:
    with visit(name) as page:
        button = page.locator(f"#{figure} > button")
        button.wait_for()
        assert files(page) == []
        asked = (button.get_attribute("value") or "").split()
        button.click()
        page.wait_for_selector(f"#{figure} > button", state="detached")
        assert sorted(files(page)) == sorted(asked)
        assert page.locator(f"#{figure} > [role=status]").inner_text() == ""


@pytest.mark.parametrize(("name", "figure"), SHOWN)
def test_it_works_in_a_folder(name: str, figure: str, visit: Visit) -> None:
    with visit(name, folder=True) as page:
        page.click(f"#{figure} > button")
        page.wait_for_selector(f"#{figure} > button", state="detached")


@pytest.mark.parametrize(("name", "figure"), SHOWN)
def test_axe_finds_nothing_in_the_live_part(name: str, figure: str, visit: Visit) -> None:
    with visit(name) as page:
        page.click(f"#{figure} > button")
        page.wait_for_selector(f"#{figure} > button", state="detached")
        for look in looks(page, DESK, PHONE):
            assert violations(page, f"#{figure}") == [], look


@pytest.mark.parametrize(("one", "other"), [*itertools.pairwise([*SHOWN, SHOWN[0]])])
def test_two_on_one_page_work(one: tuple[str, str], other: tuple[str, str], visit: Visit) -> None:
    (guest,) = soup(other[0]).select(f"#{other[1]}")
    guest["id"] = "guest"
    with visit(one[0]) as page:
        page.locator(f"#{one[1]} > button").wait_for()
        page.evaluate(
            """([id, html]) => {
              document.getElementById(id).insertAdjacentHTML("afterend", html)
              const script = document.createElement("script")
              script.src = explore.at  // again, for the guest
              document.body.append(script)
            }""",
            [one[1], str(guest)],
        )
        for figure in ("guest", one[1]):
            page.click(f"#{figure} > button")
            page.wait_for_selector(f"#{figure} > button", state="detached")
        for figure in ("guest", one[1]):
            assert page.locator(f"#{figure} .live").first.is_visible()
            assert page.locator(f"#{figure} > [role=status]").inner_text() == ""
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map(one => one.id)")
        assert len({*ids}) == len(ids)


@pytest.mark.parametrize(("name", "figure"), SHOWN)
def test_a_load_that_fails_is_said_and_can_be_tried_again(
    name: str, figure: str, browser: Browser, address: str
) -> None:
    page = patient(browser.new_page())
    recorded = f"#{figure} > .recorded"
    blocked = re.compile(rf"/{explore.FOLDER}/")
    page.route(blocked, lambda route: route.abort())
    page.goto(address + name)
    page.mouse.move(1, 1)
    before = page.locator(recorded).inner_html()
    page.click(f"#{figure} > button")
    said = page.locator(f"#{figure} > [role=status]")
    said.filter(has_text="did not load").wait_for()
    assert page.locator(recorded).inner_html() == before
    page.unroute(blocked)
    page.click(f"#{figure} > button")
    page.wait_for_selector(f"#{figure} > button", state="detached")
    page.close()


@pytest.mark.parametrize(("name", "figure"), SHOWN)
def test_without_scripts_the_recorded_result_stands_alone(
    name: str, figure: str, visit: Visit
) -> None:
    with visit(name, java_script_enabled=False) as page:
        assert page.locator(f"#{figure} {CELLS}").first.is_visible()
        assert not page.locator(f"#{figure} > button").is_visible()


@pytest.mark.parametrize(("name", "figure"), SHOWN)
def test_on_paper_the_recorded_result_stands(name: str, figure: str, visit: Visit) -> None:
    with visit(name) as page:
        page.click(f"#{figure} > button")
        live = page.locator(f"#{figure} .live")
        live.wait_for()
        page.emulate_media(media="print")
        assert page.locator(f"#{figure} {CELLS}").first.is_visible()
        assert not live.is_visible()
        page.emulate_media(media="screen")
        assert live.is_visible()
        page.emulate_media(media=None)


@pytest.mark.parametrize(("name", "figure"), SHOWN)
def test_leaving_and_coming_back_works(name: str, figure: str, visit: Visit) -> None:
    with visit(name) as page:
        live, recorded = page.locator(f"#{figure} .live"), page.locator(f"#{figure} > .recorded")
        page.click(f"#{figure} > button")
        live.wait_for()
        page.goto(page.url.removesuffix(name) + "guide/summary/")
        page.go_back()
        page.mouse.move(2, 2)
        if not live.count():  # a page that was not kept begins anew
            page.click(f"#{figure} > button")
        live.wait_for()
        if not recorded.is_visible():
            page.click(f"#{figure} .turn")
        assert recorded.is_visible()


@pytest.mark.parametrize(("name", "figure"), SHOWN)
def test_the_place_of_the_button_is_kept(
    name: str, figure: str, browser: Browser, address: str
) -> None:
    look = f"Object.entries(getComputedStyle(document.querySelector('#{figure} > button')))"
    page = patient(browser.new_page())
    page.add_init_script(ASLEEP)
    page.route("**/javascripts/explore.js", lambda route: route.abort())
    page.goto(address + name)
    style = dict(page.evaluate(look))
    assert (style["visibility"], style["display"]) == ("hidden", "inline-block")
    page.unroute("**/javascripts/explore.js")
    page.goto(address + name)  # nobody moves a mouse or presses a key
    page.locator(f"#{figure} > button").wait_for()
    style = dict(page.evaluate(look))
    assert (style["visibility"], style["display"]) == ("visible", "inline-block")
    page.close()


def test_plain_text_and_the_whole_guide_have_the_numbers() -> None:
    text = (SITE / "llms-full.txt").read_text(encoding="utf-8")
    for name, figure in SHOWN:
        cells = [[*cell.stripped_strings] for cell in soup(name).select(f"#{figure} {CELLS}")]
        assert cells
        assert all(one in text for some in cells for one in some)
        if name.startswith("guide/"):
            (whole,) = soup("whole/").select(
                f'[id="{name.strip("/").replace("/", "-")}--{figure}"]'
            ) or [None]
            assert whole is not None
            assert [[*cell.stripped_strings] for cell in whole.select(CELLS)] == cells
            assert not whole.button
