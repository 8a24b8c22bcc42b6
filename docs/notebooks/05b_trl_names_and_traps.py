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
#       page: default arguments, settings of the trainers
#       which-argument-means-what: trl config, trl hyperparameters
#       which-metric-means-what: trl metrics, trl log, frac_reward_zero_std, clipped_ratio
#       seven-traps-each-with-its-number: trl pitfalls, trl mistakes, trl beta, left padding
# ---

# %% tags=["install", "skip-execution"]
# %pip install --quiet rlhf_explained.whl "trl>=1.16" peft

# %% [markdown]
# # TRL's names and traps
#
# TRL has its own names for arguments and metrics. This notebook shows the main ones next to ours,
# with TRL's values and ours. Then come seven mistakes that are easy to make. None raises an error,
# so we measure the effect of each. Finally, TRL trains many times with its own random numbers.
#
# ## What you'll learn
#
# - Which of TRL's arguments matches which of our settings, and its default
# - The formula of each metric that TRL logs
# - Seven traps, among them a default without a KL penalty and a judge that never sees the end token
#
# **Prerequisites:** [Practical RLHF with TRL](05_practical_rlhf_with_trl.py), where TRL trains our
# model. The models come from the site's own run.
#
# **Time:** about 20 minutes to read. To run it yourself, install TRL with `pip install trl peft`,
# or type `make trl` in a checkout of this site.

# %%
import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import fmean, stdev, variance
from subprocess import DEVNULL, check_output

os.environ["HF_HUB_OFFLINE"] = "1"  # all that is needed is here

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
from rlhf_explained.studies import Interval, stored
from rlhf_explained.training import Lesson
from rlhf_explained.world.corpus import draw_questions
from rlhf_explained.world.tokenizer import world_tokenizer

torch.set_num_threads(1)
os.chdir(tempfile.mkdtemp())  # where models are written, for TRL to read

trained_before, lesson = run(RunConfig(seed=0)), Lesson(0)
names = ("base", "sft", "reward_model", "ppo")
base, sft, judge, practised = map(trained_before.policy, names)
for name in names:
    judges = name == "reward_model"
    copied = hugging_face.exported(trained_before.policy(name), judges=judges)
    hugging_face.save(copied, name)
shift = judge.scalar_head.bias.item()  # GPT-2's head has none

words, tokenizer = world_tokenizer(), hugging_face.fast_tokenizer()
rows = hugging_face.demonstration_rows(lesson.shown)
learned, _ = lesson.compare(sft)  # the labeler's comparisons of the run
pairs = hugging_face.preference_rows(learned)
asking = torch.Generator().manual_seed(0)
drawn = draw_questions(800, held_out=False, generator=asking)
asked = [{"prompt": question.text} for question in drawn]


def table(headings, *rows):
    """Show rows as a table."""
    lines = [headings, ["---"] * len(headings), *rows]
    display(Markdown("\n".join(f"| {' | '.join(line)} |" for line in lines)))


# %% [markdown]
# Two functions set up all trainers below. `make` sets the arguments for a tiny model on a CPU.
# `online` makes a trainer that samples answers (GRPO or RLOO), with our reward model as the reward
# and the SFT policy as the reference.

# %%
grpo_config = grpo.GRPOConfig(kl_coef=0.3)
rloo_config = grpo.GRPOConfig(kl_in="reward", divide_by_std=False)
published = {"use_bias_correction_kl": False}  # see the third trap
said = []  # every answer that was sampled and scored


def make(method, model, rows, batch, given=None, **own):
    """A trainer of TRL's; `given` are arguments of its own, the rest are settings."""
    args = getattr(trl, f"{method}Config")(
        output_dir="log", use_cpu=True, bf16=False, activation_checkpointing=False,
        report_to="none", save_strategy="no", disable_tqdm=True, logging_steps=1,
        per_device_train_batch_size=batch, **own,
    )  # fmt: skip
    return getattr(trl, f"{method}Trainer")(
        model, args=args, train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer, **given or {},
    )  # fmt: skip


