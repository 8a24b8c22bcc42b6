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
#       how-many-comparisons-does-it-take: how much preference data, how many pairs
#       label-noise-costs-data: preference label noise, noisy labels
#       when-is-a-reward-model-good-enough: good enough reward model, accuracy needed
#       ranking-k-answers: ranking, K answers, Plackett-Luce
# ---

# %% tags=["install", "skip-execution"]
# %pip install --quiet rlhf_explained.whl

# %% [markdown]
# # What a judge is worth: data, noise, blind spots
#
# A reward model is quick to train, but is it any good? Here we train reward models on 50 to 12,800
# comparisons by careful and careless labelers, and use them to choose answers. Then one of them
# scores answers of a kind that nobody compared.
#
# ## What you'll learn
#
# - How many comparisons a judge needs, and how harmful a labeler's mistakes are
# - What a judge looks at, and what it cannot see
# - When a judge is good enough
# - How to learn from rankings of several answers
#
# **Prerequisites:** [Reward modeling](02_reward_modeling.py).
#
# **Time:** about 25 minutes to read. The first cell trains the model if it has not yet been
# trained.

# %%
import copy
import itertools

import numpy as np
import torch
import torch.nn.functional as F
from IPython.display import HTML, Markdown, display

from rlhf_explained.figures import as_html
from rlhf_explained.measured import number, share, within
from rlhf_explained.pipeline import RunConfig, run
from rlhf_explained.rollout import generate, pack, score
from rlhf_explained.studies import stored
from rlhf_explained.studies.intervals import holm
from rlhf_explained.world.labeler import gold_reward
from rlhf_explained.world.questions import CAPITALS, questions
from rlhf_explained.world.tokenizer import RESPONSE_LIMIT, world_tokenizer

torch.set_num_threads(1)
result = run(RunConfig(seed=0))
sft, judge = result.policy("sft"), result.policy("reward_model")
study, methods = stored("reward_data"), stored("methods")
tokenizer, randomness = world_tokenizer(), torch.Generator().manual_seed(0)
asked = {question.text: question for question in questions()}


def say(text):
    display(Markdown(text))


def figure(name):
    display(HTML(as_html(name, result)))


# %% [markdown]
# ---
# ## How many comparisons does it take?
#
# A study compared nine sizes of training set, all on the same seeds. The run's labeler, whom we
# call careful, made the choices. All pairs in a set are used equally often, and at least twice.
# Small sets are repeated more often, so that training has enough steps.

# %%
figure("reward-data")


# %%
def found(setting, quantity, show=share):
    return within(study.interval(setting, quantity), show)


def points(value):
    return f"{number(100 * value, 1)}\N{NO-BREAK SPACE}points"


def compared(many, few, measures):
    """By how much `many` pairs are ahead of `few`, with Holm's correction."""
    gaps = {name: study.difference(many, few, name) for name in measures}
    p_values = holm({name: gap.p for name, gap in gaps.items()})
    return {
        name: within(gap, number if name == "best_of_16" else points)
        + (" (noise)" if p_values[name] > 0.05 else "")
        for name, gap in gaps.items()
    }


MEASURES = {
    "accuracy": "as the labeler chose",
    "gold_accuracy": "gold order",
    "helpful_over_false": "helpful before false",
    "hard_negative_accuracy": "hard negatives",
    "best_of_16": "best of 16: gold",
}
few, many = "careful_50", "careful_12800"
change = compared(many, few, MEASURES)
print(f"{'new prompts':21}{'50 pairs':>14}{'12,800 pairs':>14}    change")
for name, about in MEASURES.items():
    show = number if name == "best_of_16" else share
    before, after = found(few, name, show), found(many, name, show)
    print(f"{about:21}{before:>14}{after:>14}", "  ", change[name])

# %% [markdown]
# *Gold order*: of all pairs of answers to one prompt, the share that the judge ranks as the gold
# reward does. *Helpful before false*: the same share, for pairs of a helpful and a false answer.
# Many false answers also ramble, which the judge easily spots. [*Hard
# negatives*](02_reward_modeling.py#held-out-accuracy-and-its-ceiling) compare a plain right answer
# with a courteous false one. ± is a 95 % interval over seeds. *Noise* marks changes that may be due
# to chance, after Holm's correction: the more changes are tested, the stricter each test.

# %%
for name in ("helpful_over_false", "hard_negative_accuracy"):
    assert (
        "noise" in change[name]
        or study.difference(many, few, name).mean < 0
    )
