from __future__ import annotations

import pytest

from mal.config.catalog import field_by_key
from mal.config.docs import field_tables, json_schema, spec_yaml, task_fields_help
from mal.config.fields import ALL_TASKS
from mal.config.load import load_spec
from mal.config.recipes import RECIPES
from mal.config.schema import ExperimentSpec


@pytest.mark.parametrize("task", [None, *ALL_TASKS])
def test_the_printed_spec_loads_back_to_the_defaults(task, tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text(spec_yaml(task))
    assert load_spec(path) == ExperimentSpec()


@pytest.mark.parametrize("task", [None, *ALL_TASKS])
@pytest.mark.parametrize("recipe", list(RECIPES))
def test_the_printed_spec_of_a_recipe_loads_back_to_the_recipe(recipe, task, tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text(spec_yaml(task, recipe))
    assert load_spec(path) == RECIPES[recipe].spec()


def test_a_value_of_a_recipe_names_the_default_that_it_replaces():
    assert "crop_size: 160 # default 512" in spec_yaml("train", "small-data")


def test_the_complete_spec_names_every_field_once():
    lines = [line.strip() for line in spec_yaml().splitlines()]
    for entry in field_by_key().values():
        same_name = [other for other in field_by_key().values() if other.name == entry.name]
        assert sum(line.startswith(f"{entry.name}: ") for line in lines) == len(same_name)


def test_the_spec_of_a_task_leaves_out_what_it_does_not_read():
    assert "train_ann_path" not in spec_yaml("inference")
    assert "mask_thres" in spec_yaml("inference")
    assert "trt_engine" not in spec_yaml("inference")


def test_a_required_path_says_so():
    assert "# Required. Checkpoint to evaluate" in spec_yaml("evaluate")


@pytest.mark.parametrize("task", ALL_TASKS)
@pytest.mark.parametrize("columns", [60, 100, 300])
def test_help_keeps_to_the_terminal_and_aligns_its_columns(task, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = task_fields_help(task).splitlines()
    start = max(len(key) for key, entry in field_by_key().items() if task in entry.tasks) + 4
    field_lines = [line for line in lines if line.startswith("  ")]
    assert all(line[start - 2 : start] == "  " and line[start] != " " for line in field_lines)
    if columns >= 100:
        assert max(map(len, field_lines)) <= min(columns, 120)


def test_the_tables_have_a_row_for_every_field_and_no_raw_html():
    tables = field_tables()
    assert all(f"\n| `{key}` |" in tables for key in field_by_key())
    assert "<results_dir>" not in tables


def test_fields_without_effect_have_a_table_of_their_own():
    fields, no_effect = field_tables().split("## Accepted for TAO's specs, no effect")
    for key, entry in field_by_key().items():
        assert f"\n| `{key}` |" in (fields if entry.has_effect else no_effect)
    assert {key for key, entry in field_by_key().items() if not entry.has_effect} == {
        "model_name", "dataset.type", "train.optim_type", "evaluate.trt_engine", "inference.trt_engine",
    }  # fmt: skip


def test_the_json_schema_describes_every_field_without_private_keys():
    schema = json_schema()
    assert schema["$defs"]["TrainConfig"]["properties"]["lr"]["minimum"] == 0
    assert schema["$defs"]["ModelConfig"]["properties"]["arch"]["anyOf"][0]["enum"][0] == "vit-deit-tiny/16"
    assert schema["additionalProperties"] is False
    assert "x-" not in "".join(_keys(schema))


def test_numbers_are_written_so_that_every_yaml_reader_takes_them_for_numbers():
    import yaml

    assert yaml.safe_load(spec_yaml())["train"]["optim_eps"] == 1e-8
    assert yaml.safe_load(spec_yaml())["dataset"]["max_obj_size"] == 1e10


def _keys(node) -> list[str]:
    if isinstance(node, dict):
        return [*node, *(key for value in node.values() for key in _keys(value))]
    return [key for item in node for key in _keys(item)] if isinstance(node, list) else []


def test_the_page_of_all_fields_is_up_to_date(repository):
    page = (repository / "docs" / "spec.md").read_text(encoding="utf-8")
    assert page.endswith(field_tables()), "write it anew: make spec-page"
