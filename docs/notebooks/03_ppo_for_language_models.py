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
#       what-the-critic-knows: critic, explained variance, value head, shared trunk
#       take-one-part-away: ablation, ablations, without critic, without clipping, whitening
# ---

# %% tags=["install", "skip-execution"]
# %pip install --quiet rlhf_explained.whl

# %% [markdown]
# # PPO for language models, from zero
#
# A student who practises writes, is graded, and writes better. We begin with the plainest way to do
# that, mend it until it is PPO, and follow one real answer of our language model through every
# number that PPO computes.
#
# ## What you'll learn
#
# - Policy gradients from zero: REINFORCE, baseline, advantage, ratio, clip, each measured
# - How one score becomes an advantage for every token, in a table to follow by hand
# - Which parts of PPO this model needs, and which it does not miss
#
# **Prerequisites:** [the guide's page on PPO](../guide/ppo.md), and how training uses gradients.
#
# **Time:** about 20 minutes to read. The first cell trains the model if that was not done before.

# %%
import torch
from IPython.display import HTML, Markdown, display

from rlhf_explained.figures import as_html
from rlhf_explained.measured import filled, number, within
from rlhf_explained.pipeline import RunConfig, run
from rlhf_explained.studies import Interval

torch.set_num_threads(1)
result = run(RunConfig(seed=0))


def say(text):
    display(Markdown(filled(text, result)))


# %% [markdown]
# ---
# ## From zero: a student with 25 essays
#
# An essay has two words out of five, so there are 25, each with a grade. A student is a table of
# logits: a row for the first word, and five for the second, one after each first word
# ([the code](../reference/api/essays.md)). All is listed, so estimates can be held against the
# truth. A hundred students practise side by side: twenty rounds of four essays each.
#
# ### Step 1: REINFORCE
#
# Make what was written likelier, in proportion to its grade $r$: on average that is the gradient of
# the mean grade ([Williams 1992](../reference/bibliography.md#williams1992)).
#
# $$\nabla \mathbb{E}[r] = \mathbb{E}\Big[\sum_t r\,\nabla\log\pi(y_t \mid y_{<t})\Big]$$

# %%
from rlhf_explained.world.essays import mean_grade, probabilities, values, word_logprobs, write

luck = torch.Generator().manual_seed(0)
grades = 5 + torch.randn(5, 1, generator=luck) + torch.randn(1, 5, generator=luck)
grades = grades.view(25, 1)
beginners = torch.zeros(100, 6, 5)  # students, rows, words


def reinforce(share, guess):
    return grades


def plain(logprob, old, weight):
    return weight * logprob


def push(students, batch, weight, objective=plain):
    """The gradient of each student's own batch."""
    share, old, guess = batch
    students = students.clone().requires_grad_()
    gain = share * objective(word_logprobs(students), old, weight(share, guess))
    return torch.autograd.grad(gain.sum(), students)[0]


def batch_of(students, share):
    return share, word_logprobs(students), values(students, grades)


def practise(weight, objective=plain, epochs=1):
    students = beginners
    for _ in range(20):
        batch = batch_of(students, write(students, 4, generator=luck))
        for _ in range(epochs):
            students = students + push(students, batch, weight, objective)
    return students


# %% [markdown]
# With every essay as often as it is likely, the push *is* the gradient. With four there is *noise*,
# the first push's standard deviation. The *grade* is the mean of all students after practice.
# `measure` takes twenty classes, a seed each; ± is a 95 % interval. Nine changes are looked at
# below, so one counts if its p-value is below a ninth of 5 % (Bonferroni's correction). Any other
# may be chance.

# %%
one = torch.zeros(1, 6, 5, requires_grad=True)
(truth,) = torch.autograd.grad(mean_grade(one, grades).sum(), one)
everything = batch_of(beginners[:1], probabilities(beginners[:1]))
assert torch.allclose(push(beginners[:1], everything, reinforce), truth, atol=1e-5)
noise, grade = {}, {}


