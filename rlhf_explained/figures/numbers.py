"""The numbers that each figure shows, as tables.

The drawing functions take them from here and from nowhere else, and so do the tables and files that
a page offers under the figure. No matplotlib is needed.
"""

from __future__ import annotations

import math
from itertools import chain
from math import comb
from typing import Any

from rlhf_explained.figures.table import Column, Numbers, Table
from rlhf_explained.measured.of_studies import (
    ABLATIONS,
    CRITICS,
    METHODS,
    NEVER_MEASURED,
    SHARES,
    SPEEDS,
    ablation,
    corrected,
    leads,
    method,
)
from rlhf_explained.measured.verdicts import smoothed
from rlhf_explained.names import CATEGORIES
from rlhf_explained.pipeline import Run
from rlhf_explained.studies import Interval, stored

# The original figure's shares: invented, and drawn as such beside the measured ones.
ILLUSTRATIVE_SHARES = {
    "base": {"helpful": 0.2, "harmful": 0.3, "off_topic": 0.3, "rambling": 0.2},
    "ppo": {"helpful": 0.85},
}
NAMES = {"base": "pretrained", "sft": "after SFT", "ppo": "after RLHF"}
PENALTY = {"ppo": "with", "ppo_no_kl": "without"}  # the run's KL penalty
BINS = 24  # of the scores' histogram
CORRECTED = Column("p, corrected (Holm)", digits=4)  # for the number of rows that have one

# The original lesson's four answers: reward model score and KL in nats. The third one is the hack.
SCENARIOS = (
    ("great", 9.5, 0.8),
    ("good", 8.0, 0.5),
    ("hacked", 10.0, 5.0),
    ("safe", 7.0, 0.2),
)

# InstructGPT, Ouyang et al. 2022, section 3.5 and table 6 (training prompts); Llama 2, Touvron et
# al. 2023, section 3.1 and table 6 (Meta's own comparisons).
INSTRUCTGPT = {"demonstrations": 12_725, "ranked prompts": 33_207, "answers each": (4, 9)}
LLAMA_2 = {"demonstrations": 27_540, "comparisons": 1_418_091}

# First public date as year and month: a paper's first version, or a release. Last: the kind.
EVENTS = (
    (2008, 8, "TAMER", "people reward an agent by hand", "people"),
    (2017, 6, "Christiano et al.", "comparisons; Atari, robots", "people"),
    (2019, 9, "Ziegler et al.", "RLHF for language models", "people"),
    (2020, 9, "Stiennon et al.", "summaries better than SFT’s", "people"),
    (2021, 12, "WebGPT", "answers with sources", "people"),
    (2022, 1, "InstructGPT", "SFT, RM, PPO for instructions", "people"),
    (2022, 4, "Anthropic HH", "helpful and harmless", "people"),
    (2022, 10, "Gao et al.", "laws of over-optimisation", "people"),
    (2022, 11, "ChatGPT", "RLHF reaches the public", "people"),
    (2022, 12, "Constitutional AI", "an AI judges by principles", "ai"),
    (2023, 5, "DPO", "preferences as one loss", "direct"),
    (2023, 7, "Llama 2", "open weights, a million pairs", "people"),
    (2023, 9, "RLAIF (Lee et al.)", "AI labels rival people’s", "ai"),
    (2024, 2, "DeepSeekMath", "GRPO: no critic", "reasoning"),
    (2024, 9, "o1", "RL for long reasoning", "reasoning"),
    (2024, 11, "Tülu 3", "RLVR: rewards that are checked", "reasoning"),
    (2025, 1, "DeepSeek-R1", "reasoning by RL, open weights", "reasoning"),
)
KINDS = {
    "people": "RL from human feedback",
    "ai": "RL from AI feedback",
    "direct": "without RL",
    "reasoning": "RL for reasoning",
}


def before_after(run: Run) -> tuple[Table, ...]:
    """Shares of the kinds of response, with standard errors by question, and invented shares."""
    rows: list[tuple[Any, ...]] = []
    for policy, name in NAMES.items():
        measures, invented = run.evaluation[policy], ILLUSTRATIVE_SHARES.get(policy, {})
        for category in CATEGORIES:
            share, error = 100.0 * measures[category], 100.0 * measures["stderr"][category]
            claim = round(100 * invented[category]) if category in invented else None
            rows.append((name, category.replace("_", "-"), share, error, claim))
    columns = (
        Column("model"),
        Column("responses"),
        Column("share", "%", 1),
        Column("standard error", "%", 1),
        Column("illustrative", "%"),
    )
    return (Table("before-after", "Responses to held-out prompts", columns, tuple(rows)),)


