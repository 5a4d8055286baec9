"""`paddler` with its commands. A command's module is imported when the command is asked for."""

from __future__ import annotations

import importlib

import click
from typing_extensions import override

from paddler.version import paddler_version

_COMMANDS = {
    "agent": ("paddler.cli.agent", "Serve a model on this machine's slots."),
    "balancer": ("paddler.cli.balancer", "The one address that applications talk to."),
    "demo": ("paddler.cli.demo", "Balancer, agent and a small model in one command."),
}


class LazyCommands(click.Group):
    """A group whose commands are imported by name."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names."""
        return sorted(_COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one."""
        return load_command(cmd_name) if cmd_name in _COMMANDS else None

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List them without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name][1]) for name in sorted(_COMMANDS)])


def load_command(name: str) -> click.Command:
    """Import the command `name`."""
    command = importlib.import_module(_COMMANDS[name][0]).command
    assert isinstance(command, click.Command), f"{name} has no click command"
    return command


@click.group(cls=LazyCommands)
@click.version_option(paddler_version(), prog_name="paddler")
def paddler() -> None:
    """Self-hosted LLM serving.

    Start one balancer, then as many agents as you have machines; tell the
    balancer which model to serve, and talk to it as one server. `paddler
    COMMAND --help` explains each part.
    """
