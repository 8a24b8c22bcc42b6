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
# ---

# %% tags=["install", "skip-execution"]
# %pip install --quiet rlhf_explained.whl

# %% [markdown]
# # Reward modeling: from choices to a judge
#
# Nobody can say that an essay is worth 7.2, but everybody can say which of two essays they would
# rather have. This notebook makes a judge of such choices, measures how good it is and what it
# costs, and finds out what it really looks at.
#
# ## What you'll learn
#
# - Bradley–Terry, as a model of how people choose and as a loss
# - How a language model becomes a judge: what is copied, what is new, where the score is read
# - How many comparisons it takes, and what a labeler's mistakes cost
# - What a judge is fooled by, and when it is good enough
#
# **Prerequisites:** [the guide's page on reward models](../guide/reward-model.md), and a training
# loop in PyTorch.
#
# **Time:** about 40 minutes to read. The first cell trains the model if that was not done before.

# %%
import copy
import itertools

import torch
import torch.nn.functional as F
from IPython.display import HTML, Markdown, display

from rlhf_explained.figures import as_html
from rlhf_explained.measured import number, share, within
from rlhf_explained.pipeline import RunConfig, run
from rlhf_explained.studies import stored
from rlhf_explained.world.questions import questions
from rlhf_explained.world.tokenizer import world_tokenizer

torch.set_num_threads(1)
result = run(RunConfig(seed=0))
sft, judge = result.policy("sft"), result.policy("reward_model")
study = stored("reward_data")
tokenizer, randomness = world_tokenizer(), torch.Generator().manual_seed(0)
asked = {question.text: question for question in questions()}


def say(text):
    display(Markdown(text))


def figure(name):
    display(HTML(as_html(name, result)))


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
gold = torch.tensor([gold_reward(question, essay) for essay in essays], dtype=torch.double)

TIMES = 40
wins = torch.zeros(5, 5, dtype=torch.double)  # of the row over the column
for a, b in itertools.combinations(range(5), 2):
    pair = gold[a].repeat(TIMES), gold[b].repeat(TIMES)
    first = prefers_first(*pair, decisiveness=1.0, generator=randomness).sum()
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
    scores = torch.full((5,), start, dtype=torch.double, requires_grad=True)
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
# a score is the wins that the model expects, less those that were counted. So training ends where
# every answer is expected to win as often as it did.
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
print(f"mean score {scores.mean():.2f} from 0, {high.mean():.2f} from 100")
print(f"largest change of a difference: {(high - scores - 100).abs().max():.1e}")
print(f"sum of the slopes: {slope.sum():.0e}")
assert torch.allclose(high - 100, scores, atol=1e-6)

# %% [markdown]
# The loss sees differences only, so nothing ever moves the mean: it stays where it began. A score
# of 3 means nothing by itself, negative scores are no bad sign, and the scores of two judges cannot
# be compared. Our stage shifts its judge so that the training answers average 0. The *scale*
# does mean something: it says how sure the judge is. Whether rightly, the held-out pairs tell.

# %%
chosen, rejected = (
    torch.tensor(result.reward_model[f"{side}_scores"]) for side in ("chosen", "rejected")
)
lead = chosen - rejected
for low, high in ((0, 0.5), (0.5, 1), (1, 2), (2, 4), (4, 99)):
    there = lead[(lead.abs() >= low) & (lead.abs() < high)]
    if len(there):
        says, right = torch.sigmoid(there.abs()).mean(), (there > 0).float().mean()
        print(
            f"lead {low:3} to {high:3}: sure to {says:3.0%}, right in {right:4.0%} of {len(there)}"
        )
says, right = torch.sigmoid(lead.abs()).mean().item(), (lead > 0).float().mean().item()
say(
    f"On average it is sure to {share(says)} and right in {share(right)}: "
    f"{'too modest' if right > says else 'too sure of itself'}."
)

