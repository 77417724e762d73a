"""What following Ableton Link promises: the session's beat and bar; words where it is missing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sidekeys_bridge.link import LinkSource
from sidekeys_bridge.transport import Transport
from sidekeys_engine.errors import InputError

ROOT = Path(__file__).parents[2]
_IN_A_NETWORK = 'ip link set lo up; exec "$0" tests/link_pair.py'


def may_unshare() -> bool:
    asked = subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False)
    return asked.returncode == 0


@pytest.fixture(scope="module")
def session() -> dict[str, Any]:
    """What a transport saw beside two DAWs, in a network of its own."""
    pytest.importorskip("aalink", reason="Link has no wheel for this Python")
    if shutil.which("unshare") is None or not may_unshare():
        pytest.fail("This test needs a network of its own: run it as root, or allow unshare -n")
    paths = os.pathsep.join(str(ROOT / folder) for folder in ("engine", "bridge", "tests"))
    pair = subprocess.run(
        ["unshare", "-n", "bash", "-c", _IN_A_NETWORK, sys.executable],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert pair.returncode == 0, pair.stderr
    return dict(json.loads(pair.stdout))


def test_without_peers_link_is_not_there(session: dict[str, Any]) -> None:
    assert session["alone"]["source"] == "audio"
    assert session["left"]["source"] == "audio"
    assert not session["left"]["playing"]


def test_it_plays_when_the_session_plays_at_its_tempo(session: dict[str, Any]) -> None:
    seen = session["shared"]["seen"]
    assert seen[0][3] == pytest.approx(120.0)
    assert seen[-1][3] == pytest.approx(133.0)


def test_beats_and_bars_are_the_sessions(session: dict[str, Any]) -> None:
    truth = session["shared"]["truth"]
    compared = []
    for now, _, beats, bpm in session["shared"]["seen"]:
        moment, beat = min(truth, key=lambda each: abs(each[0] - now))
        if abs(moment - now) < 0.02 and (now < truth[0][0] + 3.9 or now > truth[0][0] + 4.5):
            # Peers agree on the place in the bar, three beats long, and on nothing else.
            off = beats - beat - (now - moment) * bpm / 60
            compared.append((off + 1.5) % 3 - 1.5)
    assert len(compared) > 200
    assert max(map(abs, compared)) * 60 / 133 < 0.010


def test_peers_that_share_no_start_are_told_of_and_can_be_followed_by_hand(
    session: dict[str, Any],
) -> None:
    silent = session["silent"]
    assert silent["seen"][0][0] > silent["begun"] + 5
    assert silent["bpm"] == pytest.approx(133.0)
    assert "Start Stop Sync" in silent["problem"]


def test_a_missing_package_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aalink", None)
    with pytest.raises(InputError, match=r"pip install 'sidekeys\[link\]'"):
        LinkSource()
    with pytest.raises(InputError, match="aalink"):
        Transport("link")
