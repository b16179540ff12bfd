"""Everything that only a GPU can show, within eight minutes on one: `make gpu-check`.

Each step runs in a process of its own with a limit, and its tables are printed as soon as they are there; a step that
fails or takes too long does not stop the others. Without CUDA it says so and ends with exit code 2.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass

LIMIT = 480  # seconds, all steps together


@dataclass(frozen=True)
class Step:
    """A step.

    Attributes:
        name: for the summary.
        command: arguments of Python.
        seconds: it may take.
    """

    name: str
    command: tuple[str, ...]
    seconds: int


STEPS = (
    Step("kernels: the tests marked gpu", ("-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"), 150),
    Step("kernels: speed", ("-m", "benchmarks.run", "--device", "cuda", "--repeats", "3", "mean_field"), 60),
    Step("boxes a second", ("-m", "benchmarks.run", "--device", "cuda", "--repeats", "2", "labeling_gpu"), 150),
    Step("a training step", ("-m", "benchmarks.run", "--device", "cuda", "--repeats", "3", "step_parts"), 60),
    Step("arithmetic of a forward pass", ("-m", "benchmarks.run", "--device", "cuda", "--repeats", "3", "peak"), 40),
)


def main() -> int:
    """Run all steps; exit code 0 if all went well, 1 if one did not, 2 without CUDA."""
    parser = argparse.ArgumentParser(prog="make gpu-check", description=__doc__)
    parser.add_argument("--list", action="store_true", help="print the steps and their limits, and run none")
    if parser.parse_args().list:
        print("\n".join(f"{step.seconds:4d} s  {step.name}: {' '.join(step.command)}" for step in STEPS))
        return 0
    if not _has_cuda():
        print("gpu-check: no CUDA device here; nothing was run", file=sys.stderr)
        return 2
    end = time.monotonic() + LIMIT
    outcomes = [(step, _outcome(step, end - time.monotonic())) for step in STEPS]
    print("\n| step | outcome |\n| --- | --- |")
    print("\n".join(f"| {step.name} | {outcome} |" for step, outcome in outcomes))
    return int(any(outcome != "done" for _, outcome in outcomes))


def _has_cuda() -> bool:
    asked = subprocess.run(
        [sys.executable, "-c", "import torch, sys; sys.exit(not torch.cuda.is_available())"], check=False
    )
    return asked.returncode == 0


def _outcome(step: Step, seconds_left: float) -> str:
    print(f"\n==> {step.name}", flush=True)
    limit = min(step.seconds, seconds_left)
    if limit <= 0:
        return "not run: no time left"
    try:
        done = subprocess.run([sys.executable, *step.command], timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return f"took more than {limit:.0f} s"
    return "done" if done.returncode == 0 else f"failed with exit code {done.returncode}"


if __name__ == "__main__":
    sys.exit(main())
