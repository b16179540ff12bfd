from __future__ import annotations

import json
import shutil
import socket
import tempfile
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mal.coco.ground_truth import GroundTruth
from mal.console import console
from mal.data.label_dataset import CropSettings
from mal.data.loaders import AnnotatedImages, crop_loader
from mal.errors import UserError
from mal.labeler import MaskAutoLabeler
from mal.labeling.job import Engine, LabelJob, LabelWork, label_here, run_job
from mal.labeling.label_file import write_label_file
from mal.labeling.pipeline import write_shard
from mal.labeling.run import open_run
from mal.labeling.shards import BoxResult, MaskLabel, ShardLabels, ShardWriter
from mal.masks.rle import empty_rle, rle_from_mask
from mal.models.prediction_mode import PredictionMode
from mal.runtime.process_group import ProcessGroup
from tests.coco.coco_samples import annotation, coco_file, document
from tests.data.photos import THREE_SIZES, photos
from tests.small_networks import small_network

RAGGED = MaskLabel(rle_from_mask(np.random.default_rng(0).random((80, 100)) < 0.5))  # several kB


def peak_of_writing(folder: Path, count: int) -> int:
    """Bytes that labels took at most while their file was written from shards."""
    folder.mkdir()
    coco = coco_file(folder, document(*(annotation(id=number) for number in range(count))))
    with ShardWriter(folder / "shard") as shard:
        for position in range(count):
            shard.write([BoxResult(position, RAGGED)])
    tracemalloc.start()
    try:
        with ShardLabels(np.ones(count, np.bool_), [folder / "shard"]) as labels:
            write_label_file(coco, labels, [], folder / "out.json")
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_what_is_in_memory_hardly_grows_with_the_number_of_labels(tmp_path, monkeypatch):
    monkeypatch.setattr("mal.coco.lazy_json._BLOCK", 8 * 1024)  # parsed at a time; by default some 2000 records
    few, many = (peak_of_writing(tmp_path / str(count), count) for count in (1000, 2000))
    assert many - few < 1000 * 100 < 1000 * len(RAGGED.rle["counts"]) / 20


ALONE = ProcessGroup(rank=0, world_size=1, device="cpu", autocast_dtype=None)
IMAGES = [3, 5, 1, 4, 2, 6]  # boxes on each
NUM_BOXES = sum(IMAGES)


class CountingLabeler(MaskAutoLabeler):
    """Remembers which boxes the network was asked about."""

    asked: list[int]

    def start(self, batch):
        self.asked += [box.position for box in batch.boxes]
        return super().start(batch)


@pytest.fixture(scope="module")
def labeler() -> CountingLabeler:
    network = small_network()
    with torch.no_grad():
        network.roi_head.mlp2.bias.normal_(0, 3)  # probabilities on both sides of the threshold
    return CountingLabeler(network, network, crop=CropSettings(32), thresholds=[0.5], mode=PredictionMode())


@pytest.fixture(autouse=True)
def _fresh(labeler, monkeypatch):
    labeler.asked = []
    monkeypatch.setattr("mal.data.label_dataset.BATCHES_IN_A_CHUNK", 2)  # several chunks of so few boxes


@pytest.fixture(scope="module")
def source_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    photos(folder, IMAGES, THREE_SIZES)
    return folder


def job(source_folder: Path, folder: Path, **changes: Any) -> LabelJob:
    values: dict[str, Any] = {
        "source": AnnotatedImages(source_folder / "boxes.json", source_folder),
        "output": folder / "masks.json",
        "report": folder / "report.json",
        "skipped": folder / "skipped.csv",
        "shards": folder / "shards",
        "identity": lambda: {"the test": 1},
        "batch_size": 2,
        "num_workers": 0,
    }
    return LabelJob(**(values | changes))


def run(job: LabelJob, labeler: MaskAutoLabeler, engine: Engine | None = None) -> int:
    console.quiet = True
    try:
        return run_job(job, ALONE, engine or label_here(lambda: labeler, ALONE))
    finally:
        console.quiet = False


