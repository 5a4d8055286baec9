"""`paddler agent`: flags to `AgentSettings`."""

from __future__ import annotations

import functools

import click

from paddler.agent.memory import available_memory_bytes, default_prompt_cache_bytes
from paddler.agent.run import run
from paddler.agent.settings import AgentSettings
from paddler.cli.addresses import ADDRESS, HostPort
from paddler.cli.logs import LEVELS, set_up_logging
from paddler.cli.running import run_program
from paddler.version import paddler_version

_option = functools.partial(click.option, show_default=True, show_envvar=True)


@click.command("agent", context_settings={"auto_envvar_prefix": "PADDLER_AGENT"})
@click.version_option(paddler_version(), prog_name="paddler-agent")
@_option(
    "--management-addr",
    type=ADDRESS,
    required=True,
    help="The balancer's management address.",
)
@_option(
    "--slots",
    type=click.IntRange(min=1),
    required=True,
    help="How many requests of any kind this agent handles at once.",
)
@_option("--name", help="How this agent is called in the panel and in answers.")
@_option(
    "--threads",
    type=click.IntRange(min=0),
    default=0,
    help="Threads that compute; 0 is one per physical core.",
)
@_option(
    "--prompt-cache-mib",
    type=click.IntRange(min=0),
    show_default="a quarter of the free memory, at most 8192",
    help="Memory for conversations whose slot another one needs, in MiB; 0 is off.",
)
@_option(
    "--prefill-budget-ms",
    type=click.IntRange(1, 10_000),
    default=75,
    help="How long prompts may hold up running answers per step, in milliseconds.",
)
@_option(
    "--log-level", type=click.Choice(LEVELS), default="info", help="What is written to stderr."
)
def command(
    management_addr: HostPort,
    slots: int,
    name: str | None,
    threads: int,
    prompt_cache_mib: int | None,
    prefill_budget_ms: int,
    log_level: str,
) -> None:
    """Run an agent: it serves a model on this machine's slots.

    The agent connects to the balancer, and keeps trying if it is not there.
    Model, chat template and parameters come from the balancer.
    """
    set_up_logging(log_level)
    settings = AgentSettings(
        management_host=management_addr.host,
        management_port=management_addr.port,
        slots=slots,
        name=name,
        n_threads=threads,
        prompt_cache_bytes=(
            default_prompt_cache_bytes(available_memory_bytes())
            if prompt_cache_mib is None
            else prompt_cache_mib * 1024**2
        ),
        prefill_budget_ms=prefill_budget_ms,
    )
    run_program(lambda stop: run(settings, stop=stop), expected_errors=())
