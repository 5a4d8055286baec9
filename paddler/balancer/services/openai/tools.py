"""Tools and `tool_choice` of a request, resolved to what the agent is asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import msgspec

from paddler.balancer.services.openai.errors import BadRequest
from paddler.messages.conversation import ToolDefinition
from paddler.messages.generation import ToolChoice


class FunctionSpec(msgspec.Struct, frozen=True):
    """A function the model may call; `parameters` is any JSON Schema object."""

    name: str
    description: str | None = None
    parameters: dict[str, object] | None = None
    strict: bool | None = None


class ToolSpec(msgspec.Struct, frozen=True):
    """A tool of chat completions."""

    type: str
    function: FunctionSpec | None = None


class FunctionName(msgspec.Struct, frozen=True):
    """The name of a function."""

    name: str


class NamedTool(msgspec.Struct, frozen=True):
    """A tool in `allowed_tools`, as chat or as responses write it."""

    type: str
    function: FunctionName | None = None
    name: str | None = None

    @property
    def function_name(self) -> str | None:
        """The name, wherever it stands."""
        return self.function.name if self.function is not None else self.name


class AllowedTools(msgspec.Struct, frozen=True):
    """A subset of the tools, and whether one of it has to be called."""

    mode: Literal["auto", "required"]
    tools: list[NamedTool]


class ChosenTool(msgspec.Struct, frozen=True):
    """`tool_choice` as an object, as chat or as responses write it."""

    type: str
    function: FunctionName | None = None
    name: str | None = None
    allowed_tools: AllowedTools | None = None
    mode: Literal["auto", "required"] | None = None
    tools: list[NamedTool] | None = None


ToolChoiceField = Literal["auto", "none", "required"] | ChosenTool


@dataclasses.dataclass(frozen=True, kw_only=True)
class ToolPlan:
    """Which tools the model gets, and what it has to do with them."""

    tools: Sequence[ToolDefinition] = ()
    choice: ToolChoice = ToolChoice.AUTO
    parallel: bool = False

    @property
    def may_call(self) -> bool:
        """A tool call may be in the answer."""
        return bool(self.tools) and self.choice is not ToolChoice.NONE

    @property
    def must_call(self) -> bool:
        """The answer is a tool call and nothing else."""
        return bool(self.tools) and self.choice is ToolChoice.REQUIRED


def definitions_of_chat(tools: Sequence[ToolSpec]) -> list[ToolDefinition]:
    """The tools of a chat completion.

    Raises:
        BadRequest: A tool that is no function.
    """
    definitions = []
    for position, tool in enumerate(tools):
        if tool.type != "function" or tool.function is None:
            raise unsupported_tool(tool.type, f"tools[{position}]")
        definitions.append(definition(tool.function))
    return definitions


def definition(function: FunctionSpec) -> ToolDefinition:
    """A function as the agent gets it."""
    return ToolDefinition(
        name=function.name,
        description=function.description or "",
        parameters=function.parameters,
    )


def unsupported_tool(tool_type: str, param: str) -> BadRequest:
    """The error for tools that only OpenAI's own servers have."""
    message = f"tools of the type `{tool_type}` are not supported; only `function` is"
    return BadRequest(message, param=param, code="unsupported_tool")


def plan_tools(
    tools: Sequence[ToolDefinition],
    choice: ToolChoiceField | None,
    *,
    parallel: bool | None,
    max_tools: int,
) -> ToolPlan:
    """What `tool_choice` means for these tools; without one, `auto`.

    Raises:
        BadRequest: Too many tools, or a choice that the tools do not have.
    """
    if len(tools) > max_tools:
        message = f"at most {max_tools} tools are allowed, not {len(tools)}"
        raise BadRequest(message, param="tools")
    parallel = True if parallel is None else parallel
    match choice:
        case None | "auto":
            return ToolPlan(tools=tools, parallel=parallel)
        case "none":
            return ToolPlan(tools=tools, choice=ToolChoice.NONE)
        case "required":
            if not tools:
                message = "`tool_choice` is `required`, but there are no tools"
                raise BadRequest(message, param="tool_choice")
            return ToolPlan(tools=tools, choice=ToolChoice.REQUIRED, parallel=parallel)
        case ChosenTool(type="function"):
            name = choice.function.name if choice.function is not None else choice.name
            chosen = _subset(tools, [name])
            return ToolPlan(tools=chosen, choice=ToolChoice.REQUIRED)
        case ChosenTool(type="allowed_tools"):
            return _allowed(tools, choice, parallel=parallel)
        case ChosenTool():
            raise unsupported_tool(choice.type, "tool_choice")


def _allowed(tools: Sequence[ToolDefinition], choice: ChosenTool, *, parallel: bool) -> ToolPlan:
    allowed = choice.allowed_tools
    mode = allowed.mode if allowed is not None else choice.mode
    named = allowed.tools if allowed is not None else choice.tools or []
    return ToolPlan(
        tools=_subset(tools, [tool.function_name for tool in named]),
        choice=ToolChoice.REQUIRED if mode == "required" else ToolChoice.AUTO,
        parallel=parallel,
    )


def _subset(tools: Sequence[ToolDefinition], names: Sequence[str | None]) -> list[ToolDefinition]:
    by_name = {tool.name: tool for tool in tools}
    for name in names:
        if name is None or name not in by_name:
            message = f"`tool_choice` names the function `{name}`, which is not among `tools`"
            raise BadRequest(message, param="tool_choice")
    return [by_name[name] for name in names if name is not None]