def three_stages(run: Run) -> tuple[Table, ...]:
    """The sizes of the stages."""
    facts = run.facts
    rows = (
        ("SFT", "demonstrations", facts["demonstrations"]),
        ("reward model", "preferences", facts["pairs"]),
        ("PPO", "rounds", facts["ppo_iterations"]),
    )
    columns = (Column("stage"), Column("what it has"), Column("how many"))
    return (Table("three-stages", "The three stages of this run", columns, rows),)


def stage_seconds(run: Run) -> tuple[Table, ...]:
    """Wall time of each part of the run."""
    names = {
        "pretrain": "Pretraining",
        "sft": "SFT",
        "preferences": "Preferences",
        "reward_model": "Reward model",
        "ppo": "PPO",
        "ppo_no_kl": "PPO, no penalty",
        "evaluation": "Evaluation",
    }
    rows = tuple((name, float(run.seconds[stage])) for stage, name in names.items())
    columns = (Column("stage"), Column("wall time", "s", 1))
    whole = ((Column("in all", "s", 1), float(run.seconds["total"])),)
    return (Table("stage-seconds", "Seconds of this run", columns, rows, whole),)


def sft_loss(run: Run) -> tuple[Table, ...]:
    """The SFT loss on demonstrations, its smoothed line, and the loss on held-out ones."""
    history = run.history["sft"]
    train = [row["loss"] for row in history]
    heldout = [row["heldout_loss"] for row in history]
    steps = [row["step"] for row in history]
    unit = "nats per token"
    columns = (
        Column("step"),
        Column("training loss", unit, 3),
        Column("smoothed", unit, 3),
        Column("held-out loss", unit, 3),
    )
    floor = ((Column("floor", unit, 3), float(run.sft["loss_floor"])),)
    rows = tuple(zip(steps, train, smoothed(train), heldout, strict=True))
    return (Table("sft-loss", "SFT loss", columns, rows, floor),)


def reward_model_training(run: Run) -> tuple[Table, ...]:
    """The reward model's loss and accuracy over the steps, and its scores of held-out pairs.

    Few steps are recorded, so the loss of each one's batch stands as it is.
    """
    history, report = run.history["reward_model"], run.reward_model
    loss = [row["loss"] for row in history]
    accuracy = [100.0 * row["accuracy"] for row in history]
    columns = (
        Column("step"),
        Column("loss", "nats per pair", 3),
        Column("held-out accuracy", "%", 1),
    )
    lines = (
        (Column("loss of guessing", "nats per pair", 3), math.log(2)),
        (Column("ceiling of the accuracy", "%", 1), 100.0 * report["accuracy_ceiling"]),
    )
    steps = [row["step"] for row in history]
    rows = tuple(zip(steps, loss, accuracy, strict=True))
    training = Table("reward-model-training", "Training of the reward model", columns, rows, lines)

    chosen, rejected = report["chosen_scores"], report["rejected_scores"]
    low, high = min(chosen + rejected), max(chosen + rejected)
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = [low + (high - low) * step / BINS for step in range(BINS + 1)]
    counts = (_counts(scores, low, high) for scores in (chosen, rejected))
    columns = (Column("score from"), Column("to"), Column("chosen"), Column("rejected"))
    means = tuple(
        (Column(f"mean of the {name}"), math.fsum(scores) / len(scores))
        for name, scores in (("chosen", chosen), ("rejected", rejected))
    )
    rows = tuple(zip(edges[:-1], edges[1:], *counts, strict=True))
    title = "Scores of held-out responses"
    return training, Table("reward-model-scores", title, columns, rows, means)


def _counts(scores: list[float], low: float, high: float) -> list[int]:
    """How many scores lie in each bin; what lies on an edge counts above it, but for the last."""
    places = [min(int(BINS * (score - low) / (high - low)), BINS - 1) for score in scores]
    return [places.count(place) for place in range(BINS)]


