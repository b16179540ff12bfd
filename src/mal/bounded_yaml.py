"""Read YAML that cannot stand for more than it is worth: aliases are counted as what they repeat."""

from __future__ import annotations

from typing import Any

import yaml
from yaml.composer import ComposerError

from mal.limits import MAX_YAML_DEPTH, MAX_YAML_NODES, YAML_CHARACTERS_OF_A_NODE


class BoundedLoader(yaml.SafeLoader):
    """A safe loader that refuses, while composing, what expands to too many values, is nested too deep or is endless.

    The refusal is a `yaml.YAMLError` with the line of the value that is one too many.

    Attributes:
        max_values: scalars, lists and mappings of a document, each alias counted as all that it stands for.
    """

    max_values = MAX_YAML_NODES

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._values = 0
        self._heights = [0]  # of what is inside each of the nodes that are open
        self._sizes: dict[yaml.Node, tuple[int, int]] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """As of the base class, with the bounds of this one."""
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
    """The value of a YAML document from anywhere.

    Raises:
        yaml.YAMLError: it is no YAML, or goes beyond the bounds of `BoundedLoader`.
    """
    return yaml.load(text, BoundedLoader)
