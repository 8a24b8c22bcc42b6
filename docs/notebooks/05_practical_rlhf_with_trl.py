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
#       page: trl, trl tutorial, trl library, hugging face, transformers, practical rlhf
#       one-batch-before-anything-is-trained: labels minus 100, padding token, eos token
#       a-file-of-your-own-preferences: own data, jsonl, load_dataset, custom dataset
#       where-is-ppo: trl ppo removed, no ppo
# ---

# %% tags=["install", "skip-execution"]
# %pip install --quiet rlhf_explained.whl "trl>=1.16" peft

# %% [markdown]
# # Practical RLHF with TRL
#
# [TRL](../reference/bibliography.md#vonwerra2026) is Hugging Face's library for training language
# models from feedback. In this notebook TRL trains our model: SFT, a reward model, DPO, GRPO and
# RLOO. The other pages train the same model, so TRL's results can be compared with ours.
#
# ## What you'll learn
#
# - What a batch looks like inside TRL, and which of its tokens count in the loss
# - How to run all five trainers, offline, on one processor
# - That TRL and this site train in the same way, up to rounding, if they get the same rows and
#   random numbers
# - Why TRL no longer has PPO
#
# **Prerequisites:** [the three stages as code](01_what_is_rlhf.py), and
# [the methods side by side](../guide/methods.md).
#
# **Time:** about 25 minutes to read. To run it yourself, install TRL with `pip install trl peft`,
# or type `make trl` in a checkout of this site. This command installs more than one gigabyte and
# runs the notebook, which takes several minutes.

# %%
import json
import os
import tempfile
import warnings
from functools import partial
from importlib.metadata import version
from pathlib import Path
from unittest.mock import patch

os.environ["HF_HUB_OFFLINE"] = "1"  # all that is needed is here
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
# TRL warns of a name that transformers has changed
warnings.filterwarnings("ignore", category=FutureWarning)

import datasets
import torch
import transformers
from datasets import Dataset
from IPython.display import Markdown, display
from trl import (
    DPOConfig,
    DPOTrainer,
    GRPOConfig,
    GRPOTrainer,
    RewardConfig,
    RewardTrainer,
    RLOOConfig,
    RLOOTrainer,
    SFTConfig,
    SFTTrainer,
)

from rlhf_explained import hugging_face, preferences
from rlhf_explained.pipeline import RunConfig, run
from rlhf_explained.rollout import score
from rlhf_explained.stages import dpo, grpo, reward_model
from rlhf_explained.stages.evaluation import result
from rlhf_explained.training import Lesson
from rlhf_explained.world.corpus import draw_questions
from rlhf_explained.world.tokenizer import EOS, PAD, world_tokenizer

torch.set_num_threads(1)
datasets.disable_progress_bars()
transformers.utils.logging.disable_progress_bar()

trained_before, lesson = run(RunConfig(seed=0)), Lesson(0)
base, sft, judge = map(trained_before.policy, ("base", "sft", "reward_model"))
words, work = world_tokenizer(), Path(tempfile.mkdtemp())


def folder(name):
    """Where a model is written, for TRL to read."""
    return str(work / name)


def table(headings, *rows):
    """Show rows as a table."""
    lines = [headings, ["---"] * len(headings), *rows]
    cells = [[str(cell).replace("|", "&#124;") for cell in line] for line in lines]
    display(Markdown("\n".join(f"| {' | '.join(line)} |" for line in cells)))


for name in ("torch", "trl", "transformers", "datasets", "accelerate"):
    print(name, version(name))

# %% [markdown]
# ## One batch, before anything is trained
#
# Many mistakes in SFT are mistakes in the *mask*, which marks the tokens that count in the loss. So
# look at one batch first. A small module, [`hugging_face`](../reference/api/hugging_face.md),
# converts our model and vocabulary; the next section explains it. The rows have two text fields,
# `prompt` and `completion`.
#
# The function `settings` sets the options that all trainers share. It overrides TRL's defaults,
# which are made for graphics cards and for models ten thousand times as large.

