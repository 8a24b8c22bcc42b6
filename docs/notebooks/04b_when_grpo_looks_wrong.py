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
#       page: troubleshooting
#       why-is-the-loss-0-and-why-does-it-rise: grpo loss is 0 and then rises, loss zero, grad_norm
#       the-reward-varies-and-nothing-is-learned: reward varies, loss and gradient 0, reward_std,
#         groups without spread
#       how-many-answers-to-each-prompt: answers per prompt, num_generations, group size, silent
#       why-is-the-clip-ratio-always-0: clip ratio always 0, clip_ratio, num_iterations
#       all-answers-are-cut-off: answers cut at the limit, max_completion_length, truncated
#       does-the-average-make-answers-longer: loss_type, dapo, dr_grpo, length bias
#       the-entropy-falls: entropy collapse, entropy bonus
#       there-is-no-kl-in-the-log: why is beta 0 by default, no kl logged
#       whose-log-probabilities: top_k, top-k, top_p, sampling parameters
#       the-sampler-and-the-trainer-disagree: importance sampling, TIS, sequence_mask
# ---

# %% tags=["install", "skip-execution"]
# %pip install --quiet rlhf_explained.whl

# %% [markdown]
# # When GRPO's numbers look wrong
#
# You start training with GRPO. The loss is 0, the clip ratio is 0, there is no KL in the log, and
# nothing shows whether the model is learning. This notebook causes each symptom on purpose, with
# the run's models, and uses [TRL](05_practical_rlhf_with_trl.py)'s names. Training on five seeds
# shows how each affects the result.
#
# ## What you'll learn
#
# - Which odd numbers are normal, and which show a fault
# - How many answers each prompt needs before the groups carry a signal
# - What happens when the answers are written by another program or at a different temperature
#
# **Prerequisites:** [GRPO](../guide/dpo-grpo-best-of-n.md#grade-against-your-own-drafts).
#
# **Time:** about 20 minutes to read. The first cell trains the model if it has not already been
# trained.

# %%
import math
from dataclasses import replace
from functools import partial

import torch

from rlhf_explained.measured.of_studies import corrected
from rlhf_explained.pipeline import RunConfig, run
from rlhf_explained.rollout import collect_rollout, score
from rlhf_explained.stages.grpo import advantages
from rlhf_explained.studies import stored
from rlhf_explained.studies.grpo_symptoms import (
    USUAL,
    Symptom,
    logprobs,
    one_step,
    sample,
    shares,
)
from rlhf_explained.studies.verifiable import Rule, asked, judge
from rlhf_explained.training import Lesson
from rlhf_explained.world.corpus import draw_questions
from rlhf_explained.world.tokenizer import RESPONSE_LIMIT

torch.set_num_threads(1)
result, lesson = run(RunConfig(seed=0)), Lesson(0)
sft, ppo = result.policy("sft"), result.policy("ppo")
reward = partial(score, result.policy("reward_model"))
questions = draw_questions(
    16, held_out=False, generator=lesson.generator("questions")
)
prompts = lesson.tokens(
    [question.text for question in questions for _ in range(8)]
)


def answered(policy, reward):
    """One round: 16 prompts, eight answers to each, and their rewards."""
    settings = {
        "limit": RESPONSE_LIMIT,
        "generator": lesson.generator("answers"),
    }
    return collect_rollout(policy, sft, reward, prompts, **settings)


def first_step(policy, rollout, config=USUAL, average="batch"):
    """Loss and length of the gradient in the first step on a round."""
    setting = Symptom(config, average=average)
    share = shares(rollout.sequences, setting)
    better = advantages(rollout, config)
    loss, log = one_step(
        policy.requires_grad_(), rollout, better, share, setting
    )
    wanted = [
        w for name, w in policy.named_parameters() if "head" not in name
    ]
    slopes = torch.autograd.grad(loss, wanted)
    log["grad_norm"] = torch.nn.utils.get_total_norm(slopes).item()
    return log


study = stored("grpo_symptoms")
changes = corrected(
    {
        name: study.difference(name, "usual", "gold")
        for name in study.config
        if name != "usual"
    }
)


def lower(*settings):
    """Whether all of them have less gold than usual, beyond the noise."""
    gaps = [changes[name] for name in settings]
    return all(gap.p <= 0.05 and gap.mean < 0 for gap in gaps)


