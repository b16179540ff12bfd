from __future__ import annotations

import threading

import pytest

from mal.runtime.threads import map_in_threads, num_cores, num_encoder_threads, read_ahead


@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("count", [0, 1, 3, 10])
def test_results_come_in_the_order_of_the_items(threads, count):
    assert list(map_in_threads(lambda item: item * item, range(count), threads=threads)) == [
        item * item for item in range(count)
    ]


def test_results_keep_their_order_when_a_later_item_is_done_first():
    second_done = threading.Event()

    def work(item):
        if item == 0:
            assert second_done.wait(10)
        else:
            second_done.set()
        return item

    assert list(map_in_threads(work, range(2), threads=2)) == [0, 1]


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_no_more_items_are_taken_ahead_than_there_are_threads(threads):
    taken = []

    def items():
        for item in range(20):
            taken.append(item)
            yield item

    for given, _ in enumerate(map_in_threads(lambda item: item, items(), threads=threads)):
        assert len(taken) <= given + 1 + threads


@pytest.mark.parametrize("threads", [0, 2])
def test_an_error_in_the_work_is_raised_to_the_caller(threads):
    def work(item):
        if item == 2:
            raise ValueError("item 2 is bad")
        return item

    found = []
    with pytest.raises(ValueError, match="item 2 is bad"):
        found.extend(map_in_threads(work, range(9), threads=threads))


@pytest.mark.parametrize("threads", [0, 2])
def test_an_error_in_the_making_of_items_is_raised_to_the_caller(threads):
    def items():
        yield 1
        raise ValueError("no more items")

    with pytest.raises(ValueError, match="no more items"):
        list(map_in_threads(lambda item: item, items(), threads=threads))


def test_a_cpu_computes_alone_and_a_gpu_has_threads_beside_it():
    assert num_encoder_threads("cpu") == 0
    assert num_encoder_threads("cuda:0") > 0


@pytest.mark.parametrize("count", [0, 1, 4])
def test_items_read_ahead_come_in_order_and_no_more_are_taken_than_asked_for(count):
    taken = []
    items = (taken.append(number) or number for number in range(9))
    ahead = read_ahead(items, count)
    assert next(ahead) == 0
    assert len(taken) <= count + 2
    assert list(ahead) == list(range(1, 9))


@pytest.mark.parametrize("count", [0, 2])
def test_an_error_while_reading_ahead_is_raised_after_the_items_before_it(count):
    def items():
        yield 1
        raise ValueError("no more items")

    ahead = read_ahead(items(), count)
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="no more items"):
        next(ahead)


@pytest.mark.parametrize("count", [0, 2])
def test_items_that_are_not_wanted_any_more_are_closed(count):
    closed = []

    def items():
        try:
            yield from range(9)
        finally:
            closed.append(True)

    ahead = read_ahead(items(), count)
    next(ahead)
    ahead.close()
    assert closed == [True]


@pytest.mark.parametrize(
    ("quota", "cores"), [("max 100000\n", 8), ("250000 100000\n", 2), ("10000 100000\n", 1), ("6400000 100000\n", 8)]
)
def test_cores_are_those_a_process_is_bound_to_within_the_quota_of_its_container(tmp_path, monkeypatch, quota, cores):
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr("mal.runtime.threads.CPU_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)), raising=False)
    assert num_cores() == cores


def test_without_a_quota_all_cores_that_a_process_is_bound_to_count(tmp_path, monkeypatch):
    monkeypatch.setattr("mal.runtime.threads.CPU_QUOTA", tmp_path / "none")
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {3}, raising=False)
    assert num_cores() == 1
