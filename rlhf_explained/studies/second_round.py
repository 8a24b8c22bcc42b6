"""Do new comparisons improve the judge? A second round of comparing, judging and practising.

PPO has found what the first reward model overrates. Now the labeler compares as many answers again:
those of the policy that practised, or, as the simplest thing that could explain a gain, further
ones of the SFT policy. A second reward model learns from the old and the new comparisons, and PPO
starts once more from the SFT policy. All of this is done with the KL penalty and without it. The
first reward model with twice the penalty needs no comparisons at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain

import torch

from rlhf_explained.models.gpt import GPT
from rlhf_explained.pipeline import Run, RunConfig, run
from rlhf_explained.rollout import Sequences, pack
from rlhf_explained.stages.evaluation import result
from rlhf_explained.stages.ppo import PPOConfig
from rlhf_explained.stages.reward_model import (
    Preferences,
    accuracy,
    collect_preferences,
    hard_negative_accuracy,
)
from rlhf_explained.training import Lesson
from rlhf_explained.world.labeler import plain

KL_COEF = PPOConfig().kl_coef


@dataclass(frozen=True)
class Round:
    """What a policy practises against, and at which price.

    Attributes:
        compared: The policy whose answers the labeler compares for the second reward model; empty
            for the first reward model.
        kl_coef: Coefficient of the KL penalty.
    """

    compared: str = ""
    kl_coef: float = KL_COEF


SEEDS = range(5)
SAMPLE = "first"
SETTINGS: dict[str, Round] = {
    "first": Round(),
    "twice_the_penalty": Round(kl_coef=2 * KL_COEF),
    "of_sft": Round("sft"),
    "of_ppo": Round("ppo"),
    "first_no_kl": Round(kl_coef=0.0),
    "of_sft_no_kl": Round("sft", kl_coef=0.0),
    "of_ppo_no_kl": Round("ppo_no_kl", kl_coef=0.0),
}


def measure(name: str, seed: int) -> dict[str, float]:
    """Let one policy practise and evaluate it, and its judge.

    Args:
        name: Of the setting.
        seed: Of the run whose SFT policy it starts from.

    Returns:
        Of the evaluation, mean gold, proxy by its own judge and KL (k1) from SFT in nats, the
        shares of helpful and of false answers, and of answers with courtesies (`courteous`). Of the
        judge, the accuracy on held-out choices between the answers of the policy that practised
        against the first judge at this price (`accuracy`, and its `ceiling`); on plain right
        answers beside courteous false ones (`hard_negative_accuracy`) and beside plain false ones
        (`plain_negative_accuracy`, and `practised_negative_accuracy` where the facts were
        practised).
    """
    setting, start, lesson = SETTINGS[name], run(RunConfig(seed=seed)), Lesson(seed)
    sft, first = start.policy("sft"), "ppo" if setting.kl_coef else "ppo_no_kl"
    judge = (
        second_judge(seed, setting.compared) if setting.compared else start.policy("reward_model")
    )
    if not setting.compared and setting.kl_coef in (0.0, KL_COEF):
        policy = start.policy(first)  # the run has trained it
    else:
        config = replace(lesson.reinforcement, kl_coef=setting.kl_coef)
        policy = lesson.reinforce(name, sft, judge, config, critic=judge).policy
    answers = lesson.examine(policy, sft, judge)
    exam, heldout = result(answers), compare(lesson, start, first, held_out=True)
    return {
        **{quantity: exam[quantity] for quantity in ("gold", "proxy", "kl", "helpful", "false")},
        "courteous": sum(a.response != plain(a.response) for a in answers) / len(answers),
        "accuracy": accuracy(judge, heldout),
        "ceiling": heldout.ceiling,
        "hard_negative_accuracy": hard_negative_accuracy(judge, lesson.tokenizer),
        "plain_negative_accuracy": hard_negative_accuracy(judge, lesson.tokenizer, courteous=False),
        "practised_negative_accuracy": hard_negative_accuracy(
            judge, lesson.tokenizer, courteous=False, held_out=False
        ),
    }


@lru_cache(maxsize=3)
def second_judge(seed: int, compared: str) -> GPT:
    """A reward model that learns from the run's comparisons and from as many new ones."""
    start, lesson = run(RunConfig(seed=seed)), Lesson(seed)
    sft = start.policy("sft")
    old, heldout = lesson.compare(sft)
    new = compare(lesson, start, compared, held_out=False)
    return lesson.learn_to_judge(sft, joined([old, new]), heldout).reward_model


def compare(lesson: Lesson, start: Run, whose: str, *, held_out: bool) -> Preferences:
    """Let the labeler compare answers of one of the run's policies: as many as in the run."""
    config = lesson.comparison
    return collect_preferences(
        start.policy(whose),
        config.heldout_pairs if held_out else config.pairs,
        lesson.tokenizer,
        held_out=held_out,
        decisiveness=config.decisiveness,
        generator=lesson.generator(f"second round/{whose}/{held_out}"),
    )


def joined(parts: Sequence[Preferences]) -> Preferences:
    """All pairs of several collections; the ceiling is the mean of theirs, pair by pair."""
    sizes = [len(part) for part in parts]
    ceiling = sum(n * part.ceiling for n, part in zip(sizes, parts, strict=True)) / sum(sizes)
    return Preferences(
        _laid_out([part.chosen for part in parts]),
        _laid_out([part.rejected for part in parts]),
        torch.cat([part.chosen_gold for part in parts]),
        torch.cat([part.rejected_gold for part in parts]),
        ceiling,
    )


def _laid_out(batches: Sequence[Sequences]) -> Sequences:
    """Batches with prompts and answers of other lengths as one."""
    prompts, responses = (list(chain.from_iterable(map(part, batches))) for part in (_asked, _said))
    return pack(prompts, responses)


def _asked(batch: Sequences) -> list[list[int]]:
    """The tokens of each prompt, without padding."""
    width = batch.prompt_length
    rows = zip(batch.tokens[:, :width], batch.attended[:, :width], strict=True)
    return [tokens[there].tolist() for tokens, there in rows]


def _said(batch: Sequences) -> list[list[int]]:
    """The tokens of each answer, without `<eos>`."""
    rows = zip(batch.responses, batch.response_mask, strict=True)
    return [tokens[there].tolist()[:-1] for tokens, there in rows]
