"""Every method from the same start, side by side."""

from __future__ import annotations

from rlhf_explained.figures import colours, draw, labels
from rlhf_explained.figures.colours import ALIGNED, INK, MUTED, NOKL, PPO, REWARD, SFT
from rlhf_explained.figures.registry import figure
from rlhf_explained.figures.table import Table
from rlhf_explained.measured import of_studies
from rlhf_explained.measured.text import number
from rlhf_explained.pipeline import Run
from rlhf_explained.studies import Interval, stored

LOOKS = {
    "sft_1.0": (SFT, "^"),
    "sft_best": (SFT, "^"),
    "sft_good": (SFT, "^"),
    "sft_best_tenth": (SFT, "^"),
    "rejection_sampling": (REWARD, "D"),
    "best_of_16": (REWARD, "D"),
    "dpo": (ALIGNED, "D"),
    "grpo": (INK, "D"),
    "rloo": (INK, "D"),
    "ppo": (PPO, "o"),
    "ppo_no_kl": (NOKL, "X"),
}
# Of each line over the share of good demonstrations: its name, colour, dash and marker.
LEARNERS = {
    "sft": ("SFT", SFT, colours.DOTTED, "^"),
    "marked": ("SFT on good ones", SFT, colours.DASH_DOT, "^"),
    "tenth": ("SFT on the best tenth", SFT, (0, (3, 1, 1, 1)), "v"),
    "dpo": ("DPO", ALIGNED, colours.DASHED, "D"),
    "ppo": ("PPO", PPO, "-", "o"),
}


def reached(run: Run) -> Table:
    """What each method reaches, the most gold first: means over seeds, with 95 % intervals."""
    headings = {
        "gold": "gold ±",
        "gold_greedy": "gold, greedy ±",
        "kl": "KL (nats) ±",
        "proxy": "proxy ±",
        "helpful": "helpful (%) .0 ±",
        "false": "false (%) .0 ±",
        "seconds": "seconds (s) .0 ±",
        "labels": "labels .0 ±",
    }

    def cell(setting: str, quantity: str) -> Interval | None:
        if quantity in of_studies.NEVER_MEASURED.get(setting, ()):
            return None
        values = of_studies.method(setting, quantity)
        return Interval.of([100 * x for x in values] if "%" in headings[quantity] else values)

    ahead, rows = of_studies.leads(), []
    for key, name in of_studies.METHODS.items():
        lead = ahead.get(key)
        rows.append([name, *(cell(key, of) for of in headings), lead, lead and lead.p])
    rows.sort(key=lambda row: -row[1].mean)
    seeds = len(stored("methods").seeds)
    bound = "for best of 16, KL is the upper bound"
    title = f"Every method on held-out prompts, mean of {seeds} seeds ± 95 % interval; {bound}"
    lead = "PPO’s lead in gold ±", "p, corrected (Holm) .4"
    return Table.of("methods", title, ("method", *headings.values(), *lead), rows)