# %%
hugging_face.save(hugging_face.exported(base), folder("base"))
tokenizer = hugging_face.fast_tokenizer()


def settings(kind, **own):
    shared = {
        "output_dir": folder("log"), "use_cpu": True, "bf16": False,
        "activation_checkpointing": False, "report_to": "none",
        "save_strategy": "no", "disable_tqdm": True, "logging_steps": 10,
    }  # fmt: skip
    return kind(**shared | own)


def in_order(rows, order):
    return [rows[row] for row in order]


rows = hugging_face.demonstration_rows(lesson.shown)
hugging_face.check_words(rows)
print(rows[0])

# Our stage draws some of the demonstrations anew at each step; these are the ones it drew.
imitation = lesson.imitation
drawn = [
    torch.randperm(len(rows), generator=lesson.imitating)[: imitation.batch]
    for _ in range(imitation.steps)
]
model = hugging_face.load(folder("base"))
rate = imitation.learning_rate
optimizer = torch.optim.AdamW(model.parameters(), rate, fused=True)
sft_trainer = SFTTrainer(
    model,
    args=settings(
        SFTConfig,
        max_steps=imitation.steps,
        per_device_train_batch_size=imitation.batch,
        lr_scheduler_type="constant",
        train_sampling_strategy="sequential",  # the rows as they come
    ),
    train_dataset=Dataset.from_list(in_order(rows, torch.cat(drawn).tolist())),
    processing_class=tokenizer,
    optimizers=(optimizer, None),
)
batch = next(iter(sft_trainer.get_train_dataloader()))


def part(token, counts):
    """P: prompt. C: completion. E: the end token. A dot: padding."""
    return {PAD: "·", EOS: "E"}.get(token, "C" if counts else "P")


for tokens, labels in zip(batch["input_ids"][:4], batch["labels"][:4], strict=True):
    marks = zip(tokens.tolist(), (labels != -100).tolist(), strict=True)
    print("".join(part(token, counts) for token, counts in marks))

# %% [markdown]
# Each line is one row of the batch: the prompt, the completion, the end token, and padding on the
# right. Tokens that the loss ignores have the label −100. Here is the shortest row, word by word:

# %%
shortest = batch["attention_mask"].sum(1).argmin()
line = batch["input_ids"][shortest].tolist(), batch["labels"][shortest].tolist()
for token, label in zip(*line, strict=True):
    if token != PAD:
        print(f"{words.words[token]:12}", "counts" if label != -100 else "-")

# %% [markdown]
# Check three things in your own data: the prompt does not count, the end token does, and the
# padding does not. If the end token did not count, the model would not learn to stop. TRL's SFT
# trainer masks padding by position, so the end token counts even if it is also the padding token.
# The language-model collator in `transformers` masks every padding token, and with it such an end
# token. TRL adds the end token only to plain text; in conversations the chat template must add it.

# %%
tokens, counts = batch["input_ids"], batch["labels"] != -100
ours = lesson.packed([lesson.shown[row] for row in drawn[0].tolist()])
assert counts.sum() == ours.response_mask.sum()
assert counts[tokens == EOS].all()
assert not counts[tokens == PAD].any()
assert tokenizer.pad_token_id != tokenizer.eos_token_id
shares = {
    "prompt": (tokens != PAD) & ~counts,
    "completion": counts & (tokens != EOS),
    "end": tokens == EOS,
    "padding": tokens == PAD,
}
for name, which in shares.items():
    print(f"{name:11}{which.sum():5} tokens, {counts[which].sum():4} in the loss")

# %% [markdown]
# The batches for GRPO and RLOO contain only prompts, padded on the *left*, so that all answers
# begin in the same column:

# %%
prompts = [row["prompt"] for row in rows[:4]]
for tokens in tokenizer(prompts, padding=True)["input_ids"]:
    print("".join(part(token, False) for token in tokens))

# %% [markdown]
# ## Our student as a GPT-2
#
# GPT-2 has the architecture of our model, except for two extra biases in attention, which stay at
# zero. All weights are copied, and linear layers are transposed, because GPT-2 stores them that
# way. The two models then give exactly the same logits:

