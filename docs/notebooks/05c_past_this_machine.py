# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
#   environment: trl
#   search:
#     terms:
#       page: scaling up, large models, gpu, multi gpu, hardware
#       one-script-on-two-processes: torchrun, distributed training, data parallel, ddp
#       adapters-in-place-of-weights: lora, peft, qlora
#       how-much-memory: gpu memory, vram, out of memory, kv cache size, activation memory
#       what-other-libraries-take-over: vllm, fsdp, deepspeed, openrlhf, verl
#       what-changes-with-size: learning rate for large models, batch size, hyperparameters
#       the-studies-on-several-machines: dask, cluster
# ---

# %% tags=["install", "skip-execution"]
# %pip install --quiet rlhf_explained.whl "trl>=1.16" peft

# %% [markdown]
# # Past this machine
#
# Everything else on this site runs in one process on one processor. The models that people use are
# at least ten thousand times as large as ours. This notebook treats our model as if it were one of
# those large models. It trains on two processes, trains adapters instead of weights, and counts
# bytes. Methods that need graphics cards are only described, with their sources.
#
# ## What you'll learn
#
# - How one script runs on several processes, and which results stay the same
# - What LoRA saves, and how well it trains
# - How much memory PPO, GRPO and DPO need: a formula checked on our model, and a table for models
#   of 1 billion and 8 billion parameters
# - What vLLM, FSDP, DeepSpeed, OpenRLHF and verl do, and which settings change with size
#
# **Prerequisites:** [Practical RLHF with TRL](05_practical_rlhf_with_trl.py).
#
# **Time:** about 20 minutes to read. To run it yourself, install TRL with `pip install trl peft`,
# or type `make trl` in a checkout of this site.

# %%
import copy
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # all that is needed is here

import torch
from IPython.display import Markdown, display
from torch.utils.checkpoint import checkpoint

from rlhf_explained import formulas, hugging_face
from rlhf_explained.pipeline import RunConfig, run
from rlhf_explained.rollout import generate, response_logits
from rlhf_explained.stages import dpo, grpo
from rlhf_explained.stages.evaluation import result
from rlhf_explained.training import Lesson
from rlhf_explained.world.corpus import draw_questions

torch.set_num_threads(1)
os.chdir(tempfile.mkdtemp())  # where models are written, for TRL to read

trained_before, lesson = run(RunConfig(seed=0)), Lesson(0)
base, sft, judge = map(trained_before.policy, ("base", "sft", "reward_model"))
hugging_face.save(hugging_face.exported(sft), "sft")
learned, _ = lesson.compare(sft)  # the labeler's comparisons of the run
asking = torch.Generator().manual_seed(0)
asked = [q.text for q in draw_questions(480, held_out=False, generator=asking)]
for name, rows in (
    ("pairs.json", hugging_face.preference_rows(learned)),
    ("prompts.json", [{"prompt": text} for text in asked]),
):
    Path(name).write_text(json.dumps(rows))


def table(headings, *rows):
    """Show rows as a table."""
    lines = [headings, ["---"] * len(headings), *rows]
    text = "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
    display(Markdown(text))


# %% [markdown]
# ## One script on two processes
#
# The usual way to use several processors or cards is
# [data parallelism](../reference/glossary.md#data-parallelism). Every process holds the whole model
# and takes its share of each batch. Before each step the processes average their gradients, so all
# copies of the model stay the same.
#
# For DPO this takes four lines. The first, `PartialState`, tells each process its number and the
# number of processes. The next two give each process its share of the batch and drop the last batch
# of an epoch if it is incomplete. (Otherwise several processes would fill it with rows from the
# beginning, and so would not train on the same rows as one process.) The fourth lets only the first
# process save the model. The rest of the script is the same as for one process:

