"""No text from a file steers the terminal, splits a line of a log, or is taken for markup."""

from __future__ import annotations

import io
import unicodedata
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

import mal
from mal.console import PlainConsole
from mal.printable import printable

DIRECTIONS = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
texts = st.text(
    st.characters() | st.sampled_from("\x1b\x07\n\r\t\x9b\u2028[]:\\") | st.sampled_from(sorted(DIRECTIONS))
)


def is_printable(text: str) -> bool:
    kinds = {unicodedata.category(character) for character in text}
    return not kinds & {"Cc", "Cs", "Zl", "Zp"} and not set(text) & DIRECTIONS


def shown(renderable, width: int = 10_000) -> str:
    console = PlainConsole(file=io.StringIO(), width=width)
    console.print(renderable)
    return console.file.getvalue()


@given(texts)
def test_what_is_printed_holds_no_character_that_steers(text):
    assert is_printable(printable(text))
    printable(text).encode()


@given(texts)
def test_printing_changes_nothing_in_a_text_of_plain_characters(text):
    assert not is_printable(text) or printable(text) == text


@given(texts)
def test_the_console_shows_a_text_as_it_is_on_one_line(text):
    assert shown(text) == printable(text) + "\n"


@given(texts)
def test_cells_heads_and_titles_of_tables_are_shown_as_they_are(text):
    text = f"x{text}"  # a table leaves out what has no width at all, such as a lone combining character
    table = Table(title=text)
    table.add_column(text, no_wrap=True)
    table.add_row(text)
    lines = shown(table).split("\n")
    assert all(is_printable(line) for line in lines)
    assert sum(printable(text).strip() in line for line in lines) >= 3


def test_brackets_and_colons_in_names_are_no_markup():
    assert shown("a[v1].png [/screws] [red]x[/] :smiley:") == "a[v1].png [/screws] [red]x[/] :smiley:\n"


def test_nothing_goes_past_the_console():
    package = Path(mal.__file__).parent
    texts = {path.name: path.read_text(encoding="utf-8") for path in package.rglob("*.py")}
    assert [name for name, text in texts.items() if "from rich.text" in text] == ["console.py"]
    assert [name for name, text in texts.items() if "from rich.console" in text] == ["console.py"]
