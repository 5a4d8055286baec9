"""Judging the schemas of tools, and remembering the verdicts."""

from __future__ import annotations

import pytest

from paddler.agent.tool_calls import schemas
from paddler.agent.tool_calls.schemas import ToolSchemas
from paddler.messages.conversation import ToolDefinition


def tool(name: str, **parameters: object) -> ToolDefinition:
    return ToolDefinition(name=name, parameters=parameters)


def nested(depth: int) -> dict[str, object]:
    schema: dict[str, object] = {"type": "object"}
    for _ in range(depth):
        schema = {"properties": {"x": schema}}
    return schema


async def test_tools_with_schemas_or_without_are_fine() -> None:
    tools = [tool("a", type="object"), ToolDefinition(name="b"), tool("c")]
    assert await ToolSchemas().problem(tools) is None


@pytest.mark.parametrize(
    "parameters", [{"type": "strin"}, {"properties": []}, {"required": "x"}, nested(300)]
)
async def test_what_is_no_schema_is_named(parameters: dict[str, object]) -> None:
    tools = [tool("fine", type="object"), ToolDefinition(name="odd", parameters=parameters)]
    for _ in range(2):
        problem = await (judge := ToolSchemas()).problem(tools)
        assert problem is not None
        assert "`odd`" in problem
        assert len(problem) < 1000
        assert await judge.problem(tools) == problem


async def test_schema_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[bytes] = []
    judge = schemas._judge

    def counting(schema: bytes) -> str | None:
        judged.append(schema)
        return judge(schema)

    monkeypatch.setattr(schemas, "_judge", counting)
    verdicts = ToolSchemas(capacity=2)
    one, two, three = (tool(name, title=name) for name in "abc")
    await verdicts.problem([one, two])
    await verdicts.problem([one, two])
    assert len(judged) == 2
    await verdicts.problem([three])
    await verdicts.problem([two, three])
    assert len(judged) == 3
    await verdicts.problem([one])
    assert len(judged) == 4