def _over_iterations(
    run: Run, *quantities: Column
) -> tuple[tuple[Column, ...], list[tuple[Any, ...]]]:
    """Quantities of both PPO runs over the iterations, each measured and smoothed."""
    columns = [Column("KL penalty"), Column("iteration")]
    rows: list[tuple[Any, ...]] = []
    for column in quantities:
        columns += [column, Column(f"{column.name}, smoothed", column.unit, column.digits)]
    for policy, penalty in PENALTY.items():
        history = run.history[policy]
        iterations = [row["iteration"] for row in history]
        measured = [[float(row[column.name.lower()]) for row in history] for column in quantities]
        pairs = chain.from_iterable((values, smoothed(values)) for values in measured)
        rows += zip([penalty] * len(history), iterations, *pairs, strict=True)
    return tuple(columns), rows


def ppo_curves(run: Run) -> tuple[Table, ...]:
    """Score, gold reward and KL over the iterations of both PPO runs."""
    quantities = Column("proxy"), Column("gold"), Column("KL", "nats")
    columns, rows = _over_iterations(run, *quantities)
    return (Table("ppo-curves", "PPO with and without the KL penalty", columns, tuple(rows)),)


def response_length(run: Run) -> tuple[Table, ...]:
    """Response length over the iterations of both PPO runs."""
    columns, rows = _over_iterations(run, Column("length", "tokens", 1))
    start = ((Column("SFT", "tokens", 1), float(run.evaluation["sft"]["length"])),)
    return (Table("response-length", "Mean response length", columns, tuple(rows), start),)


def temperatures(run: Run) -> tuple[Table, ...]:
    """Gold of each policy's exam at each temperature, with standard errors by question."""
    names = {**NAMES, "ppo_no_kl": "without penalty"}
    rows = tuple(
        (name, float(at), exam["gold"], exam["stderr"]["gold"], 100.0 * exam["helpful"])
        for policy, name in names.items()
        for at, exam in sorted(run.temperatures[policy].items())
    )
    columns = (
        Column("model"),
        Column("temperature", digits=1),
        Column("gold"),
        Column("± gold"),
        Column("helpful", "%", 0),
    )
    title = "The exam at five temperatures; ± one standard error"
    return (Table("temperatures", title, columns, rows),)


def gold_against_kl(run: Run) -> tuple[Table, ...]:
    """Gold and KL on the way of both runs, at both rates: each seed, and means over the seeds."""
    study = stored("early_stopping")
    single: list[tuple[Any, ...]] = []
    means: list[tuple[Any, ...]] = []
    for speed in SPEEDS:
        for kind, penalty in (("held", "with"), ("free", "without")):
            rows = [row for row in study.rows if row["setting"] == f"{speed}_{kind}"]
            for row in sorted(rows, key=lambda row: row["seed"]):
                single += (
                    (speed, penalty, row["seed"], look["iteration"], look["kl"], look["gold"])
                    for look in row["way"]
                )
            for looks in zip(*(row["way"] for row in rows), strict=True):
                middle = [
                    math.fsum(look[name] for look in looks) / len(looks) for name in ("kl", "gold")
                ]
                means.append((speed, penalty, looks[0]["iteration"], *middle))
    head = Column("rate"), Column("KL penalty")
    tail = Column("iteration", digits=0), Column("KL", "nats"), Column("gold")
    stops = tuple(
        (speed, seed, iteration, kl, gold)
        for speed in SPEEDS
        for seed, iteration, kl, gold in zip(
            study.seeds,
            *(study.values(f"{speed}_free", f"stop_{q}") for q in ("iteration", "kl", "gold")),
            strict=True,
        )
    )
    return (
        Table(
            "gold-against-kl",
            f"Gold against KL on held-out questions, mean of {len(study.seeds)} seeds",
            (*head, *tail),
            tuple(means),
        ),
        Table("gold-against-kl-seeds", "Each seed", (*head, Column("seed"), *tail), tuple(single)),
        Table(
            "gold-against-kl-stops",
            "Where the run without the penalty is stopped, chosen on practised questions",
            (head[0], Column("seed"), *tail),
            stops,
        ),
    )


def every_tenth(table: Table) -> Table:
    """The rows of every tenth iteration: so many are drawn of the single seeds."""
    rows = tuple(
        row
        for row, iteration in zip(table.rows, table["iteration"], strict=True)
        if iteration % 10 == 0
    )
    return Table(table.name, table.title, table.columns, rows, table.lines)


