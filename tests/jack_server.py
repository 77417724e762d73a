"""A real JACK server of a test's own, on the dummy driver: it needs no sound card."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_READY_SECONDS = 20.0
_END_SECONDS = 10.0
_ENVIRONMENT = ("JACK_DEFAULT_SERVER", "JACK_NO_START_SERVER")

_numbers = itertools.count(1)


@contextlib.contextmanager
def running_jack(period: int = 256, rate: int = 44100, *, name: str | None = None) -> Iterator[str]:
    """Run a JACK server while the block lasts; clients, child processes too, find it by default.

    It runs asynchronously, because a synchronous one waits for a client that was killed, and with
    realtime priority where the tests may have it: without, periods are lost under load.

    Args:
        period: frames that JACK moves at a time.
        rate: frames a second.
        name: of a server that has ended and comes back; a new one for None.

    Yields:
        The server's name. `JACK_DEFAULT_SERVER` holds it too, until the block ends.
    """
    jackd = shutil.which("jackd")
    if jackd is None:
        pytest.fail("This test needs a JACK server; type: sudo apt-get install jackd2")
    name = name or f"sidekeys-{os.getpid()}-{next(_numbers)}"
    before = {variable: os.environ.get(variable) for variable in _ENVIRONMENT}
    realtime = ["-R", "-P", "20"] if _may_run_in_realtime() else ["-r"]
    # Docker gives 64 MB of shared memory; JACK's usual number of ports needs 105 MB.
    server = [*_end_with_us(), jackd, "-n", name, "--port-max", "128", *realtime]
    driver = ["-d", "dummy", "-r", str(rate), "-p", str(period)]
    with tempfile.TemporaryDirectory(prefix=name) as folder:
        log = Path(folder, "jackd.log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*server, *driver], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        try:
            os.environ.update(zip(_ENVIRONMENT, (name, "1"), strict=True))
            _wait_until_ready(name, process, log)
            yield name
        finally:
            for variable, value in before.items():
                if value is None:
                    os.environ.pop(variable, None)
                else:
                    os.environ[variable] = value
            _end(process)


def _wait_until_ready(name: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a client can connect; a client that comes sooner fails at once."""
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        lsp = subprocess.run(["jack_lsp", "-s", name], capture_output=True, check=False)
        if lsp.returncode == 0 and b"system:" in lsp.stdout:
            return
        time.sleep(0.05)
    pytest.fail(f"The JACK server {name} did not start:\n{log.read_text(errors='replace')}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end_with_us() -> list[str]:
    """What makes the server end if the tests are killed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []


def _may_run_in_realtime() -> bool:
    """Whether this user may have SCHED_FIFO; asked in a child, so that nothing changes here."""
    chrt = shutil.which("chrt")
    if chrt is None:
        return False
    asked = subprocess.run([chrt, "-f", "20", "true"], capture_output=True, check=False)
    return asked.returncode == 0
