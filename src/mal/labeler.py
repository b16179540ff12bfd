"""The library's front door: an image and boxes in, masks out."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike

from mal.config.load import spec_from_values
from mal.config.schema import ExperimentSpec, resolve_encryption_key
from mal.data.array_inputs import ImageLike, checked_boxes, describe_suspicion, image_pixels, visible_boxes
from mal.data.label_dataset import CropBatch, CropSettings, crop_boxes
from mal.errors import BoxWarning, SpecError, UserError
from mal.export.onnx_network import OnnxNetwork
from mal.load_model import AnyNetwork, load_model
from mal.masks.paste import PastedMask
from mal.masks.postprocess import NO_POSTPROCESSING, PostprocessOptions, Thresholds, postprocess_mask
from mal.masks.refine import CropPixels
from mal.masks.score import score_mask
from mal.models.from_spec import crop_settings, postprocess_options, prediction_mode
from mal.models.prediction_mode import NO_NUMBER, CropNetworks, PendingArray, PredictionMode, is_no_number
from mal.reading import Exif
from mal.size_bins import size_bin
from mal.starter.files import starter_path

if TYPE_CHECKING:
    import torch

    from mal.models.fpn_network import AnyMaskNetwork
    from mal.models.torch_networks import TorchNetworks


class MaskAutoLabeler:
    """Turns boxes into masks with a trained network.

    ``MaskAutoLabeler()`` takes the starter, which comes with the package; :meth:`from_checkpoint` any other network.

    Example:
        >>> labeler = MaskAutoLabeler()
        >>> masks = labeler.label("photo.jpg", [[40, 30, 220, 180]])  # (1, H, W) bool

    Args:
        student: the trained network; or an exported network of either kind, which runs on the CPU; None takes the
            starter, and its values for crop, thresholds, mode and cleaning where they are None too.
        teacher: the EMA teacher; or the same exported network.
        crop: crop settings.
        thresholds: a pixel belongs to the mask if its probability exceeds this; one value, or one each for small,
            medium and large boxes; or ``box_fit``, see :mod:`mal.masks.postprocess`.
        mode: which network is run, and how.
        cleaning: post-processing after the threshold; None does nothing with other networks than the starter.
        scored: whether each mask gets a score, see :mod:`mal.masks.score`.
        device: device of the networks.
        autocast_dtype: half precision to compute in; None computes in float32.

    Raises:
        UserError: an exported network is not the one of the mode, or takes crops of another size; or the profile is
            ``fast`` and the network is exported or not a ViT.
    """

    def __init__(
        self,
        student: AnyNetwork | None = None,
        teacher: AnyNetwork | None = None,
        *,
        crop: CropSettings | None = None,
        thresholds: Thresholds | None = None,
        mode: PredictionMode | None = None,
        cleaning: PostprocessOptions | None = None,
        scored: bool = True,
        device: torch.device | str = "cpu",
        autocast_dtype: torch.dtype | None = None,
    ) -> None:
        self._networks: CropNetworks
        if student is None:
            held = load_model(starter_path(trainable=_on_gpu(device)), ExperimentSpec())
            student, teacher = held.student, held.teacher
            crop = crop or crop_settings(held.spec)
            thresholds = held.spec.train.mask_thres if thresholds is None else thresholds
            mode = mode or prediction_mode(held.spec, held.spec.inference)
            cleaning = cleaning or postprocess_options(held.spec)
            if isinstance(student, OnnxNetwork):  # which holds one network, whatever it is called
                mode = replace(mode, network=student.network_name)
        if teacher is None or crop is None or thresholds is None or mode is None:
            raise TypeError("networks come with teacher, crop, thresholds and mode; see from_checkpoint")
        if isinstance(student, OnnxNetwork):
            student.require_use(crop, mode)
            self._networks, mode = student, replace(mode, network="student")
        else:
            self._networks = trained = _trained(student, teacher, mode, device, autocast_dtype)
            student, teacher = trained.student, trained.teacher
        self.student, self.teacher = student, teacher
        self.crop = crop
        self.thresholds = thresholds
        self.mode = mode
        self.cleaning = cleaning or NO_POSTPROCESSING
        self.scored = scored

    @property
    def device(self) -> str:
        """Where the networks are run: ``cpu``, ``cuda``, ``cuda:<index>`` or ``mps``."""
        return self._networks.device

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path | None = None,
        *,
        mode: PredictionMode | None = None,
        threshold: float | Literal["box_fit"] | None = None,
        min_part: float | None = None,
        fill_holes: float | None = None,
        allow_outside: float | None = None,
        within_box: bool | None = None,
        refine: Literal["none", "crf", "graph_cut", "auto"] | None = None,
        crf: bool | None = None,
        compat: Literal["tao"] | None = None,
        scored: bool = True,
        device: torch.device | str | None = None,
        encryption_key: str | None = None,
    ) -> MaskAutoLabeler:
        """Load a checkpoint of ``mal train``, of NVlabs/mask-auto-labeler, or of TAO 5.x and 6.x, or an ONNX file.

        Values that are not given come from the checkpoint, as in ``mal label``; a file of another program has no crop
        sizes and thresholds, and gets the public defaults.

        Args:
            path: the file; None takes the starter.
            mode: which network is run, and how; None takes the checkpoint's, or the network of an ONNX file.
            threshold: probability threshold in 0..1, or ``box_fit``; None takes the checkpoint's.
            min_part: connected components smaller than this share of the largest one are removed; None likewise.
            fill_holes: holes up to this share of a mask's area are filled; None likewise.
            allow_outside: how far a mask may leave its box, as a share of the box's extent; None likewise.
            within_box: whether to cut masks at their box, whatever the checkpoint allows; None likewise.
            refine: how each mask is refined by the colors of its crop: not at all (``none``), by the mean field with
                the checkpoint's settings (``crf``), after the threshold by graph cut (``graph_cut``), or so only where
                that is expected to help (``auto``); goes before ``mode``; None likewise.
            crf: True for ``refine="crf"``, False for ``"none"``.
            compat: ``tao`` labels as the public programs do: only the network and its crop size are the checkpoint's.
            scored: whether each mask gets a score.
            device: None takes a GPU if there is one. An ONNX file always runs on the CPU.
            encryption_key: key of an encrypted checkpoint; None takes the environment's ``MAL_ENCRYPTION_KEY``.

        Raises:
            UserError: the file cannot be read, does not say which network it holds, or needs another key.
            ValueError: a value is out of range; or masks shall both stay within their box and leave it; or ``crf``,
                ``refine`` and ``compat`` say different things.
        """
        values = {
            "compat": compat,
            "train.mask_thres": [threshold] if isinstance(threshold, float | int) else threshold,
            "masks.min_part": min_part,
            "masks.fill_holes": fill_holes,
            "masks.allow_outside": allow_outside,
            "masks.within_box": within_box,
            **_mode_fields(mode),
            **_refinement_fields(mode, refine, crf),
        }
        asked = _checked_spec({key: value for key, value in values.items() if value is not None})
        path = starter_path(trainable=_on_gpu(device)) if path is None else Path(path)
        held = load_model(path, asked, encryption_key=encryption_key or resolve_encryption_key())
        device = device or _best_device(held.student)
        labeler = cls.from_spec(held.student, held.teacher, held.spec, device=device, scored=scored)
        if mode is not None and mode.crf is not None and refine is None and crf is None:
            labeler.mode = replace(labeler.mode, crf=mode.crf)
        return labeler

    @classmethod
    def from_spec(
        cls,
        student: AnyNetwork,
        teacher: AnyNetwork,
        spec: ExperimentSpec,
        task: Literal["evaluate", "inference"] = "inference",
        *,
        scored: bool = True,
        device: torch.device | str = "cpu",
        autocast_dtype: torch.dtype | None = None,
    ) -> MaskAutoLabeler:
        """Make a labeler from a complete spec.

        Args:
            student, teacher: as above.
            spec: see `mal.config.precedence.effective_spec`.
            task: the section that selects the network and the mode.
            scored, device, autocast_dtype: as above.

        Raises:
            UserError: as above.
        """
        return cls(
            student,
            teacher,
            crop=crop_settings(spec),
            thresholds=spec.train.mask_thres,
            mode=prediction_mode(spec, getattr(spec, task)),
            cleaning=postprocess_options(spec),
            scored=scored,
            device=device,
            autocast_dtype=autocast_dtype,
        )

    def label(
        self, image: ImageLike, boxes_xyxy: ArrayLike, *, batch_size: int = 8, exif: Exif = "stored"
    ) -> npt.NDArray[np.bool_]:
        """Predict the masks of the objects in some boxes of an image.

        Args:
            image: a file path, a PIL image, or an (H, W, 3) or (H, W) uint8 array in RGB order.
            boxes_xyxy: (N, 4) boxes, x0 y0 x1 y1 in pixels of the image.
            batch_size: boxes in a batch.
            exif: for a file path: ``stored`` pixels, or ``upright`` ones as viewers turn them by the EXIF orientation;
                boxes and masks refer to the same pixels.

        Returns:
            (N, H, W) bool. The mask of a box that lies outside the image is empty.

        Warns:
            BoxWarning: the boxes look like fractions or per cent of the image, or like corners with x and y added.

        Raises:
            UserError: the image cannot be read, or the network's output for a box is not finite.
            ValueError: a box is invalid.
        """
        pixels, boxes = image_pixels(image, exif), checked_boxes(boxes_xyxy)
        _warn_about_boxes(boxes, pixels)
        masks = np.zeros((len(boxes), *pixels.shape[:2]), dtype=np.bool_)
        for index, pasted in self._masks_by_index(pixels, boxes, batch_size):
            if pasted is None:
                raise UserError(f"boxes_xyxy[{index}] has no mask: {NO_NUMBER}")
            masks[index] = pasted.full()
        return masks

    def label_instances(
        self, image: ImageLike, boxes_xyxy: ArrayLike, *, batch_size: int = 8, exif: Exif = "stored"
    ) -> list[PastedMask | None]:
        """Like :meth:`label`, but each mask is a window of the image, with a score and :meth:`PastedMask.rle`.

        Returns:
            N masks; None for a box outside the image, or if the network's output is not finite.
        """
        pixels, boxes = image_pixels(image, exif), checked_boxes(boxes_xyxy)
        _warn_about_boxes(boxes, pixels)
        found = dict(self._masks_by_index(pixels, boxes, batch_size))
        return [found.get(index) for index in range(len(boxes))]

    def probabilities(self, batch: CropBatch) -> npt.NDArray[np.float32]:
        """Foreground probabilities of a batch of crops, (B, 1, S, S) float32 in 0..1; NaN where a network fails."""
        return self.start(batch)()

    def on_one_thread(self) -> AbstractContextManager[None]:
        """Within the block a CPU runs the networks on one thread, in forked processes too."""
        return self._networks.on_one_thread()

    def start(self, batch: CropBatch) -> PendingArray:
        """Begin to compute the probabilities of a batch; the returned function waits for them."""
        return self._networks.start(batch, self.mode)

    def logits(self, batch: CropBatch) -> npt.NDArray[np.float32]:
        """Mask logits of a batch of crops, (B, 1, h, w) float32, h and w four times the backbone's grid."""
        return self._networks.logits(batch, self.mode)

    def instance_vectors(self, batch: CropBatch) -> npt.NDArray[np.float32]:
        """The student's instance vectors of a batch of crops, (B, D) float32.

        Raises:
            UserError: the network is exported, and so gives masks only.
        """
        return self._networks.instance_vectors(batch)

    def masks(self, batch: CropBatch) -> list[PastedMask | None]:
        """The masks of a batch of crops, pasted into their images; see :meth:`pasted`."""
        return list(self.pasted(batch, self.probabilities(batch))) if len(batch) else []

    def pasted(self, batch: CropBatch, probs: npt.NDArray[np.float32]) -> Iterator[PastedMask | None]:
        """Paste the masks of a batch, one at a time, since a large one takes a byte for each pixel of its image.

        Args:
            batch: crops.
            probs: (B, 1, S, S) from :meth:`probabilities`.

        Yields:
            B masks; None if the network's output is not finite.
        """
        for index, (prob, frame, area, box) in enumerate(
            zip(probs[:, 0], batch.frames, batch.box_area.tolist(), batch.boxes, strict=True)
        ):
            if is_no_number(prob):
                yield None
                continue
            mask = postprocess_mask(
                prob,
                frame,
                (box.image.width, box.image.height),
                box_xyxy=box.xyxy,
                box_area=area,
                thresholds=self.thresholds,
                cleaning=self.cleaning,
                cut_on=CropPixels(batch.images[index], batch.box_mask[index, 0]) if self.mode.graph_cut else None,
                choose=self.mode.graph_cut == "auto",
            )
            if self.scored:
                mask = replace(mask, score=score_mask(mask, prob, batch.images[index], batch.box_mask[index, 0], frame))
            yield mask

    def crops(
        self, image: ImageLike, boxes_xyxy: ArrayLike, *, batch_size: int = 8, exif: Exif = "stored"
    ) -> Iterator[CropBatch]:
        """Crop an image: batches of crops around the boxes that touch it, small boxes first."""
        pixels = image_pixels(image, exif)
        boxes = visible_boxes(checked_boxes(boxes_xyxy), width=pixels.shape[1], height=pixels.shape[0])
        boxes.sort(key=lambda box: size_bin(box.area))  # the network treats one size bin alike: batch by bin
        for start in range(0, len(boxes), batch_size):
            yield crop_boxes(pixels, boxes[start : start + batch_size], self.crop)

    def _masks_by_index(
        self, pixels: npt.NDArray[np.uint8], boxes_xyxy: npt.NDArray[np.float64], batch_size: int
    ) -> Iterator[tuple[int, PastedMask | None]]:
        for batch in self.crops(pixels, boxes_xyxy, batch_size=batch_size):
            yield from zip((box.position for box in batch.boxes), self.masks(batch), strict=True)


