"""The starter of the package."""

from __future__ import annotations

import pytest

from mal.errors import UserError
from mal.starter import files


@pytest.mark.parametrize(("trainable", "name"), [(True, "starter.safetensors"), (False, "starter.onnx")])
def test_what_is_asked_for_decides_which_file_it_is(tmp_path, monkeypatch, trainable, name):
    monkeypatch.setattr(files, "__file__", str(tmp_path / "files.py"))
    with pytest.raises(UserError, match="no starter in this installation: give a checkpoint"):
        files.starter_path(trainable=trainable)
    (tmp_path / name).write_bytes(b"")
    assert files.starter_path(trainable=trainable) == tmp_path / name