def noise(*settings):
    """Whether no change in gold is beyond the noise."""
    return all(changes[name].p > 0.05 for name in settings)


def outcome(*settings):
    """Gold, KL and length after training, and which changes of gold count."""
    print(" " * 17, "    gold    KL  length    change in gold")
    for name in settings:
        gold, kl, length = (
            study.interval(name, what).mean
            for what in ("gold", "kl", "length")
        )
        line = (
            f"{name.replace('_', ' '):17}{gold:9.2f}{kl:6.2f}{length:8.1f}"
        )
        if gap := changes.get(name):
            line += f"    {gap.mean:+.2f} ± {gap.reach:.2f}"
            line += "  may be noise" if noise(name) else ""
        print(line)


IN_TRL = {
    "kl_token": "kl",
    "silent": "frac_reward_zero_std",
    "cut_off": "completions/clipped_ratio",
    "clipped": "clip_ratio/region_mean",
    "least_weight": "…/importance_sampling_ratio/min",
}


def by_tens(name, *quantities):
    """The log of a setting, in means of ten rounds and of five seeds."""
    heads = (f"{10 * n + 1}-{10 * n + 10}".rjust(8) for n in range(5))
    print(f"{name.replace('_', ' ')}, rounds".ljust(32), *heads)
    rows = [row for row in study.rows if row["setting"] == name]
    for quantity in quantities:
        tens = zip(*(row[quantity] for row in rows), strict=True)
        means = (f"{sum(ten) / len(rows):8.3f}" for ten in tens)
        print(IN_TRL.get(quantity, quantity).ljust(32), *means)


# %% [markdown]
# This page's usual setting is GRPO as in [the study of the
# methods](../guide/methods.md#all-of-them-from-the-same-start), but it uses each round once, as TRL
# does by default. TRL's loss differs in two more ways: its `beta` is 0 where ours is 0.3, and its
# KL term is $k_3$ times the probability ratio, which no run here uses.
#
# `outcome` shows the result of training with other settings. *Gold* is the gold reward, KL from the
# SFT policy is in nats per answer, and length is in tokens. Each change is a mean over five seeds,
# and ± is its 95 % interval. “May be noise” marks a change that is not significant after Holm's
# correction for the number of changes on this page. Five seeds reveal only large effects, so a
# marked change may still be real.
#
# ---
# ## Why is the loss 0, and why does it rise?
#
# At the first step of a round, the policy is the one that wrote the answers. So each [probability
# ratio](../reference/glossary.md#probability-ratio) is 1, and the loss is minus the mean of the
# advantages, which sum to 0 within a group. The gradient is not 0, because every answer pushes the
# policy in its own direction.

# %%
rollout = answered(sft, reward)
for average in ("answer", "batch"):
    log = first_step(sft, rollout, average=average)
    print(f"mean by {average:7}loss {log['loss']:+.4f}", end="   ")
    print(f"grad_norm {log['grad_norm']:.3f}")

# %% [markdown]
# If the loss averages within answers first, it is 0 up to rounding. If all tokens count equally,
# TRL's default, longer answers count more, so the loss can be above or below 0. Later the loss
# contains the KL penalty, which grows (TRL [#2703](https://github.com/huggingface/trl/issues/2703),
# [#3452](https://github.com/huggingface/trl/issues/3452)). Here is a run that averages within
# answers first, and one with two of TRL's defaults (tokens count equally, β = 0):

# %%
by_tens("by_answer", "loss", "kl_token", "reward")
by_tens("no_kl", "loss", "reward")

# %% [markdown]
# In the first run the loss rises with the KL. In the second, only the answers' lengths change the
# loss. Watch the reward, which rises overall in both.
#
# ## The reward varies, and nothing is learned
#
# The next reward varies within the batch but teaches nothing, because it counts the words in the
# *prompt*. All answers in a group get the same reward, so there is nothing to compare (TRL
# [#3857](https://github.com/huggingface/trl/issues/3857)).


# %%
def words_in_the_prompt(sequences):
    return sequences.attended[:, : sequences.prompt_length].sum(1).float()


def groups(rollout):
    scores = rollout.trained_on(USUAL.unfinished_score).unflatten(
        0, (-1, 8)
    )
    silent = (scores.std(1) == 0).float().mean()
    return (
        f"reward_std {scores.std():.2f}  frac_reward_zero_std {silent:.2f}"
    )


