"""Every error that a request can meet has a status."""

from __future__ import annotations

import inspect
import types

import pytest

import paddler.balancer.dispatch.errors
import paddler.balancer.http_edge.errors
import paddler.balancer.requests.errors
import paddler.balancer.state_database.errors
from paddler.balancer.http_edge.error_table import STATUSES, status_of
from paddler.balancer.http_edge.errors import EdgeError, ListenFailed, SocketClosed
from paddler.balancer.requests.errors import BufferFull, BufferTimeout
from paddler.messages.decoding import MalformedMessage
from tests.support.edge_servers import make_app

MODULES = [
    paddler.balancer.dispatch.errors,
    paddler.balancer.requests.errors,
    paddler.balancer.http_edge.errors,
    paddler.balancer.state_database.errors,
]
NOT_MET_BY_REQUESTS = (ListenFailed, SocketClosed)


def error_classes(module: types.ModuleType) -> list[type[Exception]]:
    classes = [
        found
        for _, found in inspect.getmembers(module, inspect.isclass)
        if issubclass(found, Exception)
    ]
    return [
        found
        for found in classes
        if not found.__subclasses__() and not issubclass(found, NOT_MET_BY_REQUESTS)
    ]


@pytest.mark.parametrize(
    "error_class", [found for module in MODULES for found in error_classes(module)]
)
def test_every_error_class_has_a_status(error_class: type[Exception]) -> None:
    assert error_class in STATUSES


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MalformedMessage("no"), 400),
        (BufferFull(30), 503),
        (BufferTimeout(10.0), 504),
        (EdgeError("unlisted"), None),
        (ValueError("a bug"), None),
    ],
)
def test_an_unlisted_error_has_none(error: Exception, status: int | None) -> None:
    assert status_of(error) == status


def test_a_bug_is_logged_and_tells_the_client_nothing(caplog: pytest.LogCaptureFixture) -> None:
    answer = make_app().error_answer(ValueError("a secret"), path="/x")
    assert answer.status == 500
    assert b"secret" not in answer.body
    assert "a secret" in caplog.text


def test_a_lone_error_in_a_group_counts_as_itself() -> None:
    group = ExceptionGroup("nursery", [ExceptionGroup("inner", [BufferFull(1)])])
    answer = make_app().error_answer(group)
    assert answer.status == 503
    assert ("Retry-After", "1") in answer.headers
