"""The tool calls of a finished output, held against the tools' schemas.

Taking the output apart is the chat template's business (`paddler.engine.chat`).
Pure, but not cheap: a long output is worth a worker thread. Schemas come from
applications, so references out of them are never fetched.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import msgspec
import referencing
import referencing.exceptions
from jsonschema.exceptions import ValidationError
from jsonschema.validators import Draft202012Validator

from paddler.agent.backend.protocol import RenderedConversation, ToolCallOutcome
from paddler.messages.conversation import ToolDefinition
from paddler.messages.generation import ToolCall, ToolCallsParsed, ToolCallValidationFailed

__all__ = ["tool_call_event"]

MAX_VALIDATION_MESSAGES = 16
MAX_MESSAGE_CHARS = 500


def tool_call_event(
    rendered: RenderedConversation,
    output: str,
    tools: Sequence[ToolDefinition],
    *,
    n_tool_call_tokens: int,
    validate: bool = True,
) -> ToolCallOutcome | ToolCallValidationFailed | None:
    """What became of the tool calls in `output`; None if there are none.

    Args:
        rendered: Knows the format the template taught the model.
        output: The whole output, markers included.
        tools: What the model could call.
        n_tool_call_tokens: Tokens that were classified as part of a tool call.
        validate: Whether calls that do not fit the tools' schemas are a failure.
    """
    if not tools and not n_tool_call_tokens:
        return None
    outcome = rendered.parse_tool_calls(output)
    if not isinstance(outcome, ToolCallsParsed):
        return outcome
    if not outcome.calls:
        return None
    if not validate:
        return outcome
    by_name = {tool.name: tool for tool in tools}
    problems = (problem for call in outcome.calls for problem in _problems(call, by_name))
    first_problems = list(itertools.islice(problems, MAX_VALIDATION_MESSAGES))
    return ToolCallValidationFailed(first_problems) if first_problems else outcome


def _problems(call: ToolCall, tools: dict[str, ToolDefinition]) -> list[str]:
    tool = tools.get(call.name)
    if tool is None:
        return [f"there is no tool `{call.name[:MAX_MESSAGE_CHARS]}`"]
    if tool.parameters is None or not call.arguments_valid:
        return []
    validator = Draft202012Validator(tool.parameters, registry=referencing.Registry())
    try:
        arguments = msgspec.json.decode(call.arguments_json)
        found: list[ValidationError] = list(
            itertools.islice(validator.iter_errors(arguments), MAX_VALIDATION_MESSAGES)
        )
    except referencing.exceptions.Unresolvable as error:
        return [f"{call.name}: the schema refers to `{error.ref}`, which is not in it"]
    except RecursionError:
        return [f"{call.name}: the arguments or the schema are nested too deeply"]
    messages = (f"{call.name}: {error.json_path}: {error.message}" for error in found)
    return [message[:MAX_MESSAGE_CHARS] for message in messages]
