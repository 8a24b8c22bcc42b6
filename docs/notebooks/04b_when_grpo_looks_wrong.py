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
#   search:
#     terms:
#       page: debugging grpo, grpo troubleshooting, grpo log, grpo metrics
#       why-is-the-loss-0-and-why-does-it-rise: loss is zero, loss 0, loss increases, loss rises, grad_norm
#       the-reward-varies-and-nothing-is-learned: reward_std, gradient zero, zero advantage
#       how-many-answers-to-each-prompt: num_generations, group size, frac_reward_zero_std, silent groups
#       why-is-the-clip-ratio-always-0: clip_ratio, clip ratio zero, ratio is 1, num_iterations
#       all-answers-are-cut-off: clipped_ratio, max_completion_length, truncated completions, mask_truncated_completions
#       does-the-average-make-answers-longer: loss_type, dapo, dr_grpo, length bias, divide by length
#       the-entropy-falls: entropy collapse, entropy bonus
#       there-is-no-kl-in-the-log: beta 0, beta zero, no kl logged, when to use kl
#       whose-log-probabilities: temperature, top_k, top-k, top_p, sampling parameters
#       the-sampler-and-the-trainer-disagree: vllm, importance sampling, truncated importance sampling, TIS, off-policy, bfloat16
# ---

# %% tags=["install", "skip-execution"]
# %pip install --quiet rlhf_explained.whl

# %% [markdown]
# # When GRPO's numbers look wrong
#
# You start a training with GRPO. The loss is 0, the clip ratio is 0, there is no KL in the log, and
# nothing says whether the model learns. People ask about these numbers again and again. Here each
# of them is brought about on purpose, with the run's own models and under the names that
# [TRL](05_practical_rlhf_with_trl.py) gives them, and five seeds show what it costs.
#
# ## What you'll learn
#
# - Which odd numbers are as they should be, and which are a fault
# - How many answers to a prompt it takes until groups have something to say
# - What happens when another program, or another temperature, writes the answers
#
# **Prerequisites:** [GRPO](../guide/methods.md#grade-against-your-own-drafts).
#
# **Time:** about 20 minutes to read. The first cell trains the model if that was not done before.

# %%
import math
from dataclasses import replace
from functools import partial

import torch

from rlhf_explained.measured import number
from rlhf_explained.measured.of_studies import corrected
from rlhf_explained.pipeline import RunConfig, run
from rlhf_explained.rollout import collect_rollout, score
from rlhf_explained.stages.grpo import advantages
from rlhf_explained.studies import stored
from rlhf_explained.studies.grpo_symptoms import USUAL, Symptom, logprobs, one_step
from rlhf_explained.studies.grpo_symptoms import sample, weights
from rlhf_explained.studies.verifiable import Rule, asked, judge
from rlhf_explained.training import Lesson
from rlhf_explained.world.corpus import draw_questions
from rlhf_explained.world.tokenizer import RESPONSE_LIMIT

torch.set_num_threads(1)
result, lesson = run(RunConfig(seed=0)), Lesson(0)
sft, ppo = result.policy("sft"), result.policy("ppo")
reward = partial(score, result.policy("reward_model"))
questions = draw_questions(16, held_out=False, generator=lesson.generator("questions"))
prompts = lesson.tokens([question.text for question in questions for _ in range(8)])


def answered(policy, reward):
    """One round: 16 prompts, eight answers to each, and the reward of each answer."""
    luck = {"limit": RESPONSE_LIMIT, "generator": lesson.generator("answers")}
    return collect_rollout(policy, sft, reward, prompts, **luck)


def first_step(policy, rollout, config=USUAL, average="batch"):
    """Loss and length of the gradient, before anything is learned from the round."""
    setting = Symptom(config, average=average)
    factor = weights(rollout.sequences, setting, torch.ones(rollout.logprobs.shape))
    better = advantages(rollout, config)
    loss, log = one_step(policy.requires_grad_(), rollout, better, factor, setting)
    wanted = [w for name, w in policy.named_parameters() if "head" not in name]
    slopes = torch.autograd.grad(loss, wanted)
    log["grad_norm"] = torch.cat([slope.flatten() for slope in slopes]).norm().item()
    return log


study = stored("grpo_symptoms")
changes = corrected(
    {name: study.difference(name, "usual", "gold") for name in study.config if name != "usual"}
)


