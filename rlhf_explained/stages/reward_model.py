"""Stage 2, the reward model: learn from comparisons which of two answers is preferred.

The SFT policy's body, with its scalar head in place of its word predictions, is trained until the
preferred answer of each pair scores higher.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rlhf_explained.formulas import bradley_terry_loss
from rlhf_explained.models.gpt import GPT
from rlhf_explained.rollout import Sequences, generate, pack, score
from rlhf_explained.world.corpus import CLOSER, OPENER, draw_questions, false_answers
from rlhf_explained.world.labeler import gold_reward, preference_probability, prefers_first
from rlhf_explained.world.questions import FACT_KINDS, Question, questions
from rlhf_explained.world.tokenizer import RESPONSE_LIMIT, Tokenizer


@dataclass(frozen=True)
class RewardModelConfig:
    """Settings of reward modelling.

    Attributes:
        pairs: Number of comparisons to learn from.
        heldout_pairs: Comparisons on prompts that no other pair uses, to measure accuracy.
        decisiveness: How sharply the labeler tells good from bad (see `prefers_first`).
        epochs: Times each pair is learned from.
        batch: Pairs per step.
        learning_rate: Peak of the schedule.
        head_speed: How many times faster the scalar head learns than the body. It starts at zero
            and has to reach scores whose differences are log-odds.
        weight_decay: AdamW's; holds back what too few comparisons would overfit.
    """

    pairs: int = 2500
    heldout_pairs: int = 1000
    decisiveness: float = 5.0
    epochs: int = 2
    batch: int = 50
    learning_rate: float = 5e-4
    head_speed: float = 10.0
    weight_decay: float = 0.1

    def steps(self, pairs: int) -> int:
        """Optimiser steps that so many pairs take."""
        return self.epochs * math.ceil(pairs / self.batch)


@dataclass(frozen=True)
class Preferences:
    """Comparisons: row i of `chosen` was preferred to row i of `rejected`, on the same prompt.

    Attributes:
        chosen: The preferred responses.
        rejected: The others.
        chosen_gold: `(pairs,)`, the labeler's true reward of each; reward modelling never sees it.
        rejected_gold: `(pairs,)`.
        ceiling: Expected accuracy of a judge who knows the gold rewards, against labels as noisy
            as these: no reward model can be expected to do better.
    """

    chosen: Sequences
    rejected: Sequences
    chosen_gold: Float[Tensor, " pairs"]
    rejected_gold: Float[Tensor, " pairs"]
    ceiling: float

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.chosen.tokens)


def collect_preferences(
    sft: GPT,
    count: int,
    tokenizer: Tokenizer,
    *,
    held_out: bool,
    decisiveness: float,
    generator: torch.Generator,
) -> Preferences:
    """Let the SFT policy answer each prompt twice and the labeler choose.

    Pairs of equal answers are thrown away, for there is nothing to choose; so are those with an
    answer that was cut off, which would look finished.

    Args:
        sft: Writes the answers.
        count: Number of pairs.
        tokenizer: Of the world.
        held_out: Whether the prompts are the held-out ones or the others.
        decisiveness: How sharply the labeler tells good from bad.
        generator: Source of randomness.

    Returns:
        The labeled pairs.

    Raises:
        ValueError: If `count` is less than one.
    """
    if count < 1:
        raise ValueError(f"count: {count} pairs, at least one is needed")
    compared: list[tuple[Question, str, str]] = []
    while len(compared) < count:
        asked = draw_questions(256, held_out=held_out, generator=generator)
        prompts = [tokenizer.encode(question.text) for question in asked]
        first, second = (
            generate(sft, prompts, limit=RESPONSE_LIMIT, generator=generator) for _ in range(2)
        )
        texts = (
            [tokenizer.decode(row) for row in answers.responses.tolist()]
            for answers in (first, second)
        )
        finished = (first.ended & second.ended).tolist()
        compared += [
            (question, one, other)
            for question, one, other, whole in zip(asked, *texts, finished, strict=True)
            if whole and one != other
        ]
    compared = compared[:count]
    gold = torch.tensor([[gold_reward(q, text) for text in texts] for q, *texts in compared])
    first = prefers_first(gold[:, 0], gold[:, 1], decisiveness=decisiveness, generator=generator)
    order = torch.where(first[:, None], torch.tensor([0, 1]), torch.tensor([1, 0]))
    chosen, rejected = (
        pack(
            [tokenizer.encode(question.text) for question, *_ in compared],
            [
                tokenizer.encode(texts[pick])
                for (_, *texts), pick in zip(compared, order[:, side].tolist(), strict=True)
            ],
        )
        for side in (0, 1)
    )
    certainty = preference_probability(gold[:, 0], gold[:, 1], decisiveness=decisiveness)
    sorted_gold = gold.gather(1, order)
    return Preferences(
        chosen,
        rejected,
        sorted_gold[:, 0],
        sorted_gold[:, 1],
        ceiling=torch.maximum(certainty, 1 - certainty).mean().item(),
    )


@dataclass(frozen=True)
class RewardModelResult:
    """The reward model, and over the steps its loss and its accuracy on held-out pairs."""

    reward_model: GPT
    history: list[dict[str, int | float]]


def groups_of_similar_length(preferences: Preferences, batch: int) -> list[Int[Tensor, " _pairs"]]:
    """Rows grouped so that pairs of similar length are scored together, with little padding."""
    longest = torch.maximum(preferences.chosen.lengths, preferences.rejected.lengths)
    return list(longest.argsort(stable=True).split(batch))


@torch.no_grad()
def accuracy(reward_model: GPT, preferences: Preferences) -> float:
    """Share of pairs in which the preferred response scores higher."""
    chosen = score(reward_model, preferences.chosen)
    return (chosen > score(reward_model, preferences.rejected)).float().mean().item()


@torch.no_grad()
def hard_negative_accuracy(
    reward_model: GPT, tokenizer: Tokenizer, *, courteous: bool = True, held_out: bool = True
) -> float:
    """How often a plain right answer scores higher than a false one.

    The pairs are all that the questions of fact have: each question's right answer beside each
    answer of the same form with the content of another one.

    Args:
        reward_model: Scores the answers.
        tokenizer: Of the world.
        courteous: Whether the false answers open and close politely, or are plain, too.
        held_out: Whether the questions are the held-out ones, or the practised ones.

    Returns:
        The share, every question counting alike. The labeler's true reward puts the right answer
        first in every pair.
    """
    shares = []
    form = f"{OPENER} {{}} {CLOSER}" if courteous else "{}"
    for question in (q for q in questions() if q.held_out == held_out and q.kind in FACT_KINDS):
        answers = [*question.answers, *map(form.format, false_answers(question))]
        sequences = pack(
            [tokenizer.encode(question.text)] * len(answers),
            [tokenizer.encode(text) for text in answers],
        )
        right, *false = score(reward_model, sequences).tolist()
        shares.append(fmean(right > other for other in false))
    return fmean(shares)


def train_reward_model(
    sft: GPT,
    preferences: Preferences,
    heldout: Preferences,
    config: RewardModelConfig,
    *,
    generator: torch.Generator,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> RewardModelResult:
    """Train a copy of the SFT policy to score responses.

    Only differences of scores are learned, so the result is shifted to a mean of zero over all
    training responses, as InstructGPT's authors do over demonstrations: the loss cannot tell.

    Args:
        sft: The SFT policy; it is not changed.
        preferences: Pairs to learn from.
        heldout: Pairs on which accuracy is only measured.
        config: Settings.
        generator: Source of the order of pairs.
        report: Called after each step with the number of steps done and the loss.

    Returns:
        The reward model and its curves.

    Raises:
        ValueError: If there are no pairs.
    """
    if len(preferences) == 0:
        raise ValueError("preferences: there are no pairs to learn from")
    reward_model = copy.deepcopy(sft)
    head = list(reward_model.scalar_head.parameters())
    body = [part for name, part in reward_model.named_parameters() if "scalar_head" not in name]
    optimizer = torch.optim.AdamW(
        [{"params": body}, {"params": head}], weight_decay=config.weight_decay, fused=True
    )
    groups = groups_of_similar_length(preferences, config.batch)
    steps = config.epochs * len(groups)
    warmup = max(0.1, 2 / max(steps, 3))  # as a share; at least two steps
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        [config.learning_rate, config.learning_rate * config.head_speed],
        total_steps=max(steps, 3),
        pct_start=warmup,
    )
    epochs = [torch.randperm(len(groups), generator=generator) for _ in range(config.epochs)]
    history = []
    for step, pick in enumerate(torch.cat(epochs).tolist(), start=1):
        rows = groups[pick]
        loss = bradley_terry_loss(
            score(reward_model, preferences.chosen.rows(rows)),
            score(reward_model, preferences.rejected.rows(rows)),
        )
        optimizer.zero_grad()
        (loss * (len(rows) / config.batch)).backward()  # every pair counts alike
        torch.nn.utils.clip_grad_norm_(reward_model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step == 1 or step % 20 == 0 or step == steps:
            history.append(
                {
                    "step": step,
                    "loss": loss.item(),
                    "accuracy": accuracy(reward_model, heldout),
                }
            )
        report(step, loss.item())
    with torch.no_grad():
        every_score = [
            score(reward_model, side) for side in (preferences.chosen, preferences.rejected)
        ]
        reward_model.scalar_head.bias.sub_(torch.cat(every_score).mean())
    return RewardModelResult(reward_model, history)
