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
#       from-the-optimum-to-the-loss-in-five-steps: best policy closed form, optimal policy
#       why-the-loss-starts-at-06931-and-when-it-stays-there: dpo loss 0.693, loss stuck, log 2
#       why-the-chosen-answers-reward-falls: chosen reward decreases, chosen reward falls
#       which-way-round-and-the-kl: which way round is the kl, forward reverse kl
#       one-frontier-for-all-methods: reward kl frontier, reward-KL frontier
#       ipo-and-kto-two-other-losses: ipo loss, kto loss
# ---

# %% tags=["install", "skip-execution"]
# %pip install --quiet rlhf_explained.whl

# %% [markdown]
# # DPO: the policy is its own reward model
#
# Direct preference optimisation learns from comparisons alone, as a reward model does, and out
# comes a policy: no reward model, no sampling, no PPO. This notebook derives it in a world so small
# that each step can be checked by a number, and then lets our student learn by it.
#
# ## What you'll learn
#
# - How the best policy turns into a loss on pairs, in five steps
# - Why the loss starts at 0.6931, and why the *chosen* answer's reward falls
# - Which way round β and the KL divergence are
# - Where DPO, PPO, GRPO and best-of-n stand on one frontier; what IPO and KTO change
#
# **Prerequisites:** [reward models](../guide/reward-model.md), the KL penalty of
# [PPO](../guide/ppo.md), gradients.
#
# **Time:** about 20 minutes, longer with the exercises. Each `assert` held when this page was
# built.

# %%
import torch
from IPython.display import HTML, Markdown, display
from torch.nn.functional import logsigmoid

from rlhf_explained.figures import as_html
from rlhf_explained.formulas import dpo_loss, ipo_loss, kl_exact, kto_loss
from rlhf_explained.measured import number, within
from rlhf_explained.pipeline import RunConfig, run
from rlhf_explained.studies import stored
from rlhf_explained.studies.frontier import BETA, world
from rlhf_explained.world import exact, optima

result = run(RunConfig(seed=0))
dice = torch.Generator().manual_seed(0)


def say(text):
    display(Markdown(text))


def table(*rows):
    for row in rows:
        print(
            *(
                f"{cell:>9}" if isinstance(cell, str) else f"{cell:9.3f}"
                for cell in row
            )
        )


# %% [markdown]
# ## A world where the answer is known
#
# Our student has more answers than anyone can list. So first a smaller world: 8 tokens, at most 4
# of them in an answer, and a reward that depends on neighbours. A policy is a list of
# log-probabilities, and a mean is a sum. We keep the likeliest 400 answers, so that all pairs of
# them fit into a matrix. Letters are tokens, the dot ends an answer.

# %%
here = world(0)
likeliest = here.logprobs(here.reference).topk(400)
reference = likeliest.values.log_softmax(0)
rewards = here.rewards.double()[likeliest.indices]
tokens = here.every.responses[likeliest.indices[:4]].tolist()
names = [
    "".join("_.abcdef"[token] for token in row).strip("_")
    for row in tokens
]

say(
    f"Of {len(here.rewards):,} answers they hold {likeliest.values.exp().sum():.2%}:"
)
table(
    ("answer", *names),
    ("reference", *reference[:4].exp()),
    ("reward", *rewards[:4]),
)

