"""The faster versions of the mean field against the plain one, and which of them is taken."""

from __future__ import annotations

import logging
import sys
from importlib import import_module

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mal.ops import mean_field as front_door
from mal.ops.mean_field import fast_version, mean_field
from mal.ops.mean_field_plain import mean_field_plain

DEFAULTS = {"kernel_size": 3, "num_iter": 5, "zeta": 0.1, "low": 0.1, "high": 0.9}
needs_numba = pytest.mark.skipif(fast_version("cpu") is None, reason="no numba that works")


def example(seed: int, batch: int = 1, height: int = 20, width: int = 40, box: tuple[int, int, int, int] | None = None):
    """Random colours and probabilities, and a box of (top, bottom, left, right), by default one with a margin of 2."""
    generator = torch.Generator().manual_seed(seed)
    image = 0.3 * torch.randn(batch, 3, height, width, generator=generator)
    prob = torch.rand(batch, height, width, generator=generator)
    top, bottom, left, right = box or (2, height - 2, 2, width - 2)
    box_mask = torch.zeros(batch, height, width)
    box_mask[:, top:bottom, left:right] = 1
    return image, prob, box_mask


@st.composite
def cases(draw):
    """Maps of any size, the box anywhere, soft at its rim or not, one box of a batch another than the others'."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    rows = sorted((draw(st.integers(0, height)), draw(st.integers(0, height))))
    columns = sorted((draw(st.integers(0, width)), draw(st.integers(0, width))))
    inputs = example(draw(st.integers(0, 10**6)), draw(st.integers(1, 3)), height, width, (*rows, *columns))
    inputs[2][0] *= draw(st.sampled_from([0.0, 0.3, 1.0]))
    return inputs


@needs_numba
@settings(max_examples=150, deadline=None)
@given(
    inputs=cases(),
    kernel_size=st.sampled_from([1, 3, 5, 7, 33]),
    num_iter=st.integers(0, 5),
    zeta=st.sampled_from([0.05, 0.1, 0.4, 2.0]),
    low=st.floats(0.001, 0.4),
    high=st.floats(0.6, 0.999),
)
def test_the_compiled_version_gives_what_the_plain_one_gives(inputs, kernel_size, num_iter, zeta, low, high):
    options = {"kernel_size": kernel_size, "num_iter": num_iter, "zeta": zeta, "low": low, "high": high}
    compiled, plain = fast_version("cpu")(*inputs, **options), mean_field_plain(*inputs, **options)
    torch.testing.assert_close(compiled, plain, atol=1e-4, rtol=0)


@needs_numba
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_leaving_out_what_no_longer_changes_changes_no_bit(kernel_size):
    image, prob, box_mask = example(0, batch=2, height=48, width=70)
    image *= 0.5
    options = DEFAULTS | {"kernel_size": kernel_size}
    at_once = mean_field(image, prob, box_mask, **(options | {"num_iter": 60}))
    step_by_step = prob
    for _ in range(60):  # each call computes everything
        step_by_step = mean_field(image, step_by_step, box_mask, **(options | {"num_iter": 1}))
    assert torch.equal(at_once, step_by_step)


@needs_numba
def test_the_number_of_threads_changes_no_bit():
    inputs = example(1, batch=5)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = mean_field(*inputs)
        torch.set_num_threads(3)
        assert torch.equal(mean_field(*inputs), alone)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_are_taken_as_the_plain_version_takes_them(dtype):
    inputs = [tensor.to(dtype) for tensor in example(2)]
    expected = mean_field_plain(*(tensor.float() for tensor in inputs), **DEFAULTS)
    torch.testing.assert_close(mean_field(*inputs, **DEFAULTS), expected, atol=1e-4, rtol=0)


def test_views_with_gaps_are_taken_as_what_they_show():
    inputs = [tensor.repeat_interleave(2, dim=-1)[..., ::2] for tensor in example(3, batch=2)]
    inputs[1] = inputs[1].transpose(1, 2).contiguous().transpose(1, 2)
    assert not any(tensor.is_contiguous() for tensor in inputs)
    assert torch.equal(mean_field(*inputs), mean_field(*(tensor.contiguous() for tensor in inputs)))


@pytest.mark.parametrize("spoilt", [0, 1, 2])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_a_number_is_carried_on_and_not_hidden(spoilt, value):
    inputs = example(4, batch=2)
    inputs[spoilt][0, ..., 10, 20] = value
    result = mean_field(*inputs, num_iter=2)
    assert result[0, 10, 20].isnan()
    assert result[1].isfinite().all()


@pytest.mark.parametrize("options", [{"low": 0.0}, {"high": 1.0}, {"low": 0.7, "high": 0.3}, {"kernel_size": 35}])
def test_settings_beyond_the_compiled_version_go_the_plain_way(options):
    inputs = example(5)
    options = DEFAULTS | options | {"num_iter": 1}
    expected = mean_field_plain(*inputs, **options)
    torch.testing.assert_close(mean_field(*inputs, **options), expected, atol=0, rtol=0, equal_nan=True)


def test_one_box_mask_for_the_whole_batch_and_colours_of_another_number_go_the_plain_way():
    image, prob, box_mask = example(6, batch=3)
    expected = mean_field(image[:, :1].repeat(1, 3, 1, 1) / 3**0.5, prob, box_mask)
    torch.testing.assert_close(mean_field(image[:, :1], prob, box_mask[:1]), expected, atol=1e-4, rtol=0)


def test_maps_of_different_sizes_are_refused():
    image, prob, box_mask = example(7)
    with pytest.raises(RuntimeError):
        mean_field(image, prob, box_mask[:, :-1])


@pytest.fixture
def undecided():
    """Which version to take is decided anew, in the test and after it."""
    fast_version.cache_clear()
    yield
    fast_version.cache_clear()


@pytest.mark.parametrize("fault", [ImportError("no numba"), RuntimeError("a broken numba"), OSError("no library")])
def test_without_a_numba_that_works_the_plain_version_runs_and_one_debug_line_says_why(
    fault, undecided, monkeypatch, caplog
):
    def fail(name: str):
        raise fault

    monkeypatch.setattr(front_door, "import_module", fail)
    inputs = example(8)
    with caplog.at_level(logging.DEBUG, logger="mal.ops.mean_field"):
        results = [mean_field(*inputs, **DEFAULTS) for _ in range(2)]
    assert all(torch.equal(result, mean_field_plain(*inputs, **DEFAULTS)) for result in results)
    assert [(record.levelno, str(fault) in record.message) for record in caplog.records] == [(logging.DEBUG, True)]


def test_a_missing_numba_is_no_error(undecided, monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    for name in ("mal.ops.mean_field_numba", "mal.ops.numba_vectors"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert fast_version("cpu") is None


@needs_numba
def test_without_a_place_for_its_cache_numba_compiles_all_the_same(monkeypatch):
    from mal.ops import compiled as module

    def njit(signature, *, nogil, cache=False):
        if cache:
            raise RuntimeError("no locator available")
        return lambda function: function

    monkeypatch.setattr("numba.njit", njit)
    assert module.compiled("void()")(print) is print


@pytest.fixture
def interpreted(monkeypatch):
    """The Triton version, its kernel run step by step on the CPU by Triton's interpreter."""
    pytest.importorskip("triton")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.delitem(sys.modules, "mal.ops.mean_field_triton", raising=False)
    yield import_module("mal.ops.mean_field_triton").mean_field_triton
    del sys.modules["mal.ops.mean_field_triton"]


