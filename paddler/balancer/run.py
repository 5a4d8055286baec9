"""The balancer: its parts, its root nursery, its start and its end.

Start: all listeners are bound before anything else happens, so that an address
in use is the first thing to be told; then the state database is read, then
everything runs. End, once `stop` is set: running requests are told why, nothing
new is accepted, connections get a moment to take what was sent, and then
everything is cancelled.

A service is an `EdgeApp` on an address: `_services` makes them, once it is
known which ports they have.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import random
import secrets
from collections.abc import Iterator, Mapping, Sequence

import trio

from paddler.balancer.admin_panel.assets import Asset, read_assets
from paddler.balancer.admin_panel.service import AdminPanel
from paddler.balancer.deployments.desired_state import DesiredStates
from paddler.balancer.dispatch.buffer import Buffer
from paddler.balancer.dispatch.routing.cost_router import CostRouter
from paddler.balancer.fleet.fleet import Fleet
from paddler.balancer.http_edge.application import EdgeApp
from paddler.balancer.http_edge.cors import CorsPolicy
from paddler.balancer.http_edge.limits import DEFAULT_EDGE_LIMITS, EdgeLimits
from paddler.balancer.http_edge.serving.listeners import (
    ListenAddress,
    Listeners,
    format_address,
    open_listeners,
)
from paddler.balancer.http_edge.serving.server import EdgeServer
from paddler.balancer.metrics.fan_out import FanOut
from paddler.balancer.metrics.history import History, Readings
from paddler.balancer.metrics.registry import Gauges, MetricsRegistry
from paddler.balancer.metrics.statsd import StatsdSettings, push_gauges
from paddler.balancer.requests.embedding_batches import Embeddings
from paddler.balancer.requests.generations import Generations
from paddler.balancer.services.inference.limits import DEFAULT_INFERENCE_LIMITS, InferenceLimits
from paddler.balancer.services.inference.service import InferenceService
from paddler.balancer.services.management.dashboard import Dashboard, tokens_per_s_of_fleet
from paddler.balancer.services.management.service import ManagementService
from paddler.balancer.services.openai.limits import DEFAULT_OPENAI_LIMITS, OpenAiLimits
from paddler.balancer.services.openai.service import BROWSER_HEADERS, OpenAiService
from paddler.balancer.state_database.database import open_state_database
from paddler.messages.panel import ServiceLocation
from paddler.version import paddler_version

logger = logging.getLogger(__name__)

MAX_OVERTAKES = 4
"""How often a waiting request may be overtaken by one whose prompt a freed slot has cached."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PanelSettings:
    """The admin panel; the URLs are what browsers use, if not the services' own ports."""

    address: ListenAddress
    management_url: str | None = None
    inference_url: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class BalancerSettings:
    """Everything the command line says; times in seconds."""

    inference_address: ListenAddress
    management_address: ListenAddress
    openai_address: ListenAddress | None = None
    openai_accepts_any_model: bool = False
    panel: PanelSettings | None = None
    buffered_request_timeout_s: float = 10.0
    max_buffered_requests: int = 30
    inference_item_timeout_s: float = 30.0
    drain_timeout_s: float = 30.0
    inference_cors_origins: frozenset[str] = frozenset()
    management_cors_origins: frozenset[str] = frozenset()
    state_database: str = "memory://"
    metrics_prefix: str = "paddler_"
    statsd: StatsdSettings | None = None
    edge_limits: EdgeLimits = DEFAULT_EDGE_LIMITS
    inference_limits: InferenceLimits = DEFAULT_INFERENCE_LIMITS
    openai_limits: OpenAiLimits = DEFAULT_OPENAI_LIMITS


@dataclasses.dataclass(frozen=True, kw_only=True)
class BalancerCore:
    """The parts that services share."""

    buffer: Buffer
    fleet: Fleet
    states: DesiredStates
    generations: Generations
    embeddings: Embeddings
    metrics: MetricsRegistry
    history: History
    gauges: Gauges