# %% [markdown]
# ## From the optimum to the loss, in five steps
#
# - **Objective:** reward − β KL(π ‖ π<sub>ref</sub>). 1. It has one best policy.
# - **Optimum:** π* = π<sub>ref</sub> exp(*r* / β) / *Z*. 2. Solve for the reward.
# - **Reward:** *r* = β log π*/π<sub>ref</sub> + β log *Z*. 3. Compare two answers: *Z* is gone.
# - **Margin:** *r<sub>A</sub>* − *r<sub>B</sub>*, from the policy alone. 4. Ask the labeler.
# - **Preference:** P(*A* over *B*) = σ(margin). 5. Make the labels likely.
# - **Loss:** −log σ(margin).
#
# It is like a student who is told "this essay, not that one" and learns without a grader.
#
# **Step 1: one policy is best.** RLHF maximises reward at a price β for each nat away from the
# [reference](../reference/glossary.md#reference-model). Best is the reference tilted by the reward
# ([Rafailov et al. 2023](../reference/bibliography.md#rafailov2023)), with an objective *J* of
# β log Z. Any other policy π loses β KL(π ‖ π*), which is never negative.
#
# $$\pi_\beta(y) = \frac{\pi_\mathrm{ref}(y)\, e^{r(y)/\beta}}{Z}$$
#
# *r* is the reward of an answer *y*, and *Z* makes the sum 1. At the price in use it is our π*.

# %%
best = exact.tilted(reference, rewards, beta=BETA)
log_z = (reference + rewards / BETA).logsumexp(0)


def objective(policy):
    return exact.objective(policy, reference, rewards, beta=BETA).item()


lost = []
for noise in torch.linspace(0.001, 3, 1000):
    other = (best + noise * torch.randn(400, generator=dice)).log_softmax(
        0
    )
    lost.append(objective(best) - objective(other))
    assert abs(lost[-1] - BETA * kl_exact(other, best)) < 1e-9
assert min(lost) > 0
assert abs(objective(best) - BETA * log_z) < 1e-9
say(f"""
J is {objective(reference):.4f} for the reference and {objective(best):.4f} = β log Z for the best
policy. 1,000 others lose {min(lost):.0e} to {max(lost):.2f}.
""")

# %% [markdown]
# **Step 2: solve for the reward.** Up to the constant β log Z it is β log π*/π<sub>ref</sub>, the
# [implicit reward](../reference/glossary.md#implicit-reward). Every policy has one: the reward for
# which this policy is the best.

# %%
implicit = BETA * (best - reference)
assert (implicit + BETA * log_z - rewards).abs().max() < 1e-12

# %% [markdown]
# **Step 3: compare two answers.** Z sums over all answers, and nobody can compute it for a
# language model. But it is the same for both answers to a prompt.


# %%
def gaps(values):
    """Of all pairs of answers, by how much the first has more."""
    return values[:, None] - values


assert (gaps(implicit) - gaps(rewards)).abs().max() < 1e-12

# %% [markdown]
# **Step 4: ask the labeler**, who prefers by
# [Bradley–Terry](../reference/glossary.md#bradley-terry-model). The policy alone says how likely.

# %%
prefers = gaps(rewards).sigmoid()
assert (gaps(implicit).sigmoid() - prefers).abs().max() < 1e-12

# %% [markdown]
# **Step 5: the loss.** Now turn it round. Whatever policy π we have, read its implicit reward as a
# reward model, and make the labels likely (*A* chosen, *B* rejected):
#
# $$\mathcal{L}_\mathrm{DPO} = -\log \sigma\left(\beta \log \frac{\pi(A)}{\pi_\mathrm{ref}(A)}
# - \beta \log \frac{\pi(B)}{\pi_\mathrm{ref}(B)}\right)$$
#
# Its mean over two answers and the labeler's coin is a sum over a matrix. At the best policy its
# gradient is zero:

# %%
pairs = 2 * reference.exp().outer(reference.exp())  # of either order


def expected_loss(policy, beta, prefers=prefers):
    return -(
        pairs * prefers * logsigmoid(gaps(beta * (policy - reference)))
    ).sum()


def slope(policy, beta, prefers=prefers):
    """The largest entry of the gradient."""
    logits = policy.clone().requires_grad_()
    expected_loss(logits, beta, prefers).backward()
    return logits.grad.abs().max()


drawn = torch.multinomial(
    (pairs * prefers).flatten(), 100_000, True, generator=dice
)
chosen, rejected = drawn // 400, drawn % 400


