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
#       page: ppo notebook, ppo from scratch, policy gradients from zero
#       one-score-a-number-for-every-token: advantage table, per-token advantage, gae by hand
#       what-the-critic-knows: critic, explained variance, value function, value head, shared trunk
#       take-one-part-away: ablation, ablations, without critic, without clipping, whitening
# ---

# %% tags=["install", "skip-execution"]
# %pip install --quiet rlhf_explained.whl

# %% [markdown]
# # PPO for language models, from zero
#
# In stage 3 a language model writes answers, receives a score for each, and learns to write better
# ones. This notebook starts with the simplest way to learn from scores and improves it step by step
# until it is PPO. Then it follows one real answer through every number that PPO computes.
#
# ## What you'll learn
#
# - Policy gradients from zero: REINFORCE, baseline, advantage, ratio and clip, each measured
# - How one score becomes an advantage for every token, in a table that you can check by hand
# - Which parts of PPO our model needs, and which it does not
#
# **Prerequisites:** [the guide's page on PPO](../guide/ppo.md) and gradient descent.
#
# **Time:** about 25 minutes to read. The first cell trains the model if it has not yet been
# trained.

# %%
import torch
from IPython.display import HTML, Markdown, display

from rlhf_explained.figures import as_html
from rlhf_explained.measured import filled, number, share, within
from rlhf_explained.pipeline import RunConfig, run
from rlhf_explained.studies import Interval, stored

torch.set_num_threads(1)
result = run(RunConfig(seed=0))


def say(text):
    display(Markdown(filled(text, result)))


def figure(name):
    display(HTML(as_html(name, result)))


# %% [markdown]
# ---
# ## From zero: a policy with 25 possible answers
#
# An answer has two words, and each word is one of five. So there are 25 answers, each with a fixed
# reward. The policy is a table of logits: one row for the first word, and five for the second, one
# for each possible first word ([the code](../reference/api/essays.md) calls the answers essays and
# the policies students). Every answer can be listed, so we can compare an estimated gradient with
# the exact one. To average out luck, we train a hundred policies in parallel, each for twenty
# rounds of four sampled answers.
#
# ### Step 1: REINFORCE
#
# Make each sampled answer more likely, in proportion to its reward $r$. On average this follows the
# gradient of the mean reward ([Williams 1992](../reference/bibliography.md#williams1992)).
#
# $$\nabla \mathbb{E}[r] = \mathbb{E}\Big[\sum_t r\,\nabla\log\pi(y_t \mid y_{<t})\Big]$$

# %%
from rlhf_explained.world import essays
from rlhf_explained.world.essays import mean_grade, word_logprobs

generator = torch.Generator().manual_seed(0)
first_word = torch.randn(5, 1, generator=generator)
second_word = torch.randn(1, 5, generator=generator)
rewards = (5 + first_word + second_word).view(25, 1)
untrained = torch.zeros(100, 6, 5)  # 100 policies, 6 rows, 5 words


def reinforce(frequency, value):
    return rewards  # the factor of every word is its answer's reward


def plain(logprob, old_logprob, advantage):
    return advantage * logprob


def gradient(policies, batch, advantage, objective=plain):
    """What each policy estimates from its own batch."""
    frequency, old_logprob, value = batch
    policies = policies.clone().requires_grad_()
    logprob = word_logprobs(policies)
    factor = advantage(frequency, value)
    gain = frequency * objective(logprob, old_logprob, factor)
    return torch.autograd.grad(gain.sum(), policies)[0]


def make_batch(policies, frequency=None):
    """Four sampled answers, or how often each answer shall occur."""
    if frequency is None:
        frequency = essays.write(policies, 4, generator=generator)
    value = essays.values(policies, rewards)  # of an exact critic
    return frequency, word_logprobs(policies), value


def train(advantage, objective=plain, epochs=1):
    policies = untrained
    for _ in range(20):
        batch = make_batch(policies)
        for _ in range(epochs):
            step = gradient(policies, batch, advantage, objective)
            policies = policies + step
    return policies


# %% [markdown]
# `measure` prints two numbers for each method. *Noise* is the standard deviation of the first
# estimated gradient. *Reward* is the mean over all policies after training. Both are means over
# twenty seeds, and ± is their 95 % interval. The last column compares the reward with that of an
# earlier method. We test six changes, so each counts only if its p-value is below a sixth of 5 %
# (Bonferroni's correction). Any other change may be due to chance.

# %%
reward_of, change = {}, {}


