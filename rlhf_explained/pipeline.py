"""Floor 4: the order of the stages, and the one run that every page shows.

`run` trains everything once and remembers it on disk; figures, values, notebooks and pages all read
that one `Run`. A remembered run is plain JSON beside safetensors, so reading it needs no torch:
torch and the stages are imported only where something is trained or a model is loaded.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf_explained import memo

if TYPE_CHECKING:
    import torch

    from rlhf_explained.models.gpt import GPT

POLICIES = ("base", "sft", "ppo", "ppo_no_kl")
STAGES = ("pretrain", "sft", "preferences", "reward_model", "ppo", "ppo_no_kl", "evaluation")

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
        """Size of the policy with its value head."""
        return self._report["parameters"]

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
        """Held-out accuracy, its ceiling, and the scores of the held-out pairs."""
        return self._report["reward_model"]

    @property
    def evaluation(self) -> dict[str, dict[str, Any]]:
        """By policy: shares of the categories, mean gold, proxy, KL and length, standard errors."""
        return self._report["evaluation"]

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
        """By policy: every response of the evaluation, in order. All prompts are held out."""
        return self._read("responses.json")

    def policy(self, name: str) -> GPT:
        """Load a trained model.

        Args:
            name: base, sft, ppo, ppo_no_kl or reward_model.

        Returns:
            The model.

        Raises:
            ValueError: If there is no such model.
        """
        if name not in (*POLICIES, "reward_model"):
            raise ValueError(f"name: {name!r} is not one of {', '.join(POLICIES)}, reward_model")
        import torch
        from safetensors.torch import load_file

        from rlhf_explained.models.gpt import GPT, GPTConfig

        model = GPT(GPTConfig(**self._report["shape"]), generator=torch.Generator())
        model.load_state_dict(load_file(self.folder / f"{name}.safetensors"))
        return model

    def summary(self) -> dict[str, Any]:
        """What `train --json` prints."""
        shares = ("responses", "helpful", "harmful", "off_topic", "rambling", "wrong")
        measures = (*shares, "gold", "proxy", "kl")
        return {
            "seconds": self.seconds,
            "parameters": self.parameters,
            "reward_model": {
                name: self.reward_model[name] for name in ("heldout_accuracy", "accuracy_ceiling")
            },
            "evaluation": {
                policy: {name: self.evaluation[policy][name] for name in measures}
                for policy in POLICIES
            },
            "history": {name: self.history[name] for name in ("ppo", "ppo_no_kl")},
        }


def run_key(config: RunConfig) -> str:
    """Digest of all that a run's numbers depend on: config, source, torch and processor."""
    package = Path(__file__).parent
    sources = [
        path
        for floor in ("formulas", "world", "models", "stages")
        for path in (package / floor).rglob("*.py")
    ]
    sources += [package / "rollout.py", package / "pipeline.py"]
    circumstances = {
        "seed": config.seed,
        "effort": config.effort,
        "source": memo.source_digest(sources),
        "torch": version("torch"),
        "machine": platform.machine(),
        "capability": os.environ.get("ATEN_CPU_CAPABILITY", "native"),
    }
    return hashlib.sha256(json.dumps(circumstances).encode()).hexdigest()[:20]


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
    """
    config = config or RunConfig()
    key = run_key(config)
    folder = memo.entry("runs", key, lambda into: train(config, into, progress), notice=notice)
    return Run(config, key, folder)


def train(config: RunConfig, folder: Path, progress: Progress) -> None:
    """Train every stage in order and write the run into a folder.

    The model is so small that threads within an operation cost more than they give, and one thread
    keeps a seed bitwise the same; the two PPO runs, which need nothing of each other, go side by
    side instead.

    Args:
        config: Which run.
        folder: Where to write `report.json`, `responses.json` and one file for each model.
        progress: Called after each step of each stage.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _train(config, folder, progress)
    finally:
        torch.set_num_threads(threads)


