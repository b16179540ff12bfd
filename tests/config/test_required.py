from __future__ import annotations

from pathlib import Path

import pytest

from mal.config.load import load_spec
from mal.errors import SpecError


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "images").mkdir()
    for name in ("ann.json", "model.pth"):
        (tmp_path / name).write_text("{}")
    return {
        "ann": str(tmp_path / "ann.json"),
        "images": str(tmp_path / "images"),
        "model": str(tmp_path / "model.pth"),
        "results": str(tmp_path / "out"),
    }


def problems_of(task: str, *overrides: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load_spec(None, overrides, task=task)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("task", "keys"),
    [
        ("train", ["dataset.train_ann_path", "dataset.train_img_dir"]),
        ("evaluate", ["evaluate.checkpoint", "dataset.val_ann_path", "dataset.val_img_dir"]),
        ("inference", ["inference.checkpoint", "inference.ann_path", "inference.img_dir"]),
    ],
)
def test_every_path_that_a_task_needs_is_asked_for(task, keys, paths):
    noun = {"train": "training", "evaluate": "evaluation", "inference": "inference"}[task]
    found = problems_of(task, f"results_dir={paths['results']}")
    assert found == [f"spec: {key}: must be given for {noun}" for key in keys]


def test_a_task_with_its_paths_loads(paths):
    base = [f"results_dir={paths['results']}"]
    train = [f"dataset.train_ann_path={paths['ann']}", f"dataset.train_img_dir={paths['images']}"]
    evaluate = [f"dataset.val_ann_path={paths['ann']}", f"dataset.val_img_dir={paths['images']}"]
    load_spec(None, base + train, task="train")
    load_spec(None, base + train + evaluate, task="train")
    load_spec(None, [*base, *evaluate, f"evaluate.checkpoint={paths['model']}"], task="evaluate")


def test_paths_that_do_not_exist_are_told_with_the_other_problems(paths):
    found = problems_of(
        "inference",
        "inference.checkpoint=/no.pth",
        f"inference.ann_path={paths['images']}",
        f"inference.img_dir={paths['ann']}",
        f"results_dir={paths['results']}",
        "inference.batch_size=0",
    )
    assert found == [
        "override inference.checkpoint=/no.pth: no such file: /no.pth",
        f"override inference.ann_path={paths['images']}: {paths['images']} is a folder; must be a file",
        f"override inference.img_dir={paths['ann']}: {paths['ann']} is a file; must be a folder",
        "override inference.batch_size=0: 0 is too small; must be at least 1",
    ]


@pytest.mark.parametrize(("given", "absent"), [("val_ann_path", "val_img_dir"), ("val_img_dir", "val_ann_path")])
def test_training_takes_both_validation_paths_or_neither(given, absent, paths):
    found = problems_of(
        "train",
        f"results_dir={paths['results']}",
        f"dataset.train_ann_path={paths['ann']}",
        f"dataset.train_img_dir={paths['images']}",
        f"dataset.{given}={paths['ann' if given == 'val_ann_path' else 'images']}",
    )
    assert found == [f"spec: dataset.{absent}: must be given together with dataset.{given}, or neither"]


@pytest.mark.parametrize("key", ["train.resume_training_checkpoint_path", "train.pretrained_model_path"])
def test_a_checkpoint_to_start_from_must_exist(key, paths):
    found = problems_of(
        "train",
        f"results_dir={paths['results']}",
        f"dataset.train_ann_path={paths['ann']}",
        f"dataset.train_img_dir={paths['images']}",
        f"{key}=/no.pth",
    )
    assert found == [f"override {key}=/no.pth: no such file: /no.pth"]


def test_a_results_folder_under_a_file_is_refused(paths):
    found = problems_of(
        "train",
        f"results_dir={paths['ann']}/deeper",
        f"dataset.train_ann_path={paths['ann']}",
        f"dataset.train_img_dir={paths['images']}",
    )
    assert len(found) == 1
    assert found[0].endswith(f"cannot be a folder: {paths['ann']} is a file")


def test_a_section_written_as_a_value_is_told_once(tmp_path, paths):
    spec_file = tmp_path / "spec.yaml"
    spec_file.write_text(f"results_dir: {paths['results']}\ndataset: 5\n")
    with pytest.raises(SpecError) as caught:
        load_spec(spec_file, task="train")
    assert len(caught.value.problems) == 1


def test_an_annotation_file_may_be_a_url_which_is_not_looked_at_yet(tmp_path):
    spec = tmp_path / "spec.yaml"
    (tmp_path / "a.pth").touch()
    spec.write_text(
        f"results_dir: {tmp_path}\n"
        f"inference: {{checkpoint: {tmp_path}/a.pth, ann_path: 's3://b/a.json', img_dir: 's3://b/images'}}\n"
    )
    assert load_spec(spec, task="inference").inference.ann_path == "s3://b/a.json"
