from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np

from mal.labelling.label import Label
from mal.labelling.label_file import write_label_file
from mal.labelling.shard_labels import ShardLabels
from mal.labelling.shards import Finding, ShardWriter
from mal.masks.rle import rle_from_mask
from tests.data.coco_samples import annotation, coco_file, document

RAGGED = Label(rle_from_mask(np.random.default_rng(0).random((80, 100)) < 0.5))  # several kB


def peak_of_writing(folder: Path, count: int) -> int:
    """Bytes that labels took at most while their file was written from shards."""
    folder.mkdir()
    coco = coco_file(folder, document(*(annotation(id=number) for number in range(count))))
    with ShardWriter(folder / "shard") as shard:
        for position in range(count):
            shard.write([Finding(position, RAGGED)])
    tracemalloc.start()
    try:
        with ShardLabels(np.ones(count, np.bool_), [folder / "shard"]) as labels:
            write_label_file(coco, labels, [], folder / "out.json")
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_what_is_in_memory_hardly_grows_with_the_number_of_labels(tmp_path, monkeypatch):
    monkeypatch.setattr("mal.data.json_records._BLOCK", 8 * 1024)  # parsed at a time; by default some 2000 records
    few, many = (peak_of_writing(tmp_path / str(count), count) for count in (1000, 2000))
    assert many - few < 1000 * 100 < 1000 * len(RAGGED.rle["counts"]) / 20