def generator_for(config: RunConfig, purpose: str) -> torch.Generator:
    """A source of randomness for one purpose, so that no stage's draws shift another's."""
    import torch

    digest = hashlib.sha256(f"{config.seed}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7]))


def _train(config: RunConfig, folder: Path, progress: Progress) -> None:
    import torch
    from safetensors.torch import save_file

    from rlhf_explained.models.gpt import GPTConfig
    from rlhf_explained.rollout import Sequences, pack, score
    from rlhf_explained.stages.evaluation import Marked, mark, result, sit_exam
    from rlhf_explained.stages.ppo import PPOConfig, PPOResult, train_ppo
    from rlhf_explained.stages.pretrain import PretrainConfig, document_batches, train_pretrained
    from rlhf_explained.stages.reward_model import (
        RewardModelConfig,
        collect_preferences,
        train_reward_model,
    )
    from rlhf_explained.stages.sft import SFTConfig, train_sft
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

    def scaled(settings: Any, *names: str) -> Any:
        sizes = {name: max(2, round(getattr(settings, name) * config.effort)) for name in names}
        return replace(settings, **sizes)

    pretraining = scaled(PretrainConfig(), "steps")
    imitation = scaled(SFTConfig(), "steps", "heldout_demonstrations")
    comparison = scaled(RewardModelConfig(), "steps", "pairs", "heldout_pairs")
    reinforcement = scaled(PPOConfig(), "iterations")

    tokenizer = world_tokenizer()
    shape = GPTConfig(vocabulary=len(tokenizer))
    clock = Stopwatch()

    def watch(stage: str, total: int) -> Callable[[int, float], None]:
        return lambda step, loss: progress(stage, step, total, loss)

    def packed(pairs: list[tuple[str, str]]) -> Sequences:
        prompts, responses = zip(*pairs, strict=True)
        return pack([*map(tokenizer.encode, prompts)], [*map(tokenizer.encode, responses)])

    randomness = generator_for(config, "pretrain")
    documents = web(pretraining.documents, stated=pretraining.stated, generator=randomness)
    pretrained = train_pretrained(
        [*map(tokenizer.encode, documents)],
        shape,
        pretraining,
        generator=randomness,
        report=watch("pretrain", pretraining.steps),
    )
    base = pretrained.policy
    clock.lap("pretrain")

    randomness = generator_for(config, "sft")
    shown = demonstrations(imitation.demonstrations, generator=randomness)
    unseen = demonstrations(imitation.heldout_demonstrations, generator=randomness)
    fine_tuned = train_sft(
        base,
        packed(shown),
        packed(unseen),
        imitation,
        generator=randomness,
        report=watch("sft", imitation.steps),
    )
    sft = fine_tuned.policy
    clock.lap("sft")

    randomness = generator_for(config, "preferences")
    train_pairs, heldout_pairs = (
        collect_preferences(
            sft,
            count,
            tokenizer,
            held_out=held_out,
            decisiveness=comparison.decisiveness,
            generator=randomness,
        )
        for count, held_out in ((comparison.pairs, False), (comparison.heldout_pairs, True))
    )
    clock.lap("preferences")

    rewarded = train_reward_model(
        sft,
        train_pairs,
        heldout_pairs,
        comparison,
        generator=generator_for(config, "reward_model"),
        report=watch("reward_model", comparison.steps),
    )
    reward_model = rewarded.reward_model
    clock.lap("reward_model")

    def reinforce(stage: str, kl_coef: float) -> tuple[PPOResult, float]:
        began = time.perf_counter()
        randomness = generator_for(config, "ppo")  # the same for both: only kl_coef differs
        articles = [*map(tokenizer.encode, statements(2000, generator=randomness))]
        asked: list[Question] = []

        def draw_prompts(count: int) -> list[list[int]]:
            asked[:] = draw_questions(count, held_out=False, generator=randomness)
            return [tokenizer.encode(question.text) for question in asked]

        def observe(sequences: Sequences) -> dict[str, int | float]:
            marks = mark(asked, sequences, tokenizer)
            helpful = sum(category == "helpful" for _, category, _ in marks)
            gold = sum(gold for *_, gold in marks)
            return {"gold": gold / len(marks), "helpful": helpful / len(marks)}

        result = train_ppo(
            sft,
            reward_model,
            replace(reinforcement, kl_coef=kl_coef),
            draw_prompts=draw_prompts,
            pretraining=document_batches(articles, batch=32),
            observe=observe,
            generator=randomness,
            report=watch(stage, reinforcement.iterations),
        )
        return result, time.perf_counter() - began

    # The number of torch's threads belongs to each thread of the program.
    with ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as side_by_side:
        with_penalty = side_by_side.submit(reinforce, "ppo", reinforcement.kl_coef)
        without = side_by_side.submit(reinforce, "ppo_no_kl", 0.0)
        ppo, clock.seconds["ppo"] = with_penalty.result()
        ppo_no_kl, clock.seconds["ppo_no_kl"] = without.result()
        clock.lap()

        exam = evaluation_questions(round(1200 * config.effort))

        def examine(policy: GPT) -> list[Marked]:
            randomness = generator_for(config, "evaluation")
            return sit_exam(policy, sft, reward_model, exam, tokenizer, generator=randomness)

        policies = {"base": base, "sft": sft, "ppo": ppo.policy, "ppo_no_kl": ppo_no_kl.policy}
        answers = {}
        for name, marked in zip(
            policies, side_by_side.map(examine, policies.values()), strict=True
        ):
            answers[name] = marked
            progress("evaluation", len(answers), len(policies), math.nan)
    clock.lap("evaluation")

    with torch.no_grad():
        chosen_scores = score(reward_model, heldout_pairs.chosen).tolist()
        rejected_scores = score(reward_model, heldout_pairs.rejected).tolist()
    known = {question.text: question for question in questions()}
    prompts_of_pairs = heldout_pairs.chosen.tokens[:, : heldout_pairs.chosen.prompt_length]
    mean_length = packed(unseen).lengths.float().mean().item()
    report = {
        "seconds": clock.total(),
        "parameters": sft.parameter_count(),
        "shape": asdict(shape),
        "facts": {
            "vocabulary": len(tokenizer),
            "questions": len(known),
            "heldout_questions": sum(question.held_out for question in known.values()),
            "documents": pretraining.documents,
            "pretrain_steps": pretraining.steps,
            "demonstrations": imitation.demonstrations,
            "sft_steps": imitation.steps,
            "pairs": comparison.pairs,
            "decisiveness": comparison.decisiveness,
            "reward_model_steps": comparison.steps,
            "ppo_iterations": reinforcement.iterations,
            "rollout_batch": reinforcement.batch,
            "kl_coef": reinforcement.kl_coef,
            "pretraining_coef": reinforcement.pretraining_coef,
        },
        "sft": {"loss_floor": demonstration_entropy() / mean_length},
        "reward_model": {
            "heldout_accuracy": rewarded.history[-1]["accuracy"],
            "accuracy_ceiling": heldout_pairs.ceiling,
            "heldout_pairs": len(heldout_pairs),
            "chosen_scores": chosen_scores,
            "rejected_scores": rejected_scores,
        },
        "evaluation": {name: result(marked) for name, marked in answers.items()},
        "history": {
            "pretrain": pretrained.history,
            "sft": fine_tuned.history,
            "reward_model": rewarded.history,
            "ppo": ppo.history,
            "ppo_no_kl": ppo_no_kl.history,
        },
        "pairs": [
            {
                "prompt": " ".join(tokenizer.words[token] for token in prompt if token != PAD),
                "chosen": tokenizer.decode(chosen),
                "rejected": tokenizer.decode(rejected),
                "chosen_gold": heldout_pairs.chosen_gold[row].item(),
                "rejected_gold": heldout_pairs.rejected_gold[row].item(),
            }
            for row, (prompt, chosen, rejected) in enumerate(
                zip(
                    prompts_of_pairs[:20].tolist(),
                    heldout_pairs.chosen.responses[:20].tolist(),
                    heldout_pairs.rejected.responses[:20].tolist(),
                    strict=True,
                )
            )
        ],
        "demonstrations": [
            {"prompt": prompt, "response": text, "category": categorise(known[prompt], text)}
            for prompt, text in shown[:20]
        ],
    }
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    responses = {name: [asdict(answer) for answer in given] for name, given in answers.items()}
    (folder / "responses.json").write_text(json.dumps(responses), encoding="utf-8")
    for name, model in {**policies, "reward_model": reward_model}.items():
        save_file(model.state_dict(), folder / f"{name}.safetensors")


class Stopwatch:
    """Wall time of stages that follow each other."""

    def __init__(self) -> None:
        self.seconds: dict[str, int | float] = {}
        self._began = self._last = time.perf_counter()

    def lap(self, stage: str | None = None) -> None:
        """Book the time since the last lap under a stage, or under none."""
        now = time.perf_counter()
        if stage is not None:
            self.seconds[stage] = now - self._last
        self._last = now

    def total(self) -> dict[str, int | float]:
        """All laps, in the order of `STAGES`, and the time since the start."""
        laps = {stage: self.seconds[stage] for stage in STAGES}
        return {**laps, "total": time.perf_counter() - self._began}
