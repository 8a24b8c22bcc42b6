"""A lesson that keeps what its PPO policies answered on the way, and stage 3 repeated for that."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from typing import Any
from unittest import mock

import torch

from rlhf_explained import training
from rlhf_explained.models.gpt import GPT
from rlhf_explained.pipeline import Progress, Run
from rlhf_explained.stages.evaluation import Marked, result
from rlhf_explained.stages.ppo import PPOResult

EARLY = (1, 2, 3, 4, 7)
"""Rounds between checkpoints whose policies sit the same exam: most happens in the first ones."""


class Watch:
    """Examines a policy at checkpoints as `Lesson.checkpoints` does, and keeps all answers.

    Args:
        exam: What gives a policy's answers to the evaluation.

    Attributes:
        taken: What the lesson makes of its checkpoints.
        kept: By round the answers, or what will give them: an evaluation between two checkpoints is
            made when training is over, whose time is measured.
    """

    def __init__(self, exam: Callable[[GPT], list[Marked]]) -> None:
        self.exam = exam
        self.taken: list[dict[str, Any]] = []
        self.kept: dict[int, Callable[[], list[Marked]]] = {}

    def __call__(self, iteration: int, policy: GPT) -> None:
        """What PPO calls before the first round and after each."""
        if iteration % training.CHECKPOINTS == 0:
            answers = self.exam(policy)
            self.kept[iteration] = lambda: answers
            self.taken.append({"iteration": iteration, **result(answers)})
        elif iteration in EARLY:
            self.kept[iteration] = partial(self.exam, copy.deepcopy(policy))

    def rounds(self) -> list[dict[str, Any]]:
        """Each round's number, results and answers."""
        given = {iteration: exam() for iteration, exam in self.kept.items()}
        return [
            {"iteration": iteration, **result(some), "answers": [asdict(one) for one in some]}
            for iteration, some in sorted(given.items())
        ]


class Watched(training.Lesson):
    """A lesson that keeps what its PPO policies answered on the way.

    Attributes:
        watches: By PPO run.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.watches: dict[str, Watch] = {}

    def checkpoints(self, sft: GPT, reward_model: GPT) -> tuple[Watch, list[dict[str, Any]]]:
        """What `train_ppo` calls, and what it fills."""
        answers = min(self.answers, training.CHECKPOINT_ANSWERS)
        watch = Watch(lambda policy: self.examine(policy, sft, reward_model, answers=answers))
        return watch, watch.taken

    def reinforce(self, stage: str, *arguments: Any, **settings: Any) -> PPOResult:
        """Stage 3, which tells whose answers a watch keeps."""
        if isinstance(watch := settings.get("examine"), Watch):
            self.watches[stage] = watch
        return super().reinforce(stage, *arguments, **settings)

    def on_the_way(self) -> dict[str, list[dict[str, Any]]]:
        """By PPO run its rounds, when stage 3 is over."""
        with ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            rounds = pool.map(Watch.rounds, self.watches.values())
            return dict(sorted(zip(self.watches, rounds, strict=True)))


@contextmanager
def watched() -> Iterator[list[Watched]]:
    """Let `training.train` take its student through a lesson that keeps the answers.

    It makes its lesson itself, and a change of its code would be another run.

    Yields:
        The lessons that it has made meanwhile.
    """
    lessons: list[Watched] = []

    def make(*arguments: Any, **settings: Any) -> Watched:
        lessons.append(Watched(*arguments, **settings))
        return lessons[-1]

    with mock.patch.object(training, "Lesson", make):
        yield lessons


def repeated(
    run: Run, progress: Progress = lambda stage, step, steps, loss: None
) -> tuple[Watched, bool]:
    """Repeat stage 3 from a run's own SFT policy and reward model.

    Args:
        run: Which.
        progress: Called after each round of each PPO run.

    Returns:
        The lesson, and whether its policies are the run's, bit for bit.
    """
    sft, reward_model = run.policy("sft"), run.policy("reward_model")
    lesson = Watched(run.config.seed, run.config.effort, progress)

    def reinforce(stage: str, kl_coef: float) -> bool:
        config = replace(lesson.reinforcement, kl_coef=kl_coef)
        examine, _ = lesson.checkpoints(sft, reward_model)
        again = lesson.reinforce(
            stage, sft, reward_model, config, critic=reward_model, examine=examine
        )
        before = run.policy(stage).state_dict()
        return all(
            torch.equal(before[name], now) for name, now in again.policy.state_dict().items()
        )

    with (
        training.one_thread(),
        ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        prices = {"ppo": lesson.reinforcement.kl_coef, "ppo_no_kl": 0.0}
        same = list(pool.map(reinforce, prices, prices.values()))
    return lesson, all(same)
