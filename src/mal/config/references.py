"""References in a spec: ``${other.key}``, and ``${oc.env:MAL_NAME}`` for environment variables that are meant for it.

A spec may be untrusted, and its values go into files, messages and to other machines. So no other OmegaConf syntax is
supported, only the secret field may refer to a secret, and for a value from the environment the reference is stored
and shown, not the value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mal.config.catalog import field_by_key
from mal.config.schema import KEY_VARIABLE
from mal.config.source import SpecSource, drop, without_missing

ENV_PREFIX = "MAL_"
_REFERENCE = re.compile(r"(?<!\\)\$\{\s*(?P<key>\.*[\w\[\]-][\w.\[\]-]*)\s*\}")
_ENVIRONMENT = re.compile(r"(?<!\\)\$\{\s*oc\.env\s*:\s*(?P<name>\w+)\s*(,[^${}]*)?\}")
_BEGIN = re.compile(r"(?<!\\)\$\{")
_ALLOWED = (
    f"other fields, ${{key}}, and environment variables that begin with {ENV_PREFIX}, ${{oc.env:{ENV_PREFIX}NAME}}"
)


def resolve_references(source: SpecSource) -> None:
    """Replace references by their values; a field set to ``???`` counts as not given.

    Forbidden or unresolvable references become problems. If a value came from the environment,
    ``source.references`` keeps the reference.
    """
    texts = dict(_texts(source.values))
    for key, text in texts.items():
        problem = _refusal(key, text)
        if problem:
            source.report(key, problem)
            drop(source.values, key.partition("[")[0])
    source.references = _from_environment(dict(_texts(source.values)))
    while True:
        try:
            resolved = OmegaConf.to_container(OmegaConf.create(source.values), resolve=True)
            break
        except OmegaConfBaseException as error:
            key = str(error.full_key or "").partition("[")[0]
            reason = str(error).splitlines()[0]
            source.report(key, "the ${...} in it cannot be read" if _is_secret(key) else reason)
            drop(source.values, key)  # so that the rest of the spec is still validated
    source.values = without_missing(resolved)


def with_environment(text: str) -> str:
    """Resolve the environment references of a saved spec's text, if they are allowed and set."""

    def value(found: re.Match[str]) -> str:
        return found[0] if _refusal("", found[0]) else os.environ.get(found["name"], found[0])

    return _ENVIRONMENT.sub(value, text)


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """All strings with a reference, by dotted key."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _texts(inner, f"{key}[{index}]")
    elif isinstance(value, str) and _BEGIN.search(value):
        yield key, value


def _refusal(key: str, text: str) -> str | None:
    """Why the references of a text are forbidden; None if they are allowed."""
    names = [found["name"] for found in _ENVIRONMENT.finditer(text)]
    targets = [found["key"] for found in _REFERENCE.finditer(text)]
    if len(names) + len(targets) < len(_BEGIN.findall(text)) and re.search(r"\$\{[^}]*:", text):
        return f"the ${{...}} in it is not read: a spec may refer to {_ALLOWED}"
    for name in names:
        if not name.startswith(ENV_PREFIX):
            return f"reads the environment variable {name}; a spec may refer to {_ALLOWED}"
    if _is_secret(key):
        return None
    secrets = [target for target in targets if _names(target) & _secret_names()]
    if secrets or KEY_VARIABLE in names:
        return (
            f"refers to {secrets[0] if secrets else KEY_VARIABLE}, which is a secret and kept out of all other fields"
        )
    return None


def _from_environment(texts: dict[str, str]) -> dict[str, str]:
    """The texts whose value comes from the environment, directly or through other fields."""
    found = {key: text for key, text in texts.items() if _ENVIRONMENT.search(text)}
    while True:
        tainted = {".".join(_parts(key)) for key in found}
        more = {key: text for key, text in texts.items() if key not in found and _refers_to(text, tainted)}
        if not more:
            return {key: text for key, text in found.items() if not _is_secret(key)}
        found |= more


def _refers_to(text: str, tainted: set[str]) -> bool:
    targets = [".".join(_parts(found["key"])) for found in _REFERENCE.finditer(text)]
    # A relative reference counts for any field of that name: saving too few values is safer than too many.
    return any(
        key == target or key.startswith(f"{target}.") or target.startswith(f"{key}.") or key.endswith(f".{target}")
        for target in targets
        for key in tainted
    )


def _parts(key: str) -> list[str]:
    return [part for part in re.split(r"[.\[\]]+", key) if part]


def _names(key: str) -> set[str]:
    return set(_parts(key))


def _secret_names() -> set[str]:
    return {entry.name for entry in field_by_key().values() if entry.is_secret}


def _is_secret(key: str) -> bool:
    entry = field_by_key().get(key)
    return entry is not None and entry.is_secret