def outcome(*settings):
    """Gold after training, over five seeds, and whether the change is beyond the noise."""
    print(" " * 17, "    gold    KL  length    change in gold")
    for name in settings:
        gold, kl, length = (study.interval(name, what).mean for what in ("gold", "kl", "length"))
        line = f"{name.replace('_', ' '):17}{gold:9.2f}{kl:6.2f}{length:8.1f}"
        if gap := changes.get(name):
            noise = "" if gap.p <= 0.05 else "  within the noise"
            line += f"    {gap.mean:+.2f} ± {gap.reach:.2f}{noise}"
        print(line)


def by_tens(name, *quantities):
    """What the log said, each number a mean of ten rounds and of five seeds."""
    print("rounds".ljust(12), *(f"{10 * n + 1}-{10 * n + 10}".rjust(7) for n in range(5)))
    rows = [row for row in study.rows if row["setting"] == name]
    for quantity in quantities:
        means = [sum(tens) / len(rows) for tens in zip(*(row[quantity] for row in rows))]
        print(quantity.ljust(12), *(f"{mean:7.3f}" for mean in means))


# %% [markdown]
# The usual setting of this page is [our GRPO](../reference/api/stages/grpo.md), with one change:
# each round is learned from once, as TRL does by default. `outcome` shows what a training with
# another setting led to. Gold is the labeler's true reward, KL is in nats an answer from the SFT
# policy, length is in tokens. Each change is taken seed by seed; ± is its own 95 % interval, and
# all changes of the page together are corrected for their number by Holm's procedure before one of
# them counts as more than noise.
#
# ---
# ## Why is the loss 0, and why does it rise?
#
# Before the first step on a round, the policy is the one that wrote the answers. So each
# [probability ratio](../reference/glossary.md#probability-ratio) is 1, and the loss is minus the
# mean of the advantages. Within a group these sum to 0, by construction. What is differentiated is
# not that mean, though: every answer pulls in a direction of its own.

# %%
rollout = answered(sft, reward)
for average in ("answer", "batch"):
    log = first_step(sft, rollout, average=average)
    print(f"mean by {average:7}loss {log['loss']:+.4f}   grad_norm {log['grad_norm']:.3f}")

# %% [markdown]
# If each answer is averaged first, the loss is 0 but for rounding. If all tokens count alike, as
# they do by default in TRL, it is near 0: a longer answer has more tokens. The gradient is far from
# 0 in both cases. Then the loss rises, because it contains the price of the KL, and the KL grows
# while the policy learns (TRL [#2703](https://github.com/huggingface/trl/issues/2703),
# [#3452](https://github.com/huggingface/trl/issues/3452)). Look at the reward instead:

# %%
by_tens("usual", "loss", "kl_token", "grad_norm", "reward")

# %% [markdown]
# ## The reward varies, and nothing is learned
#
# Here is a reward that differs from answer to answer in the batch, and teaches nothing: it pays for
# the number of words in the *prompt*. All answers of one group get the same, so the group has
# nothing to compare (TRL [#3857](https://github.com/huggingface/trl/issues/3857)).


# %%
def words_in_the_prompt(sequences):
    return sequences.attended[:, : sequences.prompt_length].sum(1).float()


def groups(rollout):
    scores = rollout.trained_on(USUAL.unfinished_score).unflatten(0, (-1, 8))
    spread, silent = scores.flatten().std(), (scores.std(1) == 0).float().mean()
    return f"reward_std {spread:.2f}   frac_reward_zero_std {silent:.2f}"


deaf = answered(ppo, words_in_the_prompt)
for name, seen in (("reward model", answered(ppo, reward)), ("words in the prompt", deaf)):
    print(name.ljust(20), groups(seen))
for beta in (0.0, USUAL.kl_coef):
    log = first_step(ppo, deaf, replace(USUAL, kl_coef=beta))
    print(f"words in the prompt, β = {beta}: grad_norm {log['grad_norm']:.3f}")

# %% [markdown]
# So look at the spread *within* groups, which TRL logs as `frac_reward_zero_std`; the spread over
# the batch says nothing. The last line is no fault either. A group without spread has no advantage,
# but it still pays the price of the KL, and is pulled to the reference (TRL
# [#5588](https://github.com/huggingface/trl/issues/5588)).
#
# ## How many answers to each prompt?
#
# Suppose a reward is 1 for a right answer and 0 for others, and the policy is right with
# probability $p$. A group of $G$ answers has no spread if all are right or none is:
#
# $$P(\text{silent}) = p^G + (1 - p)^G$$
#
# Our SFT policy answers the practised capitals and sums, 64 times each. The law needs only the
# share of right answers to each question; beside it stands what cutting the answers into groups
# gives.

