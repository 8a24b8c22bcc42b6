"""How many comparisons a reward model needs, and what a labeler's mistakes cost.

Three labelers of one taste compare the SFT policy's answers. The careful one is the run's. The
hesitant one tells good from bad less sharply. The distracted one is careful, but some choices are
turned round, whatever the answers are. Besides, the careful one ranks four answers to each prompt.

Every comparison is learned from equally often, at least twice. The fewer there are, the more often:
from 50, twenty-five times, so that there are steps enough to learn anything. One setting learns
from each of 12,800 once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from rlhf_explained.models.gpt import GPT
from rlhf_explained.pipeline import RunConfig, run
from rlhf_explained.rollout import Sequences, generate, score
from rlhf_explained.stages.evaluation import mark
from rlhf_explained.stages.reward_model import (
    Preferences,
    RewardModelConfig,
    accuracy,
    collect_preferences,
    hard_negative_accuracy,
    train_reward_model,
)
from rlhf_explained.training import Lesson
from rlhf_explained.world.corpus import draw_questions
from rlhf_explained.world.labeler import preference_probability
from rlhf_explained.world.questions import evaluation_questions
from rlhf_explained.world.tokenizer import PAD, RESPONSE_LIMIT

BATCH = 50
HELDOUT_PAIRS = 1000
EXAM = 2  # times each held-out question is put, and answered each time so often:
N = 16
RANKED = 4  # answers to each prompt that is ranked


@dataclass(frozen=True)
class Comparisons:
    """What a reward model learns from, and how long.

    Attributes:
        pairs: How many choices between two answers; 0 where answers are ranked.
        rankings: How many prompts whose answers are ranked.
        decisiveness: How sharply the labeler tells good from bad (see `prefers_first`).
        flipped: Share of the choices that are turned round.
        epochs: Times each pair is learned from; 0 for as often as so many pairs are worth.
    """

    pairs: int = 0
    rankings: int = 0
    decisiveness: float = 5.0
    flipped: float = 0.0
    epochs: int = 0


SEEDS = range(5)
SAMPLE = "careful_50"
SETTINGS: dict[str, Comparisons] = {
    **{f"careful_{n}": Comparisons(n) for n in (50 * 2**step for step in range(9))},
    **{f"hesitant_{n}": Comparisons(n, decisiveness=0.45) for n in (100, 400, 1600, 6400)},
    **{f"distracted_{n}": Comparisons(n, flipped=0.3) for n in (100, 400, 1600, 6400)},
    **{f"ranked_{n}": Comparisons(rankings=n) for n in (100, 400)},
    "one_pass_12800": Comparisons(12_800, epochs=1),
}


def measure(name: str, seed: int) -> dict[str, float]:
    """Train one reward model and judge it.

    Args:
        name: Of the setting.
        seed: Of the run whose SFT policy it starts from and learns to judge.

    Returns:
        The `pairs` it learned from; its `accuracy` on held-out pairs as this labeler chose, and the
        `ceiling` of that. Of each two among 16 answers to a held-out prompt, how many it orders as
        the gold reward does (`gold_accuracy`), and how many of those that are a helpful and a false
        one (`helpful_over_false`); how often it puts a plain right answer above a courteous false
        one (`hard_negative_accuracy`) and above a plain false one (`plain_negative_accuracy`, and
        `practised_negative_accuracy` where the facts were practised); the mean gold of the answer
        it likes best (`best_of_16`), of any, and of the best.
        `practised_accuracy` is the gold accuracy on prompts that it was trained on.
    """
    setting, (lesson, sft) = SETTINGS[name], start(seed)
    learned = compare(seed, setting, held_out=False)
    heldout = examined(seed, setting.decisiveness, setting.flipped)
    config = RewardModelConfig(epochs=setting.epochs or worth(len(learned)), batch=BATCH)
    reward_model = train_reward_model(
        sft, learned, first(heldout, BATCH), config, generator=lesson.generator(name)
    ).reward_model
    return {
        "pairs": float(len(learned)),
        "accuracy": accuracy(reward_model, heldout),
        "ceiling": heldout.ceiling,
        "hard_negative_accuracy": hard_negative_accuracy(reward_model, lesson.tokenizer),
        "plain_negative_accuracy": hard_negative_accuracy(
            reward_model, lesson.tokenizer, courteous=False
        ),
        "practised_negative_accuracy": hard_negative_accuracy(
            reward_model, lesson.tokenizer, courteous=False, held_out=False
        ),
        **sorted_out(reward_model, answered(seed, held_out=True)),
        "practised_accuracy": sorted_out(reward_model, answered(seed, held_out=False))[
            "gold_accuracy"
        ],
    }


def worth(pairs: int) -> int:
    """How often so many pairs are learned from: four times the pairs, twice the steps."""
    return max(2, round(100 * math.sqrt(pairs / 800) / math.ceil(pairs / BATCH)))


@lru_cache(maxsize=1)
def start(seed: int) -> tuple[Lesson, GPT]:
    """The seed's lesson, and the SFT policy that came out of it."""
    lesson = Lesson(seed)
    return lesson, run(RunConfig(seed=seed)).policy("sft")