def measure(name, *how, since=None):
    noise[name], grade[name] = [], []
    for seed in range(20):
        luck.manual_seed(seed)
        batch = batch_of(beginners, write(beginners, 4, generator=luck))
        noise[name].append(push(beginners, batch, *how[:2]).var(0).sum().sqrt().item())
        grade[name].append(mean_grade(practise(*how), grades).mean().item())
    for what, rows in (("noise", noise), ("grade", grade)):
        text = within(Interval.of(rows[name]))
        if since:
            gap = Interval.of([a - b for a, b in zip(rows[name], rows[since], strict=True)])
            text += f"   change {within(gap)}" + (", may be chance" if gap.p * 9 > 0.05 else "")
        if not since or noise[name] != noise[since] or what == "grade":
            print(name.ljust(17), what, text)


measure("reinforce", reinforce)
print("length of the true push:", number(truth.norm().item()))
print("grades: mean", number(grades.mean().item()), " best", number(grades.max().item()))

# %% [markdown]
# ### Step 2: a baseline
#
# All grades are positive, so whatever was written is pushed up. Take off what was to be expected,
# the mean of the batch:


# %%
def baseline(share, guess):
    return grades - (share * grades).sum(1, keepdim=True)


measure("baseline", baseline, since="reinforce")

# %% [markdown]
# ### Step 3: an advantage for every word
#
# What was to be expected changes while the essay is written. A *critic* knows it word by word, and
# an advantage is the grade less its guess, $A_t = r - V_t$. Here it is perfect, for all is listed.
# *Surprise* counts only how this word changed the critic's mind: $V_{t+1} - V_t$, and at the last
# word $r - V_t$.


# %%
def critic(share, guess):
    return grades - guess


def surprise(share, guess):
    after = torch.cat([guess[..., 1:], grades.expand_as(guess[..., :1])], -1)
    return after - guess


measure("critic", critic, since="baseline")
measure("surprise", surprise, since="critic")

# %% [markdown]
# ### Step 4: the ratio
#
# Writing is slow, so learn from the same essays for eight epochs. After the first they are an older
# student's. The ratio $\rho_t = \pi(y_t) / \pi_\mathrm{old}(y_t)$ weighs each word by how much
# likelier it has become. How far off is the push of a student who has moved on?


# %%
def ratio(logprob, old, weight):
    return weight * (logprob - old).exp()


after = beginners[:1] + 3 * push(beginners[:1], everything, critic)
exact = push(after, batch_of(after, probabilities(after)), critic)


def wrong(objective):
    gap = push(after, everything, critic, objective) - exact
    return f"{gap.norm() / exact.norm():.0%}"


print("off without the ratio:", wrong(plain), " with it:", wrong(ratio))
measure("critic, 8 epochs", critic, plain, 8, since="critic")
measure("ratio, 8 epochs", critic, ratio, 8, since="critic, 8 epochs")

# %% [markdown]
# ### Step 5: the clip
#
# Four essays are little evidence, and eight epochs follow it far. PPO stops pushing a word whose
# ratio has left $1 \pm \epsilon$ in the direction of the push
# ([Schulman et al. 2017](../reference/bibliography.md#schulman2017)). It is `ppo_policy_loss`, the
# sign turned:

# %%
from rlhf_explained.formulas import ppo_policy_loss


def clip(logprob, old, weight):
    rho = (logprob - old).exp()
    return torch.minimum(rho * weight, rho.clamp(0.8, 1.2) * weight)


new, old, weight = torch.randn(3, 50, 2, generator=luck)
loss = ppo_policy_loss(new, old, weight, torch.ones(50, 2).bool(), clip_range=0.2)
assert torch.isclose(clip(new, old, weight).mean(), -loss)
measure("clip, 8 epochs", critic, clip, 8, since="ratio, 8 epochs")

# %% [markdown]
# ---
# ## Words for real: state, action, policy
#
# A language model is such a student with a larger table, which a network computes. The *state* is
# the prompt with what stands there, the *action* the next token, the *policy* the probabilities of
# all tokens. Here is the trained policy's first finished answer to a held-out question; beside each
# token what was likeliest there.

# %%
from rlhf_explained.rollout import Rollout, pack, response_logits, response_values, score
from rlhf_explained.world.tokenizer import EOS, RESPONSE_LIMIT, world_tokenizer

