"""Notes on records that were skipped, failed, changed or are suspect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Action = Literal["clipped", "skipped", "passed", "failed", "doubtful", "warned"]


@dataclass(frozen=True, slots=True)
class RecordNote:
    """One note of the report.

    Attributes:
        position: index in the file's ``annotations`` list; None for a note on an image, a category or the file.
        annotation_id: the record's id as the file has it (any JSON value), None where there is none.
        image_id: likewise for the image.
        action: "clipped" (labeled, box limited to the image), "skipped" (no mask: the record is at fault),
            "failed" (no mask: its image or the network is at fault), "passed" (copied unchanged),
            "doubtful" (labeled, the mask is empty or probably poor),
            "warned" (used unchanged, but suspect).
        reason: one line that names the value at fault.
    """

    position: int | None
    annotation_id: Any
    image_id: Any
    action: Action
    reason: str

    @property
    def is_on_file(self) -> bool:
        """Whether it concerns the whole file, or an entry of it without an image."""
        return self.position is None and self.image_id is None
