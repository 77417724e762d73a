"""`sidekeys doctor`: what is missing here, and the one line that mends each."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict

from sidekeys_bridge.arguments import Parser
from sidekeys_bridge.doctor.examination import examine, subjects
from sidekeys_bridge.doctor.finding import MISSING, OK, WARNING, Finding
from sidekeys_bridge.doctor.machine import this_machine

DESCRIPTION = (
    "Look at this machine: what Sidekeys needs, what it has, and for everything that is missing "
    "the one line that mends it. Nothing is changed. The status is 1 if Sidekeys cannot work."
)
_SIGNS = {OK: "\N{CHECK MARK}", WARNING: "!", MISSING: "\N{BALLOT X}"}
_PLAIN_SIGNS = {OK: "ok", WARNING: "!", MISSING: "X"}
_COLORS = {OK: "32", WARNING: "33", MISSING: "31"}
_WIDEST, _NARROWEST = 100, 40


def doctor_parser() -> Parser:
    """The parser of its arguments."""
    parser = Parser("doctor", DESCRIPTION)
    parser.add_argument("--json", action="store_true", help="as JSON, for a program")
    return parser


def run(words: Sequence[str]) -> int:
    """Examine this machine; returns the exit status: 1 if Sidekeys cannot work here."""
    options = doctor_parser().parse_args(words)
    findings = examine(this_machine(), subjects())
    blocks = any(finding.level == MISSING for finding in findings)
    if options.json:
        told = {"works": not blocks, "findings": [asdict(finding) for finding in findings]}
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    else:
        colored = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.name == "posix"
        can_sign = (sys.stdout.encoding or "").lower().startswith("utf")
        lines = as_text(findings, shutil.get_terminal_size().columns, colored, can_sign)
        sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    return 1 if blocks else 0


def as_text(
    findings: Sequence[Finding], width: int, colored: bool = False, can_sign: bool = True
) -> list[str]:
    """The findings for a terminal; what mends them is never broken, so that it can be copied.

    Args:
        findings: in their order.
        width: of the terminal, in letters.
        colored: whether it shows colors.
        can_sign: whether it knows more than ASCII.
    """
    signs = _SIGNS if can_sign else _PLAIN_SIGNS
    column = max(len(finding.subject) for finding in findings)
    indent = " " * (column + 6)
    lines = []
    for finding in findings:
        words = textwrap.wrap(finding.words, max(_NARROWEST, min(width, _WIDEST)) - len(indent) - 1)
        sign = f"{signs[finding.level]:2}"
        if colored:
            sign = f"\x1b[{_COLORS[finding.level]}m{sign}\x1b[0m"
        lines.append(f"  {sign}{finding.subject:{column}}  {words[0]}")
        lines += [f"{indent}{line}" for line in words[1:]]
        if finding.mend is not None:
            mend = f"\x1b[1m{finding.mend}\x1b[0m" if colored else finding.mend
            lines.append(f"{indent}{mend}")
    return ["", *lines, "", _verdict(findings), ""]


def _verdict(findings: Sequence[Finding]) -> str:
    absent = sum(finding.level == MISSING for finding in findings)
    less = sum(finding.level == WARNING for finding in findings)
    if absent:
        things = "One thing is" if absent == 1 else f"{absent} things are"
        return f"{things} in the way; the line below mends it."
    if less:
        return "Sidekeys works here; the line below each ! makes it better."
    return "All is well."