same_reward = answered(ppo, words_in_the_prompt)
assert same_reward.sequences.ended.all()  # else the reward differs
for name, seen in (
    ("reward model", answered(ppo, reward)),
    ("words in the prompt", same_reward),
):
    print(name.ljust(20), groups(seen))
for beta in (0.0, USUAL.kl_coef):
    log = first_step(ppo, same_reward, replace(USUAL, kl_coef=beta))
    norm = f"grad_norm {log['grad_norm']:.3f}"
    print(f"words in the prompt, β = {beta}: {norm}")

# %% [markdown]
# So look at the spread *within* groups. TRL logs the share of groups without spread as
# `frac_reward_zero_std`. `reward_std` is the spread across the batch, and tells you nothing about
# groups. (Up to TRL 0.26, `reward_std` was the mean of the groups' spreads.)
#
# The gradient in the last line is not a fault. In a group without spread all advantages are 0, but
# the KL penalty still pulls the policy back to the reference (TRL
# [#5588](https://github.com/huggingface/trl/issues/5588)).
#
# ## How many answers to each prompt?
#
# Suppose the reward is 1 for a right answer and 0 otherwise, and the policy is right with
# probability $p$. A group of $G$ answers has no spread, or is *silent*, if all are right or none
# is:
#
# $$P(\text{silent}) = p^G + (1 - p)^G$$
#
# Our SFT policy answers each practised question about a capital or a sum 64 times. *Law* predicts
# the share of silent groups from one half of the answers. *Seen* is that share in the other half.

# %%
practised = asked(held_out=False)
said, _ = sample(
    sft,
    lesson.tokens(
        [question.text for question in practised for _ in range(64)]
    ),
    Symptom(),
    lesson.generator("groups"),
)
right = judge(Rule(correct=1.0), lesson)(said).unflatten(0, (-1, 64))
half, other = right.chunk(2, 1)


def law(right, size):
    """The mean over the questions, without the bias of a measured p."""
    hits = [int(count) for count in right.sum(1)]
    ways = [
        math.comb(hit, size) + math.comb(32 - hit, size) for hit in hits
    ]
    return sum(ways) / len(ways) / math.comb(32, size)


print(f"right: {right.mean():.0%} of {right.numel():,} answers")
for size in (2, 4, 8, 16, 32):
    spread = other.unflatten(1, (-1, size)).std(2)
    seen = (spread == 0).float().mean()
    print(f"G = {size:2}   law {law(half, size):.3f}   seen {seen:.3f}")

# %% [markdown]
# The two columns nearly agree. Where right answers are rare, a group needs about $0.7/p$ answers to
# have a signal half the time (CoursIA [#10603](https://github.com/jsboige/CoursIA/issues/10603)).
# Larger groups are not always better. If 128 answers form small groups, more groups have a signal;
# if they form large ones, each group estimates the mean and the spread better.
#
# A learned reward gives equal scores only to identical answers and to those that were cut off, so
# few groups are silent. We trained with our reward model on 128 answers per round, in groups of
# two, eight and 32:

# %%
outcome("group_2", "usual", "group_32")
assert lower("group_2")

# %% [markdown]
# Groups of two do worse here. The division by the spread makes their advantages +0.71 and −0.71,
# whether the rewards differ by a lot or a little. These are smaller than in larger groups, so the
# same β also restrains the policy more (the KL is lower); we did not separate the two effects.
# Groups of 32 may be a little better than groups of 8.
#
# ## Why is the clip ratio always 0?
#
# A ratio of exactly 1 is always within $1 \pm \varepsilon$. As long as each round is used for one
# step (`num_iterations=1`, with the default steps per generation), nothing can be clipped (TRL
# [#3120](https://github.com/huggingface/trl/issues/3120)). With more steps per round, some tokens
# are clipped:

# %%
for setting in ("usual", "epochs_2", "epochs_4"):
    by_tens(setting, "clipped")
print()
outcome("usual", "epochs_2", "epochs_4")

# %% [markdown]
# Few tokens are clipped, and ever fewer as the learning rate falls.
#
# ## All answers are cut off
#
# Answers are cut off if the limit (`max_completion_length`) is too short for them. An unfinished
# answer gets no reward or a fixed penalty. If all are cut off, `completions/clipped_ratio` is 1,
# all rewards are the same, and every group is silent (TRL
# [#5697](https://github.com/huggingface/trl/issues/5697)). Here a limit of 10 tokens instead of 34
# cuts off half of the answers at first. The first run penalises these; the second leaves them out
# of the loss (in TRL *mask_truncated_completions*):