# %%
hugging_face.save(hugging_face.exported(sft), folder("sft"))
hugging_face.save(hugging_face.exported(judge, judges=True), folder("judge"))
learned, heldout = lesson.compare(sft)  # the labeler's comparisons of the run
rows_of_pairs = hugging_face.preference_rows(learned)
hugging_face.check_words(rows_of_pairs)

some = learned.chosen.rows(torch.arange(64))
given = {"input_ids": some.tokens, "attention_mask": some.attended.long()}
with torch.no_grad():
    theirs = hugging_face.load(folder("sft"))(**given).logits
    apart = (theirs - sft(some.tokens, some.attended))[some.attended].abs().max()
    assert apart == 0
    print(f"logits: {apart} apart")
    theirs = hugging_face.load(folder("judge"), judges=True)(**given).logits[:, 0]
    shift = judge.scalar_head.bias.item()  # GPT-2's has none; no comparison sees it
    apart = (theirs + shift - score(judge, some)).abs().max()
    assert apart < 1e-5
    print(f"scores: {apart:.1g} apart, when our bias of {shift:.3f} is added")
texts = {text for row in rows + rows_of_pairs for text in row.values()}
other = sum(tokenizer(text)["input_ids"] != words.encode(text) for text in texts)
assert not other
print(f"texts that become other tokens: {other} of {len(texts):,}")

# %% [markdown]
# The function `imported` converts TRL's model back into one of ours, so that it can be
# [evaluated](../guide/ppo.md) like any other.
#
# ## Learn from demonstrations
#
# The first section set up the trainer. Its result can be compared with the run's own SFT policy,
# which learned from the same demonstrations in the same order. We passed in an optimiser because
# `transformers` applies no weight decay to biases and layer norms, but our stage applies it to all
# weights. Normally, `learning_rate` and `weight_decay` go into the settings.


# %%
def trained(trainer):
    """Let TRL train; a model of ours with the weights that came out."""
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    return hugging_face.imported(trainer.model, base)


def far(one, other):
    """How far apart all weights are, as points; the bias that no loss sees aside."""
    weights, others = one.state_dict(), other.state_dict()
    shared = [name for name in weights if name != "scalar_head.bias"]
    steps = [(weights[name] - others[name]).flatten() for name in shared]
    return torch.cat(steps).norm().item()


apart = {}  # by training: TRL's result from ours, and ours from where it began
sft_by_trl = trained(sft_trainer)
apart["SFT"] = far(sft_by_trl, sft), far(sft, base)
first, *_, last = (row for row in sft_trainer.state.log_history if "loss" in row)
print(f"TRL's loss: {first['loss']:.3f} at first, {last['loss']:.3f} at the end")

# %% [markdown]
# All later trainers start from the run's own SFT policy and comparisons, so that each stage can be
# compared on its own.
#
# ## Learn to judge
#
# `RewardTrainer` reads rows with `prompt`, `chosen` and `rejected`. TRL has no setting for our
# schedule ([one cycle](../reference/api/stages/reward_model.md), with a head that learns faster
# than the rest), so we pass in the optimiser and the schedule.

# %%
comparison, randomness = lesson.comparison, lesson.generator("reward_model")
groups = reward_model.groups_of_similar_length(learned, comparison.batch)
order = []
for _ in range(comparison.epochs):
    for group in torch.randperm(len(groups), generator=randomness).tolist():
        order += groups[group].tolist()

model = hugging_face.load(folder("sft"), judges=True)
body = [part for part in model.transformer.parameters() if part.requires_grad]
rates = [comparison.learning_rate, comparison.learning_rate * comparison.head_speed]
optimizer = torch.optim.AdamW(
    [{"params": body}, {"params": model.score.parameters()}],
    weight_decay=comparison.weight_decay,
    fused=True,
)
steps = comparison.steps(len(learned))
one_cycle = {"total_steps": steps, "pct_start": 0.1}
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, **one_cycle)
trainer = RewardTrainer(
    model,
    args=settings(
        RewardConfig,
        max_steps=steps,
        per_device_train_batch_size=comparison.batch,
        train_sampling_strategy="sequential",
    ),
    train_dataset=Dataset.from_list(in_order(rows_of_pairs, order)),
    processing_class=tokenizer,
    optimizers=(optimizer, schedule),
)
judge_by_trl = trained(trainer)
apart["reward model"] = far(judge_by_trl, judge), far(judge, sft)
for name, one in (("TRL's", judge_by_trl), ("ours", judge)):
    right = reward_model.accuracy(one, heldout)
    print(f"{name:5} accuracy on held-out pairs {right:.4f}")

