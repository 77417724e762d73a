"""Fixtures that several rooms' tests share."""

from __future__ import annotations

import os
from pathlib import Path

# Threads that wait must sleep, not spin: the cores are shared. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytest

from reference import SMALL, make_reference


@pytest.fixture(scope="session")
def small_reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint in the reference's format, random weights."""
    return make_reference(tmp_path_factory.mktemp("small"), **SMALL)


@pytest.fixture(scope="session")
def full_reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the original's size (59 M), random weights."""
    return make_reference(tmp_path_factory.mktemp("full"), end_gain=1.8)
