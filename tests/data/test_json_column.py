from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mal.data.json_column import JsonColumn

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