tokenizer = world_tokenizer()
policy, trained_critic = result.policy("ppo"), result.policy("critic")
sft, reward_model = result.policy("sft"), result.policy("reward_model")
record = result.responses["ppo"]
answer = next(a for a in record if a["length"] == len(a["response"].split()) + 1)
prompt = tokenizer.encode(answer["prompt"])
tokens = [*tokenizer.encode(answer["response"]), EOS]
words = [tokenizer.words[token] for token in tokens]
T = len(tokens)


@torch.no_grad()
def at(t, model):
    """What a model says before token t: log-probabilities of all tokens, and its scalar."""
    hidden = model.hidden(torch.tensor([prompt + tokens[:t]]))[0, -1]
    return model.logits(hidden).log_softmax(0), model.scalar(hidden).item()


print(answer["prompt"])
for t in range(T):
    chances, best = at(t, policy)[0].exp().topk(2)
    one, two = (f"{tokenizer.words[i]} {p:.2f}" for p, i in zip(chances, best, strict=True))
    print(" ", words[t].ljust(9), one, "", two)

# %% [markdown]
# ## One score, a number for every token
#
# Column by column, each computed twice: by hand, one state at a time, and by the package, for a
# whole batch, as training does. `column` keeps what agrees. **token** comes first: the run wrote
# down just these.

# %%
from rlhf_explained.formulas import gae, kl_k1, kl_shaped_rewards, token_logprobs
from rlhf_explained.stages.ppo import PPOConfig, credit

beta, lambda_ = PPOConfig().kl_coef, PPOConfig().gae_lambda
batch = pack([prompt], [tokens[:-1]])
mask = batch.response_mask
table = {}


def column(name, by_hand, packaged):
    assert torch.allclose(torch.tensor([by_hand]), packaged, atol=1e-4), name
    table[name] = by_hand


with torch.no_grad():
    logits, ref_logits = (response_logits(model, batch) for model in (policy, sft))
    guesses = response_values(trained_critic, batch)
    scores = score(reward_model, batch)
assert tokenizer.decode(batch.responses[0].tolist()) == " ".join(words[:-1]) == answer["response"]

# %% [markdown]
# **logprob, ref logp:** its log-probability under the policy, and under the SFT policy, the
# reference. **k1** is their difference; the sum is the KL that the run wrote down.

# %%
logprobs = token_logprobs(logits, batch.responses)
ref_logprobs = token_logprobs(ref_logits, batch.responses)
logp, ref = ([at(t, model)[0][tokens[t]].item() for t in range(T)] for model in (policy, sft))
k1 = [logp[t] - ref[t] for t in range(T)]
column("logprob", logp, logprobs)
column("ref logp", ref, ref_logprobs)
column("k1", k1, kl_k1(logprobs, ref_logprobs))
assert abs(sum(k1) - answer["kl"]) < 1e-3

# %% [markdown]
# **reward**, shaped by the KL: every token pays $\beta\,k_1$; the last gets the score, which the
# reward model reads at `<eos>`. A token that the reference likes better is paid.

# %%
r = [-beta * k for k in k1]
r[-1] += at(T, reward_model)[1]
rewards = kl_shaped_rewards(scores, logprobs, ref_logprobs, mask, kl_coef=beta)
column("reward", r, rewards)
assert abs(scores.item() - answer["proxy"]) < 1e-3

# %% [markdown]
# **value:** the critic's guess, in each state, of all reward to come: the score less what is still
# to be paid for the KL. The critic is a network of its own, which began as a copy of the reward
# model. **δ** is its surprise, $r_t + V_{t+1} - V_t$; after the end $V = 0$.

# %%
V = [at(t, trained_critic)[1] for t in range(T)] + [0.0]
delta = [r[t] + V[t + 1] - V[t] for t in range(T)]
column("value", V[:-1], guesses)
column("δ", delta, gae(rewards, guesses, mask, gamma=1, gae_lambda=0)[0])

# %% [markdown]
# **advantage** (GAE): the surprises from here on, each further one trusted λ times less.
# **return:** advantage plus value, what the critic should have guessed.

# %%
A = [sum(lambda_**k * delta[t + k] for k in range(T - t)) for t in range(T)]
advantages, returns = gae(rewards, guesses, mask, gamma=1, gae_lambda=lambda_)
column("advantage", A, advantages)
column("return", [A[t] + V[t] for t in range(T)], returns)

