"""One balancer and one agent with the real model, for all interop tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from paddler.messages.state import ChatTemplate
from tests.support.real_programs import RealBalancer, gemma_state, programs

TEMPLATE_WITH_TOOLS = Path(__file__).parent.parent / "support" / "template_with_tools.jinja"


@pytest.fixture(scope="session")
def fleet(real_model_path: Path) -> Iterator[RealBalancer]:
    with programs() as started:
        balancer = started.balancer()
        started.agent(balancer.management_address, slots=2, name="one")
        balancer.put_state(gemma_state(real_model_path, enable_embeddings=True))
        balancer.wait_for_slots(2)
        yield balancer


@pytest.fixture(scope="session")
def openai_fleet(real_model_path: Path) -> Iterator[RealBalancer]:
    """The same with the OpenAI-compatible service, and a chat template that knows tools."""
    with programs() as started:
        balancer = started.balancer("--compat-openai-addr=127.0.0.1:0")
        started.agent(balancer.management_address, slots=2, name="one")
        state = gemma_state(real_model_path, enable_embeddings=True, context_size=2048)
        template = ChatTemplate(TEMPLATE_WITH_TOOLS.read_text())
        balancer.put_state(msgspec.structs.replace(state, chat_template_override=template))
        balancer.wait_for_slots(2)
        yield balancer
