"""The recipe of `mal auto`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mal.auto.recipe import MAX_EPOCHS, SHARE_OF_TIME, epochs_in, training_spec
from mal.config.recipes import RECIPES
from mal.config.schema import ExperimentSpec


@given(minutes=st.floats(0.01, 1000), step=st.floats(1e-3, 100), steps=st.integers(1, 10_000))
def test_the_epochs_fit_into_the_time_or_there_is_one(minutes, step, steps):
    found = epochs_in(minutes, seconds_per_step=step, steps_per_epoch=steps)
    assert 1 <= found <= MAX_EPOCHS
    assert found == 1 or found * step * steps <= 60 * minutes * SHARE_OF_TIME + 1e-6


def spec_of_training(**changes: Any) -> ExperimentSpec:
    values = {"settings": {}, "decoder": "fpn", "crop_size": 160, "num_epochs": 3, "minutes": 5, "reading": {}}
    paths = {"boxes": Path("boxes.json"), "images": "photos", "checkpoint": Path("net.pth"), "results": Path("out")}
    return training_spec(**(values | paths | changes))


def test_the_spec_trains_from_the_checkpoint_with_its_own_settings():
    settings, reading = {"train.mask_thres": [0.3]}, {"dataset.exif": "upright"}
    spec = spec_of_training(settings=settings, decoder="mal", crop_size=96, reading=reading)
    assert (spec.dataset.crop_size, spec.train.mask_thres, spec.train.max_minutes) == (96, [0.3], 5)
    assert (spec.train.pretrained_model_path, spec.train.num_epochs, spec.dataset.exif) == ("net.pth", 3, "upright")


def test_the_starter_is_trained_by_the_recipe_that_was_measured_but_for_the_length_of_the_run():
    spec, recipe = spec_of_training(num_epochs=7), RECIPES["from-starter"].spec()
    differ = {name for name, value in recipe.train if getattr(spec.train, name) != value}
    assert differ == {
        *("num_epochs", "min_steps", "max_minutes", "pretrained_model_path"),
        *("checkpoint_interval", "checkpoint_every_n_minutes", "keep_last_n"),
    }
    assert spec.dataset.min_obj_size == recipe.dataset.min_obj_size
    assert spec.dataset.border == recipe.dataset.border
