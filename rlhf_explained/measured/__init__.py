"""Floor 5: the named values that prose may quote, written out with their units.

A page says `{{ value: ppo-gold }}`; what stands there comes from here and from the run, so no
number of a training is ever typed by hand. `of_run` has the values of the run that the site shows,
`of_studies` those of the studies; `verdicts` and `study_verdicts` have the sentences that draw
conclusions from them.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from rlhf_explained.measured import of_run, of_studies, study_verdicts
from rlhf_explained.measured.text import number, share, within
from rlhf_explained.pipeline import Run

__all__ = ["Measured", "filled", "names", "number", "share", "value", "within"]

_STUDIED = of_studies.VALUES | study_verdicts.VALUES


@dataclass(frozen=True)
class Measured:
    """A value as a page shows it.

    Attributes:
        text: The whole of it, unit included.
        note: What it is and where it comes from, for those who point at it.
    """

    text: str
    note: str


def value(name: str, run: Run) -> Measured:
    """Look up a value.

    Args:
        name: One of `names()`.
        run: The run it is taken from.

    Returns:
        The value written out, and a note on it.

    Raises:
        ValueError: If there is no value of that name; the message names the closest ones.
    """
    if name in _STUDIED:
        return Measured(*_STUDIED[name]())
    if name not in of_run.VALUES:
        close = difflib.get_close_matches(name, names(), n=3) or names()[:3]
        raise ValueError(f"value: there is no {name!r}; the closest are {', '.join(close)}")
    text, about = of_run.VALUES[name](run)
    return Measured(text, f"{about}; seed {run.config.seed}")


def filled(text: str, run: Run) -> str:
    """Put measured values into a text.

    Args:
        text: `{ppo-gold}` in it stands for the value of that name.
        run: The run they are taken from.

    Returns:
        The text with all of them written out.
    """
    return re.sub(r"\{([^{}]*)\}", lambda found: value(found[1], run).text, text)


def names() -> list[str]:
    """All names that `value` knows, in order."""
    return sorted([*of_run.VALUES, *_STUDIED])