@pytest.mark.parametrize(
    ("kernel_size", "num_iter", "size"),
    [(3, 0, (9, 7)), (3, 1, (1, 50)), (3, 9, (17, 20)), (5, 5, (12, 17)), (1, 2, (6, 6)), (7, 2, (6, 6))],
    ids=str,
)
def test_the_arithmetic_of_the_triton_kernel_is_that_of_the_plain_version(interpreted, kernel_size, num_iter, size):
    """9 iterations of kernel 3 and 5 of kernel 5 take two launches, 17 rows or 50 columns two tiles."""
    image, prob, box_mask = example(9, 1, *size, box=(0, size[0], 1, size[1]))
    options = DEFAULTS | {"kernel_size": kernel_size, "num_iter": num_iter}
    plain = mean_field_plain(image, prob, box_mask, **options)
    torch.testing.assert_close(interpreted(image, prob, box_mask, **options), plain, atol=1e-4, rtol=0)


@pytest.mark.gpu
def test_on_a_gpu_the_triton_kernel_is_taken():
    assert fast_version("cuda") is import_module("mal.ops.mean_field_triton").mean_field_triton


@pytest.mark.gpu
@pytest.mark.parametrize("kernel_size", [3, 5])
@pytest.mark.parametrize("num_iter", [0, 1, 8, 9, 20])
@pytest.mark.parametrize("size", [(1, 50), (17, 20), (128, 128), (96, 250)], ids=str)
def test_on_a_gpu_the_triton_kernel_gives_what_the_plain_version_gives(kernel_size, num_iter, size):
    inputs = [tensor.cuda() for tensor in example(10, 3, *size, box=(0, size[0], 1, size[1] - 1))]
    options = DEFAULTS | {"kernel_size": kernel_size, "num_iter": num_iter}
    difference = (fast_version("cuda")(*inputs, **options) - mean_field_plain(*inputs, **options)).abs()
    # A pixel on a knife's edge may take another way; all others agree.
    assert (difference < 1e-4).float().mean() > 0.999
