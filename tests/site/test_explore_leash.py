"""Cut the leash: the student practises in the page, against the run's own judge."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from rlhf_explained import explore
from rlhf_explained.explore import cheat
from rlhf_explained.explore.cheat import RUNS
from rlhf_explained.explore.live import LEASH
from rlhf_explained.site.shown_run import current_run
from rlhf_explained.stages.ppo import PPOConfig
from tests.site.conftest import DESK, PAGES, PHONE, ROOT, Visit, listen, soup
from tests.site.test_access import SMALLEST
from tests.site.test_axe import looks, violations
from tests.site.test_teach import kept

(NAME,) = [name for name in PAGES if soup(name).select('.explore > button[name="leash"]')]
FIGURE = "#explore-2"
LIVE = f"{FIGURE} .live"
SCRIPT = ROOT / "rlhf_explained/explore/js/leash.js"


def begin(page: Page) -> None:
    """Press the button: the training begins."""
    page.focus(f'{FIGURE} > button[name="leash"]')
    page.keyboard.press("Enter")
    page.locator(f"{LIVE} button:focus", has_text="Stop").wait_for()


def finished(page: Page) -> str:
    """Wait for the end of a training; what is said then."""
    page.locator(f"{LIVE} .md-button--primary:not([disabled])").wait_for()
    return page.inner_text(f"{LIVE} [role=status]")


def numbers(page: Page) -> dict[str, list[list[float]]]:
    """What was measured live, by penalty: rounds, score, true reward, KL, share of helpful ones."""
    found = {}
    for region in page.locator(f"{LIVE} details .numbers").all():
        (penalty,) = re.findall(r"β = ([\d.]+)", region.get_attribute("aria-label") or "")
        rows = region.locator("tbody tr").all()
        texts = [row.locator("th, td").all_text_contents() for row in rows]
        found[penalty] = [
            [float(re.split(r"[ \xa0]", text.replace("−", "-"))[0]) for text in row]
            for row in texts
        ]
    return found


@pytest.fixture
def live(visit: Visit) -> Iterator[Page]:
    """The page, where the training has begun."""
    with visit(NAME) as page:
        page.evaluate("Date.now = () => 1")  # the seed
        begin(page)
        yield page


def test_without_the_penalty_the_score_rises_and_the_answers_get_worse(live: Page) -> None:
    said = finished(live)
    assert said.startswith("Live, β = 0: after 50 rounds")
    assert live.evaluate(f"document.activeElement.contains(document.querySelector('{LIVE} table'))")
    rows = numbers(live)["0"]
    after = cheat.rounds(current_run())["after"]
    assert {row[0] for row in rows} <= {*after}
    assert (rows[0][0], rows[-1][0]) == (0, after[-1])
    assert rows[0][3] == 0  # the SFT model itself
    assert rows[-1][3] >= 2  # far away
    assert rows[-1][1] - rows[0][1] >= 1.5
    best = max(row[2] for row in rows)
    assert best - rows[0][2] >= 0.5
    assert best - rows[-1][2] >= 0.2
    assert f"to {best:.2f}" in said or f"at {best:.2f}." in said
    drawn = live.locator(f"{LIVE} .chart").all()
    assert len(drawn) == 3
    for one in drawn:
        assert one.locator("polyline[stroke-dasharray]").count() == len(RUNS)
        (points,) = one.locator("polyline:not([stroke-dasharray])").all()
        assert len((points.get_attribute("points") or "").split()) == len(rows)
        texts = [text for text in one.locator("text").all_text_contents() if "β" in text]
        assert sorted(text.split(",")[0] for text in texts) == ["live", "recorded", "recorded"]
    live.click(f"{LIVE} summary")
    for look in looks(live, DESK, PHONE):
        assert violations(live, FIGURE) == [], look
        assert live.evaluate(SMALLEST) >= 11, look  # pixels, in the charts too


def test_with_a_penalty_it_can_be_trained_again_beside_the_first(live: Page) -> None:
    page = live
    page.locator(f"{LIVE} polyline:not([stroke-dasharray])").first.wait_for()
    page.click(f"{LIVE} button:has-text('Stop')")
    assert finished(page).startswith("Stopped. Live, β = 0: after ")
    page.fill(f"{LIVE} input", "0.5")
    page.locator(f"{LIVE} .md-button--primary").press("Enter")
    page.locator(f"{LIVE} .chart text", has_text="live, β = 0.5").first.wait_for()
    page.keyboard.press("Enter")  # on Stop
    assert finished(page).startswith("Stopped. Live, β = 0.5: after ")
    assert set(numbers(page)) == {"0", "0.5"}
    assert 5 < kept(page) <= 80
    assert page.evaluate("document.activeElement.textContent") == "Train again"


def test_stop_ends_with_the_slice_that_runs(live: Page) -> None:
    slices = live.evaluate(
        """figure => new Promise(done => {
          const halt = [...document.querySelectorAll(`${figure} button`)]
            .find(one => one.textContent === 'Stop')
          let slices = 0
          window.MessageChannel = class extends MessageChannel { // between two slices there is one
            constructor() { super(); slices++ }
          }
          setTimeout(() => {
            slices = 0
            halt.click()
            const look = () => halt.hidden ? done(slices) : setTimeout(look, 1)
            look()
          }, 100)
        })""",
        LIVE,
    )
    assert slices <= 1
    assert finished(live).startswith("Stopped.")


def test_it_tells_once_not_per_round(live: Page) -> None:
    listen(live, f"{LIVE} :is([role=status], output)")
    live.locator(f"{LIVE} progress[value='3']").wait_for()
    live.click(f"{LIVE} button:has-text('Stop')")
    finished(live)
    live.locator(f"{LIVE} input").press("ArrowRight")
    assert len(live.evaluate("told")) == 1


def test_it_loads_no_more_than_it_needs() -> None:
    run = current_run()
    assert int(re.findall(r"\((\d+) KB\)", explore.button(LEASH, run))[0]) <= 520
    names = {name.split(".")[0] for name in explore.names(LEASH, run)}
    assert not names & {"ppo", "ppo_no_kl", "ask", "teach", "cheat"}


def test_an_answer_that_is_cut_off_costs_as_much_as_in_the_run() -> None:
    (told,) = re.findall(r"UNFINISHED = (-?[\d.]+)", SCRIPT.read_text(encoding="utf-8"))
    assert float(told) == PPOConfig().unfinished_score


def test_the_recorded_ends_are_those_of_the_rounds() -> None:
    told: dict[str, Any] = cheat.rounds(current_run())["runs"]
    assert LEASH.recorded
    page = LEASH.recorded(current_run(), {})
    for row in (told["ppo"][0], told["ppo"][-1], told["ppo_no_kl"][-1]):
        assert "".join(f"<td>{text}</td>" for text in row) in page
    assert "Recorded" in page
