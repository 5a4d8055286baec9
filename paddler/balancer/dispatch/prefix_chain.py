"""The hash chain of a prompt: equal hashes mean equal content up to there.

Made without a tokenizer and without the template: what the model will see is
a function of the order's content, the model and the template, and an index of
these chains is kept per agent and emptied when its model or template changes.

A conversation is cut after everything that stands before the messages (tools,
template arguments) and after each message; text longer than a block is cut
into blocks as well, so that a growing raw prompt shares all but its end.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator

import msgspec

from paddler.messages.conversation import ImagePart, ImageUrl, Message
from paddler.messages.generation import ConversationPrompt, GenerationOrder, InfillPrompt, RawPrompt

BLOCK_BYTES = 1024
"""Content is cut at least this often."""

FIRST_BLOCK_BYTES = 256
FIRST_BYTES = 4096
"""Near the beginning, blocks are smaller: a short raw prompt that grows shares some too."""

MAX_LINKS = 1024
"""Content beyond this many links is not told apart, so that a chain is bounded."""

_encode = msgspec.msgpack.Encoder().encode


@dataclasses.dataclass(frozen=True, slots=True)
class PrefixChain:
    """`hashes[i]` stands for the first `ends_bytes[i]` bytes of content."""

    hashes: tuple[int, ...]
    ends_bytes: tuple[int, ...]

    @property
    def tip(self) -> int:
        """The hash of the whole content."""
        return self.hashes[-1]

    @property
    def n_bytes(self) -> int:
        """The length of the content that the chain covers."""
        return self.ends_bytes[-1]


def chain_of(order: GenerationOrder) -> PrefixChain:
    """The chain of `order`'s prompt; never empty. Sampling and limits do not matter."""
    hashes: list[int] = []
    ends_bytes: list[int] = []
    running = hashlib.blake2b(digest_size=8)
    n_bytes = 0
    for segment in _segments(order):
        begin = 0
        while begin < len(segment):
            block_bytes = FIRST_BLOCK_BYTES if n_bytes < FIRST_BYTES else BLOCK_BYTES
            block = segment[begin : begin + block_bytes]
            begin += len(block)
            running.update(len(block).to_bytes(4, "little"))
            running.update(block)
            n_bytes += len(block)
            hashes.append(int.from_bytes(running.digest(), "big") >> 1)
            ends_bytes.append(n_bytes)
            if len(hashes) >= MAX_LINKS:
                return PrefixChain(tuple(hashes), tuple(ends_bytes))
    return PrefixChain(tuple(hashes), tuple(ends_bytes))


def pin_of(conversation_id: str) -> int:
    """A number that stands for a conversation that the client named."""
    digest = hashlib.blake2b(conversation_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _segments(order: GenerationOrder) -> Iterator[bytes]:
    """Pieces of content that a later prompt may share one by one; the first is never empty."""
    prompt = order.prompt
    if isinstance(prompt, ConversationPrompt):
        yield _encode(
            (
                "conversation",
                prompt.tools,
                prompt.tool_choice,
                prompt.parallel_tool_calls,
                prompt.enable_thinking,
                sorted(prompt.template_arguments.items()),
            )
        )
        for message in prompt.messages:
            yield _encode(_with_digests(message))
    elif isinstance(prompt, RawPrompt):
        yield b"raw"
        yield prompt.text.encode(errors="surrogatepass")
    elif isinstance(prompt, InfillPrompt):
        yield b"infill"
        yield _encode((prompt.prefix, prompt.suffix))
    else:
        yield b"tokens"
        yield b"".join(token_id.to_bytes(8, "little", signed=True) for token_id in prompt.token_ids)


def _with_digests(message: Message) -> Message:
    """An image counts as what it costs, about a block, however many bytes it has."""
    if not isinstance(message.content, list):
        return message
    parts = [
        ImagePart(ImageUrl(_digest(part.image_url.url))) if isinstance(part, ImagePart) else part
        for part in message.content
    ]
    return msgspec.structs.replace(message, content=parts)


def _digest(url: str) -> str:
    digest = hashlib.blake2b(url.encode(errors="surrogatepass")).hexdigest()
    return digest * (BLOCK_BYTES // len(digest))