def compare(seed: int, setting: Comparisons, *, held_out: bool) -> Preferences:
    """Let the SFT policy answer and the labeler of the setting choose."""
    lesson, sft = start(seed)
    randomness = lesson.generator(f"reward data/{held_out}")
    if not setting.pairs:
        return rank(lesson, sft, setting.rankings, setting.decisiveness, generator=randomness)
    chosen = collect_preferences(
        sft,
        setting.pairs,
        lesson.tokenizer,
        held_out=held_out,
        decisiveness=setting.decisiveness,
        generator=randomness,
    )
    return turned(chosen, setting.flipped, generator=randomness)


@lru_cache(maxsize=3)
def examined(seed: int, decisiveness: float, flipped: float) -> Preferences:
    """The held-out pairs: the same answers for all labelers of a seed."""
    setting = Comparisons(HELDOUT_PAIRS, decisiveness=decisiveness, flipped=flipped)
    return compare(seed, setting, held_out=True)


def turned(pairs: Preferences, flipped: float, *, generator: torch.Generator) -> Preferences:
    """Turn a share of the choices round, whatever the answers are.

    Source:
        Angluin and Laird 1988, [Learning from noisy
        examples](https://doi.org/10.1007/BF00116829).
    """
    count, prompt = len(pairs), pairs.chosen.prompt_length
    both = [*pairs.chosen.tokens, *pairs.rejected.tokens]
    tokens = pad_sequence(both, batch_first=True, padding_value=PAD)
    lengths = torch.cat([pairs.chosen.lengths, pairs.rejected.lengths])
    mask = torch.arange(tokens.shape[1] - prompt) < lengths[:, None]
    asked = torch.cat([side.attended[:, :prompt] for side in (pairs.chosen, pairs.rejected)])
    answers = Sequences(tokens, torch.cat([asked, mask], 1), prompt, mask)
    gold = torch.cat([pairs.chosen_gold, pairs.rejected_gold])
    wrong = torch.rand(count, generator=generator) < flipped
    chosen = torch.arange(count) + count * wrong
    rejected = torch.arange(count) + count * ~wrong
    return Preferences(
        answers.rows(chosen),
        answers.rows(rejected),
        gold[chosen],
        gold[rejected],
        ceiling=(1 - flipped) * pairs.ceiling + flipped * (1 - pairs.ceiling),
    )