def sampled_loss(policy, against=reference, second=rejected, beta=BETA):
    """By the code that trains, on 100,000 labeled pairs."""
    return dpo_loss(
        policy[chosen],
        policy[second],
        against[chosen],
        against[second],
        beta=beta,
    )


assert slope(best, BETA) < 1e-12
assert (
    abs(sampled_loss(best) - expected_loss(best, BETA)) < 0.006
)  # five standard errors
table(("policy", "loss", "sampled", "slope"))
for name, policy in (("reference", reference), ("best", best)):
    table(
        (
            name,
            expected_loss(policy, BETA),
            sampled_loss(policy),
            slope(policy, BETA),
        )
    )

# %% [markdown]
# The loss is convex in the logits, so there is no other minimum. Newton's method, from the
# reference:


# %%
def newton(beta, prefers, steps=20):
    """The policies on the way to the least expected loss."""
    policy = reference
    for _ in range(steps):
        wins = gaps(beta * (policy - reference)).sigmoid()
        gradient = beta * (pairs * (wins - prefers)).sum(1)
        bend = beta**2 * pairs * wins * (1 - wins)
        hessian = bend.sum(1).diag() - bend
        policy = (
            policy - torch.linalg.pinv(hessian, hermitian=True) @ gradient
        )
        yield policy.log_softmax(0)


way = [
    kl_exact(policy, best).abs().item()
    for policy in newton(BETA, prefers, steps=5)
]
assert way[-1] < 1e-12
print("KL to the best policy, step by step:", *(f"{kl:.0e}" for kl in way))

# %% [markdown]
# This is RLHF's optimum, found by classification. It took a labeler who really is Bradley–Terry,
# and pairs without end.
#
# ## Why the loss starts at 0.6931, and when it stays there
#
# At the start policy and reference agree, so each margin is 0, and −log σ(0) = log 2: a coin toss.
# The floor is what is uncertain in the labels, as above. A loss that *stays* at exactly
# 0.6931 has margins of 0 for one of four reasons, the last as found in
# [TRL #1627](https://github.com/huggingface/trl/issues/1627):

# %%
stuck = {
    "nothing is trained: frozen, or steps far too small": sampled_loss(
        reference
    ),
    "chosen and rejected alike, say cut off early": sampled_loss(
        best, second=chosen
    ),
    "the reference is the policy itself": sampled_loss(best, against=best),
    "beta is (nearly) 0": sampled_loss(best, beta=1e-9),
}
for why, loss in stuck.items():
    assert abs(loss - 0.6931) < 1e-4
    print(f"{loss:.4f}  {why}")

*_, undecided = newton(BETA, torch.full_like(prefers, 0.5))
assert kl_exact(undecided, reference).abs() < 1e-12

# %% [markdown]
# If margins move and the loss stays *about* there, the labels are coin tosses: then, as the last
# check says, the reference is the optimum.
#
# ## Why the chosen answer's reward falls
#
# Back to the student: its SFT policy, the pairs its reward model learned from, and a line for every
# thirty steps.

# %%
from rlhf_explained.stages.dpo import DPOConfig, train_dpo
from rlhf_explained.training import Lesson

lesson, sft = Lesson(0), result.policy("sft")
learned, _ = lesson.compare(sft)
history = train_dpo(
    sft,
    learned.chosen,
    learned.rejected,
    DPOConfig(),
    generator=lesson.generator("dpo"),
).history

assert abs(history[0]["loss"] - 0.6931) < 1e-4
names = ("loss", "chosen_reward", "rejected_reward")
measured = torch.tensor([[row[name] for name in names] for row in history])
measured = measured.view(-1, 30, 3).mean(1)
table(("loss", "chosen", "rejected"), *measured)
assert (measured[1:] < measured[:-1])[:, 2].all()
assert measured[-1, 1] < 0

