"""The networks that a file holds: a checkpoint of any known origin, or an exported graph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mal.checkpoint.fitting import fitted_spec, held_model
from mal.checkpoint.matching import load_exactly
from mal.checkpoint.weights import Weights, read_weights
from mal.config.schema import ExperimentSpec
from mal.export.onnx_network import ONNX_SUFFIX, OnnxNetwork, read_onnx
from mal.models.build import build_network
from mal.models.ema import make_teacher
from mal.models.network import MaskNetwork
from mal.models.predict import Network
from mal.training.saved_spec import spec_from_saved

AnyNetwork = MaskNetwork | OnnxNetwork


@dataclass(frozen=True, slots=True)
class HeldNetworks:
    """What a file holds.

    Attributes:
        spec: the given spec completed from the file, or the file's own.
        student: the trained network; or the one exported graph, whichever network it is.
        teacher: its moving average; or the same exported graph.
        holds: which network an exported graph is; ``student`` for a checkpoint, which answers for both.
    """

    spec: ExperimentSpec
    student: AnyNetwork
    teacher: AnyNetwork
    holds: Network = "student"


def held_networks(path: Path, spec: ExperimentSpec | None = None, *, encryption_key: str | None = None) -> HeldNetworks:
    """Read the networks of a file.

    Args:
        path: a checkpoint of ``mal train``, of NVlabs/mask-auto-labeler or of TAO 5.x and 6.x; or an ONNX file.
        spec: what the user asks for; fields of the network that it leaves open come from the file. None takes the
            file's own spec; a file of another program has none, and gets the public defaults.
        encryption_key: of an encrypted checkpoint; for other files it has no meaning.

    Raises:
        UserError: the file cannot be read, contradicts the spec, or does not tell which network it holds.
    """
    if path.suffix == ONNX_SUFFIX:
        exported = read_onnx(path)
        own = Weights.of_spec(path, exported.spec)
        found = fitted_spec(spec, own) if spec else spec_from_saved(exported.spec, path)
        return HeldNetworks(found, exported.network, exported.network, exported.network.holds)
    weights = read_weights(path, encryption_key)
    found = fitted_spec(spec, weights) if spec else checkpoint_spec(weights)
    return HeldNetworks(found, *checkpoint_networks(found, weights))


def checkpoint_spec(weights: Weights) -> ExperimentSpec:
    """The spec that a checkpoint was trained with; of another program's file, the defaults and the network found in it.

    Raises:
        UserError: there is no telling which network the weights belong to.
    """
    if weights.spec or "arch" not in held_model(weights) or not weights.has_heads:
        return spec_from_saved(weights.spec, weights.path)
    return fitted_spec(ExperimentSpec(), weights)


def checkpoint_networks(spec: ExperimentSpec, weights: Weights) -> tuple[MaskNetwork, MaskNetwork]:
    """Student and teacher of a checkpoint.

    Raises:
        UserError: the weights are not those of the spec's network.
    """
    student = build_network(spec, weights.stem or "patch")
    teacher = make_teacher(student)
    load_exactly(student, weights.network("student"), weights.path)
    load_exactly(teacher, weights.network("teacher"), weights.path)
    return student, teacher
