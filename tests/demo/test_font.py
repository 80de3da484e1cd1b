"""The clock's font."""

from sessiond.demo.font import GLYPHS, HEIGHT, WIDTH


def test_every_printable_character() -> None:
    """Each printable character of ASCII has a glyph of the right size, and no two look the same."""
    assert "".join(GLYPHS) == "".join(chr(code) for code in range(0x20, 0x7F))
    assert all(len(glyph) == HEIGHT for glyph in GLYPHS.values())
    assert {len(row) for glyph in GLYPHS.values() for row in glyph} == {WIDTH}
    assert {dot for glyph in GLYPHS.values() for row in glyph for dot in row} == {"#", "."}
    assert len(set(GLYPHS.values())) == len(GLYPHS)