# %%
practised = asked(held_out=False)
said, _ = sample(
    sft,
    lesson.tokens([question.text for question in practised for _ in range(64)]),
    Symptom(),
    lesson.generator("groups"),
)
right = judge(Rule(correct=1.0), lesson)(said).unflatten(0, (-1, 64))


def law(right, size):
    """The mean over the questions, without the bias that a measured p would bring in."""
    hits = [int(count) for count in right.sum(1)]
    ways = [math.comb(hit, size) + math.comb(64 - hit, size) for hit in hits]
    return sum(ways) / len(ways) / math.comb(64, size)


print(f"right: {right.mean():.0%} of {right.numel():,} answers")
for size in (2, 4, 8, 16, 32):
    spread = right.unflatten(1, (-1, size)).std(2)
    print(f"G = {size:2}   law {law(right, size):.3f}   seen {(spread == 0).float().mean():.3f}")

# %% [markdown]
# The rule is that a group is worth its answers where $G$ is a few times $1/p$ or $1/(1-p)$,
# whichever is larger (TRL [#3017](https://github.com/huggingface/trl/issues/3017)). A learned
# reward has no ties, so there no group is silent; what a larger group buys there is a better mean.
# With 128 answers in every round, in groups of two to 32:

# %%
outcome("group_2", "group_4", "usual", "group_16", "group_32")

# %% [markdown]
# ## Why is the clip ratio always 0?
#
# Because a ratio of exactly 1 is never outside of $1 \pm \varepsilon$. As long as each round is
# learned from once (`num_iterations=1`), nothing can be clipped, and clipping has no effect (TRL
# [#3120](https://github.com/huggingface/trl/issues/3120),
# [#3144](https://github.com/huggingface/trl/issues/3144)). With more steps on a round it has work
# to do:

# %%
for setting in ("usual", "epochs_2", "epochs_4"):
    rows = [row["clipped"] for row in study.rows if row["setting"] == setting]
    first, last = (sum(row[n] for row in rows) / len(rows) for n in (0, -1))
    print(f"{setting:10} clip_ratio {first:.4f} in the first ten rounds, {last:.4f} in the last")
outcome("usual", "epochs_2", "epochs_4")

# %% [markdown]
# ## All answers are cut off
#
# A limit that is too short for the answers (`max_completion_length`) cuts all of them. What gets no
# end gets no reward, or a bad one, and the policy learns from nothing else (TRL
# [#5697](https://github.com/huggingface/trl/issues/5697)). In the log, `completions/clipped_ratio`
# is near 1. Here the limit is 10 tokens instead of 34. Answers that were cut off are punished, or
# left out of the loss (`mask_truncated_completions`):

# %%
by_tens("limit_10", "cut_off", "tokens", "reward")
print()
by_tens("limit_10_left_out", "cut_off", "tokens", "reward")
print()
outcome("usual", "limit_10", "limit_10_left_out")

# %% [markdown]
# The cure is the longer limit of the first line. Log the share of answers that are cut off from the
# first round on, and read a few of them.
#
# ## Does the average make answers longer?
#
# The loss can average within each answer first, so that a token of a long answer counts less (the
# first paper of GRPO, `loss_type="grpo"`). It can count all tokens of the batch alike (`"dapo"`).
# Or it can divide by a constant, the longest answer allowed (`"dr_grpo"`;
# [Liu, Z. et al. 2025](../reference/bibliography.md#liuz2025)). Averaging within answers makes a
# bad answer cheaper when it is long, and so may lengthen bad answers (TRL
# [#3138](https://github.com/huggingface/trl/issues/3138)).

# %%
outcome("usual", "by_answer", "by_constant")

# %% [markdown]
# ## The entropy falls
#
# While the policy learns, it becomes surer of its words, and its entropy falls (verl
# [#2738](https://github.com/volcengine/verl/issues/2738)). That is what learning looks like, until
# all answers of a group are alike. A bonus in the loss for each nat of entropy works against it:

# %%
by_tens("usual", "entropy", "silent")
print()
by_tens("entropy_bonus", "entropy", "silent")
print()
outcome("usual", "entropy_bonus")

