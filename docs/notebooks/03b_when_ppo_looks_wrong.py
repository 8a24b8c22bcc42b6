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
#       page: debugging ppo, ppo troubleshooting
#       why-is-my-kl-negative: KL negative, negative KL
#       why-is-it-not-zero-at-the-first-step: KL not zero at step 0, KL at first step
#       my-kl-explodes: KL explodes, exploding KL, KL too high
#       my-reward-does-not-rise-broken-or-noisy: reward not increasing, flat reward
#       what-to-log: what to log, metrics, monitoring
#       same-seed-different-numbers: same seed different results, reproducibility
# ---

# %% tags=["install", "skip-execution"]
# %pip install --quiet rlhf_explained.whl

# %% [markdown]
# # When PPO's numbers look wrong
#
# PPO prints a log, and the log looks odd: a KL below zero, a KL before anything was learned, a
# reward that does not move. Here each of these is brought about on purpose, with the run's own
# models, so that you know it when you see it.
#
# ## What you'll learn
#
# - Why a KL is negative, not zero at the first step, or exploding
# - Whether a reward that does not rise is broken or merely noisy
# - What to log, how it looks in a run that went well, and how much the critic knows
#
# **Prerequisites:** [PPO for language models](03_ppo_for_language_models.py).
#
# **Time:** about 10 minutes to read. The first cell trains the model if that was not done before.

# %%
import copy
from dataclasses import replace

import torch
from IPython.display import Markdown, display

from rlhf_explained.measured import number, value
from rlhf_explained.pipeline import RunConfig, run
from rlhf_explained.rollout import generate, sequence_logprobs
from rlhf_explained.stages.evaluation import clustered
from rlhf_explained.stages.ppo import PPOConfig
from rlhf_explained.studies import stored
from rlhf_explained.world.questions import evaluation_questions
from rlhf_explained.world.tokenizer import (
    EOS,
    RESPONSE_LIMIT,
    world_tokenizer,
)

torch.set_num_threads(1)
result = run(RunConfig(seed=0))
policy, sft = result.policy("ppo"), result.policy("sft")
tokenizer = world_tokenizer()
asked = [question.text for question in evaluation_questions(5)]


def sample(model, temperature=1.0):
    """Answers to the held-out questions, each asked five times."""
    luck = torch.Generator().manual_seed(0)
    how = {"generator": luck, "temperature": temperature}
    return generate(
        model,
        list(map(tokenizer.encode, asked)),
        limit=RESPONSE_LIMIT,
        **how,
    )


@torch.no_grad()
def log_ratios(model, reference, answers, read=None):
    """Each answer's log-ratio, the sum of its k1; the reference may read it differently."""
    return sequence_logprobs(model, answers) - sequence_logprobs(
        reference, read or answers
    )


def report(name, sums):
    """Their mean, what a log calls KL, ± two standard errors by question; how many are below 0."""
    mean, error = clustered(list(zip(asked, sums.tolist(), strict=True)))
    shown = f"{number(mean, 4)} ± {number(2 * error, 4)}"
    print(
        name.ljust(29),
        shown.rjust(18),
        f"  negative {(sums < 0).float().mean():.0%}",
    )


# %% [markdown]
# ---
# ## Why is my KL negative?
#
# What is logged is not the KL but a sampled estimate: over the tokens of each answer, the sum of
# $k_1 = \log\pi - \log\pi_\mathrm{ref}$. One answer's may have any sign. Its *mean* over the
# policy's own answers is the KL, which cannot be negative.

# %%
own = sample(policy)
report("PPO's own answers", log_ratios(policy, sft, own))

# %% [markdown]
# So a batch's mean a little below 0 is chance. A mean that *stays* below 0 says that the answers
# are not the policy's own: its probabilities are not those that the tokens were drawn with (TRL
# [#1005](https://github.com/huggingface/trl/issues/1005),
# [#615](https://github.com/huggingface/trl/issues/615),
# [#256](https://github.com/huggingface/trl/issues/256),
# [#1857](https://github.com/huggingface/trl/issues/1857), LlamaFactory
# [#664](https://github.com/hiyouga/LlamaFactory/issues/664),
# [#3902](https://github.com/hiyouga/LlamaFactory/issues/3902)). Four ways to draw answers that are
# not the policy's own. Each spoils the number; which way it goes is another question:


# %%
def never_ends(hidden):
    """The policy's scores of all tokens, with the end forbidden, as a minimum length does."""
    return policy.logits(hidden).index_fill(
        -1, torch.tensor(EOS), -torch.inf
    )


forced = copy.deepcopy(policy)
forced.logits = never_ends
start = sample(sft)
report("a minimum length of 28", log_ratios(policy, sft, sample(forced)))
report("answers of the SFT policy", log_ratios(policy, sft, start))
report(
    "drawn at temperature 0.5",
    log_ratios(policy, sft, sample(policy, 0.5)),
)
report(
    "drawn at temperature 2", log_ratios(policy, sft, sample(policy, 2.0))
)