# %% [markdown]
# The margin grows, yet in the end the *chosen* answers are less likely than before. Many took that
# for a fault (DPO [#8](https://github.com/eric-mitchell/direct-preference-optimization/issues/8),
# [#32](https://github.com/eric-mitchell/direct-preference-optimization/issues/32),
# [TRL #800](https://github.com/huggingface/trl/issues/800)). The loss sees the margin alone. Where
# the rewards lie follows from who wrote the answers: the reference, both of them. Over what it
# writes, the mean of log π/π<sub>ref</sub> is −KL(π<sub>ref</sub> ‖ π), below 0 for every other
# policy. So the middle of a pair falls, and half the margin must make up for it. The best policy,
# which nobody trained:

# %%
labeled = (
    pairs * prefers
)  # how often one answer is chosen and another rejected
table(("beta", "chosen", "rejected", "middle", "times"))
for beta in (2.0, 1.0, 0.5, 0.25):
    ratio = exact.tilted(reference, rewards, beta=beta) - reference
    up, down = labeled.sum(1) @ ratio, labeled.sum(0) @ ratio
    middle = -kl_exact(reference, reference + ratio)
    assert abs(up + down - 2 * middle) < 1e-9
    table((beta, up, down, middle, labeled.sum(1) @ ratio.exp()))

# %% [markdown]
# On the right is how many *times* as likely chosen answers became, in the mean: more than once. But
# the reward is a mean of logarithms, in which an answer that is nearly given up weighs most, and
# below some β it falls for the chosen ones too. So the fall alone proves no fault.
#
# It can be an alarm all the same. What was derived is about the best policy, and about pairs of the
# reference's own answers, which most collections do not have. The probability that is lost may go
# to answers that nobody compared, and even to the opposite of the chosen ones. Razin et al.
# ([2024](../reference/bibliography.md#razin2024)) call it *likelihood displacement*: trained by DPO
# on pairs of refusals, Llama-3-8B-Instruct went from refusing 74.4 % of unsafe requests to 33.4 %.
# The loss does not show where probability goes. New samples do.
#
# ## Which way round β and the KL
#
# β is the price of a nat: a **large β holds closer**. That has been explained the other way round
# ([LLMs-from-scratch #818](https://github.com/rasbt/LLMs-from-scratch/pull/818)), and the KL had to
# be put right too ([HF blog #1208](https://github.com/huggingface/blog/pull/1208)). What is paid is
# KL(π ‖ π<sub>ref</sub>), a mean over what the *policy* writes. Pay KL(π<sub>ref</sub> ‖ π), and
# another policy is best (on the right), where DPO's gradient is not zero:

# %%
table(("beta", "reward", "KL", "reward", "KL"))
for beta in (2.0, 1.0, 0.5, 0.25):
    row = [beta]
    for find in (exact.tilted, optima.reverse_tilted):
        policy = find(reference, rewards, beta=beta)
        assert (slope(policy, beta) < 1e-12) == (find is exact.tilted)
        row += exact.expected(policy, rewards), kl_exact(policy, reference)
    table(row)

# %% [markdown]
# ## A decisive labeler makes β smaller
#
# A labeler *c* times as decisive prefers by σ(*c* Δ*r*), as if rewards were *c* times as large. So
# the price that DPO really pays is β/*c*.

# %%
decisive = gaps(5 * rewards).sigmoid()
assert slope(best, 5 * BETA, decisive) < 1e-12
*_, greedy = newton(BETA, decisive)
assert (
    greedy - exact.tilted(reference, rewards, beta=BETA / 5)
).abs().max() < 1e-6

table(("c", "beta", "price", "KL"))
table((1.0, BETA, BETA, kl_exact(best, reference)))
table((5.0, BETA, BETA / 5, kl_exact(greedy, reference)))
table((5.0, 5 * BETA, BETA, kl_exact(best, reference)))

c = result.facts["decisiveness"]
say(
    f"Our labeler's c is {c:g}, so DPO with β = 1 pays {1 / c:g} of gold for a nat."
)

