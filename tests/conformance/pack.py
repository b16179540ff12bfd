"""Conformance cases: where they lie, how they are read, the weights of the networks, and how far we are from them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mal.models.backbones.registry import build_backbone
from mal.models.backbones.vit import Stem
from mal.models.inputs import normalize
from mal.models.network import MaskNetwork
from tests.conformance.weights import weight_of

TINY = "vit-deit-tiny/16"
STEMS: tuple[Stem, ...] = ("patch", "conv")
PACK, REGRESSION = "pack", "regression"
PICTURE = "11_end_to_end/images/picture.png"  # of the regressions
PICTURE_SIZES = (64, 224, 256)  # pixels, of a regression's square inputs


@dataclass(frozen=True, slots=True)
class Cases:
    """A folder of cases that start from pictures: the pack's photos with the public code's results, or a picture of
    ours with our own earlier results (``regression``), in files of the same names."""

    name: str
    folder: Path

    def arrays(self, file: str) -> dict[str, np.ndarray]:
        """A file's arrays, with the pictures they belong to."""
        found = read_npz(self.folder / file)
        return found if self.name == PACK else self.pictures() | found

    def pictures(self) -> dict[str, np.ndarray]:
        """Cuts and views of the one picture of the regressions, under the names that the pack gives its photos."""
        picture = np.asarray(Image.open(self.folder / PICTURE))
        cuts = {f"in{size}_u8": picture[:size, :size] for size in PICTURE_SIZES}
        return cuts | {"image_u8": np.stack([picture, picture[:, ::-1], picture[::-1]])}


@dataclass(frozen=True, slots=True)
class Difference:
    """The largest difference seen in a case, and what the pack allows."""

    largest: float
    tolerance: float
    unit: str


DIFFERENCES: dict[tuple[str, str], Difference] = {}  # by section and case; `differences.py` prints them


def assert_within(section: str, case: str, difference: Any, tolerance: float, unit: str = "absolute") -> None:
    """Fail where a difference exceeds its tolerance, and remember the largest one for the table."""
    largest = float(np.max(np.abs(np.asarray(difference, dtype=np.float64)), initial=0))
    before = DIFFERENCES.get((section, case))
    DIFFERENCES[section, case] = Difference(max(largest, before.largest if before else 0), tolerance, unit)
    assert largest <= tolerance, f"{section}, {case}: {largest:.3g} is more than {tolerance:g} ({unit})"


def absolute(value: Any, expected: Any) -> np.ndarray:
    """value - expected; tensors and arrays mix."""
    return np.asarray(value, dtype=np.float64) - np.asarray(expected, dtype=np.float64)


def relative(value: Any, expected: Any) -> np.ndarray:
    """value / expected - 1; where the expected one is 0, the value itself."""
    scale = np.abs(np.asarray(expected, dtype=np.float64))
    return absolute(value, expected) / np.where(scale == 0, 1, scale)


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def read_npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


def network_input(u8: np.ndarray) -> Tensor:
    """(N, H, W, 3) or (H, W, 3) uint8 to normalised (N, 3, H, W) float32."""
    return normalize(torch.from_numpy(u8.reshape(-1, *u8.shape[-3:])).permute(0, 3, 1, 2))


def sampled(value: Tensor, expected: dict[str, np.ndarray], name: str) -> np.ndarray:
    """The differences of a large result at the positions that the pack holds."""
    assert list(value.shape) == expected[f"{name}.shape"].tolist()
    return value.flatten().numpy()[expected[f"{name}.idx"]] - expected[f"{name}.val"]


def areas(bboxes: np.ndarray) -> Tensor:
    """(N, 4) float32 x0 y0 x1 y1 to (N,) areas."""
    return torch.from_numpy((bboxes[:, 2] - bboxes[:, 0]) * (bboxes[:, 3] - bboxes[:, 1]))


def file_name(arch: str, stem: Stem) -> str:
    """How the pack names the files of an architecture."""
    return ("convstem_" if stem == "conv" else "") + arch.replace("/", "-")


def network_of(arch: str, stem: Stem = "patch", prefix: str = "student.") -> MaskNetwork:
    """A whole network in eval mode, each weight made from its key behind ``prefix``."""
    with torch.device("meta"):
        network = MaskNetwork(build_backbone(arch, stem=stem))
    state = {key: torch.from_numpy(weight_of(prefix + key, value.shape)) for key, value in network.state_dict().items()}
    network.load_state_dict(state, assign=True)
    return network.eval()


def input_sizes(arrays: dict[str, np.ndarray], name: str) -> list[int]:
    """The sides of the square inputs, in pixels, for which a file holds the result ``name``."""
    found = (re.fullmatch(rf"in(\d+)_{name}_s\.idx", key) for key in arrays)
    return sorted(int(match[1]) for match in found if match)
