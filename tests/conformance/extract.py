"""Take from the golden pack what may be published: ``python -m tests.conformance.extract PACK [FOLDER]``.

Numbers may; photos may not, since their licences are not known. A file keeps its name and its place.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

GOLDEN = Path(__file__).parent / "golden"
WHOLE = (
    "03_meanfield/synthetic_64x80.npz",
    "04_losses.npz",
    "05_lr_schedule.json",
    "06_ema.npz",
    "07_crop/test_geometry.json",
    "07_crop/pixels.json",
    "10_postprocess.json",
    "10_postprocess.npz",
    "11_end_to_end/edge_input.json",
    "11_end_to_end/edge_expected.json",
)
# The arrays that are no part of a photo and can be tested without one.
ARRAYS = {
    "07_crop/pixels.npz": r"gt|.*_(mask|boxmask)",
    "08_backbone/*.npz": r".*_pos_embed_s\..*",
    "09_student/*.npz": r"bboxes|bin|area_f32",
}
KEYS = {
    "01_manifests/*.json": ("arch", "state_dict"),
    "12_training/*.json": ("arch", "crop", "steps_per_epoch", "settings", "steps"),
}
SCHEMA = "config_schema.json"  # beside the cases
FIELD_KEYS = ("field", "type", "default", "options")


def extract(pack: Path, folder: Path) -> None:
    """Write the publishable part of the pack in ``pack`` to ``folder``."""
    cases = pack / "public"
    for name in WHOLE:
        shutil.copyfile(cases / name, _place(folder / name))
    for pattern, arrays in ARRAYS.items():
        for path in sorted(cases.glob(pattern)):
            with np.load(path) as file:
                kept = {name: file[name] for name in file.files if re.fullmatch(arrays, name)}
            np.savez_compressed(_place(folder / path.relative_to(cases)), **kept)
    for pattern, keys in KEYS.items():
        for path in sorted(cases.glob(pattern)):
            _write(folder / path.relative_to(cases), _picked(json.loads(path.read_text()), keys))
    fields = json.loads((pack / SCHEMA).read_text())["fields"]
    _write(folder / SCHEMA, {"fields": [_picked(field, FIELD_KEYS) for field in fields]})


def _picked(document: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: document[key] for key in keys if key in document}


def _write(path: Path, document: dict[str, Any]) -> None:
    _place(path).write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")


def _place(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


if __name__ == "__main__":
    extract(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else GOLDEN)
