"""How long one pass a photo takes beside a crop of each box: ``python -m benchmarks.one_pass_speed``.

The network alone, with the weights that training starts from, in PyTorch and in onnxruntime: processor time of one
thread, of several rounds the fastest, each round all cases in turn.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from benchmarks.one_pass import BLOCKS, CELLS, starter_network
from benchmarks.one_pass_network import STRIDES, OnePassNetwork, photo_size, signed_boxes
from mal.export.onnx_write import LEAST_OPSET
from mal.runtime.allocator import keep_freed_memory
from mal.starter.files import starter_path

SIDES = (480, 640, 960, 1280)
BOXES = (10, 20, 50, 100)
ASPECT = 3 / 4
CROP, BATCH_SIZE = 160, 4
SMALLEST, LARGEST = 20, 300  # sides of frames in pixels of a photo of 640
SEED = 0

Case = tuple[str, str, int, int]
"""A part to time: runtime, part, longer side (0: a crop), boxes."""
Seconds = dict[Case, float]
Run = Callable[[], Any]


def main() -> None:
    """Print the tables."""
    options = _parse_arguments()
    torch.set_num_threads(1)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        cases = dict(cases_of(OnePassNetwork(starter_network(), CELLS, BLOCKS).eval(), Path(folder)))
    for runtime in ("PyTorch", "onnxruntime"):
        of_runtime = {case: run for case, run in cases.items() if case[0] == runtime}
        print(f"\n{table(fastest(of_runtime, options.rounds), runtime)}", flush=True)


def fastest(cases: dict[Case, Run], rounds: int) -> Seconds:
    """Processor time of each case: of several rounds the fastest."""
    seconds = dict.fromkeys(cases, float("inf"))
    for _ in range(rounds + 1):  # the first fills caches
        for case, run in cases.items():
            start = time.process_time()
            run()
            seconds[case] = min(seconds[case], time.process_time() - start)
    return seconds


def table(seconds: Seconds, runtime: str) -> str:
    """Milliseconds a box and factors, as a Markdown table."""
    crop = 1000 * seconds[runtime, "crops", 0, BATCH_SIZE] / BATCH_SIZE
    lines = [
        f"{runtime}: a crop takes {crop:.1f} ms, with flip {2 * crop:.1f} ms",
        "",
        "| longer side | pass, ms | crops for a pass | boxes | head, ms a box | whole, ms a box"
        " | times faster than crops with flip | without flip |",
        f"|{' --- |' * 8}",
    ]
    for side in SIDES:
        shared = 1000 * seconds[runtime, "pyramid", side, 0]
        for count in BOXES:
            head = 1000 * seconds[runtime, "head", side, count] / count
            whole = head + shared / count
            lines.append(
                f"| {side} | {shared:.0f} | {shared / crop:.1f} | {count} | {head:.2f} | {whole:.1f}"
                f" | {2 * crop / whole:.1f} | {crop / whole:.1f} |"
            )
    return "\n".join(lines)


def cases_of(network: OnePassNetwork, folder: Path, sides: Sequence[int] = SIDES) -> Iterator[tuple[Case, Run]]:
    """All parts to time, in both runtimes."""
    yield from _crop_cases()
    exported = ExportedOnePass(network, folder)
    for side in sides:
        photo = _photo(side)
        with torch.inference_mode():
            maps = network.pyramid(photo)
        pyramid = exported.pyramid(photo)
        yield ("PyTorch", "pyramid", side, 0), _without_gradients(network.pyramid, photo)
        yield ("onnxruntime", "pyramid", side, 0), pyramid
        for count in BOXES:
            frames, boxes = _frames(count, side)
            run = _without_gradients(network.of_boxes, photo, maps, frames, boxes)
            yield ("PyTorch", "head", side, count), run
            yield ("onnxruntime", "head", side, count), exported.head(photo, maps, frames, boxes)


def _crop_cases() -> Iterator[tuple[Case, Run]]:
    images, box = torch.randn(BATCH_SIZE, 3, CROP, CROP), torch.ones(BATCH_SIZE, 1, CROP, CROP)
    run = _without_gradients(starter_network(), images, torch.ones(BATCH_SIZE), box)
    yield ("PyTorch", "crops", 0, BATCH_SIZE), run
    inputs = {"images": images.numpy(), "box": box.numpy()}
    yield ("onnxruntime", "crops", 0, BATCH_SIZE), _Run(_session(starter_path(trainable=False)), inputs)


def _photo(side: int) -> Tensor:
    width, height = photo_size(side, round(ASPECT * side), side)
    return torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(SEED))


def _frames(count: int, side: int) -> tuple[Tensor, Tensor]:
    """Frames and boxes of all sizes, half of them below 80 pixels in a photo of 640."""
    rng = np.random.default_rng(SEED)
    width, height = photo_size(side, round(ASPECT * side), side)
    half = np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST), (count, 1))) / 2 * side / 640
    centers = rng.uniform(size=(count, 2)) * (width, height)
    places = [np.concatenate([centers - part * half, centers + part * half], axis=1) for part in (1, 0.8)]
    frames, boxes = (torch.from_numpy(each.astype(np.float32)) for each in places)
    return frames, boxes


def _without_gradients(function: Callable[..., Any], *arguments: Any) -> Run:
    def run() -> Any:
        with torch.inference_mode():
            return function(*arguments)

    return run


class ExportedOnePass:
    """The network as graphs of onnxruntime: one for a photo of each size, one for the boxes of each level.

    Args:
        network: to export.
        folder: gets the files.
    """

    def __init__(self, network: OnePassNetwork, folder: Path) -> None:
        self.network, self.folder = network, folder
        self.heads: dict[int, Any] = {}

    def pyramid(self, photo: Tensor) -> _Run:
        """The pass over a photo."""
        path = self.folder / f"pyramid{photo.shape[-1]}.onnx"
        _export(_Pyramid(self.network), {"photo": photo}, path, {})
        return _Run(_session(path), {"photo": photo.numpy()})

    def head(self, photo: Tensor, maps: Sequence[Tensor], frames: Tensor, boxes: Tensor) -> Callable[[], list[Any]]:
        """The masks of all boxes, those of a level at once."""
        runs = []
        levels = self.network.levels(frames)
        for level in levels.unique().int().tolist():
            of_level = levels == level
            inputs = {
                "photo": photo,
                "features": maps[level],
                "coarsest": maps[-1],
                "frames": frames[of_level],
                "box": signed_boxes(frames[of_level], boxes[of_level], 2 * CELLS),
            }
            session = self._head_session(level, inputs)
            runs.append(_Run(session, {name: each.contiguous().numpy() for name, each in inputs.items()}))
        return lambda: [run() for run in runs]

    def _head_session(self, level: int, inputs: dict[str, Tensor]) -> Any:
        if level not in self.heads:
            path = self.folder / f"head{level}.onnx"
            image: dict[int, Any] = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
            rows = {0: torch.export.Dim.DYNAMIC}
            shapes = {"photo": image, "features": image, "coarsest": image, "frames": rows, "box": rows}
            _export(_Head(self.network, STRIDES[level]), inputs, path, shapes)
            self.heads[level] = _session(path)
        return self.heads[level]


class _Pyramid(nn.Module):
    def __init__(self, network: OnePassNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, photo: Tensor) -> list[Tensor]:
        return self.network.pyramid(photo)


class _Head(nn.Module):
    def __init__(self, network: OnePassNetwork, stride: int) -> None:
        super().__init__()
        self.network, self.stride = network, stride

    def forward(self, photo: Tensor, features: Tensor, coarsest: Tensor, frames: Tensor, box: Tensor) -> Tensor:
        return self.network.of_level(photo, features, self.stride, coarsest, frames, box)


@dataclass(frozen=True)
class _Run:
    session: Any
    inputs: dict[str, np.ndarray]

    def __call__(self) -> Any:
        return self.session.run(None, self.inputs)


def _session(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _export(module: nn.Module, inputs: dict[str, Tensor], path: Path, shapes: dict[str, Any]) -> None:
    torch.onnx.export(
        module.eval().requires_grad_(False),
        tuple(inputs.values()),
        path,
        dynamo=True,
        verbose=False,
        input_names=list(inputs),
        dynamic_shapes=shapes or None,
        opset_version=LEAST_OPSET,
    )


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.one_pass_speed", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of which the fastest counts (default %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