# %% [markdown]
# ## There is no KL in the log
#
# By default TRL's `beta` is 0 for GRPO. Then no reference model is loaded and no `kl` is logged
# (TRL [#2806](https://github.com/huggingface/trl/issues/2806)). Against a *learned* reward this
# lets the policy go wherever the reward model pays:

# %%
outcome("usual", "no_kl")
for name in ("usual", "no_kl"):
    proxy, gold = (study.interval(name, what).mean for what in ("proxy", "gold"))
    print(f"{name.replace('_', ' '):7} the reward model's score {proxy:.2f}, gold {gold:.2f}")

# %% [markdown]
# With a reward that a rule gives there is no judge to deceive, and 0 is usual. When does the KL
# have to come back even there? [The next chapter](../guide/verifiable-rewards.md) measures it.
#
# ## Whose log-probabilities?
#
# If answers are drawn at another temperature than 1, or from the likeliest few tokens alone, then
# their tokens were drawn with other probabilities than those that the loss reads (TRL
# [#4159](https://github.com/huggingface/trl/issues/4159),
# [#6789](https://github.com/huggingface/trl/issues/6789)). Compare the two for each token. Their
# quotient is the importance weight; if policy and sampler were one, it would be 1 everywhere.

# %%
SAMPLERS = {
    "the policy itself": Symptom(),
    "temperature 0.5": Symptom(temperature=0.5),
    "the two likeliest tokens": Symptom(top_k=2),
    "bfloat16": Symptom(bfloat16=True),
}
SAMPLERS["another policy (PPO's)"] = Symptom()
print(" " * 24, "weight: mean   lowest  highest   apart, nats an answer")
for name, setting in SAMPLERS.items():
    luck = lesson.generator("weights")
    said, drawn_at = sample(ppo if "PPO" in name else sft, prompts, setting, luck)
    with torch.no_grad():
        read = logprobs(sft, said, Symptom())
    mask = said.response_mask
    weight = (read - drawn_at).exp()[mask]
    apart = (drawn_at - read).masked_fill(~mask, 0).sum(1).mean()
    print(f"{name:28}{weight.mean():8.3f}{weight.min():9.3f}{weight.max():9.3f}{apart:14.3f}")

# %% [markdown]
# TRL divides the policy's logits by the temperature too (`cold divided` below), so that it trains
# the colder policy; then the policy at temperature 1 is another one than the one that was trained.
# The other cure is to multiply each token's loss by its weight, cut off at 2 (`cold weighted`).

# %%
outcome("usual", "cold", "cold_divided", "cold_weighted", "top_2")

# %% [markdown]
# ## The sampler and the trainer disagree
#
# In large trainings another program writes the answers, such as vLLM. Its weights may be some
# rounds older, and it computes in 16 bits, so its probabilities are not quite the trainer's (TRL
# [#3867](https://github.com/huggingface/trl/issues/3867),
# [#4772](https://github.com/huggingface/trl/issues/4772)). Truncated importance sampling multiplies
# each token by its weight, at most 2 here ([Yao et al. 2025](../reference/bibliography.md#yao2025)).
# Below, the sampler is eight rounds older than the policy, or computes in bfloat16:

# %%
outcome("usual", "older", "older_weighted", "bfloat16", "bfloat16_weighted")
for name in ("older", "bfloat16"):
    rows = [row["least_weight"] for row in study.rows if row["setting"] == name]
    least = min(weight for row in rows for weight in row)
    print(f"{name:9} lowest weight of a token, mean of ten rounds: {least:.3f}")

# %% [markdown]
# ---
# ## Exercise
#
# A task is solved by one answer in 20. From which group size on do at least half of the groups
# carry a signal?

# %% tags=["solution"]
size = next(g for g in range(2, 1000) if 0.05**g + 0.95**g <= 0.5)
print(f"{size} answers to each prompt")

# %% [markdown]
# ---
# ## Three lines to take away
#
# 1. A loss of 0 and a clip ratio of 0 are as they should be when each round is learned from once.
#    Watch the reward, the KL and the length instead.
# 2. Groups teach by their own spread. Log the share of groups without any, and the share of answers
#    that were cut off.
# 3. Know whose probabilities the tokens were drawn with. If they are not the policy's, log the
#    importance weights.
#
# **Next:** [Rewards that a rule gives](../guide/verifiable-rewards.md).
