from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mal.coco.boxes import Boxes, select_boxes
from mal.data import label_dataset
from mal.data.images import read_image
from mal.data.label_dataset import (
    BATCHES_IN_A_CHUNK,
    BoxChunks,
    BoxCropIterable,
    CropSettings,
    crop_boxes,
    join_crops,
    plan_batches,
)
from mal.data.loaders import crop_loader
from mal.size_bins import size_bin
from tests.coco.coco_samples import annotation, coco_file, document
from tests.data.photos import THREE_SIZES, photos

counts = st.lists(st.integers(1, 70), max_size=12)
sizes = st.lists(st.integers(0, 2), max_size=60)


def boxes_of(tmp_path, per_image: list[int]) -> Boxes:
    images = [{"id": each, "file_name": f"{each}.png", "width": 100, "height": 80} for each in range(len(per_image))]
    records = [annotation(image_id=image) for image, count in enumerate(per_image) for _ in range(count)]
    for number, record in enumerate(records):
        record["id"] = number
    return select_boxes(coco_file(tmp_path, document(*records, images=images)))[0]


@given(counts, st.integers(1, 5))
def test_chunks_hold_every_box_once_whole_images_and_enough_boxes(tmp_path_factory, per_image, batch_size):
    chunks = BoxChunks(boxes_of(tmp_path_factory.mktemp("boxes"), per_image), batch_size)
    rows = [chunks.rows(chunk) for chunk in range(len(chunks))]
    assert [row for each in rows for row in each] == list(range(sum(per_image)))
    images = [list(chunks.images(chunk)) for chunk in range(len(chunks))]
    assert [len(image) for of_chunk in images for image in of_chunk] == per_image
    for each, of_chunk in zip(rows[:-1], images[:-1], strict=True):
        assert len(each) >= BATCHES_IN_A_CHUNK * batch_size > len(each) - len(of_chunk[-1])


@given(counts, st.data())
def test_a_chunk_is_unfinished_while_a_box_of_it_is(tmp_path_factory, per_image, data):
    chunks = BoxChunks(boxes_of(tmp_path_factory.mktemp("boxes"), per_image), 1)
    total = sum(per_image)
    done = np.array(data.draw(st.lists(st.booleans(), min_size=total, max_size=total)), np.bool_)
    expected = [chunk for chunk in range(len(chunks)) if not done[list(chunks.rows(chunk))].all()]
    assert chunks.unfinished(done) == expected


