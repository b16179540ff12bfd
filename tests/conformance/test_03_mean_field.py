"""Mean-field refinement on photos and on synthetic images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mal.ops.mean_field import mean_field
from mal.ops.mean_field_plain import mean_field_plain
from tests.conformance.pack import assert_within, network_input, read_npz

SECTION = "mean field"
DEFAULTS: dict[str, Any] = {"kernel_size": 3, "num_iter": 100, "zeta": 0.1, "low": 0.1, "high": 0.9}
VERSIONS = {"front door": mean_field, "plain": mean_field_plain}
SYNTHETIC: dict[str, dict[str, Any]] = {
    "default": {},
    "k5": {"kernel_size": 5},
    "zeta0.3": {"zeta": 0.3},
    "zeta0.05_k5_i20": {"zeta": 0.05, "kernel_size": 5, "num_iter": 20},
    "clamp0.2_0.7": {"low": 0.2, "high": 0.7, "num_iter": 20},
    "clamp0.05_0.95_i2": {"low": 0.05, "high": 0.95, "num_iter": 2},
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["photo_64x64", "photo_128x96", "photo_256x256"])
def test_photos_are_refined_as_by_the_public_code(pack, name, version):
    golden = read_npz(_file(pack.folder, name))
    tags = [re.fullmatch(r"soft_(k(\d)_i(\d+)_t[01])", key) for key in golden]
    cases = {tag[1]: {"kernel_size": int(tag[2]), "num_iter": int(tag[3])} for tag in tags if tag}
    assert cases
    for tag, options in cases.items():
        _check(golden, tag, options, version)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", SYNTHETIC)
@pytest.mark.parametrize("targets", ["t0", "t1"])
def test_other_settings_are_followed_as_by_the_public_code(golden, name, targets, version):
    arrays = read_npz(_file(golden, "synthetic_64x80"))
    _check(arrays, f"{name}_{targets}", SYNTHETIC[name], version)


def _file(folder: Path, name: str) -> Path:
    return folder / "03_meanfield" / f"{name}.npz"


def _check(golden: dict[str, np.ndarray], tag: str, options: dict[str, Any], version: str) -> None:
    image = network_input(golden["image_u8"]) if "image_u8" in golden else torch.from_numpy(golden["image"])
    prob = torch.from_numpy(golden["seg"].astype(np.float32))
    box_mask = torch.from_numpy(golden["targets"])
    box_mask = box_mask.float() if tag.endswith("t1") else torch.ones_like(box_mask, dtype=torch.float32)
    soft = VERSIONS[version](image, prob, box_mask, **(DEFAULTS | options)).numpy()
    expected, expected_mask = golden[f"soft_{tag}"], golden[f"mask_{tag}"] > 0
    step = soft.shape[-1] // expected.shape[-1]  # the largest files hold every 4th pixel
    difference = np.abs(soft[:, ::step, ::step] - expected)
    flipped = (soft > 0.5) != expected_mask
    if options.get("num_iter") == 1:
        assert_within(SECTION, "1 iteration, probability", difference, 1e-4)
        assert_within(
            SECTION, "1 iteration, flipped pixels", np.sum(flipped & (np.abs(soft - 0.5) > 1e-4)), 0, "pixels"
        )
    else:
        assert_within(SECTION, "more iterations, probability (99.9 %)", np.quantile(difference, 0.999), 2e-3)
        assert_within(SECTION, "more iterations, flipped pixels", flipped.mean(), 1e-3, "share")
