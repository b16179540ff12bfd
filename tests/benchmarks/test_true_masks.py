from __future__ import annotations

import json

import pytest

from benchmarks import true_masks
from benchmarks.quality_cells import Boxes, Cell, CellKey
from benchmarks.quality_sets import whole_part
from benchmarks.true_masks import BEGIN, END, Draw, draws, random_ids, small_part, table
from mal.sample.generate import make_sample


@pytest.fixture(scope="module")
def part(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    make_sample(folder, num_train_images=6, num_val_images=1, image_size=(96, 72))
    return whole_part(folder)


def test_every_number_of_masks_is_drawn_in_both_ways_and_none_once():
    assert [draw.column for draw in draws()] == [
        "boxes", "chosen5", "chosen20", "chosen50", "random5", "random20", "random50"
    ]  # fmt: skip


def test_a_small_part_has_whole_pictures_and_its_boxes_have_no_masks(part, tmp_path):
    small = small_part(part, tmp_path, 4)
    boxes, masks = (json.loads(path.read_text()) for path in (small.train_boxes, small.train_masks))
    assert 0 < len(boxes["images"]) < 6
    assert len(boxes["annotations"]) == len(masks["annotations"]) >= 4
    assert not any("segmentation" in record for record in boxes["annotations"])
    assert small.val_masks == part.val_masks


def test_random_masks_of_a_seed_grow_with_their_number(part):
    document = json.loads(part.train_masks.read_text())
    few, more = (random_ids(document, count, seed=1) for count in (2, 5))
    assert few < more
    assert random_ids(document, 5, seed=2) != more


def cell(out, column: str, seed: int, iou: list[float]) -> None:
    names = [str(number) for number in range(len(iou))]
    boxes = Boxes(names, ["a", "b"] * (len(iou) // 2), ["c"] * len(iou), [9.0] * len(iou), iou, iou)
    Cell(CellKey("nuts", column, seed), [], "x", 1.0, 2, 3.0, boxes).write(out)


def test_the_table_has_means_over_seeds_differences_and_what_is_missing(tmp_path):
    for seed in (0, 1):
        cell(tmp_path, "boxes", seed, [0.5, 0.6, 0.5, 0.6])
        cell(tmp_path, "chosen5", seed, [0.5 + 0.12 * seed, 0.6, 0.5, 0.7])
    lines = table(tmp_path, ["nuts"], [0, 1]).splitlines()
    assert "2 seeds" in lines[0]
    chosen, random = lines[-2:]
    assert chosen.startswith("| nuts | by `--choose` | .550 | .590 (+0.040, +0.030 to +0.050) | missing | missing |")
    assert random.startswith("| nuts | at random | .550 | missing |")


def test_the_table_is_written_between_its_markers(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"a\n{BEGIN}\nold\n{END}\nb")
    true_masks.main(["--table", "--out", str(tmp_path / "out"), "--document", str(page), "--sets", "nuts"])
    text = page.read_text()
    assert text.startswith("a\n")
    assert text.endswith(f"{END}\nb")
    assert "old" not in text
    assert "| nuts | by `--choose` | missing |" in text


def test_the_masks_of_a_draw_are_a_file_of_their_own(part, tmp_path, monkeypatch):
    small = small_part(part, tmp_path, 8)
    monkeypatch.setattr(
        true_masks, "mal", lambda words: (tmp_path / "starter.json").write_text(small.train_boxes.read_text()) * 0
    )
    for draw in (Draw("chosen", 3), Draw("random", 3)):
        path = true_masks.true_masks(small, draw, 1, tmp_path)
        records = json.loads(path.read_text())["annotations"]
        assert len(records) == 3
        assert all(record["segmentation"] for record in records)
