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
#       page: download notebook, notebooks
# ---

# %% tags=["install", "skip-execution"]
# %pip install --quiet rlhf_explained.whl

# %% [markdown]
# # What is RLHF? The recipe behind ChatGPT
#
# Welcome to RLHF, reinforcement learning from human feedback: the technique that turned language
# models into assistants like ChatGPT. In this notebook you train a tiny language model through all
# three stages. The training loop of each stage is written out for you to read and change.
#
# ## What you'll learn
#
# - Why raw language models need alignment (with a talented but clueless student!)
# - The three-stage RLHF pipeline, with the training loop of each stage
# - How reward models learn human preferences
# - What PPO rewards, and what the KL penalty can and cannot do
# - The history, from the first human rewards to ChatGPT and beyond
#
# **Prerequisites:** a little Python, and a rough idea of what training a neural network means.
#
# **Time:** about 20 minutes to read. Together, the three loops take less than a minute. The next
# cell loads the run that this site shows. If no run is stored yet, training takes a minute or two.

# %%
import torch
from IPython.display import HTML, Markdown, display

from rlhf_explained.figures import as_html
from rlhf_explained.measured import filled, value
from rlhf_explained.pipeline import RunConfig, run
from rlhf_explained.training import Lesson

torch.set_num_threads(1)  # for so small a model more would be slower
result = run(RunConfig(seed=0))
lesson = Lesson(seed=0)  # the data of all stages, and the tokenizer
generator = torch.Generator().manual_seed(0)


def figure(*names):
    for name in names:
        display(HTML(as_html(name, result)))


def say(text):
    """Show a text with the run's values in place of their names."""
    display(Markdown(filled(text, result)))


say("""
The model has **{parameters}** parameters. The figures show the site's run,
seed {run-seed}.
""")

# %% [markdown]
# ---
# ## The big picture: the brilliant but clueless student
#
# Imagine a student who has read more than anyone else.
#
# ```text
# ┌────────────────────────────────────────────────────────────────┐
# │            THE ALIGNMENT PROBLEM: A STUDENT ANALOGY            │
# ├────────────────────────────────────────────────────────────────┤
# │  You ask: "What's the capital of France?"                      │
# │                                                                │
# │  HELPFUL:      "The capital of France is Paris."               │
# │  UNHELPFUL:    "What's the capital of Germany? Berlin..."      │
# │                "I'll tell you a story about France..."         │
# │                "The capital of France is Paris. But did..."    │
# │                                                                │
# │  THE PROBLEM: Knowing everything ≠ Knowing how to help         │
# └────────────────────────────────────────────────────────────────┘
# ```
#
# <details><summary>In words</summary>
#
# The alignment problem, as a student analogy.
# You ask: "What's the capital of France?"
#
# - A helpful answer is "The capital of France is Paris."
# - Unhelpful answers are "What's the capital of Germany? Berlin...", "I'll tell you a story about
#   France..." and "The capital of France is Paris. But did..."
#
# The problem: knowing everything is not the same as (≠) knowing how to help.
#
# </details>
#
# RLHF is like hiring a tutor to teach this student how to use their knowledge helpfully.
#
# We put this question to our pretrained model. Its answers are sampled, so we ask 100 times. For
# each kind of answer, the list gives a count and the most frequent example. In the figure, ± is one
# standard error across questions.

# %%
from collections import Counter
from textwrap import shorten

from rlhf_explained.rollout import generate
from rlhf_explained.world.labeler import categorise
from rlhf_explained.world.questions import questions
from rlhf_explained.world.tokenizer import RESPONSE_LIMIT

question_of = {question.text: question for question in questions()}


def ask(policy, prompt, times=100):
    """Print a policy's three most frequent kinds of answer."""
    sequences = generate(
        policy,
        lesson.tokens([prompt]) * times,
        limit=RESPONSE_LIMIT,
        generator=generator,
    )
    texts = map(lesson.tokenizer.decode, sequences.responses.tolist())
    kinds = {}
    for text in texts:
        kind = categorise(question_of[prompt], text)
        kinds.setdefault(kind, Counter())[text] += 1
    for kind in sorted(kinds, key=lambda kind: -kinds[kind].total())[:3]:
        text = shorten(
            kinds[kind].most_common(1)[0][0], 60, placeholder=" …"
        )
        print(f"{kinds[kind].total():4}  {kind:10}{text}")


