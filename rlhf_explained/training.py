"""Floor 4: the stages in their order, from random weights to evaluated policies.

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
from torch import Tensor

from rlhf_explained.models.gpt import GPT, GPTConfig
from rlhf_explained.rollout import Rollout, Sequences, pack, score
from rlhf_explained.stages.evaluation import (
    TEMPERATURES,
    Marked,
    by_question,
    mark,
    result,
    sit_exam,
    win_rates,
)
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
    hard_negative_accuracy,
    train_reward_model,
)
from rlhf_explained.stages.sft import SFTConfig, SFTResult, train_sft
from rlhf_explained.world.corpus import (
    EXPERTS,
    Writers,
    demonstration_entropy,
    demonstrations,
    draw_questions,
    web,
)
from rlhf_explained.world.labeler import categorise
from rlhf_explained.world.questions import Question, evaluation_questions, questions
from rlhf_explained.world.tokenizer import PAD, world_tokenizer

ANSWERS = 20
"""How often a policy answers each question of the exam at temperature 1."""
COLDER_ANSWERS = 10
"""How often it does so at the temperatures between 0 and 1; at 0 all its answers are the same."""
CHECKPOINT_ANSWERS = 5
"""How often it does so at a checkpoint."""
CHECKPOINTS = 5
"""Iterations of PPO from one checkpoint to the next."""

Progress = Callable[[str, int, int, float], None]
"""Told of the stage, the steps done, all its steps, and the loss."""


class Lesson:
    """One student's way: every stage with its settings, its data and its own randomness.

    Args:
        seed: Source of all randomness.
        effort: Share of each stage's steps, of the comparisons and of the evaluation.
        progress: Called after each step of each stage.
        experts: Who writes the demonstrations.
    """

    def __init__(
        self,
        seed: int,
        effort: float = 1.0,
        progress: Progress = lambda stage, step, steps, loss: None,
        *,
        experts: Writers = EXPERTS,
    ) -> None:
        def scaled(settings: Any, *names: str) -> Any:
            sizes = {name: max(2, round(getattr(settings, name) * effort)) for name in names}
            return replace(settings, **sizes)

        self.seed = seed
        self.rolled_out: set[str] = set()  # every prompt that stage 3 has drawn
        self.progress = progress
        self.tokenizer = world_tokenizer()
        self.shape = GPTConfig(vocabulary=len(self.tokenizer))
        self.pretraining: PretrainConfig = scaled(PretrainConfig(), "steps")
        self.imitation: SFTConfig = scaled(SFTConfig(), "steps", "heldout_demonstrations")
        self.comparison: RewardModelConfig = scaled(RewardModelConfig(), "pairs", "heldout_pairs")
        self.reinforcement: PPOConfig = scaled(PPOConfig(), "iterations")
        self.answers = max(1, round(ANSWERS * effort))

        self.imitating = self.generator("sft")  # draws the demonstrations, then their order
        self.shown, self.unseen = (
            demonstrations(count, writers=experts, generator=self.imitating)
            for count in (self.imitation.demonstrations, self.imitation.heldout_demonstrations)
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

    def fine_tune(
        self, base: GPT, demonstrations: Sequence[tuple[str, str]] | None = None
    ) -> SFTResult:
        """Stage 1: imitate the demonstrations: all that are shown, or those given."""
        return train_sft(
            base,
            self.packed(self.shown if demonstrations is None else demonstrations),
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
            report=self.report("reward_model", self.comparison.steps(len(preferences))),
        )

    def classroom(
        self, randomness: torch.Generator
    ) -> tuple[Callable[[int], list[list[int]]], Callable[[Sequences], dict[str, int | float]]]:
        """Where stage 3 takes place: what draws prompts, and what observes answers to them."""
        asked: list[Question] = []

        def draw_prompts(count: int) -> list[list[int]]:
            asked[:] = draw_questions(count, held_out=False, generator=randomness)
            self.rolled_out.update(question.text for question in asked)
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
        *,
        critic: GPT | None = None,
        documents: Sequence[str] = (),
        assign: Callable[[Rollout, Tensor, PPOConfig], Experience] = credit,
        examine: Callable[[int, GPT], None] = lambda iteration, policy: None,
        draw: str = "",
    ) -> PPOResult:
        """Stage 3: PPO. Runs that differ in the settings differ in nothing else.

        Args:
            stage: Its name, for the progress.
            sft: Where the policy starts.
            reward_model: The judge.
            config: Settings.
            critic: Where the critic starts; None makes the policy its own critic.
            documents: Texts to mix in, if `config.pretraining_coef` is above 0.
            assign: See `train_ppo`.
            examine: See `train_ppo`.
            draw: Names another source of randomness, for another run of the same settings.

        Returns:
            What PPO returns.
        """
        randomness = self.generator(f"ppo{draw}")
        draw_prompts, observe = self.classroom(randomness)
        return train_ppo(
            sft,
            partial(score, reward_model),
            config,
            draw_prompts=draw_prompts,
            critic=critic,
            pretraining=document_batches(self.tokens(documents), self.pretraining.batch)
            if documents
            else (),
            assign=assign,
            observe=observe,
            examine=examine,
            generator=randomness,
            report=self.report(stage, config.iterations),
        )

    def examine(
        self,
        policy: GPT,
        sft: GPT,
        reward_model: GPT,
        *,
        temperature: float = 1.0,
        answers: int | None = None,
    ) -> list[Marked]:
        """The evaluation: the same held-out questions for every policy.

        Args:
            policy: What is evaluated.
            sft: The reference.
            reward_model: Gives the proxy.
            temperature: At which the policy answers.
            answers: To each question; by default as many as the lesson has for the temperature.

        Returns:
            All answers.
        """
        usual = {1.0: self.answers, 0.0: 1}.get(temperature, min(self.answers, COLDER_ANSWERS))
        asked = evaluation_questions(answers or usual)
        return sit_exam(
            policy,
            sft,
            reward_model,
            asked,
            self.tokenizer,
            temperature=temperature,
            generator=self.generator("evaluation"),
        )

    def checkpoints(
        self, sft: GPT, reward_model: GPT
    ) -> tuple[Callable[[int, GPT], None], list[dict[str, Any]]]:
        """A short evaluation at every few iterations: what `train_ppo` calls, and what it fills."""
        taken: list[dict[str, Any]] = []

        def examine(iteration: int, policy: GPT) -> None:
            if iteration % CHECKPOINTS == 0:
                answers = min(self.answers, CHECKPOINT_ANSWERS)
                exam = self.examine(policy, sft, reward_model, answers=answers)
                taken.append({"iteration": iteration, **result(exam)})

        return examine, taken


@dataclass(frozen=True)
class Outcome:
    """Everything that one lesson gave.

    Attributes:
        pretrained: Stage 0.
        fine_tuned: Stage 1.
        preferences: Pairs that the reward model learned from.
        heldout: Pairs on held-out prompts.
        rewarded: Stage 2.
        ppo: Stage 3.
        ppo_no_kl: The same without the penalty.
        checkpoints: Short evaluations on the way, by policy.
        answers: Of the evaluation, by policy and temperature.
        seconds: Wall time, by stage.
    """

    pretrained: PretrainResult
    fine_tuned: SFTResult
    preferences: Preferences
    heldout: Preferences
    rewarded: RewardModelResult
    ppo: PPOResult
    ppo_no_kl: PPOResult
    checkpoints: dict[str, list[dict[str, Any]]]
    answers: dict[str, dict[float, list[Marked]]]
    seconds: dict[str, int | float]

    @property
    def policies(self) -> dict[str, GPT]:
        """The policies that were evaluated."""
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

    The two PPO runs need nothing of each other, so they go side by side, as do the evaluations.
    """
    seconds: dict[str, int | float] = {}

    @contextmanager
    def timed(stage: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        seconds[stage] = time.perf_counter() - began

    def reinforce(stage: str, kl_coef: float) -> tuple[PPOResult, list[dict[str, Any]]]:
        with timed(stage):
            config = replace(lesson.reinforcement, kl_coef=kl_coef)
            examine, taken = lesson.checkpoints(sft, reward_model)
            trained = lesson.reinforce(
                stage, sft, reward_model, config, critic=reward_model, examine=examine
            )
            return trained, taken

    def examine(policy: GPT) -> dict[float, list[Marked]]:
        return {
            temperature: lesson.examine(policy, sft, reward_model, temperature=temperature)
            for temperature in TEMPERATURES
        }

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
            (ppo, held), (ppo_no_kl, free) = pool.map(reinforce, prices, prices.values())
            outcome = Outcome(
                pretrained,
                fine_tuned,
                preferences,
                heldout,
                rewarded,
                ppo,
                ppo_no_kl,
                {"ppo": held, "ppo_no_kl": free},
                {},
                seconds,
            )
            with timed("evaluation"):
                exams = {
                    name: pool.submit(examine, policy) for name, policy in outcome.policies.items()
                }
                for name, exam in exams.items():
                    outcome.answers[name] = exam.result()
                    lesson.progress("evaluation", len(outcome.answers), len(exams), math.nan)
    return outcome


def train(seed: int, effort: float, folder: Path, progress: Progress) -> None:
    """Take a student through all stages and write down what came out.

    Args:
        seed: Source of all randomness.
        effort: Share of each stage's steps, of the comparisons and of the evaluation.
        folder: Where to write `report.json`, `responses.json`, `by_question.json`, `data.json` and
            one file for each model.
        progress: Called after each step of each stage.
    """
    with one_thread():
        lesson = Lesson(seed, effort, progress)
        outcome = go_through(lesson)
        report = {**measured(lesson, outcome), **in_words(lesson, outcome)}
    answers = outcome.answers
    written = {
        "report": report,
        "responses": {
            name: [asdict(answer) for answer in given[1.0]] for name, given in answers.items()
        },
        "by_question": {
            name: {str(temperature): by_question(exam) for temperature, exam in given.items()}
            for name, given in answers.items()
        },
        "data": data(lesson, outcome),
    }
    for name, content in written.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    models = {
        **outcome.policies,
        "reward_model": outcome.rewarded.reward_model,
        "critic": outcome.ppo.critic,
    }
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
        "critic_parameters": outcome.ppo.critic.parameter_count(),
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
            "reward_model_epochs": lesson.comparison.epochs,
            "reward_model_steps": lesson.comparison.steps(lesson.comparison.pairs),
            "ppo_iterations": lesson.reinforcement.iterations,
            "rollout_batch": lesson.reinforcement.batch,
            "kl_coef": lesson.reinforcement.kl_coef,
            "answers": lesson.answers,
        },
        "sft": {"loss_floor": demonstration_entropy() / expert_length},
        "reward_model": {
            "heldout_accuracy": outcome.rewarded.history[-1]["accuracy"],
            "accuracy_ceiling": heldout.ceiling,
            "hard_negative_accuracy": hard_negative_accuracy(reward_model, lesson.tokenizer),
            "plain_negative_accuracy": hard_negative_accuracy(
                reward_model, lesson.tokenizer, courteous=False
            ),
            "heldout_pairs": len(heldout),
            "chosen_scores": chosen,
            "rejected_scores": rejected,
        },
        "evaluation": {name: result(given[1.0]) for name, given in outcome.answers.items()},
        "temperatures": {
            name: {
                str(temperature): result(answers, temperature=temperature)
                for temperature, answers in given.items()
            }
            for name, given in outcome.answers.items()
        },
        "win_rates": {
            name: win_rates(
                given[1.0], outcome.answers["sft"][1.0], decisiveness=lesson.comparison.decisiveness
            )
            for name, given in outcome.answers.items()
        },
        "checkpoints": outcome.checkpoints,
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
    asked = {question.text: question for question in questions()}
    return {
        "pairs": pairs_in_words(lesson, outcome.heldout, first),
        "demonstrations": [
            {"prompt": prompt, "response": text, "category": categorise(asked[prompt], text)}
            for prompt, text in lesson.shown[:first]
        ],
    }