def crossing(first: tuple[str, float, float], second: tuple[str, float, float]) -> float:
    """The β at which two answers have the same total reward, score − β·KL."""
    return (first[1] - second[1]) / (first[2] - second[2])


def beta_sweep(run: Run) -> tuple[Table, ...]:
    """The four answers, and the β at which each overtakes the hack."""
    hacked = next(scenario for scenario in SCENARIOS if scenario[0] == "hacked")
    rows = tuple(
        (
            *scenario,
            scenario[1] - scenario[2],
            scenario is not hacked and crossing(hacked, scenario),
        )
        for scenario in SCENARIOS
    )
    rows = tuple((*row[:-1], row[-1] or None) for row in rows)
    columns = (
        Column("answer"),
        Column("score: total at β = 0", digits=1),
        Column("KL", "nats", 1),
        Column("total at β = 1", digits=1),
        Column("β from which it beats the hack", digits=3),
    )
    return (Table("beta-sweep", "Four illustrative answers", columns, rows),)


# The trained methods of the study, by setting; after them what needs no training.
IN_THE_EXACT_WORLD = {
    "ppo": "PPO",
    "group": "RLOO",
    "dpo": "DPO",
    "k2": "k2 in the loss",
    "ratio_k3": "ratio × k3",
    "grpo_no_std": "GRPO, no std",
    "grpo": "GRPO",
    "best_of_4": "best of 4",
    "best_of_64": "best of 64",
}


def frontier(run: Run) -> tuple[Table, ...]:
    """Reward and KL in the first exact world; shares of the frontier's reward in all of them."""
    study = stored("frontier")
    kinds = {"frontier": ("frontier", "β"), "best_of": ("best-of-n", "n")}
    rows: list[tuple[Any, ...]] = [("frontier", "", 0.0, 0.0)]
    for setting in study.config:
        kind, _, at = setting.rpartition("_")
        trained = IN_THE_EXACT_WORLD.get(setting)
        if kind in kinds or trained:
            policy, name = kinds.get(kind, (trained, ""))
            where = study.values(setting, "kl")[0], study.values(setting, "gained")[0]
            rows.append((policy, f"{name} = {at}" if name else "", *where))
    columns = Column("policy"), Column("at"), Column("KL", "nats"), Column("reward gained")
    world = Table("frontier", "Reward and KL in the first exact world", columns, tuple(rows))
    shares = tuple(
        (name, seed, spent, 100.0 * gained / most)
        for setting, name in IN_THE_EXACT_WORLD.items()
        for seed, spent, gained, most in zip(
            study.seeds,
            *(study.values(setting, quantity) for quantity in ("kl", "gained", "most")),
            strict=True,
        )
    )
    columns = (
        Column("method"),
        Column("world"),
        Column("KL", "nats"),
        Column("share of the frontier", "%", 1),
    )
    title = "Reward gained, as a share of what the frontier gains at the same KL"
    return world, Table("frontier-shares", title, columns, shares)


def demonstrations_preferences(run: Run) -> tuple[Table, ...]:
    """How many demonstrations and comparisons have been collected."""
    prompts, answers = INSTRUCTGPT["ranked prompts"], INSTRUCTGPT["answers each"]
    fewest, most = (prompts * comb(count, 2) for count in answers)
    rows = (
        ("InstructGPT, 2022", "demonstrations", INSTRUCTGPT["demonstrations"], None),
        ("InstructGPT, 2022", "ranked prompts", prompts, None),
        ("InstructGPT, 2022", "pairs in them", fewest, most),
        ("Llama 2, 2023", "demonstrations", LLAMA_2["demonstrations"], None),
        ("Llama 2, 2023", "comparisons", LLAMA_2["comparisons"], None),
        ("This site’s model", "demonstrations", int(run.facts["demonstrations"]), None),
        ("This site’s model", "comparisons", int(run.facts["pairs"]), None),
    )
    columns = Column("collected for"), Column("what"), Column("how many"), Column("at most")
    return (Table("demonstrations-preferences", "Human data collected", columns, rows),)


