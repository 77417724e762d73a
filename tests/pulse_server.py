"""A real PulseAudio server of a test's own, with one silent output whose monitor is a bus."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_READY_SECONDS = 20.0


@contextlib.contextmanager
def running_pulse(rate: int = 48_000) -> Iterator[str]:
    """Run PulseAudio while the block lasts; clients find it by ``PULSE_SERVER``.

    Yields:
        The name of its output, ``daw_bus``, described as "DAW Bus".
    """
    pulseaudio = shutil.which("pulseaudio")
    if pulseaudio is None:
        pytest.fail("This test needs PulseAudio; type: sudo apt-get install pulseaudio")
    before = os.environ.get("PULSE_SERVER")
    with tempfile.TemporaryDirectory(prefix="sidekeys-pulse") as folder:
        socket = Path(folder, "native")
        script = Path(folder, "null.pa")
        script.write_text(
            f"load-module module-native-protocol-unix auth-anonymous=1 socket={socket}\n"
            f"load-module module-null-sink sink_name=daw_bus rate={rate} channels=2"
            " format=float32le sink_properties=device.description='DAW\\ Bus'\n"
        )
        log = Path(folder, "log")
        environment = {**os.environ, "XDG_RUNTIME_DIR": folder, "HOME": folder}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [pulseaudio, "-n", "-F", str(script), "--daemonize=no", "--exit-idle-time=-1",
                 "--use-pid-file=no"],
                env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        os.environ["PULSE_SERVER"] = f"unix:{socket}"
        try:
            deadline = time.monotonic() + _READY_SECONDS
            while subprocess.run(["pactl", "info"], capture_output=True, check=False).returncode:
                if time.monotonic() > deadline or process.poll() is not None:
                    pytest.fail(f"PulseAudio did not start:\n{log.read_text(errors='replace')}")
                time.sleep(0.05)
            yield "daw_bus"
        finally:
            if before is None:
                os.environ.pop("PULSE_SERVER", None)
            else:
                os.environ["PULSE_SERVER"] = before
            process.terminate()
            process.wait(10)