print("token  ", *(name.rjust(6) for name in table))
for t in range(T):
    row = (number(cells[t], 3).rjust(max(6, len(name))) for name, cells in table.items())
    print(words[t].ljust(7), *row)
print("earned:", number(sum(r)), "=", number(scores.item()), "less", beta, "×", number(sum(k1)))
print("guessed before the first token:", number(V[0]), " all surprises:", number(sum(delta)))
assert abs(V[0] + sum(delta) - sum(r)) < 1e-4

# %% [markdown]
# All surprises together are what was earned less what was guessed at first. A single one says less
# about its token than it seems to: it holds the critic's errors too. How large they are can be seen
# where the policy had no choice. There the token tells nothing new, so that a perfect critic's δ is
# about 0. The next notebook
# [measures it](03b_when_ppo_looks_wrong.py#how-much-does-the-critic-know).

# %% [markdown]
# ### GAE's two ends
#
# λ = 0 trusts the critic and gives δ, step 3's *surprise*. λ = 1 trusts what came and gives all
# reward from here on less the guess, step 3's *critic*. Training calls `credit`, which also whitens
# the advantages over the batch (here, one answer), so that no step hangs on the scores' scale.

# %%
ours, _ = gae(rewards, guesses, mask, gamma=1, gae_lambda=1)
assert torch.allclose(ours, rewards.flip(1).cumsum(1).flip(1) - guesses, atol=1e-4)
experience = credit(Rollout(batch, logprobs, ref_logprobs, scores), guesses, PPOConfig())
white = (advantages - advantages.mean()) / advantages.std(correction=0)
assert torch.equal(experience.returns, returns)
assert torch.allclose(experience.advantages, white, atol=1e-3)

# %% [markdown]
# ## What the critic knows
#
# It learns beside the policy, from the squared difference between guess and return. How much of the
# variance of the returns does it explain? 1 is perfect, 0 no better than always saying the mean,
# and below 0 it adds noise. Training writes it down; here are means of ten rounds each:

# %%
rows = result.history["ppo"]
for start in range(0, len(rows), 10):
    part = [row["explained_variance"] for row in rows[start : start + 10]]
    print(f"rounds {start + 1:2} to {start + len(part):2}", number(sum(part) / len(part)).rjust(6))

# %% [markdown]
# Those are the questions that it learned from. The next notebook asks it
# [about others](03b_when_ppo_looks_wrong.py#how-much-does-the-critic-know).
#
# ### Where the critic lives
#
# The value head may also sit on the policy's own network, which saves a copy. But then the critic's
# loss changes the trunk that the words come from. Stiennon et al.
# ([2020](../reference/bibliography.md#stiennon2020)) give it a network of its own for this reason,
# and start it from the reward model. Four kinds of critic, on several seeds:

# %%
display(HTML(as_html("critic-positions", result)))
say("{critic-verdict}")

# %% [markdown]
# ## The loop
#
# `train_ppo` numbers its steps. Here is one round by hand, and the proof: with the same randomness
# `train_ppo` gives the same weights, bit by bit.

# %%
import copy
import inspect

from rlhf_explained.rollout import collect_rollout
from rlhf_explained.stages.ppo import ppo_loss, train_ppo
from rlhf_explained.world.questions import questions

lines = [line.strip() for line in inspect.getsource(train_ppo).splitlines()]
print(*(line for line in lines if line[:2] == "# "), sep="\n")

config = PPOConfig(iterations=1, batch=32)
asked = [tokenizer.encode(question.text) for question in questions() if not question.held_out]
student, guesser = copy.deepcopy(sft), copy.deepcopy(reward_model)
networks = (student, guesser)
weights = [each for network in networks for each in network.parameters()]
optimizer = torch.optim.AdamW(weights, config.learning_rate, weight_decay=0, fused=True)


def judge(sequences):
    return score(reward_model, sequences)


luck.manual_seed(0)
how = {"limit": RESPONSE_LIMIT, "generator": luck}
rollout = collect_rollout(student, sft, judge, asked[:32], **how)  # 1
with torch.no_grad():
    guesses = response_values(guesser, rollout.sequences)
experience = credit(rollout, guesses, config)  # 2
for _ in range(config.epochs):  # 3
    rows = torch.randperm(config.batch, generator=luck)
    loss, watched = ppo_loss(student, guesser, experience.rows(rows), config)
    optimizer.zero_grad()
    loss.backward()
    for network in networks:
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()

