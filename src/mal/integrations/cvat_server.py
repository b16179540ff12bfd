"""A task on a CVAT server, by cvat-sdk: its shapes and frames, and masks that are added to it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import urllib3
from cvat_sdk import Client, models
from cvat_sdk.api_client import exceptions
from cvat_sdk.core.client import AccessTokenCredentials, PasswordCredentials
from cvat_sdk.core.exceptions import CvatSdkException
from cvat_sdk.core.proxies.annotations import AnnotationUpdateAction
from cvat_sdk.masks import encode_mask

from mal.data.images import decode_image
from mal.data.picture_file import Pixels
from mal.errors import UserError, one_line
from mal.integrations.cvat_shapes import Corners, Outline, Rectangle, upright_corners
from mal.masks.paste import PastedMask
from mal.reading import Reading

Credentials: TypeAlias = AccessTokenCredentials | PasswordCredentials
_SECONDS = urllib3.Timeout(connect=20, read=300)
_TAKEN_OVER = ("group", "z_order", "occluded")
_WITH_MASKS = ("any", "mask")
_LONGEST_ANSWER = 300


@dataclass(frozen=True, slots=True)
class Shapes:
    """What a task holds.

    Attributes:
        rectangles: those that can become masks.
        outlines: masks and polygons.
        num_tracks: tracks, which are left out: their rectangles move from frame to frame.
    """

    rectangles: list[Rectangle]
    outlines: list[Outline]
    num_tracks: int


@contextmanager
def open_task(url: str, credentials: Credentials, number: int, organization: str | None) -> Iterator[CvatTask]:
    """Log in to a server, and open a task of it.

    Args:
        url: of the server.
        credentials: a token, or a user's name and password.
        number: of the task.
        organization: short name of the one that the task belongs to; None asks for those of the user's own as well.

    Raises:
        UserError: the server cannot be reached, refuses, or has no such task; in this block too.
    """
    with _told(url, f"task {number}"):
        client = Client(url, check_server_version=False)
        logging.getLogger("urllib3").setLevel(logging.ERROR)  # it tells each try; the error tells the last one
        client.api_client.rest_client.pool_manager.connection_pool_kw["timeout"] = _SECONDS
        with client:
            client.organization_slug = organization
            client.check_server_version()
            client.login(credentials)
            yield CvatTask(client.tasks.retrieve(number))


class CvatTask:
    """A task; its methods raise what `open_task` turns into a UserError.

    Args:
        task: of cvat-sdk.
    """

    def __init__(self, task: Any) -> None:
        self._task = task
        meta = task.get_meta()
        self.name: str = task.name
        self.num_frames: int = task.size
        self._frames = list(meta.frames or [])
        self._deleted = set(meta.deleted_frames)

    def shapes(self) -> Shapes:
        """Rectangles and outlines on the frames that are not deleted."""
        data = self._task.get_annotations()
        here = [shape for shape in data.shapes if shape.frame not in self._deleted]
        rectangles = [_rectangle(shape) for shape in here if shape.type.value == "rectangle"]
        outlines = [_outline(shape) for shape in here if shape.type.value in ("mask", "polygon")]
        return Shapes(rectangles, outlines, len(data.tracks))

    def require_labels_for_masks(self, rectangles: Sequence[Rectangle]) -> None:
        """Check that CVAT takes masks of these labels.

        Raises:
            UserError: it does not.
        """
        used = {rectangle.label_id for rectangle in rectangles}
        labels = [label for label in self._task.get_labels() if label.id in used]
        closed = sorted(label.name for label in labels if getattr(label, "type", "any") not in _WITH_MASKS)
        if closed:
            raise UserError(
                f"task {self._task.id}: the label {closed[0]!r} takes no masks: set its shape to Any, in the label"
                " constructor of the task or project"
            )

    def frame(self, number: int) -> Pixels:
        """A frame in full quality, (H, W, 3) uint8, as CVAT shows it.

        Raises:
            UserError: it is not a picture, or not of the size that CVAT tells.
        """
        try:
            content = self._task.get_frame(number, quality="original").read()
        except exceptions.NotFoundException:
            raise UserError(f"the server has no frame {number} (404)") from None
        pixels = decode_image(content, f"frame {number}", Reading(exif="upright"))
        told = self._frames[min(number, len(self._frames) - 1)] if self._frames else None
        size = (getattr(told, "width", None), getattr(told, "height", None))
        if None not in size and size != pixels.shape[1::-1]:
            raise UserError(
                f"frame {number} has {pixels.shape[1]} x {pixels.shape[0]} pixels, CVAT says {size[0]} x {size[1]}"
            )
        return pixels

    def add_masks(self, masks: Sequence[tuple[Rectangle, PastedMask]]) -> None:
        """Add the masks of rectangles, each with the label, group and attributes of its rectangle."""
        shapes = [_mask_shape(rectangle, mask) for rectangle, mask in masks]
        data = models.PatchedLabeledDataRequest(shapes=shapes)
        self._task.update_annotations(data, action=AnnotationUpdateAction.CREATE)

    def remove(self, ids: Collection[int]) -> None:
        """Remove shapes."""
        if ids:  # without any, cvat-sdk removes everything
            self._task.remove_annotations(ids=list(ids))


def _rectangle(shape: Any) -> Rectangle:
    taken_over = {key: getattr(shape, key) for key in _TAKEN_OVER if getattr(shape, key, None) is not None}
    attributes = [
        models.AttributeValRequest(spec_id=each.spec_id, value=each.value) for each in getattr(shape, "attributes", [])
    ]
    corners = upright_corners(shape.points, getattr(shape, "rotation", 0.0))
    return Rectangle(shape.id, shape.frame, shape.label_id, corners, taken_over | {"attributes": attributes})


def _outline(shape: Any) -> Outline:
    return Outline(shape.frame, shape.label_id, _box_of(shape.type.value, shape.points))


def _box_of(kind: str, points: Sequence[float]) -> Corners:
    if kind == "mask":
        x0, y0, x1, y1 = points[-4:]
        return x0, y0, x1 + 1, y1 + 1
    return min(points[::2]), min(points[1::2]), max(points[::2]), max(points[1::2])


def _mask_shape(rectangle: Rectangle, mask: PastedMask) -> Any:
    score = {} if mask.score is None else {"score": float(mask.score)}
    return models.LabeledShapeRequest(
        type="mask",
        frame=rectangle.frame,
        label_id=rectangle.label_id,
        points=[float(value) for value in encode_mask(mask.full())],
        source="auto",
        **rectangle.taken_over,
        **score,
    )


@contextmanager
def _told(url: str, what: str) -> Iterator[None]:
    """Tell the errors of cvat-sdk in one line."""
    try:
        yield
    except exceptions.UnauthorizedException:
        raise UserError(f"{url} refuses the token or password (401)") from None
    except exceptions.ForbiddenException as error:
        raise UserError(f"{url}: these credentials may not read or change {what} (403): {_said(error)}") from None
    except exceptions.NotFoundException:
        raise UserError(f"{url}: there is no {what} that these credentials see; --org names an organization") from None
    except exceptions.ApiException as error:
        raise UserError(f"{url}: {what}: the server answers {error.status}: {_said(error)}") from None
    except (exceptions.OpenApiException, CvatSdkException) as error:
        raise UserError(f"{url}: {what}: not understood by cvat-sdk, is it a CVAT server? {one_line(error)}") from None
    except urllib3.exceptions.HTTPError as error:
        raise UserError(f"{url} cannot be reached: {one_line(error)}") from None


def _said(error: exceptions.ApiException) -> str:
    body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else str(error.body or error.reason)
    return " ".join(body.split())[:_LONGEST_ANSWER]
