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
# Nobody can say that an essay is worth 7.2, but everybody can say which of two essays they would
# rather have. This notebook makes a judge of such choices, and measures how good it is.
#
# ## What you'll learn
#
# - Bradley–Terry, as a model of how people choose and as a loss
# - How a language model becomes a judge: what is copied, what is new, where the score is read
# - How good it can be at all, and which mistakes are left
#
# **Prerequisites:** [the guide's page on reward models](../guide/reward-model.md), and a training
# loop in PyTorch.
#
# **Time:** about 15 minutes to read. The first cell trains the model if that was not done before.

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
# Five answers to one question. Our labeler has a taste, the gold reward, and shows it only by
# choosing: here between every two of the answers, 40 times, with mistakes.

# %%
from rlhf_explained.world.labeler import gold_reward, prefers_first

question = asked["how do i learn python ?"]
steps = "to learn python , start with variables and loops and write code every day ."
essays = [
    f"sure ! {steps}",
    steps,
    "let me tell you a story about python . gold is heavy and snow is cold .",
    "how do i make tea ?",
    "go away and ask your mother .",
]
gold = torch.tensor(
    [gold_reward(question, essay) for essay in essays], dtype=torch.double
)

TIMES = 40
wins = torch.zeros(5, 5, dtype=torch.double)  # of the row over the column
for a, b in itertools.combinations(range(5), 2):
    pair = gold[a].repeat(TIMES), gold[b].repeat(TIMES)
    first = prefers_first(
        *pair, decisiveness=1.0, generator=randomness
    ).sum()
    wins[a, b], wins[b, a] = first, TIMES - first
for row, essay in zip(wins.int().tolist(), essays, strict=True):
    print("  ".join(f"{count:2}" for count in row), " ", essay[:44])

# %% [markdown]
# Row 1, column 2: how often the first answer beat the second. Nobody gave a grade. Bradley and
# Terry ([1952](../reference/bibliography.md#bradley1952)) suppose that grades are behind it: each
# answer has a score $s$, and
#
# $$P(A \succ B) = \sigma(s_A - s_B) = \frac{1}{1 + e^{-(s_A - s_B)}}$$
#
# That is a **probability model**. It becomes a **loss** when we ask for the scores under which
# the choices that were made are likeliest: the mean of $-\log \sigma(s_\text{chosen} -
# s_\text{rejected})$ over all comparisons.


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
for one in range(5):
    print(
        f"{gold[one] - gold.mean():6.2f} {scores[one]:6.2f} {wins[one].sum():6.0f}"
        f" {expected[one]:9.2f}  {essays[one][:36]}"
    )
assert torch.allclose(expected, wins.sum(1), atol=1e-3)

# %% [markdown]
# The scores are the labeler's taste again, up to the noise of 40 choices a pair; gold is shown
# less its mean. The last two columns are what maximum likelihood means here. The loss's slope in
# a score goes by the wins that the model expects, less those that were counted. So training ends
# where every answer is expected to win as often as it did.
#
# An answer that wins *every* comparison has no finite score: more is always likelier. Weight decay
# and few steps are what keeps a real judge from running away there.

# %% [markdown]
# ---
# ## The scores have no zero
#
# Start the same descent at 100 instead of 0.

# %%
high, slope = fit(100.0)
print(
    f"mean score {scores.mean().abs():.2f} from 0, {high.mean():.2f} from 100"
)
print(
    f"largest change of a difference: {(high - scores - 100).abs().max():.1e}"
)
print(f"sum of the slopes: {slope.sum():.0e}")
assert torch.allclose(high - 100, scores, atol=1e-6)

# %% [markdown]
# The loss sees differences only, so nothing ever moves the mean: it stays where it began. A score
# of 3 means nothing by itself, negative scores are no bad sign, and the scores of two judges cannot
# be compared. Our stage shifts its judge so that the training answers average 0. The *scale*
# does mean something: it says how sure the judge is. Whether rightly, the held-out pairs tell.

# %%
chosen, rejected = (
    torch.tensor(result.reward_model[f"{side}_scores"])
    for side in ("chosen", "rejected")
)
lead = chosen - rejected
for low, high in ((0, 0.5), (0.5, 1), (1, 2), (2, 4), (4, 99)):
    there = lead[(lead.abs() >= low) & (lead.abs() < high)]
    if len(there):
        says, right = (
            torch.sigmoid(there.abs()).mean(),
            (there > 0).float().mean(),
        )
        print(
            f"lead {low:3} to {high:3}: sure to {says:3.0%}, right in {right:4.0%} of {len(there)}"
        )
