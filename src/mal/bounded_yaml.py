"""Read YAML with bounded expansion: each alias counts as everything it repeats."""

from __future__ import annotations

from typing import Any

import yaml
from yaml.composer import ComposerError

from mal.limits import MAX_YAML_DEPTH, MAX_YAML_NODES, YAML_CHARACTERS_OF_A_NODE


class BoundedLoader(yaml.SafeLoader):
    """A safe loader that refuses, while composing, documents that expand too much, nest too deep or are endless.

    Raises a `yaml.YAMLError` with the line of the first value beyond the bound.

    Attributes:
        max_values: limit of scalars, lists and mappings in a document; an alias counts as everything it repeats.
    """

    max_values = MAX_YAML_NODES

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._values = 0
        self._heights = [0]  # of the content of each open node
        self._sizes: dict[yaml.Node, tuple[int, int]] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """As in the base class, with bounds."""
        mark = self.peek_event().start_mark
        if self.check_event(yaml.AliasEvent):
            node = super().compose_node(parent, index)
            if node not in self._sizes:
                raise ComposerError(None, None, "a value contains itself", mark)
            size, height = self._sizes[node]
            self._add(size, height, mark)
            return node
        before = self._values
        event = self.peek_event()
        self._add(1 + len(getattr(event, "value", "")) // YAML_CHARACTERS_OF_A_NODE, 1, mark)
        self._heights.append(0)
        node = super().compose_node(parent, index)
        height = 1 + self._heights.pop()
        self._heights[-1] = max(self._heights[-1], height)
        if node is not None:
            self._sizes[node] = self._values - before, height
        return node

    def _add(self, values: int, height: int, mark: Any) -> None:
        self._values += values
        self._heights[-1] = max(self._heights[-1], height)
        if self._values > self.max_values:
            problem = f"it stands for more than {self.max_values:,} values, aliases counted as what they repeat"
            raise ComposerError(None, None, problem, mark)
        if len(self._heights) - 1 + height > MAX_YAML_DEPTH:
            raise ComposerError(None, None, f"it is nested more than {MAX_YAML_DEPTH} levels deep", mark)


def load_yaml(text: str) -> Any:
    """Parse an untrusted YAML document.

    Raises:
        yaml.YAMLError: it is not YAML, or exceeds the bounds of `BoundedLoader`.
    """
    return yaml.load(text, BoundedLoader)