# %% [markdown]
# ## Learn from comparisons alone
#
# DPO uses the same rows. TRL itself loads the reference from the model's folder.

# %%
config, randomness = dpo.DPOConfig(), lesson.generator("dpo")
order = []
for _ in range(config.steps):
    drawn = torch.randint(len(learned), (config.batch,), generator=randomness)
    order += drawn.tolist()
trainer = DPOTrainer(
    hugging_face.load(folder("sft")),
    args=settings(
        DPOConfig,
        max_steps=config.steps,
        per_device_train_batch_size=config.batch,
        beta=config.beta,
        learning_rate=config.learning_rate,
        lr_scheduler_type="polynomial",  # a straight line, down to a tenth
        lr_scheduler_kwargs={"power": 1.0, "lr_end": config.learning_rate / 10},
        train_sampling_strategy="sequential",
    ),
    train_dataset=Dataset.from_list(in_order(rows_of_pairs, order)),
    processing_class=tokenizer,
)
by_trl = {"DPO": trained(trainer)}

# %%
luck = lesson.generator("dpo")
done = dpo.train_dpo(sft, learned.chosen, learned.rejected, config, generator=luck)
by_us = {"DPO": done.policy}
apart["DPO"] = far(by_trl["DPO"], by_us["DPO"]), far(by_us["DPO"], sft)

# %% [markdown]
# ## A file of your own preferences
#
# Suppose that you like short answers. Each line of this file is a comparison in which the shorter
# answer is chosen. `python -m rlhf_explained train --preferences FILE` [reads this file as it
# is](../guide/reward-model.md#how-do-i-train-on-my-own-preferences). For TRL, we add a space before
# each answer:

# %%
mine = work / "mine.jsonl"
lines = []
for row in rows_of_pairs[:1000]:
    sides = [row[side].split() for side in ("chosen", "rejected")]
    short, long = sorted(sides, key=len)
    if len(short) < len(long):
        texts = {"chosen": " ".join(short), "rejected": " ".join(long)}
        lines.append(json.dumps({"prompt": row["prompt"], **texts}) + "\n")
mine.write_text("".join(lines))
own = [
    {
        "prompt": row.prompt,
        "chosen": hugging_face.completion(row.chosen),
        "rejected": hugging_face.completion(row.rejected),
    }
    for row in preferences.read(mine)
]
short_trainer = DPOTrainer(
    hugging_face.load(folder("sft")),
    args=settings(
        DPOConfig,
        max_steps=50,
        per_device_train_batch_size=config.batch,
        beta=config.beta,
        learning_rate=config.learning_rate,
    ),
    train_dataset=Dataset.from_list(own),
    processing_class=tokenizer,
)
likes_short = trained(short_trainer)
for name, policy in (("SFT", sft), ("trained on the file", likes_short)):
    marks = result(lesson.examine(policy, sft, judge))
    print(f"{name:20} {marks['length']:5.1f} tokens an answer, gold {marks['gold']:5.2f}")

# %% [markdown]
# The answers became shorter, as intended. Their gold reward rose as well, probably because the
# labeler dislikes asides, which are long.
#
# Our `preferences.read` names the line and the field of any error. The reader of `datasets`, which
# TRL's command line uses, puts `None` where a field is missing, so the mistake is found later or
# not at all:

# %%
broken = work / "broken.jsonl"
broken.write_text("".join(lines[:2]) + '{"prompt": "tell me a joke .", "chosen": "tokyo ."}\n')
one = datasets.load_dataset("json", data_files=str(broken), split="train")[2]
print("datasets:", one)
try:
    preferences.read(broken)
