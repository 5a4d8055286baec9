"""One balancer and one agent with the real model, for all interop tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.real_programs import RealBalancer, gemma_state, programs


@pytest.fixture(scope="session")
def fleet(real_model_path: Path) -> Iterator[RealBalancer]:
    with programs() as started:
        balancer = started.balancer()
        started.agent(balancer.management_address, slots=2, name="one")
        balancer.put_state(gemma_state(real_model_path, enable_embeddings=True))
        balancer.wait_for_slots(2)
        yield balancer
