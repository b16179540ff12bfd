"""The golden pack: how its files are read, the weights it was made with, and how far we are from it."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mal.data.pixels import normalize
from mal.models.backbones.registry import build_backbone
from mal.models.backbones.vit import Stem
from mal.models.network import MaskNetwork

TINY = "vit-deit-tiny/16"
STEMS: tuple[Stem, ...] = ("patch", "conv")


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


def load_recipe(path: Path) -> Callable[[str, Any], np.ndarray]:
    """The function that makes a tensor from its key and shape, from the pack's own file."""
    module_spec = importlib.util.spec_from_file_location("weights_recipe", path)
    assert module_spec is not None
    assert module_spec.loader is not None
    recipe = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(recipe)
    make_array: Callable[[str, Any], np.ndarray] = recipe.make_array
    return make_array


@dataclass(frozen=True, slots=True)
class Recipe:
    """The deterministic weights that the reference was run with."""

    make_array: Callable[[str, Any], np.ndarray]

    def state(self, module: nn.Module, prefix: str) -> dict[str, Tensor]:
        """A module's whole state, each tensor made from its key behind ``prefix``."""
        return {
            key: torch.from_numpy(self.make_array(prefix + key, value.shape))
            for key, value in module.state_dict().items()
        }

    def network(self, arch: str, stem: Stem, prefix: str = "student.") -> MaskNetwork:
        """A whole network in eval mode with the recipe's weights."""
        with torch.device("meta"):
            network = MaskNetwork(build_backbone(arch, stem=stem))
        network.load_state_dict(self.state(network, prefix), assign=True)
        return network.eval()
