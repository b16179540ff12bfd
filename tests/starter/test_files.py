"""The starter of the package."""

from __future__ import annotations

import pytest

from mal.errors import UserError
from mal.starter import files


def test_the_first_file_that_is_there_is_the_starter(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "__file__", str(tmp_path / "files.py"))
    with pytest.raises(UserError, match="no starter in this installation"):
        files.starter_path()
    (tmp_path / "starter.onnx").write_bytes(b"")
    assert files.starter_path() == tmp_path / "starter.onnx"
    (tmp_path / "starter.safetensors").write_bytes(b"")
    assert files.starter_path() == tmp_path / "starter.safetensors"
