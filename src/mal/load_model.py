"""Load the networks of a file: a checkpoint of any known origin, or an exported ONNX graph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from mal.checkpoint.model_fields import complete_spec_from_checkpoint
from mal.checkpoint.saved_spec import spec_from_saved
from mal.config.precedence import EffectiveSpec, effective_spec, extract_settings
from mal.config.schema import ExperimentSpec
from mal.export.onnx_network import ONNX_SUFFIX, OnnxNetwork, read_onnx
from mal.extras import require_training_packages
from mal.models.from_spec import build_network
from mal.models.prediction_mode import Network

if TYPE_CHECKING:
    from mal.checkpoint.load import Checkpoint
    from mal.models.fpn_network import AnyMaskNetwork

AnyNetwork: TypeAlias = "AnyMaskNetwork | OnnxNetwork"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """The networks of a file.

    Attributes:
        effective: the given spec completed from the file, with the source of its values.
        settings: the file's own values of the fields that decide masks, by dotted key.
        student: the trained network, or an exported graph of either network.
        teacher: the EMA teacher, or the same exported graph.
    """

    effective: EffectiveSpec
    student: AnyNetwork
    teacher: AnyNetwork
    settings: dict[str, Any]

    @property
    def spec(self) -> ExperimentSpec:
        """The complete spec."""
        return self.effective.spec


def load_model(path: Path, spec: ExperimentSpec, *, encryption_key: str | None = None) -> LoadedModel:
    """Read the networks of a file.

    Args:
        path: a checkpoint of ``mal train``, of NVlabs/mask-auto-labeler or of TAO 5.x and 6.x; or an ONNX file.
        spec: the user's spec. Network fields, and fields that decide masks, come from the file if they are not given,
            see `mal.config.precedence`; for files of other programs the latter keep the public defaults.
        encryption_key: key of an encrypted checkpoint; ignored for other files.

    Raises:
        UserError: the file cannot be read, contradicts the spec, or does not say which network it holds; or it is a
            checkpoint and PyTorch is not installed.
    """
    if path.suffix == ONNX_SUFFIX:
        exported = read_onnx(path)
        own = spec_from_saved(exported.spec, path)
        held, fixed = extract_settings(own), _export_settings(exported.network.network_name)
        found = effective_spec(complete_spec_from_checkpoint(spec, own, path), held, fixed)
        return LoadedModel(found, exported.network, exported.network, held | fixed)
    require_training_packages(f"{path}: a checkpoint")
    from mal.checkpoint.load import load_checkpoint

    checkpoint = load_checkpoint(path, encryption_key)
    own = checkpoint.spec if "arch" in spec.model.model_fields_set else checkpoint.network_spec()
    settings = extract_settings(own)
    found = effective_spec(complete_spec_from_checkpoint(spec, own, path), settings)
    return LoadedModel(found, *build_networks(found.spec, checkpoint), settings)


def _export_settings(name: Network) -> dict[str, Any]:
    """The settings that are fixed in an exported graph, which is a single network."""
    choices = {
        "use_mixed_model_test": name == "mixed",
        "use_teacher_test": name == "teacher",
        "profile": "exact",
    }
    return {f"{task}.{key}": value for task in ("evaluate", "inference") for key, value in choices.items()}


def build_networks(spec: ExperimentSpec, checkpoint: Checkpoint) -> tuple[AnyMaskNetwork, AnyMaskNetwork]:
    """Build student and teacher of a checkpoint.

    Raises:
        UserError: the weights do not fit the spec's network.
    """
    from mal.checkpoint.matching import load_exactly  # PyTorch, which an exported network does without
    from mal.models.ema import make_teacher

    student = build_network(spec, checkpoint.stem or "patch")
    teacher = make_teacher(student)
    load_exactly(student, checkpoint.student, checkpoint.path)
    load_exactly(teacher, checkpoint.teacher, checkpoint.path)
    return student, teacher