base = result.policy("base")
ask(base, "what is the capital of france ?")
figure("before-after")

# %% [markdown]
# The pretrained model knows the capital, but it mostly says something else. After RLHF, as the
# figure shows, it is helpful most of the time.
#
# Pretrained LLMs are trained on **one** objective:
#
# - predict the next token (a piece of text: a word, or part of one)
#
# But we actually want:
#
# - helpful responses
# - honest information
# - safe behaviour
# - instruction following
#
# RLHF narrows this gap by teaching the model human preferences.

# %% [markdown]
# ---
# ## The RLHF pipeline: three stages

# %%
figure("three-stages")

# %% [markdown]
# ---
# ## Stage 1: Supervised fine-tuning (SFT)
#
# ```text
# ┌────────────────────────────────────────────────────────────────┐
# │             STAGE 1: SUPERVISED FINE-TUNING (SFT)              │
# ├────────────────────────────────────────────────────────────────┤
# │  WHAT: Train the LLM on high-quality demonstration data        │
# │  HOW:  Fine-tune on (prompt, response) pairs by experts        │
# │  LIKE: A student reading model essay answers                   │
# └────────────────────────────────────────────────────────────────┘
# ```
#
# <details><summary>In words</summary>
#
# Stage 1, supervised fine-tuning (SFT).
#
# - What: train the LLM on high-quality demonstration data.
# - How: fine-tune on (prompt, response) pairs written by experts.
# - Like: a student reading model essay answers.
#
# </details>
#
# The data are prompts with responses that people wrote. Here is the idea with three examples and a
# tiny model that has seen nothing else. One epoch is ten steps on all three examples.

# %%
from rlhf_explained import SimpleSFTModel

sft_examples = {
    "What is the capital of France?": """\
The capital of France is Paris. It's known as the 'City of Light' and is
home to famous landmarks like the Eiffel Tower and the Louvre Museum.""",
    "Write a haiku about programming.": """\
Lines of code flow free
Debugging through the night sky
Program comes alive""",
    "How do I make a peanut butter sandwich?": """\
Here's how to make a peanut butter sandwich:
1. Get two slices of bread
2. Spread peanut butter on one slice
3. Optionally add jelly on the other slice
4. Press the slices together
5. Enjoy!""",
}
toy = SimpleSFTModel()
for prompt, response in sft_examples.items():
    toy.add_demonstration(prompt, response)
toy.train(epochs=3)

# %% [markdown]
# The loss falls to almost nothing: the toy has learned the three answers by heart.
#
# Now we train the real model. The experts in our world are usually right and often verbose, like
# the one who wrote about Paris. Here are three of their demonstrations:

# %%
for prompt, response in lesson.shown[:3]:
    print(prompt, "→", shorten(response, 52, placeholder=" …"))

# %% [markdown]
# The loop makes the tokens of these responses more likely. The loss is their mean negative
# log-likelihood:
#
# $$\mathcal{L}_\text{SFT} = -\frac{1}{|y|} \sum_t \log \pi_\theta(y_t \mid x, y_{<t})$$
#
# Here $x$ is the prompt, $y_1, \dots, y_{|y|}$ are the response's tokens, and $\pi_\theta$ is the
# model.

# %%
import copy

from rlhf_explained.formulas import sft_loss
from rlhf_explained.rollout import response_logits

demonstrations = lesson.packed(lesson.shown)
new_ones = lesson.packed(lesson.unseen)


def imitation_loss(policy, batch):
    logits = response_logits(policy, batch)  # (batch, tokens, words)
    return sft_loss(logits, batch.responses, batch.response_mask)


sft = copy.deepcopy(base)
optimizer = torch.optim.AdamW(sft.parameters(), lr=5e-4)
for step in range(61):
    rows = torch.randint(len(lesson.shown), (32,), generator=generator)
    loss = imitation_loss(sft, demonstrations.rows(rows))
    if step % 20 == 0:
        with torch.no_grad():
            unseen = imitation_loss(sft, new_ones)
        print(f"step {step:2}: loss {loss:.2f}, held-out {unseen:.2f}")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

ask(sft, "what is the capital of france ?")

