from __future__ import annotations

import numpy as np
import pytest
import torch

from mal.models.torch_networks import best_device, copy_to_cpu_async


def test_numbers_on_the_cpu_have_arrived():
    numbers = torch.rand(2, 3)
    assert np.array_equal(copy_to_cpu_async(numbers)(), numbers.numpy())


@pytest.mark.gpu
def test_numbers_arrive_from_a_gpu_whole():
    numbers = [torch.rand(4, 1, 512, 512, device="cuda").matmul(torch.rand(512, 512, device="cuda")) for _ in range(5)]
    arriving = [copy_to_cpu_async(each) for each in numbers]
    for each, wait in zip(numbers, arriving, strict=True):
        assert np.array_equal(wait(), each.cpu().numpy())


def test_the_best_device_is_a_gpu_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert best_device() == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert best_device() == "mps"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert best_device() == "cpu"
