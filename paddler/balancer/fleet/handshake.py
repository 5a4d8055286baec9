"""An agent's way into the fleet: its hello, its link, its leave.

`serve_agent_link` runs in the task of the agent's connection. Once the link
ends, the agent's slots are gone and every request on it is told why.
"""

from __future__ import annotations

import contextlib
import logging

import msgspec
import trio

from paddler.balancer.fleet.agent_link import LinkLimits
from paddler.balancer.fleet.channel import ChannelClosed, FrameChannel
from paddler.balancer.fleet.errors import LinkRefused
from paddler.balancer.fleet.fleet import Fleet
from paddler.messages.link import PROTOCOL_VERSION, Hello, HelloHeader, Refused

__all__ = ["serve_agent_link"]

logger = logging.getLogger(__name__)

_decode_header = msgspec.msgpack.Decoder(HelloHeader).decode
_decode_hello = msgspec.msgpack.Decoder(Hello).decode
_encode_refusal = msgspec.msgpack.Encoder().encode


async def serve_agent_link(
    fleet: Fleet, agent_id: str, channel: FrameChannel, limits: LinkLimits | None = None
) -> None:
    """Serve one agent's connection until it ends, then close `channel`.

    Nothing the agent does makes this raise. Cancelling it gives the agent's
    requests back and closes the channel within `limits.close_timeout_s`.
    """
    limits = limits or LinkLimits()
    reason = "the balancer closed the link"
    try:
        reason = await _serve(fleet, agent_id, channel, limits)
    except LinkRefused as refused:
        reason = str(refused)
        logger.warning("agent_refused agent=%r reason=%r", agent_id, reason)
        await _refuse(channel, reason, limits)
    except ChannelClosed as closed:
        reason = str(closed)
        logger.info("agent_gone_before_hello agent=%r reason=%r", agent_id, reason)
    except Exception:
        reason = "internal error of the balancer"
        logger.exception("link_failed agent=%r", agent_id)
    finally:
        with trio.move_on_after(limits.close_timeout_s, shield=True):
            await channel.close(reason)


async def _refuse(channel: FrameChannel, reason: str, limits: LinkLimits) -> None:
    with contextlib.suppress(ChannelClosed), trio.move_on_after(limits.close_timeout_s):
        await channel.send(_encode_refusal(Refused(reason=reason)))


async def _serve(fleet: Fleet, agent_id: str, channel: FrameChannel, limits: LinkLimits) -> str:
    hello = await _receive_hello(channel, limits)
    link = fleet.join(agent_id, hello, limits)
    reason = "the balancer closed the link"
    try:
        reason = str(await link.run(channel))
    finally:
        fleet.leave(link, reason)
    return reason


async def _receive_hello(channel: FrameChannel, limits: LinkLimits) -> Hello:
    try:
        with trio.fail_after(limits.hello_timeout_s):
            frame = await channel.receive()
    except trio.TooSlowError:
        silence = f"no hello within {limits.hello_timeout_s:g} s"
        raise LinkRefused(silence) from None
    try:
        version = _decode_header(frame).protocol_version
        if version != PROTOCOL_VERSION:
            mismatch = (
                f"the agent speaks link protocol version {version}, this balancer speaks "
                f"version {PROTOCOL_VERSION}: install the same release of paddler on both"
            )
            raise LinkRefused(mismatch)
        hello = _decode_hello(frame)
    except msgspec.DecodeError as error:
        unreadable = f"the first frame is not a hello: {error}"
        raise LinkRefused(unreadable) from None
    if hello.slots < 1:
        slotless = f"an agent needs at least one slot, not {hello.slots}"
        raise LinkRefused(slotless)
    return hello
