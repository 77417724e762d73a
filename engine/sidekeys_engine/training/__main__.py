"""``python -m sidekeys_engine.training``."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    try:
        from sidekeys_engine.training.stages import main

        status = main()
    except KeyboardInterrupt:  # while the modules were loaded; a step catches its own
        status = 130
    sys.exit(status)
