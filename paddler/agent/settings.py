"""What the agent is started with: read from the command line once, then frozen."""

from __future__ import annotations

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True, kw_only=True)
class AgentSettings:
    """How to reach the balancer, what to offer it, and every limit of the agent.

    Only the first three have no default. `slots` is how many requests of any
    kind run at once. `n_threads` 0 is one per physical core.
    `cache_dir` None is `PADDLER_CACHE_DIR`, else the platform's cache directory.
    """

    management_host: str
    management_port: int
    slots: int
    name: str | None = None

    reconnect_first_s: float = 0.25
    reconnect_longest_s: float = 10.0
    connect_timeout_s: float = 10.0
    welcome_timeout_s: float = 10.0
    disconnect_timeout_s: float = 1.0
    ping_interval_s: float = 5.0
    ping_timeout_s: float = 15.0
    write_timeout_s: float = 15.0
    outbox_items: int = 65_536
    load_report_interval_s: float = 0.25
    download_report_interval_s: float = 0.25

    stop_timeout_s: float = 4.0
    retry_first_s: float = 1.0
    retry_longest_s: float = 60.0

    n_threads: int = 0
    prompt_cache_bytes: int = 0
    prefill_budget_ms: int = 75
    cache_dir: Path | None = None
    max_download_bytes: int = 2 * 1024**4
    download_timeout_s: float = 30.0
    lock_wait_s: float = 10.0
