"""What a GPU will be asked, as far as a machine without one can tell."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import labeling_gpu
from benchmarks.run import BENCHMARKS

SCRIPT = Path(__file__).parents[2] / "scripts" / "gpu_check.py"
STEPS = runpy.run_path(str(SCRIPT))["STEPS"]


def test_the_steps_fit_into_eight_minutes_and_name_benchmarks_that_exist():
    assert sum(step.seconds for step in STEPS) <= 480
    asked = [step.command[-1] for step in STEPS if "benchmarks.run" in step.command]
    assert asked
    assert set(asked) <= set(BENCHMARKS)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_cuda_it_says_so_and_runs_nothing():
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "gpu-check: no CUDA device here; nothing was run\n"
    assert not done.stdout


def test_a_rate_counts_boxes_by_the_second():
    row = labeling_gpu.RateRow("case", 100, (2.0, 1.0, 4.0))
    assert row.as_markdown() == "| case | 50 (25 to 100) |"
    assert labeling_gpu.measure(torch.device("cpu"), repeats=1) == []
