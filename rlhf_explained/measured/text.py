"""How a measured value is written: its digits, its sign and its unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rlhf_explained.studies import Interval

_SPACE = "\N{NO-BREAK SPACE}"  # so that a number and its unit stay on one line


def share(value: float) -> str:
    """A share in per cent: whole ones, but never 0 or 100 for what is neither."""
    percent = 100 * value
    digits = 1 if 0 < abs(percent) < 1 or 99 < percent < 100 else 0
    text = number(percent, digits)
    text = {"0.0": f"<{_SPACE}0.1", "100.0": f">{_SPACE}99.9"}.get(text, text)
    return f"{text}{_SPACE}%"


def points(value: float) -> str:
    """A difference of two shares."""
    return f"{number(100 * value, 1)}{_SPACE}percentage points"


def number(value: float, digits: int = 2) -> str:
    """A number with a true minus sign and no negative zero."""
    text = f"{value:.{digits}f}"
    if not text.strip("-0."):
        text = text.removeprefix("-")
    return text.replace("-", "\N{MINUS SIGN}")


def nats(value: float) -> str:
    """An amount of information."""
    return f"{number(value)}{_SPACE}nats"


def tokens(value: float) -> str:
    """A length."""
    return f"{number(value, 1)}{_SPACE}tokens"


def seconds(value: float) -> str:
    """A time: whole seconds from ten on."""
    return f"{number(value, 1 if value < 10 else 0)}{_SPACE}s"


def within(interval: Interval, show: Callable[[float], str] = number) -> str:
    """A mean and how far the true one may be from it; the unit stands once."""
    reach, unit = show(interval.reach), ""
    if _SPACE in reach:
        reach, unit = reach.rsplit(_SPACE, 1)
    mean = show(interval.mean).removesuffix(f"{_SPACE}{unit}")
    if show is seconds and "." not in mean:
        reach = number(interval.reach, 0)
    return f"{mean} ± {reach}{_SPACE}{unit}" if unit else f"{mean} ± {reach}"


def listed(names: Sequence[str]) -> str:
    """Names, at least one, as a sentence has them."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
