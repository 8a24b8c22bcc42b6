"""The labeler's panel: gold reward and score of any answer are Python's, recorded and live."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import torch
from playwright.sync_api import Page

from rlhf_explained.explore.computed import computed
from rlhf_explained.explore.labeler import recorded
from rlhf_explained.measured.text import number
from rlhf_explained.rollout import pack, score
from rlhf_explained.site.shown_run import current_run
from rlhf_explained.world.corpus import CLOSER, OPENER
from rlhf_explained.world.labeler import categorise, gold_reward
from rlhf_explained.world.questions import questions
from rlhf_explained.world.tokenizer import world_tokenizer
from tests.site.conftest import DESK, PHONE, Visit, soup
from tests.site.test_engine import rounded

NAME = "guide/reward-model/"
ASKED = {question.text: question for question in questions()}


def begin(page: Page) -> None:
    """Press the button, and wait for the verdict."""
    page.click('button[name="labeler"]')
    page.locator(".live .card").first.wait_for()


@pytest.fixture
def live(visit: Visit) -> Iterator[Page]:
    """The page with its live part."""
    with visit(NAME) as page:
        begin(page)
        yield page


def judged(prompt: str, answer: str) -> float:
    """The judge's score, with the numbers that a browser has."""
    encode = world_tokenizer().encode
    with torch.no_grad():
        return score(rounded("reward_model"), pack([encode(prompt)], [encode(answer)])).item()


def words(page: Page) -> str:
    """The answer, as its lists of words show it."""
    every = page.locator(".live .slot").evaluate_all("all => all.map(one => one.value)")
    return " ".join(filter(None, every))


def agree(page: Page) -> str:
    """What is said of the answer that is shown is right; return what kind it is."""
    prompt, answer = page.locator(".live select").first.input_value(), words(page)
    question = ASKED[prompt]
    category, gold = categorise(question, answer), gold_reward(question, answer)
    told = [
        [float(one.replace("−", "-")) for one in row.locator("td").all_inner_texts()]
        for row in page.locator(".live tbody tr").all()
    ]
    *parts, total = [value for (value,) in told[:4]]
    assert sum(parts) == pytest.approx(total, abs=0.011)
    assert total == pytest.approx(gold, abs=0.0051)
    right = question.answers[0]
    best = [gold_reward(question, right), judged(prompt, right)]
    expected = [gold, judged(prompt, answer)]
    assert told[4] == pytest.approx(expected, abs=0.0061)
    assert told[5] == pytest.approx(best, abs=0.0061)
    assert told[6] == pytest.approx([expected[0] - best[0], expected[1] - best[1]], abs=0.0061)
    name = category.replace("_", "-")
    assert page.locator(".live .chosen .category").inner_text().split()[1] == name
    said = page.locator(".live [role=status]").inner_text()
    assert f"Live: the labeler calls this answer {name} " in said
    return category


def test_practice_finds_false_answers_that_score_above_the_right_one() -> None:
    """As the guide says, with the same polite words: most of those without the penalty."""
    above = []
    for answer in current_run().responses["ppo_no_kl"]:
        if answer["category"] == "false":
            text = answer["response"]
            opener, closer = text.startswith(OPENER), text.endswith(CLOSER)
            right = [
                f"{f'{OPENER} ' * opener}{one}{f' {CLOSER}' * closer}"
                for one in ASKED[answer["prompt"]].answers
            ]
            above.append(answer["proxy"] > max(judged(answer["prompt"], one) for one in right))
    assert sum(above) > len(above) / 2


def test_what_was_recorded_is_what_labeler_and_judge_say() -> None:
    page = recorded(current_run(), {})
    for kind, told in computed(current_run()).items():
        question = ASKED[told["prompt"]]
        assert question.held_out
        assert question.kind == kind
        for one in told["changes"]:
            assert one["category"] == categorise(question, one["answer"])
            assert one["gold"] == pytest.approx(gold_reward(question, one["answer"]))
            parts = one["quality"] + one["courtesy"] + one["words"]
            assert parts == pytest.approx(one["gold"])
            assert one["score"] == pytest.approx(judged(question.text, one["answer"]), abs=0.03)
            if kind == "capital":
                row = re.search(rf'<th scope="row">{one["change"]}</th>.*?</tr>', page)
                assert row
                assert [*re.findall(r">[+]?([−\d.]+)</td>", row[0])] == [
                    number(one["gold"]),
                    number(one["score"]),
                ]


def test_each_answer_to_begin_with_is_judged_as_in_python(live: Page) -> None:
    kinds = set()
    for told in computed(current_run()).values():
        live.locator(".live select").first.select_option(told["prompt"])
        for one in told["changes"]:
            live.locator(".live select").nth(1).select_option(one["change"])
            assert words(live) == one["answer"]
            kinds.add(agree(live))
    assert len(kinds) >= 5


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_the_keyboard_alone_changes_words(size: dict[str, int], visit: Visit) -> None:
    with visit(NAME, viewport=size) as page:
        page.locator('button[name="labeler"]').focus()
        page.keyboard.press("Enter")
        page.locator(".live label select:focus").wait_for()
        for _ in range(6):
            page.keyboard.press("Tab")  # to the capital
        assert page.evaluate("document.activeElement.ariaLabel") == "word 6"
        page.keyboard.type("rome")
        assert words(page) == "the capital of france is rome ."
        assert page.evaluate("document.activeElement.ariaLabel") == "word 6"
        assert agree(page) == "false"
        page.keyboard.press("Home")  # leaves it out
        assert words(page) == "the capital of france is ."
        assert agree(page) == "broken"
        assert page.locator(".live label select").nth(1).input_value() == "your own words"
        page.keyboard.press("Tab")
        page.keyboard.type("sure")
        assert words(page) == "the capital of france is . sure"
        agree(page)


def test_an_answer_may_be_empty_and_is_never_longer_than_the_students(live: Page) -> None:
    while words(live):
        live.locator(".live .slot").first.select_option("")
    assert agree(live) == "broken"
    limit = live.evaluate("explore.data.world.limit")
    for _ in range(limit - 1):
        live.locator(".live .slot").last.select_option("sure")
    assert live.locator(".live .slot").count() == limit - 1
    agree(live)


def test_another_capital_moves_the_gold_reward_and_not_the_score() -> None:
    """What the page is there to show, in the recorded table too."""
    changes = {
        one["change"]: one for one in next(iter(computed(current_run()).values()))["changes"]
    }
    right, wrong = changes["the right answer"], changes["a wrong fact"]
    assert right["gold"] - wrong["gold"] > 2
    assert abs(right["score"] - wrong["score"]) < 1
    assert len(soup(NAME).select("figure.explore tbody tr")) == len(changes)