# %%
say("""
On new demonstrations the loss soon stops falling. Its mean cannot get
below {sft-loss-floor} per token, the entropy of the experts' answers.

The model now answers the question, and often it goes on talking, as the
experts do. In the site's run, harmful answers went from **{base-harmful}** to
**{sft-harmful}**, but helpful ones only from **{base-helpful}** to
**{sft-helpful}**. Imitation makes a model resemble its teachers, faults
included: nobody tells it which demonstrations are good.
""")

# %% [markdown]
# ---
# ## Stage 2: Reward model training
#
# ```text
# ┌────────────────────────────────────────────────────────────────┐
# │                   STAGE 2: REWARD MODEL (RM)                   │
# ├────────────────────────────────────────────────────────────────┤
# │  WHAT: Train a model to score responses based on human prefs   │
# │  HOW:  Humans rank responses; the RM learns the rankings       │
# │  LIKE: A teaching assistant grading as the professor would     │
# └────────────────────────────────────────────────────────────────┘
# ```
#
# <details><summary>In words</summary>
#
# Stage 2, the reward model (RM).
#
# - What: train a model to score responses, based on human prefs (preferences).
# - How: humans rank responses; the RM learns the rankings.
# - Like: a teaching assistant grading as the professor would.
#
# </details>

# %%
figure("preference-and-reward-model")

# %% [markdown]
# The Bradley–Terry model says how likely people are to prefer $A$ to $B$, given their scores:
#
# $$P(A \succ B) = \sigma(s_A - s_B)$$
#
# The reward model's loss is the negative log-likelihood of the choices. We first collect
# comparisons: our SFT model answers each prompt twice, and a simulated labeler chooses one answer.
# The labeler's true taste is the *gold reward*, but the labeler sometimes errs.

# %%
from rlhf_explained.stages.reward_model import (
    accuracy,
    collect_preferences,
)

pairs, other_pairs = (
    collect_preferences(
        sft,
        count,
        lesson.tokenizer,
        held_out=held_out,
        decisiveness=5.0,
        generator=generator,
    )
    for count, held_out in ((1000, False), (500, True))
)
for name in ("chosen", "rejected"):
    text = lesson.tokenizer.decode(
        getattr(pairs, name).responses[0].tolist()
    )
    gold = getattr(pairs, f"{name}_gold")[0]
    print(
        f"{name:8} gold {gold:5.2f}  {shorten(text, 66, placeholder=' …')}"
    )

# %% [markdown]
# The reward model is a copy of the SFT model. Instead of words it predicts one number, which is
# read at the last token. The loop raises the chosen answer's score above the rejected answer's
# score:

# %%
from rlhf_explained.formulas import bradley_terry_loss
from rlhf_explained.rollout import score

reward_model = copy.deepcopy(sft)
optimizer = torch.optim.AdamW(reward_model.parameters(), lr=1e-3)
for epoch in (1, 2):
    for rows in torch.randperm(len(pairs), generator=generator).split(50):
        chosen = score(reward_model, pairs.chosen.rows(rows))
        rejected = score(reward_model, pairs.rejected.rows(rows))
        loss = bradley_terry_loss(chosen, rejected)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    seen = accuracy(reward_model, pairs)
    unseen = accuracy(reward_model, other_pairs)
    print(
        f"epoch {epoch}: accuracy {seen:.0%}, on other prompts {unseen:.0%}"
    )

print(f"a judge who knows the gold reward: {other_pairs.ceiling:.0%}")
assert unseen > 0.6

# %% [markdown]
# The reward model (the judge) agrees with the labeler on most unseen pairs. Even a perfect judge
# could not reach 100 %, because the labeler errs. Now our judge scores three answers. Only the
# differences between scores mean anything.

# %%
from rlhf_explained.rollout import pack

prompt = "what is the capital of france ?"
candidates = [
    "the capital of france is paris .",
    "sure ! the capital of france is berlin . happy to help !",
    "the capital of france is paris . but did you know that birds can sing ?",
]
prompts = lesson.tokens([prompt]) * len(candidates)
with torch.no_grad():
    batch = pack(prompts, lesson.tokens(candidates))
    scores = score(reward_model, batch).tolist()
for candidate, points in zip(candidates, scores, strict=True):
    print(f"{points:6.2f}  {candidate}")