except ValueError as refusal:
    print("ours:", str(refusal).rpartition("/")[2])

# %% [markdown]
# ## Sample, score and compare
#
# Next we train with GRPO and RLOO. Both sample answers while they train, so TRL and our code must
# share random numbers as well as rows. We set the same seed before each round. The reward is a
# *function* that TRL calls with the prompts and the sampled tokens. Our function calls the run's
# reward model.
#
# TRL's RLOO differs from ours in one way: it uses one probability ratio for a whole answer, while
# ours uses one for each token. For the comparison, our stage uses TRL's loss, `of_whole_answers`.

# %%
grpo_config = grpo.GRPOConfig(kl_coef=0.3)
rloo_config = grpo.GRPOConfig(kl_in="reward", divide_by_std=False)
asking = torch.Generator().manual_seed(0)
count = grpo_config.iterations * grpo_config.prompts
asked = [q.text for q in draw_questions(count, held_out=False, generator=asking)]


def heard(answers, ears):
    """Our reward model, while somebody listens."""
    ears.extend(words.decode(row) for row in answers.responses.tolist())
    return score(judge, answers)


def train_by_us(config, ears):
    dice, rounds = torch.Generator(), iter(range(config.iterations))

    def draw_prompts(count):
        number = next(rounds)
        dice.manual_seed(number)
        return lesson.tokens(asked[number * count : (number + 1) * count])

    luck = {"draw_prompts": draw_prompts, "generator": dice}
    return grpo.train_grpo(sft, partial(heard, ears=ears), config, **luck).policy


class SameDice(transformers.TrainerCallback):
    def on_step_begin(self, args, state, control, **_):
        torch.manual_seed(state.global_step // args.num_iterations)


def online(trainer, kind, config, ears, **own):
    """A trainer of TRL's that samples, with the settings of a config of ours."""
    model = hugging_face.load(folder("sft"))
    optimizer = torch.optim.AdamW(
        model.parameters(), config.learning_rate, weight_decay=0.0, fused=True
    )

    def falls(step):  # to a tenth, one step a round
        return 1 - 0.9 * (step // config.epochs) / config.iterations

    reward = hugging_face.reward_function(
        partial(heard, ears=ears), unfinished_score=config.unfinished_score
    )
    named = {
        "max_steps": config.iterations * config.epochs,
        "num_iterations": config.epochs,
        "per_device_train_batch_size": config.prompts * config.group_size,
        "num_generations": config.group_size,
        "max_completion_length": config.response_limit,
        "beta": config.kl_coef,
        "shuffle_dataset": False,
    }
    made = trainer(
        model,
        reward_funcs=reward,
        args=settings(kind, **named | own),
        train_dataset=Dataset.from_dict({"prompt": asked}),
        processing_class=tokenizer,
        callbacks=[SameDice()],
        optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, falls)),
    )
    if made.ref_model:  # TRL has loaded it by itself, and counts padding
        hugging_face.count_positions(made.ref_model)
    return made


ears = {"GRPO": ([], []), "RLOO": ([], [])}  # what TRL's policy said, and ours
published = {"use_bias_correction_kl": False}  # the default is another loss
trainer = online(GRPOTrainer, GRPOConfig, grpo_config, ears["GRPO"][0], **published)
by_trl["GRPO"] = trained(trainer)

# %%
by_us["GRPO"] = train_by_us(grpo_config, ears["GRPO"][1])
apart["GRPO"] = far(by_trl["GRPO"], by_us["GRPO"]), far(by_us["GRPO"], sft)

# %%
trainer = online(RLOOTrainer, RLOOConfig, rloo_config, ears["RLOO"][0])
by_trl["RLOO"] = trained(trainer)


# %%
def of_whole_answers(logprobs, old_logprobs, advantages, mask, *, clip_range):
    """What TRL's RLOO minimises: one ratio for each answer."""
    ratio = (logprobs - old_logprobs).masked_fill(~mask, 0).sum(1).exp()
    clipped = ratio.clamp(1 - clip_range, 1 + clip_range)
    better = advantages[:, 0]
    return -torch.minimum(ratio * better, clipped * better).mean()


