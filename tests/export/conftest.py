"""A checkpoint of the kind that a test file is about, and its ONNX file."""

from __future__ import annotations

from pathlib import Path

import pytest

from mal.tasks import export_onnx
from tests.export.exported import small_checkpoint


@pytest.fixture(scope="module")
def checkpoint(request, tmp_path_factory) -> Path:
    """Made by the function ``MAKE_CHECKPOINT`` of the test file, where it has one."""
    make = getattr(request.module, "MAKE_CHECKPOINT", small_checkpoint)
    return make(tmp_path_factory.mktemp("model") / "model.pth")


@pytest.fixture(scope="module")
def exported(checkpoint) -> Path:
    path = checkpoint.with_name("model.onnx")
    assert export_onnx.run(checkpoint, path) == 0
    return path
