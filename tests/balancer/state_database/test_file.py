"""The state file on a real file system, and under kill -9."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trio

from paddler.balancer.state_database.database import open_state_database
from paddler.balancer.state_database.errors import (
    BadDatabaseUrl,
    DatabaseUnparsable,
    DatabaseUnusable,
)
from paddler.balancer.state_database.file import FileStateDatabase
from paddler.balancer.state_database.memory import MemoryStateDatabase
from paddler.messages.state import ChatTemplate, DesiredState, ModelReference

STATE = DesiredState(
    model=ModelReference(LocalToAgent="/model.gguf"),
    chat_template_override=ChatTemplate("é {{ messages }}"),
)


async def test_saved_state_is_loaded_again(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    await FileStateDatabase(path).save(STATE)
    assert await FileStateDatabase(path).load() == STATE


async def test_file_is_pretty_json_in_the_contracts_format(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    await FileStateDatabase(path).save(STATE)
    text = path.read_text(encoding="utf-8")
    document = json.loads(text)
    assert set(document) == {"balancer_desired_state", "version"}
    assert document["version"] == "1"
    assert document["balancer_desired_state"]["model"] == {"LocalToAgent": "/model.gguf"}
    assert "\n  " in text


@pytest.mark.parametrize("content", [None, b"", b" \n"])
async def test_missing_or_empty_file_is_made_with_the_defaults(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "state.json"
    if content is not None:
        path.write_bytes(content)
    assert await FileStateDatabase(path).load() == DesiredState()
    document = json.loads(path.read_bytes())
    assert document["balancer_desired_state"]["model"] == "None"


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b'{"version":"1"}', b'{"version":"2","balancer_desired_state":{}}', b"\xff\xfe"],
)
async def test_file_that_does_not_parse_is_named_and_left_untouched(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(content)
    with pytest.raises(DatabaseUnparsable, match=str(path)):
        await FileStateDatabase(path).load()
    assert path.read_bytes() == content


async def test_directory_that_is_missing_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "state.json"
    with pytest.raises(DatabaseUnusable, match=str(path)):
        await FileStateDatabase(path).load()


async def test_permissions_and_links_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    await FileStateDatabase(path).save(DesiredState())
    path.chmod(0o640)
    link = tmp_path / "link.json"
    link.symlink_to(path)
    await FileStateDatabase(link).save(STATE)
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert await FileStateDatabase(path).load() == STATE


def test_urls_name_databases(tmp_path: Path) -> None:
    assert isinstance(open_state_database("memory://"), MemoryStateDatabase)
    assert isinstance(open_state_database(f"file://{tmp_path}/a%20b.json"), FileStateDatabase)


@pytest.mark.parametrize(
    "url", ["", "memory", "/state.json", "file://", "file:///", "file://state.json", "redis://x"]
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(BadDatabaseUrl, match="memory://"):
        open_state_database(url)


WRITER = """
import sys, trio
from pathlib import Path
from paddler.balancer.state_database.file import FileStateDatabase
from paddler.messages.state import ChatTemplate, DesiredState

async def main():
    database = FileStateDatabase(Path(sys.argv[1]))
    number = 0
    while True:
        template = ChatTemplate(f"{number} " + "x" * 200_000)
        await database.save(DesiredState(chat_template_override=template))
        print(number, flush=True)
        number += 1

trio.run(main)
"""


def test_kill_9_while_writing_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    for after_writes in (1, 3, 6):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            last_saved = -1
            for _ in range(after_writes):
                last_saved = int(writer.stdout.readline())
            time.sleep(0.001 * after_writes)  # a moment within a write
            os.kill(writer.pid, signal.SIGKILL)
            for line in writer.stdout.read().splitlines():
                last_saved = int(line)
        state = trio.run(FileStateDatabase(path).load)
        assert state.chat_template_override is not None
        number = int(state.chat_template_override.content.split()[0])
        assert number in (last_saved, last_saved + 1)
        assert len(state.chat_template_override.content) == len(f"{number} ") + 200_000
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]
