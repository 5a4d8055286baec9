from __future__ import annotations

from paddler.agent.requests.held_prompts import HeldPrompts


def test_running_and_kept_prompts_are_held() -> None:
    kept: set[int] = set()
    held = HeldPrompts(lambda: kept)
    held.began(1, [10, 11])
    held.began(2, [10, 12])
    assert held.tips() == [11, 12]
    kept.add(1)
    held.ended(1)
    held.ended(2)
    assert held.tips() == [11]


def test_dropped_prompt_is_forgotten() -> None:
    kept = {1}
    held = HeldPrompts(lambda: kept)
    held.began(1, [11])
    held.ended(1)
    kept.clear()
    assert held.tips() == []
    kept.add(1)
    assert held.tips() == []


def test_prompt_that_two_requests_left_is_held_until_both_are_gone() -> None:
    kept = {1, 2}
    held = HeldPrompts(lambda: kept)
    for request_id in (1, 2):
        held.began(request_id, [11])
        held.ended(request_id)
    assert held.tips() == [11]
    kept.discard(1)
    assert held.tips() == [11]
    kept.discard(2)
    assert held.tips() == []


def test_request_without_a_chain_holds_nothing() -> None:
    held = HeldPrompts(lambda: [1])
    held.began(1, [])
    held.ended(1)
    assert held.tips() == []
