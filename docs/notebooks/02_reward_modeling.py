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
#       page: reward model notebook
# ---

# %% tags=["install", "skip-execution"]
# %pip install --quiet rlhf_explained.whl

# %% [markdown]
# # Reward modeling: from choices to a judge
#
# Nobody can say that an answer is worth 7.2, but everybody can say which of two answers they
# prefer. This notebook trains a reward model (the judge) on such choices, and measures how good it
# is.
#
# ## What you'll learn
#
# - Bradley–Terry, as a model of how people choose and as a loss
# - How to turn a language model into a judge, and where to read its score
# - How good a judge can be, and which mistakes remain
#
# **Prerequisites:** [the guide's page on reward models](../guide/reward-model.md), and a training
# loop in PyTorch.
#
# **Time:** about 25 minutes to read. The first cell trains the model if it has not yet been
# trained.

# %%
import copy
import itertools

import torch
import torch.nn.functional as F
from IPython.display import Markdown, display

from rlhf_explained.measured import number, share
from rlhf_explained.pipeline import RunConfig, run
from rlhf_explained.world.questions import questions
from rlhf_explained.world.tokenizer import world_tokenizer

torch.set_num_threads(1)
result = run(RunConfig(seed=0))
sft, judge = result.policy("sft"), result.policy("reward_model")
tokenizer, randomness = world_tokenizer(), torch.Generator().manual_seed(0)
asked = {question.text: question for question in questions()}


def say(text):
    display(Markdown(text))


# %% [markdown]
# ---
# ## From comparisons to scores
#
# Here are five answers to one question. Our simulated labeler's true taste is the gold reward, but
# we see only its choices. The labeler compares each pair of answers 40 times, and sometimes errs.

# %%
from rlhf_explained.world.labeler import gold_reward, prefers_first

question = asked["how do i learn python ?"]
steps = "start with variables and loops and write code every day ."
answers = [
    f"sure ! to learn python , {steps}",
    f"to learn python , {steps}",
    "let me tell you a story about python . gold is heavy .",
    "how do i make tea ?",
    "go away and ask your mother .",
]
gold = torch.tensor(
    [gold_reward(question, answer) for answer in answers],
    dtype=torch.double,
)

TIMES = 40
wins = torch.zeros(5, 5, dtype=torch.double)  # of the row over the column
for a, b in itertools.combinations(range(5), 2):
    pair = gold[a].repeat(TIMES), gold[b].repeat(TIMES)
    first = prefers_first(
        *pair, decisiveness=1.0, generator=randomness
    ).sum()
    wins[a, b], wins[b, a] = first, TIMES - first
for row, answer in zip(wins.int().tolist(), answers, strict=True):
    print("  ".join(f"{count:2}" for count in row), " ", answer[:44])

# %% [markdown]
# Row 1, column 2 shows how often the first answer beat the second. Nobody gave scores. Bradley and
# Terry ([1952](../reference/bibliography.md#bradley1952)) assume that hidden scores guide the
# choices: each answer has a score $s$, and
#
# $$P(A \succ B) = \sigma(s_A - s_B) = \frac{1}{1 + e^{-(s_A - s_B)}}$$
#
# This is a **probability model**. It becomes a **loss** when we ask which scores make the observed
# choices most likely: the mean of $-\log \sigma(s_\text{chosen} - s_\text{rejected})$ over all
# comparisons.


# %%
def fit(start, rounds=3000):
    """Scores of maximum likelihood, by gradient descent."""
    scores = torch.full(
        (5,), start, dtype=torch.double, requires_grad=True
    )
    for _ in range(rounds):
        leads = scores[:, None] - scores  # of the row over the column
        loss = -(wins * F.logsigmoid(leads)).sum() / wins.sum()
        (slope,) = torch.autograd.grad(loss, scores)
        scores.data -= 5 * slope
    return scores.detach(), slope


scores, slope = fit(0.0)
expected = TIMES * (torch.sigmoid(scores[:, None] - scores).sum(1) - 0.5)
print("  gold  score   wins  expected")
for i in range(5):
    numbers = f"{gold[i] - gold.mean():6.2f} {scores[i]:6.2f}"
    counts = f"{wins[i].sum():6.0f} {expected[i]:9.2f}"
    print(numbers, counts, "", answers[i][:36])
assert torch.allclose(expected, wins.sum(1), atol=1e-3)

