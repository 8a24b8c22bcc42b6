"""The site's Markdown extension: figures, samples, measured values, MathML, glossary, the quiz.

It needs no MkDocs: any program that runs Python-Markdown extensions shows the same pages.
"""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element

from markdown import Markdown
from markdown.extensions import Extension
from markdown.treeprocessors import Treeprocessor
from pygments.token import STANDARD_TYPES, Token

from rlhf_explained.site.markdown.diagrams import Diagrams
from rlhf_explained.site.markdown.fences import Fences
from rlhf_explained.site.markdown.formulas import Formulas
from rlhf_explained.site.markdown.glossary import CitedIn, Links
from rlhf_explained.site.markdown.macros import MACRO, Macros
from rlhf_explained.site.markdown.quiz import Quiz
from rlhf_explained.site.markdown.reading_time import Learn, Signs
from rlhf_explained.site.markdown.unread import Leftovers, Source

# What looks like plain text, or may: keywords, strings and comments are enough to find one's way.
# Without a tag on each name, number and mark, code has a third of the bytes.
_PLAIN = (
    *(Token.Keyword.Constant, Token.Punctuation, Token.Text.Whitespace),
    *(Token.String.Affix, Token.String.Interpol),
    *(kind for kind in STANDARD_TYPES if kind[:1] in (("Name",), ("Operator",))),
    *(kind for kind in STANDARD_TYPES if kind in Token.Number),
)


class Tables(Treeprocessor):
    """Empty heads of tables become cells, and a row of nothing else goes: a head names something.

    Markdown has no other way to write a table whose corner, or whose first row, says nothing.
    """

    def run(self, root: Element) -> None:
        """Look at each table's head."""
        for table in root.iter("table"):
            for head in table.findall("thead"):
                names = [cell for cell in head.iter("th") if not "".join(cell.itertext()).strip()]
                if len(names) == len(list(head.iter("th"))):
                    table.remove(head)
                for cell in names:
                    cell.tag = "td"


class RLHFExplained(Extension):
    """Registers the parts."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        """Higher numbers come first: inline Markdown is 20, table of contents and signs 5."""
        STANDARD_TYPES.update(dict.fromkeys(_PLAIN, ""))  # pyright: ignore[reportAttributeAccessIssue]
        source = Source(md)
        md.preprocessors.register(source, "rlhf-source", 100)  # before all others
        md.inlinePatterns.register(Macros(MACRO, md), "rlhf-macros", 185)  # code: 190
        for part, place in (
            (Fences(md), 30),
            (Diagrams(md), 28),
            (Learn(md, source), 27),
            (CitedIn(md), 26),
            (Quiz(md), 25),
            (Formulas(md), 15),
            (Tables(md), 14),
            (Links(md), 12),
            (Signs(md), 4),
            (Leftovers(md, source), 3),
        ):
            md.treeprocessors.register(part, f"rlhf-{type(part).__name__.lower()}", place)


def makeExtension(**settings: Any) -> RLHFExplained:  # noqa: N802
    """What Python-Markdown calls."""
    return RLHFExplained(**settings)