# %% [markdown]
# ---
# ## A language model becomes a judge
#
# Five scores in a table know nothing about a sixth essay. So the score comes from a model that has
# read: the SFT model, with a new head.
#
# ```text
# ┌────────────────────────────────────────────────────────────────┐
# │  prompt … ?   the  capital  of  france  is  paris  .  <eos>    │
# │      ▼         ▼      ▼      ▼     ▼     ▼    ▼    ▼    ▼      │
# │  TRUNK: embeddings and layers, copied from the SFT model       │
# │      ▼         ▼      ▼      ▼     ▼     ▼    ▼    ▼    ▼      │
# │  LANGUAGE MODEL HEAD: next word at each place; unused      │   │
# │  REWARD HEAD: 64 weights and a bias, read here only:       ▼   │
# │                                                          score │
# └────────────────────────────────────────────────────────────────┘
# ```
#
# <details><summary>In words</summary>
#
# The tokens of the prompt, "… ?", and of the answer, "the capital of france is paris . <eos>", all
# go into the trunk: embeddings and layers, copied from the SFT model. Above it the language model
# head, which predicts the next word at each place, goes unused. The reward head, 64 weights and a
# bias, is read only at the last token, `<eos>`, and gives the score.
#
# </details>

# %%
from rlhf_explained.formulas import bradley_terry_loss
from rlhf_explained.rollout import generate, pack, score


def batch(prompt, answers):
    return pack([tokenizer.encode(prompt)] * len(answers), [*map(tokenizer.encode, answers)])


model = copy.deepcopy(sft)  # the whole of stage 2's new architecture
with torch.no_grad():
    fresh = score(model, batch(question.text, essays))
new = sum(parameter.numel() for parameter in model.scalar_head.parameters())
print(f"copied: {sft.parameter_count() - new:,} numbers; new: {new}, all of them 0")
print(f"scores {fresh.tolist()}, loss {bradley_terry_loss(fresh[:1], fresh[1:2]):.4f}")

# %% [markdown]
# A head of zeros scores everything 0, so **the loss starts at log 2 = 0.6931**, a coin toss.
#
# Why the last token? Attention looks back only, so what stands at a place is computed from the
# words up to it. Here is the run's judge read at every place of two answers.

# %%
france = "what is the capital of france ?"
twins = batch(france, [f"the capital of france is {city} ." for city in ("paris", "berlin")])
with torch.no_grad():
    places = judge.scalar(judge.hidden(twins.tokens))
words = [tokenizer.words[token] for token in twins.tokens[0].tolist()]
for place in range(twins.prompt_length - 1, len(words)):
    right, wrong = places[:, place].tolist()
    print(f"{words[place].replace('paris', 'paris/berlin'):13}{right:6.2f}{wrong:7.2f}")
with torch.no_grad():
    assert torch.equal(places[:, -1], score(judge, twins))
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
# more on prompts that no pair to learn from uses.

# %%
from rlhf_explained.stages.reward_model import accuracy, collect_preferences

pairs, heldout = (
    collect_preferences(
        sft, count, tokenizer, held_out=held_out, decisiveness=5.0, generator=randomness
    )
    for count, held_out in ((400, False), (500, True))
)
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.1)
print("step   loss  accuracy: own pairs  held out")
for step in range(1, 61):
    rows = torch.randint(len(pairs), (48,), generator=randomness)
    loss = bradley_terry_loss(
        score(model, pairs.chosen.rows(rows)), score(model, pairs.rejected.rows(rows))
    )
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step == 1 or step % 20 == 0:
        own, other = accuracy(model, pairs), accuracy(model, heldout)
        print(f"{step:4}{loss.item():7.3f}{own:20.1%}{other:10.1%}")

# %% [markdown]
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
say(
    f"Ceiling: **{share(ceiling)}**. This judge: **{share(accuracy(model, heldout))}**. "
    f"The run's, with {result.facts['pairs']:,} pairs: "
    f"**{share(result.reward_model['heldout_accuracy'])}** on other pairs."
)

