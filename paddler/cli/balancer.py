"""`paddler balancer`: flags to `BalancerSettings`."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

import click

from paddler.balancer.admin_panel.errors import PanelError
from paddler.balancer.http_edge.errors import ListenFailed
from paddler.balancer.http_edge.limits import EdgeLimits
from paddler.balancer.http_edge.serving.listeners import ListenAddress
from paddler.balancer.metrics.statsd import StatsdSettings
from paddler.balancer.run import BalancerSettings, PanelSettings, run
from paddler.balancer.services.inference.limits import InferenceLimits
from paddler.balancer.services.openai.limits import OpenAiLimits
from paddler.balancer.state_database.errors import StateDatabaseError
from paddler.cli.addresses import ADDRESS, HostPort
from paddler.cli.logs import LEVELS, set_up_logging
from paddler.cli.running import run_program
from paddler.version import paddler_version

_MILLISECONDS = click.IntRange(min=1)
_COUNT = click.IntRange(min=1)

_BROWSER_URL = re.compile(r"https?://[^\s/;,?#]+(/[^\s;,?#]*)?|/[^\s;,?#]*")

_option = functools.partial(click.option, show_default=True, show_envvar=True)


def _browser_url(context: click.Context, parameter: click.Parameter, url: str | None) -> str | None:
    """A URL as browsers take it, or a path on the panel's own host."""
    if url is None or _BROWSER_URL.fullmatch(url):
        return url
    message = f"{url!r} is neither a URL (https://manage.example) nor a path (/management)"
    raise click.BadParameter(message)


