"""The panel finds its services by whatever way the browser came."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.panel.conftest import PANEL, Fleet
from tests.support.path_proxy import path_proxy
from tests.support.real_programs import Programs


def test_under_another_name_of_the_same_host(page: Page, fleet: Fleet) -> None:
    page.goto(fleet.panel_url.replace("127.0.0.1", "localhost") + "/#/model")
    expect(page.get_by_test_id("connection")).to_have_text("Live")
    expect(page.get_by_label("Model", exact=True)).to_have_value(f"agent://{fleet.model}")


def test_behind_a_proxy_that_gives_each_service_a_path(page: Page, started: Programs) -> None:
    balancer = started.balancer(
        PANEL,
        "--web-admin-panel-management-url=/paddler/management",
        "--web-admin-panel-inference-url=/paddler/inference",
    )
    targets = {
        "/paddler/management/": balancer.management_url,
        "/paddler/inference/": balancer.inference_url,
        "/paddler/": balancer.url("admin_panel"),
    }
    with path_proxy(targets) as proxy_url:
        page.goto(f"{proxy_url}/paddler/")
        expect(page.get_by_test_id("connection")).to_have_text("Live")
        started.agent(balancer.management_address, name="behind")
        expect(page.get_by_role("listitem", name="behind")).to_be_visible()

        page.goto(f"{proxy_url}/paddler/#/model")
        page.get_by_label("Temperature").fill("0.5")
        page.get_by_role("button", name="Apply to the fleet").click()
        expect(page.get_by_test_id("apply-result")).to_contain_text("Applied")
        page.goto("about:blank")


def test_a_page_of_another_origin_gets_nothing(page: Page, fleet: Fleet) -> None:
    with path_proxy({"/": fleet.panel_url}) as elsewhere:
        page.goto(f"{elsewhere}/#/dashboard")
        expect(page.get_by_test_id("connection")).to_have_text("Reconnecting")
        expect(page.get_by_role("status").filter(has_text="cannot be reached")).to_be_visible()
        page.goto("about:blank")