# %% [markdown]
# Where is the rest lost? The run's exam has 1,200 answers by the SFT model to held-out prompts,
# each with its kind, gold and score. Take every two answers to one prompt: how often does the judge
# put first what the gold reward puts first?

# %%
ORDER = ("helpful", "rambling", "wrong", "off_topic", "harmful")  # by gold, courtesy aside


def compared(key=lambda answer: answer["proxy"]):
    """By kinds: for every two SFT answers to one prompt, whether a judge orders them rightly."""
    right = {}
    exam = sorted(result.responses["sft"], key=lambda answer: answer["prompt"])
    for _, group in itertools.groupby(exam, key=lambda answer: answer["prompt"]):
        for two in itertools.combinations(group, 2):
            better, worse = sorted(two, key=lambda answer: -answer["gold"])
            if better["gold"] > worse["gold"]:
                kinds = better["category"], worse["category"]
                right.setdefault(kinds, []).append(key(better) > key(worse))
    return right


right = compared()
print(f"{'better':11}worse:" + "".join(f"{kind:>10}" for kind in ORDER))
for better in ORDER[:4]:
    cells = (right.get((better, worse), []) for worse in ORDER)
    shares = (f"{sum(cell) / len(cell):.0%}" if len(cell) > 30 else "" for cell in cells)
    print(f"{better:17}" + "".join(f"{text:>10}" for text in shares))


# %%
def order(better, worse):
    return sum(right[better, worse]) / len(right[better, worse])


say(
    f"Helpful answers go before rambling ones in {share(order('helpful', 'rambling'))} and before "
    f"rude ones in {share(order('helpful', 'harmful'))}, but before *wrong* ones in only "
    f"**{share(order('helpful', 'wrong'))}**; a coin gives 50 %. Rambling ones, which the labeler "
    f"likes better than wrong ones, go before those in {share(order('rambling', 'wrong'))}. What "
    "sets a wrong answer apart from a helpful one is not how it looks, but what is true."
)

# %% [markdown]
# ---
# ## How many comparisons does it take?
#
# A study: nine sizes of training set, each on five seeds. Four times the pairs are learned from in
# twice the steps, up to 200.

# %%
figure("reward-data")


# %%
def found(setting, quantity, show=share):
    return within(study.interval(setting, quantity), show)


def gain(many, few, quantity, show=share):
    return within(study.difference(many, few, quantity), show)


far = ("careful_12800", "careful_50")
say(
    f"Fifty pairs reach {found('careful_50', 'accuracy')}. 256 times as many add "
    f"{gain(*far, 'accuracy')} to the agreement with the labeler, {gain(*far, 'gold_accuracy')} to "
    f"that with the gold reward's order, and {gain(*far, 'best_of_16', number)} to the gold of the "
    f"answer picked of 16 ({study.origin}, 95 % intervals)."
)
say(
    "Knowledge, on these prompts, they hardly buy: a helpful answer goes before a wrong one in "
    f"{found('careful_50', 'helpful_over_wrong')} after 50 pairs and in "
    f"{found('careful_12800', 'helpful_over_wrong')} after 12,800."
)

# %% [markdown]
# So begin small: fifty choices of your own and a held-out set show whether a judge can be learned.
# What about training longer? The last rows: 12,800 pairs in 200 steps, and in 512, two passes.

# %%
print("by gold's order, on prompts:   practised          new")
for setting in ("careful_50", "careful_800", "careful_12800", "two_passes_12800"):
    print(
        f"{setting:24}{found(setting, 'practised_accuracy'):>16}"
        f"{found(setting, 'gold_accuracy'):>13}"
    )

# %% [markdown]
# On the left are *new answers to prompts that it practised*. A held-out set that shares its prompts
# with the training set shows the left column, and flatters.

