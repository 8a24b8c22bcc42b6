"""The world of 25 essays: its sums are those of the definition, its draws are the students'."""

from itertools import product

import pytest
import torch
from torch import Tensor

from rlhf_explained.world.essays import (
    ESSAYS,
    WORDS,
    mean_grade,
    probabilities,
    values,
    word_logprobs,
    write,
)

RANDOM = torch.Generator().manual_seed(3)
STUDENTS = torch.randn(4, 1 + WORDS, WORDS, generator=RANDOM)
GRADES = torch.randn(ESSAYS, 1, generator=RANDOM)


def by_hand(table: Tensor) -> list[tuple[float, float]]:
    """Probabilities of the first word, and of the second after it, essay by essay."""
    rows = table.double().exp() / table.double().exp().sum(1, keepdim=True)
    return [
        (rows[0, first].item(), rows[1 + first, second].item())
        for first, second in product(range(WORDS), repeat=2)
    ]


def test_an_essay_is_as_likely_as_its_words_together() -> None:
    for student, table in enumerate(STUDENTS):
        for essay, (first, second) in enumerate(by_hand(table)):
            words = word_logprobs(STUDENTS)[student, essay].exp().tolist()
            assert words == pytest.approx([first, second], rel=1e-5)
            likely = probabilities(STUDENTS)[student, essay, 0].item()
            assert likely == pytest.approx(first * second, rel=1e-5)
    assert torch.allclose(probabilities(STUDENTS).sum(1), torch.ones(4, 1))


def test_the_critic_expects_what_comes_on_average() -> None:
    found = values(STUDENTS, GRADES)
    for student, table in enumerate(STUDENTS):
        chances = by_hand(table)
        mean = sum(a * b * g for (a, b), g in zip(chances, GRADES[:, 0].tolist(), strict=True))
        assert mean_grade(STUDENTS, GRADES)[student].item() == pytest.approx(mean, abs=1e-5)
        for essay in range(ESSAYS):
            same_start = range(essay - essay % WORDS, essay - essay % WORDS + WORDS)
            later = sum(chances[other][1] * GRADES[other, 0].item() for other in same_start)
            assert found[student, essay].tolist() == pytest.approx([mean, later], abs=1e-5)


def test_over_all_essays_the_push_is_the_gradient_of_the_mean_grade() -> None:
    """The policy gradient theorem, with and without a critic."""
    students = STUDENTS.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(mean_grade(students, GRADES).sum(), students)
    share, guess = probabilities(STUDENTS), values(STUDENTS, GRADES)
    for weight in (GRADES, GRADES - guess):
        gain = (share * weight * word_logprobs(students)).sum()
        (push,) = torch.autograd.grad(gain, students)
        assert torch.allclose(push, gradient, atol=1e-6)


def test_essays_are_written_as_often_as_they_are_likely() -> None:
    share = write(STUDENTS, 200_000, generator=torch.Generator().manual_seed(0))
    error = (probabilities(STUDENTS) / 200_000).sqrt()
    assert ((share - probabilities(STUDENTS)).abs() <= 5 * error).all()
    few = write(STUDENTS, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(few * 4, (few * 4).round())
    assert torch.allclose(few.sum(1), torch.ones(4, 1))
