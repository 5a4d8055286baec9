"""The inference socket, with scripted agents behind real links."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator

import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from paddler.balancer.services.inference.limits import InferenceLimits
from tests.support.running_balancer import RunningBalancer, running_balancer
from tests.support.scripted_agents import done, token

PATH = "/api/v1/inference_socket"


class SocketClient:
    """A client of the inference socket."""

    def __init__(self, stream: trio.SocketStream, connection: WebSocketConnection) -> None:
        self.stream = stream
        self.connection = connection

    async def ask(self, request_id: str, **changes: object) -> None:
        prompt = {"raw_prompt": "Once", "max_tokens": 8, **changes}
        request = {"id": request_id, "request": {"ContinueFromRawPrompt": prompt}}
        await self.send({"Request": request})

    async def send(self, frame: object) -> None:
        await self.connection.send_message(json.dumps(frame))

    async def next(self) -> dict[str, object]:
        found = json.loads(await self.connection.get_message())
        assert isinstance(found, dict)
        return found

    async def next_envelope(self, kind: str) -> dict[str, object]:
        """The next frame of this kind, past notifications."""
        while "Notification" in (found := await self.next()):
            pass
        envelope = found[kind]
        assert isinstance(envelope, dict)
        return envelope

    async def next_error(self) -> tuple[object, int, str]:
        envelope = await self.next_envelope("Error")
        error = envelope["error"]
        assert isinstance(error, dict)
        return envelope["request_id"], error["code"], error["description"]

    async def next_result(self) -> tuple[object, object]:
        envelope = await self.next_envelope("Response")
        response = envelope["response"]
        assert isinstance(response, dict)
        return envelope["request_id"], response["GeneratedToken"]


@contextlib.asynccontextmanager
async def socket_client(balancer: RunningBalancer) -> AsyncGenerator[SocketClient, None]:
    stream = await balancer.connect("inference")
    async with trio.open_nursery() as nursery:
        connection = await wrap_client_stream(nursery, stream, "127.0.0.1", PATH)
        yield SocketClient(stream, connection)
        nursery.cancel_scope.cancel()


async def test_many_requests_share_a_socket() -> None:
    async with running_balancer() as balancer, socket_client(balancer) as client:
        agent = await balancer.join(slots=3)
        for request_id in ("a", "b", "c"):
            await client.ask(request_id, raw_prompt=request_id)
        running = [await agent.next_generate() for _ in range(3)]
        for generate in running:
            text = getattr(generate.order.prompt, "text", "")
            await agent.events(generate.request_id, token(f"to {text}"), done())
        received: dict[object, list[object]] = {}
        for _ in range(6):
            answered, result = await client.next_result()
            received.setdefault(answered, []).append(result)
        for answered_id in ("a", "b", "c"):
            first, last = received[answered_id]
            assert first == {"ContentToken": f"to {answered_id}"}
            assert isinstance(last, dict)
            assert set(last) == {"Done"}


async def test_a_request_is_cancelled_by_its_id_and_its_id_is_free_again() -> None:
    async with running_balancer() as balancer, socket_client(balancer) as client:
        agent = await balancer.join(slots=2)
        await client.ask("a")
        await client.ask("b")
        first, second = await agent.next_generate(), await agent.next_generate()
        await client.send({"Notification": {"StopRespondingTo": "a"}})
        await client.send({"Notification": {"StopRespondingTo": "unknown"}})
        assert (await agent.next_cancel()).request_id == first.request_id
        await balancer.until_slots_processing(1)
        await client.ask("a")
        third = await agent.next_generate()
        await agent.events(third.request_id, token("again"))
        assert await client.next_result() == ("a", {"ContentToken": "again"})
        await agent.events(second.request_id, token("still there"))
        assert await client.next_result() == ("b", {"ContentToken": "still there"})


async def test_an_id_in_flight_is_refused_and_the_first_request_goes_on() -> None:
    async with running_balancer() as balancer, socket_client(balancer) as client:
        agent = await balancer.join()
        await client.ask("a")
        generate = await agent.next_generate()
        await client.ask("a")
        assert (await client.next_error())[:2] == ("a", 400)
        await agent.events(generate.request_id, token("goes on"))
        assert await client.next_result() == ("a", {"ContentToken": "goes on"})


@pytest.mark.parametrize(
    ("frame", "request_id", "word"),
    [
        ("{", "", "JSON"),
        ("[]", "", "object"),
        ('{"Other":1}', "", "Other"),
        ("{}", "", "exactly one"),
        ('{"Request":{"id":"x"}}', "x", "request"),
        ('{"Request":{"id":"x","request":{}}}', "x", "exactly one"),
        ('{"Request":{"id":7,"request":{}}}', "", "id"),
        (
            '{"Request":{"id":"x","request":{"ContinueFromRawPrompt":'
            '{"raw_prompt":"p","max_tokens":1,"surprise":2}}}}',
            "x",
            "allowed are",
        ),
        ('{"Notification":{"StopRespondingTo":1}}', "", "StopRespondingTo"),
        (b"\x00binary", "", "text frames"),
    ],
)
async def test_a_frame_outside_the_contract_is_told_and_the_socket_stays_open(
    frame: str | bytes, request_id: str, word: str
) -> None:
    async with running_balancer() as balancer, socket_client(balancer) as client:
        await client.connection.send_message(frame)
        found_id, code, description = await client.next_error()
        assert (found_id, code) == (request_id, 400)
        assert word in description
        agent = await balancer.join()
        assert await client.next() == {"Notification": "TokenGenerationEnabled"}
        await client.ask("later")
        generate = await agent.next_generate()
        await agent.events(generate.request_id, token("works"))
        assert await client.next_result() == ("later", {"ContentToken": "works"})


async def test_the_buffers_refusals_are_envelopes() -> None:
    async with (
        running_balancer(max_buffered_requests=1, buffered_request_timeout_s=0.2) as balancer,
        socket_client(balancer) as client,
    ):
        await client.ask("waits")
        await balancer.until_buffered(1)
        await client.ask("too many")
        assert (await client.next_error())[:2] == ("too many", 503)
        assert (await client.next_error())[:2] == ("waits", 504)


async def test_requests_above_the_limit_of_a_socket_are_refused() -> None:
    limits = InferenceLimits(max_requests_per_socket=2)
    async with (
        running_balancer(inference_limits=limits) as balancer,
        socket_client(balancer) as client,
    ):
        for request_id in ("a", "b", "c"):
            await client.ask(request_id)
        assert (await client.next_error())[:2] == ("c", 503)


async def test_sockets_above_the_limit_are_closed_and_told_so() -> None:
    limits = InferenceLimits(max_sockets=1)
    async with (
        running_balancer(inference_limits=limits) as balancer,
        socket_client(balancer) as first,
        socket_client(balancer) as second,
    ):
        await first.send({})
        await first.next_error()
        with pytest.raises(ConnectionClosed) as closed:
            await second.next()
        assert closed.value.reason is not None
        assert closed.value.reason.code == 1013


async def test_clients_hear_when_generation_becomes_possible_and_impossible() -> None:
    async with running_balancer() as balancer, socket_client(balancer) as client:
        await client.send({})
        await client.next_error()
        agent = await balancer.join()
        assert await client.next() == {"Notification": "TokenGenerationEnabled"}
        await agent.vanish()
        assert await client.next() == {"Notification": "TokenGenerationDisabled"}


@pytest.mark.parametrize("how", ["closes", "half closes", "vanishes"])
async def test_a_client_that_is_gone_frees_all_its_slots_at_once(how: str) -> None:
    async with running_balancer() as balancer, socket_client(balancer) as client:
        agent = await balancer.join(slots=2)
        for request_id in ("a", "b", "c"):
            await client.ask(request_id)
        await agent.next_generate()
        await agent.next_generate()
        await balancer.until_buffered(1)
        if how == "closes":
            await client.connection.aclose()
        elif how == "half closes":
            client.stream.socket.shutdown(trio.socket.SHUT_WR)
        else:
            client.stream.socket.close()
        with trio.fail_after(2):
            await balancer.until_slots_processing(0)
            await balancer.until_buffered(0)
            await agent.next_cancel()
            await agent.next_cancel()


async def test_tokens_that_wait_for_a_slow_client_share_a_frame() -> None:
    async with running_balancer() as balancer, socket_client(balancer) as client:
        agent = await balancer.join()
        await client.ask("a")
        generate = await agent.next_generate()
        await agent.events(generate.request_id, *[token(str(n)) for n in range(10)], done())
        assert await client.next_result() == ("a", {"ContentToken": "0123456789"})


async def test_a_stopping_balancer_tells_requests_why_and_goes_away() -> None:
    async with running_balancer() as balancer, socket_client(balancer) as client:
        agent = await balancer.join()
        await client.ask("running")
        await agent.next_generate()
        await client.ask("waiting")
        await balancer.until_buffered(1)
        balancer.stop.set()
        with trio.fail_after(5):
            errors = [await client.next_error(), await client.next_error()]
            assert sorted(error[:2] for error in errors) == [("running", 503), ("waiting", 503)]
            with pytest.raises(ConnectionClosed) as closed:
                await client.next_envelope("Error")
        assert closed.value.reason is not None
        assert closed.value.reason.code == 1001
