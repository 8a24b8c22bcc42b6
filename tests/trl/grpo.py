"""GRPO's training run in the miniature, by our stage or by TRL's trainer; `make bench` times both.

    python grpo.py ours RUN THREADS UPDATES      in the project's environment
    python grpo.py theirs RUN THREADS UPDATES    in `.venv-trl`, which has TRL

RUN is the folder of a run: its SFT policy is where both begin, its reward model is their judge. The
last line of standard output is JSON. What is the same on both sides:

- the policy: a GPT-2 of our shape that is given our weights and must give our logits. It has biases
  in the attention's projections, which ours has not, and no scalar head, which ours has;
- the prompts, in the same order; answers to each; updates, one for each round of answers; learning
  rates, clipping, price of KL;
- the length of every answer: the end token is one that neither model can write;
- the reward: our reward model, called once a round on the same tokens;
- the number of threads, torch's version, 32-bit floats; the first update is not timed.

TRL's settings are the fastest that we found for a CPU. `torch_compile` (after its compilation), a
static cache, attention without torch's kernel, bf16 and continuous batching made it no faster, and
vLLM is no choice here. TRL computes log-probabilities without position ids: rows padded on the left
are read one to three positions later than they were written, which takes no time.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from rlhf_explained import rollout
from rlhf_explained.models.gpt import GPT
from rlhf_explained.pipeline import Run, RunConfig
from rlhf_explained.rollout import Sequences, score
from rlhf_explained.stages.grpo import GRPOConfig, train_grpo
from rlhf_explained.world.corpus import draw_questions
from rlhf_explained.world.tokenizer import PAD, world_tokenizer

TOKENIZER = world_tokenizer()
NEVER = len(TOKENIZER)  # the end token: one past the vocabulary


def questions(count: int, generator: torch.Generator) -> list[str]:
    """The next prompts, the same on both sides."""
    return [
        question.text for question in draw_questions(count, held_out=False, generator=generator)
    ]


class Clock:
    """Told of each update; what lies between the first's end and the last's end counts."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def tick(self, *_: Any) -> None:
        """An update has ended."""
        self.wall.append(time.perf_counter())
        self.cpu.append(time.process_time())

    def rates(self, config: GRPOConfig) -> dict[str, Any]:
        """Answers written, judged and learned from, by the second and by the processor's second."""
        samples = config.prompts * config.group_size * (len(self.wall) - 1)
        return {
            "samples": samples,
            "samples_per_second": samples / (self.wall[-1] - self.wall[0]),
            "samples_per_cpu_second": samples / (self.cpu[-1] - self.cpu[0]),
        }


def ours(sft: GPT, reward_model: GPT, config: GRPOConfig) -> dict[str, Any]:
    """Train by our stage."""
    randomness, clock = torch.Generator().manual_seed(0), Clock()
    asking = torch.Generator().manual_seed(1)
    finished = property(lambda sequences: torch.ones(len(sequences.tokens), dtype=torch.bool))
    with patch.object(rollout, "EOS", NEVER), patch.object(Sequences, "ended", finished):
        history = train_grpo(
            sft,
            lambda sequences: score(reward_model, sequences),
            config,
            draw_prompts=lambda n: [TOKENIZER.encode(text) for text in questions(n, asking)],
            generator=randomness,
            report=clock.tick,
        ).history
    (length,) = {row["length"] for row in history}
    return {
        **clock.rates(config),
        "length": length,
        "parameters": sft.parameter_count(),
        "scores": [history[0]["proxy"], history[-1]["proxy"]],
    }