def rank(
    lesson: Lesson, sft: GPT, count: int, decisiveness: float, *, generator: torch.Generator
) -> Preferences:
    r"""Let the labeler rank four answers to each prompt; every two of them make a pair.

    Sorting $d\,g_i$ plus a Gumbel draw gives a ranking with Plackett and Luce's probability, in
    which each pair has Bradley and Terry's. Equal answers make no pair.

    Source:
        Plackett 1975, [The analysis of permutations](https://doi.org/10.2307/2346567).
    """
    asked = draw_questions(count, held_out=False, generator=generator)
    asked = [question for question in asked for _ in range(RANKED)]
    prompts = lesson.tokens([question.text for question in asked])
    answers = generate(sft, prompts, limit=RESPONSE_LIMIT, generator=generator)
    texts, _, golds = zip(*mark(asked, answers, lesson.tokenizer), strict=True)
    gold = torch.tensor(golds)
    draws = torch.empty(len(gold)).exponential_(generator=generator)
    places = (decisiveness * gold - draws.log()).view(count, RANKED).argsort(1, descending=True)
    rows = places + RANKED * torch.arange(count)[:, None]
    pairs = [pair for row in rows.tolist() for pair in combinations(row, 2)]
    chosen, rejected = torch.tensor([(a, b) for a, b in pairs if texts[a] != texts[b]]).T
    sure = preference_probability(gold[chosen], gold[rejected], decisiveness=decisiveness)
    return Preferences(
        answers.rows(chosen),
        answers.rows(rejected),
        gold[chosen],
        gold[rejected],
        ceiling=torch.maximum(sure, 1 - sure).mean().item(),
    )


def first(pairs: Preferences, count: int) -> Preferences:
    """The first pairs of many."""
    rows = torch.arange(count)
    return Preferences(
        pairs.chosen.rows(rows),
        pairs.rejected.rows(rows),
        pairs.chosen_gold[rows],
        pairs.rejected_gold[rows],
        pairs.ceiling,
    )


@dataclass(frozen=True)
class Answers:
    """Sixteen answers to each prompt, and what is known of them; masks by category."""

    sequences: Sequences
    gold: Float[Tensor, "prompts answers"]
    helpful: Bool[Tensor, "prompts answers"]
    false: Bool[Tensor, "prompts answers"]


@lru_cache(maxsize=2)
def answered(seed: int, *, held_out: bool) -> Answers:
    """Let the SFT policy answer the evaluation's questions, or prompts of the reward models."""
    lesson, sft = start(seed)
    randomness = lesson.generator(f"reward data/answers/{held_out}")
    practised = draw_questions(120, held_out=False, generator=randomness)
    prompts = evaluation_questions(EXAM) if held_out else practised
    asked = [question for question in prompts for _ in range(N)]
    tokens = lesson.tokens([question.text for question in asked])
    sequences = generate(sft, tokens, limit=RESPONSE_LIMIT, generator=randomness)
    _, categories, golds = zip(*mark(asked, sequences, lesson.tokenizer), strict=True)
    kinds = {
        which: torch.tensor([category == which for category in categories]).view(-1, N)
        for which in ("helpful", "false")
    }
    return Answers(sequences, torch.tensor(golds).view(-1, N), **kinds)


@torch.no_grad()
def sorted_out(reward_model: GPT, answers: Answers) -> dict[str, float]:
    """How a reward model sorts the answers to each prompt."""
    scores, gold = score(reward_model, answers.sequences).view(-1, N), answers.gold
    lead, gold_lead = (value[:, :, None] - value[:, None, :] for value in (scores, gold))
    helpful_and_false = answers.helpful[:, :, None] & answers.false[:, None, :]
    return {
        "gold_accuracy": share((lead * gold_lead)[gold_lead != 0] > 0),
        "helpful_over_false": share(lead[helpful_and_false] > 0),
        "best_of_16": gold.gather(1, scores.argmax(1, keepdim=True)).mean().item(),
        "any_of_16": gold.mean().item(),
        "gold_of_16": gold.amax(1).mean().item(),
    }


def share(true: Bool[Tensor, " of"]) -> float:
    """Share of what is true."""
    return true.double().mean().item()