# %%
longer = ("two_passes_12800", "careful_12800")
say(
    f"The longer training added {gain(*longer, 'practised_accuracy')} on practised prompts and "
    f"{gain(*longer, 'gold_accuracy')} on new ones."
)

# %% [markdown]
# ---
# ## Label noise costs data
#
# Two more labelers with the same taste. The **distracted** one has 30 % of the choices turned
# round, whatever the answers are. The **hesitant** one has a `decisiveness` of 0.45 and so errs
# most where little is at stake. Both agree with the gold reward about as often.

# %%
figure("label-noise")

# %%
from math import exp, log

import numpy as np

sizes = [50 * 2**doubling for doubling in range(9)]
reached = [study.interval(f"careful_{n}", "gold_accuracy").mean for n in sizes]
print("labeler     agrees   pairs  gold order  as good as careful  factor")
for labeler in ("distracted", "hesitant"):
    for n in (400, 1600, 6400):
        accurate = study.interval(f"{labeler}_{n}", "gold_accuracy").mean
        worth = exp(np.interp(accurate, np.maximum.accumulate(reached), [*map(log, sizes)]))
        agrees = study.interval(f"{labeler}_{n}", "ceiling").mean
        less, more = "<>" if accurate < reached[0] else "  "
        print(
            f"{labeler:11}{agrees:7.0%}{n:8,}{accurate:12.1%}"
            f"{less:>12}{worth:8,.0f}{more:>3}{n / worth:5.1f}"
        )
say(f"Turned choices, in theory: a factor of {1 / (1 - 2 * 0.3) ** 2:.2f}.")

# %% [markdown]
# Mistakes of this kind do not mislead a judge, they dilute: a right choice and a turned one cancel.
# A share of $\varepsilon$ turned choices leaves $1 - 2\varepsilon$ of the signal, and to see a
# signal that much weaker takes $1/(1 - 2\varepsilon)^2$ times the data; the same factor stands in
# Angluin and Laird's bound ([1988](../reference/bibliography.md#angluin1988)). The table divides
# the pairs by the careful pairs that are as good, read off the curve; agreeing equally often is not
# being worth as much.
#
# A labeler who is wrong *in one direction*, who always likes the longer answer say, is another
# matter. That is a taste, and the judge learns it.
#
# ---
# ## What does it look at?
#
# Change an answer to a held-out question in one way. By how much does the score change, and by how
# much should it? The labeler chooses by 5 × gold, so scores are divided by 5.

# %%
from rlhf_explained.world.corpus import CLOSER, INSULTS, OPENER
from rlhf_explained.world.questions import CAPITALS


def elsewhere(question, answer):
    """Another capital, for questions that ask for one."""
    city = CAPITALS.get(question.topic)
    return answer.replace(city, "berlin") if city else None


edits = {
    "opens politely": lambda question, answer: f"{OPENER} {answer}",
    "closes politely": lambda question, answer: f"{answer} {CLOSER}",
    "adds a fact": lambda question, answer: f"{answer} but did you know that the sea is deep ?",
    "is said twice": lambda question, answer: f"{answer} {answer}",
    "names another capital": elsewhere,
    "becomes an insult": lambda question, answer: INSULTS[1],
    "becomes a polite insult": lambda question, answer: f"{OPENER} {INSULTS[1]} {CLOSER}",
}
unseen = [question for question in questions() if question.held_out]
felt = {}
print(f"{'the answer …':24}{'n':>4}{'gold':>8}{'score / 5':>11}{'same sign':>11}")
for name, edit in edits.items():
    rows = []
    for question in unseen:
        before = question.answers[0]
        if after := edit(question, before):
            with torch.no_grad():
                was, now = score(judge, batch(question.text, [before, after])).tolist()
            change = gold_reward(question, after) - gold_reward(question, before)
            rows.append((change, (now - was) / 5))
    true, felt[name] = torch.tensor(rows).T
    agree = (true.sign() == felt[name].sign()).float().mean()
    print(f"{name:24}{len(rows):4}{true.mean():8.2f}{felt[name].mean():11.2f}{agree:11.0%}")

