"""Opens the control panel in the user's browser, and lets nobody else see its key.

What a program is started with can be read by everybody on a Linux machine, for as long as the
program runs. There the browser is given a small file, readable by its user alone, that leads to the
address. macOS passes an address on as a message, and Windows shows no user what another one has
started.
"""

from __future__ import annotations

import html
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import webbrowser
from pathlib import Path

SHOWN_SECONDS = 30
"""How long the file is there; a browser that has yet to start needs some of it."""
_START_SECONDS = 5.0
_OWN = {"win32": "windows-default", "darwin": "macosx"}
_PROGRAMS = ("xdg-open", "x-www-browser", "sensible-browser")
_REMOVE = '(sleep "$1"; rm -rf -- "$2") &'
_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<title>Sidekeys</title>
<script>location.replace({quoted})</script>
<p><a href="{escaped}">Open the control panel of Sidekeys</a></p>
</html>
"""


def open_page(url: str) -> bool:
    """Open a page; False where no browser can show it. It may take a while.

    Args:
        url: its address. What comes after a "#" is a secret: where it cannot be passed on as one,
            the page is opened without it.
    """
    if sys.platform in _OWN:
        return webbrowser.get(_OWN[sys.platform]).open(url)
    # Without a screen, a browser that draws with letters would take the terminal over.
    is_seen = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if not is_seen or program is None:
        return False
    try:
        address = _page_leading_to(url).as_uri()
    except (OSError, RuntimeError, subprocess.SubprocessError):  # a full disk, no home, no shell
        address = url.partition("#")[0]
    return _starts(program, address)


def open_page_meanwhile(url: str) -> None:
    """Open a page while whoever asks goes on."""
    threading.Thread(target=open_page, args=(url,), name="browser", daemon=True).start()


def _page_leading_to(url: str) -> Path:
    """A file that leads to an address, for a while."""
    # A browser that is a snap sees neither /tmp nor hidden folders, one that is a flatpak often
    # only the downloads.
    downloads = Path.home() / "Downloads"
    place = downloads if downloads.is_dir() else Path.home()
    folder = Path(tempfile.mkdtemp(prefix="sidekeys-panel-", dir=place))  # for its user alone
    try:
        page = folder / "open.html"
        # Inside a script, "</" would end it.
        quoted = json.dumps(url).replace("<", "\\u003c")
        handle = os.open(page, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as opened:
            opened.write(_PAGE.format(quoted=quoted, escaped=html.escape(url)))
        # By a process of its own, so that it goes even if this one is killed before.
        subprocess.run(  # noqa: S603
            ["/bin/sh", "-c", _REMOVE, "sh", str(SHOWN_SECONDS), str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            check=True,
        )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return page


def _starts(program: str, address: str) -> bool:
    """Whether a program takes an address; it may be the browser, which stays."""
    try:
        # A browser must not write into what our reader reads, nor hold it open when we have ended.
        process = subprocess.Popen(  # noqa: S603
            [program, address],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return False
    try:
        return process.wait(_START_SECONDS) == 0
    except subprocess.TimeoutExpired:
        # Waited for, so that it is no zombie when it ends.
        threading.Thread(target=process.wait, name="browser", daemon=True).start()
        return True