def results(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def whole(labeler, source_folder, tmp_path_factory) -> dict[str, bytes]:
    """What a run that nobody stops writes."""
    folder = tmp_path_factory.mktemp("whole")
    labeler.asked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mal.data.label_dataset.BATCHES_IN_A_CHUNK", 2)
        assert run(job(source_folder, folder), labeler) == 0
    assert not (folder / "shards").exists()
    assert sum(record["area"] > 0 for record in json.loads((folder / "masks.json").read_text())["annotations"]) > 15
    return results(folder)


@pytest.fixture(scope="module")
def left_behind(labeler, source_folder, tmp_path_factory) -> Path:
    """The shards of a run that labelled everything and was killed before it wrote the output."""
    folder = tmp_path_factory.mktemp("left")

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mal.data.label_dataset.BATCHES_IN_A_CHUNK", 2)
        patch.setattr("mal.labeling.job.write_label_file", stop)
        labeler.asked = []
        with pytest.raises(KeyboardInterrupt):
            run(job(source_folder, folder), labeler)
    return folder


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 1))
def test_a_shard_that_is_torn_anywhere_is_gone_on_with_to_the_same_files(
    labeler, source_folder, whole, left_behind, part
):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(left_behind / "shards", folder / "shards")
        record = folder / "shards/run.json"
        record.write_text(record.read_text().replace(str(left_behind), name))
        (shard,) = (folder / "shards").glob("*.jsonl")
        content = shard.read_bytes()
        shard.write_bytes(content[: round(part * len(content))])
        whole_before = shard.read_bytes().split(b'{"end_of_batch"')[:-1]
        done = sum(text.count(b'"annotation"') for text in whole_before if text)
        labeler.asked = []
        assert run(job(source_folder, folder), labeler) == 0
        assert results(folder) == whole
        assert len(labeler.asked) in (NUM_BOXES - done, NUM_BOXES - done + 2)  # a cut within the end of a batch


def test_a_run_that_only_lacked_its_output_needs_no_network(source_folder, whole, left_behind, tmp_path):
    shutil.copytree(left_behind / "shards", tmp_path / "shards")

    def no_network() -> MaskAutoLabeler:
        raise AssertionError("nothing is left to label")

    assert run_job(job(source_folder, tmp_path), ALONE, label_here(no_network, ALONE)) == 0
    assert results(tmp_path) == whole


def shares(labeler: MaskAutoLabeler, world: int, workers: int) -> Engine:
    """Several processes, one after the other."""

    def label(job: LabelJob, work: LabelWork) -> None:
        for rank in range(world):
            loader = partial(crop_loader, batch_size=job.batch_size, num_workers=workers, rank=rank, world_size=world)
            batches = loader(work.boxes, job.source.img_dir, labeler.crop, done=work.done)
            write_shard(batches, labeler, work.run.new_shard(f"{rank:04d}"))

    return label


@pytest.mark.parametrize(("world", "workers"), [(1, 2), (2, 0), (3, 2), (20, 0)])
def test_any_number_of_processes_and_workers_writes_the_same_files(
    labeler, source_folder, whole, tmp_path, world, workers
):
    assert run(job(source_folder, tmp_path), labeler, shares(labeler, world, workers)) == 0
    assert results(tmp_path) == whole
    assert sorted(labeler.asked) == list(range(NUM_BOXES))


def test_boxes_that_failed_are_tried_again_with_those_of_their_batch_and_no_others(
    labeler, source_folder, whole, tmp_path
):
    folder = tmp_path / "photos"
    shutil.copytree(source_folder, folder)
    photo = folder / "1.png"
    content = photo.read_bytes()
    photo.write_bytes(content[:100])
    (tmp_path / "out").mkdir()
    assert run(job(folder, tmp_path / "out"), labeler) == 1
    assert len(labeler.asked) == NUM_BOXES - IMAGES[1]
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert (report["counts"]["labelled"], report["counts"]["failed"]) == (NUM_BOXES - IMAGES[1], IMAGES[1])
    labeler.asked = []
    assert run(job(folder, tmp_path / "out"), labeler) == 1
    assert labeler.asked != []
    photo.write_bytes(content)
    labeler.asked = []
    assert run(job(folder, tmp_path / "out"), labeler) == 0
    assert set(range(3, 8)) <= set(labeler.asked)
    assert len(labeler.asked) < NUM_BOXES
    assert (tmp_path / "out/masks.json").read_bytes() == whole["masks.json"]
    assert not (tmp_path / "out/shards").exists()


def test_the_output_may_not_be_replaced_by_accident(labeler, source_folder, whole, tmp_path):
    run(job(source_folder, tmp_path), labeler)
    with pytest.raises(UserError, match="--overwrite"):
        run(job(source_folder, tmp_path, identity=lambda: {"the test": 2}), labeler)
    assert results(tmp_path) == whole
    assert run(job(source_folder, tmp_path, batch_size=3, overwrite=True), labeler) == 0


