"""The agent as a whole: what is started, in which order, and how it stops.

Nursery: `run` owns the root nursery with the link, the reconciler (which owns
the engine and its requests), the load reporter and the answering of questions.

Told to stop, the agent says that it leaves, hands its running requests over so
that others continue them, waits until that is written, and closes the engine;
all within `stop_timeout_s`, after which it is cancelled.
"""

from __future__ import annotations

import logging
import random
import secrets

import trio

from paddler.agent.backend.native import NativeBackend
from paddler.agent.backend.protocol import EngineBackend
from paddler.agent.frame_router import FrameRouter
from paddler.agent.link.connection import Link
from paddler.agent.link.dialer import Dialer, websocket_dialer
from paddler.agent.load_report import report_load
from paddler.agent.model_sources.cache import cache_directory
from paddler.agent.model_sources.huggingface import HuggingFaceSource
from paddler.agent.model_sources.sources import ModelSources
from paddler.agent.model_sources.url import DownloadLimits, UrlSource
from paddler.agent.questions import Questions
from paddler.agent.serving_state.reconciler import ModelFetcher, Reconciler
from paddler.agent.serving_state.status import StatusBoard
from paddler.agent.settings import AgentSettings
from paddler.concurrency.latest import Latest
from paddler.messages.link import (
    PROTOCOL_VERSION,
    Answer,
    CheckTemplate,
    Hello,
    Leaving,
    Question,
    TemplateChecked,
)
from paddler.version import paddler_version

__all__ = ["run", "run_agent"]

logger = logging.getLogger(__name__)

_STOP_REASON = "the agent stops"


async def run(
    settings: AgentSettings,
    *,
    stop: trio.Event | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run an agent until `stop` is set; started once it dials the balancer.

    Cancelled, it stops at once: the balancer then notices that its link is gone.
    """
    agent_id = secrets.token_urlsafe(16)
    limits = DownloadLimits(
        max_bytes=settings.max_download_bytes,
        timeout_s=settings.download_timeout_s,
        lock_wait_s=settings.lock_wait_s,
    )
    await run_agent(
        settings,
        backend=NativeBackend(),
        fetcher=ModelSources(
            url=UrlSource(cache_directory(settings.cache_dir), limits),
            huggingface=HuggingFaceSource(),
        ),
        dial=websocket_dialer(settings, agent_id),
        random_source=random.Random(),
        stop=trio.Event() if stop is None else stop,
        task_status=task_status,
    )


async def run_agent(
    settings: AgentSettings,
    *,
    backend: EngineBackend,
    fetcher: ModelFetcher,
    dial: Dialer,
    random_source: random.Random,
    stop: trio.Event,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """`run` with its surroundings given: which engine, where models and links come from."""
    activity = Latest(0)
    board = StatusBoard(settings.slots)
    reconciler = Reconciler(
        settings,
        backend=backend,
        fetcher=fetcher,
        board=board,
        random_source=random_source,
        activity=activity,
    )

    async def find_answer(question: Question) -> Answer:
        match question:
            case CheckTemplate(source):
                return TemplateChecked(await backend.try_template(source))

    questions = Questions(find_answer)
    router = FrameRouter(reconciler, questions, activity)
    link = Link(
        settings,
        hello=lambda: Hello(
            protocol_version=PROTOCOL_VERSION,
            name=settings.name,
            slots=settings.slots,
            paddler_version=paddler_version(),
            llama_cpp_version=backend.llama_cpp_version,
            applied_version=reconciler.applied_version,
        ),
        handler=router,
        status=board.latest,
        dial=dial,
        random_source=random_source,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(reconciler.run)
        await nursery.start(questions.run)
        nursery.start_soon(
            lambda: report_load(
                router,
                reconciler,
                board,
                activity,
                interval_s=settings.load_report_interval_s,
            )
        )
        link_over = trio.Event()

        async def run_link(*, task_status: trio.TaskStatus[None]) -> None:
            await link.run(task_status=task_status)
            link_over.set()

        await nursery.start(run_link)
        logger.info(
            "agent_started balancer=%s:%d slots=%d",
            settings.management_host,
            settings.management_port,
            settings.slots,
        )
        task_status.started()
        await stop.wait()
        logger.info("agent_stops")
        with trio.move_on_after(settings.stop_timeout_s) as deadline:
            if router.outbox is not None:
                router.outbox.post_frame(Leaving(_STOP_REASON))
            router.refuse(_STOP_REASON)
            await reconciler.hand_over(_STOP_REASON)
            link.close()
            await link_over.wait()
            await reconciler.close_engine()
        if deadline.cancelled_caught:
            logger.warning("agent_stopped_late seconds=%.1f", settings.stop_timeout_s)
        nursery.cancel_scope.cancel()
    logger.info("agent_stopped")
