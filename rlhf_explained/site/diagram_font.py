"""The font of the ASCII diagrams: DejaVu Sans Mono, cut down to the glyphs that diagrams use.

Few fonts draw box lines that join. To add a glyph, add it below and run

    python -m rlhf_explained.site.diagram_font

which needs the package `brotli` beside what the site needs.
"""

from __future__ import annotations

from pathlib import Path

ASCII = "".join(map(chr, range(32, 127)))
BOXES = "─│┌┐└┘├┤┬┴┼╭╮╯╰═║╔╗╚╝"
SIGNS = "←↑→↓↔▲▼◀▶►◄•✓✗≠≤≥≈×÷·−–—“”‘’…βγλπσθεΔ‖∑√½²°äöüéñ"
GLYPHS = ASCII + BOXES + SIGNS


def write(path: Path) -> None:
    """Write the font.

    Args:
        path: A `.woff2` file.
    """
    import matplotlib
    from fontTools import subset

    whole = Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSansMono.ttf")
    options = subset.Options(
        flavor="woff2",
        hinting=False,
        layout_features=[],
        glyph_names=False,
        notdef_outline=False,
        drop_tables=["GPOS", "GSUB", "GDEF", "kern", "DSIG", "FFTM"],
        name_IDs=[1, 2, 13, 14],
        recalc_timestamp=False,
    )
    font = subset.load_font(str(whole), options)
    missing = [glyph for glyph in GLYPHS if ord(glyph) not in (font.getBestCmap() or {})]
    if missing:
        raise ValueError(f"DejaVu Sans Mono has no {''.join(missing)}")
    cutter = subset.Subsetter(options)
    cutter.populate(text=GLYPHS)
    cutter.subset(font)
    subset.save_font(font, str(path), options)


if __name__ == "__main__":
    write(Path(__file__).parents[2] / "docs/assets/fonts/diagram.woff2")
