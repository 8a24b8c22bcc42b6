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
#       page: trl arguments, trl defaults, trl settings
#       which-argument-means-what: trl config, trl hyperparameters
#       which-metric-means-what: trl metrics, trl log, frac_reward_zero_std, clipped_ratio
#       seven-traps-each-with-its-number: trl pitfalls, trl mistakes, trl beta, left padding
# ---

# %% tags=["install", "skip-execution"]
# %pip install --quiet rlhf_explained.whl "trl>=1.16" peft

# %% [markdown]
# # TRL's arguments, metrics and traps
#
# TRL has names of its own for what this site explains: arguments that you set, and metrics that it
# logs. This notebook puts each of them beside our name for it, with the formula and with both
# values on one real batch. Then come seven mistakes that are easy to make with TRL. None of them
# stops with an error message, so each is shown by a number.
#
# ## What you'll learn
#
# - Which of TRL's arguments means which of our settings, and what you get if you say nothing
# - Which formula stands behind each metric that TRL logs
# - Seven traps, among them a default without a KL penalty and a judge that never sees the end token
#
# **Prerequisites:** [Practical RLHF with TRL](05_practical_rlhf_with_trl.py), where our student is
# trained with the library. Nothing that was made there is needed here: all models are those of the
# site's own run.
#
# **Time:** about 20 minutes to read. To run it yourself, install TRL with `pip install trl peft`,
# or type `make trl` in a checkout of this site.

# %%
import copy
import os
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path
from subprocess import DEVNULL, check_output

os.environ["HF_HUB_OFFLINE"] = "1"  # all that is needed is here
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
# TRL warns of a name that transformers has changed
warnings.filterwarnings("ignore", category=FutureWarning)

import datasets
import torch
import transformers
import trl
from datasets import Dataset
from IPython.display import Markdown, display

from rlhf_explained import formulas, hugging_face
from rlhf_explained.pipeline import RunConfig, run
from rlhf_explained.rollout import response_logits, score, sequence_logprobs
from rlhf_explained.stages import dpo, grpo
from rlhf_explained.stages.evaluation import result
from rlhf_explained.training import Lesson
from rlhf_explained.world.corpus import draw_questions
from rlhf_explained.world.tokenizer import PAD, world_tokenizer

torch.set_num_threads(1)
datasets.disable_progress_bars()
transformers.utils.logging.disable_progress_bar()

trained_before, lesson = run(RunConfig(seed=0)), Lesson(0)
names = ("base", "sft", "reward_model", "ppo")
base, sft, judge, practised = map(trained_before.policy, names)
words, work = world_tokenizer(), Path(tempfile.mkdtemp())


def folder(name):
    """Where a model is written, for TRL to read."""
    return str(work / name)


def table(headings, *rows):
    """Show rows as a table."""
    lines = [headings, ["---"] * len(headings), *rows]
    cells = [[str(cell).replace("|", "&#124;") for cell in line] for line in lines]
    display(Markdown("\n".join(f"| {' | '.join(line)} |" for line in cells)))


tokenizer = hugging_face.fast_tokenizer()
for name, model in (("base", base), ("sft", sft), ("ppo", practised)):
    hugging_face.save(hugging_face.exported(model), folder(name))
hugging_face.save(hugging_face.exported(judge, judges=True), folder("judge"))
shift = judge.scalar_head.bias.item()  # GPT-2's head has none
rows = hugging_face.demonstration_rows(lesson.shown)
learned, _ = lesson.compare(sft)  # the labeler's comparisons of the run
pairs = hugging_face.preference_rows(learned)

# %% [markdown]
# The trainers below are set up in two ways, so there are two functions for it. `settings` makes
# TRL's arguments fit a processor and a tiny model. `online` makes a trainer that samples answers,
# GRPO or RLOO, with our reward model as the reward and the SFT policy as the reference.

# %%
grpo_config = grpo.GRPOConfig(kl_coef=0.3)
rloo_config = grpo.GRPOConfig(kl_in="reward", divide_by_std=False)
asking = torch.Generator().manual_seed(0)
count = grpo_config.iterations * grpo_config.prompts
asked = [q.text for q in draw_questions(count, held_out=False, generator=asking)]
published = {"use_bias_correction_kl": False}  # see the third trap
said = []  # every answer that was sampled and scored


