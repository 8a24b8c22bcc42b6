"""A third world, smaller still: essays of two words, for policy gradients from zero.

There are five words, so 25 essays, and each has a grade. A student is a table of logits: a row for
the first word, and five for the second, one after each first word. Many students practise side by
side. All essays are listed, so a push that comes from a few of them can be held against the truth.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import one_hot

WORDS = 5
ESSAYS = WORDS * WORDS
"""Essays are numbered: the first word's number times `WORDS`, plus the second's."""


def word_logprobs(students: Float[Tensor, "students 6 5"]) -> Float[Tensor, "students 25 2"]:
    """Log-probability of both words of every essay, each in its place.

    Args:
        students: A table of logits for each of them.

    Returns:
        In nats.
    """
    rows = students.log_softmax(2)
    first = rows[:, 0].repeat_interleave(WORDS, 1)
    return torch.stack([first, rows[:, 1:].flatten(1)], 2)


def probabilities(students: Float[Tensor, "students 6 5"]) -> Float[Tensor, "students 25 1"]:
    """How likely each student is to write each essay."""
    return word_logprobs(students).sum(2, keepdim=True).exp()


def mean_grade(
    students: Float[Tensor, "students 6 5"], grades: Float[Tensor, "25 1"]
) -> Float[Tensor, " students"]:
    """What each student's essays earn on average."""
    return (probabilities(students) * grades).sum((1, 2))


def values(
    students: Float[Tensor, "students 6 5"], grades: Float[Tensor, "25 1"]
) -> Float[Tensor, "students 25 2"]:
    """A perfect critic: the mean grade to come, before each word of each essay."""
    start = mean_grade(students, grades)[:, None].expand(-1, ESSAYS)
    after_first = (students[:, 1:].softmax(2) * grades.view(WORDS, WORDS)).sum(2)
    return torch.stack([start, after_first.repeat_interleave(WORDS, 1)], 2)


def write(
    students: Float[Tensor, "students 6 5"], count: int, *, generator: torch.Generator
) -> Float[Tensor, "students 25 1"]:
    """Let each student write some essays.

    Args:
        students: Who writes.
        count: Essays of each.
        generator: Source of randomness.

    Returns:
        The share of each essay among those that the student wrote.
    """
    likely = probabilities(students)[:, :, 0]
    drawn = likely.multinomial(count, replacement=True, generator=generator)
    return one_hot(drawn, ESSAYS).float().mean(1)[:, :, None]