# %% [markdown]
# The scores recover the labeler's taste, up to the noise of 40 choices per pair. (The gold rewards
# are shown minus their mean.) The last two columns show what maximum likelihood does: training ends
# where every answer is expected to win as often as it did.
#
# An answer that wins *every* comparison has no finite score, because a higher score always fits
# better. In a real judge, weight decay and short training keep such scores finite.

# %% [markdown]
# ---
# ## The scores have no zero
#
# Now start all scores at 100 instead of 0.

# %%
high, slope = fit(100.0)
before, after = scores.mean().abs(), high.mean()
print(f"mean score {before:.2f} from 0, {after:.2f} from 100")
change = (high - scores - 100).abs().max()
print(f"largest change of a difference: {change:.1e}")
assert torch.allclose(high - 100, scores, atol=1e-6)

# %% [markdown]
# The loss depends only on differences between scores, so nothing ever moves their mean. A score of
# 3 means nothing by itself, a negative score is not a bad sign, and the scores of two judges cannot
# be compared. Our stage 2 shifts the scores to a mean of 0 on the training answers. The *scale*
# does mean something: it shows how sure the judge is. The held-out pairs show whether the judge is
# right as often as it claims.

# %%
chosen, rejected = (
    torch.tensor(result.reward_model[f"{side}_scores"])
    for side in ("chosen", "rejected")
)
lead = chosen - rejected
for low, high in ((0, 0.5), (0.5, 1), (1, 2), (2, 4), (4, 99)):
    there = lead[(lead.abs() >= low) & (lead.abs() < high)]
    if len(there):
        says = torch.sigmoid(there.abs()).mean()
        right = (there > 0).float().mean()
        print(f"lead {low:3} to {high:3}: {says:3.0%} sure", end=", ")
        print(f"right in {right:4.0%} of {len(there)}")
says = torch.sigmoid(lead.abs()).mean().item()
right = (lead > 0).float().mean().item()
say(f"""
On average it is {share(says)} sure and right in {share(right)} of pairs.
""")

# %% [markdown]
# ---
# ## A language model becomes a judge
#
# A table of five scores says nothing about a sixth answer. So the score comes from a model that can
# read: the SFT model with a new head.
#
# ```text
# ┌────────────────────────────────────────────────────────────────┐
# │                A LANGUAGE MODEL BECOMES A JUDGE                │
# ├────────────────────────────────────────────────────────────────┤
# │                                                                │
# │  prompt … ?   the  capital  of  france  is  paris  .  <eos>    │
# │      │         │      │      │     │     │    │    │    │      │
# │      ▼         ▼      ▼      ▼     ▼     ▼    ▼    ▼    ▼      │
# │  TRUNK: embeddings and layers, copied from the SFT model       │
# │      │         │      │      │     │     │    │    │    │      │
# │      ▼         ▼      ▼      ▼     ▼     ▼    ▼    ▼    │      │
# │  LANGUAGE MODEL HEAD: next word at each place; unused   │      │
# │                                                         ▼      │
# │  REWARD HEAD: 64 weights and a bias, read here only:  score    │
# │                                                                │
# └────────────────────────────────────────────────────────────────┘
# ```
#
# <details><summary>In words</summary>
#
# A language model becomes a judge. The tokens of the prompt, "… ?", and of the answer, "the capital
# of france is paris .", and the `<eos>` after it all go into the trunk: embeddings and layers,
# copied from the SFT model. The language model head above it predicts the next word at each place
# and is unused. The reward head has 64 weights and a bias. It is read only here, at the last token,
# `<eos>`, where it gives the score.
#
# </details>

# %%
from rlhf_explained.formulas import bradley_terry_loss
from rlhf_explained.rollout import pack, score


def batch(prompt, answers):
    return pack(
        [tokenizer.encode(prompt)] * len(answers),
        [*map(tokenizer.encode, answers)],
    )


model = copy.deepcopy(sft)  # the whole of stage 2's new architecture
with torch.no_grad():
    fresh = score(model, batch(question.text, answers))
new = sum(
    parameter.numel() for parameter in model.scalar_head.parameters()
)
print(f"copied: {sft.parameter_count() - new:,} numbers")
print(f"new: {new} numbers, all of them 0")
loss = bradley_terry_loss(fresh[:1], fresh[1:2])
print(f"scores {fresh.tolist()}, loss {loss:.4f}")


# %% [markdown]
# A head of zeros gives every answer the score 0, so **the loss starts at log 2 = 0.6931**, as for a
# coin toss.
#
# Why is the score read at the last token? What the model computes at a position depends only on the
# words up to it. Here are the scores that the run's judge gives at every position in two answers:

