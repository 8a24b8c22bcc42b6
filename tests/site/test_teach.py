"""Teach it your taste: choices become a judge, a student and a file, by keyboard and by script."""

from __future__ import annotations

import base64
import gzip
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from rlhf_explained import explore, preferences
from rlhf_explained.site.shown_run import current_run
from tests.site.conftest import DESK, PHONE, Visit, listen
from tests.site.test_ask import number
from tests.site.test_axe import looks, violations

NAME = "teach-it/"
WISHES = {
    "helpful": "world.categorise(question, text) === 'helpful'",
    "stories": "text.includes('tell you a story')",
    "short": "text.split(' ').length <= 7",
    "asks back": "world.categorise(question, text) === 'off_topic'",
    "rude": "world.categorise(question, text) === 'harmful'",
}
TAUGHT = """async ([wish, seed]) => {  // eight panels, each with an answer that fits the wish
  const world = new explore.World(explore.data.world), lesson = new explore.Lesson(world, seed)
  const fits = new Function('world', 'question', 'text', `return ${wish}`)
  const good = one => fits(world, one.question, one.text)
  const share = given => given.filter(good).length / given.length
  await explore.drive(lesson.prepare())
  for (let chosen = 0, shown = 0; chosen < 8 && shown < 60; shown++) {
    const panel = lesson.panel(), all = panel.map(good)
    if (all.every(Boolean) || !all.some(Boolean)) continue
    lesson.choose(panel, all.indexOf(true))
    chosen++
  }
  const before = share(await explore.drive(lesson.examine(lesson.sft)))
  const student = lesson.student()
  await explore.drive(lesson.train(student, 0.2, () => {}))
  return [lesson.choices.length, before, share(await explore.drive(lesson.examine(student)))]
}"""

WORK = """seed => {  // how often the exponential function is called, from one pause to the next
  const lesson = new explore.Lesson(new explore.World(explore.data.world), seed)
  const { exp } = Math
  let count = 0
  Math.exp = x => { count++; return exp(x) }
  const steps = work => {
    const counts = []
    for (let done = false; !done;) {
      count = 0
      done = work.next().done
      counts.push(count)
    }
    return counts
  }
  const prepared = steps(lesson.prepare())
  for (let i = 0; i < 8; i++) lesson.choose(lesson.panel(), 0)
  const student = lesson.student()
  const found = { prepared, trained: steps(lesson.train(student, 0.2, () => {})) }
  found.examined = steps(lesson.examine(student))
  Math.exp = exp
  return found
}"""


def opened(page: Page) -> None:
    """Press the button, and wait for the first four answers."""
    page.click("button[name=teach]")
    page.locator("button[name=teach]").wait_for(state="detached")


@pytest.fixture
def live(visit: Visit) -> Iterator[Page]:
    """The page with its live part."""
    with visit(NAME) as page:
        opened(page)
        yield page


def test_what_it_loads_is_small() -> None:
    run, kind = current_run(), explore.KINDS["teach"]
    files = [explore.files(run)[f"{explore.FOLDER}/{name}"] for name in explore.names(kind, run)]
    assert sum(len(gzip.compress(content, 6)) for content in files) <= 400_000


@pytest.mark.parametrize("wish", WISHES)
@pytest.mark.parametrize("seed", [1, 2])
def test_eight_choices_teach_a_wish(wish: str, seed: int, visit: Visit) -> None:
    with visit(NAME, bypass_csp=True) as page:  # for `new Function` of the test
        opened(page)
        comparisons, before, after = page.evaluate(TAUGHT, [WISHES[wish], seed])
    assert comparisons == 8 * 3
    assert after - before >= 0.2, (before, after)


def test_the_keyboard_alone_teaches(live: Page, tmp_path: Path) -> None:
    live.locator(".live .choice:focus").wait_for()
    assert live.locator(".live .md-button--primary").is_disabled()
    for other in ("Control", "Alt", "Meta"):  # keys of the browser's own
        live.keyboard.press(f"{other}+2")
    live.keyboard.press("1")
    assert live.locator(".live [role=status]").inner_text().startswith("1 choice.")
    for key in "2341234":
        live.keyboard.press(key)
    assert "8 choices" in live.locator(".live [role=status]").inner_text()
    assert live.locator(".live table", has_text="Your judge likes").count() == 1
    live.locator(".live .md-button--primary").press("Enter")
    live.locator(".live button:focus", has_text="Stop").wait_for()
    live.locator(".live .numbers").first.wait_for()
    assert live.evaluate(
        "document.activeElement.contains(document.querySelector('.live .numbers'))"
    )
    assert "Trained on 8 choices" in live.locator(".live [role=status]").inner_text()
    assert live.locator(".live .chart svg").count() == 2
    live.locator(".live .charts summary").press("Enter")
    rounds = live.locator(".live .rounds tbody tr")
    drawn = live.locator(".live polyline").first.get_attribute("points") or ""
    assert rounds.count() == len(drawn.split())
    said = live.locator(".live [role=status]").inner_text()
    (end,) = re.findall(r"to ([+−][\d.]+)\.$", said)
    last = rounds.last.locator("td").first.inner_text()
    assert number(last) == pytest.approx(number(end), abs=0.06)
    for look in looks(live, DESK, PHONE):
        assert violations(live, ".explore") == [], look
    with live.expect_download() as download:
        live.get_by_text("Download your choices").press("Enter")
    download.value.save_as(tmp_path / "choices.jsonl")
    assert len(preferences.read(tmp_path / "choices.jsonl")) == 8 * 3


