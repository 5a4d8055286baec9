"""Fixtures for every test."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from paddler.cli.embedded_model import embedded_model_path

# An example that takes long on a busy machine is not a failure.
settings.register_profile("paddler", deadline=None)
settings.load_profile("paddler")


@pytest.fixture(scope="session")
def real_model_path() -> Path:
    """Gemma 3 270M as a GGUF file, without a chat template of its own."""
    return embedded_model_path()
