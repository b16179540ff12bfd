from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mal.config.architectures import ARCHITECTURES
from mal.config.catalog import field_by_key
from mal.config.fields import DeviceSection
from mal.config.schema import ExperimentSpec, label_dump_file, resolve_encryption_key, task_results_dir
from tests.conformance.extract import GOLDEN

# Where ours differ from TAO's schema, and why.
DELIBERATE_DEFAULTS = {
    "dataset.train_ann_path": None,  # no path is better than one that nobody has
    "dataset.train_img_dir": None,
    "dataset.val_ann_path": None,
    "dataset.val_img_dir": None,
    "inference.ann_path": None,
    "inference.img_dir": None,
    "inference.checkpoint": None,
    "evaluate.checkpoint": None,
    "train.batch_size": 4,  # the page gives none
    "evaluate.batch_size": 4,
    "inference.batch_size": 4,
    "train.lr": 1.5e-6,  # the page's own value
    "train.optim_betas": None,  # optim_momentum, which TAO never reads, is the first one
}
OWN_FIELDS = {
    "compat",
    "model.activation_checkpoint",
    "dataset.border",
    "dataset.exif",
    "dataset.gray_range",
    "dataset.masks_ann_path",
    "dataset.max_megapixels",
    "dataset.train_ann_format",
    "dataset.val_ann_format",
    "model.stem",
    "model.num_blocks",
    "model.pretrained",
    "evaluate.profile",
    "evaluate.refine",
    "evaluate.report",
    "evaluate.use_crf_test",
    "inference.ann_format",
    "inference.engine",
    "inference.keep_existing_masks",
    "inference.min_score",
    "inference.profile",
    "inference.ray_actors",
    "inference.refine",
    "inference.report",
    "inference.score",
    "inference.shards_url",
    "inference.use_crf_test",
    "inference.use_flip_test",
    "inference.use_mixed_model_test",
    "inference.use_teacher_test",
    "masks.allow_outside",
    "masks.fill_holes",
    "masks.min_part",
    "masks.no_overlap",
    "masks.within_box",
    "mlflow.enable",
    "mlflow.experiment_name",
    "mlflow.run_name",
    "mlflow.tracking_uri",
    "train.checkpoint_every_n_minutes",
    "train.clip_grad_norm",
    "train.keep_best",
    "train.keep_last_n",
    "train.max_minutes",
    "train.on_bad_loss",
    "model.batch_norm",
    "model.decoder",
    "model.teacher_warmup",
    "train.backbone_lr_rate",
    "train.box_dropout",
    "train.box_jitter",
    "train.ellipse_epochs",
    "train.ellipse_share",
    "train.min_steps",
    "train.target",
    "train.target_softness",
    "train.true_mask_share",
}


@pytest.fixture(scope="module")
def tao_fields() -> dict[str, dict]:
    document = json.loads((GOLDEN / "config_schema.json").read_text())
    return {field["field"]: field for field in document["fields"]}


def test_every_field_of_tao_is_there_and_no_unlisted_one(tao_fields):
    assert set(field_by_key()) == set(tao_fields) | OWN_FIELDS


def test_every_default_is_taos_apart_from_the_listed_ones(tao_fields):
    ours = {key: field_by_key()[key].default for key in tao_fields}
    expected = {key: field["default"] for key, field in tao_fields.items()} | DELIBERATE_DEFAULTS
    assert ours == expected


def test_every_type_is_taos(tao_fields):
    names = {"string": {"text", "path"}, "int": {"whole number"}, "float": {"number"}, "bool": {"true or false"}}
    lists = {"string": {"list of texts"}, "int": {"list of whole numbers"}, "float": {"list of numbers"}}
    for key, field in tao_fields.items():
        kind = field["type"].removesuffix(" or null")
        expected = lists[kind.split()[2]] if kind.startswith("list of") else names[kind]
        assert field_by_key()[key].type_text.removesuffix(" or null") in expected, key


def test_the_architectures_are_taos(tao_fields):
    assert list(ARCHITECTURES) == tao_fields["model.arch"]["options"]


def test_every_field_says_what_it_does():
    assert [key for key, entry in field_by_key().items() if len(entry.description) < 8] == []


