"""What the fleet serves is chosen in a form."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Page, Route, expect

from paddler.messages.state import ChatTemplate, DesiredState, ModelReference
from tests.panel.conftest import PANEL, Fleet
from tests.support.real_programs import GEMMA_TEMPLATE, Programs, gemma_state


def test_a_model_set_through_the_form_loads(
    page: Page, started: Programs, real_model_path: Path
) -> None:
    balancer = started.balancer(PANEL)
    started.agent(balancer.management_address, slots=2, name="loader")
    page.goto(balancer.url("admin_panel") + "/#/model")

    page.get_by_label("Model", exact=True).fill(f"agent://{real_model_path}")
    page.get_by_label("Context per slot").fill("512")
    page.get_by_label("Written here").check()
    page.get_by_label("Template (Jinja)").fill(GEMMA_TEMPLATE)
    changes = page.get_by_test_id("changes")
    expect(changes).to_contain_text(f"agent://{real_model_path}")
    expect(changes.get_by_role("row", name="Context per slot")).to_contain_text("512")
    page.get_by_role("button", name="Apply to the fleet").click()
    expect(page.get_by_test_id("apply-result")).to_contain_text("Applied")

    side = page.get_by_role("complementary", name="The fleet now")
    expect(side.get_by_text("ready")).to_be_visible()
    side.get_by_text("Metadata (").click()
    side.get_by_label("Filter").fill("general.architecture")
    expect(side.get_by_role("group", name="Metadata")).to_contain_text("gemma3")
    side.get_by_text("Chat template (override)").click()
    expect(side.get_by_label("Chat template in use")).to_contain_text("start_of_turn")


def test_a_template_is_tried_by_an_agent_while_it_is_written(page: Page, fleet: Fleet) -> None:
    page.goto(fleet.panel_url + "/#/model")
    editor = page.get_by_label("Template (Jinja)")
    apply = page.get_by_role("button", name="Apply to the fleet")
    editor.fill("Hello\n{% for message in messages %}never closed")
    expect(page.get_by_test_id("template-check")).to_contain_text("line 2: {% for %} has no")
    expect(apply).to_be_disabled()

    editor.fill(GEMMA_TEMPLATE + "Be kind.")
    expect(page.get_by_text("it compiles")).to_be_visible()
    expect(page.get_by_test_id("template-check")).to_have_count(0)
    page.get_by_text("What it makes of one question").click()
    expect(page.get_by_label("A question as the template writes it")).to_contain_text("Be kind.")
    expect(apply).to_be_enabled()

    editor.fill("{{ raise_exception('not for me') }}")
    expect(page.get_by_test_id("template-warning")).to_contain_text("not for me")
    expect(apply).to_be_enabled()


def test_a_template_that_was_applied_and_does_not_compile_is_explained(
    page: Page, started: Programs, real_model_path: Path
) -> None:
    balancer = started.balancer(PANEL)
    started.agent(balancer.management_address, name="critic")
    good = gemma_state(real_model_path, context_size=256)
    bad = msgspec.structs.replace(good, chat_template_override=ChatTemplate("{% for x in"))
    balancer.put_state(bad)
    page.goto(balancer.url("admin_panel") + "/#/model")
    problem = page.get_by_test_id("template-error")
    expect(problem).to_contain_text("does not compile")
    page.get_by_label("Template (Jinja)").fill(GEMMA_TEMPLATE)
    page.get_by_role("button", name="Apply to the fleet").click()
    expect(problem).to_have_count(0)


def test_what_is_typed_survives_a_look_at_another_page(page: Page, fleet: Fleet) -> None:
    page.goto(fleet.panel_url + "/#/model")
    page.get_by_label("Top k").fill("33")
    page.get_by_role("link", name="Dashboard", exact=True).click()
    page.get_by_role("link", name="Model", exact=True).click()
    expect(page.get_by_label("Top k")).to_have_value("33")
    expect(page.get_by_test_id("changes")).to_contain_text("33")


def test_a_form_follows_what_somebody_else_applies(page: Page, started: Programs) -> None:
    balancer = started.balancer(PANEL)
    page.goto(balancer.url("admin_panel") + "/#/model")
    expect(page.get_by_label("Model", exact=True)).to_have_value("")
    balancer.put_state(DesiredState(model=ModelReference(LocalToAgent="/theirs.gguf")))
    expect(page.get_by_label("Model", exact=True)).to_have_value("agent:///theirs.gguf")
    page.get_by_label("Top k").fill("33")
    balancer.put_state(DesiredState(model=ModelReference(LocalToAgent="/again.gguf")))
    expect(page.get_by_text("Somebody else changed the state meanwhile")).to_be_visible()
    expect(page.get_by_label("Top k")).to_have_value("33")
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_label("Model", exact=True)).to_have_value("agent:///again.gguf")


@pytest.mark.parametrize(
    ("typed", "understood"),
    [
        ("hf:owner/repo/model.gguf", "model.gguf of owner/repo at main"),
        ("hf:owner/repo/sub/model.gguf@v2", "sub/model.gguf of owner/repo at v2"),
        ("https://huggingface.co/owner/repo/blob/main/m.gguf", "m.gguf of owner/repo at main"),
        ("https://huggingface.co/o/r/resolve/v1/a/m.gguf?download=true", "a/m.gguf of o/r at v1"),
        ("https://models.example/m.gguf", "each agent downloads"),
        ("agent:///models/m.gguf", "each agent's own disk"),
        ("", "No model"),
        ("model.gguf", "Write hf:owner"),
        ("https://huggingface.co/owner/repo", "open one of its .gguf files"),
        ("hf:owner/repo", "Name the file too"),
    ],
)
def test_one_field_takes_every_kind_of_reference(
    page: Page, fleet: Fleet, typed: str, understood: str
) -> None:
    page.goto(fleet.panel_url + "/#/model")
    field = page.get_by_label("Model", exact=True)
    field.fill(typed)
    expect(field).to_have_accessible_description(re.compile(re.escape(understood)))


def test_limits_of_parameters_are_told_and_nothing_can_be_applied(page: Page, fleet: Fleet) -> None:
    page.goto(fleet.panel_url + "/#/model")
    page.get_by_label("Top p").fill("1.5")
    expect(page.get_by_text("From 0 to 1.")).to_be_visible()
    expect(page.get_by_role("button", name="Apply to the fleet")).to_be_disabled()
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_label("Top p")).to_have_value("0.8")


def test_a_state_that_somebody_else_changed_meanwhile_is_not_overwritten(
    page: Page, started: Programs
) -> None:
    balancer = started.balancer(PANEL)
    page.goto(balancer.url("admin_panel") + "/#/model")
    page.get_by_label("Temperature").fill("0.25")

    def theirs_comes_first(route: Route) -> None:
        if route.request.method == "GET":
            balancer.put_state(DesiredState(model=ModelReference(LocalToAgent="/theirs.gguf")))
        route.continue_()

    page.route("**/api/v1/balancer_desired_state", theirs_comes_first)
    page.get_by_role("button", name="Apply to the fleet").click()
    expect(page.get_by_test_id("apply-result")).to_contain_text("Somebody else")
    expect(page.get_by_test_id("changes")).to_contain_text("0.25")
    sent = page.request.get(f"{balancer.management_url}/api/v1/balancer_desired_state").json()
    assert sent["model"] == {"LocalToAgent": "/theirs.gguf"}


def test_what_the_form_sends_is_what_it_was_given(page: Page, started: Programs) -> None:
    balancer = started.balancer(PANEL)
    page.goto(balancer.url("admin_panel") + "/#/model")
    page.get_by_label("Temperature").fill("0.25")
    page.get_by_role("button", name="Apply to the fleet").click()
    expect(page.get_by_test_id("apply-result")).to_contain_text("Applied")
    sent = page.request.get(f"{balancer.management_url}/api/v1/balancer_desired_state").json()
    assert sent["inference_parameters"].pop("temperature") == 0.25
    default = DesiredState().inference_parameters
    for name, value in sent["inference_parameters"].items():
        assert value == pytest.approx(getattr(default, name)), name
