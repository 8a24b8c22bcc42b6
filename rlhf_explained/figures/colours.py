"""What colours, dashes, markers and names the policies have in figures.

Colours are sentinels while matplotlib draws and CSS variables in the SVG, so one drawing serves the
light and the dark theme.
"""

INK, MUTED, FAINT, PAPER = "#010203", "#010204", "#010205", "#010206"
BASE, SFT, REWARD, PPO, ALIGNED, NOKL = (f"#01020{digit}" for digit in "789abc")
# What each sentinel becomes: the end of a class in the site's stylesheet, and the colour of the
# light theme for a reader who has the drawing alone.
SENTINELS = {
    INK: ("ink", "#1f2328"),
    MUTED: ("muted", "#5b6067"),
    FAINT: ("faint", "#dcdcd6"),
    PAPER: ("paper", "#fff"),
    BASE: ("base", "#c62828"),
    SFT: ("sft", "#1565c0"),
    REWARD: ("rm", "#ad4e00"),
    PPO: ("ppo", "#2e7031"),
    ALIGNED: ("aligned", "#7b1fa2"),
    NOKL: ("nokl", "#5d4037"),
}

DASHED, DOTTED, DASH_DOT = (0, (4, 2)), (0, (1, 2)), (0, (6, 2, 1, 2))
# A policy is told by its name, its dash and its marker as well as by its colour.
COLOURS = {"base": BASE, "sft": SFT, "ppo": PPO, "ppo_no_kl": NOKL}
DASHES = {"base": DOTTED, "sft": DASH_DOT, "ppo": "-", "ppo_no_kl": DASHED}
MARKERS = {"base": "s", "sft": "^", "ppo": "o", "ppo_no_kl": "X"}
NAMES = {
    "base": "pretrained",
    "sft": "after SFT",
    "ppo": "after RLHF",
    "ppo_no_kl": "without penalty",
}
