"""The panel in a browser: a program that stands for it writes down what it was told."""

from __future__ import annotations

import json
import os
import stat
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from chromium import running_chromium

from sidekeys_bridge import bridge, browser
from sidekeys_bridge.bridge import Bridge
from sidekeys_bridge.browser import open_page

pytestmark = pytest.mark.skipif(
    sys.platform in ("win32", "darwin"), reason="others are told the address as a message"
)
SECRET = "s3cret-s3cret-s3cret-s3cret-s3cret"
URL = f"http://127.0.0.1:7353/#{SECRET}"
LONG_SECONDS = 30.0
FAKE = """#!{python}
import json, os, sys
from pathlib import Path
from urllib.parse import unquote, urlsplit
address = urlsplit(sys.argv[1])
page = Path(unquote(address.path)) if address.scheme == "file" else None
told = {{
    "argv": sys.argv[1:],
    "page": page and page.read_text(),
    "modes": page and [page.stat().st_mode, page.parent.stat().st_mode],
    "session": os.getsid(0) == os.getpid(),
    "stdin": sys.stdin.read(),
}}
print("chatter")
print("chatter", file=sys.stderr)
Path({told!r}).write_text(json.dumps(told))
sys.exit({status})
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder; nothing but what is put there is on the path of programs."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(browser, "SHOWN_SECONDS", 1)
    (tmp_path / "bin").mkdir()
    (tmp_path / "Downloads").mkdir()
    return tmp_path


def put_browser(home: Path, status: int = 0, name: str = "xdg-open") -> Callable[[], Any]:
    """A program that opens addresses; what it was told when it ran."""
    told, program = home / "told.json", home / "bin" / name
    program.write_text(FAKE.format(python=sys.executable, told=str(told), status=status))
    program.chmod(0o755)
    return lambda: json.loads(told.read_text())


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_until_removed(home: Path) -> None:
    """The shell that removes the file needs its `sleep` and `rm`, which are in other folders."""
    wait_until(lambda: not list((home / "Downloads").iterdir()))


def test_the_browser_gets_a_private_file_and_no_secret(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    told = put_browser(home)
    monkeypatch.setenv("PATH", os.pathsep.join((str(home / "bin"), "/usr/bin", "/bin")))
    assert open_page(URL)
    found = told()
    (address,) = found["argv"]
    assert address.startswith((home / "Downloads").as_uri())
    assert "s3cret" not in address
    assert URL in found["page"]
    assert [stat.S_IMODE(mode) for mode in found["modes"]] == [0o600, 0o700]
    assert found["session"]
    assert found["stdin"] == ""
    assert capfd.readouterr() == ("", "")
    wait_until_removed(home)


def test_a_real_browser_gets_to_the_address_by_that_file(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Panel(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<p>the panel</p>")

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("PATH", os.pathsep.join((str(home / "bin"), "/usr/bin", "/bin")))
    monkeypatch.setattr(browser, "SHOWN_SECONDS", LONG_SECONDS)
    told = put_browser(home)
    with HTTPServer(("127.0.0.1", 0), Panel) as server:
        threading.Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/?a=</script>&b=\"'#{SECRET}"
        try:
            assert open_page(url)
            with running_chromium() as chromium:
                page = chromium.new_page()
                page.goto(told()["argv"][0])
                page.wait_for_url("http://127.0.0.1:*/**")
                assert page.inner_text("p") == "the panel"
                assert page.evaluate("location.hash") == f"#{SECRET}"
        finally:
            server.shutdown()


def test_where_no_file_can_be_written_the_page_is_opened_without_the_secret(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = put_browser(home)
    monkeypatch.setenv("HOME", str(home / "nowhere"))
    assert open_page(URL)
    assert told()["argv"] == ["http://127.0.0.1:7353/"]


def test_another_program_is_taken_where_the_usual_one_is_missing(home: Path) -> None:
    told = put_browser(home, name="sensible-browser")
    assert open_page(URL)
    assert len(told()["argv"]) == 1


def test_where_nothing_can_be_opened_it_says_so(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not open_page(URL)  # no program
    told = put_browser(home, status=3)
    assert not open_page(URL)  # it could not
    assert told()
    (home / "bin" / "xdg-open").write_text("no program at all")
    assert not open_page(URL)
    put_browser(home)
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not open_page(URL)  # no screen


@pytest.mark.parametrize(
    ("is_wanted", "as_json", "expected"),
    [(True, False, [URL]), (True, True, []), (False, False, [])],
)
def test_a_bridge_opens_its_panel_once_and_not_for_a_program(
    monkeypatch: pytest.MonkeyPatch, is_wanted: bool, as_json: bool, expected: list[str]
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(bridge, "open_page_meanwhile", asked.append)
    told: list[str] = []
    own: Any = SimpleNamespace(
        problems=SimpleNamespace(tell=lambda *_: None),
        console=SimpleNamespace(warn=told.append, show_panel=told.append),
        settings=SimpleNamespace(browser=is_wanted, json=as_json),
        _panel_url=None,
    )
    panel: Any = SimpleNamespace(poll=lambda _now: None, problem=None, url=URL, notices=())
    for now_seconds in (1.0, 2.0):
        Bridge._look_after_panel(own, panel, now_seconds)
    assert (asked, told) == (expected, [URL])
