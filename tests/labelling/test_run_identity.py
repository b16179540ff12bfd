from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mal.config.schema import ExperimentSpec
from mal.labelling.run_identity import changes, run_identity, spec_settings


def settings(**sections: dict[str, object]) -> dict[str, object]:
    return spec_settings(ExperimentSpec.model_validate(sections))


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("inference", "batch_size", 8),
        ("inference", "load_mask", True),
        ("inference", "use_flip_test", True),
        ("inference", "keep_existing_masks", True),
        ("inference", "profile", "fast"),
        ("dataset", "crop_size", 256),
        ("model", "mask_scale_ratio", 1.0),
        ("train", "mask_thres", [0.5]),
        ("train", "test_margin_rate", [0.5, 0.5]),
    ],
)
def test_a_field_that_changes_the_masks_is_named_with_both_values(section, name, value):
    before, now = settings(), settings(**{section: {name: value}})
    assert changes(before, now) == [f"{section}.{name} (it was {before[f'{section}.{name}']}, now it is {value})"]


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("inference", {"gpu_ids": [0, 1], "label_dump_path": "x.json", "ann_path": "y", "img_dir": "z"}),
        ("inference", {"num_nodes": 2, "results_dir": "/x", "checkpoint": "c"}),
        ("dataset", {"num_workers_per_gpu": 7, "train_ann_path": "x"}),
        ("train", {"lr": 1.0, "num_epochs": 100}),
        ("model", {"arch": "vit-deit-tiny/16", "num_blocks": 2}),  # the checkpoint's, whose content is compared
    ],
)
def test_who_does_the_work_and_where_does_not_matter(section, values):
    assert changes(settings(), settings(**{section: values})) == []


def identity(folder: Path, **content: bytes) -> dict[str, object]:
    for name in ("model.pth", "boxes.json"):
        (folder / name).write_bytes(content.get(name.partition(".")[0], b""))
    return run_identity(folder / "model.pth", folder / "boxes.json", folder, {})


@pytest.mark.parametrize(("name", "told"), [("model", "the checkpoint"), ("boxes", "the annotation file")])
def test_files_are_known_by_their_content(tmp_path, name, told):
    assert changes(identity(tmp_path), identity(tmp_path)) == []
    assert changes(identity(tmp_path), identity(tmp_path, **{name: b"x"})) == [f"the content of {told}"]


def test_masks_of_another_version_are_told(tmp_path, monkeypatch):
    before = identity(tmp_path)
    monkeypatch.setattr("mal.labelling.run_identity.SAME_MASKS_SINCE", "1.3")
    assert changes(before, identity(tmp_path)) == ["the version that masks are made as by (it was 0.1, now it is 1.3)"]


@given(st.data())
def test_fields_that_an_earlier_version_did_not_know_count_as_their_defaults(data):
    now = settings()
    unknown = data.draw(st.sets(st.sampled_from(sorted(now))))
    before = {name: value for name, value in now.items() if name not in unknown}
    assert changes(before, now) == []
    changed = data.draw(st.sampled_from(sorted(now)))
    assert len(changes(before, {**now, changed: "another"})) == 1
