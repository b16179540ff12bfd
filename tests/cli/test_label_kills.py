"""A labelling run that is stopped, at any moment and in any way, ends with the file of one that was never stopped."""

from __future__ import annotations

import random
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import SimpleNamespace

import pytest

from mal.labeling.shards import parse_box_result, shard_paths, whole_batches
from mal.sample.generate import make_sample
from tests.cli.killable_runs import RunStarter, interrupt_group, kill, terminate
from tests.cli.small_runs import SmallData, small_data, write_spec

pytestmark = pytest.mark.slow

STOPS = [kill] * 10 + [terminate, interrupt_group]
PATIENCE = 600.0  # seconds; only a run that hangs takes them
NUM_BOXES = 60


@pytest.fixture(scope="module")
def starter() -> RunStarter:
    return RunStarter()


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> SmallData:
    folder = tmp_path_factory.mktemp("data")
    make_sample(folder / "scenes", num_train_images=4, num_val_images=36, image_size=(480, 360))
    boxes_each = 3
    num_val = NUM_BOXES // boxes_each
    return small_data(folder / "coco", folder / "scenes", num_train=2, num_val=num_val, boxes_each=boxes_each)


@pytest.fixture(scope="module")
def checkpoint(starter, data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    process = starter.start(write_spec(data, folder, train__num_epochs=1), folder / "log.txt")
    process.join(PATIENCE)
    assert process.exitcode == 0, (folder / "log.txt").read_text()
    return folder / "train/mal_model_latest.pth"


def label_spec(data: SmallData, checkpoint: Path, folder: Path) -> Path:
    """A run whose boxes take most of its time."""
    spec = write_spec(data, folder, inference__checkpoint=str(checkpoint), inference__batch_size=1)
    text = spec.read_text()
    spec.write_text(text.replace("crop_size: 64", "crop_size: 256").replace("_gpu: 0", "_gpu: 1"))
    return spec


@pytest.fixture(scope="module")
def whole(starter, data, checkpoint, tmp_path_factory) -> SimpleNamespace:
    """A run that nobody stops, and how long it takes."""
    folder = tmp_path_factory.mktemp("whole")
    spec = label_spec(data, checkpoint, folder)
    started = time.monotonic()
    process = starter.start(spec, folder / "log.txt", "inference")
    process.join(PATIENCE)
    assert process.exitcode == 0, (folder / "log.txt").read_text()
    return SimpleNamespace(files=results(folder), seconds=time.monotonic() - started)


def results(folder: Path) -> dict[str, bytes]:
    return {name: (folder / "inference" / name).read_bytes() for name in ("masks.json", "inference_report.json")}


def labelled(shards: Path) -> list[int]:
    """Every box that was labelled so far, as often as it was."""
    batches = [batch for path in shard_paths(shards) for batch in whole_batches(path)]
    return [parse_box_result(line).position for batch in batches for _, line in batch]


def wait_for_growth(shards: Path, num_bytes: int, process: ForkServerProcess) -> None:
    """Wait until a run has written so much more to its shards, or ends."""
    before = sum(map(size_of, shard_paths(shards)))
    while process.is_alive() and sum(map(size_of, shard_paths(shards))) <= before + num_bytes:
        process.join(0.002)


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # the run has ended and removes its shards
        return 0


def test_a_labelling_run_that_is_stopped_at_random_writes_the_same_file_and_labels_no_box_twice(
    starter, data, checkpoint, whole, tmp_path
):
    moments, stops, caught = random.Random(7), list(STOPS), 0
    for attempt in range(100):
        folder = tmp_path / f"run{attempt}"
        spec, shards = label_spec(data, checkpoint, folder), folder / "inference/shards"
        while True:
            process = starter.start(spec, folder / "log.txt", "inference")
            if stops:
                if len(stops) % 2:
                    process.join(moments.uniform(0.1, 1.0) * whole.seconds)
                else:
                    wait_for_growth(shards, moments.randrange(3000), process)
                if process.is_alive():
                    stops.pop()(process)
            process.join(PATIENCE)
            assert process.exitcode is not None, "the run hangs"
            if process.exitcode == 0 or (not shards.exists() and (folder / "inference/masks.json").exists()):
                break
            found = labelled(shards)
            assert len(found) == len(set(found)), "a box was labelled twice"
            caught += 0 < len(found) < NUM_BOXES
        assert results(folder) == whole.files
        if not stops:
            assert caught >= 3, "most runs were stopped before or after all labelling"
            return
    pytest.fail("the runs end before they can be stopped")
