"""`sidekeys panel`: the control panel of the bridge that runs, in a browser."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from sidekeys_bridge.arguments import Parser
from sidekeys_bridge.browser import open_page
from sidekeys_bridge.panel_files import panel_url

DESCRIPTION = (
    "Open the control panel of the running bridge in a browser, and print its address. Keep the "
    "address to yourself: whoever has it can play your piano."
)


def panel_parser() -> Parser:
    """The parser of its arguments."""
    parser = Parser("panel", DESCRIPTION)
    parser.add_argument(
        "--no-browser", dest="browser", action="store_false", help="only print the address"
    )
    return parser


def run(words: Sequence[str]) -> int:
    """Open it; returns the exit status.

    Raises:
        InputError: no bridge runs, or it serves no panel.
    """
    options = panel_parser().parse_args(words)
    url = panel_url()
    sys.stdout.write(url + "\n")
    sys.stdout.flush()
    if options.browser and not open_page(url):
        sys.stderr.write("sidekeys: no browser could be opened; open this address in one.\n")
    return 0