assert "noise" in change["best_of_16"]
behind = {}
for n in (50 * 2**doubling for doubling in range(8)):
    behind[n] = study.difference(many, f"careful_{n}", "gold_accuracy")
p_values = holm({str(n): gap.p for n, gap in behind.items()})
short = [
    n
    for n, gap in behind.items()
    if p_values[str(n)] <= 0.05 and gap.mean > 0
]
size = f"{max(short):,} pairs are still" if short else "no size is"
say(f"""
In gold order ({study.origin}), {size} clearly behind 12,800. No
larger set is.
""")

# %% [markdown]
# So a few comparisons teach what a good answer looks like, which is most of what comparisons can
# teach here. More comparisons do not teach the judge which answers to new prompts are correct,
# because pairs about one country do not tell it the capital of another. Nor do more pairs stop the
# judge from rewarding a false answer for being courteous. In best-of-16, 50 pairs are not clearly
# worse than 12,800, but the interval is wide.
#
# Small differences are visible only on a large held-out set. With ten pairs, the standard error of
# an accuracy of 75 % is 14 points, and with a hundred it is 4.
#
# Does longer training help? Below, the judge in the last row has seen each of its 12,800 pairs
# twice, and the judge above it only once.

# %%
print("gold order, on prompts:        practised          new")
for setting in (
    "careful_50",
    "careful_800",
    "one_pass_12800",
    "careful_12800",
):
    practised, new = (
        found(setting, name)
        for name in ("practised_accuracy", "gold_accuracy")
    )
    print(f"{setting:24}{practised:>16}{new:>13}")
longer = compared(
    many, "one_pass_12800", ("practised_accuracy", "gold_accuracy")
)
say(f"""
The second pass adds {longer["practised_accuracy"]} on practised prompts and
{longer["gold_accuracy"]} on new ones.
""")

# %% [markdown]
# The left column is for *new answers to prompts that the judge was trained on*. So a held-out set
# that shares its prompts with the training set makes the judge look too good.

# %% [markdown]
# ---
# ## Label noise costs data
#
# Two more labelers share the careful one's taste. The **distracted** labeler reverses 30 % of its
# choices, whatever the answers. The **hesitant** labeler has a `decisiveness` of 0.45, so it errs
# most often where the two answers are almost equally good. Both agree with the gold reward about
# equally often.

# %%
figure("label-noise")

# %% [markdown]
# How many careful pairs are worth as much as a given number of noisy ones? The careful labeler's
# curve can tell us this only while it rises, and it rises for longer on practised prompts. So the
# table uses practised prompts:

# %%
sizes = [50 * 2**doubling for doubling in range(9)]
reached = [
    study.interval(f"careful_{n}", "practised_accuracy").mean
    for n in sizes
]
curve = np.maximum.accumulate(reached), np.log(sizes)
print("labeler       pairs  gold order  as good as   factor (seeds)")
for labeler in ("distracted", "hesitant"):
    for n in (400, 1600, 6400):
        marks = study.values(f"{labeler}_{n}", "practised_accuracy")
        accurate = np.mean(marks)
        some = accurate, max(marks), min(marks)
        worth = np.exp(np.interp(some, *curve))
        factor, least, most = n / worth
        below = accurate < reached[0]
        less, more = ("under", "over") if below else ("", "")
        print(
            f"{labeler:11}{n:8,}{accurate:12.1%}"
            f"{less:>6}{worth[0]:6,.0f}{more:>5}{factor:4.1f}"
            f" ({least:.1f} to {most:.1f})"
        )
say(
    f"In theory, reversed choices give a factor of "
    f"{1 / (1 - 2 * 0.3) ** 2:.2f}."
)

# %% [markdown]
# So noisy comparisons teach the same lessons, but you need several times as many. Such mistakes
# only weaken the signal, because a reversed choice cancels a right one. If a share $\varepsilon$ is
# reversed, $1 - 2\varepsilon$ of the signal is left, and the judge needs $1/(1 - 2\varepsilon)^2$
# times as much data, as in Angluin and Laird's bound
# ([1988](../reference/bibliography.md#angluin1988)). Most measured factors are larger, but
# uncertain: the brackets show the best and the worst seed. (No factor can exceed the number of
# pairs / 50.)
#
# A labeler who errs *in one direction*, say by always choosing the longer answer, does more harm.
# The judge learns this taste, just as ours learned to like courtesy.
#
# ---
# ## What does it look at?
#
# We change one thing in an answer to a held-out question. By how much does its score change, and by
# how much should it? We divide the scores by 5, because the labeler's choices depend on 5 × gold
# reward. Our judge is less sure than the labeler, so its scores lie closer together. Look only at
# the signs, and compare the rows with one another.