@pytest.fixture
def half_drawn(source_folder, tmp_path) -> Path:
    """A folder where every other annotation has a polygon, one of them an empty mask of an earlier run."""
    folder = tmp_path / "half"
    shutil.copytree(source_folder, folder)
    document = json.loads((folder / "boxes.json").read_text())
    for record in document["annotations"][::2]:
        x, y, width, height = record["bbox"]
        triangle = [x, y, x + width, y, x + width, y + height]
        record |= {"segmentation": [triangle], "area": 30, "attributes": {"by": "hand"}}
    document["annotations"][2] |= {"area": 0, "mal": {"status": "failed", "reason": "image gone"}}
    document["annotations"][4]["bbox"] = [0, 0, -1, 5]
    (folder / "boxes.json").write_text(json.dumps(document))
    return folder


def test_masks_that_people_drew_stay_as_they_are_where_that_is_asked_for(labeler, half_drawn, tmp_path):
    (tmp_path / "out").mkdir()
    assert run(job(half_drawn, tmp_path / "out", keep_existing_masks=True), labeler) == 0
    before = json.loads((half_drawn / "boxes.json").read_text())["annotations"]
    after = json.loads((tmp_path / "out/masks.json").read_text())["annotations"]
    kept = [place for place in range(0, NUM_BOXES, 2) if place != 2]
    assert [after[place] for place in kept] == [before[place] for place in kept]
    assert sorted(labeler.asked) == [place for place in range(NUM_BOXES) if place not in kept]
    assert all("counts" in after[place]["segmentation"] for place in labeler.asked)
    report = json.loads((tmp_path / "out/report.json").read_text())
    counts = report["counts"]
    assert (counts["kept"], counts["labelled"]) == (len(kept), NUM_BOXES - len(kept))
    (note,) = report["records"]  # of the record with a bad box
    assert (note["action"], note["annotation_index"]) == ("warned", 4)


def test_true_masks_are_compared_with_and_the_report_is_the_same_after_a_stop(labeler, half_drawn, tmp_path):
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
    run(job(half_drawn, tmp_path / "whole", load_mask=True), labeler)

    def half(job: LabelJob, work: LabelWork) -> None:
        loader = crop_loader(
            work.boxes, job.source.img_dir, labeler.crop, batch_size=2, num_workers=0, done=work.done, chunks={0, 2}
        )
        write_shard(loader, labeler, work.run.new_shard("half"), GroundTruth(job.source.coco))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(job(half_drawn, tmp_path / "stopped", load_mask=True), labeler, half)
    run(job(half_drawn, tmp_path / "stopped", load_mask=True), labeler)
    assert results(tmp_path / "stopped") == results(tmp_path / "whole")
    report = json.loads((tmp_path / "whole/report.json").read_text())
    assert sum("no mask in the file" in record["reason"] for record in report["records"]) == NUM_BOXES // 2
    records = json.loads((tmp_path / "whole/masks.json").read_text())["annotations"]
    assert all(("iou" in record) == (place % 2 == 0 and place != 4) for place, record in enumerate(records))


def test_labels_of_an_image_can_be_changed_together_at_the_end(labeler, source_folder, whole, tmp_path):
    seen = []

    def without_first(labels: dict[int, MaskLabel]) -> dict[int, MaskLabel]:
        seen.append(list(labels))
        first = min(labels)
        width, height = labels[first].rle["size"][::-1]
        return {first: MaskLabel(empty_rle(width, height))}

    assert run(job(source_folder, tmp_path, resolve=without_first), labeler) == 0
    starts = [sum(IMAGES[:image]) for image in range(len(IMAGES))]
    assert seen == [list(range(start, start + count)) for start, count in zip(starts, IMAGES, strict=True)]
    records = json.loads((tmp_path / "masks.json").read_text())["annotations"]
    expected = json.loads(whole["masks.json"])["annotations"]
    assert all(records[place]["area"] == 0 for place in starts)
    assert all(records[place] == expected[place] for place in range(NUM_BOXES) if place not in starts)


def scored(score: Callable[[int], float]) -> Engine:
    """An engine whose labels have scores."""

    def label(job: LabelJob, work: LabelWork) -> None:
        with ShardWriter(work.run.new_shard("0")) as shard:
            for box in work.boxes:
                rle = rle_from_mask(np.ones((box.image.height, box.image.width), bool))
                shard.write([BoxResult(box.position, MaskLabel(rle, score=score(box.position)))])

    return label


