from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mal.ops.mean_field import mean_field

LOW, HIGH = 0.1, 0.9


def textbook(image, prob, box, *, kernel_size, num_iter, zeta, low=LOW, high=HIGH):
    """The formula of one map, pixel by pixel: image (3, H, W), prob and box (H, W)."""
    height, width = prob.shape
    radius = kernel_size // 2
    x = (prob * box).clamp(low, high)
    for _ in range(num_iter):
        result = torch.empty_like(x)
        for row in range(height):
            for column in range(width):
                foreground = background = 0.0
                for r in range(max(0, row - radius), min(height, row + radius + 1)):
                    for c in range(max(0, column - radius), min(width, column + radius + 1)):
                        distance = float((image[:, row, column] - image[:, r, c]).square().sum())
                        weight = math.exp(-distance / (2 * zeta**2))
                        foreground += weight * math.log(x[r, c])
                        background += weight * math.log(1 - x[r, c])
                a1 = math.exp(foreground) * float(box[row, column])
                a0 = math.exp(background)
                result[row, column] = min(max(a1 / (1e-6 + a0 + a1), low), high)
        x = result
    return x


def example(seed: int, batch: int, height: int, width: int):
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(batch, 3, height, width, generator=generator)
    prob = torch.rand(batch, height, width, generator=generator)
    box = torch.zeros(batch, height, width)
    box[:, : max(1, height - 1), : max(1, width - 2)] = 1
    return image, prob, box


sizes = st.integers(1, 7)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    height=sizes,
    width=sizes,
    kernel_size=st.sampled_from([1, 3, 5, 7]),
    num_iter=st.integers(0, 3),
    zeta=st.sampled_from([0.1, 0.5, 2.0]),
)
def test_it_equals_the_textbook_loop_on_any_map_even_smaller_than_the_window(
    seed, height, width, kernel_size, num_iter, zeta
):
    image, prob, box = example(seed, 1, height, width)
    options = {"kernel_size": kernel_size, "num_iter": num_iter, "zeta": zeta}
    result = mean_field(image, prob, box, **options)
    torch.testing.assert_close(result[0], textbook(image[0], prob[0], box[0], **options), atol=2e-4, rtol=1e-3)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), low=st.floats(0.01, 0.4), high=st.floats(0.6, 0.99))
def test_the_result_lies_between_the_clamps(seed, low, high):
    result = mean_field(*example(seed, 2, 9, 6), num_iter=5, low=low, high=high)
    assert result.min() >= low - 1e-6
    assert result.max() <= high + 1e-6


@pytest.mark.parametrize("axis", [-1, -2])
def test_a_mirrored_picture_gives_the_mirrored_result(axis):
    inputs = example(0, 2, 12, 10)
    mirrored = mean_field(*(tensor.flip(axis) for tensor in inputs), num_iter=10, zeta=0.5)
    torch.testing.assert_close(mirrored.flip(axis), mean_field(*inputs, num_iter=10, zeta=0.5), atol=1e-5, rtol=1e-4)


def test_a_map_does_not_depend_on_the_others_of_its_batch():
    inputs = example(1, 3, 12, 10)
    together = mean_field(*inputs, num_iter=10, kernel_size=5)
    for index in range(3):
        alone = mean_field(*(tensor[index : index + 1] for tensor in inputs), num_iter=10, kernel_size=5)
        torch.testing.assert_close(alone, together[index : index + 1])


def test_without_iterations_the_clamped_input_comes_back():
    image, prob, box = example(2, 2, 8, 8)
    assert torch.equal(mean_field(image, prob, box, num_iter=0), (prob * box).clamp(LOW, HIGH))


def test_on_a_flat_picture_the_majority_of_a_neighbourhood_wins():
    prob = torch.full((1, 8, 8), 0.8)
    prob[0, 3, 3] = 0.2
    result = mean_field(torch.zeros(1, 3, 8, 8), prob, torch.ones(1, 8, 8), num_iter=5)
    assert (result > 0.5).all()


def test_everything_outside_the_box_is_background():
    image, _, box = example(3, 1, 8, 8)
    result = mean_field(image, torch.full((1, 8, 8), 0.9), box, num_iter=5)
    assert (result[box == 0] == LOW).all()


def test_colours_far_apart_do_not_pull_each_other():
    image = torch.zeros(1, 3, 6, 6)
    image[..., 3:] = 5.0
    prob = torch.full((1, 6, 6), 0.3)
    prob[..., 3:] = 0.7
    result = mean_field(image, prob, torch.ones(1, 6, 6), num_iter=10) > 0.5
    assert not result[..., :3].any()
    assert result[..., 3:].all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_result_is_float32_whatever_comes_in(dtype):
    inputs = (tensor.to(dtype) for tensor in example(4, 1, 6, 6))
    assert mean_field(*inputs, num_iter=2).dtype == torch.float32


def test_the_inputs_are_left_as_they_were():
    inputs = example(5, 1, 6, 6)
    copies = [tensor.clone() for tensor in inputs]
    mean_field(*inputs, num_iter=3)
    assert all(torch.equal(tensor, copy) for tensor, copy in zip(inputs, copies, strict=True))


def test_the_result_carries_no_gradient():
    image, prob, box = example(6, 1, 6, 6)
    assert not mean_field(image, prob.requires_grad_(), box, num_iter=2).requires_grad


@pytest.mark.parametrize("kernel_size", [0, 2, -3])
def test_a_window_without_a_centre_is_refused(kernel_size):
    with pytest.raises(ValueError, match="kernel_size must be odd"):
        mean_field(*example(7, 1, 4, 4), kernel_size=kernel_size)