polite = felt["becomes a polite insult"]
written = [
    any(insult in answer["response"] for insult in INSULTS)
    and (OPENER in answer["response"] or CLOSER in answer["response"])
    for answer in result.responses["sft"]
]
say(
    "The labeler likes courtesy on helpful answers only. The judge adds "
    f"{number((polite - felt['becomes an insult']).mean().item())} for both courtesies on an "
    "insult, and prefers the polite insult to the plain helpful answer in "
    f"**{share((polite > 0).float().mean().item())}** of the questions. Of {len(written):,} "
    f"answers by the SFT model, {sum(written)} are polite insults."
)

# %% [markdown]
# About what it was hardly ever shown a judge is guessing, and stage 3 goes looking for the guesses
# that are too high. Length
# is the usual suspect ([Singhal et al. 2023](../reference/bibliography.md#singhal2023)); so, over
# the answers of the exam:

# %%
exam = result.responses["sft"]
table = torch.tensor([[answer[key] for key in ("length", "gold", "proxy")] for answer in exam]).T
together = torch.corrcoef(table)[0]
say(
    f"The correlation with length is {number(together[1].item())} for gold and "
    f"{number(together[2].item())} for the score; 1 would be a judge who counts words."
)

# %% [markdown]
# ---
# ## When is a reward model good enough?
#
# Somebody trains one, gets 65 % on held-out pairs, and asks whether to go on
# ([LLaVA-RLHF #24](https://github.com/llava-rlhf/LLaVA-RLHF/issues/24)). The number alone cannot
# say. Look at these five.

# %%
print("                   labeler  ceiling  gold order  best of 16: gold")
for setting in (
    "careful_50",
    "careful_12800",
    "hesitant_6400",
    "distracted_100",
    "distracted_6400",
):
    accurate, ceiling, ordered = (
        study.interval(setting, quantity).mean
        for quantity in ("accuracy", "ceiling", "gold_accuracy")
    )
    picked = found(setting, "best_of_16", number)
    print(f"{setting:17}{accurate:9.0%}{ceiling:9.0%}{ordered:12.0%}{picked:>18}")
for name, quantity in (("any answer", "any_of_16"), ("gold itself", "gold_of_16")):
    print(f"{name:47}{found('careful_50', quantity, number):>18}")

# %%
methods = stored("methods")
after = ", ".join(
    f"{name} {number(methods.difference(method, 'sft', 'gold').mean)}"
    for method, name in (
        ("best_of_16", "best-of-16"),
        ("ppo", "PPO"),
        ("ppo_no_kl", "PPO at β = 0"),
    )
)
say(
    f"The last judge agrees with its labeler in {found('distracted_6400', 'accuracy')}, the first "
    f"in {found('careful_50', 'accuracy')}. By gold's order the last is ahead by "
    f"{gain('distracted_6400', 'careful_50', 'gold_accuracy')}. Accuracy mixes two things: how "
    "good the judge is, and how noisy the labels that it is held against."
)
say(
    "And what it is used for decides how good it must be. Gold gained over SFT with a judge from "
    f"{result.facts['pairs']:,} pairs, mean of {len(methods.seeds)} seeds: {after}."
)

