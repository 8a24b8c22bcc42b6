"""The first words: bars as PyTorch has them, recorded and live, by keyboard, word by word."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from html import escape

import pytest
import torch
from playwright.sync_api import Page

from rlhf_explained import explore
from rlhf_explained.explore.computed import LIKELIEST, STUDENTS, computed
from rlhf_explained.explore.first_words import recorded
from rlhf_explained.measured.text import share
from rlhf_explained.site.shown_run import current_run
from rlhf_explained.world.questions import questions
from rlhf_explained.world.tokenizer import world_tokenizer
from tests.site.conftest import DESK, PHONE, Visit
from tests.site.test_engine import rounded

NAME = "guide/alignment-problem/"
CARDS = ".live .cards > .card"


@pytest.fixture
def live(visit: Visit) -> Iterator[Page]:
    """The page with its live part."""
    with visit(NAME) as page:
        page.click('button[name="first-words"]')
        page.locator(".live .chances").first.wait_for()
        yield page


def likely(name: str, text: str) -> torch.Tensor:
    """A model's probabilities of the next word, with the numbers that a browser has."""
    with torch.no_grad():
        tokens = torch.tensor([world_tokenizer().encode(text)])
        return rounded(name)(tokens)[0, -1].softmax(-1)


def agree(page: Page, text: str) -> None:
    """The bars that are shown are those after this text."""
    for name, card in zip(STUDENTS, page.locator(CARDS).all(), strict=True):
        expected = likely(name, text).topk(LIKELIEST)
        heads = [one.split()[0] for one in card.locator("th").all_inner_texts()]
        words = [world_tokenizer().words[token] for token in expected.indices.tolist()]
        assert heads == ["⏎" if word == "<eos>" else word for word in words]
        for cell, value in zip(card.locator("td").all(), expected.values.tolist(), strict=True):
            said = cell.inner_text()
            (told,) = re.findall(r"\d+", said)
            assert abs(int(told) - 100 * value) <= (1 if "under" in said else 0.51)


def test_what_it_loads_is_small() -> None:
    run, kind = current_run(), explore.KINDS["first-words"]
    files = [explore.files(run)[f"{explore.FOLDER}/{name}"] for name in explore.names(kind, run)]
    assert sum(len(gzip.compress(content, 6)) for content in files) <= 770_000


def test_what_was_recorded_is_what_the_models_say() -> None:
    run = current_run()
    for kind, told in computed(run).items():
        question = next(one for one in questions() if one.held_out and one.kind == kind)
        assert told["prompt"] == question.text
        page = recorded(run, {"kinds": kind})
        for name in STUDENTS:
            for word, value in told["first"][name].items():
                (token,) = world_tokenizer().encode(word)
                assert value == pytest.approx(likely(name, question.text)[token].item(), abs=1e-3)
                assert f"{escape(share(value))}</td>" in page


def test_a_kind_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="kinds: 'story' is not one of capital"):
        recorded(current_run(), {"kinds": "capital, story"})


def test_each_question_and_each_beginning_has_its_bars(live: Page) -> None:
    agree(live, "what is the capital of france ?")
    live.select_option(".live select", "how do i make tea ?")
    agree(live, "how do i make tea ?")
    live.fill(".live input", "Why do cats sleep?")
    live.click(".live .md-button--primary")
    agree(live, "why do cats sleep ?")
    live.locator(f"{CARDS} .word", has_text="let").first.click()
    agree(live, "why do cats sleep ? let")
    live.locator(f"{CARDS} .word", has_text="me").first.click()
    agree(live, "why do cats sleep ? let me")
    live.get_by_text("Take the last word back").click()
    agree(live, "why do cats sleep ? let")


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_the_keyboard_alone_does_all_of_it(size: dict[str, int], visit: Visit) -> None:
    with visit(NAME, viewport=size) as page:
        page.locator('button[name="first-words"]').focus()
        page.keyboard.press("Enter")
        page.locator(".live select:focus").wait_for()
        page.keyboard.press("Tab")
        page.keyboard.type("who am i ?")
        page.keyboard.press("Enter")
        assert "“who”" in page.locator(".live .wrong").inner_text()
        assert page.evaluate("document.activeElement.matches('.live input')")
        page.keyboard.press("Control+A")
        page.keyboard.type("tell me a joke .")
        page.keyboard.press("Enter")
        page.locator(".live .prompt", has_text="tell me a joke .").wait_for()
        for presses, said in ((2, 1), (0, 2)):
            for _ in range(presses):
                page.keyboard.press("Tab")
            page.keyboard.press("Enter")  # focus stays with the same model's words
            assert len(page.locator(".live .prompt strong").inner_text().split()) == said + 1
            assert page.evaluate("document.activeElement.matches('.live .stage-base .word')")
        assert "Live" in page.locator(".live [role=status]").inner_text()


def test_an_answer_can_be_gone_through_to_its_end(live: Page) -> None:
    """As far as the student has room, and no further."""
    live.select_option(".live select", "how do i make tea ?")
    limit = live.evaluate("explore.data.world.limit")
    for _ in range(limit - 1):
        live.locator(f"{CARDS} .word").first.click()
    assert live.locator(f"{CARDS} .word").count() == 0
    assert live.evaluate("document.activeElement.textContent") == "Take the last word back"
