"""TeX to MathML while the site builds, by Temml, so that formulas need no script on a page."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

# what browsers neither need nor read (MathML Core), and what the stylesheet says
_NEEDLESS = re.compile(r' (?:separator|fence)="(?:true|false)"| style="display:block math;"')


class FormulaError(ValueError):
    """A formula that Temml cannot parse; the message says where and why."""


@functools.cache
def _temml() -> Any:
    import dukpy  # a JavaScript engine; only a page with a formula pays for loading it

    engine = dukpy.JSInterpreter()
    engine.evaljs((Path(__file__).parents[1] / "vendor/temml/temml.min.js").read_text("utf-8"))
    return engine


@functools.lru_cache(maxsize=4096)
def mathml(tex: str, *, display: bool) -> str:
    """Render one formula.

    Args:
        tex: The formula, without its dollars.
        display: Whether it stands on a line of its own.

    Returns:
        A `<math>` element.

    Raises:
        FormulaError: If the formula does not parse.
    """
    import dukpy

    try:
        rendered = _temml().evaljs(
            "temml.renderToString(dukpy.tex, {displayMode: dukpy.display, throwOnError: true})",
            tex=tex,
            display=display,
        )
        return _NEEDLESS.sub("", rendered)
    except dukpy.JSRuntimeError as error:
        # "ParseError: why at position 3: the formula with marks", then a JavaScript stack
        why = str(error).split("\n")[0].removeprefix("ParseError:").strip()
        why = re.split(r" at (?:position \d+|end of input): ", why)[0]
        raise FormulaError(f"{why}; mend its TeX") from None
