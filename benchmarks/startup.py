"""How soon does a command answer, against one that imports what training needs before it looks at its arguments?"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.report import Row
from benchmarks.timing import compare
from mal.starter.files import starter_path

QUESTION = "Start-up of commands: importing torch, Lightning and timm first (baseline) against mal"
IMPORTS = "import torch, lightning, timm, torchmetrics, pycocotools.mask"
RUN_MAL = "runpy.run_module('mal', run_name='__main__', alter_sys=True)"
MISTAKEN_SPEC = "train: {lr: fast}\n"


def measure(device: torch.device, *, repeats: int) -> list[Row]:
    """One row a command; none on a GPU, where commands start as they do anywhere."""
    if device.type != "cpu":
        return []
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "spec.yaml"
        spec.write_text(MISTAKEN_SPEC, encoding="utf-8")
        commands = {
            "mal --help": ["--help"],
            "mal train with a mistake in the spec": ["train", "-e", str(spec)],
        }
        rows = [_measure_command(name, arguments, device, repeats) for name, arguments in commands.items()]
        return [*rows, *_photo_rows(Path(folder), device, repeats)]


def _photo_rows(folder: Path, device: torch.device, repeats: int) -> list[Row]:
    """`mal label` of one photo by the starter, against `import torch` alone: a ratio that another machine has too."""
    photo, box = folder / "photo.png", "40,30,200,180"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (480, 640, 3)).astype(np.uint8)).save(photo)
    command = ["-m", "mal", "label", "--image", str(photo), "--box", box, "--overlay", str(folder / "o.png")]
    command += ["--overwrite", "--device", "cpu"]
    import_torch = partial(_run, ["-c", "import torch"])
    return [
        Row(name, compare(import_torch, partial(_run, [*command, *weights]), repeats=repeats, device=device))
        for name, weights in (
            ("mal label of a photo, onnxruntime (baseline: import torch)", []),
            (
                "mal label of a photo, PyTorch (baseline: import torch)",
                ["--checkpoint", str(starter_path(trainable=True))],
            ),
        )
    ]


def _measure_command(name: str, arguments: Sequence[str], device: torch.device, repeats: int) -> Row:
    command = ["-m", "mal", *arguments]
    baseline = partial(_run, ["-c", f"{IMPORTS}; import runpy, sys; sys.argv = {command[1:]!r}; {RUN_MAL}"])
    return Row(name, compare(baseline, partial(_run, command), repeats=repeats, device=device))


def _run(arguments: Sequence[str]) -> None:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if "Traceback" in done.stderr:
        raise RuntimeError(done.stderr)