# %%
for setting in ("limit_10", "limit_10_left_out"):
    by_tens(setting, "cut_off", "reward")
print()
outcome("usual", "limit_10", "limit_10_left_out")
assert lower("limit_10", "limit_10_left_out")
gap = study.difference("limit_10_left_out", "limit_10", "gold")
assert gap.p > 0.05
print(f"second minus first: {gap.mean:+.2f} ± {gap.reach:.2f}")

# %% [markdown]
# All policies may write 34 tokens when they are evaluated, but these two have learned to write
# short answers, and their gold reward is lower. Leaving out the cut-off answers makes no clear
# difference to that reward, though fewer are cut off later. A higher limit helps. Before a long
# run, check how many answers are cut off in the first round.
#
# ## Does the average make answers longer?
#
# The loss can average within each answer first, so that a token in a long answer counts less (as in
# GRPO's first paper; `loss_type="grpo"`). It can weight all tokens in the batch equally (`"dapo"`).
# Or it can divide by a constant, the maximum answer length (`"dr_grpo"`; [Liu, Z. et al.
# 2025](../reference/bibliography.md#liuz2025)). If the loss averages within answers, it penalises
# each token in a long bad answer less, and so may lengthen bad answers (TRL
# [#3138](https://github.com/huggingface/trl/issues/3138)). Dr. GRPO also does not divide by the
# spread (`scale_rewards="none"`).

# %%
outcome("usual", "by_answer", "by_constant")
assert noise("by_answer", "by_constant")

# %% [markdown]
# No difference is visible. But our answers have similar lengths, so this is no evidence either way.
# The third average only scales the loss, which Adam hardly notices.
#
# ## The entropy falls
#
# As the policy learns, it becomes more certain of its words, and its entropy falls (verl
# [#5953](https://github.com/verl-project/verl/issues/5953)). This is normal until all answers in a
# group are alike and nothing is left to compare. An entropy bonus in the loss (here a tenth of the
# entropy) counteracts the fall. A larger bonus may make the entropy rise
# ([#2738](https://github.com/verl-project/verl/issues/2738)); we tried only this one:

# %%
for setting in ("usual", "entropy_bonus"):
    by_tens(setting, "entropy", "silent")
print()
outcome("usual", "entropy_bonus")
assert noise("entropy_bonus")

# %% [markdown]
# The bonus keeps the entropy up, but no gain is visible; few groups were silent without it.
#
# ## There is no KL in the log
#
# By default TRL's `beta` is 0 for GRPO, so no reference model is loaded and no `kl` is logged
# (TRL [#4040](https://github.com/huggingface/trl/issues/4040)). With a *learned* reward, nothing
# then keeps the policy from exploiting the reward model's errors:

# %%
outcome("usual", "no_kl")
gap = study.difference("no_kl", "usual", "proxy")
print(f"change in score: {gap.mean:+.2f} ± {gap.reach:.2f}")

# %% [markdown]
# Without a KL penalty, the score is higher and the KL is three times as large. The gold reward is
# lower on average, but varies so much between the seeds that this may be noise. Where a rule gives
# the reward, β = 0 is usual: there is no learned judge with errors to exploit. The policy can still
# exploit what the rule does not check. [The chapter on such
# rewards](../guide/verifiable-rewards.md) shows runs with and without the penalty.
#
# ## Whose log-probabilities?
#
# If answers are drawn at a temperature other than 1, or only from the few most likely tokens, the
# sampling probabilities differ from the policy's probabilities at temperature 1. TRL divides the
# policy's logits by the temperature, so that the two agree. With top-k and top-p they do not agree
# (TRL [#6789](https://github.com/huggingface/trl/issues/6789)).
#
# A token's importance weight is the policy's probability of the token divided by the sampler's. All
# weights are 1 if the two agree. The last column estimates the KL of the sampler from the policy.

