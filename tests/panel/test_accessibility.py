"""Every page in both themes: axe-core finds nothing, and nothing sticks out."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from paddler.messages.state import DesiredState, ModelReference
from tests.panel.conftest import PANEL, Fleet
from tests.support.real_programs import Programs

PAGES = ["dashboard", "model", "prompt"]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def violations(page: Page, axe_source: str) -> list[str]:
    # Not as a script tag: the page's content security policy forbids those.
    page.evaluate(axe_source)
    found = page.evaluate("(rules) => axe.run({runOnly: rules})", RULES)
    return [
        f"{one['id']}: {one['help']}: {[node['html'] for node in one['nodes']]}"
        for one in found["violations"]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_no_violation(
    page: Page, fleet: Fleet, axe_source: str, path: str, theme: str
) -> None:
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    page.goto(f"{fleet.panel_url}/#/{path}")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_test_id("connection")).to_have_text("Live")
    for details in page.locator("main details").all():
        details.evaluate("(element) => { element.open = true; }")
    assert violations(page, axe_source) == []


@pytest.mark.parametrize("mode", ["Raw prompt", "Embeddings"])
def test_axe_finds_no_violation_in_the_other_modes(
    page: Page, fleet: Fleet, axe_source: str, mode: str
) -> None:
    page.goto(f"{fleet.panel_url}/#/prompt")
    page.get_by_role("tab", name=mode).click()
    assert violations(page, axe_source) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_violation_without_agents(
    page: Page, started: Programs, axe_source: str, theme: str
) -> None:
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    page.goto(started.balancer(PANEL).url("admin_panel"))
    expect(page.get_by_test_id("no-agents")).to_be_visible()
    assert violations(page, axe_source) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_violation_where_something_is_wrong(
    page: Page, started: Programs, axe_source: str, theme: str
) -> None:
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    balancer = started.balancer(PANEL)
    started.agent(balancer.management_address, name="troubled")
    balancer.put_state(DesiredState(model=ModelReference(LocalToAgent="/nowhere.gguf")))
    page.goto(balancer.url("admin_panel"))
    expect(page.get_by_test_id("issue")).to_be_visible()
    expect(page.get_by_test_id("rollout")).to_be_visible()
    assert violations(page, axe_source) == []
    page.get_by_role("link", name="Model", exact=True).click()
    page.get_by_label("Top p").fill("7")
    page.get_by_label("Written here").check()
    assert violations(page, axe_source) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_violation_in_a_conversation(
    page: Page, fleet: Fleet, axe_source: str, theme: str
) -> None:
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    page.goto(f"{fleet.panel_url}/#/prompt")
    page.get_by_label("Max tokens").fill("3")
    page.get_by_role("textbox", name="Message").fill("Hello.")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_test_id("answer")).to_have_attribute("data-ended", "done")
    assert violations(page, axe_source) == []


@pytest.mark.parametrize("width", [360, 768, 1280, 2560])
@pytest.mark.parametrize("path", PAGES)
def test_nothing_is_wider_than_the_screen(
    browser: Browser, fleet: Fleet, path: str, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800})
    page = context.new_page()
    page.goto(f"{fleet.panel_url}/#/{path}")
    expect(page.get_by_test_id("connection")).to_have_text("Live")
    overflow = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    context.close()
    assert overflow <= 0


def test_everything_can_be_reached_by_keyboard(page: Page, fleet: Fleet) -> None:
    page.goto(f"{fleet.panel_url}/#/dashboard")
    expect(page.get_by_test_id("connection")).to_have_text("Live")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_role("button", name="Theme")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")

    page.goto(f"{fleet.panel_url}/#/prompt")
    page.get_by_role("tab", name="Chat").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Raw prompt")).to_be_focused()
    expect(page.get_by_role("tab", name="Raw prompt")).to_have_attribute("aria-selected", "true")