def settings(kind, **own):
    shared = {
        "output_dir": folder("log"), "use_cpu": True, "bf16": False,
        "activation_checkpointing": False, "report_to": "none",
        "save_strategy": "no", "disable_tqdm": True, "logging_steps": 10,
    }  # fmt: skip
    return kind(**shared | own)


def heard(answers):
    """Our reward model; what it reads is written down."""
    said.extend(words.decode(row) for row in answers.responses.tolist())
    return score(judge, answers)


def online(kind, config, start, **own):
    """A trainer of TRL's that samples: GRPO or RLOO, with the settings of ours."""
    named = {
        "per_device_train_batch_size": config.prompts * config.group_size,
        "num_generations": config.group_size,
        "max_completion_length": config.response_limit,
        "beta": config.kl_coef,
        "shuffle_dataset": False,
    }
    cut_off = {"unfinished_score": config.unfinished_score}
    made = getattr(trl, f"{kind}Trainer")(
        hugging_face.load(folder(start)),
        reward_funcs=hugging_face.reward_function(heard, **cut_off),
        args=settings(getattr(trl, f"{kind}Config"), **named | own),
        train_dataset=Dataset.from_dict({"prompt": asked}),
        processing_class=tokenizer,
    )
    if made.ref_model:  # there is none without a penalty
        reference = hugging_face.load(folder("sft")).state_dict()
        made.ref_model.load_state_dict(reference)
        hugging_face.count_positions(made.ref_model)  # see the first trap
    return made


def trained(trainer):
    """Let TRL train; a model of ours with the weights that came out."""
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    return hugging_face.imported(trainer.model, base)


# %% [markdown]
# ## Which argument means what
#
# The third column is what you get if you say nothing. For `completion_only_loss` that is `None`,
# which leaves the prompt out wherever rows have a prompt and a completion, as ours do.

# %%
imitation, comparison = lesson.imitation, lesson.comparison
pairwise, groups = dpo.DPOConfig(), grpo_config
NAMES = [
    ("SFT `steps`", imitation.steps, "SFT", "max_steps"),
    ("SFT `batch`", imitation.batch, "SFT", "per_device_train_batch_size"),
    ("SFT `learning_rate`", imitation.learning_rate, "SFT", "learning_rate"),
    ("SFT, loss on `response_mask`", True, "SFT", "completion_only_loss"),
    ("reward `learning_rate`", comparison.learning_rate, "Reward", "learning_rate"),
    ("shift to mean 0", "after", "Reward", "center_rewards_coefficient"),
    ("DPO `beta`", pairwise.beta, "DPO", "beta"),
    ("DPO `learning_rate`", pairwise.learning_rate, "DPO", "learning_rate"),
    ("reference's log-probs once", True, "DPO", "precompute_ref_log_probs"),
    ("GRPO `epochs`", groups.epochs, "GRPO", "num_iterations"),
    ("GRPO `group_size`", groups.group_size, "GRPO", "num_generations"),
    ("RLOO `group_size`", rloo_config.group_size, "RLOO", "num_generations"),
    ("GRPO `kl_coef`, in the loss", groups.kl_coef, "GRPO", "beta"),
    ("RLOO `kl_coef`, in the reward", rloo_config.kl_coef, "RLOO", "beta"),
    ("`kl_in` is `loss_ratio_k3`", False, "GRPO", "use_bias_correction_kl"),
    ("GRPO `divide_by_std`", True, "GRPO", "scale_rewards"),
    ("mean over all tokens", True, "GRPO", "loss_type"),
    ("`clip_range`", groups.clip_range, "GRPO", "epsilon"),
    ("`response_limit`", groups.response_limit, "GRPO", "max_completion_length"),
    ("GRPO `learning_rate`", groups.learning_rate, "GRPO", "learning_rate"),
    ("gradients clipped at", 1.0, "GRPO", "max_grad_norm"),
]


def short(number):
    return f"{number:.3g}" if isinstance(number, float) else f"{number}"


lines = []
for name, here, method, field in NAMES:
    default = getattr(settings(getattr(trl, f"{method}Config")), field)
    argument = f"`{method}Config({field}=…)`"
    lines.append((name, short(here), short(default), argument))