# %%
SAMPLERS = {
    "the policy itself": Symptom(),
    "temperature 0.5": Symptom(temperature=0.5),
    "the two top tokens": Symptom(top_k=2),
    "bfloat16": Symptom(bfloat16=True),
    "another policy (PPO's)": Symptom(),
}
print(" " * 27, "weight: mean   lowest  highest   KL, nats an answer")
for name, setting in SAMPLERS.items():
    generator = lesson.generator("weights")
    said, drawn_at = sample(
        ppo if "PPO" in name else sft, prompts, setting, generator
    )
    with torch.no_grad():
        read = logprobs(sft, said, Symptom())
    mask = said.response_mask
    weight = (read - drawn_at).exp()[mask]
    apart = (drawn_at - read).masked_fill(~mask, 0).sum(1).mean()
    numbers = f"{weight.mean():8.3f}{weight.min():9.3f}{weight.max():9.3f}"
    print(f"{name:28}{numbers}{apart:14.3f}")

# %% [markdown]
# A mean near 1 can hide individual weights far from 1. We also trained with such samplers. `cold`
# draws at temperature 0.5, and the loss uses the probabilities at temperature 1. `cold divided`
# also divides the logits in the loss, as TRL does, so it trains the policy at temperature 0.5.
# `cold weighted` multiplies each token's advantage by its weight, capped at 2. This corrects each
# token, but not the words before it, which the colder sampler wrote. `top 2` draws one of the two
# most likely tokens. No weight can correct for tokens that are never drawn.

# %%
outcome("usual", "cold", "cold_divided", "cold_weighted", "top_2")
assert lower("cold_divided")
assert noise("cold", "cold_weighted")
print()
for name in ("cold", "cold_divided", "cold_weighted"):
    gold = study.interval(name, "gold_as_sampled").mean
    print(f"{name.replace('_', ' '):17} gold at 0.5: {gold:.2f}")
gold = stored("methods").interval("grpo", "gold_greedy").mean
print(f"GRPO in the study of the methods, gold at 0: {gold:.2f}")

# %% [markdown]
# At temperature 1, the colder sampler does no visible harm, with or without weights. Dividing the
# logits trains a different policy, one meant to be sampled at 0.5. At 0.5 all three earn more gold.
# This does not show that cold training helps, because *usual* was not measured at 0.5. A similar
# policy, trained at temperature 1, earns even more when it always chooses the most likely word
# (last line).
#
# ## The sampler and the trainer disagree
#
# For large models, another program such as vLLM writes the answers. Its weights may be a few rounds
# out of date, and it computes in 16 bits, so its probabilities differ a little from the trainer's
# (TRL [#3867](https://github.com/huggingface/trl/issues/3867)). The ratio in the loss is still
# exactly 1, because TRL recomputes the old log-probabilities with the trainer. Look at
# `sampling/importance_sampling_ratio` instead.
#
# We tried two corrections. Truncated importance sampling multiplies each token's advantage by its
# weight, capped at 2 (Yao et al. [2025](https://fengyao.notion.site/off-policy-rl); `weighted`).
# TRL's default uses one weight for the whole answer, and leaves out answers with a weight above 3
# (`vllm_importance_sampling_mode="sequence_mask"`; `masked`). The sampler is eight rounds older
# than the policy, or computes in bfloat16:

# %%
outcome("usual", "older", "older_weighted", "older_masked", "bfloat16")
assert noise("older", "older_weighted", "older_masked", "bfloat16")
print()
for name in ("older", "bfloat16"):
    by_tens(name, "least_weight")

# %% [markdown]
# Neither sampler does visible harm here, with or without a correction. The older sampler's lowest
# weights are far below 1; the bfloat16 sampler's are not. Our answers are about 15 tokens long. In
# answers of hundreds of tokens, many such weights multiply, so a mismatch may matter.
#
# ---
# ## Exercise
#
# One answer in 20 solves a task. What is the smallest group size at which at least half of the
# groups have a signal?

# %% tags=["solution"]
size = next(g for g in range(2, 1000) if 0.05**g + 0.95**g <= 0.5)
print(f"{size} answers to each prompt")

# %% [markdown]
# ---
# ## Three lines to take away
#
# 1. A loss of 0 and a clip ratio of 0 are normal when each round is used once. Watch the reward,
#    the KL and the length instead.
# 2. A group teaches only if its rewards differ. Log the shares of groups without spread and of
#    answers that were cut off.
# 3. Find out which probabilities the tokens were drawn with. If these are not the policy's, log the
#    importance weights.
#
# **Next:** [RLVR](../guide/verifiable-rewards.md), where a program checks the answers.
