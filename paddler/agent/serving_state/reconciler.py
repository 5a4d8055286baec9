"""Makes the agent serve what the balancer tells it to: the shell around the table.

Nursery: `run` owns one, for the attempt that runs, the timer of the next one,
and the open engine generation. What to do when is decided in
`transitions`; here is how it is done.

An attempt fetches the model's files while the old engine still answers, then
drains and closes it, then opens the new one. If only parameters differ that
the engine does not know of, nothing is reloaded.
"""

from __future__ import annotations

import logging
import random
from pathlib import Path
from typing import Protocol

import trio

from paddler.agent.backend.protocol import EngineBackend
from paddler.agent.errors import AttemptFailed
from paddler.agent.model_sources.errors import ModelSourceError
from paddler.agent.model_sources.progress import DownloadReporter
from paddler.agent.serving_state.issues import chat_template_issues, open_failure, source_failure
from paddler.agent.serving_state.open_engine import (
    EngineGeneration,
    EngineKey,
    run_engine_generation,
)
from paddler.agent.serving_state.status import StatusBoard
from paddler.agent.serving_state.transitions import (
    CancelAttempt,
    Command,
    Event,
    Failed,
    GivenUp,
    Idle,
    RetryDue,
    ScheduleRetry,
    StartAttempt,
    State,
    Succeeded,
    Target,
    Told,
    application_status,
    applied_version,
    attempted_version,
    step,
)
from paddler.agent.settings import AgentSettings
from paddler.concurrency.backoff import Backoff
from paddler.concurrency.latest import Latest
from paddler.concurrency.mailbox import Mailbox
from paddler.engine.errors import EngineError
from paddler.messages.agents import Issue, ModelIssue
from paddler.messages.link import ApplyState, Download
from paddler.messages.state import ApplicableState, HuggingFaceModel, Model, ModelReference

__all__ = ["ModelFetcher", "Reconciler"]

logger = logging.getLogger(__name__)

_MAX_COMMANDS = 4096
_PROGRESS_STEPS = 1000
_CLOSE_TIMEOUT_S = 4.0


class ModelFetcher(Protocol):
    """Gets a model's files onto this machine."""

    async def fetch(self, model: ModelReference, report: DownloadReporter) -> Path:
        """The path of the model's (first) file; raises `ModelSourceError`."""


