from __future__ import annotations

import argparse
import pickle
from collections import defaultdict, deque
from pathlib import Path
from typing import Any, Optional

import pytest
import torch
from omegaconf import OmegaConf

from mal.checkpoint.safe_unpickle import PickleStub, to_plain_data
from mal.checkpoint.store import read_tensors
from mal.errors import UserError
from tests.checkpoint.foreign_files import TAO_MODULE, TaoModel, foreign_class, in_module

both_formats = pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])


def read_back(value: Any, folder: Path, *, is_zip: bool = True) -> Any:
    torch.save({"value": value}, folder / "a.pth", _use_new_zipfile_serialization=is_zip)
    return read_tensors(folder / "a.pth")["value"]


@both_formats
def test_a_namespace_is_read_as_a_dict(tmp_path, is_zip):
    value = argparse.Namespace(lr=0.1, path=Path("/a/b"), inner=argparse.Namespace(tensor=torch.ones(2)))
    read = read_back(value, tmp_path, is_zip=is_zip)
    assert (read["lr"], read["path"]) == (0.1, "/a/b")
    assert torch.equal(read["inner"]["tensor"], torch.ones(2))


@both_formats
def test_containers_of_omegaconf_are_read_as_dicts_and_lists(tmp_path, is_zip):
    model = OmegaConf.structured(in_module(TaoModel, TAO_MODULE))
    read = read_back(OmegaConf.create({"model": model, "items": [1, {"a": None}]}), tmp_path, is_zip=is_zip)
    assert read["items"] == [1, {"a": None}]
    assert read["model"]["frozen_stages"] == [-1]
    assert read["model"]["arch"] == "vit-mae-base/16"


@both_formats
@pytest.mark.parametrize(("value", "read"), [(defaultdict(list, {"a": [1]}), {"a": [1]}), (deque([1, 2], 3), [1, 2])])
def test_other_containers_are_read_as_dicts_and_lists(tmp_path, is_zip, value, read):
    assert read_back(value, tmp_path, is_zip=is_zip) == read


@pytest.mark.parametrize("value", [int, dict[str, Any], list[int], Optional[str], argparse.Namespace])  # noqa: UP045
def test_a_type_is_read_as_none(tmp_path, value):
    assert read_back(value, tmp_path) is None


def test_containers_in_each_other_are_read(tmp_path):
    value = argparse.Namespace(others=[])
    value.others.append(value)
    assert read_back(value, tmp_path)["others"] == [None]


def test_a_container_in_many_places_is_read_once(tmp_path):
    value: Any = argparse.Namespace(a=1)
    for _ in range(200):  # as a tree 2 to the power of 200 leaves
        value = [value, value]
    assert read_back(value, tmp_path)


def test_nothing_of_a_foreign_class_is_executed(tmp_path):
    done = []
    methods = {
        name: lambda *arguments, name=name: done.append(name) for name in ("__init__", "__setstate__", "__setattr__")
    }
    cls = foreign_class("omegaconf.dictconfig_of_a_test", "Loud", **methods)
    value = cls.__new__(cls)
    value.__dict__["_content"] = {"a": 1}
    assert read_back(value, tmp_path) == {"a": 1}
    assert not done


class Creates:
    """Rebuilds itself by a call with an argument."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@both_formats
@pytest.mark.parametrize("wrap", [lambda evil: evil, lambda evil: argparse.Namespace(a=evil)])
def test_a_file_that_would_create_a_file_is_refused_by_name(tmp_path, is_zip, wrap):
    trace = tmp_path / "trace"
    evil = wrap(Creates(open, str(trace), "w"))
    with pytest.raises(UserError, match=r"a\.pth: holds (io\.)?open, which is not plain data") as caught:
        read_back(evil, tmp_path, is_zip=is_zip)
    assert "\n" not in str(caught.value)
    assert not trace.exists()


@pytest.mark.parametrize("function", [eval, exec, getattr, __import__, print])
def test_functions_are_refused_even_of_modules_whose_types_are_read(tmp_path, function):
    with pytest.raises(UserError, match="which is not plain data"):
        read_back(Creates(function, "1"), tmp_path)


def test_a_plain_pickle_that_would_create_a_file_is_refused(tmp_path):
    trace = tmp_path / "trace"
    (tmp_path / "a.pth").write_bytes(pickle.dumps(Creates(open, str(trace), "w")))
    with pytest.raises(UserError, match=r"a\.pth"):
        read_tensors(tmp_path / "a.pth")
    assert not trace.exists()


def test_a_stand_in_takes_any_arguments_and_state():
    stand_in = PickleStub(1, "two")
    stand_in.__setstate__([3])
    assert (stand_in.args, stand_in.state) == ((1, "two"), [3])


def shared_many_times(wrap, depth: int = 60):
    value = wrap("end", "end")
    for _ in range(depth):
        value = wrap(value, value)
    return value


WRAPS = {
    "tuples": lambda one, other: (one, other),
    "lists": lambda one, other: [one, other],
    "dicts": lambda one, other: {"one": one, "other": other},
    "mixed": lambda one, other: [(one, {"other": other}), other],
}


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_what_is_in_others_two_to_the_sixty_times_is_visited_once(wrap):
    value = to_plain_data(shared_many_times(wrap))
    for _ in range(60):
        value = value["one"] if isinstance(value, dict) else value[0]
    assert value


def test_a_checkpoint_of_nested_tuples_and_a_foreign_object_is_answered_at_once(tmp_path):
    content = {
        "state_dict": {"w": torch.zeros(2)},
        "args": argparse.Namespace(lr=1),
        "x": shared_many_times(WRAPS["tuples"]),
    }
    torch.save(content, tmp_path / "tuples.pth")
    assert read_tensors(tmp_path / "tuples.pth")["args"] == {"lr": 1}
