"""The two fonts that the site brings along, cut down to the glyphs that its pages use.

Few systems have a font whose box drawings join, and outside Windows and Apple's systems few have
one that can stretch a bracket. All other text is set in the reader's own fonts. To add a glyph,
add it below and run

    python tests/site/fonts.py PATH_OF_STIX_TWO_MATH

which needs the package `brotli` beside what the site needs. STIX Two Math 2.13 came from the npm
package `@fontsource/stix-two-math` 5.3.0, DejaVu Sans Mono 2.37 comes with matplotlib.
"""

from __future__ import annotations

import sys
from pathlib import Path

ASCII = "".join(map(chr, range(32, 127)))
BOXES = "─│┌┐└┘├┤┬┴┼╭╮╯╰═║╔╗╚╝"
DIAGRAMS = ASCII + BOXES + "\u00a0←↑→↓↔▲▼◀▶►◄•✓✗≠≤≥≈×÷·−–—“”‘’…βγλπσθεΔ‖∑√½²°±ρδΣäöüéñ"
MATH = (  # upright letters and digits come from the reader's serif font
    " ()+,./:;<=>[]{}|~^"
    + "".join(map(chr, range(0x1D434, 0x1D468))).replace("\U0001d455", "ℎ")  # italic Latin
    + "".join(map(chr, range(0x1D6FC, 0x1D71C)))  # italic Greek
    + "ΔΣΦ"
    + "ℒ𝒟"
    + "𝔼"
    + "−∗×⋅±≠≈≤≥≻∼∝∈∑∏∂∇√∞∥‖→…⋯ˆ‾⏟\u2061"
)


# A browser makes room for the widest size of a root, whichever it draws: a hole would follow each.
# With one size there is none. A root of a fraction would need another.
ONE_SIZE = "√"


def cut(whole: Path, glyphs: str, path: Path) -> None:
    """Write the part of a font that a text needs.

    Args:
        whole: A font file.
        glyphs: All characters to keep, with the larger variants that the font has of them, but for
            `ONE_SIZE`.
        path: The `.woff2` file to write.
    """
    from fontTools import subset

    options = subset.Options(
        flavor="woff2",
        desubroutinize=True,
        drop_tables=["DSIG", "FFTM", "GDEF", "GPOS", "kern"],
        glyph_names=False,
        hinting=False,
        layout_features=[],
        name_IDs=[0, 1, 2, 13, 14],
        notdef_outline=False,
        recalc_timestamp=False,
    )
    font = subset.load_font(str(whole), options)
    names = font.getBestCmap() or {}
    missing = [glyph for glyph in glyphs if ord(glyph) not in names]
    if missing:
        raise ValueError(f"glyphs: {whole.name} has no {''.join(missing)}")
    if "MATH" in font:
        variants = font["MATH"].table.MathVariants
        for glyph in ONE_SIZE:
            place = variants.VertGlyphCoverage.glyphs.index(names[ord(glyph)])
            sizes = variants.VertGlyphConstruction[place]
            sizes.MathGlyphVariantRecord = sizes.MathGlyphVariantRecord[:1]
            sizes.GlyphAssembly, sizes.VariantCount = None, 1
    cutter = subset.Subsetter(options)
    cutter.populate(text=glyphs)
    cutter.subset(font)
    subset.save_font(font, str(path), options)


if __name__ == "__main__":
    import matplotlib

    into = Path(__file__).parents[2] / "docs/assets/fonts"
    mono = Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSansMono.ttf")
    cut(mono, DIAGRAMS, into / "diagram.woff2")
    cut(Path(sys.argv[1]), MATH, into / "math.woff2")
