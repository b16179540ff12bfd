"""``python -m mal`` is ``mal``."""

from __future__ import annotations

import sys

from mal.cli import main

sys.exit(main())
