"""Which request gets which agent's slot, and when.

Knows slots, leases and waiters; knows nothing of links, frames or services.
The decisions are plain functions without checkpoints, so no invariant can be
interleaved; only `buffer` waits.

- `requests`: what the choice may depend on.
- `pool`: agents' slots, leases and waiters.
- `routing`: chooses among agents with a free slot.
- `buffer`: the asynchronous face, with its bound and its timeout.
"""
