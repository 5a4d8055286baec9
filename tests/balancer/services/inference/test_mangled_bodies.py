"""Whatever arrives, the answer is 400 or what a good body gets, and the server goes on."""

from __future__ import annotations

import json
import random

import pytest

from tests.support.running_balancer import running_balancer

RAW = "/api/v1/continue_from_raw_prompt"
CONVERSATION = "/api/v1/continue_from_conversation_history"
EMBEDDINGS = "/api/v1/generate_embedding_batch"
N_BODIES = 60

GOOD: dict[str, dict[str, object]] = {
    RAW: {
        "raw_prompt": "Once",
        "max_tokens": 5,
        "grammar": {"type": "gbnf", "grammar": "root ::= [a-z]", "root": "root"},
        "sampling": {"temperature": 0.5, "logit_bias": {"5": -1}},
        "stop": ["a", "b"],
    },
    CONVERSATION: {
        "conversation_history": [
            {"role": "user", "content": [{"type": "text", "text": "x"}]},
            {"role": "user", "content": "y"},
        ],
        "add_generation_prompt": True,
        "enable_thinking": False,
        "max_tokens": 5,
        "tools": [
            {
                "type": "function",
                "function": {"name": "f", "description": "d", "parameters": {"type": "object"}},
            }
        ],
    },
    EMBEDDINGS: {"input_batch": [{"id": "a", "content": "b"}], "normalization_method": "L2"},
}

VALUES: list[object] = [
    None,
    True,
    0,
    -1,
    2**63,
    2**70,
    1e308,
    "",
    "x",
    "\ud800",
    [],
    {},
    [[]],
    {"a": 1},
]


def places(value: object) -> list[tuple[dict[str, object] | list[object], object]]:
    """Every container and key in a body."""
    found: list[tuple[dict[str, object] | list[object], object]] = []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += [(value, key), *places(inner)]
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            found += [(value, position), *places(inner)]
    return found


def mangle(good: object, chance: random.Random) -> bytes:
    body = json.loads(json.dumps(good))
    container, key = chance.choice(places(body))
    how = chance.randrange(5)
    if how == 0:
        del container[key]  # type: ignore[arg-type]  # JSON knows no types
    elif how == 1:
        container[key] = chance.choice(VALUES)  # type: ignore[index,call-overload]  # as above
    elif how == 2 and isinstance(container, dict):
        container["surprise"] = chance.choice(VALUES)
    encoded = json.dumps(body).encode()
    if how == 3:
        return encoded[: chance.randrange(len(encoded))]
    if how == 4:
        position = chance.randrange(len(encoded))
        return encoded[:position] + chance.randbytes(2) + encoded[position:]
    return encoded


@pytest.mark.parametrize("path", GOOD)
async def test_a_mangled_body_gets_400_and_leaves_the_server_working(path: str) -> None:
    chance = random.Random(path)
    async with running_balancer(max_buffered_requests=0) as balancer:
        good = await balancer.http.post(balancer.inference_url + path, json=GOOD[path])
        assert good.status_code in (501, 503)
        for _ in range(N_BODIES):
            body = mangle(GOOD[path], chance)
            answer = await balancer.http.post(balancer.inference_url + path, content=body)
            assert answer.status_code in (400, good.status_code), (body, answer.text)
            error = answer.json()["Error"]["error"]
            assert error["code"] == answer.status_code
            assert error["description"]
        again = await balancer.http.post(balancer.inference_url + path, json=GOOD[path])
        assert again.status_code == good.status_code
