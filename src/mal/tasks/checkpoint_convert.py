"""`mal checkpoint convert`: the same network in another file, verified by its masks."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mal.checkpoint.convert import Networks, write_converted
from mal.checkpoint.load import load_checkpoint
from mal.checkpoint.safetensors_file import SUFFIX
from mal.checkpoint.saved_spec import saved_spec, spec_to_share
from mal.config.schema import KEY_VARIABLE, resolve_encryption_key
from mal.console import console
from mal.errors import UserError
from mal.labeler import MaskAutoLabeler
from mal.masks.pixel_iou import pixel_iou
from mal.models.prediction_mode import Network, PredictionMode
from mal.sample.scene import Scene, scene

NUM_SCENES = 3
LOWEST_IOU = 0.99

Masks = list[npt.NDArray[np.bool_]]


def run(source: Path, target: Path, *, networks: Networks, half: bool, decrypt: bool = False) -> int:
    """Convert a file, compare the masks of both files on a few generated scenes, and keep the new one if they agree.

    If the environment has a key, the new file is encrypted with it, unless ``decrypt`` is set.

    Returns:
        Exit code: 0 if the masks agree, else 1 and no file is written.

    Raises:
        UserError: a file cannot be read or written, the new one would hold encrypted content unencrypted, or the
            source is not a complete network.
    """
    key = resolve_encryption_key()
    if key and not decrypt and target.suffix == SUFFIX:
        raise UserError(
            f"{target}: safetensors cannot be encrypted, and {KEY_VARIABLE} is set; name a .pth file, or give --decrypt"
            " to write the weights in clear"
        )
    checkpoint = load_checkpoint(source, key)
    spec = checkpoint.network_spec()
    # The file gets its suffix and its path only after its masks were verified.
    draft = target.with_name(f".{target.stem}.{os.getpid()}.check{target.suffix}")
    try:
        values = (saved_spec if networks == "both" else spec_to_share)(spec, checkpoint.stem)
        new_key = None if decrypt else key
        write_converted(checkpoint, values, draft, networks=networks, half=half, encryption_key=new_key)
        lowest, num_boxes = _compare(source, draft, networks)
        if lowest < LOWEST_IOU:
            console.print(
                f"not converted: a mask on {num_boxes} generated boxes has an IoU of only {lowest:.4f} with the one"
                f" of {source}; at least {LOWEST_IOU} is asked for",
            )
            return 1
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    verdict = "identical" if lowest == 1 else f"lowest IoU {lowest:.4f}"
    console.print(f"masks on {num_boxes} generated boxes, before and after: {verdict}")
    console.print(f"wrote {target} ({target.stat().st_size / 1e6:.1f} MB)")
    return 0


def _compare(source: Path, converted: Path, networks: Networks) -> tuple[float, int]:
    """The lowest IoU of any two masks, and the number of boxes."""
    scenes = [scene(np.random.default_rng(number)) for number in range(NUM_SCENES)]
    asked: tuple[Network, ...] = ("student", "teacher") if networks == "both" else (networks,)
    before = [mask for network in asked for mask in _masks(source, scenes, network)]
    after = [mask for network in asked for mask in _masks(converted, scenes, network)]
    return min(map(pixel_iou, before, after)), sum(len(drawn.boxes_xyxy) for drawn in scenes)


def _masks(path: Path, scenes: list[Scene], network: Network) -> Masks:
    labeler = MaskAutoLabeler.from_checkpoint(path, mode=PredictionMode(network=network))
    return [mask for drawn in scenes for mask in labeler.label(drawn.image, drawn.boxes_xyxy)]