def heard(answers):
    """Our reward model; what it reads is written down."""
    said.extend(words.decode(row) for row in answers.responses.tolist())
    return score(judge, answers)


def online(method, config, start, beta=None, **own):
    """GRPO or RLOO, with the settings of ours."""
    cut_off = config.unfinished_score
    reward = hugging_face.reward_function(heard, unfinished_score=cut_off)
    made = make(
        method,
        hugging_face.load(start),
        asked,
        config.prompts * config.group_size,
        {"reward_funcs": reward},
        num_generations=config.group_size,
        max_completion_length=config.response_limit,
        beta=config.kl_coef if beta is None else beta,
        shuffle_dataset=False,
        **own,
    )
    if made.ref_model:  # there is none without a penalty
        made.ref_model.load_state_dict(hugging_face.load("sft").state_dict())
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
# Each row of the table names a method, our setting and TRL's argument, with our value and TRL's
# default.

# %%
ARGUMENTS = """
SFT     steps           max_steps
SFT     batch           per_device_train_batch_size
SFT     learning_rate   learning_rate
Reward  learning_rate   learning_rate
DPO     beta            beta
DPO     learning_rate   learning_rate
GRPO    epochs          num_iterations
GRPO    group_size      num_generations
GRPO    kl_coef         beta
GRPO    divide_by_std   scale_rewards
GRPO    clip_range      epsilon
GRPO    response_limit  max_completion_length
GRPO    learning_rate   learning_rate
RLOO    group_size      num_generations
RLOO    kl_coef         beta
"""
OURS = {
    "SFT": lesson.imitation,
    "Reward": lesson.comparison,
    "DPO": dpo.DPOConfig(),
    "GRPO": grpo_config,
    "RLOO": rloo_config,
}


def short(value):
    return f"{value:.3g}" if isinstance(value, float) else f"{value}"


lines = []
for line in ARGUMENTS.split("\n")[1:-1]:
    method, name, field = line.split()
    here, default = getattr(OURS[method], name), getattr(trl, f"{method}Config")
    values = short(here), short(getattr(default, field))
    lines.append((f"{method} `{name}`", *values, f"`{field}`"))
table(("ours", "value here", "TRL's default", "TRL's argument"), *lines)

# %% [markdown]
# Some of TRL's arguments control what is fixed in our stages:
#
# - `SFTConfig(completion_only_loss=…)`: our loss counts only the response. The default, `None`,
#   does the same if rows have a prompt and a completion.
# - `RewardConfig(center_rewards_coefficient=…)` adds a loss term that keeps scores near 0. We shift
#   our scores to a mean of 0 after training.
# - `DPOConfig(precompute_ref_log_probs=True)`: we compute the reference's log-probabilities once.
#   By default TRL computes them at each step.
# - `GRPOConfig(loss_type=…)`: ours is the mean over all tokens, which is TRL's default, `dapo`.
# - `GRPOConfig(use_bias_correction_kl=True)` is our `kl_in="loss_ratio_k3"`, and TRL's default.
# - `max_grad_norm`: gradients are clipped at 1, as ours are.
#
# ## Which metric means what
#
# Each trainer gets one real batch, with a learning rate of 0. TRL's number is the one that it logs,
# and ours follows from the formula next to it. Means over tokens include only tokens that the mask
# counts. $r$ is a score, ρ the [probability ratio](../reference/glossary.md#probability-ratio), and
# $g$ is log π − log π<sub>ref</sub>. DPO, GRPO and RLOO compare the run's PPO policy with its SFT
# policy.