# %%
france = "what is the capital of france ?"
twins = batch(
    france,
    [f"the capital of france is {city} ." for city in ("paris", "berlin")],
)
with torch.no_grad():
    places = judge.scalar(judge.hidden(twins.tokens))
words = [tokenizer.words[token] for token in twins.tokens[0].tolist()]
for place in range(twins.prompt_length - 1, len(words)):
    right, wrong = places[:, place].tolist()
    word = words[place].replace("paris", "paris/berlin")
    print(f"{word:13}{right:6.2f}{wrong:7.2f}")
with torch.no_grad():
    assert torch.allclose(places[:, -1], score(judge, twins), atol=1e-5)
    city = words.index("paris")
    assert torch.allclose(places[0, :city], places[1, :city], atol=1e-5)

# %% [markdown]
# The two answers get the same scores before the word that differs. If the score is read there, the
# judge cannot tell the answers apart, and its loss stays at log 2. At `<eos>` the judge has read
# everything. Elsewhere its scores mean nothing, because it was not trained there.
#
# Does this judge *know* the capital of France? One pair cannot tell: below we test all facts.
#
# ---
# ## Train one
#
# We take 400 pairs judged by the run's labeler, who errs less than the labeler above
# (`decisiveness` 5), and hold out 500 more on other prompts. An epoch is one pass over all pairs,
# in a new order. The head starts at zero and has a long way to go, so its learning rate is ten
# times that of the trunk.

# %%
from rlhf_explained.stages.reward_model import (
    accuracy,
    collect_preferences,
)

