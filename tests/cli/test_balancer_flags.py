"""Every flag of the balancer's contract, with its environment variable."""

from __future__ import annotations

from collections.abc import Mapping
from unittest.mock import Mock, patch

import click
import pytest
from click.testing import CliRunner

from paddler.balancer.run import BalancerSettings
from paddler.cli import balancer
from paddler.cli.commands import load_command

CONTRACT = {
    "--inference-addr": "127.0.0.1:8061",
    "--management-addr": "127.0.0.1:8060",
    "--web-admin-panel-addr": None,
    "--buffered-request-timeout": "10000",
    "--max-buffered-requests": "30",
    "--inference-item-timeout": "30000",
    "--inference-cors-allowed-host": None,
    "--management-cors-allowed-host": None,
    "--state-database": "memory://",
    "--statsd-addr": None,
    "--statsd-prefix": "paddler_",
    "--statsd-reporting-interval": "10000",
}


def settings_of(*arguments: str, env: Mapping[str, str] | None = None) -> BalancerSettings:
    """What the command would run with."""
    with (
        patch.object(balancer, "run", new_callable=Mock) as run,
        patch.object(balancer, "run_program", lambda program, **_: program(None)),
        patch.object(balancer, "set_up_logging"),
    ):
        done = CliRunner().invoke(balancer.command, arguments, env=env, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    [settings] = run.call_args.args
    assert isinstance(settings, BalancerSettings)
    return settings


def test_the_defaults_are_the_contracts() -> None:
    settings = settings_of()
    assert str(settings.inference_address) == "127.0.0.1:8061"
    assert str(settings.management_address) == "127.0.0.1:8060"
    assert settings.buffered_request_timeout_s == 10.0
    assert settings.max_buffered_requests == 30
    assert settings.inference_item_timeout_s == 30.0
    assert settings.state_database == "memory://"
    assert settings.metrics_prefix == "paddler_"
    assert settings.statsd is None
    assert settings.panel is None
    assert settings.inference_cors_origins == frozenset()


@pytest.mark.parametrize("flag", CONTRACT)
def test_every_flag_is_there_with_its_default_and_its_environment_variable(flag: str) -> None:
    options = {
        name: option
        for option in load_command("balancer").params
        if isinstance(option, click.Option)
        for name in option.opts
    }
    option = options[flag]
    default = CONTRACT[flag]
    assert option.help
    if default is not None:
        assert str(option.default) == default
    help_text = CliRunner().invoke(load_command("balancer"), ["--help"], terminal_width=200).output
    variable = "PADDLER_BALANCER_" + flag.removeprefix("--").replace("-", "_").upper()
    assert variable in help_text


def test_flags_reach_the_settings() -> None:
    settings = settings_of(
        "--inference-addr=[::1]:1",
        "--buffered-request-timeout=1500",
        "--max-buffered-requests=0",
        "--inference-cors-allowed-host=https://a.example",
        "--inference-cors-allowed-host=https://b.example",
        "--statsd-addr=stats:8125",
        "--statsd-prefix=x_",
        "--statsd-reporting-interval=500",
        "--max-body-bytes=1000",
        "--max-requests-per-socket=3",
    )
    assert str(settings.inference_address) == "[::1]:1"
    assert settings.buffered_request_timeout_s == 1.5
    assert settings.max_buffered_requests == 0
    assert settings.inference_cors_origins == {"https://a.example", "https://b.example"}
    assert settings.statsd is not None
    assert (settings.statsd.host, settings.statsd.interval_s) == ("stats", 0.5)
    assert settings.statsd.prefix == settings.metrics_prefix == "x_"
    assert settings.edge_limits.max_body_bytes == 1000
    assert settings.inference_limits.max_requests_per_socket == 3


def test_environment_variables_reach_the_settings_and_flags_win() -> None:
    env = {
        "PADDLER_BALANCER_MAX_BUFFERED_REQUESTS": "5",
        "PADDLER_BALANCER_INFERENCE_ITEM_TIMEOUT": "700",
        "PADDLER_BALANCER_MANAGEMENT_CORS_ALLOWED_HOST": "https://a.example https://b.example",
    }
    settings = settings_of("--max-buffered-requests", "6", env=env)
    assert settings.max_buffered_requests == 6
    assert settings.inference_item_timeout_s == 0.7
    assert settings.management_cors_origins == {"https://a.example", "https://b.example"}


def test_the_panels_flags_reach_the_settings() -> None:
    panel = settings_of(
        "--web-admin-panel-addr=0.0.0.0:8062",
        "--web-admin-panel-inference-url=/inference",
        "--web-admin-panel-management-url=https://manage.example",
    ).panel
    assert panel is not None
    assert str(panel.address) == "0.0.0.0:8062"
    assert panel.inference_url == "/inference"
    assert panel.management_url == "https://manage.example"


@pytest.mark.parametrize("url", ["manage.example", "ftp://a", "/a; b", "https://a.example?x"])
def test_a_panel_url_that_browsers_cannot_use_is_refused(url: str) -> None:
    arguments = [f"--web-admin-panel-management-url={url}"]
    done = CliRunner().invoke(balancer.command, arguments)
    assert done.exit_code == 2
    assert "neither a URL" in done.output
