"""TRL's training runs from our starts, with random numbers of TRL's own: five draws on each seed.

Notebook 05 gives both sides the same rows and the same random numbers, and they do the same
training. Here nothing is shared but the start: TRL shuffles and samples as it likes. So what is
stored says how far training runs of one method lie apart, by another draw from the same start and
by another start. Ours stand in the study of the methods.

It needs TRL, so `make trl` sets up the environment in which it is measured:

    .venv-trl/bin/python -m rlhf_explained studies trl_draws
"""

from __future__ import annotations

import tempfile
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from rlhf_explained import hugging_face
from rlhf_explained.models.gpt import GPT
from rlhf_explained.pipeline import RunConfig, run
from rlhf_explained.rollout import score
from rlhf_explained.stages.dpo import DPOConfig
from rlhf_explained.stages.evaluation import result
from rlhf_explained.stages.grpo import GRPOConfig
from rlhf_explained.training import Lesson
from rlhf_explained.world.corpus import draw_questions

CONFIGS: dict[str, DPOConfig | GRPOConfig] = {
    "dpo": DPOConfig(),
    "grpo": GRPOConfig(kl_coef=0.3),
    "rloo": GRPOConfig(kl_in="reward", divide_by_std=False),
}
"""The settings of the study of the methods."""
DRAWS = range(5)

SEEDS = range(5)
SAMPLE = "dpo_0"
SETTINGS: dict[str, Any] = {
    f"{method}_{draw}": {"method": method, "draw": draw} for method, draw in product(CONFIGS, DRAWS)
}


def measure(name: str, seed: int) -> dict[str, float]:
    """Let TRL train one policy, and ask it the held-out questions.

    Args:
        name: Of the setting.
        seed: Of the run whose SFT policy, comparisons and reward model it gets.

    Returns:
        Mean gold, proxy and KL (k1) from SFT in nats, and the share of helpful answers.
    """
    method, draw = SETTINGS[name].values()
    start, lesson = run(RunConfig(seed=seed)), Lesson(seed)
    sft, judge = start.policy("sft"), start.policy("reward_model")
    with tempfile.TemporaryDirectory() as folder:
        hugging_face.save(hugging_face.exported(sft), folder)
        train = by_dpo if method == "dpo" else partial(by_sampling, judge=judge)
        policy = train(CONFIGS[method], lesson, sft, folder=folder, luck=len(DRAWS) * seed + draw)  # pyright: ignore
    exam = result(lesson.examine(policy, sft, judge))
    return {quantity: exam[quantity] for quantity in ("gold", "proxy", "kl", "helpful")}


def by_dpo(config: DPOConfig, lesson: Lesson, sft: GPT, *, folder: str, luck: int) -> GPT:
    """DPO on the run's comparisons, shuffled by TRL."""
    import trl  # pyright: ignore[reportMissingImports]
    from datasets import Dataset  # pyright: ignore[reportMissingImports]

    learned, _ = lesson.compare(sft)
    trainer = trl.DPOTrainer(
        hugging_face.load(folder),
        args=trl.DPOConfig(
            **_settings(folder, luck, config.learning_rate),
            max_steps=config.steps,
            per_device_train_batch_size=config.batch,
            beta=config.beta,
        ),
        train_dataset=Dataset.from_list(hugging_face.preference_rows(learned)),
        processing_class=hugging_face.fast_tokenizer(),
    )
    trainer.train()
    return hugging_face.imported(trainer.model, sft)


def by_sampling(
    config: GRPOConfig, lesson: Lesson, sft: GPT, *, judge: GPT, folder: str, luck: int
) -> GPT:
    """GRPO or RLOO against the run's reward model; TRL draws the prompts' order and the answers."""
    import trl  # pyright: ignore[reportMissingImports]
    from datasets import Dataset  # pyright: ignore[reportMissingImports]

    is_rloo = config.kl_in == "reward"
    make, kind = (trl.RLOOTrainer, trl.RLOOConfig) if is_rloo else (trl.GRPOTrainer, trl.GRPOConfig)
    asked = draw_questions(
        config.iterations * config.prompts,
        held_out=False,
        generator=lesson.generator(f"trl/{luck}"),
    )
    trainer = make(
        hugging_face.load(folder),
        reward_funcs=hugging_face.reward_function(
            partial(score, judge), unfinished_score=config.unfinished_score
        ),
        args=kind(
            **_settings(folder, luck, config.learning_rate),
            max_steps=config.iterations * config.epochs,
            num_iterations=config.epochs,
            per_device_train_batch_size=config.prompts * config.group_size,
            num_generations=config.group_size,
            max_completion_length=config.response_limit,
            beta=config.kl_coef,
            **({} if is_rloo else {"use_bias_correction_kl": False}),
        ),
        train_dataset=Dataset.from_dict({"prompt": [question.text for question in asked]}),
        processing_class=hugging_face.fast_tokenizer(),
    )
    hugging_face.count_positions(trainer.ref_model)
    trainer.train()
    return hugging_face.imported(trainer.model, sft)


def _settings(folder: str, luck: int, rate: float) -> dict[str, Any]:
    """What all of them share: a processor, our schedule, and nothing written or sent."""
    return {
        "output_dir": str(Path(folder) / "log"),
        "use_cpu": True,
        "bf16": False,
        "activation_checkpointing": False,
        "report_to": "none",
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
        "seed": luck,
        "weight_decay": 0.0,
        "learning_rate": rate,
        "lr_scheduler_type": "polynomial",
        "lr_scheduler_kwargs": {"power": 1.0, "lr_end": rate / 10},
    }