# %%
METRICS = """
SFT     loss                       −mean log π
SFT     entropy                    mean −Σ p log p
SFT     mean_token_accuracy        share of likeliest = given
Reward  loss                       −mean log σ(r⁺ − r⁻)
Reward  accuracy                   share of r⁺ > r⁻
Reward  margin                     mean r⁺ − r⁻
Reward  mean_reward                mean r, without the bias
DPO     loss                       −mean log σ(β(g⁺ − g⁻))
DPO     rewards/chosen             mean β g⁺
DPO     rewards/rejected           mean β g⁻
DPO     rewards/margins            mean β(g⁺ − g⁻)
DPO     rewards/accuracies         share of g⁺ > g⁻
DPO     logps/chosen               mean log π of the whole answer
GRPO    loss                       −mean ρA + β mean k₃
GRPO    kl                         mean k₃, a token
GRPO    entropy                    mean −Σ p log p
GRPO    frac_reward_zero_std       share of groups without spread
GRPO    completions/mean_length    mean tokens, the end token too
GRPO    completions/clipped_ratio  share without an end token
GRPO    reward_std                 spread of r over the batch
GRPO    reward                     mean r
RLOO    kl                         mean k₁, a token
RLOO    reward                     mean r
"""
still = {"max_steps": 1, "learning_rate": 0.0, "lr_scheduler_type": "constant"}
as_they_come = {"train_sampling_strategy": "sequential", **still}
mean, load = formulas.masked_mean, hugging_face.load
ours, logs = {}, {}  # our values, in the order above; TRL's log of the same batch


def logged(trainer):
    """TRL's log of one batch; the learning rate is 0, so nothing changes."""
    trained(trainer)
    return trainer.state.log_history[0]


logs["SFT"] = logged(make("SFT", load("base"), rows[:32], 32, **as_they_come))
answers = lesson.packed(lesson.shown[:32])
mask, right = answers.response_mask, answers.responses
with torch.no_grad():
    logits = response_logits(base, answers)
ours["SFT"] = [
    formulas.sft_loss(logits, right, mask),
    mean(formulas.entropy(logits), mask),
    mean((logits.argmax(-1) == right).float(), mask),
]

start = load("reward_model", judges=True)
logs["Reward"] = logged(make("Reward", start, pairs[:64], 64, **as_they_come))
first = torch.arange(64)
better, worse = learned.chosen.rows(first), learned.rejected.rows(first)
with torch.no_grad():
    high, low = (score(judge, side) for side in (better, worse))
ours["Reward"] = [
    formulas.bradley_terry_loss(high, low),
    (high > low).float().mean(),
    (high - low).mean(),
    torch.cat([high, low]).mean() - shift,
]

given = {"ref_model": load("sft")}
trainer = make("DPO", load("ppo"), pairs[:64], 64, given, beta=1.0, **as_they_come)
logs["DPO"] = logged(trainer)
with torch.no_grad():
    sums = [sequence_logprobs(practised, side) for side in (better, worse)]
    sums += [sequence_logprobs(sft, side) for side in (better, worse)]
gain, lost = sums[0] - sums[2], sums[1] - sums[3]
ours["DPO"] = [
    formulas.dpo_loss(*sums, beta=1.0),
    gain.mean(),
    lost.mean(),
    (gain - lost).mean(),
    (gain > lost).float().mean(),
    sums[0].mean(),
]

for method, config, more in (
    ("GRPO", grpo_config, published),
    ("RLOO", rloo_config, {}),
):
    seen = []
    trainer = online(method, config, "ppo", **still, **more)
    ask = trainer.reward_funcs[0]

    def noting(prompts, completion_ids, seen=seen, ask=ask, **other):
        seen[:] = [hugging_face.as_sequences(prompts, completion_ids)]
        return ask(prompts, completion_ids, **other)

    trainer.reward_funcs[0] = noting
    logs[method], (answers,) = logged(trainer), seen
    mask, ended = answers.response_mask, answers.ended
    with torch.no_grad():
        logits = response_logits(practised, answers)
        logprobs = formulas.token_logprobs(logits, answers.responses)
        logits_then = response_logits(sft, answers)
        reference = formulas.token_logprobs(logits_then, answers.responses)
        scores = torch.where(ended, score(judge, answers), config.unfinished_score)
    k1, k3 = (kl(logprobs, reference) for kl in (formulas.kl_k1, formulas.kl_k3))
    if method == "RLOO":
        ours[method] = [mean(k1, mask), scores.mean()]
        continue
    goodness = formulas.group_advantages(scores, group_size=config.group_size)
    pushed = mean(goodness[:, None].expand(mask.shape), mask)  # ρ is 1
    alike = scores.unflatten(0, (-1, config.group_size)).std(1) == 0
    ours[method] = [
        config.kl_coef * mean(k3, mask) - pushed,
        mean(k3, mask),
        mean(formulas.entropy(logits), mask),
        alike.float().mean(),
        answers.lengths.float().mean(),
        (~ended).float().mean(),
        scores.std(),
        scores.mean(),
    ]

