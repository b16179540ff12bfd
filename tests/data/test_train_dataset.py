from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mal.data import train_dataset
from mal.data.box_input import BoxInput
from mal.data.targets import TargetSettings
from mal.data.train_dataset import BoxCropDataset, EpochSampler, TrainBatch, collate, train_loader
from mal.errors import UserError
from tests.data.photos import photos


def dataset(boxes, folder, **changes) -> BoxCropDataset:
    options = {"crop_size": 32, "margin_rate": [0.0, 1.2], "border": "wrap", "seed": 3} | changes
    return BoxCropDataset(boxes, folder, **options)


def same(first: TrainBatch, second: TrainBatch) -> bool:
    names = [field.name for field in fields(TrainBatch) if field.name != "targets"]
    pairs = [(getattr(first, name), getattr(second, name)) for name in names]
    return all(one is other or torch.equal(one, other) for one, other in pairs)


@pytest.fixture
def boxes(tmp_path):
    return photos(tmp_path, [2, 3, 1])


def test_a_sample_follows_from_seed_epoch_and_index_alone(boxes, tmp_path):
    first, second = dataset(boxes, tmp_path), dataset(boxes, tmp_path)
    second[0, 5], second[7, 1]
    assert same(first[2, 4], second[2, 4])


@pytest.mark.parametrize("key", [(3, 4), (2, 3)])
def test_another_epoch_or_box_gives_another_sample(boxes, tmp_path, key):
    samples = dataset(boxes, tmp_path)
    assert not torch.equal(samples[2, 4].teacher_images, samples[key].teacher_images)


def test_another_seed_gives_another_sample(boxes, tmp_path):
    assert not same(dataset(boxes, tmp_path)[0, 0], dataset(boxes, tmp_path, seed=4)[0, 0])


def test_a_sample_is_two_views_of_one_crop_with_its_box(boxes, tmp_path):
    sample = dataset(boxes, tmp_path)[0, 5]
    assert sample.student_images.shape == sample.teacher_images.shape == (1, 3, 32, 32)
    assert sample.student_images.dtype == torch.uint8
    assert sample.box_mask.shape == (1, 1, 32, 32)
    assert 0 < sample.box_mask.float().mean() <= 1
    assert sample.box_area.tolist() == [108.0]
    assert sample.positions.tolist() == [5]


def test_box_mask_and_views_are_mirrored_together(boxes, tmp_path, monkeypatch):
    plain, mirrored = [], []
    for probability, kept in ((0.0, plain), (1.0, mirrored)):
        monkeypatch.setattr(train_dataset, "FLIP_PROBABILITY", probability)
        sample = dataset(boxes, tmp_path)[1, 2]
        kept += [sample.teacher_images, sample.box_mask]
    assert all(torch.equal(one, other.flip(-1)) for one, other in zip(plain, mirrored, strict=True))


TARGETS = TargetSettings(ellipse_epochs=1.5, ellipse_share=0.0)


def test_targets_change_no_random_number_of_a_sample(boxes, tmp_path):
    plain, with_targets = dataset(boxes, tmp_path), dataset(boxes, tmp_path, targets=TARGETS)
    assert plain[1, 2].targets is None
    assert same(plain[1, 2], with_targets[1, 2])


def test_a_batch_joins_the_targets_of_its_samples_and_carries_them(boxes, tmp_path):
    samples = dataset(boxes, tmp_path, targets=TARGETS)
    batch = collate([samples[1, 0], samples[1, 5]])
    assert batch.targets.ellipse.shape == (2, 1, 32, 32)
    assert [window.grid.box for window in batch.targets.windows] == [boxes[0].xyxy, boxes[5].xyxy]
    moved = batch.to("meta")
    assert moved.targets.ellipse.is_meta
    assert moved.student_images.is_meta
    assert moved.targets.windows == batch.targets.windows


CHANGES = BoxInput(jitter=0.1, dropout=0.33)


def test_the_box_is_an_input_only_where_it_is_asked_for_and_changes_nothing_else(boxes, tmp_path):
    plain, with_box = (dataset(boxes, tmp_path, box_input=changes)[1, 2] for changes in (None, CHANGES))
    assert plain.box_input is None
    assert with_box.box_input.shape == with_box.box_mask.shape
    assert same(replace(with_box, box_input=None), plain)


def test_the_box_as_an_input_is_another_in_each_epoch_and_the_same_after_a_resume(boxes, tmp_path):
    first, resumed = (dataset(boxes, tmp_path, box_input=CHANGES) for _ in range(2))
    drawn = [first[epoch, 4].box_input for epoch in range(6)]
    assert torch.equal(resumed[5, 4].box_input, drawn[5])
    assert len({each.numpy().tobytes() for each in drawn}) > 2


def test_the_box_as_an_input_is_mirrored_with_the_crop(boxes, tmp_path, monkeypatch):
    masks = []
    for probability in (0.0, 1.0):
        monkeypatch.setattr(train_dataset, "FLIP_PROBABILITY", probability)
        masks.append([dataset(boxes, tmp_path, box_input=CHANGES)[epoch, 2].box_input for epoch in range(4)])
    assert all(torch.equal(one, other.flip(-1)) for one, other in zip(*masks, strict=True))


