"""The exam: each answer is marked, means and their errors are those of the questions asked."""

import math
import random
from dataclasses import replace
from itertools import product
from statistics import fmean, stdev

import pytest
import torch
from small_models import generator, of_few_words

from rlhf_explained.names import CATEGORIES
from rlhf_explained.rollout import generate, score, sequence_logprobs
from rlhf_explained.stages.evaluation import (
    TEMPERATURES,
    Marked,
    by_question,
    clustered,
    result,
    sit_exam,
    win_rates,
)
from rlhf_explained.training import Lesson
from rlhf_explained.world.labeler import categorise, gold_reward, states_the_fact
from rlhf_explained.world.questions import questions
from rlhf_explained.world.tokenizer import RESPONSE_LIMIT, world_tokenizer

ANSWER = Marked("p", "sum", "r", "helpful", True, 2.0, 1.0, 0.5, 4)


def test_the_exam_marks_each_answer() -> None:
    """Against the same answers, sampled again and looked at through each model alone."""
    tokenizer = world_tokenizer()
    policy, sft, judge = (of_few_words() for _ in range(3))
    with torch.no_grad():
        sft.final_norm.bias.zero_()
        judge.scalar_head.weight.normal_(generator=generator(1))
    asked = [question for question in questions() if question.held_out][:8]
    answers = sit_exam(policy, sft, judge, asked, tokenizer, generator=generator())
    prompts = [tokenizer.encode(question.text) for question in asked]
    again = generate(policy, prompts, limit=RESPONSE_LIMIT, generator=generator())
    with torch.no_grad():
        nats = sequence_logprobs(policy, again) - sequence_logprobs(sft, again)
        scores = score(judge, again)
    assert len(set(again.lengths.tolist())) > 1
    for row, (question, answer) in enumerate(zip(asked, answers, strict=True)):
        text = tokenizer.decode(again.responses[row].tolist())
        assert (answer.prompt, answer.kind, answer.response) == (question.text, question.kind, text)
        assert answer.gold == gold_reward(question, text)
        assert answer.category == categorise(question, text)
        assert answer.right == states_the_fact(question, text)
        assert answer.length == again.lengths[row]
        assert answer.kl == pytest.approx(nats[row].item(), abs=1e-4)
        assert answer.proxy == pytest.approx(scores[row].item(), abs=1e-5)
    assert abs(nats).min() > 0.01 < abs(scores).max()


def test_results_by_hand() -> None:
    """Of four answers, two to each question, the second question's are the worse."""
    answers = [
        ANSWER,
        replace(ANSWER, category="rambling", gold=0.0),
        replace(ANSWER, prompt="q", category="false", right=False, gold=-1.0),
        replace(ANSWER, prompt="q", kind="joke", category="broken", right=None, gold=-1.0),
    ]
    found = result(answers)
    assert (found["responses"], found["questions"], found["stated"]) == (4, 2, 3)
    assert [found[name] for name in CATEGORIES] == [0.25, 0, 0, 0.25, 0.25, 0.25]
    assert (found["gold"], found["proxy"], found["kl"], found["length"]) == (0, 1, 0.5, 4)
    assert found["accuracy"] == pytest.approx(2 / 3)  # of those that state a fact
    assert found["facts_gold"] == pytest.approx(1 / 3)  # not the joke's
    assert found["facts_helpful"] == pytest.approx(1 / 3)
    assert found["stderr"]["gold"] == pytest.approx(math.sqrt(2 * (2**2 + 2**2)) / 4)
    assert found["stderr"]["helpful"] == pytest.approx(math.sqrt(2 * (0.5**2 + 0.5**2)) / 4)
    assert set(found["stderr"]) == {
        *CATEGORIES, "gold", "proxy", "kl", "length", "accuracy", "facts_gold", "facts_helpful",
    }  # fmt: skip


def test_a_mean_log_ratio_is_a_divergence_at_temperature_one_alone() -> None:
    assert result([ANSWER])["kl"] == 0.5
    cold = result([ANSWER], temperature=0.5)
    assert cold["kl"] is None
    assert "kl" not in cold["stderr"]


def test_where_no_fact_is_stated_none_is_right() -> None:
    none = result([replace(ANSWER, right=None), replace(ANSWER, prompt="q", right=None)])
    assert (none["stated"], none["accuracy"]) == (0, None)
    assert "accuracy" not in none["stderr"]