table(("ours", "value here", "TRL's default", "TRL's argument"), *lines)

# %% [markdown]
# ## Which metric means what
#
# Each trainer gets one real batch here and takes no step. TRL's number is the one that it logs, and
# ours follows from the formula beside it. $m$ is the mask, $r$ a score, ρ the
# [probability ratio](../reference/glossary.md#probability-ratio). DPO, GRPO and RLOO look at the
# policy that PPO has trained in the run, and compare it with the SFT policy.


# %%
def logged(trainer):
    """TRL's log of one batch; the learning rate is 0, so nothing changes."""
    trained(trainer)
    return trainer.state.log_history[0]


still = {"max_steps": 1, "learning_rate": 0.0, "logging_steps": 1}
still |= {"lr_scheduler_type": "constant"}
rate_0 = {"train_sampling_strategy": "sequential", **still}
mean = formulas.masked_mean
book = []  # what is logged, the formula, ours, TRL's


def compare(kind, log, entries):
    """Write down TRL's logged numbers beside ours."""
    for name, formula, ours in entries:
        book.append((f"{kind} `{name}`", formula, float(ours), log[name]))


# SFT
trainer = trl.SFTTrainer(
    hugging_face.load(folder("base")),
    args=settings(trl.SFTConfig, per_device_train_batch_size=32, **rate_0),
    train_dataset=Dataset.from_list(rows[:32]),
    processing_class=tokenizer,
)
log, answers = logged(trainer), lesson.packed(lesson.shown[:32])
mask, right = answers.response_mask, answers.responses
with torch.no_grad():
    logits = response_logits(base, answers)
compare("SFT", log, [
    ("loss", "−mean$_m$ log π", formulas.sft_loss(logits, right, mask)),
    ("entropy", "mean$_m$ −Σ p log p", mean(formulas.entropy(logits), mask)),
    ("mean_token_accuracy", "share of likeliest = given",
     mean((logits.argmax(-1) == right).float(), mask)),
])  # fmt: skip

# the reward model
trainer = trl.RewardTrainer(
    hugging_face.load(folder("judge"), judges=True),
    args=settings(trl.RewardConfig, per_device_train_batch_size=64, **rate_0),
    train_dataset=Dataset.from_list(pairs[:64]),
    processing_class=tokenizer,
)
log, first = logged(trainer), torch.arange(64)
better, worse = learned.chosen.rows(first), learned.rejected.rows(first)
with torch.no_grad():
    high, low = (score(judge, side) for side in (better, worse))
compare("reward", log, [
    ("loss", "−mean log σ(r⁺ − r⁻)", formulas.bradley_terry_loss(high, low)),
    ("accuracy", "share of r⁺ > r⁻", (high > low).float().mean()),
    ("margin", "mean r⁺ − r⁻", (high - low).mean()),
    ("mean_reward", "mean r, without the bias",
     torch.cat([high, low]).mean() - shift),
])  # fmt: skip

# DPO
trainer = trl.DPOTrainer(
    hugging_face.load(folder("ppo")),
    ref_model=hugging_face.load(folder("sft")),
    args=settings(trl.DPOConfig, per_device_train_batch_size=64, beta=1, **rate_0),
    train_dataset=Dataset.from_list(pairs[:64]),
    processing_class=tokenizer,
)
log = logged(trainer)
with torch.no_grad():
    sums = [sequence_logprobs(practised, side) for side in (better, worse)]
    sums += [sequence_logprobs(sft, side) for side in (better, worse)]
gain, lost = sums[0] - sums[2], sums[1] - sums[3]
compare("DPO", log, [
    ("loss", "−mean log σ(β(g⁺ − g⁻)), g = log π − log π_ref",
     formulas.dpo_loss(*sums, beta=1.0)),
    ("rewards/chosen", "mean β g⁺", gain.mean()),
    ("rewards/rejected", "mean β g⁻", lost.mean()),
    ("rewards/margins", "mean β(g⁺ − g⁻)", (gain - lost).mean()),
    ("rewards/accuracies", "share of g⁺ > g⁻", (gain > lost).float().mean()),
    ("logps/chosen", "mean log π of the whole answer", sums[0].mean()),
])  # fmt: skip