# %%
Path("train_dpo.py").write_text("""\
import json
import sys

from accelerate import PartialState

state = PartialState(cpu=True)  # before all else, or each believes to be alone

import torch
from datasets import Dataset
from peft import LoraConfig
from trl import DPOConfig, DPOTrainer

from rlhf_explained import hugging_face

torch.set_num_threads(1)
how, folder = sys.argv[1:]  # full or lora, and where the model goes
rate = {"full": 3e-4, "lora": 3e-3}[how]
adapters = LoraConfig(
    r=8,
    target_modules=["c_attn", "c_proj", "c_fc"],
    fan_in_fan_out=True,  # GPT-2 stores its matrices transposed
)
trainer = DPOTrainer(
    hugging_face.load("sft"),
    args=DPOConfig(
        output_dir="log", use_cpu=True, bf16=False,
        activation_checkpointing=False, report_to="none",
        save_strategy="no", disable_tqdm=True,
        max_steps=100,
        per_device_train_batch_size=64 // state.num_processes,
        dataloader_drop_last=True,
        beta=1.0,
        learning_rate=rate,
        lr_scheduler_type="polynomial",
        lr_scheduler_kwargs={"power": 1.0, "lr_end": rate / 10},
    ),
    train_dataset=Dataset.from_list(json.load(open("pairs.json"))),
    processing_class=hugging_face.fast_tokenizer(),
    peft_config=adapters if how == "lora" else None,
)
trainer.train()
if state.is_main_process:
    weights = [w for w in trainer.model.parameters() if w.requires_grad]
    kept = [t for kinds in trainer.optimizer.state.values() for t in kinds.values()]
    model = trainer.model.merge_and_unload() if how == "lora" else trainer.model
    hugging_face.save(model, folder)
    trained = sum(weight.numel() for weight in weights)
    print(json.dumps([trained, sum(t.nbytes for t in kept if t.dim())]))
state.destroy_process_group()
""")


