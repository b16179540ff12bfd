from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mal.coco.tables import ImageRecord, ImageTable, JsonColumn

RECORDS = [
    ImageRecord(id=7, file_name="a.jpg", width=30, height=20, position=0),
    ImageRecord(id="x", file_name="ü/№.png", width=0, height=0, position=2),
    ImageRecord(id=2**80, file_name="c.jpg", width=2**31 - 1, height=1, position=5),
]


def test_records_come_out_as_they_went_in_by_id_and_by_row():
    table = ImageTable(RECORDS)
    assert dict(table) == {record.id: record for record in RECORDS}
    assert [table.at(row) for row in range(len(table))] == RECORDS


def test_the_row_of_an_id_that_is_not_there_is_minus_one():
    table = ImageTable(RECORDS)
    assert [table.row(image_id) for image_id in (7, "x", 7.0, "7", 8)] == [0, 1, 0, -1, -1]
    assert "7" not in table
    with pytest.raises(KeyError):
        table["7"]


def test_a_size_can_be_filled_in():
    table = ImageTable(RECORDS)
    table.set_size("x", 640, 480)
    assert (table["x"].width, table["x"].height) == (640, 480)
    assert table[7] == RECORDS[0]


values = st.integers() | st.floats(allow_nan=False) | st.text() | st.none() | st.booleans() | st.lists(st.integers())


@given(st.lists(values))
def test_values_come_out_as_they_went_in(content):
    column = JsonColumn()
    for value in content:
        column.append(value)
    assert [(type(column[row]), column[row]) for row in range(len(column))] == [
        (type(value), value) for value in content
    ]


def test_what_is_no_64_bit_integer_is_told_apart():
    column = JsonColumn()
    for value in (5, True, 2**63, -(2**63), "5"):
        column.append(value)
    assert column.others == {1: True, 2: 2**63, 4: "5"}
    assert column.integers.tolist() == [5, 0, 0, -(2**63), 0]
