"""The dashboard follows the fleet without being reloaded."""

from __future__ import annotations

import re
import socket

from playwright.sync_api import Page, expect

from paddler.messages.state import DesiredState, ModelReference
from tests.panel.conftest import PANEL, Fleet
from tests.support.real_programs import Programs

MISSING = DesiredState(model=ModelReference(LocalToAgent="/nowhere/missing.gguf"))


def test_a_page_without_agents_tells_how_to_start_one(page: Page, started: Programs) -> None:
    balancer = started.balancer(PANEL)
    page.goto(balancer.url("admin_panel"))

    empty = page.get_by_test_id("no-agents")
    expect(empty).to_contain_text(f"--management-addr {balancer.management_address}")
    expect(page.get_by_test_id("connection")).to_have_text("Live")
    empty.get_by_role("button", name="Copy").click()
    expect(empty.get_by_text("Copied")).to_be_visible()


def test_the_dashboard_follows_an_agent_that_joins_and_leaves(
    page: Page, started: Programs
) -> None:
    balancer = started.balancer(PANEL)
    page.goto(balancer.url("admin_panel"))
    expect(page.get_by_test_id("agent-count")).to_have_text("0 connected")

    agent = started.agent(balancer.management_address, slots=3, name="comes-and-goes")
    card = page.get_by_role("listitem", name="comes-and-goes")
    expect(card).to_contain_text("no model")
    expect(page.get_by_test_id("agent-count")).to_have_text("1 connected")

    agent.stop()
    expect(card).to_have_count(0)
    expect(page.get_by_test_id("no-agents")).to_be_visible()


def test_an_issue_shows_with_advice_and_clears(page: Page, started: Programs) -> None:
    balancer = started.balancer(PANEL)
    started.agent(balancer.management_address, name="troubled")
    page.goto(balancer.url("admin_panel"))
    card = page.get_by_role("listitem", name="troubled")
    expect(card).to_be_visible()
    issue = card.get_by_test_id("issue")

    balancer.put_state(MISSING)
    expect(issue).to_contain_text("ModelFileDoesNotExist")
    expect(issue).to_contain_text("/nowhere/missing.gguf")
    expect(issue).to_contain_text("copy the file there, or correct the path")

    balancer.put_state(DesiredState())
    expect(issue).to_have_count(0)


def test_slots_and_history_of_a_serving_agent_are_shown(page: Page, fleet: Fleet) -> None:
    page.goto(fleet.panel_url)
    card = page.get_by_role("listitem", name="shared")
    expect(card).to_contain_text("ready")
    expect(card).to_contain_text(fleet.model.name)
    expect(card.get_by_role("list", name="Slots").get_by_role("listitem")).to_have_count(2)
    expect(page.get_by_test_id("slots")).to_contain_text("of 2 busy")
    expect(page.get_by_role("img", name="Chart: Requests").locator("canvas")).to_be_visible()


def test_the_panel_reconnects_after_the_balancer_restarts_and_says_so(
    page: Page, started: Programs
) -> None:
    panel_port, management_port = free_port(), free_port()
    flags = f"--web-admin-panel-addr=127.0.0.1:{panel_port}"
    first = started.balancer(flags, management_port=management_port)
    page.goto(first.url("admin_panel"))
    connection = page.get_by_test_id("connection")
    expect(connection).to_have_text("Live")

    first.stop()
    expect(connection).to_have_text("Reconnecting")
    expect(page.get_by_role("status").filter(has_text="cannot be reached")).to_be_visible()

    second = started.balancer(flags, management_port=management_port)
    started.agent(second.management_address, name="newcomer")
    expect(page.get_by_role("status").filter(has_text="was restarted")).to_be_visible()
    expect(connection).to_have_text("Live")
    expect(page.get_by_role("listitem", name="newcomer")).to_be_visible()


def test_nothing_jumps_while_the_dashboard_lives(page: Page, fleet: Fleet) -> None:
    page.goto(fleet.panel_url)
    expect(page.get_by_role("listitem", name="shared")).to_be_visible()
    page.evaluate(
        """() => {
            window.shifts = 0;
            new PerformanceObserver((list) => {
                for (const entry of list.getEntries()) window.shifts += entry.value;
            }).observe({type: "layout-shift"});
            window.seen = 0;
        }"""
    )
    sample = page.get_by_role("img", name="Chart: Requests")
    expect(sample).to_have_attribute("aria-label", re.compile("Requests"))
    page.wait_for_timeout(5000)
    assert page.evaluate("window.shifts") < 0.01


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
