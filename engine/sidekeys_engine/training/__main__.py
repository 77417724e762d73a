"""``python -m sidekeys_engine.training``."""

from __future__ import annotations

import sys

from sidekeys_engine.training.stages import main

if __name__ == "__main__":
    sys.exit(main())