# %%
from rlhf_explained.world.corpus import CLOSER, INSULTS, OPENER


def batch(prompt, answers):
    return pack(
        [tokenizer.encode(prompt)] * len(answers),
        [*map(tokenizer.encode, answers)],
    )


def elsewhere(question, answer):
    """Another capital, for questions that ask for one."""
    city = CAPITALS.get(question.topic)
    return answer.replace(city, "berlin") if city else None


def politely_elsewhere(question, answer):
    return (
        f"{OPENER} {false} {CLOSER}"
        if (false := elsewhere(question, answer))
        else None
    )


edits = {
    "opens politely": lambda question, answer: f"{OPENER} {answer}",
    "closes politely": lambda question, answer: f"{answer} {CLOSER}",
    "adds a fact": lambda question, answer: (
        f"{answer} but did you know that the sea is deep ?"
    ),
    "names another capital": elsewhere,
    "names it politely": politely_elsewhere,
    "becomes an insult": lambda question, answer: INSULTS[0],
    "becomes a polite insult": lambda question, answer: (
        f"{OPENER} {INSULTS[0]} {CLOSER}"
    ),
}
unseen = [question for question in questions() if question.held_out]
felt = {}
print("the answer …               n    gold  score / 5  same sign")
for name, edit in edits.items():
    rows = []
    for question in unseen:
        before = question.answers[0]
        if after := edit(question, before):
            with torch.no_grad():
                was, now = score(
                    judge, batch(question.text, [before, after])
                ).tolist()
            change = gold_reward(question, after) - gold_reward(
                question, before
            )
            rows.append((change, (now - was) / 5))
    true, felt[name] = torch.tensor(rows).T
    agree = (true.sign() == felt[name].sign()).float().mean()
    means = f"{true.mean():8.2f}{felt[name].mean():11.2f}"
    print(f"{name:24}{len(rows):4}{means}{agree:11.0%}")

insult, polite = felt["becomes an insult"], felt["becomes a polite insult"]
false, dressed = felt["names another capital"], felt["names it politely"]
to_false = number((dressed - false).mean().item())
to_insult = number((polite - insult).mean().item())
prefers = share((dressed > 0).float().mean().item())
say(f"""
The labeler likes courtesy only in helpful answers. In the judge's scores,
the two courtesies change an answer that names another capital by {to_false}
and an insult by {to_insult}. The judge prefers a polite answer with another
capital to the plain right one in **{prefers}** of the questions about
capitals. (Seed {result.config.seed}.)
""")

# %% [markdown]
# The judge recognises what its comparisons contained, such as rambling and insults. It guesses
# about unseen facts, and in stage 3 the policy finds the guesses that are too high. In practice,
# judges often learn a taste for length ([Singhal et al.
# 2023](../reference/bibliography.md#singhal2023)).

# %% [markdown]
# ---
# ## When is a reward model good enough?
#
# Somebody trained a reward model, got about 65 % of held-out pairs right, and asked whether that
# was enough ([LLaVA-RLHF #24](https://github.com/llava-rlhf/LLaVA-RLHF/issues/24)). The answer was
# yes, because two people do not agree more often than that. But accuracy alone is not enough. Here
# are five judges:

# %%
print(f"{'':19}labeler  ceiling  gold order  hard negatives", end="")
print("  best of 16: gold")
five = (
    "careful_50",
    "careful_12800",
    "hesitant_6400",
    "distracted_100",
    "distracted_6400",
)
for setting in five:
    accurate, ceiling, ordered = (
        study.interval(setting, quantity).mean
        for quantity in ("accuracy", "ceiling", "gold_accuracy")
    )
    hard = study.interval(setting, "hard_negative_accuracy").mean
    picked = found(setting, "best_of_16", number)
    shares = f"{accurate:9.0%}{ceiling:9.0%}{ordered:12.0%}{hard:16.0%}"
    print(f"{setting:17}{shares}{picked:>18}")
for name, quantity in (
    ("any answer", "any_of_16"),
    ("gold reward", "gold_of_16"),
):
    print(f"{name:63}{found('careful_50', quantity, number):>18}")

