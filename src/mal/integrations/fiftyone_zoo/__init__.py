"""A remote source of FiftyOne's model zoo, which imports this file by its path: the starter, or a checkpoint."""

from __future__ import annotations

import shutil
from typing import Any

from mal.integrations.fiftyone import MaskAutoLabelerModel
from mal.starter.files import starter_path


def download_model(model_name: str, model_path: str) -> None:
    """Put the starter, which comes with the package, where FiftyOne keeps its models.

    Args:
        model_name: as of ``manifest.json``.
        model_path: the file to write.
    """
    shutil.copyfile(starter_path(trainable=False), model_path)


def load_model(
    model_name: str, model_path: str, checkpoint: str | None = None, **settings: Any
) -> MaskAutoLabelerModel:
    """Load the model.

    Args:
        model_name: as of ``manifest.json``.
        model_path: the file that was downloaded.
        checkpoint: another file in its place.
        settings: further arguments of `MaskAutoLabeler.from_checkpoint`, such as ``threshold`` and ``device``.
    """
    return MaskAutoLabelerModel(checkpoint or model_path, **settings)
