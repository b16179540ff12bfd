from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mal.data.box import Boxes
from mal.data.box_chunks import BATCHES_IN_A_CHUNK, BoxChunks, plan_batches
from mal.data.boxes import select_boxes
from tests.data.coco_samples import annotation, coco_file, document

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