luck.manual_seed(0)
trained = train_ppo(
    sft,
    judge,
    config,
    draw_prompts=lambda count: asked[:count],
    critic=reward_model,
    generator=luck,
)
for ours, theirs in zip(networks, (trained.policy, trained.critic), strict=True):
    assert all(map(torch.equal, ours.parameters(), theirs.parameters()))

# %% [markdown]
# The policy's loss is step 5's clip; the critic's is half its squared error, clipped likewise, with
# a range of its own. The run lowers the learning rate from round to round.
#
# ## Take one part away
#
# Which parts does this model need? Each was changed and PPO trained again, on several seeds. *No
# critic* takes two things away: nobody guesses, and so λ is 1 as well; the row *λ = 1* has that
# alone. *No clip* is about the policy's ratio, *no value clip* about the critic. *No whitening*:
# advantages as GAE gives them. The verdict counts all comparisons (Holm's procedure).

# %%
display(HTML(as_html("ablations", result)))
say("{ablations-verdict}")

# %% [markdown]
# InstructGPT also mixed pretraining's documents into the loss
# ([PPO-ptx](../reference/glossary.md#ppo-ptx)), to keep what the model knew. The run mixes in
# nothing. Two mixes were tried: documents on practised questions alone, and the web as it is, which
# also states what the exam asks for. If the second does better, that is because it says the answers
# again.

# %%
say("{mix-verdict}")

# %% [markdown]
# What is not missed here may be needed elsewhere: this model is small, its answers short, its
# batches fresh.
#
# ---
# ## Exercises
#
# **1.** In step 4 the ratio's push was still off. Weigh each word by the ratio of the *whole*
# essay. Is the push right now? How much does it vary from essay to essay?


# %% tags=["solution"]
def whole(logprob, old, weight):
    return weight * logprob * (logprob - old).sum(-1, keepdim=True).detach().exp()


many = beginners[:1].expand(9999, 6, 5)
singles = batch_of(beginners[:1], write(many, 1, generator=luck))
for objective in (ratio, whole):
    spread = push(after.expand_as(many), singles, critic, objective).var(0).sum().sqrt()
    print(objective.__name__, "off by", wrong(objective), " noise", number(spread.item()))

# %% [markdown] tags=["solution"]
# The whole ratio is a product with a factor for every token: right on average, and the longer the
# answer, the wilder. PPO takes the small error instead.

# %% [markdown]
# **2.** Step 3's critic was perfect. Spoil it: add 1 to its guess after one first word. Which of
# `critic` (λ = 1) and `surprise` (λ = 0) is still right on average?

# %% tags=["solution"]
share, before, guess = everything
guess = guess.clone()
guess[:, :5, 1] += 1  # after the first of the first words
for weight in (critic, surprise):
    gap = push(beginners[:1], (share, before, guess), weight) - truth
    print(weight.__name__, f"off by {gap.norm() / truth.norm():.0%}")

# %% [markdown] tags=["solution"]
# With λ = 1 a wrong critic costs noise, not truth: what depends on the state alone cancels on
# average. With λ = 0 its errors are learned. A λ between trades one for the other.

# %% [markdown]
# **3.** In the first step on a batch the clip changes nothing, whatever its range. Why?

# %% tags=["solution"]
for objective in (ratio, clip):
    same = push(beginners[:1], everything, critic, objective)
    assert torch.allclose(same, push(beginners[:1], everything, critic, plain))

# %% [markdown] tags=["solution"]
# Nothing has moved yet: every ratio is 1, within any range, and there all three have one gradient.

# %% [markdown]
# ---
# ## Three lines to take away
#
# 1. Baseline and critic fight noise. The ratio keeps essays of an older student usable, and the
#    clip stops pushing words that have moved far enough.
# 2. A score becomes rewards per token, rewards surprises, surprises advantages. A single advantage
#    holds the critic's error too: look at its explained variance.
# 3. What is missed when it is gone depends on the model: take parts out and measure.
#
# **Next:** [When PPO's numbers look wrong](03b_when_ppo_looks_wrong.py): a negative KL, one that
# explodes, a reward that does not rise.
