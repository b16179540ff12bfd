from __future__ import annotations

import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mal.config.catalog import field_by_key, section_keys
from mal.config.problems import did_you_mean, nearest_keys

LETTERS = string.ascii_lowercase + string.digits + "_."


@st.composite
def keys_with_one_edit(draw: st.DrawFn) -> tuple[str, str]:
    key = draw(st.sampled_from(sorted(field_by_key())))
    position = draw(st.integers(0, len(key) - 1))
    letter = draw(st.sampled_from(LETTERS))
    rest = draw(st.sampled_from([key[position:], key[position + 1 :]]))  # insert or replace
    is_removal = draw(st.booleans())
    return key, key[:position] + key[position + 1 :] if is_removal else key[:position] + letter + rest


@given(keys_with_one_edit())
def test_a_known_key_with_one_edit_is_suggested_back(pair):
    key, edited = pair
    assume(edited not in field_by_key())
    assert key in nearest_keys(edited)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("lr", ["train.lr"]),
        ("model.lr", ["train.lr"]),
        ("crop_size", ["dataset.crop_size"]),
        ("train.learning_rate", ["train.lr"]),
        ("weight_decay", ["train.wd"]),
        ("backbone", ["model.arch"]),
        ("batch_size", ["train.batch_size", "evaluate.batch_size", "inference.batch_size"]),
        ("train.cudnn.benchmrk", ["train.cudnn.benchmark"]),
        ("train.lr.x", ["train.lr"]),
        ("train.foo", []),
        ("xyzzy", []),
    ],
)
def test_keys_in_the_wrong_section_and_other_names_are_found(key, nearest):
    assert nearest_keys(key) == nearest


def test_every_real_key_is_its_own_nearest():
    for key in (*field_by_key(), *section_keys()):
        assert nearest_keys(key)[0] == key


def test_several_equally_near_keys_are_all_named():
    assert did_you_mean("load_mask") == "; did you mean dataset.load_mask or inference.load_mask?"
