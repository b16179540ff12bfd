"""The rules of docs/architecture.md, checked on the source text."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "mal"
MODULES = {
    ".".join(("mal", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
BELOW_THE_SPEC = ("mal.coco", "mal.data", "mal.losses", "mal.masks", "mal.metrics", "mal.models", "mal.ops")
PLAIN_DATA = ("mal.config.architectures",)  # names and sizes, not the spec
FRONT = ("mal.cli", "mal.commands", "mal.__main__")
TESTS = Path(__file__).resolve().parent
NOT_MIRRORING = {"benchmarks", "cli", "clients", "compatibility", "conformance"}  # runs and data of their own
MIRRORING_TESTS = sorted(
    path for path in TESTS.rglob("*/test_*.py") if path.relative_to(TESTS).parts[0] not in NOT_MIRRORING
)
HEAVY = {"torch", "torchvision", "timm", "lightning", "torchmetrics", "numpy", "PIL", "pycocotools"}


def test_ops_import_nothing_else_of_the_package():
    for name in _modules_in("mal.ops"):
        strangers = [found for found in _imports(name) if _is_in(found, ["mal"]) and not _is_in(found, ["mal.ops"])]
        assert not strangers, f"{name} imports {strangers}"


def test_only_the_command_line_imports_the_tasks():
    for name in set(MODULES) - set(_modules_in(*FRONT, "mal.tasks")):
        assert not [found for found in _imports(name) if _is_in(found, ["mal.tasks"])], f"{name} imports a task"


def test_nothing_imports_the_command_line():
    for name in set(MODULES) - set(_modules_in(*FRONT)):
        assert not [found for found in _imports(name) if _is_in(found, FRONT)], f"{name} imports the command line"


LIGHT = ["mal", "mal.errors", "mal.config.schema", "mal.config.load", "mal.config.docs", "mal.commands.label"]


@pytest.mark.parametrize("name", LIGHT)
def test_the_spec_loads_without_anything_heavy(name):
    assert not _imported_with(name) & HEAVY


def test_the_command_line_imports_only_the_standard_library_at_first():
    third_party = HEAVY | {"pydantic", "omegaconf", "rich", "orjson", "yaml", "safetensors", "tensorboard"}
    assert not _imported_with("mal.cli") & third_party


def test_the_library_loads_without_the_trainer_and_without_encryption():
    found = _imported_with("mal.labeler")
    assert "torch" in found
    assert not found & {"lightning", "torchmetrics", "cryptography", "tensorboard"}


@pytest.mark.parametrize("name", MODULES)
def test_pictures_are_opened_by_one_function_alone(name):
    assert "Image.open(" not in MODULES[name].read_text(encoding="utf-8"), "use mal.data.picture_file.picture_in"


@pytest.mark.parametrize("name", MODULES)
def test_no_file_is_longer_than_400_lines(name):
    assert len(MODULES[name].read_text(encoding="utf-8").splitlines()) <= 400


def test_outlines_are_filled_and_runs_decoded_at_one_place():
    calls = {
        name: {
            node.attr
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Attribute)
        }
        & {"frPyObjects", "annToRLE", "annToMask", "merge"}
        for name, path in MODULES.items()
        if "pycocotools" in path.read_text(encoding="utf-8")
    }
    assert [name for name, found in calls.items() if found] == ["mal.masks.rle"]


def _modules_in(*packages: str) -> list[str]:
    return [name for name in MODULES if _is_in(name, packages)]


def _is_in(name: str, packages: Iterable[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _imported_with(name: str) -> set[str]:
    """Top-level names of all that importing a module imports, followed through the package."""
    assert name in MODULES
    seen, waiting = set(), [name]
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        if module in MODULES:
            waiting += [module.rpartition(".")[0]] if "." in module else []  # a package's __init__ runs first
            waiting += _imports(module, at_import_time=True)
    return {module.partition(".")[0] for module in seen}


def _imports(name: str, *, at_import_time: bool = False) -> list[str]:
    """Dotted names that a module imports; of ``from a import b`` both ``a`` and, where it is a module, ``a.b``."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    nodes = _statements_run_on_import(tree.body) if at_import_time else ast.walk(tree)
    package = name if MODULES[name].name == "__init__.py" else name.rpartition(".")[0]
    return [found for node in nodes for found in _names(node, package)]


def _names(node: ast.AST, package: str) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        parent = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
        source = ".".join(part for part in (parent, node.module) if part)
        return [source] + [f"{source}.{alias.name}" for alias in node.names if f"{source}.{alias.name}" in MODULES]
    return []


def _statements_run_on_import(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _statements_run_on_import(node.orelse)
            continue
        yield node
        yield from _statements_run_on_import(ast.iter_child_nodes(node))