def whole(masks: Iterable[PastedMask | None]) -> Iterator[PastedMask]:
    """Require a mask for each box of a batch.

    Raises:
        UserError: the network has failed for a box.
    """
    for mask in masks:
        if mask is None:
            raise UserError(f"a box has no mask: {NO_NUMBER}")
        yield mask


def _warn_about_boxes(boxes: npt.NDArray[np.float64], pixels: npt.NDArray[np.uint8]) -> None:
    odd = describe_suspicion(boxes, width=pixels.shape[1], height=pixels.shape[0])
    if odd:
        warnings.warn(odd, BoxWarning, stacklevel=3)


def _checked_spec(values: Mapping[str, Any]) -> ExperimentSpec:
    try:
        return spec_from_values(values)
    except SpecError as error:
        raise ValueError(str(error)) from error


def _mode_fields(mode: PredictionMode | None) -> dict[str, Any]:
    """A mode as fields of the spec."""
    if mode is None:
        return {}
    return {
        "inference.use_mixed_model_test": mode.network == "mixed",
        "inference.use_teacher_test": mode.network == "teacher",
        "inference.use_flip_test": mode.flip,
        "inference.profile": mode.profile,
    }


def _refinement_fields(mode: PredictionMode | None, refine: str | None, crf: bool | None) -> dict[str, Any]:
    """How masks are refined, as fields of the spec; empty where nobody says it."""
    if refine is not None or crf is not None:
        return {"inference.refine": refine, "inference.use_crf_test": crf}
    if mode is None:
        return {}
    if mode.graph_cut:
        return {"inference.refine": "auto" if mode.graph_cut == "auto" else "graph_cut"}
    return {"inference.refine": "none" if mode.crf is None else "crf"}


def _trained(
    student: AnyMaskNetwork,
    teacher: AnyNetwork,
    mode: PredictionMode,
    device: torch.device | str,
    autocast_dtype: torch.dtype | None,
) -> TorchNetworks:
    from mal.models.torch_networks import TorchNetworks  # PyTorch, which an exported network does without

    return TorchNetworks(
        student, cast("AnyMaskNetwork", teacher), profile=mode.profile, device=device, autocast_dtype=autocast_dtype
    )


def _on_gpu(device: torch.device | str | None) -> bool:
    return device is not None and str(device) != "cpu"


def _best_device(network: AnyNetwork) -> str:
    if isinstance(network, OnnxNetwork):
        return network.device
    from mal.models.torch_networks import best_device

    return best_device()
