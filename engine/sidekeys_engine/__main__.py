"""`python -m sidekeys_engine`: the engine's commands, which `sidekeys` hands over to."""

import sys

from sidekeys_engine.command import main

sys.exit(main())