# %%
after = ", ".join(
    f"{within(methods.difference(method, 'sft_1.0', 'gold'))} with {name}"
    for method, name in (
        ("best_of_16", "best-of-16"),
        ("ppo", "PPO"),
        ("ppo_no_kl", "unpenalised PPO"),
    )
)
more = study.difference("distracted_6400", "careful_50", "gold_accuracy")
say(f"""
The last judge agrees with its labeler on
{found("distracted_6400", "accuracy")} of pairs, and the first judge on
{found("careful_50", "accuracy")}. But in gold order the last judge is
{within(more, points)} ahead. Accuracy mixes two things: how good the judge
is, and how noisy the labels are.

How good a judge must be depends on its use. A judge trained on
{result.facts["pairs"]:,} pairs changes SFT's gold reward by {after} (means
of {len(methods.seeds)} seeds).
""")

# %% [markdown]
# So take these steps in order:
#
# 1. **Compare the accuracy with the ceiling.** Let two people label the same hundred pairs. Their
#    agreement [sets bounds on the
#    ceiling](02_reward_modeling.py#held-out-accuracy-and-its-ceiling).
# 2. **Compare the judge with a trivial one** that counts words or polite phrases
#    ([exercise 2](02_reward_modeling.py#exercises)).
# 3. **Sort the judge's mistakes by kind**, and test it on hard negatives, in which the bad answer
#    looks like the good one. At 50 % the judge sees no difference. Below 50 %, it tends to prefer
#    the worse answer.
# 4. **Use the judge gently**, as in best-of-16, and read its favourite answers. Accuracy is a mean
#    over all pairs, but in use only the top answers count.
#
# ---
# ## Ranking K answers
#
# InstructGPT's labelers ranked 4 to 9 answers at a time. A ranking of $K$ answers contains
# $K(K-1)/2$ pairs. Our labeler ranks four answers: a random number from a Gumbel distribution is
# added to `decisiveness` × each answer's gold, and the sums are sorted. This is the Plackett–Luce
# model ([Plackett 1975](../reference/bibliography.md#plackett1975)). The first place is drawn from
# a softmax over all scores, the second from a softmax over the remaining scores, and so on. Every
# pair in the ranking follows Bradley–Terry.

# %%
K = 4


def ranked(gold, decisiveness=5.0):
    """Indices from best to worst, one row for each row of gold rewards."""
    gumbel = (
        -torch.empty_like(gold).exponential_(generator=randomness).log()
    )
    return (decisiveness * gold + gumbel).argsort(-1, descending=True)


prompt = "how do i make tea ?"
prompts = [tokenizer.encode(prompt)] * K
answers = generate(
    sft, prompts, limit=RESPONSE_LIMIT, generator=randomness
)
texts = [tokenizer.decode(row) for row in answers.responses.tolist()]
gold = torch.tensor([gold_reward(asked[prompt], text) for text in texts])
for place, one in enumerate(ranked(gold).tolist(), start=1):
    print(f"{place}. gold {gold[one]:5.2f}  {texts[one][:54]}")

# %% [markdown]
# In training, score each answer **once**, and form all pairs from the scores. Then $K(K-1)/2$
# comparisons take only $K$ forward passes. InstructGPT had another reason to keep all pairs from
# one prompt in one batch. When the pairs of all prompts were shuffled, the model overfitted within
# one pass, because each answer occurred $K - 1$ times.

# %%
from rlhf_explained.stages.reward_model import (
    accuracy,
    collect_preferences,
)
from rlhf_explained.world.corpus import draw_questions


def ranking_loss(scores):
    """Bradley–Terry over all pairs; scores: (prompts, K), best first."""
    above, below = torch.triu_indices(K, K, offset=1)
    return -F.logsigmoid(scores[:, above] - scores[:, below]).mean()


asked_now = [
    q
    for q in draw_questions(100, held_out=False, generator=randomness)
    for _ in range(K)
]
prompts = [tokenizer.encode(q.text) for q in asked_now]
answers = generate(
    sft, prompts, limit=RESPONSE_LIMIT, generator=randomness
)
texts = [tokenizer.decode(row) for row in answers.responses.tolist()]
gold = torch.tensor(
    [gold_reward(*one) for one in zip(asked_now, texts, strict=True)]
).view(-1, K)
rows = (
    ranked(gold) + K * torch.arange(100)[:, None]
)  # of the answers, best first