class Reconciler:
    """Owns the engine generation and the way to the next one.

    Args:
        settings: Slots, threads, waiting times.
        backend: Opens engines.
        fetcher: Gets model files.
        board: Where status, issues, model and progress are told.
        random_source: Jitter of retries, seeds of requests.
        activity: Set whenever requests start or end, or the engine changes.
    """

    def __init__(
        self,
        settings: AgentSettings,
        *,
        backend: EngineBackend,
        fetcher: ModelFetcher,
        board: StatusBoard,
        random_source: random.Random,
        activity: Latest[int],
    ) -> None:
        self._settings = settings
        self._backend = backend
        self._fetcher = fetcher
        self._board = board
        self._random = random_source
        self._activity = activity
        self._backoff = Backoff(
            first_s=settings.retry_first_s,
            longest_s=settings.retry_longest_s,
            random_source=random_source,
        )
        self._state: State = Idle()
        self._commands: Mailbox[Command] = Mailbox(_MAX_COMMANDS)
        self._attempt_scope = trio.CancelScope()
        self._attempt_over = trio.Event()
        self._attempt_over.set()
        self._timer_scope = trio.CancelScope()
        self._stopping = False
        self.generation: EngineGeneration | None = None

    def told(self, frame: ApplyState) -> None:
        """The balancer tells what to apply."""
        logger.info("state_told version=%d model=%s", frame.version, _model_path(frame.state))
        self._happened(Told(Target(frame.version, frame.state, frame.drain_timeout_s)))

    @property
    def applied_version(self) -> int | None:
        """The version that is served."""
        return applied_version(self._state)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry out commands for ever; cancelled, the engine is closed at once."""
        async with trio.open_nursery() as nursery:
            task_status.started()
            while True:
                for command in await self._commands.take():
                    await self._execute(command, nursery)

    async def hand_over(self, reason: str) -> None:
        """Start of the end: stop the attempt, give every request back."""
        self._stopping = True
        await self._cancel_attempt()
        if self.generation is not None:
            await self.generation.drain(0.0, reason)

    async def close_engine(self) -> None:
        """Close the open engine, if there is one."""
        generation, self.generation = self.generation, None
        self._board.set_model(None)
        if generation is not None:
            # Not even a newer state may leave two models in memory.
            with trio.move_on_after(_CLOSE_TIMEOUT_S, shield=True):
                await generation.close()
            self._activity.set(0)
            logger.info("engine_closed model=%s", generation.description.path)

    def _happened(self, event: Event) -> None:
        """Advance the table. Synchronous, so that what is told never lags behind it."""
        if self._stopping:
            return
        before = self._state
        self._state, commands = step(before, event)
        if isinstance(event, Told) and any(isinstance(each, StartAttempt) for each in commands):
            self._board.set_issues([])
        self._board.set_application(
            application_status(self._state),
            applied_version=applied_version(self._state),
            attempted_version=attempted_version(self._state),
        )
        for command in commands:
            self._commands.post(command)

    async def _execute(self, command: Command, nursery: trio.Nursery) -> None:
        if self._stopping:
            return
        match command:
            case CancelAttempt():
                await self._cancel_attempt()
            case StartAttempt(target, attempt):
                self._timer_scope.cancel()
                self._attempt_scope = trio.CancelScope()
                self._attempt_over = trio.Event()
                nursery.start_soon(self._attempt, target, attempt, nursery)
            case ScheduleRetry(attempt, n_failures):
                if n_failures == 1:
                    self._backoff.reset()
                self._timer_scope = trio.CancelScope()
                nursery.start_soon(self._retry_later, attempt, self._timer_scope)

    async def _cancel_attempt(self) -> None:
        self._attempt_scope.cancel()
        await self._attempt_over.wait()

    async def _retry_later(self, attempt: int, scope: trio.CancelScope) -> None:
        wait_s = self._backoff.next_s()
        logger.info("attempt_waits attempt=%d seconds=%.1f", attempt, wait_s)
        with scope:
            await trio.sleep(wait_s)
            self._happened(RetryDue(attempt))

    async def _attempt(self, target: Target, attempt: int, nursery: trio.Nursery) -> None:
        """The boundary of an attempt: whatever it raises becomes an issue."""
        model_path = _model_path(target.state)
        try:
            with self._attempt_scope:
                try:
                    issues = await self._apply(target, nursery)
                except AttemptFailed as failure:
                    self._failed(attempt, failure, model_path)
                except Exception as error:
                    logger.exception("attempt_broke attempt=%d model=%s", attempt, model_path)
                    issue = ModelIssue("ModelCannotBeLoaded", model_path)
                    broken = AttemptFailed(str(error), issues=[issue], retryable=True)
                    self._failed(attempt, broken, model_path)
                else:
                    self._board.set_issues(issues)
                    logger.info("state_applied attempt=%d model=%s", attempt, model_path)
                    self._happened(Succeeded(attempt))
        finally:
            self._board.set_download(None)
            self._attempt_over.set()

    def _failed(self, attempt: int, failure: AttemptFailed, model_path: str) -> None:
        self._board.set_issues(failure.issues)
        self._happened(Failed(attempt, failure.retryable, failure.patient))
        logger.error(
            "attempt_failed attempt=%d model=%s final=%s reason=%r",
            attempt,
            model_path,
            isinstance(self._state, GivenUp),
            str(failure),
        )

    async def _apply(self, target: Target, nursery: trio.Nursery) -> list[Issue]:
        """Serve `target`; the issues that remain although it is served.

        Raises:
            AttemptFailed: It is not served. The old engine may be closed by then.
        """
        state, settings = target.state, self._settings
        key = EngineKey.of(state, settings)
        current = self.generation
        if current is not None and current.key == key:
            current.parameters = state.inference_parameters
            current.slots.accept_again()
            return _remaining_issues(current)
        reason = "another state is applied"
        if current is not None:
            current.slots.refuse(reason)
        path = await self._fetch(state.model)
        projector_path = None if path is None else await self._fetch(state.multimodal_projection)
        if current is not None:
            await current.drain(target.drain_timeout_s, reason)
            await self.close_engine()
        if path is None:
            return []
        self.generation = await self._open(path, projector_path, key, state, nursery)
        self._board.set_model(self.generation.description)
        self._activity.set(0)
        return _remaining_issues(self.generation)

    async def _fetch(self, model: Model) -> Path | None:
        """The files of a model or of a multimodal projection."""
        if not isinstance(model, ModelReference):
            return None
        try:
            return await self._fetcher.fetch(model, self._board.set_download)
        except ModelSourceError as error:
            raise source_failure(error, model.path) from error

    async def _open(
        self,
        path: Path,
        projector_path: Path | None,
        key: EngineKey,
        state: ApplicableState,
        nursery: trio.Nursery,
    ) -> EngineGeneration:
        model_path = _model_path(state)

        def on_progress(fraction: float) -> None:
            steps = int(fraction * _PROGRESS_STEPS)
            self._board.set_download(
                Download(
                    filename=_display_name(state),
                    current_bytes=size_bytes * steps // _PROGRESS_STEPS,
                    total_bytes=size_bytes,
                    indeterminate=False,
                )
            )

        size_bytes = _size_bytes(path)
        try:
            generation: EngineGeneration = await nursery.start(
                lambda task_status: run_engine_generation(
                    self._backend,
                    path,
                    projector_path,
                    key,
                    state.inference_parameters,
                    model_path=model_path,
                    on_progress=on_progress,
                    random_source=self._random,
                    activity=self._activity,
                    task_status=task_status,
                )
            )
        except Exception as error:
            cause = _engine_error(error)
            if cause is None:
                raise
            raise open_failure(cause, model_path, _projection_path(state)) from error
        logger.info(
            "engine_opened model=%s context_tokens=%d slots=%d",
            model_path,
            generation.description.context_tokens,
            key.options.n_slots,
        )
        return generation


def _remaining_issues(generation: EngineGeneration) -> list[Issue]:
    key, path = generation.key, generation.description.path
    return chat_template_issues(generation.engine, path, key.chat_template_override)


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        # What is wrong with the file, the engine says better.
        return 0


def _engine_error(error: Exception) -> EngineError | None:
    """`error`, or the only one in a group that a nursery made of it."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error if isinstance(error, EngineError) else None


def _display_name(state: ApplicableState) -> str:
    """The model's file as the operator calls it: the cache's names say nothing."""
    model = state.model
    if not isinstance(model, ModelReference):
        return "None"
    if isinstance(model.HuggingFace, HuggingFaceModel):
        return model.HuggingFace.filename
    return model.path.rsplit("/", 1)[-1]


def _model_path(state: ApplicableState) -> str:
    return state.model.path if isinstance(state.model, ModelReference) else "None"


def _projection_path(state: ApplicableState) -> str | None:
    projection = state.multimodal_projection
    return projection.path if isinstance(projection, ModelReference) else None