with patch.object(grpo, "ppo_policy_loss", of_whole_answers):
    by_us["RLOO"] = train_by_us(rloo_config, ears["RLOO"][1])
apart["RLOO"] = far(by_trl["RLOO"], by_us["RLOO"]), far(by_us["RLOO"], sft)

# %% [markdown]
# ## The held-out questions
#
# All policies answer [the held-out questions](../guide/ppo.md). Gold is the gold reward, proxy is
# the reward model's score, and KL from the SFT policy is in nats per answer. The last column counts
# the answers that are the same word for word. The outputs on this page were computed earlier. If
# the site was built on a different processor, the guide's numbers differ a little
# ([why](03b_when_ppo_looks_wrong.py#same-seed-different-numbers)).


# %%
def exam(policy):
    return lesson.examine(policy, sft, judge)


by_trl = {"base": base, "SFT": sft_by_trl, **by_trl}
by_us = {"base": base, "SFT": sft, **by_us}
lines, exams = [], {}
for name, policy in by_trl.items():
    theirs = exam(policy)
    ours = theirs if name == "base" else exam(by_us[name])
    marks, ours_marks = result(theirs), result(ours)
    same = sum(a.response == b.response for a, b in zip(theirs, ours, strict=True))
    measures = ("helpful", "gold", "proxy", "kl")
    shown = [f"{marks[what]:.3f} / {ours_marks[what]:.3f}" for what in measures]
    is_start = name == "base"
    alike = "-" if is_start else f"{same:,} of {len(ours):,}"
    lines.append((name, *shown, alike))
    exams[name] = theirs, ours
    assert same > 0.95 * len(ours), name
table(("TRL / ours", "helpful", "gold", "proxy", "KL", "same answers"), *lines)

# %% [markdown]
# ## Same rows, same draws: same training
#
# We can also compare the weights. A model's weights are the coordinates of a point. The table shows
# how far TRL's point is from ours, and how far training moved ours. For GRPO and RLOO it also shows
# how many of the sampled answers were the same.

# %%
lines = []
for name, (distance, moved) in apart.items():
    theirs, ours = ears.get(name, ([], []))
    same = sum(a == b for a, b in zip(theirs, ours, strict=True))
    said = f"{same:,} of {len(ours):,}" if ours else "-"
    lines.append((name, f"{distance:.4f}", f"{moved:.2f}", said))
table(("training", "apart", "moved", "same sampled answers"), *lines)

# %% [markdown]
# The remaining difference is rounding: the two programs add the same numbers in a different order.
# This can change a sampled word if a random number falls on the border between two words. From then
# on the two policies learn from slightly different answers, and diverge.
#
# So if TRL and our code give clearly different results, they used different rows, random numbers or
# settings. Two runs of the *same* code also differ if their random numbers differ. [The next
# notebook](05b_trl_names_and_traps.py#other-draws-other-starts) measures by how much.
#
# ## Where is PPO?
#
# PPO is no longer in TRL. It was not in the stable API of version 1.0 (March 2026), and version
# 1.13 (September) removed it ([#7020](https://github.com/huggingface/trl/pull/7020)). The trainer
# had not been maintained for a year, it was the only one with its own data format, and hardly
# anyone used it. None of this is a reason against PPO itself. We build PPO step by step in [PPO for
# language models](03_ppo_for_language_models.py), and [our stage](../reference/api/stages/ppo.md)
# accepts any function that scores answers as its judge.
#
# ---
# ## Three lines to take away
#
# 1. Look at one batch and its mask before you train, and at one answer afterwards.
# 2. Given the same rows and random numbers, TRL and this site train in the same way.
# 3. Compare two implementations on the same rows and random numbers. Otherwise a difference may be
#    due to chance.
#
# **Next:** [what TRL's arguments and metrics mean](05b_trl_names_and_traps.py), and what some of
# its defaults do.
