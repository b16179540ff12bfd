"""The choice between two checkpoints; what a round of `mal train` makes of it is asked in tests/clients."""

from __future__ import annotations

import shutil
from functools import partial

from mal.config.load import spec_from_values
from mal.sample.generate import make_sample
from mal.serve.choice import choose_by_signals
from mal.serve.rounds import Candidate
from mal.tasks.serve import _load
from tests.clients.test_label_studio_backend import checkpoint_in


def test_checkpoints_are_loaded_in_the_child_with_the_settings_of_the_server_and_equal_ones_are_not_exchanged(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("os.setpriority", lambda *_: None)
    sample = make_sample(tmp_path / "sample", num_train_images=4, num_val_images=1, image_size=(240, 180))
    start = checkpoint_in(tmp_path)
    trained = shutil.copyfile(start, tmp_path / "trained.pth")
    load = partial(_load, spec_from_values({"masks.within_box": True}), "cpu")
    candidate = Candidate(trained, start, sample.boxes_train, sample.train_images)
    found = choose_by_signals(load, candidate, lambda: True)
    assert found.network == "starter"
    assert "held-out" in found.reason
