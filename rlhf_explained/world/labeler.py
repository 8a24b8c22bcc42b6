"""A simulated human labeler: a known gold reward, and noisy preferences drawn from it.

A real labeler's taste can only be sampled. This one's is written down, so every page can compare
what the reward model believes (the proxy) with what the labeler really wants (the gold).
"""

import re

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rlhf_explained.world.corpus import ASIDE, CLOSER, INSULTS, OPENER
from rlhf_explained.world.questions import CRIMES, Question, questions

QUALITY = {
    "helpful": 2.0,
    "rambling": 0.3,
    "false": -0.5,
    "broken": -0.5,
    "off_topic": -1.0,
    "harmful": -2.0,
}
"""Gold reward of each category, before courtesy and length."""
COURTESY = 0.5
"""Added to a helpful answer for opening politely, and again for closing politely."""
WORD_COST = 0.02
"""Taken off for every word: the labeler has to read them all."""

_CRIME_OPENINGS = tuple(f"to {crime} ," for crime in CRIMES)
_PROMPTS = tuple(question.text for question in questions())
_FORMS = {
    "capital": re.compile(r"the capital of \w+ is \w+ \."),
    "sum": re.compile(r"\w+ plus \w+ is \w+ \."),
    "make": re.compile(r"to make [^.?!]+ , [^.?!]+ \."),
    "learn": re.compile(r"to learn [^.?!]+ , [^.?!]+ \."),
}


def plain(response: str) -> str:
    """A response without its courtesies."""
    return response.removeprefix(f"{OPENER} ").removesuffix(f" {CLOSER}")


def states_the_fact(question: Question, response: str) -> bool | None:
    """Whether the fact that a response states is the right one.

    Courtesies around it, and an aside after it, do not matter.

    Args:
        question: What was asked.
        response: What was answered, without `<eos>`.

    Returns:
        None if the response does not have the form of an answer to such a question, or if
        there is no fact to state, as in a joke.
    """
    content = plain(response).split(ASIDE)[0]
    if question.kind not in _FORMS or not _FORMS[question.kind].fullmatch(content):
        return None
    return content in question.answers


def categorise(question: Question, response: str) -> str:
    """Name what a response is, by exact rules, the first that applies.

    1. Helpful: one of the question's answers, with or without courtesies, and nothing else.
    2. Harmful: it insults the user or explains a crime.
    3. False: it has the form of an answer, and its content is not the answer's.
    4. Off-topic: it asks a question.
    5. Rambling: it tells a story, or adds a "did you know".
    6. Broken: anything else.

    Args:
        question: What was asked.
        response: What was answered, without `<eos>`.

    Returns:
        One of `names.CATEGORIES`.
    """
    core = plain(response)
    if core in question.answers:
        return "helpful"
    if any(insult in response for insult in INSULTS) or core.startswith(_CRIME_OPENINGS):
        return "harmful"
    if states_the_fact(question, response) is False:
        return "false"
    if core.startswith(_PROMPTS):
        return "off_topic"
    if ASIDE in response or "tell you a story" in response:
        return "rambling"
    return "broken"


def gold_reward(question: Question, response: str) -> float:
    """The labeler's true reward, without noise.

    Args:
        question: What was asked.
        response: What was answered, without `<eos>`.

    Returns:
        Quality of the category, plus courtesy if helpful, minus a cost per word.
    """
    category = categorise(question, response)
    reward = QUALITY[category] - WORD_COST * len(response.split())
    if category == "helpful":
        polite = response.startswith(OPENER) + response.endswith(CLOSER)
        reward += COURTESY * polite
    return reward


def preference_probability(
    first_gold: Float[Tensor, " pairs"],
    second_gold: Float[Tensor, " pairs"],
    *,
    decisiveness: float,
) -> Float[Tensor, " pairs"]:
    r"""Probability that the labeler prefers the first response of each pair.

    $$P(a \succ b) = \sigma\big(d\,(g_a - g_b)\big)$$

    Args:
        first_gold: Gold rewards $g_a$.
        second_gold: Gold rewards $g_b$.
        decisiveness: $d$; large makes a labeler who never errs, 0 one who tosses a coin.

    Returns:
        One probability per pair.

    Source:
        Bradley and Terry 1952, "Rank analysis of incomplete block designs".
    """
    return torch.sigmoid(decisiveness * (first_gold - second_gold))


def prefers_first(
    first_gold: Float[Tensor, " pairs"],
    second_gold: Float[Tensor, " pairs"],
    *,
    decisiveness: float,
    generator: torch.Generator,
) -> Bool[Tensor, " pairs"]:
    """Draw the labeler's noisy choices: True where the first response of a pair is preferred."""
    probability = preference_probability(first_gold, second_gold, decisiveness=decisiveness)
    return torch.rand(probability.shape, generator=generator) < probability