def measure(name, advantage, objective=plain, epochs=1, since=None):
    noise, reward = [], []
    for seed in range(20):
        generator.manual_seed(seed)
        estimates = gradient(untrained, make_batch(untrained), advantage)
        noise.append(estimates.var(0).sum().sqrt().item())
        trained = train(advantage, objective, epochs)
        reward.append(mean_grade(trained, rewards).mean().item())
    reward_of[name] = torch.tensor(reward)
    print(f"{name:19} noise {within(Interval.of(noise))}", end="   ")
    print("reward", within(Interval.of(reward)), end="   ")
    if since:
        gains = (reward_of[name] - reward_of[since]).tolist()
        change[name] = Interval.of(gains)
        chance = change[name].p * 6 > 0.05
        print(
            within(change[name]), "may be chance" if chance else "", end=""
        )
    print()


measure("REINFORCE", reinforce)
mean, best = rewards.mean().item(), rewards.max().item()
print("rewards: mean", number(mean), " best", number(best))

one_policy = untrained[:1]
all_answers = make_batch(one_policy, essays.probabilities(one_policy))
logits = one_policy.clone().requires_grad_()
(exact,) = torch.autograd.grad(mean_grade(logits, rewards).sum(), logits)
print("length of the exact gradient", number(exact.norm().item()))

# the check: with every answer as often as it is likely, the estimate is exact
estimate = gradient(one_policy, all_answers, reinforce)
assert torch.allclose(estimate, exact, atol=1e-5)

# %% [markdown]
# The trained policies score above the mean reward, but the noise is several times larger than the
# gradient. The next two steps reduce the noise.
#
# ### Step 2: a baseline
#
# All rewards are positive, so every sampled answer becomes more likely, even a bad one. If we
# subtract the expected reward, only answers above it become more likely. We estimate it as the mean
# reward of the other three answers. (The factor $4/3$ takes the answer itself out of the mean of
# all four.)


# %%
def baseline(frequency, value):
    mean_of_all = (frequency * rewards).sum(1, keepdim=True)
    return 4 / 3 * (rewards - mean_of_all)


measure("baseline", baseline, since="REINFORCE")
assert change["baseline"].mean > 0.5

# %% [markdown]
# Most of the noise is gone, and the reward is much higher.
#
# ### Step 3: an advantage for every word
#
# The expected reward changes with every word: it is higher after a good first word. Before each
# word, a *critic* estimates the answer's reward, $V_t$. The *advantage* of a word is the reward
# minus this estimate, $A_t = r - V_t$. Here the critic is exact, because every answer can be
# listed. The *TD error* looks only one word ahead, and measures how much this word changed the
# critic's estimate. It is $V_{t+1} - V_t$, or $r - V_t$ at the last word.


# %%
def critic(frequency, value):
    return rewards - value


def td_error(frequency, value):
    at_the_end = rewards.expand_as(value[..., :1])
    next_value = torch.cat([value[..., 1:], at_the_end], -1)
    return next_value - value


measure("critic", critic, since="baseline")
measure("TD error", td_error, since="critic")
assert change["critic"].mean > 0.05

# %% [markdown]
# An exact critic is a better baseline than the mean of three rewards. The TD error has the least
# noise of all, but hardly changes the reward.
#
# ### Step 4: the ratio
#
# Sampling is slow, so we want to take several steps (here eight *epochs*) on the same answers.
# After the first step, these answers come from an older policy. The ratio $\rho_t = \pi(y_t) /
# \pi_\mathrm{old}(y_t)$ weights each word by how much more likely it has become since then. How
# wrong is the new policy's gradient with and without the ratio?


# %%
def ratio(logprob, old_logprob, advantage):
    return advantage * (logprob - old_logprob).exp()


moved = one_policy + 3 * gradient(one_policy, all_answers, critic)
fresh = make_batch(moved, essays.probabilities(moved))
exact_moved = gradient(moved, fresh, critic)


def error(objective):
    """How far the gradient from the old answers is from the exact one."""
    gap = gradient(moved, all_answers, critic, objective) - exact_moved
    return f"{gap.norm() / exact_moved.norm():.0%}"


print("error without the ratio", error(plain), " with it", error(ratio))
measure("critic, 8 epochs", critic, epochs=8, since="critic")
measure("ratio, 8 epochs", critic, ratio, 8, since="critic, 8 epochs")
assert change["critic, 8 epochs"].mean < 0