@dataclasses.dataclass(frozen=True)
class Service:
    """A service's name, where it listens, and its routes."""

    name: str
    listeners: Listeners
    app: EdgeApp


@dataclasses.dataclass(frozen=True)
class BoundAddresses:
    """Where the services listen, by name; several where a name has several."""

    by_service: Mapping[str, Sequence[tuple[str, int]]]

    def url(self, service: str) -> str:
        """The base URL of a service's first address."""
        host, port = self.by_service[service][0]
        return f"http://{format_address(host, port)}"


def make_core(settings: BalancerSettings) -> BalancerCore:
    """The shared parts, not running yet.

    Raises:
        BadDatabaseUrl: `state_database` is not a URL of one.
    """
    metrics = MetricsRegistry(settings.metrics_prefix)
    buffer = Buffer(
        router=CostRouter(random.Random()),
        max_waiting=settings.max_buffered_requests,
        timeout_s=settings.buffered_request_timeout_s,
        max_overtakes=MAX_OVERTAKES,
    )
    fleet = Fleet(buffer, balancer_version=paddler_version())
    states = DesiredStates(
        fleet=fleet,
        database=open_state_database(settings.state_database),
        drain_timeout_s=settings.drain_timeout_s,
    )
    gauges = Gauges(
        slots_processing=lambda: fleet.slots_processing,
        slots_total=lambda: fleet.slots_total,
        requests_buffered=lambda: buffer.waiting.value,
    )
    metrics.watch(gauges)
    metrics.watch_caches(
        lambda: ((record.name, record.load) for record in fleet.records if record.load is not None)
    )
    history = History(
        Readings(
            processing=gauges.slots_processing,
            buffered=gauges.requests_buffered,
            tokens_per_s=lambda: tokens_per_s_of_fleet(fleet),
        ),
        instance=secrets.token_hex(8),
    )
    observer = FanOut(metrics, history)
    return BalancerCore(
        buffer=buffer,
        fleet=fleet,
        states=states,
        generations=Generations(
            fleet=fleet,
            buffer=buffer,
            item_timeout_s=settings.inference_item_timeout_s,
            observer=observer,
        ),
        embeddings=Embeddings(
            fleet=fleet,
            buffer=buffer,
            states=states,
            item_timeout_s=settings.inference_item_timeout_s,
            observer=observer,
        ),
        metrics=metrics,
        history=history,
        gauges=gauges,
    )


def _addresses(settings: BalancerSettings) -> dict[str, ListenAddress]:
    """Where each service that is asked for listens, by its name."""
    addresses = {
        "inference": settings.inference_address,
        "management": settings.management_address,
    }
    if settings.openai_address is not None:
        addresses["openai"] = settings.openai_address
    if settings.panel is not None:
        addresses["admin_panel"] = settings.panel.address
    return addresses


