"""Labelling on a Ray cluster of two workers on this machine gives the file that a single process writes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.small_runs import SmallData, run_mal_in_a_process, small_data, write_spec

pytest.importorskip("ray", reason="needs the extra [ray]: make ray-check")
pytestmark = [pytest.mark.ray, pytest.mark.slow]

SECONDS = 240


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, shared):
    folder = tmp_path_factory.mktemp("weights")
    spec = write_spec(small_data(folder / "data", shared / "data/coco-mini"), folder / "run", train__num_epochs=1)
    assert run_mal_in_a_process("train", "-e", spec).exit_code == 0
    return folder / "run/train/mal_model_latest.pth"


class Labeling:
    """All photos of the reference set, one of them missing, labelled with boxes enough for many blocks."""

    def __init__(self, folder: Path, shared: Path, checkpoint: Path) -> None:
        source = shared / "data/coco-mini"
        document = json.loads((source / "annotations/instances_val.json").read_text())
        document["images"][5]["file_name"] = "is_not_there.jpg"
        self.annotations = folder / "boxes.json"
        self.annotations.write_text(json.dumps(document))
        self._folder, self._checkpoint = folder, checkpoint
        self._data = SmallData(folder, source / "images/val", self.annotations, self.annotations)

    def results(self, name: str) -> Path:
        return self._folder / name / "inference"

    def spec(self, name: str, **changes: object) -> Path:
        return write_spec(
            self._data,
            self._folder / name,
            inference__checkpoint=str(self._checkpoint),
            inference__batch_size=1,
            inference__load_mask=True,
            **changes,
        )

    def ray_command(self, name: str, **changes: object) -> list[str]:
        spec = self.spec(name, inference__engine="ray", inference__ray_actors=2, **changes)
        return [sys.executable, "-m", "mal", "inference", "-e", str(spec)]

    def same_as(self, name: str) -> bool:
        files = ("masks.json", "inference_report.json")
        return all(
            (self.results(name) / file).read_bytes() == (self.results("one") / file).read_bytes() for file in files
        )


@pytest.fixture(scope="module")
def labeling(tmp_path_factory, shared, checkpoint):
    found = Labeling(tmp_path_factory.mktemp("labelling"), shared, checkpoint)
    assert run_mal_in_a_process("inference", "-e", found.spec("one")).exit_code == 1  # for the image that is missing
    return found


def test_two_ray_workers_write_the_file_of_a_single_process(labeling):
    done = subprocess.run(labeling.ray_command("ray"), capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 1, done.stderr
    assert "running on Ray: 2 actors" in done.stdout
    assert labeling.same_as("ray")


def test_a_worker_killed_in_the_middle_changes_nothing(labeling):
    running = subprocess.Popen(
        labeling.ray_command("killed"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    killed = _kill_an_actor_once_there_are_shards(running, labeling.results("killed") / "shards")
    out, err = running.communicate(timeout=SECONDS)
    assert killed
    assert running.returncode == 1, out + err
    assert labeling.same_as("killed")


def test_a_driver_killed_in_the_middle_goes_on_in_a_single_process(labeling):
    running = subprocess.Popen(labeling.ray_command("moved"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait_for_shards(running, labeling.results("moved") / "shards")
    running.kill()
    running.wait(SECONDS)
    again = run_mal_in_a_process("inference", "-e", labeling.spec("moved"))
    assert again.exit_code == 1
    assert "going on: " in again.out
    assert labeling.same_as("moved")


def test_shards_and_labels_behind_urls_let_another_machine_go_on(labeling, tmp_path):
    urls = {
        "inference__shards_url": f"file://{tmp_path}/shards",
        "inference__label_dump_path": f"file://{tmp_path}/m.json",
    }
    running = subprocess.Popen(
        labeling.ray_command("here", **urls), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _wait_for_shards(running, tmp_path / "shards")
    running.kill()
    running.wait(SECONDS)
    there = subprocess.run(
        labeling.ray_command("there", **urls), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert "going on: " in there.stdout, there.stderr
    assert (tmp_path / "m.json").read_bytes() == (labeling.results("one") / "masks.json").read_bytes()


def test_a_mistake_that_only_the_workers_meet_is_one_line(labeling, tmp_path):
    (tmp_path / "bad.pth").write_bytes(b"no checkpoint")
    command = labeling.ray_command("wrong", inference__results_dir=str(tmp_path / "out"))
    command += [f"inference.checkpoint={tmp_path / 'bad.pth'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("mal: error:")]
    assert "bad.pth" in line


def _wait_for_shards(running: subprocess.Popen, folder: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while not list(folder.glob("*.jsonl")):
        assert running.poll() is None, "the run ended before a shard was seen"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _kill_an_actor_once_there_are_shards(running: subprocess.Popen, folder: Path) -> bool:
    _wait_for_shards(running, folder)
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and _is_actor(process):
            os.kill(int(process.name), signal.SIGKILL)
            return True
    return False


def _is_actor(process: Path) -> bool:
    try:
        return b"ChunkLabeler" in (process / "cmdline").read_bytes()
    except OSError:  # it has just ended
        return False
