"""Fixtures that several rooms' tests share."""

from __future__ import annotations

import os
from pathlib import Path

# Threads that wait must sleep, not spin: the cores are shared. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import hypothesis
import pytest

from reference import SMALL, make_reference

# How long an example takes says something of the machine, which is busy, and nothing of the code.
hypothesis.settings.register_profile("sidekeys", deadline=None)
hypothesis.settings.load_profile("sidekeys")


@pytest.fixture(scope="session")
def small_reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint in the reference's format, random weights."""
    return make_reference(tmp_path_factory.mktemp("small"), **SMALL)


@pytest.fixture(scope="session")
def full_reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the original's size (59 M), random weights."""
    return make_reference(tmp_path_factory.mktemp("full"), end_gain=1.8)
