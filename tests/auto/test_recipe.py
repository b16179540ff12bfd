"""The recipe of `mal auto`."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mal.auto.recipe import MAX_EPOCHS, SHARE_OF_TIME, epochs_in, training_spec


@given(minutes=st.floats(0.01, 1000), step=st.floats(1e-3, 100), steps=st.integers(1, 10_000))
def test_the_epochs_fit_into_the_time_or_there_is_one(minutes, step, steps):
    found = epochs_in(minutes, seconds_per_step=step, steps_per_epoch=steps)
    assert 1 <= found <= MAX_EPOCHS
    assert found == 1 or found * step * steps <= 60 * minutes * SHARE_OF_TIME + 1e-6


def test_the_spec_trains_from_the_checkpoint_with_its_own_settings():
    spec = training_spec(
        settings={"train.mask_thres": [0.3]},
        decoder="mal",
        crop_size=96,
        boxes=Path("boxes.json"),
        images="photos",
        checkpoint=Path("net.pth"),
        results=Path("out"),
        num_epochs=3,
        minutes=5,
        reading={"dataset.exif": "upright"},
    )
    assert (spec.dataset.crop_size, spec.train.mask_thres, spec.train.max_minutes) == (96, [0.3], 5)
    assert (spec.train.pretrained_model_path, spec.train.num_epochs, spec.dataset.exif) == ("net.pth", 3, "upright")
