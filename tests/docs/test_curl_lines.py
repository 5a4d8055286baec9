"""Every `curl` line of the documentation, pasted into a shell against real programs.

A page's lines run in order, as a reader would try them; the services' default
addresses and the example's model file stand for those of the test.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from paddler.balancer.admin_panel.assets import ASSETS
from tests.docs.pages import EVERYWHERE, ROOT
from tests.support.real_programs import RealBalancer, gemma_state, programs

BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCK_TIMEOUT_S = 120.0

# --max-time ends a stream that never ends by itself: that is no failure.
PRELUDE = """
set -euo pipefail
curl() { command curl --silent --show-error --fail-with-body "$@" || [ $? = 28 ]; }
"""


PANEL = "127.0.0.1:8062"
PANEL_IS_BUILT = (ASSETS / "index.html").is_file()


def blocks(page: Path) -> list[str]:
    """The page's shell blocks that use curl; without npm there is no panel to ask."""
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    shell = (match["text"] for match in found if match["language"] in ("", "sh"))
    return [
        text
        for text in shell
        if re.search(r"\bcurl\b", text) and (PANEL_IS_BUILT or PANEL not in text)
    ]


PAGES = [page for page in EVERYWHERE if blocks(page)]


@pytest.fixture(scope="module")
def fleet(real_model_path: Path) -> Iterator[RealBalancer]:
    with programs() as started:
        flags = ["--compat-openai-addr=127.0.0.1:0"]
        if PANEL_IS_BUILT:
            flags.append("--web-admin-panel-addr=127.0.0.1:0")
        balancer = started.balancer(*flags)
        started.agent(balancer.management_address, slots=2, name="one")
        yield balancer


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_curl_line_of_a_page_works(
    page: Path, fleet: RealBalancer, real_model_path: Path, tmp_path: Path
) -> None:
    assert shutil.which("curl"), "install curl: apt-get install curl"
    state = gemma_state(real_model_path, enable_embeddings=True)
    fleet.put_state(state)
    (tmp_path / "state.json").write_bytes(msgspec.json.encode(state))
    places = {
        "127.0.0.1:8060": fleet.management_address,
        "127.0.0.1:8061": fleet.inference_url.removeprefix("http://"),
        "127.0.0.1:8063": fleet.url("openai").removeprefix("http://"),
        "/models/model.gguf": str(real_model_path),
        "/tmp/": f"{tmp_path}/",
    }
    if PANEL_IS_BUILT:
        places[PANEL] = fleet.url("admin_panel").removeprefix("http://")
    for block in blocks(page):
        fleet.wait_for_slots(2)
        script = re.sub("|".join(map(re.escape, places)), lambda match: places[match[0]], block)
        done = subprocess.run(
            ["bash", "-c", PRELUDE + script],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=BLOCK_TIMEOUT_S,
            check=False,
        )
        shown = f"{page.name}:\n{block}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == 0, shown
        assert '"Error"' not in done.stdout, shown


def test_pages_with_curl_lines_were_found() -> None:
    assert ROOT / "README.md" in PAGES
    assert len(PAGES) > 8
