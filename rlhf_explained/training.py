"""Floor 4: the stages in their order, from random weights to policies that sat an exam.

Each method of `Lesson` is one stage with the world's data put in; `train` calls them in order and
writes down what came out.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from rlhf_explained.models.gpt import GPT, GPTConfig
from rlhf_explained.rollout import Rollout, Sequences, pack, score
from rlhf_explained.stages.evaluation import Marked, mark, result, sit_exam
from rlhf_explained.stages.ppo import Experience, PPOConfig, PPOResult, credit, train_ppo
from rlhf_explained.stages.pretrain import (
    PretrainConfig,
    PretrainResult,
    document_batches,
    train_pretrained,
)
from rlhf_explained.stages.reward_model import (
    Preferences,
    RewardModelConfig,
    RewardModelResult,
    collect_preferences,
    train_reward_model,
)
from rlhf_explained.stages.sft import SFTConfig, SFTResult, train_sft
from rlhf_explained.world.corpus import (
    demonstration_entropy,
    demonstrations,
    draw_questions,
    statements,
    web,
)
from rlhf_explained.world.labeler import categorise
from rlhf_explained.world.questions import Question, evaluation_questions, questions
from rlhf_explained.world.tokenizer import PAD, world_tokenizer

EXAM = 1200
"""Answers that each policy gives in the exam."""
ARTICLES = 2000
"""Pretraining documents that PPO mixes in."""

Progress = Callable[[str, int, int, float], None]
"""Told of the stage, the steps done, all its steps, and the loss."""


class Lesson:
    """One student's way: every stage with its settings, its data and its own randomness.

    Args:
        seed: Source of all randomness.
        effort: Share of each stage's steps, of the comparisons and of the exam.
        progress: Called after each step of each stage.
    """

    def __init__(self, seed: int, effort: float, progress: Progress) -> None:
        def scaled(settings: Any, *names: str) -> Any:
            sizes = {name: max(2, round(getattr(settings, name) * effort)) for name in names}
            return replace(settings, **sizes)

        self.seed = seed
        self.progress = progress
        self.tokenizer = world_tokenizer()
        self.shape = GPTConfig(vocabulary=len(self.tokenizer))
        self.pretraining: PretrainConfig = scaled(PretrainConfig(), "steps")
        self.imitation: SFTConfig = scaled(SFTConfig(), "steps", "heldout_demonstrations")
        self.comparison: RewardModelConfig = scaled(
            RewardModelConfig(), "steps", "pairs", "heldout_pairs"
        )
        self.reinforcement: PPOConfig = scaled(PPOConfig(), "iterations")
        self.exam = evaluation_questions(round(EXAM * effort))

        self.imitating = self.generator("sft")  # draws the demonstrations, then their order
        self.shown = demonstrations(self.imitation.demonstrations, generator=self.imitating)
        self.unseen = demonstrations(
            self.imitation.heldout_demonstrations, generator=self.imitating
        )

    def generator(self, purpose: str) -> torch.Generator:
        """A source of randomness for one purpose, so that no stage's draws shift another's."""
        digest = hashlib.sha256(f"{self.seed}/{purpose}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:7]))

    def report(self, stage: str, steps: int) -> Callable[[int, float], None]:
        """What a stage calls after each of its steps."""
        return lambda step, loss: self.progress(stage, step, steps, loss)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Encode each text."""
        return [self.tokenizer.encode(text) for text in texts]

    def packed(self, pairs: Sequence[tuple[str, str]]) -> Sequences:
        """Lay out (prompt, response) pairs as one batch."""
        prompts, responses = zip(*pairs, strict=True)
        return pack(self.tokens(prompts), self.tokens(responses))

    def pretrain(self) -> PretrainResult:
        """Stage 0: read the web."""
        randomness, config = self.generator("pretrain"), self.pretraining
        return train_pretrained(
            self.tokens(web(config.documents, stated=config.stated, generator=randomness)),
            self.shape,
            config,
            generator=randomness,
            report=self.report("pretrain", config.steps),
        )

    def fine_tune(self, base: GPT) -> SFTResult:
        """Stage 1: imitate the demonstrations."""
        return train_sft(
            base,
            self.packed(self.shown),
            self.packed(self.unseen),
            self.imitation,
            generator=self.imitating,
            report=self.report("sft", self.imitation.steps),
        )

    def compare(self, sft: GPT) -> tuple[Preferences, Preferences]:
        """Stage 2, first half: pairs to learn from, and pairs on held-out prompts."""
        randomness, config = self.generator("preferences"), self.comparison
        learned, heldout = (
            collect_preferences(
                sft,
                count,
                self.tokenizer,
                held_out=held_out,
                decisiveness=config.decisiveness,
                generator=randomness,
            )
            for count, held_out in ((config.pairs, False), (config.heldout_pairs, True))
        )
        return learned, heldout

    def learn_to_judge(
        self, sft: GPT, preferences: Preferences, heldout: Preferences
    ) -> RewardModelResult:
        """Stage 2, second half: the reward model."""
        return train_reward_model(
            sft,
            preferences,
            heldout,
            self.comparison,
            generator=self.generator("reward_model"),
            report=self.report("reward_model", self.comparison.steps),
        )

    def classroom(
        self, randomness: torch.Generator
    ) -> tuple[Callable[[int], list[list[int]]], Callable[[Sequences], dict[str, int | float]]]:
        """Where stage 3 takes place: what draws prompts, and what observes answers to them."""
        asked: list[Question] = []

        def draw_prompts(count: int) -> list[list[int]]:
            asked[:] = draw_questions(count, held_out=False, generator=randomness)
            return self.tokens([question.text for question in asked])

        def observe(sequences: Sequences) -> dict[str, int | float]:
            marks = mark(asked, sequences, self.tokenizer)
            helpful = sum(category == "helpful" for _, category, _ in marks)
            gold = sum(gold for *_, gold in marks)
            return {"gold": gold / len(marks), "helpful": helpful / len(marks)}

        return draw_prompts, observe

    def reinforce(
        self,
        stage: str,
        sft: GPT,
        reward_model: GPT,
        config: PPOConfig,
        assign: Callable[[Rollout, PPOConfig], Experience] = credit,
    ) -> PPOResult:
        """Stage 3: PPO. Runs that differ in the settings differ in nothing else."""
        randomness = self.generator("ppo")
        articles = self.tokens(statements(ARTICLES, generator=randomness))
        draw_prompts, observe = self.classroom(randomness)
        return train_ppo(
            sft,
            partial(score, reward_model),
            config,
            draw_prompts=draw_prompts,
            pretraining=document_batches(articles, self.pretraining.batch),
            assign=assign,
            observe=observe,
            generator=randomness,
            report=self.report(stage, self.reinforcement.iterations),
        )

    def examine(self, policy: GPT, sft: GPT, reward_model: GPT) -> list[Marked]:
        """The exam: the same held-out questions for every policy."""
        randomness = self.generator("evaluation")
        return sit_exam(policy, sft, reward_model, self.exam, self.tokenizer, generator=randomness)