def test_labels_with_a_low_score_are_marked_and_counted_and_none_is_lost(labeler, source_folder, tmp_path):
    engine = scored(lambda position: position / NUM_BOXES)
    assert run(job(source_folder, tmp_path, min_score=0.5), labeler, engine) == 0
    records = json.loads((tmp_path / "masks.json").read_text())["annotations"]
    assert [record["mask_score"] for record in records] == [place / NUM_BOXES for place in range(NUM_BOXES)]
    doubtful = [place for place in range(NUM_BOXES) if place / NUM_BOXES < 0.5]
    assert [place for place, record in enumerate(records) if "mal" in record] == doubtful
    assert records[0]["mal"] == {"status": "doubtful", "reason": "mask_score 0 is below inference.min_score 0.5"}
    counts = json.loads((tmp_path / "report.json").read_text())["counts"]
    assert (counts["labelled"], counts["doubtful"], counts["annotations"]) == (NUM_BOXES, len(doubtful), NUM_BOXES)


def changed(folder: Path, source_folder: Path, change: Callable[[dict[str, Any]], None]) -> AnnotatedImages:
    content = json.loads((source_folder / "boxes.json").read_text())
    change(content)
    (folder / "boxes.json").write_text(json.dumps(content))
    return AnnotatedImages(folder / "boxes.json", source_folder)


def with_an_absurd_size(content: dict[str, Any]) -> None:
    content["images"][2] |= {"width": 70_000, "height": 70_000}


def test_an_absurd_image_size_fails_its_boxes_alone_and_again_when_repeated(source_folder, labeler, tmp_path):
    source = changed(tmp_path, source_folder, with_an_absurd_size)
    for _ in range(2):
        assert run(job(source_folder, tmp_path, source=source), labeler) == 1
        report = json.loads((tmp_path / "report.json").read_text())
        assert (report["counts"]["labelled"], report["counts"]["failed"]) == (NUM_BOXES - IMAGES[2], IMAGES[2])
        (note, *_) = [entry for entry in report["records"] if entry["action"] == "failed"]
        assert "70000 x 70000" in note["reason"]


def test_shards_of_a_version_that_took_more_records_for_boxes_are_gone_on_with(source_folder, labeler, tmp_path):
    source = changed(tmp_path, source_folder, with_an_absurd_size)
    positions = np.flatnonzero(source.coco.table.image_rows == 2).tolist()
    run_of_then = open_run(tmp_path / "shards", {"the test": 1}, tmp_path / "masks.json")
    with ShardWriter(run_of_then.new_shard("0000")) as shard:
        box_results = [BoxResult(position, failed="the record says 70000 x 70000") for position in positions]
        shard.write([*box_results, BoxResult(0, MaskLabel(empty_rle(40, 30)))])
    assert run(job(source_folder, tmp_path, source=source), labeler) == 1
    assert json.loads((tmp_path / "report.json").read_text())["counts"]["failed"] == len(positions)


def test_a_finished_run_that_is_repeated_is_complete_and_touches_nothing(source_folder, labeler, whole, tmp_path):
    assert run(job(source_folder, tmp_path), labeler) == 0
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    labeler.asked = []
    assert run(job(source_folder, tmp_path), labeler) == 0
    assert labeler.asked == []
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_a_finished_run_that_is_repeated_writes_what_is_missing_and_removes_drafts(source_folder, labeler, tmp_path):
    on_complete: list[bool] = []
    assert run(job(source_folder, tmp_path, on_complete=on_complete.append), labeler) == 0
    skipped = (tmp_path / "skipped.csv").read_bytes()
    (tmp_path / "skipped.csv").unlink()
    draft = tmp_path / f".skipped.csv.{socket.gethostname()}.999999999.draft"
    draft.touch()
    assert run(job(source_folder, tmp_path, on_complete=on_complete.append), labeler) == 0
    assert (tmp_path / "skipped.csv").read_bytes() == skipped
    assert not draft.exists()
    assert on_complete == [True, False]


def test_what_decides_the_marks_in_the_file_is_part_of_a_finished_run(source_folder, labeler, tmp_path):
    assert run(job(source_folder, tmp_path), labeler) == 0
    with pytest.raises(UserError, match="exists already"):
        run(job(source_folder, tmp_path, min_score=0.9), labeler)
