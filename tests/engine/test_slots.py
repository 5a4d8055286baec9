"""The slots of a real model, through `SlotEngine`.

Real clock: the native thread is not Trio's. Every test is bounded.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
import trio.testing

from paddler.engine import errors
from paddler.engine.model import Model, open_model
from paddler.engine.requests import (
    CacheKind,
    ClassMarker,
    EngineRequest,
    EngineSampling,
    FinishReason,
    GrammarConstraint,
    TokenClass,
)
from paddler.engine.settings import EngineSettings
from paddler.engine.slots import SlotEngine, SlotPhase, open_slots
from tests.support.slot_runs import Outcome, collect, opened, run, until_phase

TIMEOUT_S = 120.0

GREEDY = EngineSampling(temperature=0.0)
COUNTING = "One two three four five six seven"


async def run_text(
    model: Model, slots: SlotEngine, prompt: str, max_tokens: int = 8, **fields: object
) -> Outcome:
    settings: dict[str, object] = {"sampling": GREEDY} | fields
    return await run(
        slots,
        EngineRequest(
            prompt_tokens=await model.tokenize(prompt),
            max_tokens=max_tokens,
            **settings,  # type: ignore[arg-type]  # a builder
        ),
    )


async def test_greedy_generation_counts_on(real_model_path: Path) -> None:
    async with opened(real_model_path) as (model, slots):
        outcome = await run_text(model, slots, COUNTING, 5)
    assert outcome.text == " eight nine ten eleven twelve"
    assert outcome.ended is not None
    assert outcome.ended.reason is FinishReason.MAX_TOKENS
    assert outcome.ended.n_generated[TokenClass.CONTENT] == 5 == len(outcome.token_ids)


@pytest.mark.parametrize("n_slots", [1, 4])
async def test_waiting_requests_start_in_the_order_they_came(
    real_model_path: Path, n_slots: int
) -> None:
    # The engine measures from when it got the request, which lies between these two.
    earliest_s: dict[int, float] = {}
    latest_s: dict[int, float] = {}

    async def one(slots: SlotEngine, tokens: list[int], number: int) -> None:
        request = EngineRequest(
            prompt_tokens=tokens, max_tokens=6, sampling=GREEDY, ignore_end=True
        )
        before_s = trio.current_time()
        async with slots.start(request) as generation:
            after_s = trio.current_time()
            outcome = await collect(generation)
        assert outcome.ended is not None
        assert len(outcome.token_ids) == 6
        queued_s = outcome.ended.queued_ms / 1000
        earliest_s[number] = before_s + queued_s
        latest_s[number] = after_s + queued_s

    async with (
        opened(real_model_path, n_slots=n_slots) as (model, slots),
        trio.open_nursery() as nursery,
    ):
        for number in range(10):
            tokens = await model.tokenize(f"{number} and")
            nursery.start_soon(one, slots, tokens, number)
            await trio.testing.wait_all_tasks_blocked()
    assert all(earliest_s[a] <= latest_s[b] for a, b in itertools.pairwise(range(10)))


async def test_stop_strings_span_tokens_and_stay_out_of_the_text(real_model_path: Path) -> None:
    async with opened(real_model_path) as (model, slots):
        outcome = await run_text(model, slots, COUNTING, 20, stops=["ne ten"])
    assert outcome.text == " eight ni"
    assert outcome.ended is not None
    assert outcome.ended.reason is FinishReason.STOP_STRING


async def test_held_back_text_goes_out_at_the_end(real_model_path: Path) -> None:
    async with opened(real_model_path) as (model, slots):
        outcome = await run_text(model, slots, COUNTING, 2, stops=[" nine ten"])
    assert outcome.text == " eight nine"


async def test_markers_change_the_class_of_what_follows(real_model_path: Path) -> None:
    markers = [
        ClassMarker(" nine", TokenClass.CONTENT, TokenClass.REASONING, emit=False),
        ClassMarker(" eleven", TokenClass.REASONING, TokenClass.TOOL_CALL, emit=True),
    ]
    async with opened(real_model_path) as (model, slots):
        outcome = await run_text(model, slots, COUNTING, 6, markers=markers, with_raw_text=True)
    texts = dict.fromkeys(TokenClass, "")
    for tokens in outcome.tokens:
        texts[tokens.token_class] += tokens.text
    assert texts[TokenClass.CONTENT] == " eight"
    assert texts[TokenClass.REASONING] == " ten"
    assert texts[TokenClass.TOOL_CALL] == " eleven twelve thirteen"
    raw_text = b"".join(tokens.raw_text for tokens in outcome.tokens)
    assert raw_text == b" eight nine ten eleven twelve thirteen"
    assert outcome.ended is not None
    assert sum(outcome.ended.n_generated.values()) == 6


async def test_a_grammar_forces_text_of_several_bytes_per_character(real_model_path: Path) -> None:
    wanted = "日本語 🙂 ñ"
    grammar = GrammarConstraint(text=f'root ::= "{wanted}"')
    async with opened(real_model_path) as (model, slots):
        outcome = await run_text(model, slots, "Text:", 64, grammar=grammar)
    assert outcome.text == wanted
    assert outcome.ended is not None
    assert outcome.ended.reason is FinishReason.END_OF_GENERATION


@pytest.mark.parametrize("text", ['other ::= "x"', "root ::= undefined", ""])
async def test_a_bad_grammar_is_refused(real_model_path: Path, text: str) -> None:
    async with opened(real_model_path) as (model, slots):
        with pytest.raises(errors.BadGrammar):
            await run_text(model, slots, "x", grammar=GrammarConstraint(text=text))
        outcome = await run_text(model, slots, COUNTING, 1)
    assert outcome.text == " eight"


async def test_a_seed_reproduces_a_sampled_text(real_model_path: Path) -> None:
    sampling = EngineSampling(temperature=1.5, top_k=50, top_p=0.99, min_p=0.0, seed=7)
    async with opened(real_model_path, reuse_cache=False) as (model, slots):
        first = await run_text(model, slots, "Once", 16, sampling=sampling)
        second = await run_text(model, slots, "Once", 16, sampling=sampling)
        other = await run_text(
            model, slots, "Once", 16, sampling=EngineSampling(temperature=1.5, top_p=0.99, seed=8)
        )
    assert first.token_ids == second.token_ids
    assert first.token_ids != other.token_ids


async def test_a_prompt_longer_than_the_context_is_refused(real_model_path: Path) -> None:
    async with opened(real_model_path, context_tokens=256) as (_, slots):
        with pytest.raises(errors.PromptTooLong, match=r"257 tokens.*256"):
            await run(slots, EngineRequest(prompt_tokens=[5] * 257, max_tokens=1))
        fitting = EngineRequest(prompt_tokens=[5] * 255, max_tokens=10, ignore_end=True)
        outcome = await run(slots, fitting)
    assert outcome.ended is not None
    assert outcome.ended.reason is FinishReason.CONTEXT_FULL
    assert len(outcome.token_ids) == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"prompt_tokens": []}, "no tokens"),
        ({"prompt_tokens": [10_000_000]}, "outside the vocabulary"),
        ({"prompt_tokens": [-1]}, "outside the vocabulary"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"sampling": EngineSampling(temperature=-1.0)}, "temperature"),
        ({"sampling": EngineSampling(top_p=2.0)}, "top_p"),
        ({"sampling": EngineSampling(penalty_repeat=0.0)}, "penalty_repeat"),
        ({"sampling": EngineSampling(logit_bias=[(-5, 1.0)])}, "logit_bias"),
    ],
)
async def test_impossible_parameters_are_refused(
    real_model_path: Path, fields: dict[str, object], message: str
) -> None:
    request: dict[str, object] = {"prompt_tokens": [5], "max_tokens": 1} | fields
    async with opened(real_model_path, context_tokens=256) as (_, slots):
        with pytest.raises(errors.InvalidArgument, match=message):
            await run(slots, EngineRequest(**request))  # type: ignore[arg-type]  # a builder


@pytest.mark.parametrize("phase", [SlotPhase.PREFILL, SlotPhase.DECODE])
async def test_cancelling_frees_the_slot_before_the_scope_exits(
    real_model_path: Path, phase: SlotPhase
) -> None:
    async with opened(real_model_path, n_slots=1, context_tokens=4096) as (model, slots):
        length = 3000 if phase is SlotPhase.PREFILL else 3
        request = EngineRequest(prompt_tokens=[5] * length, max_tokens=900, ignore_end=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, slots, request)
            await until_phase(slots, phase)
            nursery.cancel_scope.cancel()
        assert [slot.phase for slot in slots.stats().slots] == [SlotPhase.FREE]
        assert (await run_text(model, slots, COUNTING, 1)).text == " eight"


async def test_cancelling_a_waiting_request_leaves_no_trace(real_model_path: Path) -> None:
    async with opened(real_model_path, n_slots=1) as (_, slots):
        endless = EngineRequest(prompt_tokens=[5], max_tokens=900, ignore_end=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, slots, endless)
            await until_phase(slots, SlotPhase.DECODE)
            with trio.CancelScope() as scope:
                async with slots.start(endless) as generation:
                    scope.cancel()
                    await trio.lowlevel.checkpoint()
            assert generation.is_over
            assert slots.stats().n_running == 1
            nursery.cancel_scope.cancel()
        assert slots.stats().n_queued == 0


async def test_closing_with_requests_in_flight_tells_them(real_model_path: Path) -> None:
    with trio.fail_after(TIMEOUT_S):
        async with open_model(real_model_path) as model, trio.open_nursery() as nursery:
            seen: list[type[BaseException]] = []

            async def consume(slots: SlotEngine, request: EngineRequest) -> None:
                try:
                    await run(slots, request)
                except errors.EngineClosed as error:
                    seen.append(type(error))

            settings = EngineSettings(n_slots=1, context_tokens=1024, n_threads=1)
            async with open_slots(model, settings) as slots:
                endless = EngineRequest(prompt_tokens=[5], max_tokens=900, ignore_end=True)
                nursery.start_soon(consume, slots, endless)
                nursery.start_soon(consume, slots, endless)
                await until_phase(slots, SlotPhase.DECODE)
    assert seen == [errors.EngineClosed] * 2


async def test_a_second_turn_prefills_only_what_is_new(real_model_path: Path) -> None:
    async with opened(real_model_path) as (model, slots):
        prompt = await model.tokenize("A short story about a fox. " * 10)
        first = await run(slots, EngineRequest(prompt_tokens=prompt, max_tokens=8, sampling=GREEDY))
        longer = [*prompt, *first.token_ids, *prompt[1:20]]
        second = await run(slots, EngineRequest(prompt_tokens=longer, max_tokens=4))
    assert second.started is not None
    assert second.started.cache_kind is CacheKind.SLOT
    # The last generated token was never decoded.
    assert second.cached == len(prompt) + len(first.token_ids) - 1


async def test_a_conversation_returns_from_host_memory(real_model_path: Path) -> None:
    async with opened(real_model_path, n_slots=1, prompt_cache_bytes=256 * 1024 * 1024) as (
        model,
        slots,
    ):
        fox = await model.tokenize("A long story about a fox in the woods. " * 10)
        bear = await model.tokenize("Everything about bears and how they live. " * 10)
        await run(slots, EngineRequest(prompt_tokens=fox, max_tokens=2))
        await run(slots, EngineRequest(prompt_tokens=bear, max_tokens=2))
        assert slots.stats().prompt_cache_bytes > 0
        again = await run(slots, EngineRequest(prompt_tokens=[*fox, *bear[1:]], max_tokens=2))
    assert again.started is not None
    assert again.started.cache_kind is CacheKind.RAM
    assert again.cached >= len(fox)


@pytest.mark.parametrize("n_before", [1, 3])
async def test_a_generation_continues_where_another_engine_left_it(
    real_model_path: Path, n_before: int
) -> None:
    async with opened(real_model_path) as (model, slots):
        whole = await run_text(model, slots, COUNTING, 6)
        sent = "".join(tokens.text for tokens in whole.tokens[:n_before])
        rest = await run_text(
            model,
            slots,
            COUNTING,
            6,
            replay_tokens=whole.token_ids[:n_before],
            replay_sent_bytes=len(sent.encode()) - 1,
        )
    assert sent[:-1] + rest.text == whole.text
    assert rest.token_ids == whole.token_ids[n_before:]
    assert rest.ended is not None
    assert rest.ended.n_generated[TokenClass.CONTENT] == 6


async def test_logprobs_belong_to_the_chosen_tokens(real_model_path: Path) -> None:
    async with opened(real_model_path) as (model, slots):
        outcome = await run_text(model, slots, COUNTING, 3, n_logprobs=4)
    chosen: Sequence[int] = outcome.token_ids
    entries = [entry for tokens in outcome.tokens for entry in tokens.logprobs]
    assert [entry.chosen.token_id for entry in entries] == list(chosen)
    for entry in entries:
        assert entry.top[0].token_id == entry.chosen.token_id
        assert len(entry.top) == 4
        assert all(a.logprob >= b.logprob for a, b in zip(entry.top, entry.top[1:], strict=False))
        assert entry.chosen.logprob <= 0.0
    assert b"".join(entry.chosen.text for entry in entries).decode() == outcome.text


async def test_logit_bias_forbids_a_token(real_model_path: Path) -> None:
    async with opened(real_model_path) as (model, slots):
        usual = await run_text(model, slots, COUNTING, 1)
        sampling = EngineSampling(temperature=0.0, logit_bias=[(usual.token_ids[0], -1000.0)])
        other = await run_text(model, slots, COUNTING, 1, sampling=sampling)
    assert other.token_ids != usual.token_ids


async def test_a_grammar_nested_beyond_reason_is_refused(real_model_path: Path) -> None:
    text = "root ::= " + "(" * 100_000 + '"x"' + ")" * 100_000
    async with opened(real_model_path) as (model, _):
        with pytest.raises(errors.BadGrammar, match="nested"):
            model.check_grammar(text, "root")