def theirs(sft: GPT, reward_model: GPT, config: GRPOConfig) -> dict[str, Any]:
    """Train by TRL."""
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import GRPOConfig as Settings
    from trl import GRPOTrainer

    class Ticking(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.tick()

    assert config.kl_in == "loss", "TRL pays for KL there"
    assert config.epochs == 1, "TRL counts every epoch as a step, and we do not"
    clock, lengths, scores = Clock(), set(), []
    asking = torch.Generator().manual_seed(1)

    @torch.no_grad()
    def reward(prompts: list[str], completion_ids: list[list[int]], **_: Any) -> list[float]:
        head = rollout._left_padded([TOKENIZER.encode(text) for text in prompts])
        tail = torch.tensor(completion_ids)  # it refuses answers of different lengths
        lengths.add(tail.shape[1])
        tokens = torch.cat([head, tail], dim=1)
        attended = tokens != PAD
        attended[:, head.shape[1] :] = True
        mask = torch.ones_like(tail, dtype=torch.bool)
        found = score(reward_model, Sequences(tokens, attended, head.shape[1], mask))
        scores.append(found.mean().item())
        return found.tolist()

    asked = [text for _ in range(config.iterations) for text in questions(config.prompts, asking)]
    with tempfile.TemporaryDirectory() as folder:
        save_as_gpt2(sft, folder)
        options = {
            "output_dir": folder, "use_cpu": True, "seed": 0,
            # the same work
            "max_steps": config.iterations,
            "per_device_train_batch_size": config.prompts * config.group_size,
            "num_generations": config.group_size, "num_iterations": config.epochs,
            "max_completion_length": config.response_limit, "shuffle_dataset": False,
            "beta": config.kl_coef, "use_bias_correction_kl": False, "epsilon": config.clip_range,
            "loss_type": "bnpo", "max_grad_norm": 1.0,
            "scale_rewards": "group" if config.divide_by_std else "none",
            "optim": "adamw_torch_fused", "weight_decay": 0.0,
            "learning_rate": config.learning_rate, "lr_scheduler_type": "polynomial",
            "lr_scheduler_kwargs": {"power": 1.0, "lr_end": config.learning_rate / 10},
            # nothing besides
            "bf16": False, "gradient_checkpointing": False, "logging_strategy": "no",
            "save_strategy": "no", "eval_strategy": "no", "report_to": "none",
            "disable_tqdm": True, "dataloader_pin_memory": False,
        }  # fmt: skip
        trainer = GRPOTrainer(
            folder,
            reward_funcs=reward,
            args=Settings(**options),
            train_dataset=Dataset.from_dict({"prompt": asked}),
            callbacks=[Ticking()],
        )
        trainer.train()
    (length,) = lengths
    return {
        **clock.rates(config),
        "length": length,
        "parameters": sum(parameter.numel() for parameter in trainer.model.parameters()),
        "scores": [scores[0], scores[-1]],
    }


def save_as_gpt2(sft: GPT, folder: str) -> None:
    """Write our policy and tokenizer as transformers reads them; both must say the same."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    shape = sft.config
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=shape.vocabulary, n_positions=shape.context, n_embd=shape.width,
            n_layer=shape.layers, n_head=shape.heads, activation_function="gelu",
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
            bos_token_id=None, eos_token_id=NEVER, pad_token_id=PAD,
        )
    )  # fmt: skip
    body = model.transformer
    pairs: list[tuple[Any, Any]] = [
        (body.wte, sft.token_embedding), (body.wpe, sft.position_embedding),
        (body.ln_f, sft.final_norm),
    ]  # fmt: skip
    for block, own in zip(body.h, sft.blocks, strict=True):
        pairs += [
            (block.ln_1, own.attention_norm), (block.attn.c_attn, own.query_key_value),
            (block.attn.c_proj, own.attention_out), (block.ln_2, own.mlp_norm),
            (block.mlp.c_fc, own.mlp_in), (block.mlp.c_proj, own.mlp_out),
        ]  # fmt: skip
    with torch.no_grad():
        for target, source in pairs:
            turned = isinstance(source, torch.nn.Linear)  # GPT-2 keeps these matrices transposed
            target.weight.copy_(source.weight.T if turned else source.weight)
            if getattr(target, "bias", None) is not None:
                target.bias.zero_() if source.bias is None else target.bias.copy_(source.bias)
        tokens = torch.tensor(
            [TOKENIZER.encode(text)[:4] for text in questions(8, torch.Generator())]
        )
        torch.testing.assert_close(model(tokens).logits, sft(tokens), atol=1e-4, rtol=1e-4)
    model.save_pretrained(folder)
    words = {word: token for token, word in enumerate((*TOKENIZER.words, "<never>"))}
    fast = Tokenizer(models.WordLevel(words, unk_token="<never>"))
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=fast, eos_token="<never>", pad_token="<pad>", padding_side="left"
    ).save_pretrained(folder)


if __name__ == "__main__":
    side, folder, threads, updates = sys.argv[1:]
    torch.set_num_threads(int(threads))
    run = Run(RunConfig(), "", Path(folder))
    train = {"ours": ours, "theirs": theirs}[side]
    config = GRPOConfig(int(updates), epochs=1)
    measured = train(run.policy("sft"), run.policy("reward_model"), config)
    print(json.dumps({**measured, "torch": torch.__version__, "threads": int(threads)}))