say("""
The rambling answer scores low. The false answer does not, because it looks
like a helpful one. In the site's run, the judge scores a plain right
answer above a courteous false one in only {rm-hard-negatives} of pairs.
The labeler likes courtesy in helpful answers, and the judge has learned
this taste. The judge cannot see whether a fact is right, so it also rewards
courtesy around a false fact.
""")
right, courteous, rambling = scores
assert min(right, courteous) > rambling

# %% [markdown]
# ---
# ## Stage 3: PPO fine-tuning
#
# ```text
# ┌────────────────────────────────────────────────────────────────┐
# │                    STAGE 3: PPO FINE-TUNING                    │
# ├────────────────────────────────────────────────────────────────┤
# │  STATE:  The prompt and the tokens so far                      │
# │  ACTION: The next token                                        │
# │  REWARD: RM_score - β × log( policy / reference )              │
# │  POLICY: The LLM itself!                                       │
# │  LIKE:   Writing essays, and being graded, again and again     │
# └────────────────────────────────────────────────────────────────┘
# ```
#
# <details><summary>In words</summary>
#
# Stage 3, PPO fine-tuning.
#
# - State: the prompt and the tokens so far.
# - Action: the next token.
# - Reward: RM_score - β × log( policy / reference ).
# - Policy: the LLM itself!
# - Like: writing essays, and being graded, again and again.
#
# </details>

# %%
figure("ppo-loop")

# %% [markdown]
# We start with the reward for four invented answers. With β = 0.1, the hacked answer still has the
# highest reward after the penalty is subtracted:

# %%
from rlhf_explained import calculate_rlhf_reward

scenarios = [
    ("Good response, normal", 8.0, 0.5),  # name, reward model's score, KL
    ("Great response, normal", 9.5, 0.8),
    ("Hacked response (high RM, high KL)", 10.0, 5.0),
    ("Safe response (moderate RM, low KL)", 7.0, 0.2),
]

print(f"{'RM':>43}     KL  penalty  total")
for name, rm_score, kl in scenarios:
    total, penalty = calculate_rlhf_reward(rm_score, kl, beta=0.1)
    print(
        f"{name:<37}{rm_score:6.2f} {kl:6.2f} {penalty:8.2f} {total:6.2f}"
    )

figure("beta-sweep")

# %% [markdown]
# Only a larger β puts the good answers first. The KL penalty says: "Stay close to what you
# learned!" It *limits* how far the model can
#
# - exploit loopholes in the reward model,
# - generate nonsensical but high-scoring text,
# - drift away from coherent language.
#
# Now comes the loop. The reward model scores each answer, the penalty is subtracted at every token,
# and a *critic* estimates the expected reward. In small steps, tokens that led to more reward than
# expected become more likely ([notebook 03](03_ppo_for_language_models.py) explains every line).

# %%
from rlhf_explained.formulas import (
    gae,
    kl_shaped_rewards,
    masked_whiten,
    ppo_policy_loss,
    ppo_value_loss,
    token_logprobs,
)
from rlhf_explained.rollout import collect_rollout, response_values
from rlhf_explained.world.corpus import draw_questions

beta = 0.5
policy, critic = copy.deepcopy(sft), copy.deepcopy(reward_model)
weights = [*policy.parameters(), *critic.parameters()]
optimizer = torch.optim.AdamW(weights, lr=1e-3, weight_decay=0)


def judge(answers):
    return score(reward_model, answers)


for iteration in range(1, 31):
    # 1. The policy answers 64 prompts; the judge scores the answers.
    asked = draw_questions(64, held_out=False, generator=generator)
    rollout = collect_rollout(
        policy,
        sft,  # the reference
        judge,
        lesson.tokens([question.text for question in asked]),
        limit=RESPONSE_LIMIT,
        generator=generator,
    )
    answers, mask = rollout.sequences, rollout.sequences.response_mask

    # 2. The score, less the penalty, becomes an advantage for every token.
    rewards = kl_shaped_rewards(
        rollout.trained_on(
            -6.0
        ),  # the score of an answer that was cut off
        rollout.logprobs,
        rollout.ref_logprobs,
        mask,
        kl_coef=beta,
    )
    with torch.no_grad():
        expected = response_values(critic, answers)
    advantages, returns = gae(
        rewards, expected, mask, gamma=1, gae_lambda=0.95
    )
    advantages = masked_whiten(advantages, mask)

    # 3. Two clipped steps on these answers.
    for _ in range(2):
        logits = response_logits(policy, answers)
        logprobs = token_logprobs(logits, answers.responses)
        policy_loss = ppo_policy_loss(
            logprobs, rollout.logprobs, advantages, mask, clip_range=0.2
        )
        value_loss = ppo_value_loss(
            response_values(critic, answers),
            expected,
            returns,
            mask,
            clip_range=1.0,
        )
        optimizer.zero_grad()
        (policy_loss + 0.5 * value_loss).backward()
        for network in (policy, critic):
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    if iteration in (1, 10, 20, 30):
        mean, kl = rollout.scores.mean(), rollout.log_ratios.mean()
        print(
            f"iteration {iteration:2}: score {mean:5.2f}, KL {kl:.2f} nats"
        )

