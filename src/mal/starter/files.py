"""Find the file of the starter network."""

from __future__ import annotations

from pathlib import Path

from mal.errors import UserError

STARTER = "starter"  # its name where a path of weights is expected
CHECKPOINT_NAME, EXPORTED_NAME = "starter.safetensors", "starter.onnx"


def starter_path(*, trainable: bool) -> Path:
    """The network that is used where the user names none.

    Args:
        trainable: a checkpoint to train from; else the same network exported, which labels without PyTorch. What is
            asked for decides, not what is installed, so that the same command gives the same masks everywhere.

    Raises:
        UserError: this installation has none.
    """
    path = Path(__file__).parent / (CHECKPOINT_NAME if trainable else EXPORTED_NAME)
    if not path.is_file():
        raise UserError("no starter in this installation: give a checkpoint with --checkpoint (checkpoint= in Python)")
    return path
