"""The documents speak of things that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


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


def test_links_between_documents_lead_somewhere() -> None:
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md")]
    assert len(documents) >= 5
    for document in documents:
        text = document.read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
