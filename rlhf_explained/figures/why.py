"""Why RLHF works: comparing is cheaper than writing, as an idea and in published numbers."""

from __future__ import annotations

from math import comb, log10

from matplotlib.figure import Figure

from rlhf_explained.figures import style
from rlhf_explained.pipeline import Run

# InstructGPT, Ouyang et al. 2022, section 3.5 and table 6 (training prompts); Llama 2, Touvron et
# al. 2023, section 3.1 and table 6 (Meta's own comparisons).
INSTRUCTGPT = {"demonstrations": 12_725, "ranked prompts": 33_207, "answers each": (4, 9)}
LLAMA_2 = {"demonstrations": 27_540, "comparisons": 1_418_091}


@style.drawn
def demonstrations_preferences(run: Run) -> Figure:
    """The two kinds of human data: what one item costs, and how many have been collected."""
    figure, axes = style.page(460)
    half = style.WIDTH / 2
    cards = (
        (4.0, style.SFT, "Demonstrations", ("“Write the perfect", "answer”")),
        (half + 4, style.REWARD, "Preferences", ("“Which response", "is better?”")),
    )
    costs = (
        ("an expert writes it", "5–10 minutes each", "$$$ · hard to scale"),
        ("a person compares", "30 seconds each", "$ · scales easily"),
    )
    invented = ("illustrative", {"size": style.SMALL, "colour": style.MUTED, "italic": True})
    for (left, colour, title, saying), (work, *cost) in zip(cards, costs, strict=True):
        centre = left + (half - 8) / 2
        heading = {"size": style.TITLE, "bold": True, "colour": colour, "align": "center"}
        style.words(axes, centre, 16, title, **heading)
        for place, line in enumerate(saying):
            style.words(axes, centre, 34 + 15 * place, line, italic=True, align="center")
        card = style.box(axes, left, 60, half - 8, 92, colour, dashed=colour == style.REWARD)
        style.lines_in(axes, card, (work, {"bold": True}), *cost, invented, gap=20)

    style.words(axes, 4, 186, "How many were collected", size=style.TITLE, bold=True)
    left, right, low, high = 116.0, style.WIDTH - 8, 2.0, 7.0

    def x(count: style.Real) -> float:
        return left + (right - left) * (log10(count) - low) / (high - low)

    for exponent in range(2, 8):
        axes.plot([x(10**exponent)] * 2, [196, 404], color=style.FAINT, linewidth=0.8)
    for count in (100, 10_000, 1_000_000):
        style.words(axes, x(count), 420, f"{count:,}", size=style.SMALL, align="center")
    style.words(
        axes,
        right,
        437,
        "items, logarithmic scale",
        size=style.SMALL,
        colour=style.MUTED,
        align="right",
    )

    fewest, most = (comb(answers, 2) for answers in INSTRUCTGPT["answers each"])
    prompts = INSTRUCTGPT["ranked prompts"]
    pairs = (prompts * fewest, prompts * most)
    facts = run.facts
    groups = (
        (
            "InstructGPT, 2022",
            ("demonstrations", "o", style.SFT, INSTRUCTGPT["demonstrations"]),
            ("ranked prompts", "D", style.REWARD, prompts),
            ("pairs in them", "D", style.REWARD, pairs),
        ),
        (
            "Llama 2, 2023",
            ("demonstrations", "o", style.SFT, LLAMA_2["demonstrations"]),
            ("comparisons", "D", style.REWARD, LLAMA_2["comparisons"]),
        ),
        (
            "This site’s model",
            ("demonstrations", "o", style.SFT, int(facts["demonstrations"])),
            ("comparisons", "D", style.REWARD, int(facts["pairs"])),
        ),
    )
    y = 209.0
    for name, *rows in groups:
        style.words(axes, 4, y, name, bold=True)
        for label, mark, colour, count in rows:
            y += 20
            style.words(axes, left - 8, y, label, size=style.SMALL, align="right")
            if isinstance(count, tuple):
                ends = [x(end) for end in count]
                axes.plot(ends, [y - 4] * 2, color=colour, linewidth=3, linestyle=(0, (2, 1)))
                text, end = f"{count[0] / 1e6:.1f}–{count[1] / 1e6:.1f} million", ends[0]
            else:
                axes.plot(x(count), y - 4, mark, color=colour, markersize=6)
                text, end = f"{count:,}", x(count)
            across = end + 9 if end < (left + right) / 2 + 12 else end - 9
            style.words(
                axes, across, y, text, size=style.SMALL, align="left" if across > end else "right"
            )
        y += 26
    style.note(figure, f"4–9 answers make {fewest}–{most} pairs · seed {run.config.seed}")
    return figure