# %% [markdown]
# Without the ratio, eight epochs do harm: the reward is lower than after one epoch. The ratio
# removes most of the gradient's error, but recovers only part of the lost reward.
#
# ### Step 5: the clip
#
# Four answers are weak evidence, but eight epochs move the policy a long way. PPO stops pushing a
# word once its ratio has left $1 \pm \epsilon$ in the direction of the push ([Schulman et al.
# 2017](../reference/bibliography.md#schulman2017)). This is `ppo_policy_loss` with the opposite
# sign:

# %%
from rlhf_explained.formulas import ppo_policy_loss


def clip(logprob, old_logprob, advantage):
    rho = (logprob - old_logprob).exp()
    clipped = rho.clamp(0.8, 1.2)
    return torch.minimum(rho * advantage, clipped * advantage)


measure("clip, 8 epochs", critic, clip, 8, since="ratio, 8 epochs")

# the check
new, old, factor = torch.randn(3, 50, 2, generator=generator)
every = torch.ones(50, 2).bool()
loss = ppo_policy_loss(new, old, factor, every, clip_range=0.2)
assert torch.isclose(clip(new, old, factor).mean(), -loss)
assert change["clip, 8 epochs"].mean > 0.05

# %% [markdown]
# With the clip, eight epochs on the same answers are better than one. We now have every part of
# PPO: a policy gradient, an advantage from a critic, a ratio and a clip.
#
# ---
# ## Words for real: state, action, policy
#
# A language model is such a policy too, but a network computes its larger table. The *state* is the
# prompt plus the tokens written so far. The *action* is the next token. The *policy* gives the
# probabilities of all tokens. Here is the trained policy's first finished answer to a held-out
# question.

# %%
from rlhf_explained.rollout import (
    Rollout,
    collect_rollout,
    pack,
    response_logits,
    response_values,
    score,
)
from rlhf_explained.world.tokenizer import (
    EOS,
    RESPONSE_LIMIT,
    world_tokenizer,
)

tokenizer = world_tokenizer()
policy, value_model = result.policy("ppo"), result.policy("critic")
sft, reward_model = result.policy("sft"), result.policy("reward_model")

finished = (
    answer
    for answer in result.responses["ppo"]
    if answer["length"] == len(answer["response"].split()) + 1
)
answer = next(finished)
prompt = tokenizer.encode(answer["prompt"])
tokens = [*tokenizer.encode(answer["response"]), EOS]
words = [tokenizer.words[token] for token in tokens]
T = len(tokens)


@torch.no_grad()
def read(model, t):
    """A model before token t: all log-probabilities, and its scalar."""
    sequence = torch.tensor([prompt + tokens[:t]])
    hidden = model.hidden(sequence)[0, -1]
    return model.logits(hidden).log_softmax(0), model.scalar(hidden).item()


print(answer["prompt"])
print(*words)

# %% [markdown]
# ## One score, a number for every token
#
# The reward model gives one score for this whole answer. PPO turns the score into a number for
# every token. First come the rewards:
#
# - **logprob** and **ref logp** are the log-probabilities of the token under the policy and under
#   the reference, the SFT model.
# - **k1** is their difference. Its sum over the answer is this answer's estimate of the KL.
# - **reward**: the penalty subtracts $\beta\,k_1$ at every token. The last token also receives the
#   score, which the reward model gives at `<eos>`. A token that the reference finds more likely
#   than the policy does has a negative k1, so its reward is positive.

# %%
from rlhf_explained.stages.ppo import PPOConfig, credit

beta, gae_lambda = PPOConfig().kl_coef, PPOConfig().gae_lambda
logprob = [read(policy, t)[0][tokens[t]].item() for t in range(T)]
ref_logprob = [read(sft, t)[0][tokens[t]].item() for t in range(T)]
k1 = [logprob[t] - ref_logprob[t] for t in range(T)]
_, final_score = read(reward_model, T)

reward = [-beta * k1[t] for t in range(T)]
reward[-1] += final_score

# %% [markdown]
# Then come the critic and the advantages:
#
# - **value** is the critic's estimate of all the reward still to come, $V_t$. The critic is a
#   separate network, initialised from the reward model.
# - **δ** is the TD error, $r_t + V_{t+1} - V_t$. After the end, $V = 0$.
# - **advantage** (GAE, generalised advantage estimation) is the sum of the TD errors from this
#   token on, each weighted by one more factor of λ.
# - **return** is advantage plus value. This is what the critic should have estimated.

# %%
value = [read(value_model, t)[1] for t in range(T)] + [0.0]
delta = [reward[t] + value[t + 1] - value[t] for t in range(T)]
advantage = [0.0] * (T + 1)
for t in reversed(range(T)):
    advantage[t] = delta[t] + gae_lambda * advantage[t + 1]
