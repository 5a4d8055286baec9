"""PyPI's `openai-agents`: a loop of tool calls, end to end with the real model.

The first call is forced by `tool_choice`; the framework then runs the tool,
sends its output back, and the model answers.
"""

from __future__ import annotations

from typing import Literal

import pytest
from agents import (
    Agent,
    Model,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    function_tool,
)
from openai.types.shared import Reasoning

from tests.support.openai_clients import MODEL, async_client_of, run
from tests.support.real_programs import RealBalancer

pytestmark = pytest.mark.model

OFFLINE = RunConfig(tracing_disabled=True)


class Weather:
    """A tool that remembers what it was asked, and is there until it was asked once.

    The small model would go on repeating the call it sees in the conversation.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []

    def agent(self, model: Model) -> Agent[None]:
        @function_tool(is_enabled=lambda _context, _agent: not self.asked)
        def get_weather(city: Literal["Paris", "London"]) -> str:
            """The weather in a city."""
            self.asked.append(city)
            return f"It is sunny in {city}."

        return Agent(
            name="forecaster",
            instructions="Tell the weather.",
            model=model,
            tools=[get_weather],
            model_settings=ModelSettings(
                tool_choice="required",
                parallel_tool_calls=False,
                temperature=0,
                max_tokens=200,
                # A base model seldom ends by itself, and the framework wants whole answers.
                extra_body={"stop": ["."]},
                reasoning=Reasoning(effort="low"),
            ),
        )


@pytest.mark.parametrize("kind", [OpenAIChatCompletionsModel, OpenAIResponsesModel])
@pytest.mark.parametrize("is_streamed", [False, True])
def test_an_agent_calls_a_tool_and_answers(
    openai_fleet: RealBalancer,
    kind: type[OpenAIChatCompletionsModel | OpenAIResponsesModel],
    is_streamed: bool,
) -> None:
    weather = Weather()

    async def work() -> tuple[str, list[str]]:
        async with async_client_of(openai_fleet.url("openai")) as client:
            agent = weather.agent(kind(MODEL, client))
            question = "What is the weather in Paris?"
            if is_streamed:
                result = Runner.run_streamed(agent, question, run_config=OFFLINE, max_turns=6)
                async for _ in result.stream_events():
                    pass
                return str(result.final_output), [item.type for item in result.new_items]
            done = await Runner.run(agent, question, run_config=OFFLINE, max_turns=6)
            return str(done.final_output), [item.type for item in done.new_items]

    answer, items = run(work())
    assert weather.asked
    assert set(weather.asked) <= {"Paris", "London"}
    assert items[:2] == ["tool_call_item", "tool_call_output_item"]
    assert items[-1] == "message_output_item"
    assert answer
