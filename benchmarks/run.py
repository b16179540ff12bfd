"""Answers every question of this folder: ``python -m benchmarks.run``.

Tables go to the terminal and, with every single time as JSON, to ``benchmarks/results/``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from benchmarks import (
    auto_memory,
    coco_loading,
    fast_profile,
    graph_cut,
    labeling,
    labeling_gpu,
    labeling_memory,
    labeling_parts,
    labeling_scale,
    mean_field,
    peak,
    small_step_parts,
    startup,
    step_parts,
    teacher_memory,
    training_loader,
    training_step,
)
from benchmarks.report import device_name, environment, markdown_table

BENCHMARKS = {
    "auto_memory": auto_memory,
    "labeling": labeling,
    "labeling_gpu": labeling_gpu,
    "labeling_memory": labeling_memory,
    "labeling_parts": labeling_parts,
    "labeling_scale": labeling_scale,
    "mean_field": mean_field,
    "graph_cut": graph_cut,
    "training_step": training_step,
    "step_parts": step_parts,
    "small_step_parts": small_step_parts,
    "training_loader": training_loader,
    "teacher_memory": teacher_memory,
    "coco_loading": coco_loading,
    "fast_profile": fast_profile,
    "startup": startup,
    "peak": peak,
}
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Measure what was asked for on every device that there is."""
    options = _parse_arguments()
    devices = [torch.device("cpu")] + [torch.device("cuda")] * torch.cuda.is_available()
    if options.device:
        devices = [torch.device(options.device)]
    RESULTS.mkdir(exist_ok=True)
    machine = environment()
    print("\n".join(f"{key}: {value}" for key, value in machine.items()))
    for name in options.names or BENCHMARKS:
        for device in devices:
            _answer(name, device, options.repeats, machine)


def _answer(name: str, device: torch.device, repeats: int, machine: dict[str, str]) -> None:
    benchmark = BENCHMARKS[name]
    rows = benchmark.measure(device, repeats=repeats)
    if not rows:
        return
    table = markdown_table(benchmark.QUESTION, device, rows)
    print(f"\n{table}", flush=True)
    found = {"question": benchmark.QUESTION, "device": device_name(device), "environment": machine}
    found["rows"] = [row.as_json() for row in rows]
    path = RESULTS / f"{name}_{device.type}"
    path.with_suffix(".md").write_text(f"{table}\n", encoding="utf-8")
    path.with_suffix(".json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument("--repeats", type=int, default=5, help="measured runs of each side (default 5)")
    parser.add_argument("--device", help="cpu or cuda; by default the CPU and, where there is one, the GPU")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are: {', '.join(BENCHMARKS)}")
    return options


if __name__ == "__main__":
    main()