# %% [markdown]
# ## Too small a β over-optimises
#
# DPO on the student's pairs at four β, five seeds, all steps. Gold is the labeler's true reward on
# held-out prompts; proxy the reward model's score, which DPO never saw; chosen and rejected
# log-ratios in nats, at the end.

# %%
study = stored("frontier")
columns = ("gold", "proxy", "kl", "helpful", "false", "chosen", "rejected")
table(("beta", *columns))
for beta in (3.0, 1.0, 0.3, 0.1):
    table(
        (
            beta,
            *(
                study.interval(f"miniature_{beta}", name).mean
                for name in columns
            ),
        )
    )

names = ("gold", "helpful", "false")
change = {
    name: study.difference("miniature_0.1", "miniature_1.0", name)
    for name in names
}
assert change["gold"].mean < -change["gold"].reach
others = -change["helpful"].mean - change["false"].mean
say(f"""
SFT's gold is {stored("methods").interval("sft_1.0", "gold").mean:.2f}. From β = 1 to 0.1 gold
changes by {within(change["gold"])}. The share of helpful answers changes by
{within(change["helpful"])}, that of false ones by {within(change["false"])}, and that of all other
kinds by {number(others)}. *{study.origin}, 95 % intervals.*
""")

# %% [markdown]
# The smaller β, the wider the margin and the longer the way. In the end gold falls, while the
# margin is wider than ever: [over-optimisation](../reference/glossary.md#over-optimisation), with
# no reward model to hack. Hold closer, stop earlier, or have new samples compared.
#
# ## One frontier for all methods
#
# Exact worlds again, all answers listed. A policy is a point: so many nats from the reference, so
# much reward. The best policies, one for each β, are the frontier; nothing lies above. Every method
# was trained at the same price in five worlds, the seeds 5 to 9; best-of-n is computed.

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
table(("", "share", "±", "own share", "to own", "to best"))
for name, setting in settings.items():
    share = study.interval(setting, "share")
    rest = (
        study.interval(setting, name).mean
        for name in ("own_share", "to_own", "to_best")
    )
    table((name, share.mean, share.reach, *rest))
assert all(
    study.interval(name, "share").mean > 0.97
    for name in ("ppo", "group", "dpo")
)
for setting in ("grpo", "grpo_no_std"):
    assert (
        study.interval(setting, "to_own").mean
        < study.interval(setting, "to_best").mean
    )

# %% [markdown]
# Share is how much of the objective's possible gain is reached: 1 at the best policy, 0 at the
# reference, and below 0 where the reward is not worth the nats at this price. **PPO** and **RLOO**
# (group advantages, KL in the reward) arrive; **DPO** nearly, from a million pairs, and
# [more steps](../reference/experiments.md) bring it nearer.
#
# **GRPO**, with k₃ in the loss and division by the spread as published, goes elsewhere. At each
# token k₃ has there the gradient of the next token's KL the other way round,
# KL(π<sub>ref</sub> ‖ π) ([Tang and Munos 2025](../reference/bibliography.md#tang2025)), and the
# division changes the price. *No std* leaves the division out, which is half of what
# [Dr. GRPO](../reference/bibliography.md#liuz2025) does. Where *that* gradient is zero is GRPO's
# own optimum, with a share of its own. In the mean GRPO ends fewer nats from it than from the best
# policy, but it does not arrive ([what was tried](../reference/experiments.md)). Ours counts all
# tokens alike, as [DAPO](../reference/bibliography.md#yu2025) does.
#
# The last two rows mend the direction. **k₃ times the probability ratio**, as in TRL since 1.10,
# and **k₂**, half the squared log-ratio, have at each token the gradient of
# KL(π ‖ π<sub>ref</sub>). Paid in the loss, token by token, they still leave out how a token
# changes what comes after it. PPO and RLOO, which pay k₁ in the reward, count that too.
#
# **Best-of-n** trains nothing, but it is a policy too, and its probabilities can be listed. It is
# mostly nearer to the frontier than GRPO, at n answers for each one.
#
# ## IPO and KTO: two other losses
#
# **IPO** ([Azar et al. 2024](../reference/bibliography.md#azar2024)). Where all labels of a pair
# agree, DPO's best margin is infinite. IPO sets a goal, 1/2β, and more costs as much as less. With
# noisy labels it tilts the reference by the *win rate* in place of the reward:

# %%
winner = exact.tilted(reference, prefers @ reference.exp(), beta=BETA)
logits = winner.clone().requires_grad_()
(
    labeled * (gaps(logits - reference) - 1 / (2 * BETA)).square()
).sum().backward()
assert logits.grad.abs().max() < 1e-12
say(f"""
Win rates lie between 0 and 1, so no two log-ratios differ by more than 1/β: IPO's best policy is
{kl_exact(winner, reference):.2f} nats away, DPO's {kl_exact(best, reference):.2f}.
""")

# %% [markdown]
# **KTO** ([Ethayarajh et al. 2024](../reference/bibliography.md#ethayarajh2024)) needs no pairs:
# answers are marked good or bad, one by one, and compared with how far the policy has moved on the
# whole. It takes the sigmoid, not its logarithm, and so lets go of what is far off on either side,
# such as a wrong label. How hard each loss pushes a good answer up, by its log-ratio:

# %%
zero, good = torch.zeros(1), torch.tensor([True])
table(("log-ratio", "DPO", "IPO", "KTO"))
for nats in (-20.0, -2.0, 0.0, 1.0, 2.0, 20.0):
    ratio = torch.full((1,), nats, requires_grad=True)
    losses = (
        dpo_loss(ratio, zero, zero, zero, beta=BETA),
        ipo_loss(ratio, zero, zero, zero, beta=BETA),
        kto_loss(ratio, zero, good, beta=BETA, kl=0.0),
    )
    table(
        (
            nats,
            *(
                -torch.autograd.grad(loss, ratio)[0].item()
                for loss in losses
            ),
        )
    )

# %% [markdown]
# ## Exercises
#
# **1.** Below which β do chosen answers fall, for the best policy? Halve an interval.

# %% tags=["solution"]
low, high = 0.5, 2.0
for _ in range(40):
    beta = (low + high) / 2
    up = labeled.sum(1) @ (
        exact.tilted(reference, rewards, beta=beta) - reference
    )
    low, high = (low, beta) if up > 0 else (beta, high)
print(f"below {beta:.3f}")

# %% [markdown]
# **2.** A tenth of the labels is turned round by accident. Does DPO then act as if β were another?

# %% tags=["solution"]
*_, misled = newton(BETA, 0.9 * prefers + 0.1 * prefers.T)
far, beta = min(
    (
        kl_exact(
            misled, exact.tilted(reference, rewards, beta=beta)
        ).item(),
        beta,
    )
    for beta in torch.arange(0.3, 1.0, 0.01).tolist()
)
print(f"to within {far:.4f} nats of the best policy at beta = {beta:.2f}")

# %% [markdown]
# **3.** Every policy is the best one for some reward. For which is best-of-4?

# %% tags=["solution"]
four = optima.best_of_n(reference, rewards, n=4)
believed = BETA * (four - reference)
assert (
    exact.tilted(reference, believed, beta=BETA) - four
).abs().max() < 1e-9
order = rewards.argsort()
assert (
    believed[order].diff() > -1e-9
).all()  # the same order, another scale
table(
    ("reward", *rewards[order[::100]]),
    ("believed", *believed[order[::100]]),
)

# %% [markdown]
# ## Three lines to take away
#
# 1. A policy *is* a reward model, β log π/π<sub>ref</sub>. DPO is Bradley–Terry on that reward.
# 2. 0.6931 is a coin toss. Watch the margin, not the chosen reward; and samples rather than either.
# 3. A large β holds closer. Its unit is the labeler's: five times as decisive, five times the β.
#
# **Next:** [when GRPO's numbers look wrong](04b_when_grpo_looks_wrong.py).
