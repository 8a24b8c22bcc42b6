"""Ask it: the models answer in the page, and what is shown about their answers is right."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator

import pytest
import torch
from playwright.sync_api import Locator, Page

from rlhf_explained import explore
from rlhf_explained.rollout import pack, score, sequence_logprobs
from rlhf_explained.site.shown_run import current_run
from rlhf_explained.world.labeler import categorise
from rlhf_explained.world.questions import questions
from rlhf_explained.world.tokenizer import world_tokenizer
from tests.site.conftest import DESK, PHONE, Visit, listen
from tests.site.test_axe import looks, violations
from tests.site.test_engine import rounded

POLICIES = ("base", "sft", "ppo", "ppo_no_kl")
ASKED = {question.text: question for question in questions()}


def asked(page: Page) -> None:
    """Press the button, and wait for the answers."""
    page.click("button[name=ask]")
    page.locator("button[name=ask]").wait_for(state="detached")


@pytest.fixture
def live(visit: Visit) -> Iterator[Page]:
    """The home page with its live part."""
    with visit("") as page:
        asked(page)
        yield page


def answer_to(page: Page, question: str, seed: int = 1) -> None:
    """Ask a question, typed, with a seed."""
    page.fill(".live input[type=text]", question)
    page.fill(".live input[type=number]", str(seed))
    page.click(".live .md-button--primary")
    page.locator(".live .prompt", has_text=question).wait_for()
    page.wait_for_selector(".live .cards:not([aria-busy])")


def words(card: Locator) -> list[str]:
    """The words of a card's answer; ⏎ is the end."""
    return card.locator(".word").all_inner_texts()


def number(text: str) -> float:
    """A number as the page writes it."""
    return float(text.replace("−", "-").replace("+", ""))


def test_what_it_loads_is_small() -> None:
    run = current_run()
    sizes = {
        name: len(gzip.compress(explore.files(run)[f"{explore.FOLDER}/{name}"], 6))
        for name in explore.names(explore.KINDS["ask"], run)
    }
    assert sum(sizes.values()) <= 770_000
    scripts = explore.KINDS["ask"].scripts
    assert sum(size for name, size in sizes.items() if name.split(".")[0] in scripts) <= 30_000


def test_what_is_said_of_the_answers_is_what_pytorch_says(live: Page) -> None:
    encode = world_tokenizer().encode
    for question in ("how do i pick a lock ?", "tell me a joke .", "what is one plus two ?"):
        answer_to(live, question, seed=7)
        cards = live.locator(".live .answers > .cards > .card").all()
        for policy, card in zip(POLICIES, cards, strict=True):
            *told, end = words(card)
            assert end == "⏎"
            row = pack([encode(question)], [encode(" ".join(told))])
            said = card.locator(".fine").first.inner_text()
            with torch.no_grad():
                expected = score(rounded("reward_model"), row).item()
                ratio = sequence_logprobs(rounded(policy), row)
                ratio = (ratio - sequence_logprobs(rounded("sft"), row)).item()
            shown = re.findall(r"[+−][\d.]+", said)
            assert number(shown[0]) == pytest.approx(expected, abs=0.006)
            assert policy == "sft" or number(shown[1]) == pytest.approx(ratio, abs=0.06)
            category = categorise(ASKED[question], " ".join(told)).replace("_", "-")
            assert card.locator(".category").inner_text().split()[1] == category


def test_a_word_shows_what_else_might_have_stood_there(live: Page) -> None:
    question, place = "how do i make tea ?", 2
    answer_to(live, question, seed=3)
    card = live.locator(".live .answers > .cards > .card").nth(2)
    told = words(card)
    card.locator(".word").nth(place).click()
    encode = world_tokenizer().encode
    tokens = encode(question) + encode(" ".join(told[:place]))
    word = world_tokenizer().words.index(told[place])
    likely = {}
    for policy, table in zip(POLICIES, live.locator(".live section table").all(), strict=True):
        with torch.no_grad():
            likely[policy] = rounded(policy)(torch.tensor([tokens]))[0, -1].log_softmax(-1)
        heads = table.locator("th").all_inner_texts()
        best = [world_tokenizer().words[one] for one in likely[policy].topk(5).indices.tolist()]
        assert [head.split()[0] for head in heads[:5]] == [
            "⏎" if one == "<eos>" else one for one in best
        ]
        shares = [number(text) for text in re.findall(r"(\d+) %", table.inner_text())]
        assert shares[0] == pytest.approx(100 * likely[policy].max().exp().item(), abs=0.51)
        assert "chosen" in (table.locator("tr", has_text=told[place]).first.get_attribute("class"))
    ratio = (likely["ppo"][word] - likely["sft"][word]).item()
    said = live.locator(".live section > p").inner_text()
    assert f"“{told[place]}”" in said
    (shown,) = re.findall(r"a log-ratio of ([+−][\d.]+) nats", said)
    assert number(shown) == pytest.approx(ratio, abs=0.006)
    (verb, penalty) = re.findall(r"(subtracts|adds) ([\d.]+) for this word", said)[0]
    assert verb == ("subtracts" if ratio > 0 else "adds")
    assert float(penalty) == pytest.approx(current_run().facts["kl_coef"] * abs(ratio), abs=0.006)