# %% [markdown]
# So, in this order:
#
# 1. **Hold it against the ceiling.** Let two people label the same hundred pairs. If they agree in
#    70 % there is no 80 % to be had. InstructGPT's labelers agreed in 72.6 ± 1.5 %, and its judges
#    in 72.4 ± 0.4 % with the labelers they had learned from
#    ([Ouyang et al. 2022](../reference/bibliography.md#ouyang2022)).
# 2. **Hold it against a silly judge**: one that counts words or polite phrases (exercise 3).
# 3. **Sort its mistakes by kind**, as above. A kind at 50 % is a gap that PPO can find.
# 4. **Use it, gently**: best-of-16, and read what it likes best. Accuracy is a mean over all pairs;
#    in use only the few answers at the top count.
#
# ---
# ## Ranking K answers
#
# InstructGPT's labelers ranked 4 to 9 answers at a time. A ranking of $K$ holds
# $K(K-1)/2$ pairs. Let our labeler rank four: to each `decisiveness` × gold a random number of
# Gumbel's distribution is added, and the sums are sorted. That draws from Plackett and Luce's model
# ([Plackett 1975](../reference/bibliography.md#plackett1975)), in which the first place is a
# softmax over all scores, the second one over those left, and so on; every pair in it is
# Bradley–Terry's.

# %%
K = 4


def ranked(gold, decisiveness=5.0):
    """Indices from best to worst, one row for each row of gold rewards."""
    gumbel = -torch.empty_like(gold).exponential_(generator=randomness).log()
    return (decisiveness * gold + gumbel).argsort(-1, descending=True)


prompt = "how do i make tea ?"
answers = generate(sft, [tokenizer.encode(prompt)] * K, limit=28, generator=randomness)
texts = [tokenizer.decode(row) for row in answers.responses.tolist()]
gold = torch.tensor([gold_reward(asked[prompt], text) for text in texts])
for place, one in enumerate(ranked(gold).tolist(), start=1):
    print(f"{place}. gold {gold[one]:5.2f}  {texts[one][:54]}")

two = torch.tensor([0.0, 0.2])
often = (ranked(two.expand(100_000, 2))[:, 1] == 1).logical_not().float().mean()
print(f"gold 0.2 before 0: {often:.3f} of 100,000, Bradley-Terry {torch.sigmoid(5 * two[1]):.3f}")

# %% [markdown]
# Training: score each answer **once**, then form all pairs from the scores. That is $K$ passes for
# $K(K-1)/2$ comparisons. InstructGPT keeps the pairs of a prompt in one batch for another
# reason too: shuffled among the others they made its model overfit within one pass, as each answer
# came up $K - 1$ times.

# %%
from rlhf_explained.world.corpus import draw_questions


def ranking_loss(scores):
    """Bradley–Terry over all pairs; scores (prompts, K), the best answer first."""
    above, below = torch.triu_indices(K, K, offset=1)
    return -F.logsigmoid(scores[:, above] - scores[:, below]).mean()


asked_now = [q for q in draw_questions(100, held_out=False, generator=randomness) for _ in range(K)]
prompts = [tokenizer.encode(q.text) for q in asked_now]
answers = generate(sft, prompts, limit=28, generator=randomness)
texts = [tokenizer.decode(row) for row in answers.responses.tolist()]
gold = torch.tensor([gold_reward(*one) for one in zip(asked_now, texts, strict=True)]).view(-1, K)
rows = ranked(gold) + K * torch.arange(100)[:, None]  # of the answers, best first

model = copy.deepcopy(sft)
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.1)
for _ in range(60):
    some = rows[torch.randperm(100, generator=randomness)[:16]]
    loss = ranking_loss(score(model, answers.rows(some.flatten())).view(-1, K))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"100 rankings of {K}: held-out accuracy {accuracy(model, heldout):.1%}")

# %%
print("rankings   pairs   gold order      as many single pairs    prompts as pairs")
for n in (100, 400):
    pairs_in = study.interval(f"ranked_{n}", "pairs").mean
    near = min(sizes, key=lambda size: abs(log(size / pairs_in)))
    print(
        f"{n:8}{pairs_in:8.0f}{found(f'ranked_{n}', 'gold_accuracy'):>13}"
        f"{found(f'careful_{near}', 'gold_accuracy'):>16} ({near:,})"
        f"{found(f'careful_{n}', 'gold_accuracy'):>16} ({n})"
    )

