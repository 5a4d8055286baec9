"""A real browser, real programs, the real model."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from build_support.panel_build import FRONTEND
from paddler.balancer.admin_panel.assets import ASSETS
from paddler.messages.state import ModelReference
from tests.support.real_programs import Programs, RealBalancer, gemma_state, programs
from tests.support.tiny_projector import tiny_projector

ROOT = Path(__file__).resolve().parents[2]
PANEL = "--web-admin-panel-addr=127.0.0.1:0"
GEMMA_EMBEDDING_WIDTH = 640
TIMEOUT_MS = 60_000.0
"""The machine may be busy with the model; nothing is measured here."""


@dataclasses.dataclass
class Fleet:
    """A balancer with a panel, and an agent that serves the real model, images included."""

    balancer: RealBalancer
    panel_url: str
    model: Path


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    if not (ASSETS / "index.html").is_file():
        pytest.skip("the admin panel is not built: install npm, then make panel")
    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        # Without its sandbox, as containers and root have none; it loads our own pages only.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page with a storage of its own; an error in its code fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console",
        lambda message: (
            errors.append(message.text) if "Content Security Policy" in message.text else None
        ),
    )
    yield page
    context.close()
    assert errors == []


@pytest.fixture
def started() -> Iterator[Programs]:
    with programs() as running:
        yield running


@pytest.fixture(scope="package")
def fleet(
    browser: Browser, real_model_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    """Shared by the tests that leave it as it is."""
    path = tmp_path_factory.mktemp("projector") / "projector.gguf"
    projector = tiny_projector(path, n_embd_text=GEMMA_EMBEDDING_WIDTH)
    state = msgspec.structs.replace(
        gemma_state(real_model_path, enable_embeddings=True),
        multimodal_projection=ModelReference(LocalToAgent=str(projector)),
    )
    with programs() as running:
        balancer = running.balancer(PANEL, "--buffered-request-timeout=60000")
        running.agent(balancer.management_address, slots=2, name="shared")
        balancer.put_state(state)
        balancer.wait_for_slots(2)
        yield Fleet(balancer, balancer.url("admin_panel"), real_model_path)


@pytest.fixture(scope="session")
def axe_source() -> str:
    script = ROOT / FRONTEND / "node_modules" / "axe-core" / "axe.min.js"
    if not script.is_file():
        pytest.skip("axe-core is not installed: install npm, then make frontend-lint")
    return script.read_text(encoding="utf-8")
