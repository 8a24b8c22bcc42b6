"""Sliders, in the browser: what they compute is what the package computes, and it is told once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest
import torch
from playwright.sync_api import Page

from rlhf_explained import explore
from rlhf_explained.explore import slider_numbers as numbers
from rlhf_explained.explore import sliders
from rlhf_explained.formulas import gae, kl_exact, kl_shaped_rewards
from rlhf_explained.measured.text import number
from rlhf_explained.site.shown_run import current_run
from rlhf_explained.studies import frontier
from rlhf_explained.world import exact, optima
from tests.site.conftest import DESK, PAGES, PHONE, Visit, listen, soup
from tests.site.test_axe import looks, violations

LIVE = ".explore .live"


def page_of(kind: explore.Kind) -> str:
    (name,) = [
        name for name in PAGES if soup(name).select(f'.explore > button[name="{kind.name}"]')
    ]
    return name


EVERY = pytest.mark.parametrize("kind", sliders.KINDS, ids=lambda kind: kind.name)


def begin(page: Page, kind: explore.Kind) -> None:
    page.click(f'.explore > button[name="{kind.name}"]')
    page.wait_for_selector(f"{LIVE} input")


@pytest.fixture(params=sliders.KINDS, ids=lambda kind: kind.name)
def live(request: pytest.FixtureRequest, visit: Visit) -> Iterator[Page]:
    with visit(page_of(request.param)) as page:
        begin(page, request.param)
        yield page


# The numbers


@pytest.fixture
def plane(visit: Visit) -> Iterator[Page]:
    with visit(page_of(sliders.FRONTIER)) as page:
        begin(page, sliders.FRONTIER)
        yield page


def test_policies_are_those_of_the_package(plane: Page) -> None:
    """Held against all answers of the world, none of them rounded or put together."""
    here = frontier.world(frontier.SEEDS[0])
    reference, rewards = here.logprobs(here.reference), here.rewards.double()
    ended = rewards != frontier.UNFINISHED
    start = exact.expected(reference, rewards)
    makes = {
        ("tilted", "beta"): (exact.tilted, numbers.PRICES),
        ("bestOf", "n"): (optima.best_of_n, numbers.COUNTS),
    }
    for (name, setting), (make, values) in makes.items():
        for value in values:
            found = plane.evaluate(
                """([name, at]) => {
                  const { answers } = explore.data.listed
                  const given = [2, 1].map(k => answers.map(one => one[k]))
                  const policy = explore[name](...given, at)
                  const { gained, kl } = explore.measured(policy, ...given)
                  return [policy.map(Math.exp), gained, kl, explore.most(kl, ...given)]
                }""",
                [name, value],
            )
            policy = make(reference, rewards, **{setting: value})
            shares = policy.exp()
            apart = torch.tensor(found[0][:-1]).double() - shares[ended]
            assert apart.abs().max() <= 1e-6
            assert abs(found[0][-1] - shares[~ended].sum().item()) <= 1e-6
            kl = kl_exact(policy, reference).item()
            assert found[1] == pytest.approx((shares @ rewards - start).item(), abs=1e-6)
            assert found[2] == pytest.approx(kl, abs=1e-6)
            best = exact.expected(frontier.at_distance(kl, reference, rewards), rewards)
            assert found[3] == pytest.approx((best - start).item(), abs=1e-5)


def shown(page: Page) -> list[list[str]]:
    """The rows of all tables of the live part."""
    rows = page.locator(f"{LIVE} tbody tr").all()
    return [[text.strip() for text in row.locator("th, td").all_inner_texts()] for row in rows]


def test_the_first_numbers_are_the_recorded_ones(live: Page) -> None:
    recorded = live.eval_on_selector_all(
        ".explore .recorded:has(~ .live) tbody tr:not([data-recorded])",
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent.trim()))",
    )
    assert shown(live) == recorded


def test_a_slider_moves_numbers_and_marks(plane: Page) -> None:
    world = numbers.world()
    for kind, place in (("beta", 0), ("n", 1)):
        for step in (0, 3, 11):
            plane.locator(f"{LIVE} input").nth(place).fill(str(step))
            at = {"beta": numbers.PRICES, "n": numbers.COUNTS}[kind][step]
            name = sliders.NAMES[kind].format(f"{at:g}")
            policy = world[kind][str(at)]
            assert shown(plane)[1 + place] == [name, *sliders.gains(policy)]
            column = [row[3 + place] for row in shown(plane)[3:-1]]
            assert column == [sliders.percent(share) for share in policy["shares"]]
            key = plane.locator(f"{LIVE} [data-key] text").nth(place)
            assert key.text_content() == name
            x = plane.locator(f"{LIVE} [data-mark]").nth(place).get_attribute("transform")
            left, _, width, _ = map(
                float, (plane.get_attribute(f"{LIVE} svg", "data-scale") or "").split()
            )
            assert x
            assert float(x[10:].split()[0]) == pytest.approx(
                left + width * max(policy["kl"], 0) ** 0.5, abs=0.1
            )


def test_credit_is_that_of_the_package(visit: Visit) -> None:
    given = sliders.credited(current_run())
    logprobs, ref_logprobs, values = (
        torch.tensor([given[name]]).double() for name in ("logprobs", "ref_logprobs", "values")
    )
    mask, score = torch.ones_like(values, dtype=torch.bool), torch.tensor([given["score"]]).double()
    settings = [*product(numbers.CREDIT["beta"][::5], (0.9, 1.0), numbers.CREDIT["lambda"][::5])]
    with visit(page_of(sliders.CREDIT)) as page:
        begin(page, sliders.CREDIT)
        found = page.evaluate(
            """settings => settings.map(([beta, gamma, lambda]) =>
              explore.credit({ ...explore.data.credited, gamma }, { beta, lambda }))""",
            settings,
        )
        for (beta, gamma, gae_lambda), one in zip(settings, found, strict=True):
            rewards = kl_shaped_rewards(score, logprobs, ref_logprobs, mask, kl_coef=beta)
            both = gae(rewards, values, mask, gamma=gamma, gae_lambda=gae_lambda)
            surprises, _ = gae(rewards, values, mask, gamma=gamma, gae_lambda=0)
            names = ("rewards", "deltas", "advantages", "returns")
            for name, row in zip(names, (rewards, surprises, *both), strict=True):
                assert one[name] == pytest.approx(row[0].tolist(), abs=1e-6)

        at = {}
        for place, (name, step) in enumerate({"beta": 7, "lambda": 11}.items()):
            page.locator(f"{LIVE} input").nth(place).fill(str(step))
            at[name] = numbers.CREDIT[name][step]
        one = page.evaluate("at => explore.credit(explore.data.credited, at)", at)
        *rows, total = shown(page)
        for column, name in ((2, "rewards"), (4, "deltas"), (5, "advantages"), (6, "returns")):
            assert [row[column] for row in rows] == [number(value) for value in one[name]]
        assert total[2] == number(sum(one["rewards"]))
        zero, unit = map(float, (page.get_attribute(f"{LIVE} svg", "data-scale") or "").split())
        bars = page.locator(f"{LIVE} [data-bar]").all()
        assert len(bars) == 2 * len(rows)
        for bar, value in zip(bars[1::2], one["advantages"], strict=True):
            left, width = (float(bar.get_attribute(name) or "nan") for name in ("x", "width"))
            assert width == pytest.approx(abs(unit * value))
            assert left == pytest.approx(zero - width * (value < 0))


# What every part with sliders owes


@EVERY
@pytest.mark.parametrize("folder", [False, True])
def test_the_keyboard_does_all_of_it(kind: explore.Kind, folder: bool, visit: Visit) -> None:
    with visit(page_of(kind), folder=folder) as page:
        button = page.locator(f'.explore > button[name="{kind.name}"]')
        button.focus()
        page.keyboard.press("Enter")
        page.wait_for_selector(f"{LIVE} input")
        count = page.locator(f"{LIVE} input").count()
        for place in range(count):
            name = page.evaluate("document.activeElement.labels[0].textContent")
            text = page.evaluate("document.activeElement.getAttribute('aria-valuetext')")
            assert name
            assert text in page.inner_text(f"{LIVE} .sliders")
            before = shown(page)
            page.keyboard.press("Home")
            page.keyboard.press("ArrowRight")
            assert shown(page) != before
            assert page.evaluate("document.activeElement.getAttribute('aria-valuetext')") != text
            if place < count - 1:
                page.keyboard.press("Tab")


def test_results_are_told_once_not_at_each_step(live: Page) -> None:
    listen(live)
    live.eval_on_selector(
        f"{LIVE} input",
        """input => [1, 5, 2, 8].forEach(value => {
          input.value = value
          input.dispatchEvent(new Event("input"))
        })""",
    )
    assert live.evaluate("told") == []
    live.wait_for_selector(f"{LIVE} [role=status]:not(:empty)")
    live.wait_for_timeout(600)
    (sentence,) = live.evaluate("told")
    assert sentence.startswith("Computed: ")
    assert (live.get_attribute(f"{LIVE} input", "aria-valuetext") or "?") in sentence


def test_every_number_is_called_recorded_or_computed(live: Page) -> None:
    live.locator(f"{LIVE} input").first.fill("2")
    live.wait_for_selector(f"{LIVE} [role=status]:not(:empty)")
    without = live.eval_on_selector_all(
        ".explore .live :is(.panel, table, p:not(.panel p, .controls)), .explore .live title",
        """all => all.filter(e => /\\d/.test(e.textContent))
             .filter(e => !/recorded|computed/i.test(e.textContent)).map(e => e.outerHTML)""",
    )
    assert without == []
    live.click(f"{LIVE} .turn")
    assert live.locator(".explore .recorded:has(~ .live)").is_visible()
    captions = live.locator(".explore .recorded:has(~ .live) caption").all_inner_texts()
    assert captions
    assert all(text.startswith("Recorded: ") for text in captions)


@EVERY
def test_axe_finds_nothing_in_any_look(kind: explore.Kind, visit: Visit) -> None:
    found: list[str] = []
    with visit(page_of(kind)) as page:
        for step in (lambda: None, lambda: begin(page, kind)):
            step()
            for look in looks(page, DESK, PHONE):
                found += [f"{look}: {one}" for one in violations(page, ".explore")]
    assert found == []


@EVERY
def test_a_phone_has_room_for_it(kind: explore.Kind, visit: Visit) -> None:
    with visit(page_of(kind), viewport=PHONE) as page:
        begin(page, kind)
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wide) == 0
        box = page.locator(f"{LIVE} .sliders").bounding_box()
        assert box
        assert box["height"] < PHONE["height"] / 4  # they stay in sight