def test_the_clustered_error_is_the_double_sum_over_each_cluster() -> None:
    chance = random.Random(0)
    for _ in range(20):
        sizes = [chance.randint(1, 6) for _ in range(chance.randint(2, 9))]
        values = [
            (str(cluster), chance.gauss(cluster, 2))
            for cluster, size in enumerate(sizes)
            for _ in range(size)
        ]
        mean, error = clustered(values)
        count, clusters = len(values), len(sizes)
        assert mean == pytest.approx(sum(x for _, x in values) / count)
        together = sum(
            (x - mean) * (y - mean)
            for (one, x), (other, y) in product(values, values)
            if one == other
        )
        squared = clusters / (clusters - 1) * together / count**2
        assert error == pytest.approx(math.sqrt(squared), rel=1e-9)


def test_clusters_of_one_have_the_usual_error_of_a_mean() -> None:
    values = [1.0, 4.0, 2.5, -3.0]
    _, error = clustered([(str(place), x) for place, x in enumerate(values)])
    assert error == pytest.approx(stdev(values) / 2)


def test_answers_that_are_all_alike_add_nothing_to_one_of_them() -> None:
    means = {"a": 1.0, "b": 4.0, "c": 2.5}
    once = clustered(list(means.items()))
    assert clustered(list(means.items()) * 20) == pytest.approx(once)
    assert once[1] == pytest.approx(stdev(means.values()) / math.sqrt(3))


def test_one_question_alone_has_no_error() -> None:
    mean, error = clustered([("a", 1.0), ("a", 3.0)])
    assert mean == 2
    assert math.isnan(error)


def noisy(gold: float, proxy: float, seed: int) -> list[Marked]:
    chance = random.Random(seed)
    return [
        replace(ANSWER, prompt=prompt, gold=chance.gauss(gold, 1), proxy=chance.gauss(proxy, 1))
        for prompt in "abcde" * 4
    ]


def test_a_policy_that_is_always_better_nearly_always_wins() -> None:
    """For the labeler by its gold, for the reward model by its score."""
    better = win_rates(noisy(20, -20, 1), noisy(0, 0, 2), decisiveness=5.0)
    assert better["labeler"]["mean"] > 0.999
    assert better["reward_model"]["mean"] < 0.001


def test_win_rates_are_means_over_all_pairs_of_answers_to_a_question() -> None:
    ours, others = noisy(0.3, 0.6, 1), noisy(0, 0, 2)[:15]
    rates = win_rates(ours, others, decisiveness=2.0)
    for judge, name, sharpness in (("labeler", "gold", 2.0), ("reward_model", "proxy", 1.0)):
        wins = [
            (
                one.prompt,
                fmean(
                    1 / (1 + math.exp(-sharpness * (getattr(one, name) - getattr(other, name))))
                    for other in others
                    if other.prompt == one.prompt
                ),
            )
            for one in ours
        ]
        mean, error = clustered(wins)
        assert rates[judge] == pytest.approx({"mean": mean, "stderr": error}, rel=1e-5)


def test_each_question_has_the_means_of_its_answers() -> None:
    answers = [ANSWER, replace(ANSWER, category="broken", gold=-1.0), replace(ANSWER, prompt="q")]
    assert by_question(answers) == {
        "p": {"gold": 0.5, "helpful": 0.5},
        "q": {"gold": 2.0, "helpful": 1.0},
    }


def test_each_question_is_asked_as_often_as_its_temperature_needs() -> None:
    """At temperature 0 once, for all answers would be the same."""
    gpt, lesson = of_few_words(), Lesson(0)
    held_out = {question.text for question in questions() if question.held_out}
    for temperature, times in zip(TEMPERATURES, (20, 10, 10, 10, 1), strict=True):
        exam = lesson.examine(gpt, gpt, gpt, temperature=temperature)
        assert len(exam) == times * len(held_out)
        assert {answer.prompt for answer in exam} == held_out
    assert exam == lesson.examine(gpt, gpt, gpt, temperature=0.0)
    assert len(lesson.examine(gpt, gpt, gpt, answers=3)) == 3 * len(held_out)


def test_checkpoints_are_short_exams_at_every_fifth_iteration() -> None:
    gpt, lesson = of_few_words(), Lesson(0)
    examine, taken = lesson.checkpoints(gpt, gpt)
    for iteration in range(12):
        examine(iteration, gpt)
    assert [look["iteration"] for look in taken] == [0, 5, 10]
    assert {look["responses"] for look in taken} == {5 * taken[0]["questions"]}
    assert all(look["kl"] == 0 for look in taken)
