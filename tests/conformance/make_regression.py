"""Write ``tests/conformance/regression`` anew: ``python -m tests.conformance.make_regression``.

These are our own results, not the public implementation's: they hold still what the golden pack has confirmed. So run
this only where all tests of the pack pass.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mal.models.network import MaskNetwork
from tests.conformance.extract import GOLDEN
from tests.conformance.pack import (
    PICTURE,
    PICTURE_SIZES,
    REGRESSION,
    STEMS,
    TINY,
    Cases,
    areas,
    file_name,
    network_input,
    network_of,
    read_json,
)
from tests.conformance.training_steps import train
from tests.conformance.workplace import Workplace, write_checkpoint

CASES = Cases(REGRESSION, Path(__file__).parent / "regression")
FANS = ("fan_tiny_12_p16_224", "fan_tiny_8_p4_hybrid")
FAN_OF_ONE_SIZE = "fan_small_12_p16_224"
SAMPLES = 256
BOXES = [(62, 40, 84, 76), (100, 20, 180, 120), (27, 48, 232, 190)]  # x0 y0 x1 y1: small, medium, large
BORDER_BOXES = [(40, 30, 72, 62), (90, 60, 186, 156)]  # of exactly 32 x 32 and 96 x 96 pixels
EXPECTED: dict[str, dict[str, Any]] = {
    "vit-deit-tiny-16_256": {},
    "vit-deit-tiny-16_256_teacher": {"net": "teacher"},
    "vit-deit-tiny-16_256_thr369": {"train.mask_thres": [0.3, 0.6, 0.9]},
    "convstem_vit-deit-tiny-16_256": {"stem": "conv"},
    "convstem_vit-deit-tiny-16_256_thr999": {"stem": "conv", "train.mask_thres": [0.999] * 3},
    "convstem_vit-deit-tiny-16_256_thr9999": {"stem": "conv", "train.mask_thres": [0.9999] * 3},
}
LABEL_KEYS = ("id", "image_id", "category_id", "bbox", "iscrowd", "segmentation", "iou")


@torch.no_grad()
def write_features() -> None:
    """08: tokens and features of the backbones."""
    networks = [(file_name(TINY, stem), network_of(TINY, stem)) for stem in STEMS]
    networks += [(arch, network_of(arch)) for arch in (*FANS, FAN_OF_ONE_SIZE)]
    picture = CASES.pictures()
    for name, network in networks:
        arrays: dict[str, np.ndarray] = {}
        for size in PICTURE_SIZES if name != FAN_OF_ONE_SIZE else PICTURE_SIZES[-1:]:
            images = network_input(picture[f"in{size}_u8"])
            arrays |= _sample(f"in{size}_spatial_s", network.backbone(images))
            if not name.startswith("fan"):
                arrays |= _sample(f"in{size}_tokens_s", network.backbone.forward_features(images))
        _save(f"08_backbone/{name}.npz", arrays)


@torch.no_grad()
def write_logits() -> None:
    """09: logits of whole networks, and their instance vectors."""
    boxes = np.array([*BOXES * 3, *BORDER_BOXES], dtype=np.float32)
    common = {
        "bboxes": boxes,
        "image_index": np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 1]),
        "bin": np.array([0, 1, 2] * 3 + [-1, -1]),
    }
    networks = [(file_name(TINY, stem), network_of(TINY, stem)) for stem in STEMS]
    networks += [(arch, network_of(arch)) for arch in FANS]
    for name, network in networks:
        images = network_input(CASES.pictures()["image_u8"])[common["image_index"]]
        arrays = common | _logits(network, images, areas(boxes))
        _save(f"09_student/{name}_256.npz", arrays)


def _logits(network: MaskNetwork, images: Tensor, area: Tensor) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for row, logits in enumerate(network(images, area)[: 3 * len(BOXES)]):
        arrays |= _sample(f"seg{row}", logits)
    arrays |= _sample("roi_feat", network.roi_head(network.backbone(images[:3])))
    network.adjust_scale = False
    logits = network(images[:3], area[:3])
    arrays["noadjust_shape"] = np.array(logits.shape)
    for row in range(3):
        arrays |= _sample(f"noadjust_seg{row}", logits[row])
    return arrays


def write_labels() -> None:
    """11: a COCO file through `mal inference` and `mal evaluate`."""
    data = CASES.folder / "11_end_to_end"
    source = _coco_file()
    _write_json(data / "input.json", source)
    with tempfile.TemporaryDirectory() as scratch:
        checkpoints = {stem: write_checkpoint(stem, Path(scratch, f"{stem}.pth")) for stem in STEMS}
        workplace = Workplace(data / "images", checkpoints, Path(scratch))
        for name, changes in EXPECTED.items():
            settings = {"arch": TINY, "crop_size": 256, **changes}
            folder = workplace.label(name, settings, data / "input.json", load_mask=True)
            labels = read_json(folder / "labels.json")["annotations"]
            expected: dict[str, Any] = {
                "settings": settings,
                "annotations": [{key: record[key] for key in LABEL_KEYS} for record in labels],
            }
            if name == "vit-deit-tiny-16_256":
                metrics = workplace.evaluate(name, settings, data / "input.json")
                expected["mIoU"] = metrics["model"]["miou_classes"]
            _write_json(data / f"expected_{name}.json", expected)


def write_training() -> None:
    """12: eight steps, at the rates of the public run."""
    course = read_json(GOLDEN / "12_training/default_a.json")
    box = np.zeros((2, 1, 128, 128), np.uint8)
    box[0, 0, 30:110, 20:120] = box[1, 0, 10:70, 5:90] = 1
    arrays = {"mask": box, "bbox": np.array([[20, 30, 119, 109], [5, 10, 89, 69]], np.float32)}
    picture = CASES.pictures()["image_u8"][0]
    arrays["image_u8"] = np.stack([picture[:128, :128], picture[128:, 128:]])
    _save("12_training/default_a.npz", arrays)
    networks = {prefix: network_of(TINY, "patch", f"{prefix}.") for prefix in ("student", "teacher")}
    records = train(course, CASES.arrays("12_training/default_a.npz"), networks)
    course["steps"] = [old | new for old, new in zip(course["steps"], records, strict=True)]
    course["params_after"] = {name: _weights(name, network) for name, network in networks.items()}
    _write_json(CASES.folder / "12_training/default_a.json", course)


def _weights(name: str, network: torch.nn.Module) -> dict[str, list[Any]]:
    state = {key: value.flatten() for key, value in network.state_dict().items() if value.dim()}
    keys = sorted(key for key in state if not key.endswith("qkv.bias"))
    rng = np.random.default_rng(0)
    chosen = [keys[index] for index in rng.choice(len(keys), 64, replace=False)]
    indices = [int(rng.integers(len(state[key]))) for key in chosen]
    values = [float(state[key][index]) for key, index in zip(chosen, indices, strict=True)]
    return {"key": [f"{name}.{key}" for key in chosen], "index": indices, "value": values}


def _coco_file() -> dict[str, Any]:
    records = []
    for number, (x0, y0, x1, y1) in enumerate([*BOXES, *BORDER_BOXES]):
        diamond = [(x0 + x1) / 2, y0, x1, (y0 + y1) / 2, (x0 + x1) / 2, y1, x0, (y0 + y1) / 2]
        box = [x0, y0, x1 - x0, y1 - y0]
        record = {"id": number + 1, "image_id": 1, "category_id": 1 + number % 2, "bbox": box, "iscrowd": 0}
        records.append(record | {"segmentation": [[float(value) for value in diamond]]})
    return {
        "images": [{"id": 1, "file_name": Path(PICTURE).name, "width": 256, "height": 256}],
        "annotations": records,
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
    }


def _sample(name: str, value: Tensor) -> dict[str, np.ndarray]:
    flat = value.flatten().numpy()
    index = np.sort(np.random.default_rng(len(flat)).choice(len(flat), min(SAMPLES, len(flat)), replace=False))
    return {f"{name}.idx": index, f"{name}.val": flat[index], f"{name}.shape": np.array(value.shape)}


def _save(file: str, arrays: dict[str, np.ndarray]) -> None:
    path = CASES.folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)


def _write_json(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")


def main() -> None:
    """Write all sections."""
    for section in ("08_backbone", "09_student", "12_training"):
        shutil.rmtree(CASES.folder / section, ignore_errors=True)
    write_features()
    write_logits()
    write_labels()
    write_training()


if __name__ == "__main__":
    main()