lines = []
for line in METRICS.split("\n")[1:-1]:
    method, name, formula = line.split(maxsplit=2)
    here, there = float(ours[method].pop(0)), logs[method][name]
    assert abs(here - there) < 1e-3, line
    lines.append((f"{method} `{name}`", formula, f"{here:.4f}", f"{there:.4f}"))
table(("TRL logs", "formula", "ours", "TRL's"), *lines)

# %% [markdown]
# Two of these names can mislead. `kl` is a mean over *tokens*, of k₃ in GRPO and of k₁ in RLOO. The
# KL on our pages is the sum of k₁ over an answer, roughly RLOO's `kl` times the number of tokens.
# GRPO's `kl` is less than half of RLOO's for the same answers, because part of k₃'s mean comes from
# rare tokens, which a single batch misses. And GRPO's `loss` does not show progress. The advantages
# in each group sum to 0, so its first term differs from 0 only because answers differ in length.
# The rest is the KL penalty, which rises while the policy learns.
#
# ## Seven traps, each with its number
#
# **1. Prompts are padded on the left, but GPT-2 is not told.** GRPO and RLOO pass no positions to
# the model. A model with learned positions, such as GPT-2, then counts the padding, and reads every
# word after it at the wrong position. Models with rotary positions are not affected. Three other
# trainers had the same fault ([#6800](https://github.com/huggingface/trl/issues/6800)).
# `hugging_face.count_positions` corrects it. The reference needs the correction, too.

# %%
bare = transformers.AutoModelForCausalLM.from_pretrained("sft")
given = {"input_ids": better.tokens, "attention_mask": better.attended.long()}
padded = better.attended[:, 0].logical_not()
with torch.no_grad():
    right = sft(better.tokens, better.attended)
    wrong = bare(**given).logits
    cured = load("sft")(**given).logits
for name, logits in (("without positions", wrong), ("with them", cured)):
    off = (logits - right).abs()[padded][better.attended[padded]]
    print(f"{name}: off by {off.max():.2f} at most, {off.mean():.2f} in the mean")
assert (cured - right)[better.attended].abs().max() == 0

# %% [markdown]
# **2. GRPO's `beta` is 0 by default.** Without a KL penalty the policy is free to exploit the
# reward model. Here is one run with a penalty and one with the default. Gold is the gold reward,
# and proxy is the reward model's score, both on held-out questions. On [five
# seeds](04b_when_grpo_looks_wrong.py#there-is-no-kl-in-the-log), proxy and KL rise again, but the
# fall in gold may be noise.

# %%
rate = grpo_config.learning_rate
said.clear()
for beta in (grpo_config.kl_coef, trl.GRPOConfig.beta):
    trainer = online(
        "GRPO", grpo_config, "sft", beta,
        max_steps=grpo_config.iterations,
        learning_rate=rate,
        lr_scheduler_type="polynomial",  # a straight line, down to a tenth
        lr_scheduler_kwargs={"power": 1.0, "lr_end": rate / 10},
        **published,
    )  # fmt: skip
    marks = result(lesson.examine(trained(trainer), sft, judge))
    hugging_face.save(trainer.model, f"beta_{beta}")
    shown = (f"{name} {marks[name]:.3f} " for name in ("gold", "proxy", "kl"))
    print(f"beta {beta}:", *shown)
