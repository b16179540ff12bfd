from __future__ import annotations

import os

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mal.masks.rle import rle_from_mask
from mal.metrics.iou import dice_from_iou, mask_iou
from mal.metrics.iou_metric import InstanceIoU

# A process without instances is a case of its own here, not a mistake.
pytestmark = pytest.mark.filterwarnings("ignore:The ``compute`` method of metric InstanceIoU:UserWarning")

pairs = st.tuples(st.integers(1, 8), st.integers(1, 8)).flatmap(
    lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape))
)


def measured(rows):
    metric = InstanceIoU()
    for iou, category, area in rows:
        metric.update(torch.tensor([iou]), torch.tensor([category]), torch.tensor([float(area)]))
    return metric.compute()


@given(pairs)
def test_iou_is_symmetric_within_0_and_1_and_the_ratio_of_pixels(pair):
    first, second = pair
    union = np.logical_or(first, second).sum()
    expected = np.logical_and(first, second).sum() / union if union else 0.0
    iou = mask_iou(rle_from_mask(first), rle_from_mask(second))
    assert iou == mask_iou(rle_from_mask(second), rle_from_mask(first))
    assert 0 <= iou <= 1
    assert iou == pytest.approx(expected)


def test_masks_of_different_sizes_cannot_be_compared():
    with pytest.raises(ValueError, match="different sizes"):
        mask_iou(rle_from_mask(np.ones((2, 3), bool)), rle_from_mask(np.ones((3, 2), bool)))


def test_the_class_mean_weighs_each_occurring_class_the_same():
    summary = measured([(1.0, 7, 10), (0.5, 7, 10), (0.0, 90, 10)])
    assert summary.all.classes == pytest.approx(0.375)
    assert summary.all.instances == pytest.approx(0.5)
    assert {key: (item.mean, item.n) for key, item in summary.by_class.items()} == {7: (0.75, 2), 90: (0.0, 1)}


@pytest.mark.parametrize(
    ("area", "size"), [(1, "small"), (1024, "small"), (1024.5, "medium"), (9216, "medium"), (9217, "large")]
)
def test_the_upper_end_belongs_to_a_size_bin(area, size):
    summary = measured([(0.25, 1, area)])
    assert {name: group.n for name, group in summary.by_size.items() if group.n} == {size: 1}


def test_without_an_instance_there_is_no_number_and_no_nan():
    values = InstanceIoU().compute().as_dict()
    assert values["n"] == values["n_small"] == 0
    assert values["miou_classes"] is values["miou_instances"] is values["share_iou_50"] is None


def test_shares_count_the_threshold_itself():
    summary = measured([(0.5, 1, 1), (0.75, 1, 1), (0.2, 1, 1), (1.0, 1, 1)])
    assert (summary.share_50, summary.share_75) == (0.75, 0.5)


def test_reset_forgets_all_instances():
    metric = InstanceIoU()
    metric.update(torch.tensor([1.0]), torch.tensor([1]), torch.tensor([1.0]))
    metric.reset()
    assert metric.compute().all.n == 0


def test_calling_the_metric_gives_the_batch_and_keeps_the_whole():
    metric = InstanceIoU()
    metric(torch.tensor([1.0]), torch.tensor([1]), torch.tensor([1.0]))
    batch = metric(torch.tensor([0.0]), torch.tensor([1]), torch.tensor([1.0]))
    assert (batch.all.instances, metric.compute().all.instances) == (0.0, 0.5)


def test_vectors_of_different_lengths_are_a_programming_error():
    with pytest.raises(ValueError, match="one length"):
        InstanceIoU().update(torch.ones(2), torch.ones(1), torch.ones(2))


def _work(rank, port, queue):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=2)
    metric = InstanceIoU()
    if rank == 0:
        metric.update(torch.tensor([1.0, 0.5]), torch.tensor([2**40, 3]), torch.tensor([5.0, 5000.0]))
    queue.put(metric.compute())
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_agree_even_if_one_has_no_instance(unused_port):
    context = mp.get_context("spawn")
    queue = context.SimpleQueue()
    mp.start_processes(_work, args=(unused_port, queue), nprocs=2, start_method="spawn")
    first, second = queue.get(), queue.get()
    assert first == second
    assert first.all.n == 2
    assert set(first.by_class) == {3, 2**40}


@pytest.fixture
def unused_port():
    import socket

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def test_the_last_digit_does_not_depend_on_the_order_of_arrival():
    generator = torch.Generator().manual_seed(0)
    iou, category, area = torch.rand(500, generator=generator), torch.arange(500) % 7, torch.arange(500.0) * 20
    summaries = []
    for order in (torch.arange(500), torch.randperm(500, generator=generator)):
        metric = InstanceIoU()
        metric.update(iou[order], category[order], area[order])
        summaries.append(metric.compute())
    assert summaries[0] == summaries[1]


areas_of_pairs = st.tuples(st.integers(1, 8), st.integers(1, 8)).flatmap(
    lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape))
)


@given(areas_of_pairs)
def test_dice_is_twice_the_common_pixels_over_the_pixels_of_both(pair):
    first, second = pair
    pixels = first.sum() + second.sum()
    expected = 2 * (first & second).sum() / pixels if pixels else 0.0
    assert dice_from_iou(mask_iou(rle_from_mask(first), rle_from_mask(second))) == pytest.approx(expected)


@given(st.floats(0, 1))
def test_dice_is_never_below_the_iou(iou):
    assert iou <= dice_from_iou(iou) <= 1


def test_means_do_not_follow_from_each_other():
    iou = np.array([1.0, 0.0])
    assert dice_from_iou(iou).mean() != dice_from_iou(iou.mean())
