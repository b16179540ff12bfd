from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mal.checkpoint.matching import find_fault, load_exactly, load_matching
from mal.checkpoint.summary import checkpoint_summary
from mal.cli import main
from mal.errors import UserError
from mal.labeler import MaskAutoLabeler
from tests.export.exported import small_checkpoint
from tests.small_networks import small_network

NAME = "mask_head.convs.0.conv.weight"
FAULTS = {
    "nan": (lambda weight: weight.index_fill(0, torch.tensor([1]), torch.nan), "holds values that are not numbers"),
    "infinite": (lambda weight: weight.index_fill(0, torch.tensor([1]), torch.inf), "or infinite"),
    "too large once cast": (lambda weight: weight.double().fill_(1e300), "or infinite"),
    "integer": (lambda weight: weight.int(), "holds int32 in place of floating-point numbers"),
    "boolean": (lambda weight: weight > 0, "holds bool in place of floating-point numbers"),
    "complex": (lambda weight: weight.to(torch.complex64), "holds complex numbers"),
}


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    return small_checkpoint(tmp_path_factory.mktemp("model") / "good.pth")


def spoiled(good: Path, path: Path, fault: str, network: str = "student") -> Path:
    content = torch.load(good, weights_only=True)
    content["state_dict"][f"{network}.{NAME}"] = FAULTS[fault][0](content["state_dict"][f"{network}.{NAME}"])
    torch.save(content, path)
    return path


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("load", [load_exactly, load_matching])
def test_a_weight_that_is_no_number_does_not_come_into_a_network(load, fault):
    tensors = {name: value.clone() for name, value in small_network().state_dict().items()}
    tensors[NAME] = FAULTS[fault][0](tensors[NAME])
    with pytest.raises(UserError, match=rf"^some\.pth: {NAME} .*{FAULTS[fault][1]}"):
        load(small_network(), tensors, Path("some.pth"))


@pytest.mark.parametrize("network", ["student", "teacher"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_checkpoint_with_such_a_weight_is_refused_with_its_name(good, network, fault, tmp_path):
    path = spoiled(good, tmp_path / "bad.pth", fault, network)
    with pytest.raises(UserError, match=rf"bad\.pth: {NAME} .*{FAULTS[fault][1]}"):
        MaskAutoLabeler.from_checkpoint(path)


@pytest.mark.parametrize("fault", FAULTS)
def test_info_names_the_weights_and_convert_writes_nothing(good, fault, tmp_path, capsys):
    path = spoiled(good, tmp_path / "bad.pth", fault)
    if fault != "too large once cast":
        assert list(checkpoint_summary(path)["faults"]) == [f"student.{NAME}"]
    assert main(["checkpoint", "info", str(path)]) == 0
    assert f"no numbers student.{NAME} {FAULTS[fault][1]}"[:40] in " ".join(capsys.readouterr().out.split())
    assert main(["checkpoint", "convert", str(path), str(tmp_path / "out.safetensors")]) == 1
    assert NAME in capsys.readouterr().err
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bad.pth"]


def test_a_good_checkpoint_has_no_faults(good, capsys):
    assert checkpoint_summary(good)["faults"] == {}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_numbers_of_other_precision_are_weights(good, dtype, tmp_path):
    content = torch.load(good, weights_only=True)
    content["state_dict"] = {name: value.to(dtype) for name, value in content["state_dict"].items()}
    torch.save(content, tmp_path / "other.pth")
    MaskAutoLabeler.from_checkpoint(tmp_path / "other.pth")


@given(st.lists(st.floats(width=32), min_size=1, max_size=9), st.sampled_from([torch.float32, torch.float64]))
def test_a_tensor_has_a_fault_exactly_where_a_value_is_not_finite(values, dtype):
    tensor = torch.tensor(values, dtype=dtype)
    assert (find_fault(tensor) is None) == all(torch.isfinite(value) for value in tensor)
