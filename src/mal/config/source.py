"""The user's YAML and overrides with the line of every key, for error messages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mal.bounded_yaml import BoundedLoader
from mal.config.catalog import FieldEntry, field_by_key, section_keys
from mal.config.problems import did_you_mean
from mal.errors import SpecError
from mal.limits import MAX_SPEC_NODES


class _SpecLoader(BoundedLoader):
    """YAML as written in specs: ``1e-6`` is a number and ``2024-01-31`` a string."""

    max_values = MAX_SPEC_NODES


_SpecLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_SpecLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was written: ``spec.yaml:12`` or ``override train.lr=abc``; `order` puts file lines first."""

    order: tuple[int, int]
    label: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake, as one line."""

    order: tuple[int, int]
    text: str


@dataclass
class SpecSource:
    """Raw values of a spec.

    Attributes:
        name: the spec file as the user named it.
        values: nested values as written, unchecked.
        origins: position of each dotted key.
        problems: mistakes found so far.
        reported: dotted keys with problems.
        references: by dotted key, the reference of a value that came from the environment.
    """

    name: str
    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    reported: set[str] = field(default_factory=set)
    references: dict[str, str] = field(default_factory=dict)

    def origin(self, key: str) -> Origin:
        """The position of ``key``, or of the nearest enclosing list or section in the spec."""
        while key:
            if key in self.origins:
                return self.origins[key]
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return Origin((2, 0), self.name)

    def report(self, key: str, message: str) -> None:
        self.reported.add(key)
        origin = self.origin(key)
        shown_key = "" if origin.label.startswith(f"override {key}") else f"{key}: "
        self.problems.append(Problem(origin.order, f"{origin.label}: {shown_key}{message}"))

    def shown(self, key: str, value: Any) -> str:
        """A value for a message; the reference if it came from the environment."""
        return self.references.get(key, str(value))

    def value(self, key: str) -> Any:
        """The raw value of a dotted key; None if it is not set."""
        node: Any = self.values
        for part in key.split("."):
            node = node.get(part) if isinstance(node, dict) else None
        return node


def read_spec_file(path: Path) -> SpecSource:
    """Read a YAML spec without validating its values.

    Raises:
        SpecError: the file as a whole cannot be read; duplicate keys only become problems.
    """
    source = SpecSource(str(path))
    text = _read_text(path)
    try:
        loader = _SpecLoader(text)
        root = loader.get_single_node()
        if root is None:
            raise SpecError([f"{path}: the spec is empty; `mal spec` prints a complete one"])
        if not isinstance(root, yaml.MappingNode):
            raise SpecError([f"{path}:{_line(root)}: a spec is made of `key: value` lines; this is something else"])
        _index(root, "", source)
        source.values = _with_text_keys(loader.construct_document(root))
    except (yaml.YAMLError, ValueError) as error:
        # The cause would show surrounding lines, and possibly a password.
        raise SpecError([_yaml_problem(path, text, error)]) from None
    return source


def add_overrides(source: SpecSource, overrides: Sequence[str]) -> None:
    """Apply ``key=value`` overrides to the values of the file."""
    for position, override in enumerate(overrides):
        key, equals, text = override.partition("=")
        entry = field_by_key().get(key)
        order = (1, position)
        if not equals:
            source.problems.append(Problem(order, f"override {override}: must be written as key=value"))
        elif entry is None and key not in section_keys():
            source.problems.append(Problem(order, f"override {key}: no such key{did_you_mean(key)}"))
        else:
            hides_value = entry is not None and entry.is_secret
            origin = Origin(order, f"override {key}" if hides_value else f"override {override}")
            try:
                put_value(source, key, _override_value(text, entry), origin)
            except yaml.YAMLError:
                source.problems.append(Problem(order, f"{origin.label}: not a valid value; is a bracket missing?"))


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise SpecError([f"{path}: no such spec file"]) from None
    except IsADirectoryError:
        raise SpecError([f"{path}: is a folder; name the YAML file in it"]) from None
    except OSError as error:
        raise SpecError([f"{path}: cannot be read: {error.strerror}"]) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError([f"{path}: not a text file; a spec is YAML in UTF-8"]) from error
    if "\0" in text:
        raise SpecError([f"{path}: not a text file; a spec is YAML in UTF-8"])
    return text


def _yaml_problem(path: Path, text: str, error: yaml.YAMLError | ValueError) -> str:
    mark = getattr(error, "problem_mark", None)
    place = f"{path}:{mark.line + 1}" if mark else str(path)
    reason = getattr(error, "problem", None) or getattr(error, "reason", None) or "a value is not what its tag says"
    near = "\n".join(text.splitlines()[max(mark.line - 1, 0) : mark.line + 1]) if mark else ""
    if any(name in near for name in _secret_names()):
        reason = "the value cannot be read; put it in quotes"
    return f"{place}: not valid YAML: {' '.join(str(reason).split())}"


def _secret_names() -> list[str]:
    return [entry.name for entry in field_by_key().values() if entry.is_secret]


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _index(node: yaml.MappingNode, prefix: str, source: SpecSource) -> None:
    first_lines: dict[str, int] = {}
    for key_node, value_node in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge" or not isinstance(key_node, yaml.ScalarNode):
            continue
        key, line = prefix + key_node.value, _line(key_node)
        if "." in key_node.value:
            source.problems.append(Problem((0, line), f"{source.name}:{line}: {key}: {_dotted_key_advice(key)}"))
            continue
        source.origins[key] = Origin((0, line), f"{source.name}:{line}")
        if key in first_lines:
            source.report(key, f"given twice, first on line {first_lines[key]}")
        first_lines[key] = line
        if isinstance(value_node, yaml.MappingNode):
            _index(value_node, f"{key}.", source)


def _with_text_keys(value: Any) -> Any:
    """Convert keys such as ``1`` and ``yes`` to strings; drops dotted ones, which are reported already."""
    if isinstance(value, dict):
        return {str(key): _with_text_keys(inner) for key, inner in value.items() if "." not in str(key)}
    return value


def _dotted_key_advice(key: str) -> str:
    if key not in field_by_key():
        return f"no such key{did_you_mean(key)}"
    section, _, name = key.rpartition(".")
    return f"dotted keys belong on the command line; in the file write `{name}` under `{section}:`"


def _override_value(text: str, entry: FieldEntry | None) -> Any:
    if entry is None or not entry.is_text:
        return yaml.load(text, _SpecLoader)
    # The shell has removed the quotes, so a string is taken literally, not as YAML.
    try:
        value = yaml.load(text, _SpecLoader)
    except yaml.YAMLError:
        return text
    is_quoted = text[:1] in ("'", '"')
    return value if value is None or (is_quoted and isinstance(value, str)) else text


def put_value(source: SpecSource, key: str, value: Any, origin: Origin) -> None:
    """Set a value and its origin; for a section, those of its fields."""
    if isinstance(value, dict) and key in section_keys():
        for name, inner in value.items():
            put_value(source, f"{key}.{name}", inner, origin)
        return
    *sections, name = key.split(".")
    node = source.values
    for section in sections:
        if node.get(section) is None:
            node[section] = {}
        node = node[section]
        if not isinstance(node, dict):
            return  # a section written as a plain value: reported on its own
    node[name] = value
    source.origins[key] = origin


def drop(values: dict[str, Any], key: str) -> None:
    """Remove the value of a dotted key, if there is one."""
    *sections, name = key.split(".")
    for section in sections:
        values = values[section]
    values.pop(name, None)


def without_missing(value: Any) -> Any:
    """Drop the fields that are set to ``???``, which count as not given."""
    if isinstance(value, dict):
        return {key: without_missing(inner) for key, inner in value.items() if inner != "???"}
    return value
