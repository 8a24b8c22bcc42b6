"""The study of rewards that a rule gives: the rule, the exam, and pass@k."""

from itertools import combinations
from statistics import fmean

import pytest
import torch
from small_models import of_few_words

from rlhf_explained.measured import of_studies
from rlhf_explained.pipeline import RunConfig, run
from rlhf_explained.rollout import pack
from rlhf_explained.studies import verifiable
from rlhf_explained.studies.verifiable import Rule, asked, judge, pass_at_k
from rlhf_explained.training import Lesson
from rlhf_explained.world.tokenizer import world_tokenizer


@pytest.mark.parametrize("right", range(7))
@pytest.mark.parametrize("k", range(1, 7))
def test_pass_at_k_is_the_share_of_all_draws_that_hold_a_right_one(right: int, k: int) -> None:
    marks = [True] * right + [False] * (6 - right)
    every = fmean(any(drawn) for drawn in combinations(marks, k))
    assert pass_at_k(6, right, k) == pytest.approx(every)


@pytest.mark.parametrize(
    ("right", "k", "named"), [(7, 1, "right"), (-1, 1, "right"), (2, 0, "k"), (2, 7, "k")]
)
def test_pass_at_k_names_what_is_out_of_range(right: int, k: int, named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}: "):
        pass_at_k(6, right, k)


ANSWERS = {
    "the capital of peru is lima .": (True, True),
    "sure ! the capital of peru is lima . but did you know that bees make honey ?": (True, True),
    "the capital of peru is paris .": (False, True),
    "the capital of france is paris .": (False, True),
    "what is the capital of france ?": (False, False),
    "go away and ask your mother .": (False, False),
}


@pytest.mark.parametrize("rule", [Rule(correct=1.0), Rule(form=1.0), Rule(correct=1.0, form=10.0)])
def test_a_rule_pays_for_content_and_form(rule: Rule) -> None:
    lesson = Lesson(0)
    encode = lesson.tokenizer.encode
    prompts = [encode("what is the capital of peru ?")] * len(ANSWERS)
    paid = judge(rule, lesson)(pack(prompts, [encode(text) for text in ANSWERS]))
    wanted = [rule.correct * right + rule.form * form for right, form in ANSWERS.values()]
    assert paid.tolist() == wanted


def test_practice_and_exam_share_no_question() -> None:
    practised, held_out = (set(asked(held_out=which)) for which in (False, True))
    assert not practised & held_out
    assert {q.kind for q in practised | held_out} == set(verifiable.KINDS)
    assert len(held_out) >= 30


def test_the_exam_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """With answers that are given: three of four right, one of the right form but false."""

    def given(policy, about, attempts, lesson, temperature=1.0):
        right, false = (True, True, "right ."), (False, True, "false .")
        if temperature != 1:
            return {question: [right] * attempts for question in about}
        return {
            q: ([right] * 3 + [false]) * (attempts // 4) if q.kind == "sum" else [right] * attempts
            for q in about
        }

    monkeypatch.setattr(verifiable, "answers", given)
    marks = verifiable.exam(of_few_words(), Lesson(0))
    assert (marks["sum"], marks["capital"], marks["form"]) == (0.75, 1.0, 1.0)
    assert 0.75 < marks["right"] == marks["accuracy"] < 1
    assert marks["right_0.0"] == marks["right_0.5"] == 1
    assert marks["pass_at"][0] == pytest.approx(marks["right"])
    assert marks["pass_at"][-1] == 1
    assert 1 < marks["different"] < 2


def test_answers_are_what_the_policy_says() -> None:
    """The marks of a policy's answers are those of the texts that it gave."""
    lesson, few = Lesson(0), asked(held_out=True)[:3]
    with torch.no_grad():
        given = verifiable.answers(run(RunConfig(seed=0)).policy("sft"), few, 4, lesson)
    assert list(given) == few
    for question, said in given.items():
        assert len(said) == 4
        for right, has_form, text in said:
            assert world_tokenizer().encode(text) is not None
            assert right is any(answer in text for answer in question.answers) or not right
            assert has_form or not right


def test_pages_read_pass_at_k_for_the_attempts_that_were_measured() -> None:
    assert of_studies.ATTEMPTED == verifiable.ATTEMPTED
    assert set(of_studies.RULES) == set(verifiable.SETTINGS)