def _limit_options(command: Callable[..., None]) -> Callable[..., None]:
    """The flags of `EdgeLimits` and `InferenceLimits`."""
    edge, inference = EdgeLimits(), InferenceLimits()
    options = [
        _option(
            "--max-connections",
            type=_COUNT,
            default=edge.max_connections,
            help="Connections that each service keeps open at once; the next get 503.",
        ),
        _option(
            "--max-body-bytes",
            type=_COUNT,
            default=edge.max_body_bytes,
            help="Largest request body; a larger one gets 413.",
        ),
        _option(
            "--max-header-bytes",
            type=click.IntRange(min=1024),
            default=edge.max_header_bytes,
            help="Largest request head.",
        ),
        _option(
            "--header-read-timeout",
            type=_MILLISECONDS,
            default=round(edge.header_read_timeout_s * 1000),
            help="Longest time a client may take to send a request's headers, in ms.",
        ),
        _option(
            "--body-read-timeout",
            type=_MILLISECONDS,
            default=round(edge.body_read_timeout_s * 1000),
            help="Longest time a client may take to send a request's body, in ms.",
        ),
        _option(
            "--keep-alive-timeout",
            type=_MILLISECONDS,
            default=round(edge.keep_alive_timeout_s * 1000),
            help="How long a connection is kept for its next request, in ms.",
        ),
        _option(
            "--write-timeout",
            type=_MILLISECONDS,
            default=round(edge.write_timeout_s * 1000),
            help="A client that takes longer to accept 64 KiB of its answer is cut off, in ms.",
        ),
        _option(
            "--max-sockets",
            type=_COUNT,
            default=inference.max_sockets,
            help="Inference sockets open at once.",
        ),
        _option(
            "--max-requests-per-socket",
            type=_COUNT,
            default=inference.max_requests_per_socket,
            help="Requests in flight on one inference socket.",
        ),
        _option(
            "--max-tools",
            type=_COUNT,
            default=inference.max_tools,
            help="Tools in one request.",
        ),
        _option(
            "--max-images",
            type=_COUNT,
            default=inference.max_images,
            help="Images in one request.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command("balancer", context_settings={"auto_envvar_prefix": "PADDLER_BALANCER"})
@click.version_option(paddler_version(), prog_name="paddler-balancer")
@_option(
    "--inference-addr",
    type=ADDRESS,
    default="127.0.0.1:8061",
    help="Where applications send their requests.",
)
@_option(
    "--management-addr",
    type=ADDRESS,
    default="127.0.0.1:8060",
    help="Where operators manage the fleet and agents connect.",
)
@_option("--web-admin-panel-addr", type=ADDRESS, help="Web admin panel. Off by default.")
@_option(
    "--web-admin-panel-management-url",
    metavar="URL",
    callback=_browser_url,
    help="Where browsers find the management service, if not at its own port of the panel's "
    "host: https://manage.example, or a path such as /management behind a reverse proxy.",
)
@_option(
    "--web-admin-panel-inference-url",
    metavar="URL",
    callback=_browser_url,
    help="The same for the inference service.",
)
@_option(
    "--compat-openai-addr",
    type=ADDRESS,
    help="Where applications written for OpenAI's API send their requests. Off by default.",
)
@_option(
    "--compat-openai-any-model",
    is_flag=True,
    help="Answer requests for models that are not served with the one that is, instead of 404.",
)
@_option(
    "--buffered-request-timeout",
    type=_MILLISECONDS,
    default=10_000,
    help="Longest wait of a request for a free slot, in ms; then it gets 504.",
)
@_option(
    "--max-buffered-requests",
    type=click.IntRange(min=0),
    default=30,
    help="How many requests may wait for a free slot; the next get 503. 0 turns waiting off.",
)
@_option(
    "--inference-item-timeout",
    type=_MILLISECONDS,
    default=30_000,
    help="Longest silence between two tokens (or embeddings) of a running request, in ms.",
)
@_option(
    "--drain-timeout",
    type=_MILLISECONDS,
    default=30_000,
    help="How long running requests may go on when the model is swapped, in ms.",
)
@_option(
    "--inference-cors-allowed-host",
    multiple=True,
    metavar="ORIGIN",
    help="Origin (https://app.example) whose pages may use the inference service. Repeatable.",
)
@_option(
    "--management-cors-allowed-host",
    multiple=True,
    metavar="ORIGIN",
    help="Origin whose pages may use the management service. Repeatable.",
)
@_option(
    "--state-database",
    default="memory://",
    metavar="URL",
    help="Where the desired state is kept: memory:// or file:///path.",
)
@_option("--statsd-addr", type=ADDRESS, help="StatsD server to push gauges to. Off by default.")
@_option(
    "--statsd-prefix",
    default="paddler_",
    help="Prefix of metric names, StatsD and Prometheus.",
)
@_option(
    "--statsd-reporting-interval",
    type=_MILLISECONDS,
    default=10_000,
    help="Time between two pushes to StatsD, in ms.",
)
@_limit_options
@_option(
    "--log-level", type=click.Choice(LEVELS), default="info", help="What is written to stderr."
)
def command(**flags: object) -> None:
    """Run the balancer: the one address that applications talk to.

    Agents connect to --management-addr and run the model. Requests that find
    no free slot wait in a buffer, first in, first out, also while no agent is
    there at all. Durations are in milliseconds.
    """
    set_up_logging(str(flags["log_level"]))
    settings = settings_from_flags(flags)
    run_program(
        lambda stop: run(settings, stop=stop),
        expected_errors=(ListenFailed, StateDatabaseError, PanelError),
    )


def settings_from_flags(flags: dict[str, object]) -> BalancerSettings:
    """What click parsed, frozen; milliseconds become seconds."""
    read = _Flags(flags)
    statsd_address = read.address("statsd_addr")
    panel_address = read.address("web_admin_panel_addr")
    return BalancerSettings(
        inference_address=read.listen_address("inference_addr"),
        management_address=read.listen_address("management_addr"),
        openai_address=read.optional_listen_address("compat_openai_addr"),
        openai_accepts_any_model=read.switch("compat_openai_any_model"),
        panel=(
            PanelSettings(
                address=ListenAddress(
                    "--web-admin-panel-addr", panel_address.host, panel_address.port
                ),
                management_url=read.optional_text("web_admin_panel_management_url"),
                inference_url=read.optional_text("web_admin_panel_inference_url"),
            )
            if panel_address is not None
            else None
        ),
        buffered_request_timeout_s=read.seconds("buffered_request_timeout"),
        max_buffered_requests=read.number("max_buffered_requests"),
        inference_item_timeout_s=read.seconds("inference_item_timeout"),
        drain_timeout_s=read.seconds("drain_timeout"),
        inference_cors_origins=read.texts("inference_cors_allowed_host"),
        management_cors_origins=read.texts("management_cors_allowed_host"),
        state_database=read.text("state_database"),
        metrics_prefix=read.text("statsd_prefix"),
        statsd=(
            StatsdSettings(
                host=statsd_address.host,
                port=statsd_address.port,
                prefix=read.text("statsd_prefix"),
                interval_s=read.seconds("statsd_reporting_interval"),
            )
            if statsd_address is not None
            else None
        ),
        edge_limits=EdgeLimits(
            max_connections=read.number("max_connections"),
            max_body_bytes=read.number("max_body_bytes"),
            max_message_bytes=read.number("max_body_bytes"),
            max_header_bytes=read.number("max_header_bytes"),
            header_read_timeout_s=read.seconds("header_read_timeout"),
            body_read_timeout_s=read.seconds("body_read_timeout"),
            keep_alive_timeout_s=read.seconds("keep_alive_timeout"),
            write_timeout_s=read.seconds("write_timeout"),
        ),
        inference_limits=InferenceLimits(
            max_sockets=read.number("max_sockets"),
            max_requests_per_socket=read.number("max_requests_per_socket"),
            max_tools=read.number("max_tools"),
            max_images=read.number("max_images"),
        ),
        openai_limits=OpenAiLimits(
            max_tools=read.number("max_tools"),
            max_images=read.number("max_images"),
        ),
    )


class _Flags:
    """Typed access to what click parsed."""

    def __init__(self, flags: dict[str, object]) -> None:
        self._flags = flags

    def number(self, name: str) -> int:
        value = self._flags[name]
        assert isinstance(value, int), name
        return value

    def seconds(self, name: str) -> float:
        return self.number(name) / 1000.0

    def text(self, name: str) -> str:
        value = self._flags[name]
        assert isinstance(value, str), name
        return value

    def optional_text(self, name: str) -> str | None:
        value = self._flags[name]
        assert value is None or isinstance(value, str), name
        return value

    def texts(self, name: str) -> frozenset[str]:
        value = self._flags[name]
        assert isinstance(value, tuple), name
        return frozenset(str(text) for text in value)

    def address(self, name: str) -> HostPort | None:
        value = self._flags[name]
        assert value is None or isinstance(value, HostPort), name
        return value

    def switch(self, name: str) -> bool:
        value = self._flags[name]
        assert isinstance(value, bool), name
        return value

    def listen_address(self, name: str) -> ListenAddress:
        address = self.optional_listen_address(name)
        assert address is not None, name
        return address

    def optional_listen_address(self, name: str) -> ListenAddress | None:
        value = self.address(name)
        if value is None:
            return None
        return ListenAddress("--" + name.replace("_", "-"), value.host, value.port)
