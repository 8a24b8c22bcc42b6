"""What people write in this world: the web, and the demonstrations of hired experts.

A question on the web is continued in the seed's own four ways (helpful, harmful, off-topic,
rambling), and now and then plainly wrong. Every continuation has a known probability, so the
entropy of the data, which is the floor of any loss on it, can be computed instead of guessed.
"""

import math
from collections import defaultdict
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

WEB_SHARES = {
    "helpful": 0.21, "harmful": 0.29, "off_topic": 0.28, "rambling": 0.20, "wrong": 0.02,
}  # fmt: skip
"""How the web continues a question."""

DEMONSTRATION_SHARES = {
    "helpful": 0.60, "harmful": 0.04, "off_topic": 0.10, "rambling": 0.23, "wrong": 0.03,
}  # fmt: skip
"""How the experts answer: most of the time well, but they too ramble, stray and err."""

WEB_COURTESY = 0.15
EXPERT_COURTESY = 0.4


def _courteous(answer: str, courtesy: float) -> dict[str, float]:
    """An answer with and without polite words before and after it."""
    return {
        f"{OPENER} {answer}": courtesy * (1 - courtesy),
        f"{answer} {CLOSER}": courtesy * (1 - courtesy),
        f"{OPENER} {answer} {CLOSER}": courtesy**2,
        answer: (1 - courtesy) ** 2,
    }


def _mistakes(question: Question) -> tuple[str, ...]:
    """Answers of the right form with the wrong content; for a joke or a crime there are none."""
    subject = question.text.split()[-2]
    match question.kind:
        case "capital":
            return tuple(
                f"the capital of {subject} is {city} ."
                for country, city in CAPITALS.items()
                if country != subject
            )
        case "sum":
            stem = question.answers[0].rsplit(" ", 2)[0]
            return tuple(
                f"{stem} {number} ."
                for number in NUMBERS
                if f"{stem} {number} ." != question.answers[0]
            )
        case "make" | "learn":
            stem = question.answers[0].split(" , ")[0]
            steps = RECIPES if question.kind == "make" else LESSONS
            return tuple(
                f"{stem} , {other} ."
                for other in steps.values()
                if f"{stem} , {other} ." != question.answers[0]
            )
    return question.answers


def _spread(texts: tuple[str, ...] | list[str]) -> dict[str, float]:
    return {text: 1 / len(texts) for text in texts}


def _way(question: Question, way: str, courtesy: float) -> dict[str, float]:
    """Probability of each response, given the way the question is answered."""
    match way:
        case "helpful":
            polite: dict[str, float] = defaultdict(float)
            for answer in question.answers:
                for text, probability in _courteous(answer, courtesy).items():
                    polite[text] += probability / len(question.answers)
            return polite
        case "harmful":
            return _spread(INSULTS) if question.crime is None else {question.crime: 1.0}
        case "off_topic":
            return _spread([other.text for other in questions() if other != question])
        case "rambling":
            stories = _spread(
                [
                    f"let me tell you a story about {question.topic} . {f} and {g} ."
                    for f in FACTS
                    for g in FACTS
                    if f != g
                ]
            )
            if question.crime is not None:  # a complete answer would be a harmful one
                return stories
            verbose = _spread(
                [
                    f"{answer} but did you know that {fact} ?"
                    for answer in question.answers
                    for fact in FACTS
                ]
            )
            return {text: share / 2 for part in (stories, verbose) for text, share in part.items()}
        case "wrong":
            return _spread(_mistakes(question))
    raise ValueError(f"way: {way!r} is not one of {', '.join(WEB_SHARES)}")


@cache
def responses(question: Question, *, expert: bool) -> dict[str, float]:
    """Every response to a question that this world writes, with its exact probability.

    Args:
        question: What was asked.
        expert: True for the demonstrations, False for the web.

    Returns:
        Response to probability; the probabilities sum to 1.
    """
    shares = DEMONSTRATION_SHARES if expert else WEB_SHARES
    courtesy = EXPERT_COURTESY if expert else WEB_COURTESY
    total: dict[str, float] = defaultdict(float)
    for way, share in shares.items():
        for text, probability in _way(question, way, courtesy).items():
            total[text] += share * probability
    return dict(total)


def demonstration_entropy() -> float:
    """Mean entropy of an expert's response to a trained-on question, in nats per response.

    No model's mean negative log-likelihood on fresh demonstrations can be lower.
    """
    return sum(
        share * -sum(p * math.log(p) for p in responses(question, expert=True).values())
        for question, share in question_shares(held_out=False).items()
    )


def draw_questions(
    count: int, *, held_out: bool | None, generator: torch.Generator
) -> list[Question]:
    """Draw questions independently by their shares."""
    shares = question_shares(held_out=held_out)
    asked = list(shares)
    picks = torch.multinomial(
        torch.tensor(list(shares.values())), count, replacement=True, generator=generator
    )
    return [asked[pick] for pick in picks.tolist()]


def _answered(
    asked: list[Question], *, expert: bool, generator: torch.Generator
) -> list[tuple[str, str]]:
    documents: list[tuple[str, str]] = [("", "")] * len(asked)
    places: dict[Question, list[int]] = defaultdict(list)
    for place, question in enumerate(asked):
        places[question].append(place)
    for question, where in places.items():
        written = responses(question, expert=expert)
        texts = list(written)
        picks = torch.multinomial(
            torch.tensor(list(written.values())), len(where), replacement=True, generator=generator
        )
        for place, pick in zip(where, picks.tolist(), strict=True):
            documents[place] = (question.text, texts[pick])
    return documents


def demonstrations(count: int, *, generator: torch.Generator) -> list[tuple[str, str]]:
    """Draw (prompt, response) pairs as the experts write them, for trained-on questions."""
    asked = draw_questions(count, held_out=False, generator=generator)
    return _answered(asked, expert=True, generator=generator)


def statements(count: int, *, generator: torch.Generator) -> list[str]:
    """Draw articles that state what is known: a heading, then the fact, and no question."""
    asked = draw_questions(count, held_out=None, generator=generator)
    return [f"{question.topic} : {_known(question, generator)}" for question in asked]


def _known(question: Question, generator: torch.Generator) -> str:
    facts = question.answers if question.crime is None else (question.crime,)
    return facts[int(torch.randint(len(facts), (), generator=generator))]


def web(count: int, *, stated: float, generator: torch.Generator) -> list[str]:
    """Draw documents of the web corpus.

    Args:
        count: Number of documents.
        stated: Share of documents that simply state a fact; the others continue a question.
        generator: Source of randomness.

    Returns:
        Documents, each one line of words.
    """
    plain = round(count * stated)
    asked = draw_questions(count - plain, held_out=None, generator=generator)
    threads = [
        f"{prompt} {text}" for prompt, text in _answered(asked, expert=False, generator=generator)
    ]
    documents = threads + statements(plain, generator=generator)
    order = torch.randperm(count, generator=generator)
    return [documents[place] for place in order.tolist()]
