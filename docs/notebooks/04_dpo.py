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
#       page: notebook, derive, derivation, proof
#       the-loop: dpo training loop, dpo from scratch, sequence log-probability, frozen reference
#       from-the-optimum-to-the-loss-in-five-steps: best policy closed form, optimal policy
#       why-the-loss-starts-at-06931-and-when-it-stays-there: dpo loss 0.693, loss stuck, log 2
#       why-the-chosen-answers-reward-falls: chosen reward decreases, chosen reward falls
#       which-way-round-and-the-kl: which way round is the kl, forward reverse kl
#       one-frontier-for-all-methods: reward kl frontier, reward-KL frontier, k3
#       ipo-and-kto-two-other-losses: ipo loss, kto loss
# ---

# %% tags=["install", "skip-execution"]
# %pip install --quiet rlhf_explained.whl

# %% [markdown]
# # DPO: the policy is its own reward model
#
# Direct preference optimisation (DPO) learns from comparisons alone, as a reward model does, but
# the result is a policy. It needs no reward model, no sampling and no PPO. This notebook trains our
# model with DPO in a loop of twenty lines. Then it derives the loss in a world so small that every
# step can be checked.
#
# ## What you'll learn
#
# - DPO's training loop, written out
# - Why DPO's loss starts at 0.6931, and why the reward of the *chosen* answers falls
# - How the best policy turns into a loss on pairs, in five steps
# - What a larger β does, and in which direction the KL divergence is measured
# - Where DPO, PPO, GRPO and best-of-n lie on one frontier, and what IPO and KTO change
#
# **Prerequisites:** [reward models](../guide/reward-model.md), the KL penalty of
# [PPO](../guide/ppo.md), and gradients.
#
# **Time:** about 20 minutes to read, longer with the exercise.

# %%
import copy

import torch
from IPython.display import HTML, Markdown, display
from torch.nn.functional import logsigmoid

from rlhf_explained.figures import as_html
from rlhf_explained.formulas import (
    dpo_loss,
    ipo_loss,
    kl_exact,
    kto_loss,
    token_logprobs,
)
from rlhf_explained.measured import within
from rlhf_explained.measured.of_studies import frontier_share
from rlhf_explained.pipeline import RunConfig, run
from rlhf_explained.rollout import response_logits
from rlhf_explained.studies import stored
from rlhf_explained.studies.frontier import BETA, world
from rlhf_explained.training import Lesson
from rlhf_explained.world import exact, optima

result = run(RunConfig(seed=0))
generator = torch.Generator().manual_seed(0)


def say(text):
    display(Markdown(text))


def table(*rows):
    for row in rows:
        cells = (
            f"{cell:>9}" if isinstance(cell, str) else f"{cell:9.3f}"
            for cell in row
        )
        print(*cells)


# %% [markdown]
# ## The loop
#
# DPO starts from the SFT model, which is also the frozen *reference*. For each pair, it computes
# the log-ratios of the chosen and the rejected answer (how much more likely the policy makes each
# than the reference does), and pushes the first above the second. We use our reward model's
# training pairs.

# %%
lesson, sft = Lesson(0), result.policy("sft")
pairs, _ = lesson.compare(sft)
chosen, rejected = pairs.chosen, pairs.rejected


def answer_logprob(policy, answers):
    """Log-probability of each whole answer: the sum over its tokens."""
    logits = response_logits(policy, answers)  # (batch, tokens, words)
    logprobs = token_logprobs(logits, answers.responses)  # (batch, tokens)
    padding = ~answers.response_mask
    return logprobs.masked_fill(padding, 0).sum(1)  # (batch,)


with torch.no_grad():  # the reference does not change: once is enough
    ref_chosen = answer_logprob(sft, chosen)
    ref_rejected = answer_logprob(sft, rejected)