returns = [advantage[t] + value[t] for t in range(T)]

columns = {
    "logprob": logprob,
    "ref logp": ref_logprob,
    "k1": k1,
    "reward": reward,
    "value": value,
    "δ": delta,
    "advantage": advantage,
    "return": returns,
}
print("token  ", *(name.rjust(6) for name in columns))
for t in range(T):
    cells = (
        number(numbers[t], 3).rjust(max(6, len(name)))
        for name, numbers in columns.items()
    )
    print(words[t].ljust(7), *cells)

print(
    "sum of rewards", number(sum(reward)), " first value", number(value[0])
)
print("sum of all δ", number(sum(delta)))

forced = [t for t in range(T - 1) if logprob[t] > -0.01]
largest = max(forced, key=lambda t: abs(delta[t]))
say(f"""
Not counting the last token, {len(forced)} of the {T} tokens were written
with a probability above 0.99. The policy had no choice there, so these
tokens give no new information, and an exact critic's δ would be about 0.
This critic's δ reaches {number(delta[largest])}, at “{words[largest]}”.
That is noise of the critic. It says nothing about the token.
""")

# %% [markdown]
# The TD errors add up to the sum of the rewards minus the critic's first estimate. So their sum is
# reliable, but a single error is noisy. A word's high advantage in one answer does not show that it
# caused the score. Over many answers the noise averages out, while real differences remain. The
# next notebook measures [how large the errors
# are](03b_when_ppo_looks_wrong.py#how-much-does-the-critic-know).
#
# With λ = 0 the advantage is δ (step 3's *TD error*). With λ = 1 it is the sum of the rewards still
# to come, minus the value (step 3's *critic*). In training, `credit` computes the same table for a
# batch. It also whitens the advantages to mean 0 and variance 1, so that the step size does not
# depend on the scale of the scores. Here is the check for our answer:

# %%
from rlhf_explained.formulas import token_logprobs

batch = pack([prompt], [tokens[:-1]])
with torch.no_grad():
    logprobs = [
        token_logprobs(response_logits(model, batch), batch.responses)
        for model in (policy, sft)
    ]
    values = response_values(value_model, batch)
    scores = score(reward_model, batch)
rollout = Rollout(batch, *logprobs, scores)
experience = credit(rollout, values, PPOConfig())

by_hand = torch.tensor([returns, advantage[:T]])
by_hand[1] -= by_hand[1].mean()
by_hand[1] /= by_hand[1].std(correction=0)
packaged = torch.cat([experience.returns, experience.advantages])
assert torch.allclose(by_hand, packaged, atol=1e-3)
assert abs(sum(k1) - answer["kl"]) < 1e-3  # what the run wrote down

# %% [markdown]
# ## What the critic knows
#
# The critic learns along with the policy, from the squared difference between its values and the
# returns. How much of the returns' variance does it explain? 1 is perfect, 0 is no better than
# always predicting the mean, and below 0 the critic adds noise. Training records this number in
# every round:

# %%
history = result.history["ppo"]
explained = torch.tensor([row["explained_variance"] for row in history])
early, late = explained[:10].mean().item(), explained[-10:].mean().item()
say(f"""
In the first ten rounds the critic explains {share(early)} of the variance,
in the last ten {share(late)}. The rest goes into the advantages as noise.
""")

# %% [markdown]
# These numbers are for questions on which the critic was trained. The next notebook tests it [on
# new ones](03b_when_ppo_looks_wrong.py#how-much-does-the-critic-know).
#
# ### Where the critic lives
#
# The value head can also be part of the policy's network, which saves memory. But then the critic's
# loss changes the layers that produce the words. Stiennon et al.
# ([2020](../reference/bibliography.md#stiennon2020)) therefore give the critic its own network,
# initialised from the reward model. We compared four kinds of critic on several seeds. From here
# on, ± is a 95 % interval over seeds.

# %%
figure("critic-positions")
say("{critic-verdict}")

# %% [markdown]
# So a shared network is the worst choice here: the critic's loss damages the policy.
#
# ## The loop
#
# Here is one round of PPO, written with the package's functions. `train_ppo` repeats it and lowers
# the learning rate from round to round.

# %%
import copy

from rlhf_explained.stages.ppo import ppo_loss, train_ppo
from rlhf_explained.world.questions import questions

config = PPOConfig(iterations=1, batch=32)
practised = [q.text for q in questions() if not q.held_out]
prompts = [tokenizer.encode(text) for text in practised]