# GRPO and RLOO
both = ("GRPO", grpo_config, published), ("RLOO", rloo_config, {})
for kind, config, more in both:
    seen = []
    trainer = online(kind, config, "ppo", **still, **more)
    ask = trainer.reward_funcs[0]

    def noting(prompts, completion_ids, seen=seen, ask=ask, **other):
        seen[:] = [hugging_face.as_sequences(prompts, completion_ids)]
        return ask(prompts, completion_ids, **other)

    trainer.reward_funcs[0] = noting
    log, (answers,) = logged(trainer), seen
    mask, ended = answers.response_mask, answers.ended
    with torch.no_grad():
        logits = response_logits(practised, answers)
        logprobs = formulas.token_logprobs(logits, answers.responses)
        logits_then = response_logits(sft, answers)
        reference = formulas.token_logprobs(logits_then, answers.responses)
        scores = torch.where(ended, score(judge, answers), config.unfinished_score)
    k1, k3 = (kl(logprobs, reference) for kl in (formulas.kl_k1, formulas.kl_k3))
    alike = scores.unflatten(0, (-1, config.group_size)).std(1) == 0
    if kind == "GRPO":
        goodness = formulas.group_advantages(scores, group_size=config.group_size)
        policy_loss = -mean(goodness[:, None].expand(mask.shape), mask)  # ρ is 1
        compare(kind, log, [
            ("loss", "−mean$_m$ ρA + β mean$_m$ k₃",
             policy_loss + config.kl_coef * mean(k3, mask)),
            ("kl", "mean$_m$ k₃, a token", mean(k3, mask)),
            ("frac_reward_zero_std", "share of groups without spread",
             alike.float().mean()),
            ("entropy", "mean$_m$ −Σ p log p",
             mean(formulas.entropy(logits), mask)),
            ("completions/mean_length", "mean tokens, `<eos>` too",
             answers.lengths.float().mean()),
            ("completions/clipped_ratio", "share without `<eos>`",
             (~ended).float().mean()),
            ("reward_std", "spread of r over the batch", scores.std()),
        ])  # fmt: skip
    else:
        compare(kind, log, [("kl", "mean$_m$ k₁, a token", mean(k1, mask))])
    compare(kind, log, [("reward", "mean r", scores.mean())])

for name, _, ours, theirs in book:
    assert abs(ours - theirs) < 1e-3, (name, ours, theirs)
table(
    ("TRL logs", "formula", "ours", "TRL's"),
    *((*named, f"{ours:.4f}", f"{theirs:.4f}") for *named, ours, theirs in book),
)

# %% [markdown]
# Two of these names say less than they seem to. `kl` is a mean over *tokens*, in GRPO of $k_3$
# and in RLOO of $k_1$. The KL on our pages is a sum over the answer, so it is about as many times
# larger as an answer has tokens. And GRPO's `loss` tells nothing about progress. The advantages of
# each group sum to 0, so all that is left of the first term is that long answers have more tokens
# than short ones; the rest is the price of the KL, which rises while the policy learns.
#
# ## Seven traps, each with its number
#
# **1. Prompts are padded on the left, and nobody tells GPT-2.** GRPO and RLOO pass no positions to
# the model. One with learned positions, such as GPT-2, then counts the padding, and reads every
# word at a place where it does not stand. Models with rotary positions do not mind
# ([#6800](https://github.com/huggingface/trl/issues/6800)).
# `hugging_face.count_positions` is the cure, and the reference needs it too.

# %%
bare = transformers.AutoModelForCausalLM.from_pretrained(folder("sft"))
given = {"input_ids": better.tokens, "attention_mask": better.attended.long()}
padded = better.attended[:, 0].logical_not()
with torch.no_grad():
    right = sft(better.tokens, better.attended)
    wrong = bare(**given).logits
    cured = hugging_face.load(folder("sft"))(**given).logits
for name, logits in (("without positions", wrong), ("with them", cured)):
    off = (logits - right).abs()[padded][better.attended[padded]]
    print(f"{name}: off by {off.max():.2f} at most, {off.mean():.2f} in the mean")
assert (cured - right)[better.attended].abs().max() == 0