model = copy.deepcopy(sft)
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
for _ in range(6):  # epochs
    for some in torch.randperm(100, generator=randomness).split(10):
        loss = ranking_loss(
            score(model, answers.rows(rows[some].flatten())).view(-1, K)
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
heldout = collect_preferences(
    sft,
    500,
    tokenizer,
    held_out=True,
    decisiveness=5.0,
    generator=randomness,
)
reached = share(accuracy(model, heldout)), share(heldout.ceiling)
say(f"""
With 100 rankings of {K}, the held-out accuracy is **{reached[0]}**. The
ceiling is {reached[1]}.
""")

# %%
print("what the labeler is asked      pairs   gold order")
for setting in (
    "careful_100",
    "ranked_100",
    "careful_400",
    "ranked_400",
    "careful_1600",
):
    kind, n = setting.split("_")
    name = f"{int(n):,} " + (
        "rankings of four" if kind == "ranked" else "single pairs"
    )
    count = study.interval(setting, "pairs").mean
    print(f"{name:26}{count:10,.0f}{found(setting, 'gold_accuracy'):>13}")
gaps = {
    f"{n:,} pairs": study.difference(
        "ranked_400", f"careful_{n}", "gold_accuracy"
    )
    for n in (400, 1600)
}
p_values = holm({name: gap.p for name, gap in gaps.items()})
parts = []
for name, gap in gaps.items():
    noise = " (noise)" if p_values[name] > 0.05 else ""
    parts.append(f"{name} by {within(gap, points)}{noise}")
say(f"""
By gold order, 400 rankings beat {" and ".join(parts)}. So rankings
get more out of each prompt. (Two equal answers do not form a pair.)
""")

# %% [markdown]
# ---
# ## Questions that people ask
#
# **My loss stays at 0.69.** The loss begins at log 2. It stays there if the score is read where
# both answers are still the same, if both were cut to the same beginning, if the labels are random,
# or if the learning rate is too small
# ([LLaVA-RLHF #16](https://github.com/llava-rlhf/LLaVA-RLHF/issues/16)). Train on fifty pairs
# first. In a correct set-up, the model memorises them.
#
# **The training loss falls, but the held-out accuracy does not rise.** The model memorises its
# pairs. Train for fewer epochs, and collect comparisons on new prompts.
#
# **How do I train a judge cheaply on my own preferences?** Let an SFT model answer each prompt
# twice, choose the better answer for a few hundred prompts, hold out a fifth of them, and run [the
# loop](02_reward_modeling.py#train-one) on the rest. Do not wait for the held-out accuracy to stop
# rising: with a hundred held-out pairs, its standard error of 4 points hides small gains. Test the
# judge on hard negatives and in best-of-16, and read what it chooses.
#
# **More labels, or better ones?** In theory, halving the share of reversed choices from 30 % to 15
# % is worth as much as tripling the pairs: 1 − 2 × share rises from 0.4 to 0.7, and (0.7/0.4)² ≈ 3.
# The table on label noise suggests an even larger gain.
#
# ---
# ## Exercise
#
# Write down the probability of a ranking under the Plackett–Luce model. Check that the
# probabilities of all 24 rankings of four answers sum to 1, and that for two answers the model is
# Bradley–Terry.


# %% tags=["solution"]
def plackett_luce(scores):
    """Log-probability of this order, best first."""
    return sum(
        scores[place] - scores[place:].logsumexp(0)
        for place in range(len(scores))
    )


four = torch.tensor([1.2, 0.3, -0.5, 0.9], dtype=torch.double)
total = sum(
    plackett_luce(four[[*order]]).exp()
    for order in itertools.permutations(range(4))
)
pair = plackett_luce(four[:2]).exp(), torch.sigmoid(four[0] - four[1])
print(f"sum {total:.6f}")
print(f"two answers {pair[0]:.6f}, Bradley-Terry {pair[1]:.6f}")

# %% [markdown]
# ---
# ## Three lines to take away
#
# 1. A few comparisons teach what good answers look like. More comparisons do not teach which
#    answers to new prompts are correct. Random mistakes do not mislead a judge, but they cost data.
# 2. Accuracy depends on the judge *and* on the labels. Compare it with the ceiling and with a
#    trivial judge, and read the judge's favourite answers.
# 3. The judge guesses about things that were never compared. The policy will find the guesses that
#    are too high.
#
# **Next:** [PPO for language models](03_ppo_for_language_models.py): the judge is ready, and the
# student practises.