def launch(script, *arguments, processes=1):
    """Run a script on so many processes; the last line that they print."""
    command = [sys.executable, script, *arguments]
    if processes > 1:
        start = ["torch.distributed.run", "--standalone", "--nproc_per_node"]
        command[1:1] = ["-m", *start, str(processes)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip().splitlines()[-1]


# %% [markdown]
# `torch.distributed.run`, also called `torchrun`, starts as many copies of the script as you ask
# for. (`accelerate launch --cpu` does not: [trap
# 5](05b_trl_names_and_traps.py#seven-traps-each-with-its-number).) Here the script runs on one
# process and then on two:

# %%
trained_numbers, full_adam = json.loads(launch("train_dpo.py", "full", "one"))
launch("train_dpo.py", "full", "two", processes=2)


def model_in(folder):
    """A model of ours with the weights that a script has saved."""
    return hugging_face.imported(hugging_face.load(folder), base)


def farthest(one, other):
    """The largest difference of a weight."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max((a - b).abs().max().item() for a, b in pairs)


one, two = model_in("one"), model_in("two")
apart, moved = farthest(one, two), farthest(one, model_in("sft"))
assert apart < 1e-5
print(f"largest difference of a weight: {apart:.1e}")
print(f"as far as training moved one:   {moved:.1e}")

# %% [markdown]
# The two models are the same up to rounding, because the mean of all gradients is the mean of the
# two halves' means. This holds for DPO and for the reward model, whose losses are means over pairs.
# SFT's loss is a mean over tokens, so the library must divide by the number of tokens on all
# processes. This comparison is a good first test of any set-up with several processes. Train for a
# few steps on one process and on two, and compare the weights.
#
# GRPO and RLOO sample answers. Each process needs its own random numbers; otherwise all would write
# the same answers. So a run on two processes draws different answers from a run on one, and their
# weights cannot be compared. Here are thirty rounds of RLOO, with two seeds on one process, and
# with the first seed on two:

# %%
Path("train_rloo.py").write_text("""\
import json
import sys
from functools import partial

from accelerate import PartialState

state = PartialState(cpu=True)

import torch
from datasets import Dataset
from trl import RLOOConfig, RLOOTrainer

from rlhf_explained import hugging_face
from rlhf_explained.pipeline import RunConfig, run
from rlhf_explained.rollout import score

torch.set_num_threads(1)
seed, folder = sys.argv[1:]
judge = partial(score, run(RunConfig(seed=0)).policy("reward_model"))
trainer = RLOOTrainer(
    hugging_face.load("sft"),
    reward_funcs=hugging_face.reward_function(judge, unfinished_score=-6.0),
    args=RLOOConfig(
        output_dir="log", use_cpu=True, bf16=False,
        activation_checkpointing=False, report_to="none",
        save_strategy="no", disable_tqdm=True, seed=int(seed),
        max_steps=30,
        per_device_train_batch_size=128 // state.num_processes,
        num_generations=8,
        max_completion_length=34,
        beta=0.5,
        learning_rate=8e-4,
        shuffle_dataset=False,
    ),
    train_dataset=Dataset.from_list(json.load(open("prompts.json"))),
    processing_class=hugging_face.fast_tokenizer(),
)
hugging_face.count_positions(trainer.ref_model)
trainer.train()
if state.is_main_process:
    hugging_face.save(trainer.model, folder)
    print("saved")
state.destroy_process_group()
""")


def exam(policy):
    """A policy's answers to the held-out questions, and their marks."""
    answers = lesson.examine(policy, sft, judge)
    return [answer.response for answer in answers], result(answers)


lines, first = [], []
for processes, seed in ((1, 0), (1, 1), (2, 0)):
    name = f"rloo_{processes}_{seed}"
    launch("train_rloo.py", str(seed), name, processes=processes)
    answers, marks = exam(model_in(name))
    first = first or answers
    same = sum(a == b for a, b in zip(answers, first, strict=True)) / len(first)
    shown = (f"{marks[what]:.3f}" for what in ("gold", "proxy", "kl"))
    lines.append((processes, seed, *shown, f"{same:.0%}"))
table(("processes", "seed", "gold", "proxy", "KL", "same answers"), *lines)

# %% [markdown]
# The last column shows the share of evaluation answers that are the same as in the first row. In
# these three runs, a second process changed slightly more answers than a second seed did. To
# compare two GRPO or RLOO set-ups, you need several seeds for each.
#
# ## Adapters in place of weights
#
# [LoRA](../reference/glossary.md#lora) ([Hu et al. 2021](../reference/bibliography.md#hue2021))
# leaves the weights of a model as they are. To a matrix $W$ it adds the product of two thin
# matrices,
#
# $$W + \frac{\alpha}{r}\, B A ,$$
#
# where $A$ has $r$ rows, $B$ has $r$ columns, and only these two are trained. $r$ is called the
# rank, and α scales the product. $B$ starts at zero, so training starts from the original model.
# DPO then needs no separate reference, because the reference is the same model with its adapters
# switched off.
#
# In the script above LoRA needs one argument, `peft_config`. The learning rate is ten times as
# large as without LoRA. Schulman and Thinking Machines Lab
# ([2025](https://thinkingmachines.ai/blog/lora/)) found this factor best for many models. Here are
# the results of DPO on the same pairs, with all weights and with adapters:

# %%
adapter_numbers, lora_adam = json.loads(launch("train_dpo.py", "lora", "adapted"))
lines = []
for name, policy, numbers, adam in (
    ("nothing: SFT", sft, 0, 0),
    ("all weights", one, trained_numbers, full_adam),
    ("adapters, r = 8", model_in("adapted"), adapter_numbers, lora_adam),
):
    _, marks = exam(policy)
    shown = (f"{marks[what]:z.3f}" for what in ("helpful", "gold", "kl"))
    lines.append((name, f"{numbers:,}", f"{adam:,}", *shown))
table(("trained", "numbers", "Adam's bytes", "helpful", "gold", "KL"), *lines)

# %% [markdown]
# LoRA trains an eighth as many numbers here, and Adam keeps two moments for these alone. The
# results do not show which method is better, because each was trained once, with an untuned
# learning rate. They show that training far fewer numbers can be enough. The whole model must still
# be in memory, so LoRA saves little here. The next section computes how much it saves for a large
# model.
#
# ## How much memory
#
# Four things take up memory during training.
#
# - **Weights, gradients and Adam.** A weight, its gradient and Adam's two moments are four numbers
#   of 4 bytes, so training a model of $N$ parameters takes $16 N$ bytes. Mixed precision also takes
#   $16 N$ bytes: its weights and gradients are stored in 16 bits, and Adam's moments and a copy of
#   the weights in 32 bits ([Rajbhandari et al.
#   2020](../reference/bibliography.md#rajbhandari2020)). Moments with fewer bits need less memory,
#   and so does training without the copy.
# - **Models that do not learn**, such as the reference and the reward model. They have only
#   weights, which take $2 N$ bytes in 16 bits.
# - **Activations.** A layer keeps the values that it needs again for its gradients. For each token,
#   these are the inputs to the norms, the matrices and attention (Korthikanti et al.
#   [2022](https://arxiv.org/abs/2205.05198)). With *activation checkpointing* a layer keeps only
#   its own input and computes the rest a second time, so only one layer at a time holds all its
#   activations.
# - **The [KV cache](../reference/glossary.md#kv-cache).** While a model writes answers, it keeps a
#   key and a value for each token in each layer.
#
# The last two depend on the shape of the model, so we write their formulas as code. In many large
# models, several heads share their keys and values, and the perceptrons have a third matrix, called
# a gate.


# %%
@dataclass(frozen=True)
class Shape:
    layers: int
    width: int
    heads: int
    kv_heads: int  # heads with keys and values of their own
    hidden: int  # width inside the perceptron
    matrices: int  # of the perceptron

    @property
    def kv_width(self):
        return self.width * self.kv_heads / self.heads

    def cache(self):
        """Numbers in the KV cache for each token."""
        return self.layers * 2 * self.kv_width

    def activations(self, *, checkpoints=False):
        """Numbers kept for each token."""
        attention = 4 * self.width + 2 * self.kv_width  # norm, its output, query, out
        perceptron = 2 * self.width + 2 * (self.matrices - 1) * self.hidden
        a_layer = self.width if checkpoints else attention + perceptron
        return self.layers * a_layer + self.width  # and the input of the last norm

    def adapters(self, rank, *, fused=False):
        """Numbers of LoRA on every matrix; fused: queries, keys, values in one."""
        out = [self.width, self.kv_width, self.kv_width, self.width]
        out = [sum(out[:3]), self.width] if fused else out
        attention = sum(self.width + wide for wide in out)
        perceptron = self.matrices * (self.width + self.hidden)
        return self.layers * rank * (attention + perceptron)


# %% [markdown]
# Are the formulas right? We train our model for one step and count the bytes that are allocated.
# All numbers are 32-bit floats.

# %%
ours = lesson.shape
student = copy.deepcopy(sft).requires_grad_()
batch = learned.chosen.rows(torch.arange(64))
optimizer = torch.optim.AdamW(student.parameters())
logits = response_logits(student, batch)
formulas.sft_loss(logits, batch.responses, batch.response_mask).backward()
optimizer.step()
learning = [weight for weight in student.parameters() if weight.grad is not None]
moments = [kept for state in optimizer.state.values() for kept in state.values()]
held = [learning, [weight.grad for weight in learning], moments]


def bytes_of(tensors):
    """The memory that tensors really have, each storage once."""
    stores = {t.untyped_storage().data_ptr(): t.untyped_storage() for t in tensors}
    return sum(store.nbytes() for store in stores.values())


def kept_for_gradients(model, tokens):
    """The memory of all that a forward pass keeps for the backward pass."""
    kept, own = [], {weight.data_ptr() for weight in model.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor
    ):
        model.hidden(tokens)
    return bytes_of(t for t in kept if t.untyped_storage().data_ptr() not in own)


heads, inside = ours.heads, 4 * ours.width
like_ours = Shape(ours.layers, ours.width, heads, heads, hidden=inside, matrices=2)
numbers, tokens = sum(weight.numel() for weight in learning), batch.tokens.numel()
cache = [kept for pair in sft.empty_caches(*batch.tokens.shape) for kept in pair]
in_full = kept_for_gradients(student, batch.tokens)
for block in student.blocks:
    block.forward = partial(checkpoint, block.forward, use_reentrant=False)
with_checkpoints = kept_for_gradients(student, batch.tokens)
MEASURED = [
    ("weights, gradients, Adam", 16 * numbers, sum(map(bytes_of, held))),
    ("KV cache", 4 * tokens * like_ours.cache(), bytes_of(cache)),
    ("activations", 4 * tokens * like_ours.activations(), in_full),
    ("with checkpointing", 4 * tokens * like_ours.activations(checkpoints=True),
     with_checkpoints),
]  # fmt: skip
lines = []
for name, expected, found in MEASURED:
    assert abs(found / expected - 1) < 0.05, (name, expected, found)
    ratio = f"{found / expected:.3f}"
    lines.append((name, f"{expected:,.0f}", f"{found:,}", ratio))
assert like_ours.adapters(8, fused=True) == adapter_numbers  # as GPT-2 has them
table(("bytes", "by the formula", "allocated", "ratio"), *lines)
print(f"{numbers:,} parameters; {len(batch.tokens)} answers, {tokens:,} tokens")

# %% [markdown]
# The formula for activations leaves out small parts, such as the mean and the spread that each
# normalisation keeps. The formula for adapters gives exactly the number of weights that the script
# trained.
#
# Now we apply the formulas to Llama 3.2 with 1 billion parameters and Llama 3.1 with 8 billion.
# Their shapes are in the code of torchtune ([1
# B](https://github.com/pytorch/torchtune/blob/main/torchtune/models/llama3_2/_model_builders.py),
# [8
# B](https://github.com/pytorch/torchtune/blob/main/torchtune/models/llama3_1/_model_builders.py)).
# All numbers are in gigabytes of $10^9$ bytes, and nothing is split across cards. PPO trains a
# policy and a critic and also holds a reference and a reward model, all of the same size. If a
# program such as vLLM writes the answers, it holds another copy of the policy.

# %%
LLAMAS = {  # shape, vocabulary, and how often the embedding is stored
    "1 B": (Shape(16, 2048, 32, 8, hidden=8192, matrices=3), 128_256, 1),
    "8 B": (Shape(32, 4096, 32, 8, hidden=14_336, matrices=3), 128_256, 2),
}


def parameters(shape, vocabulary, embeddings):
    """Weights of a Llama: matrices, the norms' scales, embeddings."""
    attention = 2 * shape.width * (shape.width + shape.kv_width)
    perceptron = shape.matrices * shape.width * shape.hidden
    in_layers = shape.layers * (attention + perceptron + 2 * shape.width)
    return in_layers + shape.width * (1 + vocabulary * embeddings)


def needs(shape, vocabulary, embeddings):
    """Bytes, by what they are for."""
    n = parameters(shape, vocabulary, embeddings)
    written, read = 64 * 1024, 8 * 1024  # tokens
    return {
        "parameters, in billions": n,
        "PPO: two learn, two do not": 2 * 16 * n + 2 * 2 * n,
        "GRPO or RLOO: one learns, two do not": 16 * n + 2 * 2 * n,
        "DPO: one learns, one does not": 16 * n + 2 * n,
        "GRPO, judged by a program, without KL": 16 * n,
        "DPO by LoRA, r = 16": 2 * n + 16 * shape.adapters(16),
        "KV cache of 64 answers of 1,024 tokens": 2 * written * shape.cache(),
        "activations of 8 rows of 1,024 tokens": 2 * read * shape.activations(),
        "the same with checkpointing": 2 * read * shape.activations(checkpoints=True),
        "logits of these rows, in 32 bits": 4 * read * vocabulary,
    }


columns = [needs(*llama) for llama in LLAMAS.values()]
table(
    ("gigabytes", *LLAMAS),
    *((name, *(f"{of[name] / 1e9:,.1f}" for of in columns)) for name in columns[0]),
)

# %% [markdown]
# Suppose that your card has 80 GB. With 1 billion parameters, all methods fit. With 8 billion,
# training all weights at 16 bytes each does not fit, even without any other model. It needs several
# cards that share these bytes (below), or fewer bytes per parameter. DPO with LoRA fits on one
# card, with ample room left for activations and the cache. The logits explain why libraries compute
# the loss in pieces. With a vocabulary of this size, the logits take more memory than all the
# activations that checkpointing keeps.
#
# ## What other libraries take over
#
# - **vLLM** writes the answers. It keeps the KV cache in small blocks, like an operating system's
#   pages, so that more answers fit at once ([Kwon et al.
#   2023](../reference/bibliography.md#kwon2023)). TRL's GRPO and RLOO use it with `use_vllm=True`.
# - **FSDP**, a part of PyTorch, divides weights, gradients and Adam's moments among the cards. Each
#   card holds its share and collects a layer's weights when needed (Zhao et al.
#   [2023](https://arxiv.org/abs/2304.11277)).
# - **DeepSpeed** partitions the same tensors with ZeRO. Stage 1 divides the moments, stage 2 also
#   the gradients, and stage 3 also the weights ([Rajbhandari et al.
#   2020](../reference/bibliography.md#rajbhandari2020)).
# - **OpenRLHF** places PPO's models on different cards with Ray, trains them with DeepSpeed and
#   lets vLLM write the answers (J. Hu et al. [2024](https://arxiv.org/abs/2405.11143)).
# - **verl** lets one program control all processes. It stores the policy's weights in one layout
#   for training and another for writing (Sheng et al. [2024](https://arxiv.org/abs/2409.19256)).
#
# ## What changes with size
#
# Larger models are trained with lower learning rates and larger batches, and writing takes most of
# the time. The table compares our settings with the published commands of [Tülu
# 3](../reference/bibliography.md#lambert2024), which trained models of 8 and 70 billion parameters
# in the same way ([commands](https://github.com/allenai/open-instruct/blob/main/docs/tulu3.md)).
# Its last stage is PPO with verifiable rewards. We compare it with our RLOO.

# %%
imitation, pairwise, groups = lesson.imitation, dpo.DPOConfig(), grpo.GRPOConfig()
TULU = {  # learning rates, batches and betas of 8 B and 70 B
    "SFT, learning rate": (imitation.learning_rate, 5e-6, 2e-6),
    "SFT, batch": (imitation.batch, 128, 128),
    "DPO, learning rate": (pairwise.learning_rate, 5e-7, 2e-7),
    "DPO, batch": (pairwise.batch, 128, 128),
    "DPO, β": (pairwise.beta, 5, 5),
    "RL, learning rate": (groups.learning_rate, 3e-7, 1e-7),
    "RL, batch of answers": (groups.prompts * groups.group_size, 7 * 32, 40 * 16),
    "RL, β": (groups.kl_coef, 0.05, 0.07),
}
rows = [(name, *(f"{number:g}" for number in of)) for name, of in TULU.items()]
table(("", "our student", "8 B", "70 B"), *rows)

# %% [markdown]
# The values of β in different papers cannot be compared directly. β is in units of reward per nat,
# and rewards have different scales. InstructGPT used 0.02 ([Ouyang et al.
# 2022](../reference/bibliography.md#ouyang2022)). Tülu 3 also divides DPO's log-probabilities by
# the length of the answer. For an answer of 50 tokens its β of 5 is therefore 5/50 = 0.1 per nat,
# the β of the [DPO paper](../reference/bibliography.md#rafailov2023).
#
# How much of a round is spent on writing? An answer is written token by token, but read all at once
# when the policy learns from it. Here are the times for our model, with one thread:

# %%
prompts = lesson.tokens(asked[:128])
luck = torch.Generator().manual_seed(0)
seconds = {"writing": [], "learning": []}
for _ in range(5):
    began = time.perf_counter()
    answers = generate(sft, prompts, limit=groups.response_limit, generator=luck)
    wrote = time.perf_counter()
    policy = copy.deepcopy(sft).requires_grad_()
    logits = response_logits(policy, answers)
    formulas.sft_loss(logits, answers.responses, answers.response_mask).backward()
    seconds["writing"].append(wrote - began)
    seconds["learning"].append(time.perf_counter() - wrote)
writing, learning = (min(times) for times in seconds.values())
print(f"writing {writing:.3f} s, one step of learning {learning:.3f} s")
print(f"share of writing: {writing / (writing + learning):.0%}")

# %% [markdown]
# While a model writes, it reads all its weights for each new token, but computes little with them.
# When it learns, it processes all the tokens at once. OpenRLHF's authors report that writing takes
# 80 % of the time for large models ([README](https://github.com/OpenRLHF/OpenRLHF)), and more than
# 90 % for long chains of thought (J. Hu et al. [2024](https://arxiv.org/abs/2405.11143)). So you
# save the most time by generating faster, as vLLM does.
#
# ## The studies on several machines
#
# This site's studies, such as [the comparison of methods](../guide/methods.md), consist of many
# small, independent training runs. They are started by joblib, which can spread them over a
# [Dask](https://www.dask.org/) cluster. Start the scheduler on one machine, workers with one thread
# each on every machine, and then the studies:
#
# ```console
# $ .venv/bin/dask scheduler
# $ .venv/bin/dask worker tcp://ADDRESS:8786 --nworkers -1 --nthreads 1
# $ make studies CLUSTER=tcp://ADDRESS:8786
# ```
#
# `ADDRESS` is the address of the first machine. All machines need the same version of this site.
# The command checks this before the first measurement. A test compares the results of a cluster of
# two workers with those of one process.
#
# ---
# ## Three lines to take away
#
# 1. Several processes give the same result in DPO, but different answers in RLOO and GRPO. Test a
#    new set-up with DPO.
# 2. With Adam in 32 bits, training takes 16 bytes per parameter, and a frozen model takes 2. LoRA
#    freezes most parameters, and FSDP splits these bytes among several cards.
# 3. For larger models the learning rate is lower and writing takes most of the time. So the first
#    library to add is one that generates text quickly.
#
# **Next:** [the methods side by side](../guide/methods.md), on five seeds.