@figure(
    "methods",
    numbers=reached,
    studies=("methods",),
    opened=True,
    alt="The gold reward of each method on held-out prompts and its KL from SFT, with 95 % "
    "intervals over five seeds. SFT earns {methods-sft-gold}, and "
    "{methods-sft-best-gold} at its best temperature. SFT on the demonstrations marked good earns "
    "{methods-sft-good-gold} at a KL of {methods-sft-good-kl}, and SFT on the tenth graded best "
    "{methods-sft-best-tenth-gold} at {methods-sft-best-tenth-kl}. Rejection sampling earns "
    "{methods-rejection-sampling-gold} at {methods-rejection-sampling-kl}. Best of 16 earns "
    "{methods-best-of-16-gold} at a KL of at most {methods-best-of-16-kl}. PPO earns "
    "{methods-ppo-gold} at {methods-ppo-kl}, RLOO {methods-rloo-gold} at {methods-rloo-kl}, GRPO "
    "{methods-grpo-gold} at {methods-grpo-kl}, and DPO {methods-dpo-gold} at {methods-dpo-kl}. "
    "PPO without the penalty earns {methods-ppo-no-kl-gold} at {methods-ppo-no-kl-kl}.",
)
def gold_by_method(run: Run, table: Table) -> draw.Figure:
    """The gold reward that each method reaches, and the KL that it takes, over seeds."""
    gap, left, right, top = 30.0, 148.0, draw.WIDTH - 62, 36
    height = gap * len(table.rows)
    figure, page = draw.page(height + 106)
    said = "Gold", "true reward, mean", "gold, on held-out prompts"
    axes = draw.panel(figure, (left, top, right - left, height), *said)
    draw.words(page, draw.WIDTH - 4, 27, "KL, nats", size=draw.SMALL, ha="right")
    axes.set_yticks([])
    axes.set_ylim(len(table.rows) - 0.5, -0.5)
    axes.locator_params(axis="x", nbins=4, integer=False)
    seeds: list[tuple[float, float]] = []
    keys = {name: key for key, name in of_studies.METHODS.items()}
    cells = zip(*(table[name] for name in ("method", "gold", "± gold", "KL")), strict=True)
    for place, (name, mean, reach, kl) in enumerate(cells):
        (colour, marker), middle = LOOKS[keys[name]], top + gap * (place + 0.5) + 4
        draw.words(page, left - 10, middle, name, colour, ha="right")
        seeds += ((gold, place + 0.27) for gold in of_studies.method(keys[name], "gold"))
        axes.plot([mean - reach, mean + reach], [place + 0.09] * 2, color=INK, linewidth=1.6)
        axes.plot(mean, place - 0.1, marker, color=colour, markersize=7)
        text = number(kl) if keys[name] != "best_of_16" else f"≤ {number(kl)}"
        draw.words(page, draw.WIDTH - 4, middle, text, MUTED, ha="right")
    golds, places = zip(*seeds, strict=True)
    draw.dots(axes, golds, places, MUTED)
    study = stored("methods")
    sft = study.interval("sft_1.0", "gold").mean
    axes.axvline(sft, color=SFT, linewidth=1.2, linestyle=colours.DASH_DOT, zorder=0)
    margin = 0.06 * (max(golds) - min(golds))
    axes.set_xlim(min(golds) - margin, max(golds) + margin)
    draw.notes(figure, "large: mean with 95 % interval · small: one seed", study.origin)
    return figure


def by_share(run: Run) -> Table:
    """Gold against the share of good demonstrations, of imitation and of what learns from pairs."""
    study = stored("curation")
    rows = [
        (
            100 * float(share),
            name,
            *(study.interval(f"good_{share}", f"{who}_{at}") for at in ("1.0", "0.0")),
        )
        for share in of_studies.SHARES
        for who, (name, *_) in LEARNERS.items()
    ]
    headings = "good demonstrations (%) .0", "method", "gold ±", "gold, greedy ±"
    title = f"Gold on held-out prompts, mean of {len(study.seeds)} seeds ± 95 % interval"
    return Table.of("curation", title, headings, rows)


@figure(
    "curation",
    numbers=by_share,
    studies=("curation",),
    alt="The gold reward on held-out prompts against the share of good demonstrations, with 95 % "
    "intervals over five seeds. When 5 % are good, SFT earns {curation-0-05-sft-1-0}, SFT on those "
    "marked good {curation-0-05-marked-1-0}, SFT on the best tenth {curation-0-05-tenth-1-0}, DPO "
    "{curation-0-05-dpo-1-0} and PPO {curation-0-05-ppo-1-0}. When 70 % are good, they earn "
    "{curation-0-7-sft-1-0}, {curation-0-7-marked-1-0}, {curation-0-7-tenth-1-0}, "
    "{curation-0-7-dpo-1-0} and {curation-0-7-ppo-1-0}.",
)
def curation(run: Run, table: Table) -> draw.Figure:
    """Gold against the share of good demonstrations: imitation, curation, comparisons."""
    figure, _ = draw.page(300)
    said = "Gold", "true reward, held-out, temperature 1", "good demonstrations, %"
    axes = draw.panel(figure, (36, 24, draw.WIDTH - 176, 200), *said)
    ends, values = [], []
    for place, (name, *look) in enumerate(LEARNERS.values()):
        rows = table.where("method", name)
        aside = [share + place - 2 for share in rows["good demonstrations"]]  # none hides another
        values += draw.means(axes, aside, rows, "gold", tuple(look))
        ends.append((rows["gold"][-1], name, look[0]))
    draw.limits(axes, [1, 74], [*values, max(values) + 0.3])  # room for the labels
    axes.set_xticks([5, 30, 70])
    labels.end_labels(axes, ends)
    draw.notes(figure, "bars: 95 % interval of the mean", stored("curation").origin)
    return figure
