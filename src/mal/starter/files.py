"""Find the file of the starter network."""

from __future__ import annotations

from pathlib import Path

from mal.errors import UserError

STARTER = "starter"  # its name where a path of weights is expected
CHECKPOINT_NAME, EXPORTED_NAME = "starter.safetensors", "starter.onnx"
CALLED = "the starter that comes with mal"  # for the terminal


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


def starter_for(device: str, *, trains: bool = False) -> Path:
    """The starter for a command: as a checkpoint on a GPU, where an exported network does not run.

    Args:
        device: as of ``--device``.
        trains: whether training starts from it, which takes a checkpoint too.

    Raises:
        UserError: this installation has none.
    """
    return starter_path(trainable=trains or device.startswith("cuda"))


def called(path: Path) -> str:
    """What a network is called in a sentence: its path, unless it is the starter."""
    return CALLED if path.absolute().parent == Path(__file__).absolute().parent else str(path)
