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
# models into assistants like ChatGPT. This notebook is the three stages as code. It trains a tiny
# language model through every stage, or reads the run if it was trained before.
#
# ## What you'll learn
#
# - Why raw language models need alignment (with a talented but clueless student!)
# - The three-stage RLHF pipeline, step by step
# - How reward models learn human preferences
# - What PPO rewards, and what its leash can do
# - The history, from the first human rewards to ChatGPT and after
# - Code for each concept
#
# **Prerequisites:** a little Python, and a rough idea of what training a neural network means.
#
# **Time:** about 20 minutes to read, longer if you change things and run them again. The next cell
# takes a minute or two the first time, while the model trains; after that it is read from `.cache`.

# %%
import torch
from IPython.display import HTML, Markdown, display

from rlhf_explained.figures import as_html
from rlhf_explained.measured import filled, value
from rlhf_explained.pipeline import RunConfig, run

result = run(RunConfig(seed=0))


def figure(*names):
    for name in names:
        display(HTML(as_html(name, result)))


def say(text):
    """Show a text with this run's values in place of their names."""
    display(Markdown(filled(text, result)))


say("""
A model of **{parameters}** parameters went through all stages in **{seconds-total}**. Every number
below is from this run, seed {run-seed}, unless the text says that it is a mean over several seeds.
""")

# %% [markdown]
# ---
# ## The big picture: the brilliant but clueless student
#
# Imagine a student who has read more than anyone could.
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
# - Helpful is "The capital of France is Paris."
# - Unhelpful are "What's the capital of Germany? Berlin...", "I'll tell you a story about
#   France..." and "The capital of France is Paris. But did..."
#
# The problem: knowing everything is not (≠) knowing how to help.
#
# </details>
#
# RLHF is like hiring a tutor to teach this student how to use their knowledge helpfully.
#
# Ask our own student, before and after. Nothing that was written for a stage after pretraining asks
# this question or answers it. Answers are samples, so each model is asked a hundred times. Here is
# how many of its answers were of which kind, and the commonest of each kind.

# %%
from collections import Counter

from rlhf_explained.rollout import generate
from rlhf_explained.world.labeler import categorise
from rlhf_explained.world.questions import questions
from rlhf_explained.world.tokenizer import RESPONSE_LIMIT, world_tokenizer

tokenizer = world_tokenizer()
known = {question.text: question for question in questions()}
randomness = torch.Generator().manual_seed(0)


def ask(policy_name, prompt, tries=100):
    """Print what one of the trained policies answers: the three commonest kinds."""
    sequences = generate(
        result.policy(policy_name),
        [tokenizer.encode(prompt)] * tries,
        limit=RESPONSE_LIMIT,
        generator=randomness,
    )
    texts = [
        tokenizer.decode(tokens) for tokens in sequences.responses.tolist()
    ]
    kinds = [categorise(known[prompt], text) for text in texts]
    print(policy_name)
    for kind, times in Counter(kinds).most_common(3):
        answers = [
            text
            for text, its in zip(texts, kinds, strict=True)
            if its == kind
        ]
        print(
            f"{times:5}  {kind:10}{Counter(answers).most_common(1)[0][0]}"
        )


for policy_name in ("base", "sft", "ppo"):
    ask(policy_name, "what is the capital of france ?")

figure("before-after")

# %% [markdown]
# Pretrained LLMs are trained on **one** objective:
#
# - predict the next token (a piece of text: a word, or part of one)
#
# But we actually want:
#
# - helpful responses
# - honest information
# - safe behaviour
# - instructions followed
#
# RLHF narrows this gap by teaching the model human preferences.

# %% [markdown]
# ---
# ## The RLHF pipeline: three stages

# %%
figure("three-stages", "stage-seconds")

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
# - How: fine-tune on (prompt, response) pairs by experts.
# - Like: a student reading model essay answers.
#
# </details>
#
# The data: prompts, and responses that people wrote. The first is more verbose than anybody asked
# for: demonstrations are good, not perfect.

