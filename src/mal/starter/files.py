"""Find the file of the starter network."""

from __future__ import annotations

from pathlib import Path

from mal.errors import UserError

STARTER_NAMES = ("starter.safetensors", "starter.onnx")  # the first that is there counts


def starter_path() -> Path:
    """The checkpoint that `mal auto` labels with and trains from where none is given.

    Raises:
        UserError: this installation has none.
    """
    folder = Path(__file__).parent
    for name in STARTER_NAMES:
        if (folder / name).is_file():
            return folder / name
    raise UserError("no starter in this installation: give a checkpoint with --checkpoint (checkpoint= in Python)")