new_policy = copy.deepcopy(sft)
new_critic = copy.deepcopy(reward_model)
networks = (new_policy, new_critic)
weights = [w for network in networks for w in network.parameters()]
optimizer = torch.optim.AdamW(
    weights, config.learning_rate, weight_decay=0, fused=True
)


def judge(sequences):
    return score(reward_model, sequences)


# 1. The policy answers. The reward model and the reference read the answers.
generator.manual_seed(0)
rollout = collect_rollout(
    new_policy,
    sft,
    judge,
    prompts[: config.batch],
    limit=RESPONSE_LIMIT,
    generator=generator,
)

# 2. The critic estimates, and GAE spreads each score over the tokens.
with torch.no_grad():
    values = response_values(new_critic, rollout.sequences)
experience = credit(rollout, values, config)

# 3. Both networks take a few steps on these answers.
for _ in range(config.epochs):
    order = torch.randperm(config.batch, generator=generator)
    rows = experience.rows(order)
    loss, log = ppo_loss(new_policy, new_critic, rows, config)
    optimizer.zero_grad()
    loss.backward()
    for network in networks:
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()

# the check: train_ppo gives the same weights, bit by bit
generator.manual_seed(0)
trained = train_ppo(
    sft,
    judge,
    config,
    draw_prompts=lambda count: prompts[:count],
    critic=reward_model,
    generator=generator,
)
theirs = (trained.policy, trained.critic)
for network, other in zip(networks, theirs, strict=True):
    assert all(map(torch.equal, network.parameters(), other.parameters()))

# %% [markdown]
# The policy loss in `ppo_loss` is the clipped objective of step 5. The critic's loss is half its
# squared error, clipped in the same way, with its own range.
#
# ## Take one part away
#
# Which parts does our model need? We changed one part at a time and retrained on several seeds. *No
# critic* changes two things: the critic's values are not used (though it still trains), so λ must
# be 1. The row *λ = 1* changes only λ. *No clip* removes the clip of the policy's ratio, and *no
# value clip* removes the clip of the critic's loss. *No whitening* leaves the advantages as GAE
# computes them. The verdicts are corrected for the number of comparisons (Holm's method).

# %%
figure("ablations")
say("{ablations-verdict}")

gold = {
    part: stored("ablations").difference(part, "ppo", "gold")
    for part in ("critic_shared", "no_critic", "no_kl")
}
assert gold["critic_shared"].mean < -gold["critic_shared"].reach
assert gold["no_critic"].has_zero
assert gold["no_kl"].mean < -1

# %% [markdown]
# The KL penalty matters by far the most. Without a critic, PPO reaches the same gold reward within
# the noise. Our answers are short, so the score itself may guide every token well enough. This
# result comes from a small model, short answers and fresh batches. Other models may need a critic.
#
# The rows *pretraining mix* are [PPO-ptx](../reference/glossary.md#ppo-ptx): a loss on pretraining
# documents is added so that the model keeps what it knew. [The
# guide](../guide/over-optimisation.md) reports the result.

# %% [markdown]
# ---
# ## Exercise
#
# Step 3's critic was exact. Add 1 to its estimate after one of the five possible first words. Which
# advantage is still right on average, `critic` (λ = 1) or `td_error` (λ = 0)?

# %% tags=["solution"]
frequency, old_logprob, value = all_answers
value = value.clone()
value[:, :5, 1] += 1  # the first five answers share their first word
wrong_critic = (frequency, old_logprob, value)
for advantage in (critic, td_error):
    gap = gradient(one_policy, wrong_critic, advantage) - exact
    error_now = f"{gap.norm() / exact.norm():.0%}"
    print(f"{advantage.__name__:8} error {error_now}")

# %% [markdown] tags=["solution"]
# With λ = 1 a wrong critic adds noise but no bias, because an error that depends only on the state
# averages out. With λ = 0 the policy learns the critic's errors. A λ between 0 and 1 is a
# compromise.

# %% [markdown]
# ---
# ## Three lines to take away
#
# 1. The baseline and the critic reduce noise. The ratio keeps an older policy's answers usable, and
#    the clip stops pushing words whose probability has changed enough.
# 2. The score becomes rewards per token, the rewards become TD errors, and these become advantages.
#    A single advantage contains the critic's error too, so watch the explained variance.
# 3. Which parts of PPO are needed depends on the model: remove one at a time and measure.
#
# **Next:** [When PPO's numbers look wrong](03b_when_ppo_looks_wrong.py) explains a negative KL, a
# KL that explodes and a reward that does not rise.
