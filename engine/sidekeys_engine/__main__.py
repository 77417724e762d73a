"""`python -m sidekeys_engine`: the engine's commands, which `sidekeys` hands over to."""

import os
import sys

# Threads that wait for work must sleep, not spin: a DAW shares these cores, and on a busy machine
# spinning made a song take five times as long. OpenMP reads it when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

try:
    from sidekeys_engine.command import main

    status = main()
except KeyboardInterrupt:  # while the modules were loaded; a command catches its own
    status = 130
sys.exit(status)