# %%
sft_examples = {
    "What is the capital of France?": (
        "The capital of France is Paris. It's known as the 'City of Light' and is home "
        "to famous landmarks like the Eiffel Tower and the Louvre Museum."
    ),
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

# %% [markdown]
# The objective: make the responses that people wrote likely.
#
# $$\mathcal{L}_\text{SFT} = -\frac{1}{|y|} \sum_t \log \pi_\theta(y_t \mid x, y_{<t})$$
#
# $x$ is the prompt, $y_1, \dots, y_{|y|}$ are the response's tokens, $\pi_\theta$ is the model.
#
# A tiny transformer that really learns these three. What it calls an epoch is ten steps, each on
# all the demonstrations at once.

# %%
from rlhf_explained import SimpleSFTModel

sft_model = SimpleSFTModel()
for prompt, response in sft_examples.items():
    sft_model.add_demonstration(prompt, response)

sft_model.train(epochs=3)

# %% [markdown]
# After SFT the model can generate helpful-*looking* responses. It does not know which is *best*:
# nobody has told it which demonstrations are good.
#
# Our run's SFT starts from the pretrained model. Its experts are usually right and often verbose,
# as the one who wrote about Paris is, and sometimes they do worse. We made them so. The first of
# their demonstrations:

# %%
for demonstration in result.demonstrations[:5]:
    print(f"{demonstration['category']:10s} {demonstration['prompt']}")
    print(f"{'':10s} {demonstration['response']}")

figure("sft-loss")

# %%
say("""
On new demonstrations the loss went from {sft-heldout-loss-first} to {sft-heldout-loss-last} per
token; the floor, the entropy of the experts' answers, is {sft-loss-floor}.

Of {demonstrations} demonstrations, {demonstrations-good} give the right answer and nothing else,
and {demonstrations-verbose} give it and go on. Harmful answers went from **{base-harmful}** to
**{sft-harmful}**, helpful ones only from **{base-helpful}** to **{sft-helpful}**: {sft-rambling} of
SFT's answers ramble, as the experts do.
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
# - Like: a teaching assistant, grading as the professor would.
#
# </details>

# %%
figure("preference-and-reward-model")

# %% [markdown]
# The Bradley–Terry model says how likely people are to prefer $A$ to $B$, given two scores:
#
# $$P(A \succ B) = \sigma(s_A - s_B)$$
#
# The reward model's loss is the negative log-likelihood of what they chose.

# %%
from statistics import NormalDist

from rlhf_explained import SimpleRewardModel, reward_model_loss


def preference_pairs(n_pairs, generator):
    """Random features; the first one carries the quality."""
    chosen = torch.randn(n_pairs, 10, generator=generator)
    rejected = torch.randn(n_pairs, 10, generator=generator)
    chosen[:, 0] += 1
    rejected[:, 0] -= 1
    return chosen, rejected


@torch.no_grad()
def accuracy(rm, chosen, rejected):
    return (rm(chosen) > rm(rejected)).float().mean().item()


torch.manual_seed(0)
generator = torch.Generator().manual_seed(0)
training, held_out = (
    preference_pairs(100, generator),
    preference_pairs(10_000, generator),
)
rm = SimpleRewardModel(input_dim=10)
optimizer = torch.optim.Adam(rm.parameters(), lr=0.01)

print("epoch     loss  chosen  rejected  accuracy  held out")
for epoch in range(1, 101):
    optimizer.zero_grad()
    loss, chosen_mean, rejected_mean = reward_model_loss(rm, *training)
    loss.backward()
    optimizer.step()
    if epoch % 20 == 0:
        seen, unseen = accuracy(rm, *training), accuracy(rm, *held_out)
        print(
            f"{epoch:5}{loss:9.4f}{chosen_mean:8.2f}{rejected_mean:10.2f}{seen:10.1%}{unseen:10.1%}"
        )
print(f"ceiling {NormalDist().cdf(2**0.5):44.1%}")

# %% [markdown]
# It does far better on the pairs it trained on: it learned their noise by heart.
# The best possible judge here is right with probability $\Phi(\sqrt 2)$, the ceiling.
#
# The run's reward model reads words. The first comparisons by our labeler, who is noisy and
# sometimes picks the answer of lower gold:

# %%
for pair in result.pairs[:2]:
    print(pair["prompt"])
    for which in ("chosen", "rejected"):
        print(
            f"  {which:8} (gold {pair[f'{which}_gold']:5.2f})  {pair[which]}"
        )

figure("reward-model-training")

# %%
say("""
On held-out pairs it agrees with the labeler in **{rm-accuracy}**; a judge who knows the labeler's
true taste would reach {rm-ceiling}.

This number hides one kind of mistake. Put a plain right answer beside a courteous false one: the
right one scores higher in {rm-hard-negatives} of such pairs. The labeler likes courtesy in helpful
answers, and the judge has learned that. But it cannot tell a false answer from a right one, so it
pays for courtesy around both.
""")

# %% [markdown]
# It is a model that you can ask. Scores have no zero: only differences mean anything.

# %%
from rlhf_explained.rollout import pack, score

prompt = "how do i learn python ?"
candidates = [
    "to learn python , start with variables and loops and write code every day .",
    "let me tell you a story about python . the moon is far away .",
    "that is a stupid question .",
]
batch = pack(
    [tokenizer.encode(prompt)] * len(candidates),
    [tokenizer.encode(c) for c in candidates],
)
with torch.no_grad():
    scores = score(result.policy("reward_model"), batch)
for candidate, points in sorted(
    zip(candidates, scores.tolist(), strict=True), key=lambda p: -p[1]
):
    print(f"{points:6.2f}  {candidate}")

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
# The reward, on four invented answers. At β = 0.1 the penalty is there, and the hacked answer
# still wins. How large must β be?

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
# The KL penalty says: "Stay close to what you learned!" It *limits* how far the model can
#
# - exploit loopholes in the reward model,
# - generate nonsensical but high-scoring text,
# - drift away from coherent language.
#
# What happened in the run, with the penalty and without:

# %%
figure("ppo-curves")

quantities = (
    "proxy",
    "gold",
    "kl",
    "helpful",
    "rambling",
    "false",
    "broken",
)
print(" " * 10, *(f"{quantity:>9}" for quantity in quantities))
for name in ("sft", "ppo", "ppo-no-kl"):
    texts = (
        value(f"{name}-{quantity}", result).text for quantity in quantities
    )
    print(f"{name:10}", *(f"{text:>9}" for text in texts))

# %% [markdown]
# *Proxy* is the reward model's score, *gold* the labeler's true reward, which PPO never sees. A
# *false* answer has the right form and the wrong content; a *broken* one is of no known kind.

# %%
say("{hack-verdict}")

# %% [markdown]
# What does the policy without the penalty like to say? Ask it:

# %%
for policy_name in ("sft", "ppo", "ppo_no_kl"):
    ask(policy_name, "how do i learn french ?")

# %% [markdown]
# One could also train without the penalty and stop early. A study over several seeds looked at both
# runs on the way, at two learning rates. It chose where to stop by practised questions, and reports
# what that is worth on held-out ones:

# %%
figure("gold-against-kl")
say("{early-stopping-verdict}")

# %% [markdown]
# ### Would something simpler do?
#
# After PPO the model gives a few kinds of answer and hardly any other. A lower *temperature*
# narrows the choice too, without training: the logits are divided by it before a word is drawn, and
# at 0 the likeliest word is always taken. Does SFT catch up if it is decoded colder?

# %%
figure("temperatures")
say("""
{temperature-verdict} At temperature 0, {sft-greedy-rambling} of SFT's answers ramble. A colder
imitator does more often what its teachers do most often.
""")

# %% [markdown]
# Or a person throws the bad demonstrations out, and SFT imitates the rest.
# [A study](../guide/methods.md) compares that too, over several seeds:

# %%
say("{methods-verdict}")

# %% [markdown]
# Do the facts survive? A model that seldom tries to state a fact is seldom wrong, so look at those
# answers alone that state one:

# %%
say("{facts-verdict}")

# %% [markdown]
# ---
# ## Why RLHF works: the key insights
#
# 1. Preferences are easier than demonstrations.
# 2. Preferences scale better.
# 3. Preferences capture subtle qualities.
# 4. RL optimizes for what humans preferred.

# %%
figure("demonstrations-preferences")

# %% [markdown]
# It is [easier to say](../guide/why-rlhf-works.md) "A is better than B" than to write A.

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
# Change something and run it again: another prompt, another β. Or go on to
# [reward modeling](02_reward_modeling.py).