def timeline(run: Run) -> tuple[Table, ...]:
    """Each event with its date."""
    rows = tuple(
        (f"{year}-{month:02}", name, about, KINDS[kind])
        for year, month, name, about, kind in EVENTS
    )
    columns = Column("first public"), Column("work"), Column("about"), Column("kind")
    return (Table("timeline", "Learning from human preferences", columns, rows),)


def methods(run: Run) -> tuple[Table, ...]:
    """What each method reaches, the most gold first: means over seeds, with 95 % intervals."""
    results = stored("methods")
    quantities = {
        "gold": Column("gold"),
        "gold_greedy": Column("gold, greedy"),
        "kl": Column("KL", "nats"),
        "proxy": Column("proxy"),
        "helpful": Column("helpful", "%", 0),
        "false": Column("false", "%", 0),
        "seconds": Column("seconds", "s", 0),
        "labels": Column("labels", digits=0),
    }
    ahead, rows = leads(), []
    p_values = corrected(ahead)
    for setting, name in METHODS.items():
        row: list[Any] = [name]
        for quantity, column in quantities.items():
            if quantity in NEVER_MEASURED.get(setting, ()):
                row += [None, None]
                continue
            scale = 100 if column.unit == "%" else 1
            found = Interval.of(method(setting, quantity))
            row += [scale * found.mean, scale * found.reach]
        lead = ahead.get(setting)
        row += [lead.mean, lead.reach, p_values[setting]] if lead else [None] * 3
        rows.append(tuple(row))
    rows.sort(key=lambda row: -row[1])
    columns = [
        part
        for column in quantities.values()
        for part in (column, Column(f"± {column.name}", column.unit, column.digits))
    ]
    title = f"Every method on held-out prompts, mean of {len(results.seeds)} seeds ± 95 % interval"
    lead = Column("PPO’s lead in gold"), Column("± PPO’s lead in gold"), CORRECTED
    return (Table("methods", title, (Column("method"), *columns, *lead), tuple(rows)),)


def curation(run: Run) -> tuple[Table, ...]:
    """Gold against the share of good demonstrations, of imitation and of what learns from pairs."""
    study = stored("curation")
    names = {
        "sft": "SFT",
        "marked": "SFT on good ones",
        "tenth": "SFT on the best tenth",
        "dpo": "DPO",
        "ppo": "PPO",
    }
    rows = []
    for share in SHARES:
        for who, name in names.items():
            found = [study.interval(f"good_{share}", f"{who}_{at}") for at in ("1.0", "0.0")]
            cells = [x for interval in found for x in (interval.mean, interval.reach)]
            rows.append((100 * float(share), name, *cells))
    columns = (
        Column("good demonstrations", "%", 0),
        Column("method"),
        Column("gold"),
        Column("± gold"),
        Column("gold, greedy"),
        Column("± gold, greedy"),
    )
    title = f"Gold on held-out prompts, mean of {len(study.seeds)} seeds ± 95 % interval"
    return (Table("curation", title, columns, tuple(rows)),)


def critic_positions(run: Run) -> tuple[Table, ...]:
    """What each kind of critic explains before each token of an answer."""
    study, rows = stored("ablations"), []
    for setting, name in CRITICS.items():
        kept = [row["explained_by_position"] for row in study.rows if row["setting"] == setting]
        for place, values in enumerate(zip(*kept, strict=True), start=1):
            found = Interval.of(values)
            rows.append((name, place, found.mean, found.reach))
    columns = (
        Column("critic"),
        Column("token"),
        Column("explained variance"),
        Column("± explained variance"),
    )
    title = f"Explained variance by position, mean of {len(study.seeds)} seeds ± 95 % interval"
    return (Table("critic-positions", title, columns, tuple(rows)),)