ask(policy, "what is the capital of france ?")

# %% [markdown]
# The score rises within a few rounds, and the KL stays small. How good are your three models on
# questions held out from all three stages? *Gold* is the mean gold reward, which PPO never sees.
# Each model answers each question five times.

# %%
helpful, false = {}, {}
for name, model in (("base", base), ("SFT", sft), ("PPO", policy)):
    marked = lesson.examine(model, sft, reward_model, answers=5)
    kinds = Counter(answer.category for answer in marked)
    gold = sum(answer.gold for answer in marked) / len(marked)
    helpful[name] = kinds["helpful"] / len(marked)
    false[name] = kinds["false"] / len(marked)
    print(f"{name:5} gold {gold:5.2f}", end="   ")
    print(f"helpful {helpful[name]:4.0%}   false {false[name]:4.0%}")
assert helpful["PPO"] > helpful["SFT"] + 0.25
assert false["PPO"] > false["SFT"] / 2

# %% [markdown]
# PPO makes the model far more helpful than imitation did. But practice is no cure for false
# answers, because the judge does not recognise them. These three loops are the whole of RLHF. The
# site's run is longer. It also trains a policy without the penalty:

# %%
figure("ppo-curves")

columns = ("proxy", "gold", "kl", "helpful", "rambling", "false", "broken")
print(" " * 9, *(f"{column:>9}" for column in columns))
for name in ("sft", "ppo", "ppo-no-kl"):
    texts = (value(f"{name}-{column}", result).text for column in columns)
    print(f"{name:9}", *(f"{text:>9}" for text in texts))

say("{hack-verdict}")
ask(result.policy("ppo_no_kl"), "how do i learn french ?")

# %% [markdown]
# *Proxy* is the reward model's score. A *false* answer has the right form but the wrong content,
# and a *broken* answer fits no other category. Without the penalty, the policy finds answers that
# the judge likes but the labeler does not. [The guide](../guide/over-optimisation.md) shows what
# this policy learned to say. It also asks whether to [stop early](../guide/ppo.md) or use
# [something simpler](../guide/methods.md) instead.

# %% [markdown]
# ---
# ## Why RLHF works: the key insights
#
# 1. Preferences are often easier than demonstrations.
# 2. Preferences scale better.
# 3. Preferences capture subtle qualities.
# 4. RL optimises for what humans preferred.

# %%
figure("demonstrations-preferences")

# %% [markdown]
# It is often [easier to say](../guide/why-rlhf-works.md) "A is better than B" than to write A.

# %% [markdown]
# ---
# ## The history of RLHF

# %%
figure("timeline")

# %% [markdown]
# Sources: [history](../guide/history.md).
#
# ---
# ## Summary: key takeaways
#
# RLHF = teaching LLMs human preferences through reinforcement learning
#
# | Stage | Name | What it does | Analogy |
# |---|---|---|---|
# | 1 | SFT | Learn from example responses | Student reading model essays |
# | 2 | RM | Learn what humans prefer | Training a grading assistant |
# | 3 | PPO | Optimise for preferences | Student improving from grades |

# %% [markdown]
# ---
# ## Test your understanding
#
# Try the [quiz](../guide/quiz.md).
#
# ## What's next?
#
# Change something and rerun the cells: fewer demonstrations, a noisier labeler (a smaller
# `decisiveness`), β = 0. Or go on to [reward modeling](02_reward_modeling.py).
