"""Floor 4: the one run that every page shows.

`run` trains everything once and remembers it on disk; figures, values, notebooks and pages all read
that one `Run`. A remembered run is plain JSON beside safetensors, so reading it needs no torch: it
is imported only where something is trained (`rlhf_explained.training` has the stages in their
order) or a model is loaded.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf_explained import memo
from rlhf_explained.names import POLICIES

if TYPE_CHECKING:
    from rlhf_explained.models.gpt import GPT

_PACKAGE = Path(__file__).parent
TRAINING = ("names", "formulas", "world", "models", "stages", "rollout", "training", "studies")

Progress = Callable[[str, int, int, float], None]
"""Told of the stage, the steps done, all its steps, and the loss."""


@dataclass(frozen=True)
class RunConfig:
    """Which run.

    Attributes:
        seed: Source of all its randomness.
        effort: Share of each stage's steps, of the comparisons and of the evaluation; 1 is the run
            that the site shows, less is for trying things out.
    """

    seed: int = 0
    effort: float = 1.0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed: {self.seed} is negative")
        if not 0 < self.effort <= 1:
            raise ValueError(f"effort: {self.effort} is not in (0, 1]")


@dataclass(frozen=True)
class Run:
    """What one run measured, and where its models lie.

    Attributes:
        config: Which run it is.
        key: Digest of config, source and versions; two runs of one key are the same run.
        folder: Its entry in the memo.
    """

    config: RunConfig
    key: str
    folder: Path

    def _read(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    @cached_property
    def _report(self) -> dict[str, Any]:
        return self._read("report.json")

    @property
    def seconds(self) -> dict[str, int | float]:
        """Wall time of each stage, and `total`."""
        return self._report["seconds"]

    @property
    def parameters(self) -> int:
        """Size of the policy, without PPO's critic."""
        return self._report["parameters"]

    @property
    def critic_parameters(self) -> int:
        """Size of PPO's critic, which only training needs."""
        return self._report["critic_parameters"]

    @property
    def facts(self) -> dict[str, int | float]:
        """Sizes and settings, such as `vocabulary`, `pairs`, `kl_coef`."""
        return self._report["facts"]

    @property
    def sft(self) -> dict[str, int | float]:
        """`loss_floor`: entropy of the demonstrations, in nats per token."""
        return self._report["sft"]

    @property
    def reward_model(self) -> dict[str, Any]:
        """Held-out accuracy, its ceiling, hard negatives, and scores of the held-out pairs."""
        return self._report["reward_model"]

    @property
    def preferences(self) -> dict[str, Any] | None:
        """What decides comparisons of a reader's own (see `preferences.keyed_on`), or None."""
        return self._report.get("preferences")

    @property
    def evaluation(self) -> dict[str, dict[str, Any]]:
        """By policy: what its evaluation at temperature 1 gave (see `stages.evaluation.result`)."""
        return self._report["evaluation"]

    @property
    def temperatures(self) -> dict[str, dict[str, dict[str, Any]]]:
        """By policy and temperature ("1.0" to "0.0"): what its evaluation gave."""
        return self._report["temperatures"]

    @property
    def win_rates(self) -> dict[str, dict[str, dict[str, float]]]:
        """By policy and judge: how often its answers are preferred to the SFT policy's."""
        return self._report["win_rates"]

    @property
    def checkpoints(self) -> dict[str, list[dict[str, Any]]]:
        """By PPO run: short evaluations on the way, with their `iteration`."""
        return self._report["checkpoints"]

    @property
    def history(self) -> dict[str, list[dict[str, int | float]]]:
        """By stage: one row of measurements per recorded step."""
        return self._report["history"]

    @property
    def pairs(self) -> list[dict[str, Any]]:
        """The first held-out preference pairs, in words."""
        return self._report["pairs"]

    @property
    def demonstrations(self) -> list[dict[str, str]]:
        """The first demonstrations, in words."""
        return self._report["demonstrations"]

    @cached_property
    def responses(self) -> dict[str, list[dict[str, Any]]]:
        """By policy: every response at temperature 1, in order. All prompts are held out."""
        return self._read("responses.json")

    @cached_property
    def by_question(self) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
        """By policy, temperature and held-out question: mean gold and share of helpful answers."""
        return self._read("by_question.json")

    @cached_property
    def data(self) -> dict[str, Any]:
        """What the stages after pretraining read, as `data --json` prints it."""
        return self._read("data.json")

    def policy(self, name: str) -> GPT:
        """Load a trained model.

        Args:
            name: base, sft, ppo, ppo_no_kl, reward_model or critic.

        Returns:
            The model.

        Raises:
            ValueError: If there is no such model.
        """
        known = (*POLICIES, "reward_model", "critic")
        if name not in known:
            raise ValueError(f"name: {name!r} is not one of {', '.join(known)}")
        import torch
        from safetensors.torch import load_file

        from rlhf_explained.models.gpt import GPT, GPTConfig

        model = GPT(GPTConfig(**self._report["shape"]), generator=torch.Generator())
        model.load_state_dict(load_file(self.folder / f"{name}.safetensors"))
        return model

    def summary(self) -> dict[str, Any]:
        """What `train --json` prints."""
        judged = (
            "heldout_accuracy",
            "accuracy_ceiling",
            "hard_negative_accuracy",
            "plain_negative_accuracy",
        )
        return {
            "seconds": self.seconds,
            "parameters": self.parameters,
            "critic_parameters": self.critic_parameters,
            "reward_model": {name: self.reward_model[name] for name in judged},
            **({"preferences": self.preferences} if self.preferences else {}),
            "evaluation": self.evaluation,
            "temperatures": self.temperatures,
            "win_rates": self.win_rates,
            "history": {name: self.history[name] for name in ("ppo", "ppo_no_kl")},
            "checkpoints": self.checkpoints,
        }


def source_digest(module: Path) -> str:
    """Digest of the code that decides what a module trains.

    Args:
        module: A file of this package.

    Returns:
        64 hexadecimal digits.
    """
    return memo.source_digest(memo.sources_of(module, TRAINING))


def numerics() -> dict[str, str]:
    """What the last digits of a result depend on beside code and seed: torch and processor."""
    return {
        "torch": version("torch"),
        "machine": platform.machine(),
        "capability": os.environ.get("ATEN_CPU_CAPABILITY", "native"),
    }


def run_key(config: RunConfig) -> str:
    """Digest of all that a run's numbers depend on: config, source, torch and processor."""
    source = source_digest(_PACKAGE / "training.py")
    return memo.key(seed=config.seed, effort=config.effort, source=source, **numerics())


def run(
    config: RunConfig | None = None,
    *,
    progress: Progress = lambda stage, step, steps, loss: None,
    notice: Callable[[str], None] | None = None,
) -> Run:
    """Train all stages, or read the run from the memo.

    Args:
        config: Which run; the one that the site shows by default.
        progress: Called after each step of each stage.
        notice: Told, in one line, of a damaged entry that is made again.

    Returns:
        The run.

    Raises:
        DiskError: If it has to be trained and the memo cannot be written.
    """
    config = config or RunConfig()
    key = run_key(config)
    folder = memo.entry("runs", key, lambda into: train(config, into, progress), notice=notice)
    return Run(config, key, folder)


def train(config: RunConfig, folder: Path, progress: Progress) -> None:
    """Train all stages and write the run into a folder, whatever the memo holds.

    Args:
        config: Which run.
        folder: Where to; it must exist.
        progress: Called after each step of each stage.
    """
    from rlhf_explained import training

    training.train(config.seed, config.effort, folder, progress)
