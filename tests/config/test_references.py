from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mal.checkpoint.saved_spec import saved_spec, spec_from_saved
from mal.config.catalog import spec_fields
from mal.config.load import load_spec, save_spec, stored_values
from mal.config.references import with_environment
from mal.errors import SpecError
from mal.labeling.run import spec_settings

SECRET = "hunter2"


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("MAL_DATA", f"/{SECRET}/data")
    monkeypatch.setenv("MAL_NUMBER", "0.25")
    monkeypatch.setenv("MAL_ENCRYPTION_KEY", SECRET)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


def problems(*overrides: str) -> str:
    with pytest.raises(SpecError) as caught:
        load_spec(None, overrides)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_a_field_may_refer_to_another():
    spec = load_spec(None, ["results_dir=/r", "train.results_dir=${results_dir}/t", "model_name=${.results_dir}"])
    assert (spec.train.results_dir, spec.model_name) == ("/r/t", "/r")


@pytest.mark.parametrize(
    "text",
    [
        "${encryption_key}",
        "a ${encryption_key} b",
        "${ encryption_key }",
        "${.encryption_key}",
        "${..encryption_key}",
        "${[encryption_key]}",
        "${oc.env:MAL_ENCRYPTION_KEY}",
    ],
)
@pytest.mark.parametrize("form", ["model_name={}", "wandb.name={}", "train.lr='{}'", "wandb.tags=['{}']"])
def test_the_key_comes_into_no_other_field(form, text):
    assert "kept out of all other fields" in problems(f"encryption_key={SECRET}", form.format(text))


@pytest.mark.parametrize(
    "text",
    [
        "${oc.select:encryption_key}",
        "${oc.decode:${encryption_key}}",
        "${oc.create:{a: 1}}",
        "${oc.dict.values:train}",
        "${oc.env:MAL_DATA,${encryption_key}}",
        "${oc.deprecated:encryption_key}",
        "${${model_name}}",
        "${oc.env:HOME}",
        "${oc.env:AWS_SECRET_ACCESS_KEY}",
        "${ oc.env : AWS_SECRET_ACCESS_KEY }",
        "${oc.env:${oc.env:MAL_DATA}}",
    ],
)
def test_nothing_else_of_the_reference_language_is_read(text):
    found = problems(f"encryption_key={SECRET}", f"model_name={text}")
    assert "model_name" in found


def test_a_variable_that_is_meant_for_mal_is_read():
    assert load_spec(None, ["dataset.val_img_dir=${oc.env:MAL_DATA}/val"]).dataset.val_img_dir == f"/{SECRET}/data/val"
    assert load_spec(None, ["encryption_key=${oc.env:MAL_ENCRYPTION_KEY}"]).encryption_key == SECRET
    assert load_spec(None, ["model_name=${oc.env:MAL_NOT_THERE,none}"]).model_name == "none"


def test_what_came_from_the_environment_is_stored_as_its_reference_everywhere(tmp_path):
    written = {"dataset.val_img_dir": "${oc.env:MAL_DATA}/val", "results_dir": "${dataset.val_img_dir}"}
    spec = load_spec(None, [f"{key}={text}" for key, text in written.items()] + ["wandb.tags=['${oc.env:MAL_DATA}']"])
    assert spec.results_dir == f"/{SECRET}/data/val"
    save_spec(spec, tmp_path / "spec.yaml")
    in_checkpoint = saved_spec(spec, None)
    for text in ((tmp_path / "spec.yaml").read_text(), str(in_checkpoint), str(spec_settings(spec))):
        assert SECRET not in text
    saved = yaml.safe_load((tmp_path / "spec.yaml").read_text())
    assert (saved["dataset"]["val_img_dir"], saved["results_dir"]) == tuple(written.values())
    assert load_spec(tmp_path / "spec.yaml") == spec
    assert spec_from_saved(in_checkpoint, tmp_path).dataset.val_img_dir == "${oc.env:MAL_DATA}/val"


CHOICES = [entry for entry in spec_fields() if {"enum", "const"} & entry.rule.keys() and entry.section != "model"]


