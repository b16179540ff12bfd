"""Unpickle foreign objects in checkpoints as plain data, without running their code.

A pickle names classes to instantiate. Each name on an allow-list is replaced by a stub class that stores its arguments
and does nothing else; torch's weights-only reader refuses every other name.
"""

from __future__ import annotations

import pickletools
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO, Any

# omegaconf: TAO's specs. lightning: callbacks, versions. nvidia_tao: the classes that TAO's specs are declared with.
_PACKAGES = ("omegaconf", "lightning", "lightning_fabric", "pytorch_lightning", "nvidia_tao_pytorch", "nvidia_tao_core")
_TYPE_MODULES = ("typing", "builtins")
_TYPE_NAMES = {"Any", "Optional", "Union", "List", "Dict", "Tuple", "Set", "Sequence", "Mapping", "Literal"} | {
    "int", "float", "str", "bool", "bytes", "list", "dict", "tuple", "set", "NoneType", "type"
}  # fmt: skip
_SINGLE_NAMES = {
    "argparse.Namespace",
    "collections.defaultdict",
    "collections.deque",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    # How types such as List[int], list[int] and str | None are pickled.
    *(f"{module}.{name}" for module in ("operator", "_operator") for name in ("getitem", "or_")),
    "functools.reduce",
    "types.GenericAlias",
    "types.UnionType",
    "torch.torch_version.TorchVersion",
    *(f"pathlib.{name}" for name in ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")),
}
_LEGACY_PICKLES = 5  # magic number, protocol, machine, content, storage keys


class PickleStub:
    """Stub for an object of a foreign class: stores its arguments and state.

    Attributes:
        origin: full name of the foreign class.
        args: positional arguments of its constructor.
        state: its attributes, by name, or whatever else it was pickled as.
    """

    origin = ""
    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> PickleStub:
        """Keep the arguments."""
        self = super().__new__(cls)
        self.args, self.state = args, {}
        return self

    def __setstate__(self, state: Any) -> None:
        """Keep the state."""
        self.state = state


def allowed_globals(file: IO[bytes]) -> list[Any]:
    """Make stubs for the allowed names in a file, for :class:`torch.serialization.safe_globals`.

    Other names are left to torch's reader, which refuses them. Rewinds the file.
    """
    names = _list_globals_needed(file)
    file.seek(0)
    return [(_make_stub(name), name) for name in sorted(names) if _is_listed(name)]


def to_plain_data(value: Any) -> Any:
    """Convert foreign containers to dicts and lists, paths to strings, other foreign objects to None.

    Each object is visited once, however often it is shared: a small file can refer to one 2^40 times.
    """
    return _convert(value, {})


def _convert(value: Any, seen: dict[int, tuple[Any, Any]]) -> Any:
    """As `to_plain_data`; ``seen`` maps the id of a visited object to the object and its result."""
    if id(value) in seen:  # containers may contain each other
        return seen[id(value)][1]
    if isinstance(value, PickleStub):
        seen[id(value)] = value, None
        result = _convert(_content(value), seen)
    elif isinstance(value, dict):
        result = {}
        seen[id(value)] = value, result
        result.update({_convert_key(key): _convert(item, seen) for key, item in value.items()})
    elif isinstance(value, list):
        result = []
        seen[id(value)] = value, result
        result.extend(_convert(item, seen) for item in value)
    elif type(value) is tuple:
        result = tuple(_convert(item, seen) for item in value)
    else:
        return None if _is_foreign_class(value) else value
    seen[id(value)] = value, result
    return result


def _content(value: PickleStub) -> Any:
    """The part of a foreign object that is kept."""
    if value.origin.startswith("pathlib."):
        return str(PurePosixPath(*map(str, value.args)))
    state = value.state if isinstance(value.state, dict) else {}
    if value.origin == "argparse.Namespace":
        return state
    if value.origin.startswith("omegaconf."):
        return state.get("_content", state.get("_val"))
    return None


def _convert_key(key: Any) -> Any:
    return key if isinstance(key, str | int | float | tuple) else str(getattr(key, "origin", key))


def _is_foreign_class(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, PickleStub)


def _is_listed(name: str) -> bool:
    module, _, last = name.rpartition(".")
    return (
        name in _SINGLE_NAMES
        or name.partition(".")[0] in _PACKAGES
        or (module in _TYPE_MODULES and last in _TYPE_NAMES)
    )


def _make_stub(name: str) -> Any:
    # The reader fills items only into objects that are exactly dicts and lists.
    if name == "collections.defaultdict":
        return _empty_dict
    if name == "collections.deque":
        return _empty_list
    if name.endswith(".AttributeDict"):
        return OrderedDict
    return type(name.rpartition(".")[2], (PickleStub,), {"origin": name})


def _empty_dict(*_: Any) -> dict[Any, Any]:
    return {}


def _empty_list(*_: Any) -> list[Any]:
    return []


def _list_globals_needed(file: IO[bytes]) -> set[str]:
    if not zipfile.is_zipfile(file):
        file.seek(0)
        return {name for _ in range(_LEGACY_PICKLES) for name in _names_in_pickle(file)}
    with zipfile.ZipFile(file) as archive:
        records = [record for record in archive.namelist() if record.endswith("/data.pkl")]
        return {name for record in records for name in _names_in_pickle(archive.open(record))}


def _names_in_pickle(file: IO[bytes]) -> Iterator[str]:
    """Scan one pickle to its end without executing it."""
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name == "GLOBAL":
            module, name = str(argument).split(" ", 1)
            # Files are written in Python 2's words, which torch translates before it looks a name up.
            module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
            yield f"{module}.{name}"