beta = 1.0
policy = copy.deepcopy(sft)
optimizer = torch.optim.AdamW(policy.parameters(), 3e-4, weight_decay=0)
history = []
for _ in range(150):
    rows = torch.randint(len(pairs), (64,), generator=generator)
    up = answer_logprob(policy, chosen.rows(rows)) - ref_chosen[rows]
    down = answer_logprob(policy, rejected.rows(rows)) - ref_rejected[rows]
    loss = -logsigmoid(beta * (up - down)).mean()

    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
    optimizer.step()
    rewards = beta * up.mean(), beta * down.mean()
    history.append([loss.item(), *(reward.item() for reward in rewards)])

log = torch.tensor(history)
table(("loss", "chosen", "rejected"), *log.view(-1, 30, 3).mean(1))

judge = result.policy("reward_model")
answers = lesson.examine(policy, sft, judge, answers=5)
gold = sum(answer.gold for answer in answers) / len(answers)
before = result.evaluation["sft"]["gold"]
say(
    f"Gold reward on held-out questions: SFT {before:.2f}, DPO {gold:.2f}."
)

# the check
zeros = torch.zeros_like(up)
assert torch.isclose(loss, dpo_loss(up, down, zeros, zeros, beta=beta))
assert abs(history[0][0] - 0.6931) < 1e-4
assert gold > before + 0.5
assert (log[-30:].mean(0)[1:] < 0).all()

# %% [markdown]
# Each line is a mean over 30 steps. The loss falls, and the gold reward shows that the answers
# improve greatly. *Chosen* and *rejected* are the policy's [implicit
# rewards](../reference/glossary.md#implicit-reward), β times the log-ratio. The margin between them
# grows, yet in the end even the chosen answers are *less* likely than under the reference. A
# smaller world shows why, and where the loss comes from.
#
# ## A world where the answer is known
#
# Our model can write more answers than anyone can list. The small world has 8 tokens. An answer has
# at most 4 tokens, and its reward depends on neighbouring tokens. So a policy is a list of
# log-probabilities, and a mean is a sum over this list. We keep the 400 most likely answers, so
# that all pairs fit into a matrix. Letters are tokens, and the dot ends an answer.

# %%
small_world = world(0)
every = small_world.logprobs(small_world.reference)
likeliest = every.topk(400)
reference = likeliest.values.log_softmax(0)
rewards = small_world.rewards.double()[likeliest.indices]

tokens = small_world.every.responses[likeliest.indices[:4]].tolist()
names = ["".join("_.abcdef"[i] for i in row).strip("_") for row in tokens]
table(
    ("answer", *names),
    ("reference", *reference[:4].exp()),
    ("reward", *rewards[:4]),
)
kept = likeliest.values.exp().sum()
say(
    f"The 400 answers account for {kept:.1%} of the reference's probability."
)

# %% [markdown]
# ## From the optimum to the loss, in five steps
#
# 1. The objective, reward − β KL(π ‖ π<sub>ref</sub>), has one best policy π*.
# 2. Solve its formula for the reward: *r* = β log π*/π<sub>ref</sub> + β log *Z*.
# 3. Compare two answers: the unknown *Z* cancels.
# 4. The labeler prefers *A* to *B* with probability σ(*r<sub>A</sub>* − *r<sub>B</sub>*).
# 5. Maximise the likelihood of the labels. The loss is −log σ(difference of the log-ratios, times
#    β).
#
# **Step 1: find the best policy.** RLHF maximises the reward minus β times the KL from the
# [reference](../reference/glossary.md#reference-model). The best policy is the reference,
# reweighted by the reward ([Rafailov et al. 2023](../reference/bibliography.md#rafailov2023)):
#
# $$\pi^*(y) = \frac{\pi_\mathrm{ref}(y)\, e^{r(y)/\beta}}{Z}$$
#
# *r* is the reward of an answer *y*, and *Z* makes the probabilities sum to 1. The best policy's
# objective is β log *Z*, and any other policy π falls short of it by β KL(π ‖ π*).

# %%
best = exact.tilted(reference, rewards, beta=BETA)
log_z = (reference + rewards / BETA).logsumexp(0)


def objective(policy):
    return exact.objective(policy, reference, rewards, beta=BETA).item()