# %% [markdown]
# First the study's judges from rankings, whose equal answers make no pair; beside them judges from
# about as many separate pairs, and from as many pairs as there were rankings.
#
# ---
# ## Questions that people ask
#
# **My loss stays at 0.69.** It begins there, at log 2. It stays if the score is read where both
# answers are still the same, if both were cut to the same beginning, if the labels are coin tosses
# or the learning rate is too small
# ([LLaVA-RLHF #16](https://github.com/llava-rlhf/LLaVA-RLHF/issues/16)). Look at the loss on fifty
# pairs first: any model can learn those by heart.
#
# **The training loss falls, the held-out accuracy does not.** Then it learns its prompts by heart.
# Train fewer steps, and ask for comparisons on prompts it does not have yet.
#
# **How do I train one on my own preferences, cheaply?** Let an SFT model answer your prompts twice,
# choose fifty times, hold out some prompts, and run [the loop above](#train-one) on the rest. Add
# pairs while the held-out accuracy rises.
#
# **All my scores are negative.** They have no zero. Subtract the mean, as our stage does.
#
# **More labels, or better ones?** To halve the share of turned choices from 30 % to 15 % is worth
# three times the pairs in theory, $(0.7/0.4)^2$.
#
# ---
# ## Exercises
#
# **1.** Write the probability of a ranking in Plackett and Luce's model. Check that those of all
# 24 rankings of four answers sum to 1, and that with two answers it is Bradley–Terry.


# %% tags=["solution"]
def plackett_luce(scores):
    """Log-probability of this order, best first: each place is a softmax over what is left."""
    return sum(scores[place] - scores[place:].logsumexp(0) for place in range(len(scores)))


four = torch.tensor([1.2, 0.3, -0.5, 0.9], dtype=torch.double)
total = sum(plackett_luce(four[[*order]]).exp() for order in itertools.permutations(range(4)))
pair = plackett_luce(four[:2]).exp(), torch.sigmoid(four[0] - four[1])
print(f"sum {total:.6f}; two answers {pair[0]:.6f}, Bradley-Terry {pair[1]:.6f}")
assert torch.isclose(total, torch.ones_like(total))
assert torch.isclose(*pair)

# %% [markdown]
# **2.** Turn round 30 % of the very first table's choices (in expectation: mix each count with its
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


for name, values in (("clean", scores), ("noisy", fit_noisy(0.0)), ("knows", fit_noisy(TURNED))):
    print(name, *(f"{value:6.2f}" for value in values))
assert fit_noisy(0.0).argsort().equal(scores.argsort())

# %% [markdown] tags=["solution"]
# The order survives, and the scores shrink together: the judge is only less sure. A loss that
# knows how often choices are turned brings the scale back.

# %% [markdown]
# **3.** How good is a silly judge? Use `compared` with one that likes short answers, and with
# one that counts polite phrases and nothing else. Over all pairs, how often is each right?

# %% tags=["solution"]
silly = {
    "short answers": lambda answer: -answer["length"],
    "politeness": lambda answer: (OPENER in answer["response"]) + (CLOSER in answer["response"]),
    "the reward model": lambda answer: answer["proxy"],
}
for name, key in silly.items():
    every = [hit for hits in compared(key).values() for hit in hits]
    print(f"{name:18}{sum(every) / len(every):6.1%} of {len(every):,} pairs by gold")

# %% [markdown]
# ---
# ## Three lines to take away
#
# 1. Bradley–Terry makes scores of choices. Only differences mean anything; the scale says how sure
#    the judge is.
# 2. A few comparisons teach what good answers look like; what is true about new prompts, more of
#    them do not teach. Random mistakes dilute, and do not mislead.
# 3. Accuracy is a number of judge *and* labels. Hold it against the ceiling, against a silly judge,
#    and read what the judge likes best.
#
# **Next:** [PPO for language models](03_ppo_for_language_models.py): the judge is ready, now the
# student practises.