@dataclass(frozen=True)
class Outcome:
    """Everything that one lesson gave; `answers` and `seconds` by policy and by stage."""

    pretrained: PretrainResult
    fine_tuned: SFTResult
    heldout: Preferences
    rewarded: RewardModelResult
    ppo: PPOResult
    ppo_no_kl: PPOResult
    answers: dict[str, list[Marked]]
    seconds: dict[str, int | float]

    @property
    def policies(self) -> dict[str, GPT]:
        """Who sat the exam."""
        return {
            "base": self.pretrained.policy,
            "sft": self.fine_tuned.policy,
            "ppo": self.ppo.policy,
            "ppo_no_kl": self.ppo_no_kl.policy,
        }


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread per operation meanwhile.

    The model is so small that more cost more than they give, and with one a seed is bitwise the
    same.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def go_through(lesson: Lesson) -> Outcome:
    """Take a student through all stages, in order.

    The two PPO runs need nothing of each other, so they go side by side, as do the exams.
    """
    seconds: dict[str, int | float] = {}

    @contextmanager
    def timed(stage: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        seconds[stage] = time.perf_counter() - began

    def reinforce(stage: str, kl_coef: float) -> PPOResult:
        with timed(stage):
            config = replace(lesson.reinforcement, kl_coef=kl_coef)
            return lesson.reinforce(stage, sft, reward_model, config)

    with timed("total"):
        with timed("pretrain"):
            pretrained = lesson.pretrain()
        with timed("sft"):
            fine_tuned = lesson.fine_tune(pretrained.policy)
        sft = fine_tuned.policy
        with timed("preferences"):
            preferences, heldout = lesson.compare(sft)
        with timed("reward_model"):
            rewarded = lesson.learn_to_judge(sft, preferences, heldout)
        reward_model = rewarded.reward_model
        # The number of torch's threads belongs to each thread of the program.
        with ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            prices = {"ppo": lesson.reinforcement.kl_coef, "ppo_no_kl": 0.0}
            ppo, ppo_no_kl = pool.map(reinforce, prices, prices.values())
            outcome = Outcome(
                pretrained, fine_tuned, heldout, rewarded, ppo, ppo_no_kl, {}, seconds
            )
            with timed("evaluation"):
                exams = {
                    name: pool.submit(lesson.examine, policy, sft, reward_model)
                    for name, policy in outcome.policies.items()
                }
                for name, exam in exams.items():
                    outcome.answers[name] = exam.result()
                    lesson.progress("evaluation", len(outcome.answers), len(exams), math.nan)
    return outcome


def train(seed: int, effort: float, folder: Path, progress: Progress) -> None:
    """Take a student through all stages and write down what came out.

    Args:
        seed: Source of all randomness.
        effort: Share of each stage's steps, of the comparisons and of the exam.
        folder: Where to write `report.json`, `responses.json` and one file for each model.
        progress: Called after each step of each stage.
    """
    with one_thread():
        lesson = Lesson(seed, effort, progress)
        outcome = go_through(lesson)
        report = {**measured(lesson, outcome), **in_words(lesson, outcome)}
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    responses = {
        name: [asdict(answer) for answer in answers] for name, answers in outcome.answers.items()
    }
    (folder / "responses.json").write_text(json.dumps(responses), encoding="utf-8")
    models = {**outcome.policies, "reward_model": outcome.rewarded.reward_model}
    for name, model in models.items():
        save_file(model.state_dict(), folder / f"{name}.safetensors")


def measured(lesson: Lesson, outcome: Outcome) -> dict[str, Any]:
    """All numbers of a lesson."""
    heldout, reward_model = outcome.heldout, outcome.rewarded.reward_model
    with torch.no_grad():
        chosen, rejected = (
            score(reward_model, side).tolist() for side in (heldout.chosen, heldout.rejected)
        )
    expert_length = lesson.packed(lesson.unseen).lengths.float().mean().item()
    return {
        "seconds": outcome.seconds,
        "parameters": outcome.fine_tuned.policy.parameter_count(),
        "shape": asdict(lesson.shape),
        "facts": {
            "vocabulary": len(lesson.tokenizer),
            "questions": len(questions()),
            "heldout_questions": sum(question.held_out for question in questions()),
            "documents": lesson.pretraining.documents,
            "pretrain_steps": lesson.pretraining.steps,
            "demonstrations": lesson.imitation.demonstrations,
            "sft_steps": lesson.imitation.steps,
            "pairs": lesson.comparison.pairs,
            "decisiveness": lesson.comparison.decisiveness,
            "reward_model_steps": lesson.comparison.steps,
            "ppo_iterations": lesson.reinforcement.iterations,
            "rollout_batch": lesson.reinforcement.batch,
            "kl_coef": lesson.reinforcement.kl_coef,
            "pretraining_coef": lesson.reinforcement.pretraining_coef,
        },
        "sft": {"loss_floor": demonstration_entropy() / expert_length},
        "reward_model": {
            "heldout_accuracy": outcome.rewarded.history[-1]["accuracy"],
            "accuracy_ceiling": heldout.ceiling,
            "heldout_pairs": len(heldout),
            "chosen_scores": chosen,
            "rejected_scores": rejected,
        },
        "evaluation": {name: result(answers) for name, answers in outcome.answers.items()},
        "history": {
            "pretrain": outcome.pretrained.history,
            "sft": outcome.fine_tuned.history,
            "reward_model": outcome.rewarded.history,
            "ppo": outcome.ppo.history,
            "ppo_no_kl": outcome.ppo_no_kl.history,
        },
    }


def in_words(lesson: Lesson, outcome: Outcome, first: int = 20) -> dict[str, Any]:
    """The first held-out pairs and demonstrations of a lesson, as text."""
    heldout, decode = outcome.heldout, lesson.tokenizer.decode
    prompts = heldout.chosen.tokens[:first, : heldout.chosen.prompt_length].tolist()
    chosen, rejected = (
        [decode(row) for row in side.responses[:first].tolist()]
        for side in (heldout.chosen, heldout.rejected)
    )
    asked = {question.text: question for question in questions()}
    return {
        "pairs": [
            {
                "prompt": decode([token for token in prompt if token != PAD]),
                "chosen": chosen[row],
                "rejected": rejected[row],
                "chosen_gold": heldout.chosen_gold[row].item(),
                "rejected_gold": heldout.rejected_gold[row].item(),
            }
            for row, prompt in enumerate(prompts)
        ],
        "demonstrations": [
            {"prompt": prompt, "response": text, "category": categorise(asked[prompt], text)}
            for prompt, text in lesson.shown[:first]
        ],
    }
