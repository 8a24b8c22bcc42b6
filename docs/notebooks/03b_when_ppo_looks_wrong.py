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
#       why-is-my-kl-negative: KL negative, negative KL, negative KL divergence
#       why-is-it-not-zero-at-the-first-step: KL not zero at step 0, KL at first step
#       my-kl-explodes: KL explodes, exploding KL, KL too high
#       my-reward-does-not-rise-broken-or-noisy: reward not increasing, flat reward
#       after-sft-the-answers-do-not-end: never stops, sft does not stop, pad token eos
#       one-answer-several-scores: same answer different score, reward model pad token, batch
#       what-to-log: what to log, metrics, monitoring
#       same-seed-different-numbers: same seed different results, reproducibility
# ---

# %% tags=["install", "skip-execution"]
# %pip install --quiet rlhf_explained.whl

# %% [markdown]
# # When PPO's numbers look wrong
#
# PPO's log sometimes looks odd. The KL may be negative, or above zero before anything has been
# learned, or the reward may not move. This notebook causes most of these symptoms on purpose, with
# the run's own models, so that you will recognise them.
#
# ## What you'll learn
#
# - Why the KL may be negative, differ from zero at the first step, or explode
# - How to tell a fault from noise when the reward does not rise
# - Two faults with padding: answers that do not end, and scores that depend on the batch
# - What to log, what the log of a healthy run looks like, and how much the critic knows
#
# **Prerequisites:** [PPO for language models](03_ppo_for_language_models.py).
#
# **Time:** about 20 minutes to read. The first cell trains the model if it has not yet been
# trained.

# %%
import copy
from dataclasses import replace

import torch
from IPython.display import Markdown, display

from rlhf_explained.measured import number, value
from rlhf_explained.pipeline import RunConfig, run
from rlhf_explained.rollout import generate, score, sequence_logprobs
from rlhf_explained.stages.evaluation import clustered, mark
from rlhf_explained.stages.ppo import PPOConfig
from rlhf_explained.stages.sft import train_sft
from rlhf_explained.studies import stored
from rlhf_explained.training import Lesson
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
    """Each answer's log-ratio, the sum of its k1.

    `read` is what the reference reads, if that differs.
    """
    return sequence_logprobs(model, answers) - sequence_logprobs(
        reference, read or answers
    )


def report(name, sums):
    """Their mean, ± two standard errors by question; how many are below 0."""
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
# The log does not show the KL itself but an estimate from samples: the sum of $k_1 = \log\pi -
# \log\pi_\mathrm{ref}$ over the tokens of each answer. For one answer the estimate can have either
# sign. Its *mean* over many of the policy's own answers approaches the KL, which cannot be
# negative. In the lines below, ± is two standard errors, clustered by question.

# %%
own = sample(policy)
report("PPO's own answers", log_ratios(policy, sft, own))

# %% [markdown]
# For a few answers the estimate is below 0, but the mean is well above 0. If the mean of a batch is
# slightly below 0, this may be due to chance. If the mean *stays* below 0, the answers are not the
# policy's own: their tokens were drawn with probabilities other than the policy's. The cause may be
# top-k or top-p (sampling only likely tokens), a temperature, a minimum length, or padding that was
# counted as part of the answer. Users of TRL and LlamaFactory, two training libraries, often meet
# this problem (TRL [#1005](https://github.com/huggingface/trl/issues/1005),
# [#736](https://github.com/huggingface/trl/issues/736),
# [#615](https://github.com/huggingface/trl/issues/615),
# [#256](https://github.com/huggingface/trl/issues/256),
# [#235](https://github.com/huggingface/trl/issues/235),
# [#1857](https://github.com/huggingface/trl/issues/1857), LlamaFactory
# [#664](https://github.com/hiyouga/LlamaFactory/issues/664),
# [#3902](https://github.com/hiyouga/LlamaFactory/issues/3902)).
#
# An invented policy that chooses between three tokens shows how this happens. Sampled freely, its
# mean log-ratio is the KL. If it is not allowed to stop, as under a minimum length, the mean is
# negative:

# %%
# probabilities of "<eos>", "and", "."
invented = torch.tensor([0.6, 0.3, 0.1])
reference = torch.tensor([0.5, 0.3, 0.2])
log_ratio = (invented / reference).log()

never_eos = torch.tensor([0.0, 0.3, 0.1]) / 0.4
print(f"from the policy:   {(invented * log_ratio).sum():+.3f}")
print(f"'<eos>' forbidden: {(never_eos * log_ratio).sum():+.3f}")

# %% [markdown]
# Now consider the trained policy. Here are four ways to draw answers that are not the policy's own.
# Each of them can bias the estimate, upwards or downwards:


# %%
def never_ends(hidden):
    """The policy's logits, with the end forbidden by a minimum length."""
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
# The row for the SFT policy estimates the negative of KL(SFT ‖ PPO), so it *must* be negative. The
# mean can also be negative when an older policy, or a different program, writes the answers. The
# estimates in the other rows can have either sign, and in neither case do they measure the
# policy's KL. Where the mean is negative, the penalty *rewards* the policy for leaving the
# reference.
#
# ## Why is it not zero at the first step?
#
# At the first step the policy and the reference are the same model, so every log-ratio should be
# zero. If your log-ratios are not, the two models are not being run in the same way. Here are three
# differences of this kind:

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
# Only in the first row is every log-ratio 0. Rounding gives a small estimate of either sign,
# because rounded probabilities do not add up to exactly 1. Dropout and padding can make the
# estimate large.
#
# ## My KL explodes
#
# The KL grows as long as the score rises by more than the penalty subtracts (TRL
# [#204](https://github.com/huggingface/trl/issues/204)). The study of [PPO without its
# parts](03_ppo_for_language_models.py#take-one-part-away) contains examples. Here is the largest KL
# in any round, and the gold reward at the end (means over the seeds):

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

gold = {name: study.interval(name, "gold").mean for name in study.config}
assert {*sorted(gold, key=gold.get)[:2]} == {
    "no_kl",
    "eight_epochs_no_clip",
}

# %% [markdown]
# Where the KL explodes (no penalty; eight epochs without the clip), the gold reward is lowest. If
# your KL explodes, read some answers first. Then try a larger β, fewer epochs per batch, or a
# smaller learning rate, one at a time. Also rule out the causes above, because the fault may lie in
# the measurement.
#
# ## My reward does not rise: broken or noisy?
#
# First measure the noise. The mean score of a batch has the standard error $s / \sqrt{n}$: the
# standard deviation of single scores, divided by the square root of the batch size (TRL
# [#41](https://github.com/huggingface/trl/issues/41),
# [#1098](https://github.com/huggingface/trl/issues/1098)). A difference between two batches may be
# only noise if it is smaller than about three of these standard errors:

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
# Early in the run a rise is easy to see. Late in the run the score has levelled off, which is not a
# fault. If you expect a rise and see none, ask these questions in order:
#
# 1. Can the reward model tell good answers from bad ones ([held-out
#    accuracy](../guide/reward-model.md))?
# 2. Are answers being cut off before they end (see `finished`) and penalised for it? Then
#    `trained_score` is below `proxy`.
# 3. Is β so large that the penalty outweighs any rise in the score?
# 4. Do the clip fraction and the KL both stay at 0? Then the steps are too small, or the weights
#    are frozen.
# 5. Is the entropy 0? Then all answers to a prompt are the same.
#
# ## After SFT the answers do not end
#
# Many tokenizers have no padding token, so people use the end token for padding, too. If the
# program then excludes all padding from the loss, it also excludes every real end token. Here we
# repeat SFT with this fault:

# %%
lesson = Lesson(0)
shown = lesson.packed(lesson.shown)
without_end = shown.response_mask & (shown.responses != EOS)
endless = train_sft(
    result.policy("base"),
    replace(shown, response_mask=without_end),
    lesson.packed(lesson.unseen),
    lesson.imitation,
    generator=lesson.generator("endless"),
).policy
print("SFT           answers that end   tokens per answer")
for name, model in (("as it should", sft), ("with the fault", endless)):
    answers = sample(model)
    ended, length = answers.ended.float(), answers.lengths.float()
    print(f"{name:14}{ended.mean():14.1%}{length.mean():18.1f}")

# %% [markdown]
# The faulty model tends to go on writing until it reaches the limit. Here most answers still end,
# because our pretrained model has learned from the web where an answer ends. A model that has never
# seen this format has nothing to fall back on. So print the mask of one batch before you train
# ([how to do this in TRL](05_practical_rlhf_with_trl.py#one-batch-before-anything-is-trained)).
#
# ## One answer, several scores
#
# A reward model must read an answer at its last token. If the padding token is also the end token,
# a program may look for the last token in the wrong place, and read the score at the padding. Then
# the score of an answer depends on the length of the other answers in its batch. Here is the run's
# judge, read in both places:

# %%
judge, luck = result.policy("reward_model"), torch.Generator()
twice = [q for q in evaluation_questions(5) for _ in range(2)]
prompts = [tokenizer.encode(question.text) for question in twice]
answers = generate(
    sft, prompts, limit=RESPONSE_LIMIT, generator=luck.manual_seed(0)
)
gold = torch.tensor([gold for *_, gold in mark(twice, answers, tokenizer)])


@torch.no_grad()
def in_last_column(answers):
    """Scores, read in the last column of a padded batch."""
    tokens, attended = answers.tokens, answers.attended
    return judge.scalar(judge.hidden(tokens, attended=attended)[:, -1])


def in_gold_order(scores):
    """Share of the pairs that scores order as gold rewards do."""
    lead, gold_lead = (x.view(-1, 2).diff() for x in (scores, gold))
    return (lead * gold_lead > 0)[gold_lead != 0].float().mean()


with torch.no_grad():
    right, wrong = score(judge, answers), in_last_column(answers)