def pairs_in_words(
    lesson: Lesson, preferences: Preferences, first: int | None = None
) -> list[dict[str, Any]]:
    """Preference pairs as text, with the gold reward of either side."""
    decode, start = lesson.tokenizer.decode, preferences.chosen.prompt_length
    prompts = [
        decode([token for token in row if token != PAD])
        for row in preferences.chosen.tokens[:first, :start].tolist()
    ]
    chosen, rejected = (
        [decode(row) for row in side.responses[:first].tolist()]
        for side in (preferences.chosen, preferences.rejected)
    )
    gold = (side[:first].tolist() for side in (preferences.chosen_gold, preferences.rejected_gold))
    names = ("prompt", "chosen", "rejected", "chosen_gold", "rejected_gold")
    rows = zip(prompts, chosen, rejected, *gold, strict=True)
    return [dict(zip(names, row, strict=True)) for row in rows]


def data(lesson: Lesson, outcome: Outcome) -> dict[str, Any]:
    """Every text that the stages after pretraining read, and the questions of the evaluation."""
    known = {
        held_out: [
            {"prompt": q.text, "answers": list(q.answers), "kind": q.kind}
            for q in questions()
            if q.held_out == held_out
        ]
        for held_out in (True, False)
    }
    return {
        "heldout": known[True],
        "practised": known[False],
        "demonstrations": [
            {"prompt": prompt, "response": response} for prompt, response in lesson.shown
        ],
        "preferences": [
            {name: pair[name] for name in ("prompt", "chosen", "rejected")}
            for pair in pairs_in_words(lesson, outcome.preferences)
        ],
        "rollout_prompts": sorted(lesson.rolled_out),
        "other": [],  # no stage after pretraining reads anything else
    }