def ablations(run: Run) -> tuple[Table, ...]:
    """What PPO reaches without one of its parts, and each seed's change in gold."""
    results = stored("ablations")
    quantities = (
        Column("helpful", "%", 0),
        Column("false", "%", 0),
        Column("KL", "nats"),
        Column("largest KL", "nats", 1),
        Column("late explained variance"),
    )
    rows, changes = [], []
    gaps = {setting: ablation(setting, "gold") for setting in ABLATIONS}
    found = {setting: Interval.of(values) for setting, values in gaps.items()}
    p_values = corrected(found)
    for setting, name in {"ppo": "PPO as shipped", **ABLATIONS}.items():
        row: list[Any] = [name, results.interval(setting, "gold").mean, None, None, None]
        if setting != "ppo":
            row[2:] = found[setting].mean, found[setting].reach, p_values[setting]
            changes += zip([name] * len(results.seeds), results.seeds, gaps[setting], strict=True)
        for column in quantities:
            mean = results.interval(setting, column.name.lower().replace(" ", "_")).mean
            row.append(100 * mean if column.unit == "%" else mean)
        rows.append(tuple(row))
    head = Column("setting"), Column("gold"), Column("change"), Column("±"), CORRECTED
    columns = *head, *quantities
    title = f"PPO without one of its parts, mean of {len(results.seeds)} seeds; ± 95 % interval"
    seeds = Column("setting"), Column("seed"), Column("change", digits=3)
    return (
        Table("ablations", title, columns, tuple(rows)),
        Table("ablations-seeds", "Change in gold, seed by seed", seeds, tuple(changes)),
    )


REWARD_DATA_CURVES = {
    "accuracy": "accuracy",
    "gold accuracy": "gold_accuracy",
    "best-of-16 gold": "best_of_16",
}
REWARD_DATA_LINES = {
    "ceiling of the accuracy": "ceiling",
    "gold of any answer": "any_of_16",
    "gold of the best of 16": "gold_of_16",
}


def _with_intervals(setting: str, quantities: dict[str, Column]) -> list[float]:
    """Means and intervals of a setting of the study of the reward model's data."""
    row = []
    for quantity, column in quantities.items():
        found = stored("reward_data").interval(setting, quantity)
        row += [(100 if column.unit else 1) * x for x in (found.mean, found.reach)]
    return row


def reward_data(run: Run) -> tuple[Table, ...]:
    """What the careful labeler's comparisons are worth, the more of them there are."""
    study = stored("reward_data")
    quantities = {
        quantity: Column(name, "%" if "accuracy" in name else "", 1 if "accuracy" in name else 2)
        for name, quantity in REWARD_DATA_CURVES.items()
    }
    quantities["hard_negative_accuracy"] = Column("hard negatives", "%", 1)
    rows = tuple(
        (setting["pairs"], *_with_intervals(name, quantities))
        for name, setting in study.config.items()
        if name.startswith("careful")
    )
    lines = []
    for name, quantity in REWARD_DATA_LINES.items():
        unit, times = ("%", 100) if quantity == "ceiling" else ("", 1)
        mean = study.interval("careful_50", quantity).mean
        lines.append((Column(name, unit), times * mean))
    columns = (
        Column("pairs"),
        *(
            part
            for column in quantities.values()
            for part in (column, Column(f"± {column.name}", column.unit, column.digits))
        ),
    )
    title = f"Reward models on held-out prompts, mean of {len(study.seeds)} seeds ± 95 % interval"
    return (Table("reward-data", title, columns, rows, tuple(lines)),)


def label_noise(run: Run) -> tuple[Table, ...]:
    """Accuracy by the gold reward's order, by labeler and number of pairs."""
    study = stored("reward_data")
    quantity = {"gold_accuracy": Column("gold accuracy", "%", 1)}
    rows = tuple(
        (labeler, setting["pairs"], *_with_intervals(name, quantity))
        for name, setting in study.config.items()
        for labeler in ("careful", "hesitant", "distracted")
        if name.startswith(labeler)
    )
    columns = (
        Column("labeler"),
        Column("pairs"),
        *quantity.values(),
        Column("± gold accuracy", "%", 1),
    )
    title = f"Accuracy by labeler, mean of {len(study.seeds)} seeds ± 95 % interval"
    return (Table("label-noise", title, columns, rows),)


TABLES: dict[str, Numbers] = {
    "reward-data": reward_data,
    "label-noise": label_noise,
    "ablations": ablations,
    "methods": methods,
    "before-after": before_after,
    "three-stages": three_stages,
    "stage-seconds": stage_seconds,
    "sft-loss": sft_loss,
    "reward-model-training": reward_model_training,
    "ppo-curves": ppo_curves,
    "gold-against-kl": gold_against_kl,
    "temperatures": temperatures,
    "curation": curation,
    "critic-positions": critic_positions,
    "response-length": response_length,
    "beta-sweep": beta_sweep,
    "frontier": frontier,
    "demonstrations-preferences": demonstrations_preferences,
    "timeline": timeline,
}