@pytest.mark.parametrize("entry", CHOICES, ids=lambda entry: entry.key)
def test_a_checkpoint_holds_choices_from_the_environment_themselves(entry, tmp_path, monkeypatch):
    choices = entry.rule.get("enum") or [entry.rule["const"]]
    choice = choices[0] if entry.default is None else entry.default
    monkeypatch.setenv("MAL_CHOICE", str(choice))
    spec = load_spec(None, [f"{entry.key}=${{oc.env:MAL_CHOICE}}"])
    assert spec_from_saved(saved_spec(spec, None), tmp_path).model_dump() == spec.model_dump()


def test_a_checkpoint_holds_a_threshold_from_the_environment_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("MAL_CHOICE", "box_fit")
    spec = load_spec(None, ["train.mask_thres='${oc.env:MAL_CHOICE}'"])
    assert spec_from_saved(saved_spec(spec, None), tmp_path).train.mask_thres == "box_fit"


def test_a_value_that_a_task_has_changed_is_stored_as_it_is():
    spec = load_spec(None, ["results_dir=${oc.env:MAL_DATA}"])
    spec.results_dir = "/another"
    assert stored_values(spec, is_stored=lambda key, value: True)["results_dir"] == "/another"


@pytest.mark.parametrize("form", ["train.lr='{}'", "train.gpu_ids='{}'", "train.gpu_ids=['{}']", "strategy={}"])
def test_a_value_from_the_environment_is_not_shown_where_it_does_not_fit(form):
    assert "${oc.env:MAL_DATA}" in problems(form.format("${oc.env:MAL_DATA}"))


def test_a_saved_reference_is_read_again_where_it_may_be():
    assert with_environment("${oc.env:MAL_DATA}/x") == f"/{SECRET}/data/x"
    for text in ("${oc.env:MAL_ENCRYPTION_KEY}", "${oc.env:AWS_SECRET_ACCESS_KEY}", "${oc.env:MAL_NOT_THERE}", "plain"):
        assert with_environment(text) == text


FORBIDDEN = ("${encryption_key}", "${oc.env:AWS_SECRET_ACCESS_KEY}", "${oc.env:MAL_ENCRYPTION_KEY}", "${oc.select:x}")
ALLOWED = ("${results_dir}", "${model_name}", "${wandb.name}", "${oc.env:MAL_DATA}", "x", "$", "{", "}", "\\", "${")
REFERENCES = st.sampled_from([*FORBIDDEN, *ALLOWED])
TEXTS = st.lists(REFERENCES, min_size=1, max_size=3).map("".join)


@given(TEXTS, TEXTS, TEXTS)
def test_no_text_brings_a_secret_into_a_file_or_a_message(one, two, three):
    overrides = [f"encryption_key={SECRET}", f"model_name={one}", f"results_dir={two}", f"wandb.name={three}"]
    try:
        spec = load_spec(None, overrides)
    except SpecError as error:
        said = str(error)
        spec = load_spec(None)
    else:
        said = ""
    assert SECRET not in said
    assert SECRET not in str(stored_values(spec, is_stored=lambda key, value: True))
    assert SECRET not in str(saved_spec(spec, None))


def test_a_path_that_may_not_be_read_is_one_problem(tmp_path):
    (tmp_path / "model.pth").touch()
    overrides = [
        f"inference.checkpoint={tmp_path}/model.pth",
        f"inference.img_dir={tmp_path}",
        f"results_dir={tmp_path}",
    ]
    with pytest.raises(SpecError) as caught:
        load_spec(None, [*overrides, "inference.ann_path=http://x/${oc.env:AWS_SECRET_ACCESS_KEY}"], task="inference")
    assert len(caught.value.problems) == 1


def test_paths_from_the_environment_are_not_shown_where_they_are_missing(monkeypatch, tmp_path):
    (tmp_path / SECRET).touch()
    monkeypatch.setenv("MAL_FILE", str(tmp_path / SECRET))
    with pytest.raises(SpecError) as caught:
        load_spec(None, ["inference.ann_path=${oc.env:MAL_DATA}", "results_dir=${oc.env:MAL_FILE}"], task="inference")
    assert SECRET not in str(caught.value)
    assert "results_dir=${oc.env:MAL_FILE}: ${oc.env:MAL_FILE} cannot be a folder" in str(caught.value)
