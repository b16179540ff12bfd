from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mal.data.array_inputs import checked_boxes
from mal.masks.rle import mask_from_rle
from mal.serve.engine import Engine, Model, file_version
from mal.serve.fetch import StoppedEarly
from tests.serve.serving import BOXES, pixels, small_labeler


class _Gate:
    """A labeler that waits before its first batch, and notes the sizes of all."""

    def __init__(self, labeler):
        self._labeler = labeler
        self.opens, self.entered = threading.Event(), threading.Event()
        self.sizes = []
        self.asked = False

    def crops(self, *given, **more):
        self.asked = True
        return self._labeler.crops(*given, **more)

    def masks(self, batch):
        self.entered.set()
        self.opens.wait(30)
        self.sizes.append(len(batch))
        return self._labeler.masks(batch)


def holds_within(seconds, condition):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


@pytest.fixture(scope="module")
def labeler():
    return small_labeler()


@pytest.fixture
def started():
    engines = []

    def start(labeler, batch_size=4):
        engines.append(Engine(Model(labeler, "v"), batch_size))
        return engines[-1]

    yield start
    for engine in engines:
        engine.close()


def test_boxes_of_concurrent_requests_share_a_batch(labeler, started):
    gate = _Gate(labeler)
    engine = started(gate)
    boxes = checked_boxes(BOXES)
    images = [pixels(seed) for seed in range(5)]
    with ThreadPoolExecutor(5) as pool:
        answers = [pool.submit(engine.masks, images[0], boxes[:1])]
        assert gate.entered.wait(30)  # the first is a batch by itself
        answers += [pool.submit(engine.masks, image, boxes[:1]) for image in images[1:]]
        assert holds_within(30, lambda: engine._jobs.qsize() == 4)
        gate.opens.set()
        found = [answer.result()[0] for answer in answers]
    assert gate.sizes == [1, 4]
    for image, mask in zip(images, found, strict=True):
        expected = labeler.label(image, BOXES[:1])[0]
        np.testing.assert_array_equal(mask_from_rle(mask.rle), expected)


def test_many_boxes_are_cut_into_batches_and_come_back_in_order(labeler, started):
    gate = _Gate(labeler)
    gate.opens.set()
    boxes = checked_boxes([*BOXES, *BOXES[::-1]])
    found = started(gate).masks(pixels(), boxes)
    assert gate.sizes == [4, 2]
    expected = labeler.label(pixels(), boxes, batch_size=4)
    np.testing.assert_array_equal([mask_from_rle(mask.rle) for mask in found], expected)


def test_work_that_nobody_wants_stops_between_batches(labeler, started):
    gate = _Gate(labeler)
    gate.opens.set()
    wanted = iter([True, False])
    with pytest.raises(StoppedEarly):
        started(gate).masks(pixels(), checked_boxes(BOXES * 4), lambda: next(wanted))
    assert gate.sizes == [4]


def test_an_error_of_the_network_goes_to_its_requests_and_the_next_is_served(labeler, started):
    class Failing(_Gate):
        def masks(self, batch):
            if not self.sizes:
                self.sizes.append(0)
                raise RuntimeError("out of luck")
            return super().masks(batch)

    failing = Failing(labeler)
    failing.opens.set()
    engine = started(failing)
    with pytest.raises(RuntimeError, match="out of luck"):
        engine.masks(pixels(), checked_boxes(BOXES))
    assert len(engine.masks(pixels(), checked_boxes(BOXES))) == 3


def test_a_request_keeps_the_model_that_it_began_with(labeler, started):
    first, second = _Gate(labeler), _Gate(labeler)
    engine = started(first)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(engine.masks, pixels(), checked_boxes(BOXES * 2))
        assert holds_within(30, lambda: first.asked)
        engine.model = Model(second, "w")
        first.opens.set()
        second.opens.set()
        assert len(answer.result()) == 6
    engine.masks(pixels(), checked_boxes(BOXES))
    assert (first.sizes, second.sizes) == ([4, 2], [3])


def test_the_version_changes_with_the_content_of_the_file(tmp_path):
    (tmp_path / "a.pth").write_bytes(b"one")
    first = file_version(tmp_path / "a.pth")
    assert first == "mal-a-7692c3ad3540"
    (tmp_path / "a.pth").write_bytes(b"two")
    assert file_version(tmp_path / "a.pth") != first
