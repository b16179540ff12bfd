from __future__ import annotations

import io
import json

from hypothesis import given
from hypothesis import strategies as st

from mal.data.json_out import dumps, write_object

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES, max_size=4), st.dictionaries(st.text(), st.lists(VALUES), max_size=3))
def test_a_streamed_object_is_read_as_what_was_written_with_a_line_for_each_record(values, lists):
    file = io.BytesIO()
    items = [(key, dumps(value)) for key, value in values.items() if key not in lists]
    write_object(file, [*items, *((key, map(dumps, records)) for key, records in lists.items())])
    assert json.loads(file.getvalue()) == values | lists
    assert file.getvalue().count(b"\n") == max(len(items) + len(lists), 1) + sum(map(len, lists.values()))