def test_an_image_is_decoded_once_for_its_boxes(boxes, tmp_path, monkeypatch):
    reads = []
    original = train_dataset.read_record_image
    monkeypatch.setattr(train_dataset, "read_record_image", lambda *given: reads.append(given) or original(*given))
    samples = dataset(boxes, tmp_path)
    for index in range(len(boxes)):
        samples[0, index]
    assert len(reads) == 3


def test_a_missing_image_is_named(boxes, tmp_path):
    (tmp_path / "1.png").unlink()
    with pytest.raises(UserError, match=r"1\.png"):
        dataset(boxes, tmp_path)[0, 2]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_do_not_depend_on_the_workers(boxes, tmp_path, num_workers):
    def epoch(workers):
        arguments = {"batch_size": 4, "num_workers": workers, "rank": 0, "world_size": 1, "pin_memory": False}
        return list(train_loader(dataset(boxes, tmp_path), **arguments))

    batches = epoch(num_workers)
    assert [len(batch) for batch in batches] == [4, 2]
    assert all(same(one, other) for one, other in zip(batches, epoch(0), strict=True))


@given(num_boxes=st.integers(1, 50), world_size=st.integers(1, 7), epoch=st.integers(0, 3))
def test_the_processes_together_draw_every_box_in_equally_many_steps(num_boxes, world_size, epoch):
    drawn = []
    for rank in range(world_size):
        sampler = EpochSampler(num_boxes, seed=1, rank=rank, world_size=world_size)
        sampler.set_epoch(epoch)
        keys = list(sampler)
        assert len(keys) == len(sampler)
        assert {key[0] for key in keys} == {epoch}
        drawn += [index for _, index in keys]
    assert set(drawn) == set(range(num_boxes))
    assert len(drawn) - num_boxes < world_size


def test_every_epoch_has_an_order_of_its_own():
    sampler = EpochSampler(30, seed=1)
    orders = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        orders.append([index for _, index in sampler])
    assert orders[0] != orders[1]
    assert orders[0] == orders[2]


def test_a_resumed_sampler_goes_on_within_its_epoch_and_draws_the_next_one_whole():
    whole, resumed = EpochSampler(9, seed=1), EpochSampler(9, seed=1)
    whole.set_epoch(2)
    resumed.resume_at(2, 4)
    assert list(resumed) == list(whole)[4:]
    assert list(resumed) == list(whole)[4:]  # the trainer asks once for a look
    for sampler in (whole, resumed):
        sampler.set_epoch(3)
    assert list(resumed) == list(whole)


@given(num_boxes=st.integers(1, 60), favored=st.sets(st.integers(0, 59)), share=st.floats(0, 1), rank=st.integers(0, 1))
def test_favored_boxes_come_more_often_in_the_place_of_others(num_boxes, favored, share, rank):
    favored = sorted(index for index in favored if index < num_boxes)
    options = {"seed": 1, "rank": rank, "world_size": 2}
    sampler = EpochSampler(num_boxes, **options, favored=favored, favored_share=share)
    plain = list(EpochSampler(num_boxes, **options))
    keys = list(sampler)
    assert len(keys) == len(plain)
    extra = [key for key in keys if len(key) == 3]
    assert {index for _, index, _ in extra} <= set(favored)
    assert {count for *_, count in extra} <= set(range(1, train_dataset.MOST_REPEATS + 1))
    changed = [one for one, other in zip(plain, keys, strict=True) if one != other]
    assert len(changed) == len(extra)
    assert not {index for _, index in changed} & set(favored)  # no true mask loses its own turn
    sampler.resume_at(0, len(keys) // 2)
    assert list(sampler) == keys[len(keys) // 2 :]


def test_favored_boxes_take_their_share_of_an_epoch():
    sampler = EpochSampler(80, seed=1, favored=[3, 7, 11, 12, 13], favored_share=0.25)
    keys = list(sampler)
    assert len({key for key in keys if len(key) == 3}) == 20
    sampler.set_epoch(1)
    assert [key[1:] for key in sampler] != [key[1:] for key in keys]


def test_a_box_that_comes_again_in_an_epoch_has_other_samples(boxes, tmp_path):
    samples = dataset(boxes, tmp_path, box_input=CHANGES)
    first, second, third = (samples[key].teacher_images for key in ((0, 2), (0, 2, 1), (0, 2, 2)))
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)
    assert torch.equal(second, dataset(boxes, tmp_path)[0, 2, 1].teacher_images)


def test_a_batch_can_be_moved_and_joined(boxes, tmp_path):
    samples = dataset(boxes, tmp_path, box_input=CHANGES)
    batch = train_dataset.collate([samples[0, 0], samples[0, 1]])
    assert batch.box_input.shape == (2, 1, 32, 32)
    assert len(batch) == 2
    assert same(batch.to("cpu"), batch)
