from __future__ import annotations

import math

import pytest

from mal.data.json_in import loads

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
