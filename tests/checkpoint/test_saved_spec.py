from __future__ import annotations

from pathlib import Path

import pytest

from mal.checkpoint.saved_spec import require_same_model, saved_spec, spec_from_saved, spec_to_share
from mal.errors import UserError
from tests.small_networks import small_spec

PATH = Path("model.pth")


def test_a_spec_survives_the_way_through_a_checkpoint():
    spec = small_spec(train={"lr": 0.5}, dataset={"crop_size": 64})
    read = spec_from_saved(saved_spec(spec, "conv"), PATH)
    assert (read.train.lr, read.dataset.crop_size, read.model.stem) == (0.5, 64, "conv")


def test_secrets_do_not_travel_in_checkpoints():
    spec = small_spec().model_copy(update={"encryption_key": "secret"})
    assert "secret" not in str(saved_spec(spec, "patch"))


def test_a_spec_that_is_handed_on_names_no_file_of_the_training():
    spec = small_spec(
        results_dir="/home/me/runs",
        dataset={"train_ann_path": "/home/me/boxes.json", "train_img_dir": "/home/me/photos", "crop_size": 64},
        train={"pretrained_model_path": "/home/me/net.pth"},
        evaluate={"checkpoint": "/home/me/net.pth"},
    )
    values = spec_to_share(spec, "conv")
    assert "/home/me" not in str(values)
    assert spec_from_saved(values, PATH).dataset.crop_size == 64
    assert "/home/me" in str(saved_spec(spec, "conv"))  # by which a run goes on


def test_a_file_without_a_spec_is_named():
    with pytest.raises(UserError, match=r"model\.pth: holds weights, but not the spec"):
        spec_from_saved({}, PATH)


def test_a_spec_of_another_version_is_named_with_its_key():
    with pytest.raises(UserError, match=r"model\.pth: .*train\.new_field"):
        spec_from_saved({"train": {"new_field": 1}}, PATH)


@pytest.mark.parametrize(("key", "value"), [("num_blocks", 2), ("mask_head_num_convs", 3), ("frozen_stages", [0])])
def test_another_network_is_named_with_both_values(key, value):
    saved, current = (saved_spec(small_spec(model=model), "patch") for model in ({key: value}, {}))
    with pytest.raises(UserError, match=f"model.{key}: .* now, .* in the checkpoint to resume from"):
        require_same_model(saved, current)


def test_a_run_from_before_the_choice_of_decoders_had_the_paper_s():
    saved, current = (saved_spec(small_spec(model={"decoder": decoder}), "patch") for decoder in ("mal", "fpn"))
    del saved["model"]["decoder"]
    with pytest.raises(UserError, match=r"model\.decoder: fpn now, mal in the checkpoint"):
        require_same_model(saved, current)
    require_same_model(saved, saved_spec(small_spec(), "patch"))


@pytest.mark.parametrize(("held", "now"), [(None, 0.2), (1.0, 0.2), (0.2, 1.0)])
def test_a_run_cannot_change_between_one_learning_rate_and_two(held, now):
    saved, current = (saved_spec(small_spec(train={"backbone_lr_rate": rate}), "patch") for rate in (held or 1.0, now))
    if held is None:
        del saved["train"]["backbone_lr_rate"]
    with pytest.raises(UserError, match=rf"train\.backbone_lr_rate: {now:g} now, {held or 1:g} in the checkpoint"):
        require_same_model(saved, current)


def test_two_learning_rates_may_change_to_two_others():
    require_same_model(*(saved_spec(small_spec(train={"backbone_lr_rate": rate}), "patch") for rate in (0.2, 0.5)))


def test_what_does_not_change_the_network_may_change():
    saved, current = (saved_spec(small_spec(model={"teacher_momentum": m}), "patch") for m in (0.9, 0.5))
    require_same_model(saved, current)
    require_same_model({}, current)