pairs, heldout = (
    collect_preferences(
        sft,
        count,
        tokenizer,
        held_out=held_out,
        decisiveness=5.0,
        generator=randomness,
    )
    for count, held_out in ((400, False), (500, True))
)
head = [*model.scalar_head.parameters()]
trunk = [
    part
    for name, part in model.named_parameters()
    if "scalar_head" not in name
]
optimizer = torch.optim.AdamW(
    [{"params": trunk, "lr": 3e-4}, {"params": head, "lr": 3e-3}],
    weight_decay=0.1,
)
print("epoch   loss  accuracy: own pairs  held out")
for epoch in range(1, 9):
    losses = []
    for rows in torch.randperm(len(pairs), generator=randomness).split(50):
        loss = bradley_terry_loss(
            score(model, pairs.chosen.rows(rows)),
            score(model, pairs.rejected.rows(rows)),
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    own, other = accuracy(model, pairs), accuracy(model, heldout)
    mean = sum(losses) / len(losses)
    print(f"{epoch:5}{mean:7.3f}{own:20.1%}{other:10.1%}")

# %% [markdown]
# The judge keeps improving on its training pairs because it memorises their noise. On held-out
# pairs the improvement soon becomes small.
#
# ---
# ## Held-out accuracy and its ceiling
#
# Is that accuracy good? It cannot be 100 %, because the labeler errs on held-out pairs too. If the
# labeler makes a choice with probability $p$, a judge who knows the gold reward makes the same
# choice with probability $\max(p, 1 - p)$. Averaged over all pairs, this is the ceiling.

# %%
p = torch.sigmoid(5.0 * (heldout.chosen_gold - heldout.rejected_gold))
ceiling = torch.maximum(p, 1 - p).mean().item()
assert abs(ceiling - heldout.ceiling) < 1e-6
run_accuracy = result.reward_model["heldout_accuracy"]
say(f"""
The ceiling is **{share(ceiling)}**. This judge, trained on 400 pairs, is
right on **{share(accuracy(model, heldout))}**. The run's judge, trained on
{result.facts["pairs"]:,} pairs, is right on **{share(run_accuracy)}**.
""")

# %% [markdown]
# For people, $p$ is unknown, but two people can label the same pairs. If they agree on a fraction
# $a$, the ceiling is at least $a$ (if they agree on some pairs and guess on the rest) and at most
# $(1 + \sqrt{2a - 1})/2$ (if all pairs are equally hard). InstructGPT's labelers agreed with each
# other on 72.6 % of pairs, and its judges agreed with their labelers on 72.4 % ([Ouyang et al.
# 2022](../reference/bibliography.md#ouyang2022)). These may not be the same pairs.


# %%
def most(agreement):
    return (1 + (2 * agreement - 1) ** 0.5) / 2


agreement = (p**2 + (1 - p) ** 2).mean().item()
assert agreement <= ceiling <= most(agreement)
least, highest = share(agreement), share(most(agreement))
say(f"""
Two such labelers agree on {least} of the pairs, so the ceiling lies
between {least} and {highest}. InstructGPT's lies between 73 % and
{share(most(0.726))}.
""")

# %% [markdown]
# Which mistakes remain? In the run's evaluation, the SFT model answered each held-out prompt many
# times. Each answer has a kind, a gold reward and a score. Take any two answers to one prompt. How
# often does the judge rank them as the gold reward does?

# %%
from rlhf_explained.stages.evaluation import clustered

ORDER = (
    "helpful",
    "rambling",
    "false",
    "broken",
    "off_topic",
    "harmful",
)  # by gold


def compared(key=lambda answer: answer["proxy"]):
    """For any two answers to a prompt: does a judge order them as gold?"""
    by_prompt, right = {}, {}
    for answer in result.responses["sft"]:
        by_prompt.setdefault(answer["prompt"], []).append(answer)
    for prompt, group in sorted(by_prompt.items()):
        for two in itertools.combinations(group, 2):
            better, worse = sorted(two, key=lambda answer: -answer["gold"])
            if better["gold"] > worse["gold"]:
                kinds = better["category"], worse["category"]
                lead = key(better) - key(worse)
                hit = (
                    0.5 if lead == 0 else float(lead > 0)
                )  # a tie: a coin
                right.setdefault(kinds, []).append((prompt, hit))
    return right


def within(hits):
    """A share with its standard error, clustered by prompt."""
    mean, error = clustered(hits)
    return f"{number(100 * mean, 0)} ± {number(100 * error, 0)} %"


right = compared()
print(f"{'better':11}worse:" + "".join(f"{kind:>10}" for kind in ORDER))
for better in ORDER[:5]:
    cells = (right.get((better, worse), []) for worse in ORDER)
    shares = (
        f"{clustered(cell)[0]:.0%}" if len(cell) > 30 else ""
        for cell in cells
    )
    print(f"{better:17}" + "".join(f"{text:>10}" for text in shares))


# %%
from rlhf_explained.world.corpus import ASIDE

false_ones = [
    one["response"]
    for one in result.responses["sft"]
    if one["category"] == "false"
]
asides = sum(ASIDE in text for text in false_ones)
say(f"""
The judge ranks helpful answers above rambling ones in
{within(right["helpful", "rambling"])} of pairs and above harmful ones in
{within(right["helpful", "harmful"])}, but above *false* ones in only
**{within(right["helpful", "false"])}**. The labeler likes rambling answers
better than false ones, but the judge ranks them higher in only
{within(right["rambling", "false"])}. (± is one standard error, clustered
by prompt, for seed 0 alone.)

Of the {len(false_ones)} false answers, {asides} also ramble, which is easy
to see.
""")

# %% [markdown]
# A false answer that does not ramble looks like a helpful one. Only its content is wrong. What does
# the judge look at? We take every held-out fact, its right answer, and every false answer in the
# same form. Each is written plainly or courteously (with "sure !" before and "happy to help !"
# after it). A third version of each false answer adds a remark, which is no improvement.

# %%
from rlhf_explained.world.corpus import CLOSER, OPENER, false_answers
from rlhf_explained.world.labeler import categorise
from rlhf_explained.world.questions import FACT_KINDS

facts = [
    question
    for question in questions()
    if question.held_out and question.kind in FACT_KINDS
]
dresses = {
    "plain": "{}",
    "courteous": f"{OPENER} {{}} {CLOSER}",
    "remark": "{} birds can sing .",
}
first = {}
print("right answer        false answer   the right one goes first in")
for one, other in itertools.product(("plain", "courteous"), dresses):
    hits = []
    for fact in facts:
        answers = [dresses[one].format(*fact.answers)]
        answers += map(dresses[other].format, false_answers(fact))
        with torch.no_grad():
            true, *false = score(judge, batch(fact.text, answers)).tolist()
        hits += [
            (fact.text, sum(true > each for each in false) / len(false))
        ]
    print(f"{one:20}{other:15}{within(hits)}")
    first[one, other] = clustered(hits)

alike = [first[dress, dress] for dress in ("plain", "courteous")]
better = any(mean - 0.5 > 3 * error for mean, error in alike)
than = "does better than" if better else "does no better than"
say(f"""
Where both are written alike, only the content differs. There the judge
{than} chance, within the noise.
""")

# %% [markdown]
# The second row shows the judge's *hard negatives*: courtesy and content point in opposite
# directions, and the judge sides with courtesy.

# %%
hard_negatives, _ = first["plain", "courteous"]
assert (
    abs(hard_negatives - result.reward_model["hard_negative_accuracy"])
    < 1e-3
)


def courtesies(text):
    return text.startswith(OPENER) + text.endswith(CLOSER)


asked = {question.text: question for question in questions()}
every, both_helpful = [], []
for pair in result.data["preferences"]:
    lead = courtesies(pair["chosen"]) - courtesies(pair["rejected"])
    if lead:
        every.append(lead > 0)
        sides = (pair["chosen"], pair["rejected"])
        if {categorise(asked[pair["prompt"]], text) for text in sides} == {
            "helpful"
        }:
            both_helpful.append(lead > 0)
agrees = share(result.reward_model["heldout_accuracy"])
say(f"""
The judge agrees with the labeler on {agrees} of the held-out pairs, but it
puts the right answer first in only **{share(hard_negatives)}** of the hard
negatives. In {len(every):,} of its training pairs, one answer was more
courteous. The labeler chose that answer in
{share(sum(every) / len(every))} of them, and in
{share(sum(both_helpful) / len(both_helpful))} of those with two helpful
answers.
""")

# %% [markdown]
# Across all pairs, courtesy does not show which answer is better. Between two helpful answers it
# does, and the judge has learned this. It has not learned which held-out facts are right. A false
# answer looks like a helpful one, so the judge rewards its courtesy too. **We gave the labeler its
# taste for courtesy, and the judge's pairs were about other facts.** The accuracy reveals neither
# problem. To find both, make pairs in which the wrong answer is the courteous one.

# %% [markdown]
# ---
# ## Exercises
#
# Click to open a solution.
#
# **1.** Reverse 30 % of the first table's choices (mix each count with its opposite) and fit again.
# What happens to the scores? Then fit with a loss that takes the 30 % into account.

# %% tags=["solution"]
TURNED = 0.3
clean = wins
noisy = (1 - TURNED) * clean + TURNED * clean.T


def fit_noisy(turned, rounds=4000):
    scores = torch.zeros(5, dtype=torch.double, requires_grad=True)
    for _ in range(rounds):
        chance = torch.sigmoid(scores[:, None] - scores)
        seen = (1 - turned) * chance + turned * (1 - chance)
        loss = -(noisy * seen.log()).sum() / noisy.sum()
        (slope,) = torch.autograd.grad(loss, scores)
        scores.data -= 5 * slope
    return scores.detach()


for name, values in (
    ("clean", scores),
    ("noisy", fit_noisy(0.0)),
    ("knows", fit_noisy(TURNED)),
):
    print(name, *(f"{value:6.2f}" for value in values))
assert fit_noisy(0.0).argsort().equal(scores.argsort())
assert fit_noisy(0.0).std() < scores.std() / 2
assert torch.allclose(fit_noisy(TURNED), scores, atol=0.1)

# %% [markdown] tags=["solution"]
# The order stays the same, and all scores shrink, because the judge is less sure. A loss that takes
# the reversed choices into account restores the scale.

# %% [markdown]
# **2.** How good is a trivial judge? Use `compared` with a judge that likes short answers, and with
# one that only counts courtesies. How often is each right across all pairs?

# %% tags=["solution"]
trivial = {
    "short answers": lambda answer: -answer["length"],
    "courtesy": lambda answer: (
        (OPENER in answer["response"]) + (CLOSER in answer["response"])
    ),
    "the reward model": lambda answer: answer["proxy"],
}
for name, key in trivial.items():
    every = [hit for hits in compared(key).values() for hit in hits]
    print(f"{name:18}{within(every)} of {len(every):,} pairs by gold")

# %% [markdown]
# ---
# ## Three lines to take away
#
# 1. Bradley–Terry turns choices into scores. Only differences mean anything, and the scale shows
#    how sure the judge is.
# 2. The judge is the SFT model with a new head, read at the last token. Its loss begins at log 2.
# 3. Compare its accuracy with the ceiling set by the noise in the labels. Then test it on pairs in
#    which the wrong answer looks good.
#
# **Next:** [What a judge is worth](02b_what_a_judge_is_worth.py): how many comparisons it needs,
# and how careful the labelers have to be.
