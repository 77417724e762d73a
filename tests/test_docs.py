"""The documents speak of things that exist."""

from __future__ import annotations

import re
import runpy
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from sidekeys_bridge.completion import Command, all_commands

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")]


def test_every_test_that_the_api_table_names_exists() -> None:
    table = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", table)
    assert len(named) > 60
    for file, name in named:
        source = (ROOT / "tests" / "engine" / file).read_text(encoding="utf-8")
        assert f"\ndef {name}(" in source, f"{file}::{name}"
    for line in table.splitlines():
        if line.startswith("|") and not line.startswith("|---") and "shown by" not in line:
            assert "::test_" in line, f"a row without a test: {line}"


def test_links_and_anchors_lead_somewhere() -> None:
    found = 0
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        targets = re.findall(r"\]\((?!https?:)([^)\s]+)", text)
        targets += re.findall(r"(?:src|href)=\"(?!https?:)([^\"]+)", text)
        for target in targets:
            name, _, anchor = target.partition("#")
            file = document.parent / name if name else document
            assert file.exists(), f"{document.name}: {target}"
            if anchor:
                assert anchor in anchors_of(file), f"{document.name}: {target}"
                found += 1
    assert found > 10


def anchors_of(document: Path) -> set[str]:
    """What GitHub makes of its headings."""
    anchors: set[str] = set()
    text = re.sub(r"(?ms)^```.*?^```", "", document.read_text(encoding="utf-8"))
    for heading in re.findall(r"(?m)^#+ +(.+?) *$", text):
        words = re.sub(r"\]\([^)]*\)", "", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        same = sum(name == anchor or name.startswith(f"{anchor}-") for name in anchors)
        anchors.add(anchor if anchor not in anchors else f"{anchor}-{same}")
    return anchors


def test_every_command_that_is_shown_can_be_typed() -> None:
    commands = {command.name: command for command in all_commands()}
    shown = 0
    for document in DOCUMENTS:
        for line in commands_in(document.read_text(encoding="utf-8")):
            fault = fault_of(line, commands)
            assert fault is None, f"{document.relative_to(ROOT)}: `{line}`: {fault}"
            shown += 1
    assert shown > 60


@pytest.mark.parametrize(
    "line",
    ["sidekeys fly", "sidekeys set tap", "sidekeys set mute on tap on", "sidekeys start --speed 3",
     "sidekeys nudge", "sidekeys tap 4", "sidekeys watch --speed"],
)  # fmt: skip
def test_a_command_that_does_not_exist_is_noticed(line: str) -> None:
    assert fault_of(line, {command.name: command for command in all_commands()}) is not None


def commands_in(text: str) -> Iterator[str]:
    """All command lines of a document: of its code spans, and of its blocks."""
    for span in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text):
        if re.match(r"(?:\S+/|pw-jack )?sidekeys(?: |$)", span):
            yield span[span.index("sidekeys") :]
        elif span.startswith("set "):  # what goes on after one that was written out
            yield f"sidekeys {span}"
    for line in re.findall(r"(?m)^(?: {4,}| *\$ )(?:\S+/|pw-jack )?(sidekeys .*)$", text):
        yield re.sub(r"\s+#.*", "", line)


def fault_of(line: str, commands: Mapping[str, Command]) -> str | None:
    """What is wrong with a command line; capitals and dots stand for anything."""
    words = [word for word in shlex.split(line)[1:] if word != "..."]
    if not words or words[0].isupper() or words[0] in ("--help", "--version"):
        return None
    if words[0] not in commands:
        return f"no command {words[0]}"
    known = {argument.name for argument in commands[words[0]].arguments} | {"--help"}
    if words[0] == "render":
        known.add("--engine")
    flags = [word.partition("=")[0] for word in words[1:] if re.match(r"--?[a-z]", word)]
    wrong = [flag for flag in flags if flag not in known]
    if wrong:
        return f"no flag {wrong[0]}"
    given = words[1:]
    if words[0] == "set" and given and not flags:
        wrong = [name for name in given[::2] if not name.isupper() and name not in known]
        if wrong:
            return f"no setting {wrong[0]}"
        return "a setting without a value" if len(given) % 2 else None
    if words[0] == "nudge" and not re.fullmatch(r"-?[\d.]+(ms)?|[A-Z]+", " ".join(given)):
        return "no way to nudge"
    is_plain = words[0] in ("tap", "downbeat", "play", "pause", "panic", "stop", "status")
    return "it takes nothing" if is_plain and len(given) > len(flags) else None


def test_the_pictures_are_what_draws_them_makes() -> None:
    pictures = runpy.run_path(str(ROOT / "scripts" / "draw_setups.py"))["pictures"]()
    assert len(pictures) >= 6
    for file, picture in pictures.items():
        assert file.read_text(encoding="utf-8") == picture, f"{file.name}: draw it again"