# %% [markdown]
# The SFT row is minus KL(SFT ‖ PPO), so it *must* be negative: what you get where an older policy,
# or another program, writes the answers. For the other rows there is no such law: they can come out
# on either side of 0, and are wrong either way
# ([an example](../guide/over-optimisation.md#questions-that-people-ask)). Where the mean is
# negative, the penalty *pays* the policy for leaving the reference.
#
# ## Why is it not zero at the first step?
#
# There policy and reference are one model, and each log-ratio is exactly 0, not only their mean. If
# yours are not, the two are not run alike:

# %%
dropping = copy.deepcopy(sft)
for block in dropping.blocks:
    block.register_forward_hook(
        lambda module, given, out: torch.dropout(out, 0.1, train=True)
    )
torch.manual_seed(0)
padding_too = replace(start, attended=torch.ones_like(start.attended))

report("alike", log_ratios(sft, sft, start))
report(
    "reference in bfloat16",
    log_ratios(sft, copy.deepcopy(sft).bfloat16(), start),
)
report("reference with dropout 0.1", log_ratios(sft, dropping, start))
report(
    "reference that reads padding",
    log_ratios(sft, sft, start, padding_too),
)
assert not log_ratios(sft, sft, start).any()

# %% [markdown]
# Rounded log-probabilities are no distribution: that is how a policy and a reference in different
# precision begin with a small KL of either sign.
#
# ## My KL explodes
#
# The KL grows as far as the score pays for it (TRL
# [#204](https://github.com/huggingface/trl/issues/204)). The largest of any round, and what it did
# to the gold reward at the end, mean of the seeds of the study of
# [PPO without its parts](03_ppo_for_language_models.py#take-one-part-away):

# %%
study = stored("ablations")
for setting in study.config:
    largest, gold = (
        study.interval(setting, what).mean
        for what in ("largest_kl", "gold")
    )
    print(
        setting.replace("_", " ").ljust(21),
        f"{largest:5.1f} nats   gold",
        number(gold).rjust(5),
    )

# %% [markdown]
# Read some answers first. Then a larger β, fewer epochs a batch, a smaller learning rate, one at a
# time. And rule out the rows further up: some look like an explosion and are a wrong measurement.
#
# ## My reward does not rise: broken or noisy?
#
# First know the noise. The mean score of a batch has the standard error $s / \sqrt{n}$: the spread
# of single scores over the root of the batch size (TRL
# [#41](https://github.com/huggingface/trl/issues/41),
# [#1098](https://github.com/huggingface/trl/issues/1098)). A rise smaller than that is not to be
# seen from one round to the next:

# %%
batch = result.facts["rollout_batch"]
for name in ("sft", "ppo"):
    scores = torch.tensor(
        [answer["proxy"] for answer in result.responses[name]]
    )
    error = scores.std() / batch**0.5
    print(
        name,
        f"s = {scores.std():.3f}, n = {batch}, standard error {error:.3f}",
    )

display(Markdown(value("reward-rise-verdict", result).text))

# %% [markdown]
# If a rise should be visible and is not, ask in this order:
#
# 1. Does the reward model tell your answers apart ([held-out accuracy](../guide/reward-model.md))?
# 2. Are answers cut off before they end (`finished`), and scored for that? Then `trained_score` is
#    below `proxy`.
# 3. Is β so large that only the timid answer pays?
# 4. Does nothing move: clip fraction and KL both 0 from the start (steps too small, frozen
#    weights)? Or is the entropy gone (nothing left to compare)?
#
# ## What to log
#
# The run's own log: each number by its formula, and how it went in this healthy run. Losses,
# entropy and clip fraction are means over all steps of a round, so that the first round's are not
# those of the untouched policy alone.

# %%
LOG = {
    "proxy": "mean score",
    "trained_score": f"cut off: {number(PPOConfig().unfinished_score, 0)} instead",
    "finished": "share that ends with <eos>",
    "kl": "mean answer's Σ k1",
    "length": "mean number of tokens",
    "entropy": "mean of −Σ p log p",
    "clip_fraction": "share with |ρ − 1| > ε",
    "policy_loss": "−mean min(ρA, clip(ρ)A)",
    "value_loss": "½ mean max sq. error",
    "value_error": "mean of (return − value)²",
    "explained_variance": "1 − Var(R − V) / Var(R)",
    "gold": "mean gold reward",
}
print(" " * 45, "  first    last  lowest highest")
for name, formula in LOG.items():
    cells = [row[name] for row in result.history["ppo"]]
    shown = (cells[0], cells[-1], min(cells), max(cells))
    print(
        name.ljust(18),
        formula.ljust(26),
        *(number(cell, 3).rjust(7) for cell in shown),
    )