def _services(
    core: BalancerCore,
    settings: BalancerSettings,
    listeners: Mapping[str, Listeners],
    panel_assets: Mapping[str, Asset] | None,
) -> list[Service]:
    limits = settings.edge_limits
    panel_port = listeners["admin_panel"].port if "admin_panel" in listeners else None
    inference = InferenceService(
        generations=core.generations,
        embeddings=core.embeddings,
        fleet=core.fleet,
        limits=settings.inference_limits,
    ).make_app(
        edge_limits=limits,
        cors=CorsPolicy(settings.inference_cors_origins, sibling_port=panel_port),
    )
    management = ManagementService(
        fleet=core.fleet,
        buffer=core.buffer,
        states=core.states,
        metrics_text=core.metrics.text,
        dashboard=Dashboard(
            fleet=core.fleet, buffer=core.buffer, states=core.states, history=core.history
        ),
    ).make_app(
        edge_limits=limits,
        cors=CorsPolicy(settings.management_cors_origins, sibling_port=panel_port),
    )
    services = [
        Service("inference", listeners["inference"], inference),
        Service("management", listeners["management"], management),
    ]
    if settings.openai_address is not None:
        openai = OpenAiService(
            generations=core.generations,
            embeddings=core.embeddings,
            fleet=core.fleet,
            limits=settings.openai_limits,
            accept_any_model=settings.openai_accepts_any_model,
        ).make_app(
            edge_limits=limits,
            cors=CorsPolicy(settings.inference_cors_origins, request_headers=BROWSER_HEADERS),
        )
        services.append(Service("openai", listeners["openai"], openai))
    if settings.panel is not None and panel_assets is not None:
        _warn_of_unreachable(settings, settings.panel)
        panel = AdminPanel(
            assets=panel_assets,
            management=ServiceLocation(
                port=listeners["management"].port, url=settings.panel.management_url
            ),
            inference=ServiceLocation(
                port=listeners["inference"].port, url=settings.panel.inference_url
            ),
        )
        app = panel.make_app(edge_limits=limits)
        services.append(Service("admin_panel", listeners["admin_panel"], app))
    return services


def _warn_of_unreachable(settings: BalancerSettings, panel: PanelSettings) -> None:
    """A panel that other machines open cannot use services that only this one reaches."""
    if panel.address.is_loopback:
        return
    for name, address, url in (
        ("management", settings.management_address, panel.management_url),
        ("inference", settings.inference_address, panel.inference_url),
    ):
        if address.is_loopback and url is None:
            logger.warning(
                "panel_half_reachable service=%s address=%s hint=%r",
                name,
                address,
                f"browsers on other machines need {address.flag} on an address they reach, "
                f"or --web-admin-panel-{name}-url",
            )


async def run(
    settings: BalancerSettings,
    *,
    stop: trio.Event | None = None,
    task_status: trio.TaskStatus[BoundAddresses] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run the balancer until `stop` is set; cancelling stops it at once.

    Reports `started` with the bound addresses once requests are accepted.

    Raises:
        ListenFailed: An address cannot be listened on.
        StateDatabaseError: The state database cannot be used.
        PanelNotBuilt: The admin panel is asked for and not there.
    """
    stop = trio.Event() if stop is None else stop
    core = make_core(settings)
    panel_assets = None
    if settings.panel is not None:
        panel_assets = await trio.to_thread.run_sync(read_assets)
    with contextlib.ExitStack() as bound:
        listeners = {
            name: bound.enter_context(_closing(await open_listeners(address, settings.edge_limits)))
            for name, address in _addresses(settings).items()
        }
        services = _services(core, settings, listeners, panel_assets)
        await core.states.load()
        async with trio.open_nursery() as nursery:
            await nursery.start(core.states.run)
            nursery.start_soon(core.history.run)
            if settings.statsd is not None:
                nursery.start_soon(push_gauges, settings.statsd, core.gauges.read)
            await _serve(core, services, stop, task_status)
            nursery.cancel_scope.cancel()
    logger.info("balancer_stopped")


async def _serve(
    core: BalancerCore,
    services: Sequence[Service],
    stop: trio.Event,
    task_status: trio.TaskStatus[BoundAddresses],
) -> None:
    async with trio.open_nursery() as servers:
        for service in services:
            await servers.start(EdgeServer(service.app, service.listeners).run)
            for host, port in service.listeners.addresses:
                logger.info(
                    "service_started service=%s address=%s",
                    service.name,
                    format_address(host, port),
                )
        task_status.started(
            BoundAddresses({service.name: service.listeners.addresses for service in services})
        )
        await stop.wait()
        logger.info("balancer_stopping")
        core.generations.shut_down()
        core.embeddings.shut_down()
        for service in services:
            service.app.stopping.set()


@contextlib.contextmanager
def _closing(listeners: Listeners) -> Iterator[Listeners]:
    try:
        yield listeners
    finally:
        listeners.close()
