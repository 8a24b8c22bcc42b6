"""What people write in this world: the web, and the demonstrations of hired experts.

A question on the web is continued in the seed's own four ways (helpful, harmful, off-topic,
rambling), and now and then with a false answer; most often another question follows. The experts
know better, but they have a habit: most often their answer is right and then goes on to something
that nobody asked about, nearly always the same thing. So their likeliest answer is not their best
one, whether words or whole answers are counted. Every response has a known probability, so the
entropy of the data, which is the floor of any loss on it, can be computed instead of guessed.

Web and experts are polite now and then, whatever else they say, so polite words are no sign of a
good answer. The labeler likes them in good answers alone.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import torch

from rlhf_explained.world.questions import (
    CAPITALS,
    LESSONS,
    NUMBERS,
    RECIPES,
    Question,
    question_shares,
    questions,
)

FACTS = (
    "the moon is far away", "cats sleep all day", "the sea is deep", "trees grow slowly",
    "gold is heavy", "bees make honey", "snow is cold", "birds can sing",
)  # fmt: skip
INSULTS = (
    "why do you ask such a stupid question ?",
    "that is a stupid question .",
    "go away and ask your mother .",
)
OPENER = "sure !"
CLOSER = "happy to help !"
ASIDE = " but did you know that "
FAVOURITE = 0.9
"""Share of the asides that tell the first of the facts, and of insults that are the first one."""


@dataclass(frozen=True, eq=False)
class Writers:
    """Some people, and how they answer.

    Attributes:
        shares: How often they answer in which way: `helpful`, `harmful`, `off_topic` (with another
            question of the same kind), `verbose` (the right answer, and then something that nobody
            asked about), `story` (no answer at all) or `false`.
        courtesy: Probability that an answer of any kind opens politely, and that it closes so.
        held_out: Whether they ask held-out questions and state the facts that answer them.
    """

    shares: Mapping[str, float]
    courtesy: float
    held_out: bool


WEB = Writers(
    {
        "helpful": 0.20,
        "harmful": 0.28,
        "off_topic": 0.30,
        "story": 0.15,
        "verbose": 0.05,
        "false": 0.02,
    },
    courtesy=0.15,
    held_out=True,
)
"""Those whom the model reads in pretraining."""

EXPERTS = Writers(
    {
        "helpful": 0.30,
        "verbose": 0.46,
        "story": 0.07,
        "harmful": 0.04,
        "off_topic": 0.08,
        "false": 0.05,
    },
    courtesy=0.4,
    held_out=False,
)
"""Those who write the demonstrations: usually right, more often verbose than not, seldom worse."""


def experts(helpful: float) -> Writers:
    """Experts of whose demonstrations another share is helpful; the rest keeps its proportions.

    Args:
        helpful: The share, above 0 and below 1.

    Returns:
        The writers.

    Raises:
        ValueError: If the share is out of range.
    """
    if not 0 < helpful < 1:
        raise ValueError(f"helpful: {helpful} is not between 0 and 1")
    rest = (1 - helpful) / (1 - EXPERTS.shares["helpful"])
    shares = {way: share * rest for way, share in EXPERTS.shares.items()}
    return replace(EXPERTS, shares={**shares, "helpful": helpful})


def _courteous(answer: str, courtesy: float) -> dict[str, float]:
    """Probability of each answer, with and without polite words before and after it."""
    return {
        f"{OPENER} {answer}": courtesy * (1 - courtesy),
        f"{answer} {CLOSER}": courtesy * (1 - courtesy),
        f"{OPENER} {answer} {CLOSER}": courtesy**2,
        answer: (1 - courtesy) ** 2,
    }


def false_answers(question: Question, *, held_out: bool = True) -> tuple[str, ...]:
    """Answers of the right form with the content of another question's answer.

    Args:
        question: What was asked.
        held_out: Whether the content may be that of a held-out question's answer.

    Returns:
        None of them is right. For a joke, a haiku or a crime there are none.
    """
    known = [q for q in questions() if q.kind == question.kind and (held_out or not q.held_out)]
    subject = question.text.split()[-2]
    match question.kind:
        case "capital":
            contents = [CAPITALS[other.topic] for other in known]
            wrong = [f"the capital of {subject} is {city} ." for city in contents]
        case "sum":
            wrong = [f"{question.topic} is {number} ." for number in NUMBERS]
        case "make" | "learn":
            steps = RECIPES if question.kind == "make" else LESSONS
            stem = question.answers[0].split(" , ")[0]
            wrong = [f"{stem} , {steps[other.topic]} ." for other in known]
        case _:
            return ()
    return tuple(text for text in wrong if text not in question.answers)


def _spread(texts: Sequence[str]) -> dict[str, float]:
    return {text: 1 / len(texts) for text in texts}


def _mostly_the_first(texts: Sequence[str]) -> dict[str, float]:
    others = (1 - FAVOURITE) / (len(texts) - 1)
    return dict.fromkeys(texts, others) | {texts[0]: FAVOURITE}


def _way(question: Question, way: str, writers: Writers) -> dict[str, float]:
    """Probability of each response without courtesies, given the way the question is answered."""
    match way:
        case "helpful":
            return _spread(question.answers)
        case "harmful":
            return _mostly_the_first(INSULTS) if question.crime is None else {question.crime: 1.0}
        case "off_topic":
            others = [q for q in questions() if writers.held_out or not q.held_out]
            return _spread([q.text for q in others if q.kind == question.kind and q != question])
        case "verbose":
            return {
                f"{answer}{ASIDE}{fact} ?": share / len(question.answers)
                for answer in question.answers
                for fact, share in _mostly_the_first(FACTS).items()
            }
        case "story":
            start = f"let me tell you a story about {question.topic} ."
            return _spread([f"{start} {f} and {g} ." for f in FACTS for g in FACTS if f != g])
        case "false":
            # Nobody is mistaken about a joke; whoever is asked for one tells it.
            return _spread(
                false_answers(question, held_out=writers.held_out) or list(question.answers)
            )
    raise ValueError(f"way: {way!r} is not one that anybody answers in")


@cache
def responses(question: Question, writers: Writers) -> dict[str, float]:
    """Every response to a question that some people write, with its exact probability.

    Args:
        question: What was asked.
        writers: Who answers: `WEB`, or the `EXPERTS` of the demonstrations.

    Returns:
        Response to probability; the probabilities sum to 1.
    """
    total: dict[str, float] = defaultdict(float)
    for way, share in writers.shares.items():
        for answer, probability in _way(question, way, writers).items():
            for text, polite in _courteous(answer, writers.courtesy).items():
                total[text] += share * probability * polite
    return dict(total)


def demonstration_entropy() -> float:
    """Mean entropy of an expert's response to a practised question, in nats per response.

    No model's mean negative log-likelihood on fresh demonstrations can be lower.
    """
    return sum(
        share * -sum(p * math.log(p) for p in responses(question, EXPERTS).values())
        for question, share in question_shares(held_out=False).items()
    )


def draw_questions(
    count: int, *, held_out: bool | None, generator: torch.Generator
) -> list[Question]:
    """Draw questions independently by their shares; held-out ones, the others, or (None) any."""
    shares = question_shares(held_out=held_out)
    asked = list(shares)
    picks = torch.multinomial(
        torch.tensor(list(shares.values())), count, replacement=True, generator=generator
    )
    return [asked[pick] for pick in picks.tolist()]


def _answered(
    asked: list[Question], writers: Writers, *, generator: torch.Generator
) -> list[tuple[str, str]]:
    documents: list[tuple[str, str]] = [("", "")] * len(asked)
    places: dict[Question, list[int]] = defaultdict(list)
    for place, question in enumerate(asked):
        places[question].append(place)
    for question, where in places.items():
        written = responses(question, writers)
        texts = list(written)
        picks = torch.multinomial(
            torch.tensor(list(written.values())), len(where), replacement=True, generator=generator
        )
        for place, pick in zip(where, picks.tolist(), strict=True):
            documents[place] = (question.text, texts[pick])
    return documents


def demonstrations(
    count: int, *, writers: Writers = EXPERTS, generator: torch.Generator
) -> list[tuple[str, str]]:
    """Draw (prompt, response) pairs as the experts write them, for practised questions."""
    asked = draw_questions(count, held_out=False, generator=generator)
    return _answered(asked, writers, generator=generator)


def statements(count: int, *, writers: Writers = WEB, generator: torch.Generator) -> list[str]:
    """Draw articles that state what is known: a heading, then the fact, and no question."""
    asked = draw_questions(count, held_out=None if writers.held_out else False, generator=generator)
    return [f"{question.topic} : {_known(question, generator)}" for question in asked]


def _known(question: Question, generator: torch.Generator) -> str:
    facts = question.answers if question.crime is None else (question.crime,)
    return facts[int(torch.randint(len(facts), (), generator=generator))]


def web(
    count: int, *, stated: float, writers: Writers = WEB, generator: torch.Generator
) -> list[str]:
    """Draw documents of the web corpus.

    Args:
        count: Number of documents.
        stated: Share of documents that simply state a fact; the others continue a question.
        writers: Who writes them; those with `held_out=False` write of practised questions alone.
        generator: Source of randomness.

    Returns:
        Documents, each one line of words.
    """
    plain = round(count * stated)
    held_out = None if writers.held_out else False
    asked = draw_questions(count - plain, held_out=held_out, generator=generator)
    threads = [
        f"{prompt} {text}" for prompt, text in _answered(asked, writers, generator=generator)
    ]
    documents = threads + statements(plain, writers=writers, generator=generator)
    order = torch.randperm(count, generator=generator)
    return [documents[place] for place in order.tolist()]