missing, by_formula = [], []
for noise in torch.linspace(0.001, 3, 1000):
    random = torch.randn(400, generator=generator)
    other = (best + noise * random).log_softmax(0)
    missing.append(objective(best) - objective(other))
    by_formula.append(BETA * kl_exact(other, best).item())

say(f"""
The objective is {objective(reference):.4f} for the reference and
{objective(best):.4f} for the best policy. 1,000 random policies fall short
by {min(missing):.0e} to {max(missing):.2f}.
""")
assert min(missing) > 0
assert torch.allclose(*map(torch.tensor, (missing, by_formula)), atol=1e-9)
assert abs(objective(best) - BETA * log_z) < 1e-9

# %% [markdown]
# **Step 2: solve for the reward.** Up to the constant β log *Z*, the reward is β log
# π*/π<sub>ref</sub>, the implicit reward. Every policy has an implicit reward, for which it is the
# best policy.
#
# **Step 3: compare two answers.** *Z* is a sum over all answers, which nobody can compute for a
# language model. But *Z* is the same for both answers to a prompt, so it cancels.
#
# **Step 4: ask the labeler**, who follows the [Bradley–Terry
# model](../reference/glossary.md#bradley-terry-model). Each choice's probability follows from the
# policy alone.


# %%
def differences(values):
    """For every pair of answers, the first one's value minus the other's."""
    return values[:, None] - values


implicit = BETA * (best - reference)
preference = differences(rewards).sigmoid()
assert torch.allclose(implicit + BETA * log_z, rewards)  # step 2
assert torch.allclose(differences(implicit), differences(rewards))  # 3
assert torch.allclose(differences(implicit).sigmoid(), preference)  # 4

# %% [markdown]
# **Step 5: the loss.** Use the implicit reward of *any* policy π as a reward model, and maximise
# the likelihood of the labels (*A* is chosen, *B* rejected):
#
# $$\mathcal{L}_\mathrm{DPO} = -\log \sigma\left(\beta \log \frac{\pi(A)}{\pi_\mathrm{ref}(A)}
# - \beta \log \frac{\pi(B)}{\pi_\mathrm{ref}(B)}\right)$$
#
# The mean of this loss, over all pairs that the reference writes and over the labeler's choices, is
# a sum over a matrix. It is convex in the logits, so it is smallest where the gradient is zero:

# %%
occurs = 2 * reference.exp().outer(reference.exp())  # in either order


def expected_loss(policy, beta, preference=preference):
    losses = -logsigmoid(differences(beta * (policy - reference)))
    return (occurs * preference * losses).sum()


def steepest(policy, beta, preference=preference):
    """The largest entry of the loss's gradient."""
    logits = policy.clone().requires_grad_()
    expected_loss(logits, beta, preference).backward()
    return logits.grad.abs().max()


table(("policy", "loss", "gradient"))
for name, policy in (("reference", reference), ("best", best)):
    table((name, expected_loss(policy, BETA), steepest(policy, BETA)))
assert steepest(best, BETA) < 1e-12 < 1e-3 < steepest(reference, BETA)

# %% [markdown]
# The gradient is zero at the best policy. So DPO finds RLHF's optimum by classifying pairs,
# provided the labeler follows Bradley–Terry and there are enough pairs.
#
# ## Why the loss starts at 0.6931, and when it stays there
#
# At the start, the policy and the reference are the same, so every margin is 0, and the loss is
# −log σ(0) = log 2 = 0.6931, as for a coin toss. The loss cannot reach 0, because the labels are
# uncertain (the minimum above is 0.642). If the loss *stays* at exactly 0.6931, the margins are 0,
# for one of four reasons:
#
# - Nothing is trained: the weights are frozen, or the steps are too small.
# - Both answers in a pair are identical, for instance because both were cut off early.
# - The reference is the policy itself, not a frozen copy
#   ([TRL #1627](https://github.com/huggingface/trl/issues/1627)).
# - β is almost 0.
#
# If the margins move but the loss stays *near* 0.6931, the labels may be coin tosses. The best
# policy for such labels is the reference:

# %%
coin = torch.full_like(preference, 0.5)
print(f"gradient at the reference {steepest(reference, BETA, coin):.0e}")
assert steepest(reference, BETA, coin) < 1e-12

# %% [markdown]
# ## Why the chosen answer's reward falls
#
# Some took this for a bug (DPO
# [#8](https://github.com/eric-mitchell/direct-preference-optimization/issues/8),
# [TRL #800](https://github.com/huggingface/trl/issues/800)). The loss depends only on the margin.
# The reference wrote both answers in each pair. Averaged over the reference's answers, log
# π/π<sub>ref</sub> is −KL(π<sub>ref</sub> ‖ π), which is below 0 for any policy but the reference.
# So the mean of a pair's two log-ratios (the *middle*) falls. The chosen answer's log-ratio rises
# only if half the margin exceeds this fall. Here are the best policy's numbers, without training:

# %%
labeled = occurs * preference  # how often one is chosen, another rejected
table(("beta", "chosen", "rejected", "middle", "times"))
for beta in (2.0, 1.0, 0.5, 0.25):
    ratio = exact.tilted(reference, rewards, beta=beta) - reference
    up, down = labeled.sum(1) @ ratio, labeled.sum(0) @ ratio
    times = labeled.sum(1) @ ratio.exp()
    table((beta, up, down, (up + down) / 2, times))
middle = -kl_exact(reference, reference + ratio)
assert torch.isclose((up + down) / 2, middle)
assert up < 0 < 1 < times

# %% [markdown]
# The middle falls at every β, and at a small β so does the chosen answers' log-ratio. *Times* is
# the average factor by which chosen answers became more likely; it is above 1 at every β. But the
# reward is a mean of logarithms, dominated by answers that have lost almost all their probability.
# So a falling reward alone does not prove a fault.
#
# It can still be a warning. Our derivation assumes the best policy and pairs written by the
# reference; in most data sets, they come from elsewhere. Then the lost probability may move to
# answers that nobody compared, even to the opposite of the chosen ones. Razin et al.
# ([2024](../reference/bibliography.md#razin2024)) call this *likelihood displacement*. They trained
# Llama-3-8B-Instruct with DPO on pairs of refusals, and it then refused 33.4 % of unsafe requests
# instead of 74.4 %. New samples show where the probability went; the loss does not.
#
# ## Which way round β and the KL
#
# A **large β keeps the policy closer** to the reference. This has been explained backwards
# ([LLMs-from-scratch #818](https://github.com/rasbt/LLMs-from-scratch/pull/818)), and so has the
# KL's direction ([HF blog #1208](https://github.com/huggingface/blog/pull/1208)). The penalty is
# KL(π ‖ π<sub>ref</sub>), a mean over what the *policy* writes. With KL(π<sub>ref</sub> ‖ π), a
# different policy is best (the last two columns), and DPO's gradient is not zero there:

# %%
table(("beta", "reward", "KL", "reward", "KL"))
for beta in (2.0, 1.0, 0.5, 0.25):
    forward = exact.tilted(reference, rewards, beta=beta)
    reverse = optima.reverse_tilted(reference, rewards, beta=beta)
    row = [beta]
    for policy in (forward, reverse):
        row += exact.expected(policy, rewards), kl_exact(policy, reference)
    table(row)
assert steepest(forward, beta) < 1e-12 < steepest(reverse, beta)

# %% [markdown]
# As β falls, KL and reward grow. At β = 1 and below, the policy on the right moves much further,
# because KL(π<sub>ref</sub> ‖ π) hardly restrains a policy that concentrates on few answers.
#
# ## A decisive labeler makes β smaller
#
# A labeler who is *c* times as decisive chooses with probability σ(*c* Δ*r*), as if all rewards
# were *c* times as large. So DPO with β behaves as if its penalty had the weight β/*c*:

# %%
decisive = differences(5 * rewards).sigmoid()
stronger = exact.tilted(reference, rewards, beta=BETA / 5)
table(("c", "beta", "beta / c", "KL"))
table((1.0, BETA, BETA, kl_exact(best, reference)))
table((5.0, BETA, BETA / 5, kl_exact(stronger, reference)))
table((5.0, 5 * BETA, BETA, kl_exact(best, reference)))
c = result.facts["decisiveness"]
say(f"Our labeler's c is {c:g}, so β = 1 in the loop acts like {1 / c:g}.")
assert steepest(stronger, BETA, decisive) < 1e-9
assert steepest(best, 5 * BETA, decisive) < 1e-12

# %% [markdown]
# ## Too small a β over-optimises
#
# These are means over five seeds for DPO on our model's pairs, at four values of β. *Gold* is the
# gold reward on held-out prompts. *Proxy* is the reward model's score, which DPO never saw.
# *Chosen* and *rejected* are log-ratios in nats. From here on, ± is a 95 % interval over seeds.

# %%
study = stored("frontier")
columns = ("gold", "proxy", "kl", "helpful", "false", "chosen", "rejected")
table(("beta", *columns))
for beta in (3.0, 1.0, 0.3, 0.1):
    setting = f"miniature_{beta}"
    table(
        (beta, *(study.interval(setting, name).mean for name in columns))
    )

change = study.difference("miniature_0.1", "miniature_1.0", "gold")
say(
    f"From β = 1 to 0.1, gold reward changes by {within(change)}"
    f" ({study.origin})."
)
assert change.mean < -change.reach

# %% [markdown]
# At the smallest β, the margin and the KL are largest, but the gold reward has fallen. This is
# [over-optimisation](../reference/glossary.md#over-optimisation), although there is no reward model
# to exploit. Use a larger β, stop earlier, or add comparisons of new samples.
#
# ## One frontier for all methods
#
# We return to small worlds where every answer is listed. Each policy is a point, given by its KL
# from the reference and its gain in reward. The best policies, one per β, form the frontier, and no
# policy lies above it. We trained every method with the same β in five worlds (seeds 5 to 9).
# Best-of-n needs no training, so we computed its points.

# %%
display(HTML(as_html("frontier", result)))

settings = {
    "PPO": "ppo",
    "RLOO": "group",
    "DPO": "dpo",
    "GRPO": "grpo",
    "no std": "grpo_no_std",
    "ratio×k3": "ratio_k3",
    "k2": "k2",
}
share = {}
table(("method", "share", "±", "   at its KL"))
for name, key in settings.items():
    interval = study.interval(key, "share")
    share[name] = interval.mean
    table((name, share[name], interval.reach, frontier_share(key)[0]))
assert min(share["PPO"], share["RLOO"], share["DPO"]) > 0.97
assert max(share["GRPO"], share["no std"]) < 0.9

# %% [markdown]
# *Share* is the fraction of the possible gain in the objective (reward minus β KL) that a method
# reached. It is 1 for the best policy and 0 for the reference. *At its KL* is the gain in reward
# alone, as a share of the frontier's gain at the same KL. **PPO** and **RLOO** (group advantages,
# KL in the reward) all but reach the best policy, and **DPO**, from a million pairs, comes close.
#
# **GRPO**'s share is lower, and in one world it is almost 0, which lowers the mean. GRPO differs in
# two ways. First, its KL is in the loss, estimated by k₃. At each token, the gradient of k₃ is that
# of KL(π<sub>ref</sub> ‖ π), the other direction ([Tang and Munos
# 2025](../reference/bibliography.md#tang2025)). Second, GRPO divides the advantages by the spread
# of the group, which changes the weight of the penalty. So the same β means a different penalty,
# which also affects the share. At its KL, GRPO is closer to the frontier, but still below it. GRPO
# has its own optimum, where its gradient is zero. Here is one line for each world:

# %%
table(("world", "reached", "optimum", "to own", "to best"))
rows = [row for row in study.rows if row["setting"] == "grpo"]
for row in rows:
    names = ("share", "own_share", "to_own", "to_best")
    table((str(row["seed"]), *(row[name] for name in names)))

assert all(row["own_share"] < row["share"] for row in rows)
assert all(row["to_own"] < row["to_best"] for row in rows)