@pytest.mark.parametrize(
    ("num_gpus", "gpu_ids", "agreed"),
    [
        (1, [0], [0]),
        (1, [0, 1], [0, 1]),
        (4, [0], [0, 1, 2, 3]),
        (3, [2], [2, 0, 1]),
        (2, [3, 1], [3, 1]),
    ],
)
def test_disagreeing_gpu_settings_follow_the_larger_number(num_gpus, gpu_ids, agreed):
    section = DeviceSection(num_gpus=num_gpus, gpu_ids=gpu_ids)
    assert (section.num_gpus, section.gpu_ids) == (len(agreed), agreed)


@given(num_gpus=st.integers(1, 12), gpu_ids=st.lists(st.integers(0, 15), min_size=1, max_size=8, unique=True))
def test_agreed_gpus_are_distinct_and_keep_the_named_ones_first(num_gpus, gpu_ids):
    section = DeviceSection(num_gpus=num_gpus, gpu_ids=gpu_ids)
    assert section.num_gpus == len(section.gpu_ids) == len(set(section.gpu_ids)) == max(num_gpus, len(gpu_ids))
    assert section.gpu_ids[: len(gpu_ids)] == gpu_ids


def test_a_task_has_its_own_folder_unless_it_names_one():
    spec = ExperimentSpec(results_dir="/r", evaluate={"results_dir": "/elsewhere"})
    assert task_results_dir(spec, "train") == Path("/r/train")
    assert task_results_dir(spec, "evaluate") == Path("/elsewhere")


@pytest.mark.parametrize(
    ("label_dump_path", "expected"),
    [
        ("out.json", "/r/inference/out.json"),
        ("/abs/out.json", "/abs/out.json"),
        ("", "/r/inference/instances_val2017_mal.json"),
    ],
)
def test_a_relative_label_file_lies_in_the_results_folder(label_dump_path, expected):
    spec = ExperimentSpec(results_dir="/r", inference={"label_dump_path": label_dump_path})
    assert label_dump_file(spec) == Path(expected)


def test_an_empty_path_counts_as_not_given():
    spec = ExperimentSpec(results_dir="", encryption_key="", train={"results_dir": "", "pretrained_model_path": ""})
    assert spec.results_dir == "/results"
    assert spec.encryption_key is None
    assert spec.train.results_dir is None
    assert spec.train.pretrained_model_path is None


def test_a_path_may_start_at_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    assert ExperimentSpec(results_dir="~/runs").results_dir == "/home/ann/runs"


def test_a_path_object_is_a_path():
    assert ExperimentSpec(dataset={"train_img_dir": Path("/photos")}).dataset.train_img_dir == "/photos"


def test_the_momentum_is_the_first_beta_where_no_betas_are_given():
    assert ExperimentSpec(train={"optim_momentum": 0.8}).train.betas == (0.8, 0.9)
    assert ExperimentSpec(train={"optim_betas": [0.5, 0.99]}).train.betas == (0.5, 0.99)


def test_intervals_longer_than_the_training_are_allowed():
    spec = ExperimentSpec(train={"num_epochs": 2, "checkpoint_interval": 5, "validation_interval": 5})
    assert spec.train.checkpoint_interval == 5


def test_whole_numbers_are_numbers_but_truth_values_are_not():
    assert ExperimentSpec(train={"loss_mil_weight": 4}).train.loss_mil_weight == 4.0
    with pytest.raises(ValidationError):
        ExperimentSpec(train={"loss_mil_weight": True})


def test_the_encryption_key_is_not_shown():
    assert "hunter2" not in repr(ExperimentSpec(encryption_key="hunter2"))


@pytest.mark.parametrize(
    ("in_spec", "in_environment", "key"),
    [("a", "b", "a"), ("a", None, "a"), (None, "b", "b"), ("", "b", "b"), (None, "", None), (None, None, None)],
)
def test_the_key_of_the_spec_goes_before_that_of_the_environment(monkeypatch, in_spec, in_environment, key):
    monkeypatch.delenv("MAL_ENCRYPTION_KEY", raising=False)
    if in_environment is not None:
        monkeypatch.setenv("MAL_ENCRYPTION_KEY", in_environment)
    assert resolve_encryption_key(ExperimentSpec(encryption_key=in_spec)) == key


def test_without_a_spec_the_environment_tells_the_key(monkeypatch):
    monkeypatch.setenv("MAL_ENCRYPTION_KEY", "b")
    assert resolve_encryption_key() == "b"
