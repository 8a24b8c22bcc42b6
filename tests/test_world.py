"""The world: probabilities that sum to one, a judge that agrees with them, nothing that leaks."""

import itertools
import math
from collections import Counter

import pytest
import torch

from rlhf_explained.world import corpus, labeler
from rlhf_explained.world.questions import (
    KIND_SHARES,
    Question,
    evaluation_questions,
    question_shares,
    questions,
)
from rlhf_explained.world.tokenizer import EOS, RESPONSE_LIMIT, Tokenizer, world_tokenizer


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def find(text: str) -> Question:
    return next(question for question in questions() if question.text == text)


def test_the_seeds_own_prompts_are_there() -> None:
    for text in (
        "what is the capital of france ?",
        "how do i make a peanut butter sandwich ?",
        "how do i learn python ?",
        "tell me a joke .",
        "write a haiku about programming .",
    ):
        assert find(text)


def test_every_kind_has_held_out_and_other_questions() -> None:
    for kind in KIND_SHARES:
        assert {q.held_out for q in questions() if q.kind == kind} == {True, False}


def test_no_question_is_asked_twice() -> None:
    assert len({question.text for question in questions()}) == len(questions())


@pytest.mark.parametrize("held_out", [True, False, None])
def test_question_shares_sum_to_one(held_out: bool | None) -> None:
    assert sum(question_shares(held_out=held_out).values()) == pytest.approx(1)


@pytest.mark.parametrize("expert", [True, False])
def test_response_probabilities_sum_to_one(expert: bool) -> None:
    for question in questions():
        assert sum(corpus.responses(question, expert=expert).values()) == pytest.approx(1)


def test_every_response_fits_the_limit_with_its_end() -> None:
    for question, expert in itertools.product(questions(), (True, False)):
        for text in corpus.responses(question, expert=expert):
            assert len(text.split()) + 1 <= RESPONSE_LIMIT, text


def test_the_judge_names_what_the_world_wrote() -> None:
    """Where nothing is ambiguous, the shares that the judge finds are those that were written."""
    found: Counter[str] = Counter()
    for question, share in question_shares().items():
        for text, probability in corpus.responses(question, expert=False).items():
            found[labeler.categorise(question, text)] += share * probability
    # A "wrong" joke or refusal does not exist: that share is written as helpful.
    never_wrong = sum(KIND_SHARES[kind] for kind in ("joke", "haiku", "harm"))
    moved = never_wrong * corpus.WEB_SHARES["wrong"]
    assert found["helpful"] == pytest.approx(corpus.WEB_SHARES["helpful"] + moved)
    assert found["wrong"] == pytest.approx(corpus.WEB_SHARES["wrong"] - moved)
    for way in ("harmful", "off_topic", "rambling"):
        assert found[way] == pytest.approx(corpus.WEB_SHARES[way])


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("the capital of france is paris .", "helpful"),
        ("sure ! the capital of france is paris . happy to help !", "helpful"),
        ("sure ! sure ! the capital of france is paris .", "wrong"),
        ("the capital of france is berlin .", "wrong"),
        ("the capital of france is", "wrong"),
        ("", "wrong"),
        ("the capital of france is paris . but did you know that snow is cold ?", "rambling"),
        ("let me tell you a story about france . snow is cold and gold is heavy .", "rambling"),
        ("what is the capital of germany ?", "off_topic"),
        ("go away and ask your mother .", "harmful"),
        ("to steal a car , break the window and pull the wires .", "harmful"),
    ],
)
def test_categories(text: str, category: str) -> None:
    assert labeler.categorise(find("what is the capital of france ?"), text) == category


def test_a_crime_is_refused_helpfully_and_explained_harmfully() -> None:
    crime = find("how do i steal a car ?")
    assert labeler.categorise(crime, crime.answers[0]) == "helpful"
    assert crime.crime is not None
    assert labeler.categorise(crime, crime.crime) == "harmful"


def test_gold_reward_by_hand() -> None:
    """Seven words: 2 − 7·0.02; "sure !" adds 0.3 and two words."""
    question = find("what is the capital of france ?")
    assert labeler.gold_reward(question, "the capital of france is paris .") == pytest.approx(1.86)
    polite = labeler.gold_reward(question, "sure ! the capital of france is paris .")
    assert polite == pytest.approx(2.12)


def test_preferences_follow_bradley_terry() -> None:
    """Over many draws the share of choices is σ(d·difference), within four standard errors."""
    first, second = torch.full((20_000,), 0.5), torch.zeros(20_000)
    chosen = labeler.prefers_first(first, second, decisiveness=2.0, generator=generator())
    expected = 1 / (1 + math.exp(-1.0))
    assert chosen.float().mean().item() == pytest.approx(
        expected, abs=4 * math.sqrt(expected * (1 - expected) / 20_000)
    )


def test_preferences_do_not_depend_on_a_shift_of_the_gold() -> None:
    first, second = torch.tensor([0.3, 1.0]), torch.tensor([0.1, 2.0])
    plain = labeler.preference_probability(first, second, decisiveness=1.5)
    shifted = labeler.preference_probability(first + 7, second + 7, decisiveness=1.5)
    torch.testing.assert_close(plain, shifted)


def test_draws_are_repeatable_and_leave_the_global_state_alone() -> None:
    before = torch.get_rng_state()
    once = corpus.web(50, stated=0.3, generator=generator(1))
    assert once == corpus.web(50, stated=0.3, generator=generator(1))
    assert once != corpus.web(50, stated=0.3, generator=generator(2))
    assert torch.equal(before, torch.get_rng_state())


def test_demonstrations_use_no_held_out_question() -> None:
    held_out = {question.text for question in questions() if question.held_out}
    shown = corpus.demonstrations(500, generator=generator())
    assert not held_out & {prompt for prompt, _ in shown}


def test_the_demonstrations_entropy_is_the_expected_surprise() -> None:
    """The mean of −log p over drawn demonstrations approaches the computed entropy."""
    surprise = []
    for prompt, text in corpus.demonstrations(4000, generator=generator()):
        surprise.append(-math.log(corpus.responses(find(prompt), expert=True)[text]))
    mean = sum(surprise) / len(surprise)
    error = torch.tensor(surprise).std().item() / math.sqrt(len(surprise))
    assert mean == pytest.approx(corpus.demonstration_entropy(), abs=4 * error)


def test_evaluation_asks_only_held_out_questions_in_their_shares() -> None:
    asked = evaluation_questions(1200)
    assert len(asked) >= 1000
    assert all(question.held_out for question in asked)
    for kind, share in KIND_SHARES.items():
        assert sum(q.kind == kind for q in asked) / len(asked) == pytest.approx(share, abs=0.01)
    assert {question.kind for question in asked[: len(KIND_SHARES)]} == set(KIND_SHARES)


def test_tokens_round_trip() -> None:
    tokenizer = world_tokenizer()
    for question in questions():
        assert tokenizer.decode(tokenizer.encode(question.text)) == question.text


def test_decoding_stops_at_the_end_of_sequence() -> None:
    tokenizer = Tokenizer(["a", "b"])
    assert tokenizer.decode([*tokenizer.encode("a b"), EOS, *tokenizer.encode("b")]) == "a b"


def test_an_unknown_word_is_named() -> None:
    with pytest.raises(ValueError, match="text: the vocabulary has no word 'london'"):
        world_tokenizer().encode("what is the capital of london ?")
