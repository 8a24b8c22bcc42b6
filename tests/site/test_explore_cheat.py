"""Watch it cheat, in the browser: by keyboard, in every look, and only with recorded numbers."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from rlhf_explained.explore import cheat
from rlhf_explained.explore.cheat import RUNS
from rlhf_explained.site.shown_run import current_run
from tests.site.conftest import DESK, PAGES, PHONE, Visit, listen, soup
from tests.site.test_axe import looks, violations

(NAME,) = [name for name in PAGES if soup(name).select('.explore > button[name="cheat"]')]
FIGURE = "#explore-1"
LIVE = "#explore-1 .live"


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    return cheat.rounds(current_run())


def begin(page: Page) -> None:
    """Press the button, and wait for the bet."""
    page.click('#explore-1 > button[name="cheat"]')
    page.wait_for_selector(f"{LIVE} form")


def bet(page: Page, place: int) -> None:
    """Bet on a round, by its place among the recorded ones."""
    page.fill(f"{LIVE} input", str(place))
    page.click(f"{LIVE} button")
    page.wait_for_selector(f"{LIVE} table")


def shown(page: Page) -> list[list[str]]:
    """The numbers that are shown, by PPO run."""
    rows = page.locator(f"{LIVE} .numbers tbody tr").all()
    return [row.locator("td").all_inner_texts() for row in rows]


def said(page: Page) -> list[list[list[str]]]:
    """The answers that are shown, with their categories: by question, by PPO run."""
    rows = page.locator(f"{LIVE} .samples tbody tr").all()
    return [
        [cell.locator("p").all_text_contents() for cell in row.locator("td").all()] for row in rows
    ]


@pytest.mark.parametrize("folder", [False, True])
def test_each_round_shows_what_was_recorded(
    folder: bool, visit: Visit, told: dict[str, Any]
) -> None:
    with visit(NAME, folder=folder) as page:
        begin(page)
        bet(page, 3)
        for place, after in enumerate(told["after"]):
            page.fill(f"{LIVE} input", str(place))
            assert shown(page) == [told["runs"][run][place] for run in RUNS]
            caption = page.inner_text(f"{LIVE} caption")
            assert caption == f"Recorded after {after} round{'s' * (after != 1)}."
            expected = []
            for number in range(len(told["asked"])):
                texts = [told["said"][told["answers"][run][place][number]] for run in RUNS]
                marks = ["✓" if category == "helpful" else "✗" for _, category in texts]
                expected.append(
                    [[text, f"{m} {what}"] for (text, what), m in zip(texts, marks, strict=True)]
                )
            assert said(page) == expected
            x = page.eval_on_selector_all(f"{FIGURE} svg", "all => all.map(s => s.dataset.x)")
            lines = page.eval_on_selector_all(
                "#explore-1 svg .line-ink", "all => all.map(l => l.getAttribute('x1'))"
            )
            assert lines == [one.split()[place] for one in x]


def test_the_true_reward_is_not_seen_before_the_bet(visit: Visit, told: dict[str, Any]) -> None:
    with visit(NAME) as page:
        drawings = page.locator("#explore-1 svg")
        assert [drawing.is_visible() for drawing in drawings.all()] == [True, False]
        begin(page)
        assert [drawing.is_visible() for drawing in drawings.all()] == [True, False]
        assert page.inner_text(f"{LIVE} [role=status]") == ""
        bet(page, told["best"])
        assert [drawing.is_visible() for drawing in drawings.all()] == [True, True]
        text = page.inner_text(f"{LIVE} [role=status]")
        assert "That is the right round." in text
        assert told["outcome"] in text
        assert told["runs"]["ppo_no_kl"][told["best"]][1] in text


def test_a_wrong_bet_is_not_called_right(visit: Visit, told: dict[str, Any]) -> None:
    with visit(NAME) as page:
        begin(page)
        bet(page, 0 if told["best"] else 1)
        assert "right round" not in page.inner_text(f"{LIVE} [role=status]")


@pytest.mark.parametrize("folder", [False, True])
def test_the_keyboard_does_all_of_it(folder: bool, visit: Visit, told: dict[str, Any]) -> None:
    with visit(NAME, wake=False, folder=folder) as page:
        page.keyboard.press("Tab")
        page.locator('#explore-1 > button[name="cheat"]').wait_for()
        page.locator("#explore-1 summary").focus()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.name") == "cheat"
        page.keyboard.press("Enter")
        page.wait_for_selector(f"{LIVE} form")
        assert page.evaluate("document.activeElement.type") == "range"
        page.keyboard.press("Home")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        page.wait_for_selector(f"{LIVE} table")
        assert page.evaluate("document.activeElement.type") == "range"
        assert shown(page) == [told["runs"][run][1] for run in RUNS]
        page.keyboard.press("End")
        assert shown(page) == [told["runs"][run][-1] for run in RUNS]
        text = page.evaluate("document.activeElement.getAttribute('aria-valuetext')")
        assert text == f"after {told['after'][-1]} rounds"


def test_results_are_told_once_not_at_each_step(visit: Visit) -> None:
    """Nothing that a screen reader watches changes while a reader scrubs."""
    with visit(NAME) as page:
        begin(page)
        listen(page)
        bet(page, 3)
        assert len(page.evaluate("told")) == 1
        for place in ("0", "5", "9"):
            page.fill(f"{LIVE} input", place)
        page.wait_for_timeout(100)
        assert len(page.evaluate("told")) == 1
        assert page.locator(f"{LIVE} :is(output, [aria-live])").count() == 0


def test_axe_finds_nothing_in_any_look(visit: Visit) -> None:
    found: list[str] = []
    with visit(NAME) as page:
        for step in (lambda: None, lambda: begin(page), lambda: bet(page, 3)):
            step()
            for look in looks(page, DESK, PHONE):
                found += [f"{look}: {one}" for one in violations(page, "#explore-1")]
    assert found == []


def test_axe_would_find_something(visit: Visit) -> None:
    with visit(NAME) as page:
        begin(page)
        page.evaluate("document.querySelector('#explore-1 .live label').replaceWith('?')")
        page.evaluate(
            "document.querySelector('#explore-1 form').prepend(document.createElement('input'))"
        )
        assert violations(page, "#explore-1")


def test_every_number_is_called_recorded(visit: Visit) -> None:
    """Each drawing, table and sentence with numbers says so itself, or its region does."""
    with visit(NAME) as page:
        begin(page)
        bet(page, 3)
        page.click("#explore-1 summary")
        without = page.eval_on_selector_all(
            "#explore-1 .panel, #explore-1 table, #explore-1 p:not(.panel p, td p, .controls)",
            """all => all.filter(e => /\\d/.test(e.textContent)).filter(e =>
                 !/recorded/i.test(e.textContent + (e.parentNode.ariaLabel ?? "")))
               .map(e => e.outerHTML.slice(0, 200))""",
        )
        assert without == []


def test_on_paper_and_without_scripts_all_of_it_is_open(visit: Visit) -> None:
    with visit(NAME) as page:
        page.emulate_media(media="print")
        assert page.locator("#explore-1 .outcome svg").is_visible()
        assert page.locator("#explore-1 .outcome table").first.is_visible()
        assert not page.locator("#explore-1 > button").is_visible()
        page.emulate_media(media="screen")
        assert not page.locator("#explore-1 .outcome svg").is_visible()
        page.emulate_media(media=None)
    with visit(NAME, java_script_enabled=False) as page:
        assert page.locator("#explore-1 .outcome svg").is_visible()
        assert page.locator("#explore-1 .outcome table").first.is_visible()
        assert not page.locator("#explore-1 > button").is_visible()


def test_coming_back_works(visit: Visit) -> None:
    with visit(NAME) as page:
        begin(page)
        page.goto(page.url.replace(NAME, ""))
        page.go_back()
        page.mouse.move(2, 2)
        if not page.locator(f"{LIVE} form").count():  # a page that was not kept begins anew
            begin(page)
        bet(page, 3)
        assert shown(page)
