from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mal.bounded_yaml import BoundedLoader, load_yaml
from mal.config.load import load_spec
from mal.errors import SpecError, UserError
from mal.formats.folders import ReadOptions
from mal.formats.tally import Tally
from mal.formats.yolo_in import read_yolo

LISTS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
MAPPINGS = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{p: *a{n - 1}, q: *a{n - 1}}}\n" for n in range(1, 30))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 30))
LONG_TEXT = f"a: &a {'x' * 1_000_000}\n" + "".join(f"b{n}: *a\n" for n in range(500))
MANY_VALUES = {"lists": LISTS, "mappings": MAPPINGS, "merges": MERGES, "long text": LONG_TEXT}


@pytest.mark.parametrize("text", MANY_VALUES.values(), ids=MANY_VALUES)
def test_aliases_that_stand_for_too_many_values_are_refused(text):
    with pytest.raises(yaml.YAMLError, match="more than 300,000 values"):
        load_yaml(text)


@pytest.mark.parametrize("text", ["[" * 20_000, "\n".join(" " * n + "a:" for n in range(200))], ids=["flow", "block"])
def test_deep_nesting_is_refused(text):
    with pytest.raises(yaml.YAMLError, match="nested more than 50 levels deep"):
        load_yaml(text)


def test_nesting_through_aliases_is_refused():
    chain = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{p: *a{n - 1}}}\n" for n in range(1, 60))
    with pytest.raises(yaml.YAMLError, match="nested more than 50 levels deep"):
        load_yaml(chain)


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: *a}", "&a [[*a]]"])
def test_a_value_that_contains_itself_is_refused(text):
    with pytest.raises(yaml.YAMLError, match="a value contains itself"):
        load_yaml(text)


def test_a_long_honest_list_of_names_is_read():
    text = "names:\n" + "".join(f"  {n}: class {n}\n" for n in range(3000))
    assert len(load_yaml(text)["names"]) == 3000


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_small_documents_read_as_without_bounds(value):
    text = yaml.safe_dump(value)
    assert load_yaml(text) == yaml.safe_load(text) == value


@given(values, st.integers(1, 30))
def test_a_document_is_refused_exactly_when_it_expands_to_more_than_the_limit(value, limit):
    class SmallLoader(BoundedLoader):
        max_values = limit

    text = yaml.safe_dump({"first": [value], "again": [value, value]})
    expanded = _count({"first": [value], "again": [value, value]})
    if expanded > limit:
        with pytest.raises(yaml.YAMLError, match="values"):
            yaml.load(text, SmallLoader)
    else:
        yaml.load(text, SmallLoader)


def _count(value) -> int:
    if isinstance(value, dict):
        return 1 + sum(1 + _count(inner) for inner in value.values())
    return 1 + sum(map(_count, value)) if isinstance(value, list) else 1


@pytest.mark.parametrize("text", MANY_VALUES.values(), ids=MANY_VALUES)
def test_a_spec_that_is_an_alias_bomb_is_one_line_with_its_place(tmp_path, text):
    (tmp_path / "spec.yaml").write_text(text)
    with pytest.raises(
        SpecError, match=r"spec\.yaml:\d+: not valid YAML: it stands for more than 10,000 values"
    ) as one:
        load_spec(tmp_path / "spec.yaml")
    assert len(one.value.problems) == 1


def test_an_override_that_is_nested_deep_is_a_problem_of_the_override(tmp_path):
    with pytest.raises(SpecError, match=r"^override train\.gpu_ids=\[+: not a valid value"):
        load_spec(None, ["train.gpu_ids=" + "[" * 300])


@pytest.mark.parametrize("text", MANY_VALUES.values(), ids=MANY_VALUES)
def test_a_yolo_data_set_that_is_an_alias_bomb_is_one_line_with_its_file(tmp_path, text):
    (tmp_path / "dataset.yaml").write_text(text + "names: [a]\n")
    with pytest.raises(UserError, match=r"dataset\.yaml cannot be read as YAML: it stands for more than 300,000"):
        read_yolo(tmp_path / "dataset.yaml", ReadOptions(), Tally())
