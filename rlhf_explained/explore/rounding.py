"""The run's models, rounded and written as a page can load them.

A model is what it adds to an earlier one: base stands alone, SFT adds to base, all others add to
SFT. What it adds is written in layers. A layer cuts each tensor into groups of 64 numbers; a group
is a scale and 64 small whole numbers, one character each. What the rounding leaves over is the
next layer's, where a model has another one.

A host's gzip makes 7 bits of a character, so a layer weighs a little less than a byte for each
number. The scale is a whole number below 128 times a power of two: the products are exact in
32-bit floats, and a browser unpacks the very numbers that `rounded` returns.
"""

from __future__ import annotations

import json
import math
from functools import cache

import numpy as np
from safetensors.numpy import load_file

from rlhf_explained.pipeline import Run

State = dict[str, np.ndarray]

BEFORE = {"base": "", "sft": "base", "ppo": "sft", "ppo_no_kl": "sft", "reward_model": "sft"}
"""Which model each one adds to."""
LEVELS = {"base": (61, 18), "ppo_no_kl": (61, 1)}
"""The largest whole number of each layer, (61,) for models that are not named. PPO without the
penalty moves furthest from SFT, so its steps are the longest: a layer of -1, 0 and 1 makes them a
third as long."""
GROUP = 64
SIGNS = "".join(chr(code) for code in range(1, 128) if chr(code) not in '\n\r"\\')
"""All characters of one byte that may stand in a string: 123 of them, for -61 to 61."""
_SMALLEST = 2.0**-60


def _layer(tensor: np.ndarray, largest: int) -> tuple[np.ndarray, str]:
    """One tensor rounded, and written down."""
    flat = tensor.astype(np.float64).ravel()
    rounded, text = np.zeros_like(flat), []
    for start in range(0, flat.size, GROUP):
        group = slice(start, start + GROUP)
        step = max(np.abs(flat[group]).max() / largest, _SMALLEST)
        power = math.ceil(math.log2(step / 122))
        scale = math.ceil(step / 2.0**power)  # 61 to 122: at most a sixtieth too long
        whole = np.rint(flat[group] / (scale * 2.0**power)).clip(-largest, largest).astype(int)
        rounded[group] = whole * (scale * 2.0**power)
        text.append(SIGNS[scale] + SIGNS[-power] + "".join(SIGNS[61 + one] for one in whole))
    return rounded.reshape(tensor.shape).astype(np.float32), "".join(text)


@cache
def _packed(run: Run, name: str) -> tuple[State, str]:
    """A model rounded, and written down."""
    exact = load_file(run.folder / f"{name}.safetensors")
    before = BEFORE[name]
    state = dict(_packed(run, before)[0]) if before else {}
    layers = []
    for largest in LEVELS.get(name, (61,)):
        written = []
        for part in sorted(exact):
            there = state.get(part, np.zeros_like(exact[part]))
            added, text = _layer(exact[part].astype(np.float64) - there, largest)
            state[part] = there + added
            written.append(text)
        layers.append("".join(written))
    sizes = json.dumps({part: exact[part].size for part in sorted(exact)}, separators=(",", ":"))
    strings = ", ".join(f'"{layer}"' for layer in layers)
    return state, f"{{sizes: {sizes}, layers: [{strings}]}}"


def rounded(run: Run, name: str) -> State:
    """The numbers that a browser computes with.

    Args:
        run: Whose model.
        name: base, sft, ppo, ppo_no_kl or reward_model.

    Returns:
        Its tensors by name, in 32-bit floats.
    """
    return dict(_packed(run, name)[0])


def packed(run: Run, name: str) -> str:
    """What a page loads: a model's layers, and how many numbers each tensor has.

    Args:
        run: Whose model.
        name: base, sft, ppo, ppo_no_kl or reward_model.

    Returns:
        An expression of JavaScript, in ASCII, for `unpacked` in `js/engine.js`.
    """
    return _packed(run, name)[1]
