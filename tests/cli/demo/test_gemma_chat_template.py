"""The demo's chat template writes conversations the way Gemma was taught them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from paddler.cli.demo.program import desired_state
from paddler.engine.chat import ChatTemplates
from paddler.messages.conversation import Message
from paddler.messages.generation import ConversationPrompt


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatTemplates]:
    state = desired_state(tmp_path_factory.getbasetemp() / "any.gguf")
    assert state.use_chat_template_override
    assert state.chat_template_override is not None
    opened = ChatTemplates.open(None, state.chat_template_override.content)
    assert opened is not None
    yield opened
    opened.close()


def render(templates: ChatTemplates, *messages: Message, answer: bool = True) -> str:
    prompt = ConversationPrompt(messages=list(messages), add_generation_prompt=answer)
    return templates.render(prompt).text


def test_turns_are_marked_and_the_models_turn_is_opened(templates: ChatTemplates) -> None:
    text = render(
        templates,
        Message(role="user", content="Hello"),
        Message(role="assistant", content="Hi!"),
        Message(role="user", content="  And now?  "),
    )
    assert text.endswith(
        "<start_of_turn>user\nHello<end_of_turn>\n"
        "<start_of_turn>model\nHi!<end_of_turn>\n"
        "<start_of_turn>user\nAnd now?<end_of_turn>\n"
        "<start_of_turn>model\n"
    )


def test_a_system_message_goes_in_front_of_the_first_user_message(
    templates: ChatTemplates,
) -> None:
    text = render(
        templates,
        Message(role="system", content="Be brief."),
        Message(role="user", content="Hello"),
        answer=False,
    )
    assert text.endswith("<start_of_turn>user\nBe brief.\n\nHello<end_of_turn>\n")