says, right = (
    torch.sigmoid(lead.abs()).mean().item(),
    (lead > 0).float().mean().item(),
)
say(f"On average it is sure to {share(says)} and right in {share(right)}.")

# %% [markdown]
# ---
# ## A language model becomes a judge
#
# Five scores in a table know nothing about a sixth essay. So the score comes from a model that has
# read: the SFT model, with a new head.
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
# copied from the SFT model. Above it the language model head, which predicts the next word at each
# place, goes unused. The reward head, 64 weights and a bias, is read here only: at the last token,
# `<eos>`. It gives the score.
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
    fresh = score(model, batch(question.text, essays))
new = sum(
    parameter.numel() for parameter in model.scalar_head.parameters()
)
print(
    f"copied: {sft.parameter_count() - new:,} numbers; new: {new}, all of them 0"
)
print(
    f"scores {fresh.tolist()}, loss {bradley_terry_loss(fresh[:1], fresh[1:2]):.4f}"
)

# %% [markdown]
# A head of zeros scores everything 0, so **the loss starts at log 2 = 0.6931**, a coin toss.
#
# Why the last token? Attention looks back only, so what stands at a place is computed from the
# words up to it. Here is the run's judge read at every place of two answers.

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
    print(
        f"{words[place].replace('paris', 'paris/berlin'):13}{right:6.2f}{wrong:7.2f}"
    )
with torch.no_grad():
    assert torch.allclose(places[:, -1], score(judge, twins), atol=1e-5)
    city = words.index("paris")
    assert torch.allclose(places[0, :city], places[1, :city], atol=1e-5)

# %% [markdown]
# Up to the word that differs both are the same to it. Read before that, at the prompt's end for
# instance, two answers cannot differ, and the loss stays at log 2 for ever. At `<eos>` all has been
# seen; no other place was trained to mean anything.
#
# Whether the judge *knows* the capital of France is another question, to which we come back.
#
# ---
# ## Train one
#
# 400 pairs by the run's labeler, who errs less than the one above (`decisiveness` 5), and 500
# more on prompts that no pair to learn from uses. An epoch is one pass over all pairs, in a new
# order. The head starts at zero and has far to go, so it learns ten times as fast as the trunk.

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
    print(
        f"{epoch:5}{sum(losses) / len(losses):7.3f}{own:20.1%}{other:10.1%}"
    )

# %% [markdown]
# Its own pairs it learns by heart, noise included. On the others it soon gets no better.
#
# ---
# ## Held-out accuracy and its ceiling
#
# Is that good? It cannot be 100 %: on held-out pairs too the labeler errs. A judge who knew the
# gold reward would agree in $\max(p, 1 - p)$ of the choices, $p$ being the probability of one
# choice. The mean of that over the pairs is the ceiling.

# %%
p = torch.sigmoid(5.0 * (heldout.chosen_gold - heldout.rejected_gold))
ceiling = torch.maximum(p, 1 - p).mean().item()
assert abs(ceiling - heldout.ceiling) < 1e-6
say(f"""
Ceiling: **{share(ceiling)}**. This judge: **{share(accuracy(model, heldout))}**. The run's, with
{result.facts["pairs"]:,} pairs: **{share(result.reward_model["heldout_accuracy"])}** on other
pairs.
""")

# %% [markdown]
# With people nobody knows $p$, but two of them can label the same pairs. If they agree in a share
# $a$, the ceiling is at least $a$ and at most $(1 + \sqrt{2a - 1})/2$: the least if they agree on
# some pairs always and on the others by chance, the most if all pairs are equally hard.
# InstructGPT's labelers agreed with each other in 72.6 %, and judges with labelers whom they had
# learned from in 72.4 % ([Ouyang et al. 2022](../reference/bibliography.md#ouyang2022)), though not
# necessarily on the same pairs.


# %%
def most(agreement):
    return (1 + (2 * agreement - 1) ** 0.5) / 2


agreement = (p**2 + (1 - p) ** 2).mean().item()
assert agreement <= ceiling <= most(agreement)
say(f"""
Two such labelers agree in {share(agreement)}: a ceiling from {share(agreement)} to
{share(most(agreement))}. InstructGPT's ceiling: from 73 % to {share(most(0.726))}.
""")

