"""Tables for spreadsheets: no name in them is run as a formula, and every name comes back."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mal.data.csv_out import text_of_cell, write_csv
from mal.formats.csv_boxes import read_csv
from mal.formats.options import ReadOptions
from mal.formats.tally import Tally

FORMULA_STARTS = tuple("=+-@\t\r\n\uff0b\uff0d\uff1d\uff20")
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0") | st.sampled_from("'=+-@\t\r\n,;\""))


def cells_of(*rows) -> list[list[str]]:
    with tempfile.TemporaryDirectory() as folder:
        write_csv(("name",), rows, Path(folder, "t.csv"))
        with Path(folder, "t.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.reader(file))[1:]


@given(names)
def test_every_text_comes_back_and_none_begins_as_a_formula(name):
    ((cell,),) = cells_of((f"{name}x",))
    assert not cell.startswith(FORMULA_STARTS)
    assert text_of_cell(cell) == f"{name}x"


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1+1", "@SUM(1)", "-2+3", "\t=1", "'=1", "-"])
def test_a_formula_is_kept_a_text_by_an_apostrophe(name):
    assert cells_of((name,)) == [[f"'{name}"]]


@pytest.mark.parametrize("name", ["a=b", "'tis", "3-4", " =1", ""])
def test_other_texts_stay_as_they_are(name):
    assert cells_of((name, "x")) == [[name, "x"]]


@pytest.mark.parametrize(
    ("value", "cell"), [(-0.5, "-0.5"), (-3, "-3"), ("-3", "-3"), ("+1.5e-3", "+1.5e-3"), (None, "")]
)
def test_numbers_stay_numbers(value, cell):
    assert cells_of((value, "x")) == [[cell, "x"]]


def test_a_table_of_boxes_gives_the_names_back(tmp_path):
    row = ("-a.png", "=nut", 1, 2, 3, 4)
    write_csv(("file_name", "category", "x", "y", "w", "h"), [row], tmp_path / "boxes.csv")
    coco, _ = read_csv(tmp_path / "boxes.csv", ReadOptions(), Tally())
    assert [image.file_name for image in coco.images.values()] == ["-a.png"]
    assert list(coco.categories.values()) == ["=nut"]
