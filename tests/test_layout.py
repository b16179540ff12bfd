"""The rules of docs/architecture.md, checked on the source text."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from mal.extras import TRAINING_PACKAGES
from tests.architecture_map import file_map, map_on_the_page

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


FRONT_OF_THE_LIBRARY = "mal.auto.library"  # a whole command as a function


def test_only_the_command_line_imports_the_tasks():
    for name in set(MODULES) - set(_modules_in(*FRONT, FRONT_OF_THE_LIBRARY, "mal.tasks")):
        assert not [found for found in _imports(name) if _is_in(found, ["mal.tasks"])], f"{name} imports a task"


def test_nothing_imports_the_command_line():
    for name in set(MODULES) - set(_modules_in(*FRONT)):
        assert not [found for found in _imports(name) if _is_in(found, FRONT)], f"{name} imports the command line"


def test_what_lies_below_the_spec_does_not_know_it():
    for name in set(_modules_in(*BELOW_THE_SPEC)) - {"mal.models.from_spec"}:
        known = [found for found in _imports(name) if _is_in(found, ["mal.config"]) and not _is_in(found, PLAIN_DATA)]
        assert not known, f"{name} imports {known}"


def test_only_tasks_import_training():
    for name in set(MODULES) - set(_modules_in("mal.tasks", "mal.training")):
        assert not [found for found in _imports(name) if _is_in(found, ["mal.training"])], f"{name} imports training"


ROOMS_ABOVE = {
    "mal.config": ("checkpoint", "coco", "data", "models", "runtime", "labeling", "report"),
    "mal.masks": ("coco", "data", "metrics", "models", "runtime", "labeling", "report"),
    "mal.coco": ("data", "metrics", "models", "runtime", "labeling", "report"),
    "mal.data": ("metrics", "models", "checkpoint", "labeling", "report"),
    "mal.metrics": ("models", "checkpoint", "labeling", "report"),
    "mal.models": ("coco", "metrics", "checkpoint", "labeling", "report"),
    "mal.checkpoint": ("coco", "data", "labeler", "labeling", "report"),
    "mal.runtime": ("data", "models", "checkpoint", "labeler", "labeling", "report"),
    "mal.export": ("coco", "runtime", "labeling", "report"),
    "mal.labeler": ("runtime", "labeling", "report", "serve"),
    "mal.labeling": ("report", "serve"),
    "mal.report": ("serve",),
    "mal.formats": ("serve",),
    "mal.serve": ("review",),
}


@pytest.mark.parametrize("room", ROOMS_ABOVE)
def test_a_room_imports_no_room_above_it(room):
    rooms = [f"mal.{above}" for above in ROOMS_ABOVE[room]]
    for name in _modules_in(room):
        assert not [found for found in _imports(name) if _is_in(found, rooms)], f"{name} imports from above {room}"


def test_no_files_import_each_other_in_a_circle():
    arrows = {name: set(_imports(name, at_import_time=True)) & set(MODULES) - {name} for name in MODULES}
    while leaves := {name for name, targets in arrows.items() if not targets & set(arrows)}:
        arrows = {name: targets for name, targets in arrows.items() if name not in leaves}
    assert not arrows, f"a circle is among {sorted(arrows)}"


def test_the_map_names_every_file_with_its_first_line():
    assert map_on_the_page() == file_map(), "run make map"


@pytest.mark.parametrize("path", MIRRORING_TESTS, ids=lambda path: str(path.relative_to(TESTS)))
def test_a_test_file_is_named_for_the_file_that_it_covers(path):
    room = PACKAGE / path.parent.relative_to(TESTS)
    name = path.stem.removeprefix("test_")
    assert any(name == file.stem or name.startswith(f"{file.stem}_") for file in room.glob("*.py"))


LIGHT = ["mal", "mal.errors", "mal.config.schema", "mal.config.load", "mal.config.docs", "mal.commands.label"]


@pytest.mark.parametrize("name", LIGHT)
def test_the_spec_loads_without_anything_heavy(name):
    assert not _imported_with(name) & HEAVY


def test_the_command_line_imports_only_the_standard_library_at_first():
    third_party = HEAVY | {"pydantic", "omegaconf", "rich", "orjson", "yaml", "safetensors", "tensorboard"}
    assert not _imported_with("mal.cli") & third_party


@pytest.mark.parametrize("name", ["mal.checkpoint.load", "mal.checkpoint.matching", "mal.models.torch_networks"])
def test_a_checkpoint_is_run_without_the_trainer(name):
    assert not _imported_with(name) & {"lightning", "torchmetrics", "tensorboard", "torchvision"}


def test_the_library_loads_without_encryption():
    assert not _imported_with("mal.labeler") & {"cryptography"}


# What runs where the extra `train` is not installed; PyTorch is imported inside functions, for checkpoints alone.
TORCH_FREE = {
    name
    for room in (
        "auto",
        "coco",
        "config",
        "data",
        "export",
        "formats",
        "integrations",
        "labeling",
        "masks",
        "metrics",
        "report",
        "review",
        "sample",
        "serve",
        "starter",
    )
    for name in MODULES
    if name.startswith(f"mal.{room}.")
} - {
    "mal.data.augment",
    "mal.data.dataloader",
    "mal.data.targets",
    "mal.data.train_dataset",
    "mal.data.true_targets",
    "mal.export.onnx_write",
    "mal.metrics.evaluator",
    "mal.metrics.iou_metric",
}
TORCH_FREE |= {"mal.labeler", "mal.load_model", "mal.models.from_spec", "mal.models.prediction_mode"}
TORCH_FREE |= {
    f"mal.tasks.{task}"
    for task in (
        "auto",
        "check",
        "compare",
        "convert",
        "cvat_label",
        "evaluate",
        "inference",
        "label",
        "report",
        "review",
        "review_export",
        "serve",
    )
}
TORCH_FREE |= {name for name in MODULES if name.startswith("mal.commands.")}


@pytest.mark.parametrize("name", sorted(TORCH_FREE))
def test_what_labels_checks_converts_and_reports_imports_nothing_of_the_extra_for_training(name):
    assert not _imported_with(name) & {*TRAINING_PACKAGES, "llvmlite"}


@pytest.mark.parametrize("name", MODULES)
def test_pictures_are_opened_by_one_function_alone(name):
    assert "Image.open(" not in MODULES[name].read_text(encoding="utf-8"), "use mal.data.picture_file.picture_in"


INTERNALS = "mal.runtime.lightning_internals"
# Undocumented names without an underscore: counters of the trainer's loops, and their keys in its checkpoints.
LOOP_NAMES = {"fit_loop", "epoch_loop", "val_loop", "batch_progress", "epoch_progress", "loops"}
PRIVATE_TEXTS = {"_AsyncWriterThread", "_launch_process_observer"}
PRIVATE_OF_A_LOADER = {"_iterator", "_workers", "_shutdown_workers"}  # also of `self`, which may be one
ALLOWED = {
    "os._exit",  # documented in spite of its name
    "_compat_pickle",  # the standard library's table of old names in pickles, as stable as the format
    "vit._pos_embed",  # of models.backbones.vit, which overrides timm's method
}


def test_the_file_of_internals_imports_nothing_of_the_package_and_no_lightning_at_first():
    assert not [found for found in _imports(INTERNALS) if _is_in(found, ["mal"])]
    assert "lightning" not in _imported_with(INTERNALS)


@pytest.mark.parametrize("name", sorted(set(MODULES) - {INTERNALS}))
def test_private_names_of_others_are_used_by_one_file_alone(name):
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    found = {used for node in ast.walk(tree) for used in _private_names(node)} - ALLOWED
    assert not found, f"{name} uses {found}; put them behind functions of {INTERNALS}"


@pytest.mark.parametrize("name", MODULES)
def test_no_file_is_longer_than_400_lines(name):
    assert len(MODULES[name].read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.js")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_script_of_a_page_is_longer_than_400_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


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


def _private_names(node: ast.AST) -> Iterator[str]:
    """Names of other owners with one underscore in front, and undocumented ones as attributes or keys."""
    if isinstance(node, ast.Attribute):
        is_own = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
        is_undocumented = node.attr in LOOP_NAMES | PRIVATE_OF_A_LOADER | {"interrupted"}
        if is_undocumented or (_is_private(node.attr) and not is_own):
            yield ast.unparse(node)
    elif isinstance(node, ast.ImportFrom) and node.module:
        names = [*node.module.split("."), *(alias.name for alias in node.names)]
        yield from filter(_is_private, names)
    elif isinstance(node, ast.Constant) and set(str(node.value).split(".")) & (LOOP_NAMES | PRIVATE_TEXTS):
        yield str(node.value)


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _statements_run_on_import(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _statements_run_on_import(node.orelse)
            continue
        yield node
        yield from _statements_run_on_import(ast.iter_child_nodes(node))