# %% [markdown]
# Worry when
#
# - the proxy rises and the answers get odd: read them, on held-out questions,
# - fewer answers finish, and proxy and trained score part,
# - the KL grows without end, or is not 0 in the first round,
# - the length drifts: a reward model may like long answers,
# - the entropy falls to 0: nothing is tried any more,
# - the clip fraction grows from round to round: the steps get too large,
# - the explained variance stays at 0 or below it: the critic knows no more than the mean, or less.
#
# That the value error falls, as here, proves little: when the scores get more alike, it falls by
# itself. [Explained variance](03_ppo_for_language_models.py#what-the-critic-knows) divides by how
# unlike they are.
#
# The policy loss says little: with whitened advantages it stays near 0 whatever is learned.
#
# ## How much does the critic know?
#
# The log has it on the questions that the critic learned from. Now on those that it never met, the
# exam's. What is still to come is summed to the end of each answer (λ = 1), so that no critic has a
# say in it.

# %%
from rlhf_explained.formulas import gae, kl_shaped_rewards
from rlhf_explained.rollout import collect_rollout, response_values, score
from rlhf_explained.stages.ppo import credit, explained_variance

reward_model = result.policy("reward_model")
prompts = list(map(tokenizer.encode, asked))


def judge(sequences):
    return score(reward_model, sequences)


print("explained before the …   first token   last token")
before, after = (
    ("before PPO", sft, reward_model),
    ("after", policy, result.policy("critic")),
)
for name, model, critic in (before, after):
    luck = torch.Generator().manual_seed(0)
    rollout = collect_rollout(
        model, sft, judge, prompts, limit=RESPONSE_LIMIT, generator=luck
    )
    with torch.no_grad():
        guesses = response_values(critic, rollout.sequences)
    came = credit(rollout, guesses, PPOConfig(gae_lambda=1.0)).returns
    last = rollout.sequences.lengths[:, None] - 1
    shown = []
    for places in (0 * last, last):
        guess, goal = guesses.gather(1, places), came.gather(1, places)
        shown.append(
            number(
                explained_variance(
                    guess, goal, torch.ones_like(goal).bool()
                )
            )
        )
    print(name.ljust(22), shown[0].rjust(13), shown[1].rjust(12))

# %% [markdown]
# Before the first word nobody can know what will be written, only how such questions go. Before PPO
# the critic is the reward model, which was trained to mean something at the last token alone.
#
# And the errors of a single surprise δ? Take the tokens of which the policy was sure, and those of
# which it was not, the last ones aside:

# %%
mask = rollout.sequences.response_mask
logprobs, ref_logprobs = rollout.logprobs, rollout.ref_logprobs
beta = PPOConfig().kl_coef
rewards = kl_shaped_rewards(
    rollout.scores, logprobs, ref_logprobs, mask, kl_coef=beta
)
surprises, _ = gae(rewards, guesses, mask, gamma=1, gae_lambda=0)
inside = mask & (torch.arange(mask.shape[1]) < last)
sure = logprobs.exp() > 0.99
for name, which in (
    ("sure, p > 0.99", inside & sure),
    ("not sure", inside & ~sure),
):
    size = surprises[which].square().mean().sqrt().item()
    print(
        f"{name:15} {int(which.sum()):5,} tokens, δ is {number(size)} (root mean square)"
    )

# %% [markdown]
# What stands in the first line is the critic's error and hardly anything else. A surprise of that
# size says nothing about its token. So one answer cannot tell which of its words earned the score;
# PPO needs batches of them.
#
# ## Same seed, different numbers?
#
# On one machine a seed gives this run again bit by bit. On another processor sums are added in
# another order, and one other token changes all that follows
# ([more](../guide/over-optimisation.md#questions-that-people-ask)).
#
# ---
# ## Exercise
#
# $k_3 = e^{-k_1} - 1 + k_1$ has the KL as its mean too, and is never negative. Log it instead, for
# PPO's own answers and for those of the SFT policy. Does it agree with $k_1$, is it less noisy, and
# does it still warn you?

# %% tags=["solution"]
from rlhf_explained.formulas import kl_k1, kl_k3, token_logprobs
from rlhf_explained.rollout import response_logits

for name, answers in (("own", own), ("SFT's", start)):
    with torch.no_grad():
        logits = [
            response_logits(model, answers) for model in (policy, sft)
        ]
    logprobs = [token_logprobs(each, answers.responses) for each in logits]
    for estimate in (kl_k1, kl_k3):
        by_token = estimate(*logprobs).masked_fill(
            ~answers.response_mask, 0
        )
        report(f"{name}, {estimate.__name__}", by_token.sum(1))

# %% [markdown] tags=["solution"]
# A number that cannot be negative cannot warn that it should not be trusted. Log $k_1$, whatever
# you train with.

# %% [markdown]
# ---
# ## Three lines to take away
#
# 1. A mean KL below zero, or any KL at step 0, is a measurement to mend.
# 2. A reward is compared with its standard error before it is called flat.
# 3. Every number of a log has a formula; if you cannot say it, do not trust the number.
#
# **Next:** [When the score stops being the goal](../guide/over-optimisation.md): what the policy
# without the penalty learned to say.