def test_the_labeler_chooses_from_the_same_answers(live: Page) -> None:
    for key in "1111":
        live.keyboard.press(key)
    live.click(".live .md-button--primary")
    live.get_by_text("Let the site’s labeler choose").click()
    live.locator(".live [role=status]", has_text="second student").wait_for()
    assert live.locator(".live .numbers").first.locator("tbody tr").first.locator("td").count() == 3
    with live.expect_download() as download:
        live.get_by_text("Download your choices").click()
    assert len(preferences.read(Path(download.value.path()))) == 4 * 3  # the reader's still


def test_work_is_cut_into_small_pieces(live: Page) -> None:
    """Counted, not timed: 120 million calls of `exp` go with 5 s of processor time.

    Between two pieces the page may answer, and it does so when 12 ms are over.
    """
    for name, counts in live.evaluate(WORK, 1).items():
        assert max(counts) <= 150_000, name
        assert 1_000_000 <= sum(counts) <= 300_000_000, name


def kept(page: Page) -> float:
    """Megabytes that the page's scripts hold when nothing is left to be cleared away."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    heap = session.send("Runtime.getHeapUsage")
    session.detach()
    return (heap["usedSize"] + heap["backingStorageSize"]) / 1e6


def test_a_second_training_keeps_no_more_than_the_first(live: Page) -> None:
    for _ in range(3):
        live.keyboard.press("1")
    listen(live)
    live.locator(".live input[type=range]").press("ArrowRight")
    assert live.evaluate("told") == []  # the slider tells its value itself
    after = []
    for _ in range(2):
        live.locator(".live .md-button--primary").press("Enter")
        live.locator(".live button:focus", has_text="Stop").wait_for()
        live.locator(".live .md-button--primary:not([disabled])").wait_for()
        after.append(kept(live))
    assert 5 < after[0] <= 60  # while it works there are up to 40 more, to be cleared away
    assert after[1] <= after[0] + 2


def test_stop_stops_at_once(live: Page) -> None:
    for _ in range(3):
        live.keyboard.press("1")
    live.click(".live .md-button--primary")
    live.locator(".live .chart svg").first.wait_for()
    took = live.evaluate(
        """() => new Promise(done => {
          const buttons = [...document.querySelectorAll('.live button')]
          const halt = buttons.find(one => one.textContent === 'Stop')
          const start = performance.now()
          halt.click()
          const look = () => halt.hidden ? done(performance.now() - start) : setTimeout(look, 5)
          look()
        })"""
    )
    assert took <= 300
    assert "Stopped" in live.locator(".live [role=status]").inner_text()
    live.keyboard.press("Tab")
    assert live.locator(".live .md-button--primary").is_enabled()


def link(numbers: list[float]) -> str:
    """What a link holds."""
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


@pytest.mark.parametrize(
    "hostile",
    [
        "",
        "<script>alert(1)</script>",
        link([0.0] * 191),
        link([0.0] * 193),
        link([float("nan")] + [0.0] * 191),
        link([float("inf")] + [0.0] * 191),
        link([1e9] + [0.0] * 191),
    ],
)
def test_a_link_that_holds_no_student_is_refused(hostile: str, visit: Visit) -> None:
    with visit(NAME) as page:
        page.evaluate("text => location.hash = '#taught=' + text", hostile)
        opened(page)
        assert "holds no student" in page.locator(".live [role=status]").inner_text()
        assert page.locator(".live .numbers").count() == 0


def test_a_link_brings_the_student(visit: Visit) -> None:
    with visit(NAME) as page:
        page.evaluate("text => location.hash = '#taught=' + text", link([0.0] * 192))
        opened(page)
        rows: list[Any] = page.locator(".live .numbers").first.locator("tbody tr").all()
        assert len(rows) == 7
        for row in rows:  # this one is the SFT model itself
            before, after = row.locator("td").all_inner_texts()
            assert before == after
