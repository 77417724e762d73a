"""Fixtures that several rooms' tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# Threads that wait must sleep, not spin: the cores are shared. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import hypothesis
import pytest

from reference import SMALL, make_reference

# How long an example takes says something of the machine, which is busy, and nothing of the code.
hypothesis.settings.register_profile("sidekeys", deadline=None)
hypothesis.settings.load_profile("sidekeys")


@pytest.fixture(scope="session", autouse=True)
def settings_of_nobody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests start with the settings that Sidekeys comes with, whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture(scope="session")
def small_reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint in the reference's format, random weights."""
    return make_reference(tmp_path_factory.mktemp("small"), **SMALL)


@pytest.fixture(scope="session")
def full_reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the original's size (59 M), random weights."""
    return make_reference(tmp_path_factory.mktemp("full"), end_gain=1.8)
