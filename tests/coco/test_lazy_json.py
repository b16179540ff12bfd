from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mal.coco.lazy_json import DoubledKeyError, loads

LONG = 2**90 + 1


@pytest.mark.parametrize(
    ("text", "value", "strict"),
    [
        ('{"a": [1, 2.5, "NaN"]}', {"a": [1, 2.5, "NaN"]}, True),
        (f'{{"id": {LONG}}}', {"id": LONG}, True),
        (f"[{LONG}, 1e5]", [LONG, 1e5], True),
        ('["\\ud800"]', ["\ud800"], True),
        ("[Infinity, -Infinity]", [math.inf, -math.inf], False),
        ("[1e999]", [math.inf], False),
        (f"[{LONG}, Infinity]", [LONG, math.inf], False),
        (f"[{LONG}, -1e999]", [LONG, -math.inf], False),
    ],
)
def test_a_text_is_strict_json_unless_a_number_in_it_is_not_finite(text, value, strict):
    assert loads(text.encode()) == (value, strict)


def test_nan_beside_a_long_integer_is_not_strict():
    (number, nan), strict = loads(f"[{LONG}, NaN]".encode())
    assert (number, math.isnan(nan), strict) == (LONG, True, False)


class Pairs(list):
    """An object as its pairs, which may have a key twice."""


keys = st.sampled_from(["id", "a:b", '":', "\\", "{", " :"])
values = st.recursive(
    st.none() | st.integers(-9, 9) | st.text(alphabet='":{ \\a', max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(keys, inner), max_size=3).map(Pairs),
    max_leaves=9,
)


def written(value, colon: str) -> str:
    if isinstance(value, Pairs):
        return "{" + ", ".join(f"{json.dumps(key)}{colon}{written(item, colon)}" for key, item in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(written(item, colon) for item in value) + "]"
    return json.dumps(value)


def has_doubled_key(value) -> bool:
    if isinstance(value, Pairs):
        return len({key for key, _ in value}) < len(value) or any(has_doubled_key(item) for _, item in value)
    return isinstance(value, list) and any(map(has_doubled_key, value))


@given(value=values, colon=st.sampled_from([":", ": ", " :", "\t: ", "\n:"]))
def test_a_text_is_refused_exactly_where_an_object_has_a_key_twice(value, colon):
    text = written(value, colon).encode()
    if has_doubled_key(value):
        with pytest.raises(DoubledKeyError, match="is twice in"):
            loads(text)
    else:
        assert loads(text) == (json.loads(text), True)


@pytest.mark.parametrize("number", ["NaN", str(LONG)])
def test_a_doubled_key_is_found_whichever_parser_reads_the_numbers(number):
    with pytest.raises(DoubledKeyError, match='"a" is twice in the record with id 3'):
        loads(f'[{{"id": 3, "a": 1, "a": {number}}}]'.encode())


def test_an_object_in_a_list_that_begins_with_a_number_is_looked_at_too():
    with pytest.raises(DoubledKeyError, match='"a" is twice'):
        loads(b'{"id": 1, "list": [0, {"a": 1, "a": 2}]}')