@given(sizes, st.integers(1, 6))
def test_batches_hold_every_box_once_and_only_the_last_are_mixed_or_small(of_boxes, batch_size):
    batches = plan_batches(of_boxes, batch_size)
    assert sorted(index for batch in batches for index in batch) == list(range(len(of_boxes)))
    assert all(len(batch) == batch_size for batch in batches[:-1])
    full = sum(of_boxes.count(size) // batch_size for size in range(3))
    assert all(len({of_boxes[index] for index in batch}) == 1 for batch in batches[:full])


SETTINGS = CropSettings(crop_size=32)


def stream(boxes, folder, batch_size=4, **shares) -> BoxCropIterable:
    return BoxCropIterable(boxes, folder, SETTINGS, batch_size=batch_size, **shares)


@pytest.fixture
def boxes(tmp_path):
    return photos(tmp_path, [1, 7, 2, 1, 3])


def test_every_image_is_decoded_once(boxes, tmp_path, monkeypatch):
    reads = []
    original = label_dataset.read_record_image
    monkeypatch.setattr(
        label_dataset,
        "read_record_image",
        lambda folder, image: reads.append(image.position) or original(folder, image),
    )
    list(stream(boxes, tmp_path, batch_size=2))
    assert reads == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("batch_size", [1, 3, 4, 100])
def test_batches_are_full_but_the_last_and_keep_the_order(boxes, tmp_path, batch_size):
    batches = list(stream(boxes, tmp_path, batch_size))
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert [box.position for batch in batches for box in batch.boxes] == list(range(len(boxes)))


def test_a_crop_in_a_batch_is_the_crop_of_its_box_alone(boxes, tmp_path):
    for batch in stream(boxes, tmp_path, 5):
        for index, box in enumerate(batch.boxes):
            alone = crop_boxes(read_image(tmp_path / box.image.file_name), [box], SETTINGS)
            assert np.array_equal(batch.images[index], alone.images[0])
            assert np.array_equal(batch.box_mask[index], alone.box_mask[0])
            assert batch.box_area[index] == alone.box_area[0]
            assert batch.frames[index] == alone.frames[0]


def test_a_mask_may_leave_its_box_by_a_share_of_its_sides(tmp_path):
    boxes = photos(tmp_path, [1], [(50.0, 40.0)])
    image = read_image(tmp_path / "0.png")
    plain, wider = (crop_boxes(image, boxes, CropSettings(100, allow_outside=share)) for share in (0.0, 0.1))
    assert np.array_equal(plain.images, wider.images)
    before, after = (batch.box_mask[0, 0].astype(bool) for batch in (plain, wider))
    assert not (before & ~after).any()
    # The frame is 1.3 times the box, so a tenth of the box is eight pixels of the crop. The box lies in a corner of the
    # image, outside of which no mask may be, so that two sides move.
    for axis in (0, 1):
        assert after.any(axis=axis).sum() - before.any(axis=axis).sum() == pytest.approx(8, abs=1)


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_networks_see_the_box_itself_wherever_its_mask_may_lie(tmp_path, share):
    boxes = photos(tmp_path, [3], [(50.0, 40.0)])
    crops = [crop_boxes(read_image(tmp_path / "0.png"), [box], CropSettings(100, allow_outside=share)) for box in boxes]
    itself = [crop_boxes(read_image(tmp_path / "0.png"), [box], CropSettings(100)).box_mask for box in boxes]
    assert (crops[0].box_input is None) == (share == 0)
    assert np.array_equal(join_crops(crops).network_box, np.concatenate(itself))


@pytest.mark.parametrize("damage", ["missing", "damaged"])
@pytest.mark.parametrize("image", range(5))
def test_boxes_of_an_image_that_cannot_be_read_are_failures_each_with_the_reason(boxes, tmp_path, damage, image):
    path = tmp_path / f"{image}.png"
    content = path.read_bytes()
    path.unlink()
    if damage == "damaged":
        path.write_bytes(content[: len(content) // 2])
    batches = list(stream(boxes, tmp_path))
    failed = {box.position: reason for batch in batches for box, reason in batch.failures}
    labelled = [box.position for batch in batches for box in batch.boxes]
    assert sorted([*failed, *labelled]) == list(range(len(boxes)))
    assert failed.keys() == {box.position for box in boxes if box.image.position == image}
    assert all(f"{image}.png" in reason for reason in failed.values())


@pytest.fixture
def mixed_boxes(tmp_path):
    """Five boxes of each size, in turn, on three images; the first box of an image is a small one."""
    return photos(tmp_path, [6, 3, 6], THREE_SIZES)


@pytest.mark.parametrize("batch_size", [1, 2, 4, 100])
def test_boxes_of_one_size_share_a_batch_in_their_order_but_the_last_batches_take_what_is_left(
    mixed_boxes, tmp_path, batch_size
):
    batches = [[box.position for box in batch.boxes] for batch in stream(mixed_boxes, tmp_path, batch_size)]
    bins = [[size_bin(mixed_boxes[position].area) for position in batch] for batch in batches]
    of_one_size = 3 * (5 // batch_size)
    assert all(len(set(of_batch)) == 1 for of_batch in bins[:of_one_size])
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert sorted(place for batch in batches for place in batch) == list(range(15))
    for each in range(3):
        alike = [place for batch in batches for place in batch if size_bin(mixed_boxes[place].area) == each]
        assert alike == sorted(alike)


def test_no_more_than_a_batch_of_each_size_waits(tmp_path, monkeypatch):
    boxes = photos(tmp_path, [60], THREE_SIZES)
    cut = []
    original = label_dataset.crop_boxes
    monkeypatch.setattr(label_dataset, "crop_boxes", lambda *args, **kept: cut.append(args) or original(*args, **kept))
    given = 0
    for batch in stream(boxes, tmp_path, 4):
        assert len(cut) - given <= 3 * 4
        given += len(batch)
    assert given == 60


def test_a_folder_without_a_readable_image_gives_failures_only(boxes, tmp_path):
    for path in tmp_path.glob("*.png"):
        path.unlink()
    batches = list(stream(boxes, tmp_path))
    assert sum(map(len, batches)) == 0
    assert sum(len(batch.failures) for batch in batches) == len(boxes)


@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_processes_and_workers_together_crop_every_box_once(boxes, tmp_path, world_size, num_workers):
    found = []
    for rank in range(world_size):
        shares = {"num_workers": num_workers, "rank": rank, "world_size": world_size}
        loader = crop_loader(boxes, tmp_path, SETTINGS, batch_size=4, **shares)
        found += [box.position for batch in loader for box in batch.boxes]
    assert sorted(found) == list(range(len(boxes)))


def test_no_boxes_give_no_batches(tmp_path):
    assert list(crop_loader(photos(tmp_path, []), tmp_path, SETTINGS, batch_size=4, num_workers=2)) == []


def test_images_are_bytes_and_box_masks_are_0_or_1(boxes, tmp_path):
    (batch, *_) = stream(boxes, tmp_path)
    assert batch.images.dtype == batch.box_mask.dtype == np.uint8
    assert np.isin(batch.box_mask, (0, 1)).all()
    assert batch.box_area.dtype == np.float32


def test_batches_of_done_boxes_are_left_out_with_their_images_and_others_are_given_whole(boxes, tmp_path, monkeypatch):
    reads = []
    original = label_dataset.read_record_image
    monkeypatch.setattr(
        label_dataset,
        "read_record_image",
        lambda folder, image: reads.append(image.position) or original(folder, image),
    )
    done = np.ones(len(boxes), np.bool_)
    done[9] = False
    (batch,) = stream(boxes, tmp_path, done=done)
    assert [box.position for box in batch.boxes] == [8, 9, 10, 11]
    assert reads == sorted({box.image.position for box in batch.boxes})


def test_only_the_chunks_asked_for_are_given(tmp_path):
    boxes = photos(tmp_path, [16] * 3)
    given = [box.position for batch in stream(boxes, tmp_path, 1, chunks=[0, 2]) for box in batch.boxes]
    assert given == [*range(16), *range(32, 48)]
