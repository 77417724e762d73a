"""`python -m sidekeys_bridge`: the same as `sidekeys`."""

import sys

from sidekeys_bridge.cli import main

sys.exit(main())