sampled = [*said]

# %% [markdown]
# **3. The default KL in GRPO's loss is not the one in GRPO's first paper.** With
# `use_bias_correction_kl=True` TRL multiplies k₃ by the probability ratio. Before the first step on
# a batch the ratio is 1, so the *loss* is the same. Its *gradient* is different, and better [in
# small worlds](04_dpo.py#one-frontier-for-all-methods); we measured it nowhere else. Other switches
# also change the gradient. We compare them on one batch, for the policy just trained with a
# penalty. The first row uses the first paper's KL and the average over all tokens, which is our
# stage's loss. *Cosine* is the cosine between a row's gradient and the first row's, and *length* is
# the ratio of their lengths.

# %%
priced = partial(online, "GRPO", grpo_config, f"beta_{grpo_config.kl_coef}", **still)
trainer = priced()
torch.manual_seed(0)
prompts = [{**row} for row in asked[:16] for _ in range(grpo_config.group_size)]
inputs = trainer._generate_and_score_completions(prompts)


def slope(**own):
    """Loss and gradient of one of TRL's losses on the batch."""
    trainer = priced(**own)
    trainer.current_gradient_accumulation_steps = 1
    loss = trainer._compute_loss(trainer.model, inputs)
    loss.backward()
    slopes = [weight.grad for weight in trainer.model.parameters()]
    return loss.item(), torch.cat([s.flatten() for s in slopes if s is not None])


SWITCHES = {
    "`use_bias_correction_kl=False`": published,
    "its default": {},
    'the first, and `loss_type="grpo"`': {**published, "loss_type": "grpo"},
    'the first, and `loss_type="dr_grpo"`': {**published, "loss_type": "dr_grpo"},
}
angle = partial(torch.nn.functional.cosine_similarity, dim=0)
_, first = slope(**published)
lines = []
for name, switch in SWITCHES.items():
    loss, gradient = slope(**switch)
    longer = gradient.norm() / first.norm()
    cosine = angle(gradient, first)
    lines.append((name, f"{loss:.5f}", f"{cosine:.4f}", f"{longer:.3f}"))
table(("TRL's GRPO with", "loss", "cosine", "length"), *lines)

# %% [markdown]
# `loss_type="grpo"` averages within each answer first, as GRPO's first paper does. `"dr_grpo"`
# divides by the maximum length, so its gradient points in the same direction but is shorter.
#
# **4. A reward model that is passed as a *model*, not as a function, does not see the end token.**
# TRL then decodes the answers to text without `<eos>`, and scores this text. A reward model trained
# on finished answers then scores unfinished ones. (For chat messages TRL applies the template
# again, which ends every answer, even if it was cut off.)

# %%
trainer = priced()
trainer.reward_funcs = [load("reward_model", judges=True)]
trainer.reward_processing_classes = [tokenizer]
questions = [row["prompt"] for row in prompts]
both = zip(inputs["completion_ids"], inputs["completion_mask"], strict=True)
ids = [row[mask.bool()].tolist() for row, mask in both]
texts = tokenizer.batch_decode(ids, skip_special_tokens=True)
as_model = trainer._calculate_rewards(prompts, questions, texts, ids)[:, 0]
with torch.no_grad():
    as_function = score(judge, hugging_face.as_sequences(questions, ids)) - shift
off = (as_model - as_function).abs().mean()
alike = torch.corrcoef(torch.stack([as_model, as_function]))[0, 1]
print(f"off by {off:.2f} on average; correlation {alike:.2f}")

# %% [markdown]
# **5. `accelerate launch --cpu --num_processes 2` starts one process**, without a warning. To start
# several processes on a machine without a graphics card, use `torchrun`. Each process prints how
# many there are:

