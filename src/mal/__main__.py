"""``python -m mal`` is the command ``mal``."""

from __future__ import annotations

import sys

from mal.cli import main

if __name__ == "__main__":
    sys.exit(main())
