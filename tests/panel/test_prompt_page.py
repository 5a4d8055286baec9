"""Talking to the fleet, with the real model."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image as Pillow
from playwright.sync_api import Page, expect

from tests.panel.conftest import PANEL, Fleet
from tests.support.real_programs import Programs


def open_prompt(page: Page, fleet: Fleet, max_tokens: int) -> None:
    page.goto(fleet.panel_url + "/#/prompt")
    page.get_by_label("Max tokens").fill(str(max_tokens))


def send(page: Page, text: str) -> None:
    page.get_by_role("textbox", name="Message").fill(text)
    page.get_by_role("button", name="Send").click()


def test_a_prompt_streams_and_is_stopped_half_way(page: Page, fleet: Fleet) -> None:
    open_prompt(page, fleet, 900)
    send(page, "Count from one to five hundred, in words.")
    expect(page.get_by_test_id("answer-text")).not_to_be_empty()
    page.get_by_role("button", name="Stop").click()

    expect(page.get_by_test_id("answer")).to_have_attribute("data-ended", "stopped")
    expect(page.get_by_test_id("stats")).to_contain_text("stopped")
    fleet.balancer.wait_until_idle(10)


def test_an_answer_tells_what_it_cost_and_who_gave_it(page: Page, fleet: Fleet) -> None:
    open_prompt(page, fleet, 6)
    send(page, "Say hello.")
    stats = page.get_by_test_id("stats")
    expect(stats).to_contain_text("shared, slot")
    for fact in ("tokens", "tokens/s", "first after", "from cache"):
        expect(stats).to_contain_text(fact)


def test_a_conversation_survives_a_reload_and_can_be_exported(
    page: Page, fleet: Fleet, tmp_path: Path
) -> None:
    open_prompt(page, fleet, 4)
    send(page, "Remember me.")
    expect(page.get_by_test_id("answer")).to_have_attribute("data-ended", "done")
    page.reload()
    expect(page.get_by_test_id("messages")).to_contain_text("Remember me.")

    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    exported = tmp_path / "conversation.json"
    download.value.save_as(exported)
    conversation = json.loads(exported.read_text())
    assert [message["role"] for message in conversation["messages"]] == ["user", "assistant"]

    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_test_id("messages")).not_to_contain_text("Remember me.")


def test_a_message_is_edited_and_an_answer_regenerated(page: Page, fleet: Fleet) -> None:
    open_prompt(page, fleet, 4)
    send(page, "First wording.")
    answer = page.get_by_test_id("answer")
    expect(answer).to_have_attribute("data-ended", "done")

    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Edited message").fill("Second wording.")
    page.get_by_role("button", name="Send again").click()
    expect(page.get_by_test_id("messages")).to_contain_text("Second wording.")
    expect(page.get_by_test_id("messages")).not_to_contain_text("First wording.")
    expect(answer).to_have_attribute("data-ended", "done")

    page.get_by_role("button", name="Regenerate").click()
    expect(answer).to_have_count(1)
    expect(answer).to_have_attribute("data-ended", "done")


def test_a_schema_constrains_the_answer(page: Page, fleet: Fleet) -> None:
    open_prompt(page, fleet, 40)
    page.get_by_text("Grammar and stop strings").click()
    page.get_by_label("Constrain the answer").select_option("json_schema")
    page.get_by_label("Schema", exact=True).fill('{"enum": ["heads", "tails"]}')
    send(page, "Toss a coin.")
    expect(page.get_by_test_id("answer")).to_have_attribute("data-ended", "done")
    assert page.get_by_test_id("answer-text").inner_text().strip() in {'"heads"', '"tails"'}


def test_mistakes_in_settings_are_told_before_anything_is_sent(page: Page, fleet: Fleet) -> None:
    open_prompt(page, fleet, 4)
    page.get_by_text("Tools", exact=True).click()
    page.get_by_label("Tools (JSON)").fill("[{]")
    expect(page.get_by_text("Tools are not valid JSON").first).to_be_visible()
    send(page, "Hello.")
    expect(page.get_by_test_id("answer")).to_have_count(0)
    expect(page.get_by_role("textbox", name="Message")).to_have_value("Hello.")


def test_a_raw_prompt_is_continued_and_copied_as_curl(page: Page, fleet: Fleet) -> None:
    open_prompt(page, fleet, 4)
    page.get_by_role("tab", name="Raw prompt").click()
    page.get_by_label("Prompt", exact=True).fill("It's one, two,")
    page.get_by_role("button", name="Continue it").click()
    expect(page.get_by_test_id("answer")).to_have_attribute("data-ended", "done")
    page.get_by_role("button", name="Copy as curl").click()
    expect(page.get_by_text("Copied")).to_be_visible()


def test_embeddings_show_how_similar_documents_are(page: Page, fleet: Fleet) -> None:
    page.goto(fleet.panel_url + "/#/prompt")
    page.get_by_role("tab", name="Embeddings").click()
    page.get_by_role("button", name="Embed and compare").click()
    table = page.get_by_test_id("similarity")
    expect(table.locator("caption")).to_contain_text("640 dimensions")
    cosines = table.get_by_role("cell").filter(has_text=re.compile(r"^-?\d\.\d{3}$"))
    expect(cosines).to_have_count(9)
    expect(cosines.first).to_have_text("1.000")


def test_an_answer_goes_on_while_another_page_is_looked_at(page: Page, fleet: Fleet) -> None:
    open_prompt(page, fleet, 900)
    send(page, "Count from one to five hundred, in words.")
    text = page.get_by_test_id("answer-text")
    expect(text).not_to_be_empty()
    before = len(text.inner_text())
    page.get_by_role("link", name="Dashboard", exact=True).click()
    expect(page.get_by_test_id("slots")).to_contain_text("1 of 2 busy")
    page.get_by_role("link", name="Prompt", exact=True).click()
    expect(page.get_by_test_id("answer")).to_have_attribute("data-ended", "running")
    page.wait_for_function(
        "n => document.querySelector('[data-testid=answer-text]').innerText.length > n", arg=before
    )
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_test_id("answer")).to_have_attribute("data-ended", "stopped")
    fleet.balancer.wait_until_idle(10)


def test_images_survive_a_reload_and_what_is_copied_runs(
    page: Page, fleet: Fleet, tmp_path: Path
) -> None:
    picture = tmp_path / "noise.png"
    Pillow.effect_noise((700, 500), 90).save(picture)
    open_prompt(page, fleet, 4)
    page.locator("input[type=file]").set_input_files([picture, picture])
    expect(page.get_by_role("button", name="Remove image 2")).to_be_visible()
    send(page, "What is it?")
    expect(page.get_by_test_id("answer")).to_have_attribute("data-ended", "done")
    expect(page.get_by_test_id("stats")).to_contain_text("images 32")

    page.reload()
    expect(page.get_by_test_id("messages").locator("img")).to_have_count(2)
    page.evaluate(
        """() => {
            window.copied = [];
            const clipboard = { writeText: async (text) => void window.copied.push(text) };
            Object.defineProperty(navigator, "clipboard", { value: clipboard });
        }"""
    )
    page.get_by_role("button", name="Copy as curl").click()
    page.get_by_role("button", name="Copy as Python").click()
    page.wait_for_function("window.copied.length === 2")
    for program, source in zip(
        (["bash", "-s"], [sys.executable, "-"]), page.evaluate("window.copied"), strict=True
    ):
        done = subprocess.run(program, input=source, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert re.search(r"input_image_tokens.{1,3}32", done.stdout), done.stdout


def test_two_tabs_keep_each_others_conversations(page: Page, fleet: Fleet) -> None:
    open_prompt(page, fleet, 2)
    other = page.context.new_page()
    open_prompt(other, fleet, 2)
    for tab, text in ((page, "From the first."), (other, "From the second.")):
        send(tab, text)
        expect(tab.get_by_test_id("answer")).to_have_attribute("data-ended", "done")
    page.reload()
    expect(page.get_by_test_id("messages")).to_contain_text("From the first.")
    titles = page.get_by_label("Conversation", exact=True).locator("option")
    expect(titles).to_have_text(["New conversation", "From the second.", "From the first."])


def test_a_page_without_a_model_says_that_requests_will_wait(page: Page, started: Programs) -> None:
    page.goto(started.balancer(PANEL).url("admin_panel") + "/#/prompt")
    expect(page.get_by_test_id("not-ready")).to_contain_text("requests wait in the buffer")


@pytest.mark.parametrize("stored", ["{}", "[1]", "null", '{"sampling": 7, "maxTokens": 3}', "x"])
def test_what_another_version_left_in_the_browser_does_no_harm(
    page: Page, fleet: Fleet, stored: str
) -> None:
    page.goto(fleet.panel_url)
    for key in ("settings", "documents", "raw", "conversations"):
        page.evaluate(
            "([key, value]) => localStorage.setItem('paddler.prompt.' + key, value)", [key, stored]
        )
    page.goto(fleet.panel_url + "/#/prompt")
    page.reload()
    expect(page.get_by_label("Max tokens")).to_have_value("512")
    page.get_by_role("tab", name="Embeddings").click()
    expect(page.get_by_label("Document 1", exact=True)).to_be_visible()


def test_a_browser_that_keeps_nothing_shows_the_panel_and_says_so(page: Page, fleet: Fleet) -> None:
    page.add_init_script(
        """for (const name of ["localStorage", "sessionStorage"]) {
            const get = () => { throw new DOMException("storage is off", "SecurityError"); };
            Object.defineProperty(window, name, { get });
        }
        Object.defineProperty(window, "indexedDB", { value: undefined });"""
    )
    open_prompt(page, fleet, 2)
    send(page, "Forget me.")
    expect(page.get_by_test_id("answer")).to_have_attribute("data-ended", "done")
    expect(page.get_by_text("will not survive a reload")).to_be_visible()
