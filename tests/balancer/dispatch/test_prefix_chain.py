from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from paddler.balancer.dispatch.prefix_chain import (
    BLOCK_BYTES,
    MAX_LINKS,
    PrefixChain,
    chain_of,
    pin_of,
)
from paddler.messages.conversation import Message, ToolDefinition
from paddler.messages.generation import (
    ConversationPrompt,
    GenerationOrder,
    RawPrompt,
    TokenPrompt,
)
from paddler.messages.sampling import Sampling

texts = st.text(max_size=3 * BLOCK_BYTES)
messages = st.builds(Message, st.sampled_from(["system", "user", "assistant"]), texts)


def conversation(*turns: Message, **changes: object) -> PrefixChain:
    prompt = ConversationPrompt(list(turns), **changes)  # type: ignore[arg-type]  # a test's
    return chain_of(GenerationOrder(prompt=prompt))


def raw(text: str) -> PrefixChain:
    return chain_of(GenerationOrder(prompt=RawPrompt(text)))


def n_shared(one: PrefixChain, other: PrefixChain) -> int:
    return sum(a == b for a, b in zip(one.hashes, other.hashes, strict=False))


@given(st.lists(messages, max_size=6), st.lists(messages, min_size=1, max_size=3))
def test_next_turn_shares_the_whole_chain_of_the_last_one(
    history: list[Message], more: list[Message]
) -> None:
    before = conversation(*history)
    after = conversation(*history, *more)
    assert after.hashes[: len(before.hashes)] == before.hashes
    assert after.ends_bytes[: len(before.hashes)] == before.ends_bytes
    assert len(after.hashes) > len(before.hashes)


@given(st.lists(messages, min_size=1, max_size=6), st.data())
def test_edit_shares_only_what_is_before_it(history: list[Message], data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(history) - 1))
    edited = list(history)
    edited[position] = Message(history[position].role, f"{history[position].content}!")
    before, after = conversation(*history), conversation(*edited)
    assert before.tip != after.tip
    n_before = len(conversation(*history[:position]).hashes)
    assert n_shared(before, after) >= n_before
    shared = n_shared(before, after)
    assert before.hashes[shared:] != after.hashes[shared:]
    assert not set(before.hashes[shared:]) & set(after.hashes[shared:])


@given(texts, texts)
def test_growing_raw_prompt_shares_all_but_its_last_block(text: str, more: str) -> None:
    before, after = raw(text), raw(text + more)
    n_whole = len(text.encode(errors="surrogatepass")) // BLOCK_BYTES
    assert n_shared(before, after) >= 1 + n_whole


def test_what_the_template_renders_differently_shares_nothing() -> None:
    turn = Message("user", "Hello")
    plain = conversation(turn)
    tool = ToolDefinition("search")
    assert n_shared(plain, conversation(turn, tools=[tool])) == 0
    assert n_shared(plain, conversation(turn, enable_thinking=True)) == 0
    assert n_shared(plain, conversation(turn, template_arguments={"date": '"today"'})) == 0
    assert n_shared(plain, raw("Hello")) == 0


def test_how_it_is_sampled_does_not_matter() -> None:
    prompt = RawPrompt("Hello")
    one = chain_of(GenerationOrder(prompt=prompt, max_tokens=1))
    other = chain_of(GenerationOrder(prompt=prompt, sampling=Sampling(seed=3), stop=["x"]))
    assert one == other


def test_blocks_are_not_confused_with_messages() -> None:
    assert (
        conversation(Message("user", "ab")).tip
        != conversation(Message("user", "a"), Message("user", "b")).tip
    )


@pytest.mark.parametrize("text", ["", "x", "é" * 100, "\ud800"])
def test_chains_are_never_empty(text: str) -> None:
    assert raw(text).n_bytes >= 1
    assert conversation().n_bytes >= 1
    assert chain_of(GenerationOrder(prompt=TokenPrompt([]))).n_bytes >= 1


def test_chains_are_bounded_and_fit_a_signed_64_bit_integer() -> None:
    chain = raw("x" * (BLOCK_BYTES * MAX_LINKS * 2))
    assert len(chain.hashes) == MAX_LINKS
    assert all(0 <= link < 2**63 for link in chain.hashes)


def test_token_prompts_share_their_beginning() -> None:
    tokens = list(range(1000))
    before = chain_of(GenerationOrder(prompt=TokenPrompt(tokens)))
    after = chain_of(GenerationOrder(prompt=TokenPrompt([*tokens, 7])))
    assert n_shared(before, after) == len(before.hashes) - 1


def test_pins_tell_conversations_apart() -> None:
    assert pin_of("a") == pin_of("a")
    assert pin_of("a") != pin_of("b")
