"""Tables of text: every column is there or named, and no header is split in a word."""

from cases import words
from hypothesis import given
from hypothesis import strategies as st

from hwmodel.commands.text_tables import TextTable, draw


@st.composite
def tables(draw_from):
    """Tables with long and short names and cells, some columns of them spare."""
    header = draw_from(
        st.lists(words(max_words=3), min_size=1, max_size=8, unique=True)
    )
    cell = words(max_words=1)
    rows = draw_from(
        st.lists(st.tuples(*(cell for _ in header)), min_size=1, max_size=4)
    )
    chosen = st.lists(st.sampled_from(header), unique=True, max_size=len(header) - 1)
    left, spare = draw_from(chosen), draw_from(chosen)
    return TextTable(tuple(header), rows, tuple(left), tuple(spare))


@given(tables(), st.integers(20, 160))
def test_every_cell_is_shown_or_its_column_named(table, width):
    """No text is cut, and what a table leaves out is spare and said."""
    drawn = draw(table, width)
    assert set(drawn.left_out) <= set(table.spare)
    per_row = len(drawn.rows) // len(table.rows)
    for number, row in enumerate(table.rows):
        lines = drawn.rows[number * per_row : (number + 1) * per_row]
        shown = sorted(" ".join(lines).split())
        stays = (
            cell
            for name, cell in zip(table.header, row, strict=True)
            if name not in drawn.left_out
        )
        assert shown == sorted(stays)
    words_of_header = sorted(" ".join(drawn.header).split())
    kept = [name for name in table.header if name not in drawn.left_out]
    assert words_of_header == sorted(" ".join(kept).split())


@given(tables(), st.integers(20, 160))
def test_lines_fit_unless_a_single_cell_does_not(table, width):
    """Only a text that is wider by itself goes beyond the terminal."""
    drawn = draw(table, width)
    lines = (*drawn.header, *drawn.rows)
    widest = max(
        len(text)
        for text in (
            *(word for name in table.header for word in name.split()),
            *(cell for row in table.rows for cell in row),
        )
    )
    assert max(map(len, lines)) <= max(width, widest + 5)


@given(tables())
def test_a_wide_terminal_shows_a_line_for_a_row(table):
    """With room enough there is one line of names, and nothing is left out."""
    drawn = draw(table, 10_000)
    assert (len(drawn.header), len(drawn.rows)) == (1, len(table.rows))
    assert drawn.left_out == ()