# %% [markdown]
# *Reached* is GRPO's share when training stopped. *Optimum* is the share at GRPO's optimum. The
# last two columns are the distances in nats from the trained policy to this optimum and to the best
# policy. In every world GRPO stops nearer to its own optimum (a smaller share) than to the best
# policy. More training may not lead it there: in other worlds, [four times as many rounds were not
# enough](../reference/experiments.md#what-does-not-keep-grpo-from-its-own-optimum). In such worlds,
# put the KL into the reward (`RLOOTrainer` in TRL).
#
# In the table of shares, *no std* omits only the division, as [Dr.
# GRPO](../reference/bibliography.md#liuz2025) does. *Ratio×k3* (TRL's form since version 1.10) and
# *k2* also correct the direction of the KL. Unlike a KL in the reward, they still ignore how a
# token changes the KL of later tokens. **Best-of-n** is usually nearer to the frontier than GRPO,
# but samples n answers for each one returned.
#
# ## IPO and KTO: two other losses
#
# **IPO** ([Azar et al. 2024](../reference/bibliography.md#azar2024)) limits the margin. If all
# labels for a pair agree, DPO's best margin is infinite. IPO sets a target of 1/(2β) for the
# difference between the log-ratios, and penalises a margin that is too wide as much as one that is
# too narrow. With noisy labels, IPO's optimum reweights the reference by the *win rate* instead of
# the reward:

# %%
winner = exact.tilted(reference, preference @ reference.exp(), beta=BETA)
logits = winner.clone().requires_grad_()
gap = differences(logits - reference) - 1 / (2 * BETA)
(labeled * gap.square()).sum().backward()
say(f"""
IPO's best policy is {kl_exact(winner, reference):.2f} nats from the
reference, DPO's {kl_exact(best, reference):.2f}.
""")
assert logits.grad.abs().max() < 1e-12

# %% [markdown]
# Win rates lie between 0 and 1, so IPO's log-ratios differ by at most 1/β, and it stays closer to
# the reference.
#
# **KTO** ([Ethayarajh et al. 2024](../reference/bibliography.md#ethayarajh2024)) needs no pairs.
# Single answers are marked good or bad. KTO's loss uses the sigmoid itself instead of its
# logarithm. How hard does each loss push a good answer up, at different log-ratios?

# %%
zero, good = torch.zeros(1), torch.tensor([True])
table(("log-ratio", "DPO", "IPO", "KTO"))
for nats in (-20.0, -2.0, 0.0, 2.0, 20.0):
    ratio = torch.full((1,), nats, requires_grad=True)
    losses = (
        dpo_loss(ratio, zero, zero, zero, beta=BETA),
        ipo_loss(ratio, zero, zero, zero, beta=BETA),
        kto_loss(ratio, zero, good, beta=BETA, kl=0.0),
    )
    pushes = (
        -torch.autograd.grad(loss, ratio)[0].item() for loss in losses
    )
    table((nats, *pushes))

# %% [markdown]
# DPO and IPO push harder the lower the log-ratio is, and IPO pushes back beyond its target. KTO
# hardly pushes answers whose log-ratio is far from 0, such as wrongly marked ones.
#
# ## Exercise
#
# Below which value of β is the best policy's reward for chosen answers negative? Use bisection.

# %% tags=["solution"]
low, high = 0.5, 2.0
for _ in range(40):
    beta = (low + high) / 2
    ratio = exact.tilted(reference, rewards, beta=beta) - reference
    rises = labeled.sum(1) @ ratio > 0
    low, high = (low, beta) if rises else (beta, high)
print(f"below {beta:.3f}")

# %% [markdown]
# ## Three lines to take away
#
# 1. A policy *is* a reward model, β log π/π<sub>ref</sub>. DPO is the Bradley–Terry loss on that
#    reward.
# 2. A loss of 0.6931 is no better than a coin toss. Watch the margin more than the chosen reward,
#    and above all read new samples.
# 3. A larger β keeps the policy closer to the reference. For a labeler five times as decisive, use
#    five times the β.
#
# **Next:** [when GRPO's numbers look wrong](04b_when_grpo_looks_wrong.py).
