from __future__ import annotations

import pytest

from mal.data.image_table import ImageRecord, ImageTable

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