# %% [markdown]
# **2. GRPO's `beta` is 0 by default.** Without a price on the KL the policy is free to please the
# reward model in any way it finds. Here is one training with a price and one with the default. Gold
# is what the labeler truly wants, proxy is the reward model's score, both on held-out questions:

# %%
default, slope = trl.GRPOConfig.beta, grpo_config.learning_rate
falling = {
    "max_steps": grpo_config.iterations,
    "learning_rate": slope,
    "lr_scheduler_type": "polynomial",  # a straight line, down to a tenth
    "lr_scheduler_kwargs": {"power": 1.0, "lr_end": slope / 10},
}
sampled_before = len(said)
for beta in (grpo_config.kl_coef, default):
    trainer = online("GRPO", grpo_config, "sft", beta=beta, **falling, **published)
    marks = result(lesson.examine(trained(trainer), sft, judge))
    shown = (f"{name} {marks[name]:.3f} " for name in ("gold", "proxy", "kl"))
    print(f"beta {beta}:", *shown)
sampled = said[sampled_before:]

# %% [markdown]
# **3. The default KL in GRPO's loss is not the published one.** With
# `use_bias_correction_kl=True` TRL multiplies $k_3$ by the probability ratio. Before the first step
# on a batch the ratio is 1, so the *loss* is the same number; its *gradient* is another one, and by
# our measurements [the better one](04_dpo.py#one-frontier-for-all-methods). Where TRL is compared
# with our stage it was switched off, because our `kl_in="loss"` is the published loss. Other
# switches change the gradient as well. Below is one batch, with the gradient of our stage beside
# TRL's: the cosine of the angle between them, and by how much TRL's is longer.

# %%
trainer = online("GRPO", grpo_config, "ppo", **still)
torch.manual_seed(0)
questions = [text for text in asked[:16] for _ in range(grpo_config.group_size)]
prompts = [{"prompt": text} for text in questions]
inputs = trainer._generate_and_score_completions(prompts)
completions = zip(inputs["completion_ids"], inputs["completion_mask"], strict=True)
answers = hugging_face.as_sequences(
    questions, [ids[mask.bool()].tolist() for ids, mask in completions]
)
mask = answers.response_mask


def flat(model):
    """A model's gradients in one row, in our order."""
    for weight in model.parameters():
        weight.data.copy_(0 * weight if weight.grad is None else weight.grad)
    named = hugging_face.imported(model, base).named_parameters()
    return torch.cat([w.flatten() for name, w in named if "head" not in name])


def of_trl(**own):
    """Loss and gradient of one of TRL's losses on the batch."""
    trainer = online("GRPO", grpo_config, "ppo", **still, **own)
    trainer.current_gradient_accumulation_steps = 1
    loss = trainer._compute_loss(trainer.model, inputs)
    loss.backward()
    return loss.item(), flat(trainer.model)


def of_ours(config):
    """Loss and gradient of our stage on the batch."""
    policy = copy.deepcopy(practised).requires_grad_()
    logits = response_logits(policy, answers)
    logprobs = formulas.token_logprobs(logits, answers.responses)
    with torch.no_grad():
        logits = response_logits(sft, answers)
        reference = formulas.token_logprobs(logits, answers.responses)
        scores = score(judge, answers)
    rollout = grpo.Rollout(answers, logprobs.detach(), reference, scores)
    better = grpo.advantages(rollout, config)
    now_and_then = (logprobs, logprobs.detach())
    loss = formulas.ppo_policy_loss(*now_and_then, better, mask, clip_range=0.2)
    price = grpo.PENALTIES[config.kl_in](*now_and_then, reference)
    loss = loss + config.kl_coef * mean(price, mask)
    loss.backward()
    named = policy.named_parameters()
    slopes = [w.grad.flatten() for name, w in named if "head" not in name]
    return loss.item(), torch.cat(slopes)