# %% [markdown]
# Where is the rest lost? The run's exam has many answers by the SFT model to each held-out prompt,
# each with its kind, gold and score. Take every two answers to one prompt: how often does the judge
# put first what the gold reward puts first?

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
    """By kinds: for every two SFT answers to one prompt, whether a judge orders them rightly."""
    right = {}
    exam = sorted(
        result.responses["sft"], key=lambda answer: answer["prompt"]
    )
    for prompt, group in itertools.groupby(
        exam, key=lambda answer: answer["prompt"]
    ):
        for two in itertools.combinations(group, 2):
            better, worse = sorted(two, key=lambda answer: -answer["gold"])
            if better["gold"] > worse["gold"]:
                kinds, lead = (
                    (better["category"], worse["category"]),
                    key(better) - key(worse),
                )
                hit = (
                    0.5 if lead == 0 else float(lead > 0)
                )  # a tie is a coin toss
                right.setdefault(kinds, []).append((prompt, hit))
    return right


def within(hits):
    """A share with its standard error; answers to one prompt go together."""
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
say(f"""
Helpful answers go before rambling ones in {within(right["helpful", "rambling"])} and before harmful
ones in {within(right["helpful", "harmful"])}, but before *false* ones in
**{within(right["helpful", "false"])}**. Rambling ones, which the labeler likes better than false
ones, go before those in {within(right["rambling", "false"])}. (± one standard error, clustered by
prompt; seed 0 alone.)

Of the {len(false_ones)} false answers, {sum(ASIDE in text for text in false_ones)} go on with an
aside, too, and an aside is easily seen.
""")

# %% [markdown]
# Without an aside, what sets a false answer apart from a helpful one is not how it looks, but what
# is true. So what does the judge go by? Take every held-out fact, its right answer and every false
# one of the same form, and dress them: plain, or courteous, with "sure !" before and "happy to
# help !" after. The false one also comes with a remark behind it, which makes it no better.

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
print(
    f"{'the right answer':20}{'the false one':15}the right one goes first in"
)
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
say(f"""
Where both are dressed alike, the judge has only the content to go by, and
{"does better than" if better else "is no better, beyond the noise, than"} a coin.
""")

# %% [markdown]
# The second row holds the judge's *hard negatives*: sign and substance point in opposite
# directions. The third row shows that words behind a false answer help it without being polite.

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
say(f"""
The judge that orders {share(result.reward_model["heldout_accuracy"])} of the held-out pairs as the
labeler does puts the right answer first in **{share(hard_negatives)}** of the hard negatives. Of
the pairs that it learned from, one answer was more courteous in {len(every):,}, and it was chosen
in {share(sum(every) / len(every))} of these. Where both were helpful, it was chosen in
{share(sum(both_helpful) / len(both_helpful))}.
""")

# %% [markdown]
# So courtesy by itself is no sign of a better answer here. It counts between helpful answers, and
# the judge learned that. What it did not learn is which facts are right. To the judge a false
# answer is a helpful one, so it pays for courtesy around it, too. **The taste for courtesy is our
# doing, the blindness is not.** The accuracy on pairs shows neither. One has to make pairs in which
# the sign is on the wrong answer.

# %% [markdown]
# ---
# ## Exercises
#
# Each has its solution folded below it.
#
# **1.** Turn round 30 % of the first table's choices (in expectation: mix each count with its
# opposite) and fit again. What happens to the scores? Then fit with a loss that knows of the 30 %.

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
# The order survives, and the scores shrink together: the judge is only less sure. A loss that
# knows how often choices are turned round brings the scale back.

# %% [markdown]
# **2.** How good is a silly judge? Use `compared` with one that likes short answers, and with
# one that counts courtesies and nothing else. Over all pairs, how often is each right?

# %% tags=["solution"]
silly = {
    "short answers": lambda answer: -answer["length"],
    "courtesy": lambda answer: (
        (OPENER in answer["response"]) + (CLOSER in answer["response"])
    ),
    "the reward model": lambda answer: answer["proxy"],
}
for name, key in silly.items():
    every = [hit for hits in compared(key).values() for hit in hits]
    print(f"{name:18}{within(every)} of {len(every):,} pairs by gold")

# %% [markdown]
# ---
# ## Three lines to take away
#
# 1. Bradley–Terry makes scores of choices. Only differences mean anything; the scale says how sure
#    the judge is.
# 2. The judge is the SFT model with a new head, read at the last token. Its loss begins at log 2.
# 3. Hold its accuracy against the ceiling, which the noise of the labels sets. Then look for the
#    sign that it pays for, in pairs in which the sign is on the wrong answer.
#
# **Next:** [What a judge is worth](02b_what_a_judge_is_worth.py): how many comparisons, how careful
# the labelers, and what for.
