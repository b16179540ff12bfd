"""The source of FiftyOne's model zoo, as far as it goes without FiftyOne; tests/clients asks the program itself."""

from __future__ import annotations

import importlib.util
import json
import sys
from types import ModuleType

import pytest

from mal.starter.files import starter_path

SOURCE = starter_path(trainable=False).parents[1] / "integrations/fiftyone_zoo"


@pytest.fixture
def module(monkeypatch):
    """The file imported by its path, as FiftyOne does, with a stand-in for the model."""
    stand_in = ModuleType("mal.integrations.fiftyone")
    stand_in.MaskAutoLabelerModel = lambda checkpoint, **settings: (checkpoint, settings)
    monkeypatch.setitem(sys.modules, "mal.integrations.fiftyone", stand_in)
    spec = importlib.util.spec_from_file_location("zoo_source", SOURCE / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_manifest_names_the_file_that_is_downloaded(module, tmp_path):
    (model,) = json.loads((SOURCE / "manifest.json").read_text())["models"]
    path = tmp_path / model["base_filename"]
    module.download_model(model["base_name"], str(path))
    assert path.read_bytes() == starter_path(trainable=False).read_bytes()
    assert path.name == starter_path(trainable=False).name


def test_the_starter_is_loaded_unless_a_checkpoint_is_given(module):
    assert module.load_model("mask-auto-labeler", "zoo/starter.onnx") == ("zoo/starter.onnx", {})
    found = module.load_model("mask-auto-labeler", "zoo/starter.onnx", checkpoint="own.pth", threshold="box_fit")
    assert found == ("own.pth", {"threshold": "box_fit"})