angle = partial(torch.nn.functional.cosine_similarity, dim=0)
ours = of_ours(grpo_config)
SWITCHES = {
    "`use_bias_correction_kl=False`": published,
    "its default": {},
    'the first, and `loss_type="grpo"`': {**published, "loss_type": "grpo"},
    'the first, and `loss_type="dr_grpo"`': {**published, "loss_type": "dr_grpo"},
}
lines = []
for name, switch in SWITCHES.items():
    loss, gradient = of_trl(**switch)
    longer = gradient.norm() / ours[1].norm()
    cosine = angle(gradient, ours[1])
    lines.append((name, f"{loss:.5f}", f"{cosine:.4f}", f"{longer:.3f}"))
table(("TRL's GRPO with", "loss", "cosine", "length"), *lines)
print(f"our loss: {ours[0]:.5f}")

# %% [markdown]
# The first row is our loss. `loss_type="grpo"` averages within each answer first, as GRPO's first
# paper does, and `"dr_grpo"` divides by the longest length allowed, so it points our way and is
# shorter.
#
# **4. A reward model given as a *model* is not asked about the end token.** If `reward_funcs` is a
# model instead of a function, TRL decodes the answers to text, which drops `<eos>`, and scores what
# is left. A reward model that was trained to judge finished answers is then asked about unfinished
# ones:

# %%
trainer = online("GRPO", grpo_config, "ppo", **still)
trainer.reward_funcs = [hugging_face.load(folder("judge"), judges=True)]
trainer.reward_processing_classes = [tokenizer]
ids = [row[row != PAD].tolist() for row in inputs["completion_ids"]]
texts = tokenizer.batch_decode(ids, skip_special_tokens=True)
as_model = trainer._calculate_rewards(prompts, questions, texts, ids)[:, 0]
with torch.no_grad():
    as_function = score(judge, answers) - shift
off = (as_model - as_function).abs().mean()
alike = torch.corrcoef(torch.stack([as_model, as_function]))[0, 1]
print(f"off by {off:.2f} on average; correlation {alike:.2f}")

# %% [markdown]
# **5. `accelerate launch --cpu --num_processes 2` starts one process**, and says nothing. For
# several on one machine without a graphics card use `torchrun`. Each process says here how many
# there are:

# %%
script = work / "who.py"
script.write_text(
    "from accelerate import PartialState\n"
    "state = PartialState(cpu=True)\n"
    "print('processes:', state.num_processes, flush=True)\n"
)
launch = ["accelerate.commands.launch", "--cpu", "--num_processes", "2"]
for command in (launch, ["torch.distributed.run", "--nproc_per_node", "2"]):
    command = [sys.executable, "-m", *command, str(script)]
    told = check_output(command, stderr=DEVNULL, encoding="utf-8")
    lines = [line for line in told.splitlines() if line.startswith("processes")]
    print(command[2].ljust(27), *lines, sep="  ")

# %% [markdown]
# **6. An unknown word silently becomes padding**, or whatever the tokenizer has for unknown words.
# Our vocabulary is closed, so a word outside it has no token. `check_words` refuses it, by name:

# %%
unknown = {"prompt": "how do i learn physics ?"}
print(tokenizer(unknown["prompt"])["input_ids"])
try:
    hugging_face.check_words([unknown])
except ValueError as refusal:
    print(refusal)

# %% [markdown]
# **7. An empty answer.** Our answers begin with a space, because TRL glues prompt and answer
# together as strings. In front of an empty answer the space is a token that nobody meant, and again
# an unknown one. `completion` writes an empty answer as nothing at all. How often does the model
# say nothing?

# %%
for end in (" ", hugging_face.completion("")):
    text = rows[0]["prompt"] + end
    print(f"{text!r} becomes {tokenizer(text)['input_ids']}")
compared = [row[side] for row in pairs for side in ("chosen", "rejected")]
for name, answers in (("comparisons", compared), ("the second trap", sampled)):
    print(f"empty answers in {name}: {answers.count('')} of {len(answers):,}")

# %% [markdown]
# ## Three lines to take away
#
# 1. Read a library's defaults before you train: GRPO's `beta` is 0, and its KL is not the published
#    one.
# 2. A metric's name is not its formula. TRL's `kl` is per token, and GRPO's `loss` shows no
#    progress.
# 3. What goes wrong with TRL goes wrong silently: positions, the end token, unknown words. Look at
#    one batch, and at one answer after.
#
# **Next:** [several processes, LoRA and memory](05c_past_this_machine.py): what changes when the
# model is larger than this one.
