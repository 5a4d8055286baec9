"""Which pages of other origins a browser lets talk to a service."""

from __future__ import annotations

import httpx
import pytest

from paddler.balancer.http_edge.application import EdgeApp
from paddler.balancer.http_edge.cors import CorsPolicy
from paddler.balancer.http_edge.handlers import EdgeRequest
from paddler.balancer.http_edge.streaming import Answer, text_answer
from tests.support.edge_servers import running_edge

ALLOWED = "https://app.example:8443"


async def hello(request: EdgeRequest) -> Answer:
    return text_answer("hello")


def routes(app: EdgeApp) -> None:
    app.add_route("PUT", "/thing", hello)


async def exchange(
    cors: CorsPolicy, method: str, path: str, headers: dict[str, str]
) -> httpx.Response:
    async with running_edge(routes, cors=cors) as edge, httpx.AsyncClient() as client:
        return await client.request(method, edge.url + path, headers=headers)


async def test_a_preflight_of_an_allowed_origin_gets_the_contracts_answer() -> None:
    answer = await exchange(
        CorsPolicy(frozenset({ALLOWED})),
        "OPTIONS",
        "/thing",
        {"Origin": ALLOWED, "Access-Control-Request-Method": "PUT"},
    )
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == ALLOWED
    assert answer.headers["Access-Control-Allow-Methods"] == "DELETE, GET, POST, PUT, OPTIONS"
    assert answer.headers["Access-Control-Allow-Headers"] == "Accept, Authorization, Content-Type"
    assert answer.headers["Access-Control-Max-Age"] == "3600"
    assert answer.headers["Vary"] == "Origin"


@pytest.mark.parametrize(
    "origin", ["https://app.example", "http://app.example:8443", "https://evil.example", "null"]
)
async def test_a_preflight_of_any_other_origin_is_refused(origin: str) -> None:
    answer = await exchange(
        CorsPolicy(frozenset({ALLOWED})),
        "OPTIONS",
        "/thing",
        {"Origin": origin, "Access-Control-Request-Method": "PUT"},
    )
    assert answer.status_code == 403
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("path", ["/thing", "/nothing"])
async def test_answers_and_errors_carry_the_allowed_origin(path: str) -> None:
    cors = CorsPolicy(frozenset({ALLOWED}))
    answer = await exchange(cors, "PUT", path, {"Origin": ALLOWED})
    assert answer.headers["Access-Control-Allow-Origin"] == ALLOWED
    other = await exchange(cors, "PUT", path, {"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in other.headers


async def test_without_allowed_origins_there_is_no_cors_at_all() -> None:
    answer = await exchange(CorsPolicy(), "PUT", "/thing", {"Origin": ALLOWED})
    assert answer.text == "hello"
    assert not [name for name in answer.headers if name.startswith(("access-control", "vary"))]


async def test_options_without_a_preflight_lists_the_methods() -> None:
    answer = await exchange(CorsPolicy(), "OPTIONS", "/thing", {})
    assert answer.status_code == 204
    assert answer.headers["Allow"] == "OPTIONS, PUT"


@pytest.mark.parametrize(
    ("origin", "host", "is_allowed"),
    [
        ("http://box:8062", "box:8060", True),
        ("https://box:8062", "box:8060", True),
        ("http://BOX:8062", "box:8060", True),
        ("http://[::1]:8062", "[::1]:8060", True),
        ("http://box:9999", "box:8060", False),
        ("http://box", "box:8060", False),
        ("http://evil.example:8062", "box:8060", False),
        ("http://box.evil.example:8062", "box:8060", False),
        ("http://box:8062", None, False),
        ("http://box:port", "box:8060", False),
        ("null", "box:8060", False),
        ("http://:8062", ":8060", False),
    ],
)
def test_the_panels_port_of_the_same_host_is_allowed(
    origin: str, host: str | None, is_allowed: bool
) -> None:
    policy = CorsPolicy(sibling_port=8062)
    allowed = ("Access-Control-Allow-Origin", origin) in policy.headers(origin, host)
    assert allowed is is_allowed
    preflight = policy.preflight("OPTIONS", origin, "PUT", host)
    assert preflight is not None
    assert preflight.status == (204 if is_allowed else 403)


def test_a_sibling_on_a_default_port_is_recognised() -> None:
    policy = CorsPolicy(sibling_port=80)
    assert ("Access-Control-Allow-Origin", "http://box") in policy.headers("http://box", "box:8060")