# %%
WHO = """
from accelerate import PartialState

print(f"processes: {PartialState(cpu=True).num_processes}\\n", end="", flush=True)
"""
Path("who.py").write_text(WHO)
launch = ["accelerate.commands.launch", "--cpu", "--num_processes", "2"]
for command in (launch, ["torch.distributed.run", "--nproc_per_node", "2"]):
    command = [sys.executable, "-m", *command, "who.py"]
    told = check_output(command, stderr=DEVNULL, encoding="utf-8")
    lines = [line for line in told.splitlines() if line.startswith("processes")]
    print(command[2].ljust(27), *lines, sep="  ")

# %% [markdown]
# **6. An unknown word silently becomes padding**, or whatever token the tokenizer has for unknown
# words. Our vocabulary is closed, so other words have no token. `check_words` names and rejects
# them:

# %%
unknown = {"prompt": "how do i learn physics ?"}
print(tokenizer(unknown["prompt"])["input_ids"])
try:
    hugging_face.check_words([unknown])
except ValueError as refusal:
    print(refusal)

# %% [markdown]
# **7. An empty answer can become an unknown token.** Our answers begin with a space, because TRL
# joins prompt and answer as strings. If the answer is empty, the space alone becomes an unknown
# token. `completion` writes an empty answer as an empty string. How often is an answer empty?

# %%
for end in (" ", hugging_face.completion("")):
    text = rows[0]["prompt"] + end
    print(f"{text!r} becomes {tokenizer(text)['input_ids']}")
compared = [row[side] for row in pairs for side in ("chosen", "rejected")]
for name, answers in (("comparisons", compared), ("the second trap", sampled)):
    print(f"empty answers in {name}: {answers.count('')} of {len(answers):,}")

# %% [markdown]
# ## Other draws, other starts
#
# With different random numbers, TRL's result would differ, and so would ours. TRL trained each
# method five times from each of five starts, and [our study of the
# methods](../guide/methods.md#all-of-them-from-the-same-start) trained it twice. The table shows
# the mean gold reward on held-out questions and the difference, paired by start (± is its 95 %
# interval). It also shows two standard deviations: between runs from one start (*draws*) and
# between the starts' means (*starts*). For RLOO the losses differ, too: TRL's ratio is for whole
# answers, ours for single tokens.

# %%
study, methods, lines = stored("trl_draws"), stored("methods"), []
for method in ("dpo", "grpo", "rloo"):
    names = [name for name in study.config if name.startswith(method)]
    draws = list(zip(*(study.values(name, "gold") for name in names), strict=True))
    means, ours = list(map(fmean, draws)), methods.values(method, "gold")
    gap = Interval.of([one - other for one, other in zip(means, ours, strict=True)])
    twice = methods.values(method, "draws_apart")
    by_draw = fmean(map(variance, draws)) ** 0.5, fmean(far**2 / 2 for far in twice) ** 0.5
    numbers = (fmean(means), fmean(ours), gap.mean, *by_draw, stdev(means), stdev(ours))
    shown = [f"{number:z.2f}" for number in numbers]
    shown[2] += f" ± {gap.reach:.2f}"
    lines.append((method.upper(), *shown))
columns = ("TRL", "ours", "difference", "draws, TRL", "ours", "starts, TRL", "ours")
table(("method", *columns), *lines)

# %% [markdown]
# If the interval contains 0, these runs do not show that the libraries differ. If you compare two
# set-ups with one run each, a difference as small as these deviations may be due to chance.

# %% [markdown]
# ## Three lines to take away
#
# 1. Read a library's defaults before you train: GRPO's `beta` is 0, and its KL is not the one in
#    its first paper.
# 2. A metric's name does not tell you its formula. TRL's `kl` is per token, and GRPO's `loss` does
#    not show progress.
# 3. Mistakes with positions, the end token and unknown words raise no error. Look at one batch, and
#    at one answer after training.
#
# **Next:** [several processes, LoRA and memory](05c_past_this_machine.py), for larger models.