short = answers.lengths.argmin()
alone = in_last_column(answers.rows(short[None]))
print(f"read at the last token:  {in_gold_order(right):.0%} in gold order")
print(f"read in the last column: {in_gold_order(wrong):.0%} in gold order")
print(f"the shortest answer, read in the last column: {alone.item():.2f}")
print(f"alone, and {wrong[short]:.2f} in the batch")
assert in_gold_order(wrong) < in_gold_order(right)

# %% [markdown]
# So score one answer alone and in a batch. If the two scores differ, the score is read in the wrong
# place, or the padding is not masked.
#
# ## What to log
#
# Here is the log of the site's own run, which is healthy. Each line gives the name of a quantity,
# its formula, and its values during the run. Losses, entropy and clip fraction are means over all
# steps in a round.

# %%
LOG = {
    "proxy": "mean score",
    "trained_score": "the same, −6 where cut off",
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
# These are warning signs:
#
# - The proxy rises, but the answers become odd. Read answers to held-out questions.
# - Fewer answers finish, so the proxy and the trained score differ.
# - The KL grows without end, or is not 0 in the first round.
# - The length grows. A reward model may favour long answers.
# - The entropy falls to 0, so the policy no longer tries anything new.
# - The clip fraction grows from round to round, which means that the steps are becoming too large.
# - The explained variance stays at 0 or below, so the critic predicts no better than the mean.
#
# In the first rounds a low explained variance is normal, because the critic has just begun to
# learn. A falling value error proves little, because it also falls when the scores become more
# alike. [Explained variance](03_ppo_for_language_models.py#what-the-critic-knows) corrects for
# this. The policy loss tells you little either. With whitened advantages it stays near 0, whatever
# is learned.
#
# ## How much does the critic know?
#
# The log measures the explained variance on the questions on which the critic was trained. Here it
# is measured on the evaluation questions, which the critic has never seen. The rewards are summed
# to the end of each answer (λ = 1), so that the returns do not depend on the critic.

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
# Before the first word, the critic does not know what will be written. It can know only how well
# the policy usually answers such questions. So a low number in the first column is not a fault.
# Before PPO the critic is the reward model, whose output was trained only at the last token.
#
# How wrong is a single TD error δ? We leave out the last token of each answer, and compare the
# tokens of which the policy was sure with the rest:

# %%
mask = rollout.sequences.response_mask
logprobs, ref_logprobs = rollout.logprobs, rollout.ref_logprobs
beta = PPOConfig().kl_coef
rewards = kl_shaped_rewards(
    rollout.scores, logprobs, ref_logprobs, mask, kl_coef=beta
)
surprises, _ = gae(rewards, guesses, mask, gamma=1, gae_lambda=0)
inside = mask & (torch.arange(mask.shape[1]) < last)
sure, sizes = logprobs.exp() > 0.99, []
for name, which in (
    ("sure, p > 0.99", inside & sure),
    ("not sure", inside & ~sure),
):
    sizes.append(surprises[which].square().mean().sqrt().item())
    shown = number(sizes[-1])
    print(f"{name:15} {int(which.sum()):5,} tokens, δ: {shown} (RMS)")
share = (sizes[0] / sizes[1]) ** 2
print(f"mean square of the first line: {share:.0%} of the second's")

# %% [markdown]
# Tokens of which the policy was sure bring no new information, so the first line is almost entirely
# the critic's noise. The second line also contains real changes, because these tokens change the
# expected reward. If the critic's noise is equally large for these tokens, the last line gives the
# noise's share of their mean square. So a single δ is only a noisy measure of what its word
# contributed, and PPO averages over many answers.
#
# ## Same seed, different numbers?
#
# On one machine, a seed reproduces this run bit for bit. A different processor adds numbers in a
# different order, so the last digits differ. Sooner or later a different token is drawn, and
# everything after it changes.
#
# ---
# ## Exercise
#
# $k_3 = e^{-k_1} - 1 + k_1$ also has the KL as its mean, and is never negative. Log $k_3$ instead,
# for PPO's own answers and for those of the SFT policy. Does it agree with $k_1$? Is it less noisy?
# Does it still warn you?

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
# $k_3$ can never be negative, so it cannot warn you that the answers are not the policy's own. For
# PPO's own answers both have the KL as their mean, but a large part of $k_3$'s mean comes from rare
# tokens. A sample of this size usually contains too few of them, and then $k_3$ is too low. If it
# does contain one, $k_3$ can be far too high. So always log $k_1$ too, whichever of the two you
# train with. (Close to the reference, $k_3$ may be the less noisy one.)

# %% [markdown]
# ---
# ## Three lines to take away
#
# 1. If the mean KL stays below zero, or is not 0 at the first step, it is being measured wrongly.
# 2. Compare a change in reward with its standard error before you call the reward flat.
# 3. Every number in a log has a formula. If you do not know the formula, do not trust the number.
#
# **Next:** [Over-optimisation](../guide/over-optimisation.md) shows what the policy without the
# penalty learned to say.
