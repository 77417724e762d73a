"""Opens a page in the user's browser, where there is one to see it in."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser


def open_page(url: str) -> bool:
    """Open a page; False where no browser can show it. It may take a while."""
    # Without a screen, a browser that draws with letters would take the terminal over.
    is_seen = sys.platform in ("win32", "darwin") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    return is_seen and webbrowser.open(url)


def open_page_meanwhile(url: str) -> None:
    """Open a page while whoever asks goes on."""
    threading.Thread(target=open_page, args=(url,), name="browser", daemon=True).start()