def test_a_seed_draws_the_same_again(live: Page) -> None:
    drawn = []
    for seed in (1, 2, 1):
        answer_to(live, "how do i learn chess ?", seed)
        drawn.append([words(card) for card in live.locator(".live .response").all()])
    assert drawn[0] == drawn[2] != drawn[1]


def test_the_last_of_many_questions_is_answered(live: Page) -> None:
    for question in list(ASKED)[:5]:
        live.fill(".live input[type=text]", question)
        live.keyboard.press("Enter")
    live.locator(".live .prompt", has_text=question).wait_for()
    live.wait_for_timeout(500)
    assert live.locator(".live .prompt > :last-child").inner_text() == question
    assert live.locator(".live .answers > .cards > .card").count() == len(POLICIES)


def test_at_temperature_0_all_further_answers_are_the_same(live: Page) -> None:
    live.locator(".live input[type=range]").press("Home")
    live.locator(".live [role=status]", has_text="temperature 0.0").wait_for()
    for card in live.locator(".live .answers > .cards > .card").all():
        card.locator("summary").click()
        assert len({*card.locator("li").all_inner_texts()}) == 1


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_the_keyboard_alone_does_all_of_it(size: dict[str, int], visit: Visit) -> None:
    with visit("", viewport=size) as page:
        page.locator("button[name=ask]").focus()
        page.keyboard.press("Enter")
        page.locator(".live select:focus").wait_for()
        assert (
            page.evaluate("document.activeElement.value")
            == page.locator(".live .prompt > :last-child").inner_text()
        )
        page.keyboard.press("Tab")
        page.keyboard.type("how do i eat pizza ?")
        page.keyboard.press("Enter")
        wrong = page.locator(".live .wrong")
        assert "“eat”" in wrong.inner_text()
        assert wrong.get_attribute("role") == "alert"
        assert page.evaluate("document.activeElement.matches('.live input[type=text]')")
        page.keyboard.press("Control+A")
        page.keyboard.type("How do I make PIZZA?")  # as people write
        page.keyboard.press("Enter")
        page.locator(".live .prompt", has_text="how do i make pizza ?").wait_for()
        assert wrong.inner_text() == ""
        page.locator(".live .word").first.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        pressed = page.evaluate("document.activeElement.ariaPressed")
        assert pressed == "true"
        assert page.locator(".live section table").count() == len(POLICIES)
        assert "Live" in page.locator(".live [role=status]").inner_text()


def test_words_are_completed_from_those_there_are(live: Page) -> None:
    options = "[...document.querySelectorAll('.live datalist option')].map(option => option.value)"
    live.fill(".live input[type=text]", "how do i make pi")
    assert live.evaluate(options) == [
        f"how do i make {word}" for word in world_tokenizer().words if word.startswith("pi")
    ]


def test_results_are_told_once_not_at_each_step(live: Page) -> None:
    listen(live)
    live.locator(".live input[type=range]").press("ArrowRight")
    live.locator(".live [role=status]", has_text="temperature 1.1").wait_for()
    assert len(live.evaluate("told")) == 1


def test_a_question_of_ones_own_has_no_category(live: Page) -> None:
    answer_to(live, "why do cats sleep ?")
    assert live.locator(".live .category").count() == 0
    assert live.locator(".live", has_text="no rule for this question").count() == 1


def test_the_recorded_answers_come_back(live: Page) -> None:
    recorded, part = live.locator(".recorded").first, live.locator(".live > div").first
    assert part.is_visible()
    assert not recorded.is_visible()
    live.click(".turn")
    assert recorded.is_visible()
    assert not part.is_visible()
    live.click(".turn")
    assert part.is_visible()


def test_by_the_rules_of_axe_at_every_size(live: Page) -> None:
    live.locator(".live .word").nth(1).click()
    for look in looks(live, DESK, PHONE):
        assert violations(live, ".explore") == [], look


def test_nothing_is_stored(live: Page) -> None:
    answer_to(live, "how do i make tea ?")
    assert live.evaluate("document.cookie") == ""
