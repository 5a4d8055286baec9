"""The panel's files and the headers that fence them in, over real connections."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
import trio

from paddler.balancer.admin_panel.assets import Asset, read_assets
from paddler.balancer.admin_panel.errors import PanelNotBuilt
from paddler.balancer.admin_panel.service import AdminPanel
from paddler.balancer.http_edge.limits import EdgeLimits
from paddler.balancer.http_edge.serving.listeners import ListenAddress, open_listeners
from paddler.balancer.http_edge.serving.server import EdgeServer
from paddler.messages.panel import ServiceLocation

MANAGEMENT = ServiceLocation(port=8060)
INFERENCE = ServiceLocation(port=8061)


@pytest.fixture
def assets(tmp_path: Path) -> Mapping[str, Asset]:
    (tmp_path / "hashed").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>Panel</title>")
    (tmp_path / "hashed" / "index-abc.js").write_text("console.log(1);" * 100)
    (tmp_path / "notes.txt").write_text("not served")
    return read_assets(tmp_path)


async def get(
    panel: AdminPanel, path: str, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    """The answer of a panel that runs for this one request."""
    limits = EdgeLimits(stop_timeout_s=0.5)
    listeners = await open_listeners(ListenAddress("--addr", "127.0.0.1", 0), limits)
    app = panel.make_app(edge_limits=limits)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery, httpx.AsyncClient(trust_env=False) as http:
            await nursery.start(EdgeServer(app, listeners).run)
            answer = await http.get(
                f"http://127.0.0.1:{listeners.port}{path}", headers=dict(headers or {})
            )
            nursery.cancel_scope.cancel()
    return answer


def make_panel(assets: Mapping[str, Asset], **changes: ServiceLocation) -> AdminPanel:
    locations = {"management": MANAGEMENT, "inference": INFERENCE, **changes}
    return AdminPanel(assets=assets, **locations)


def directives(answer: httpx.Response) -> dict[str, str]:
    policy = answer.headers["Content-Security-Policy"]
    return dict(directive.strip().split(" ", 1) for directive in policy.split(";"))


async def test_the_page_may_load_its_own_files_and_talk_to_its_services_only(
    assets: Mapping[str, Asset],
) -> None:
    answer = await get(make_panel(assets), "/", {"Host": "box.example:8062"})
    assert answer.status_code == 200
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    policy = directives(answer)
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["connect-src"].split() == [
        "'self'",
        "http://box.example:8060",
        "https://box.example:8060",
        "http://box.example:8061",
        "https://box.example:8061",
    ]


async def test_a_host_that_is_no_name_reaches_no_header(assets: Mapping[str, Asset]) -> None:
    answer = await get(make_panel(assets), "/", {"Host": "a'; script-src *"})
    assert "script-src *" not in answer.headers.get("Content-Security-Policy", "")


async def test_an_ipv6_host_is_served_with_a_policy_that_browsers_understand(
    assets: Mapping[str, Asset],
) -> None:
    answer = await get(make_panel(assets), "/", {"Host": "[::1]:8062"})
    assert directives(answer)["connect-src"] == "'self' http: https: http: https:"


async def test_addresses_for_a_proxy_are_in_config_and_policy(assets: Mapping[str, Asset]) -> None:
    panel = make_panel(
        assets,
        management=ServiceLocation(port=8060, url="https://manage.example/api"),
        inference=ServiceLocation(port=8061, url="/inference"),
    )
    page = await get(panel, "/", {"Host": "box:8062"})
    assert directives(page)["connect-src"] == "'self' https://manage.example 'self'"
    config = (await get(panel, "/config.json")).json()
    assert config["management"]["url"] == "https://manage.example/api"
    assert config["inference"]["url"] == "/inference"


async def test_hashed_files_are_kept_for_ever_and_the_page_is_asked_for_again(
    assets: Mapping[str, Asset],
) -> None:
    panel = make_panel(assets)
    script = await get(panel, "/hashed/index-abc.js")
    assert "immutable" in script.headers["Cache-Control"]
    assert script.headers["Content-Type"].startswith("text/javascript")
    assert script.headers["Content-Encoding"] == "gzip"
    assert script.text == "console.log(1);" * 100
    page = await get(panel, "/")
    assert page.headers["Cache-Control"] == "no-cache"
    again = await get(panel, "/", {"If-None-Match": page.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["/notes.txt", "/../service.py", "/%2e%2e/service.py", "/nothing"])
async def test_nothing_but_the_built_files_is_served(
    assets: Mapping[str, Asset], path: str
) -> None:
    assert (await get(make_panel(assets), path)).status_code == 404


def test_a_panel_that_is_not_built_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(PanelNotBuilt, match=r"--web-admin-panel-addr.*npm") as caught:
        read_assets(tmp_path)
    assert "\n" not in str(caught.value)
