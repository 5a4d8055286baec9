"""Loading models, good and bad."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import trio

from paddler.engine import errors
from paddler.engine.model import open_model
from paddler.engine.settings import EngineSettings
from paddler.engine.slots import open_slots
from tests.support.tiny_models import tiny_llama

TIMEOUT_S = 60.0


async def test_facts_metadata_and_tokens_of_a_real_model(real_model_path: Path) -> None:
    progress: list[float] = []
    with trio.fail_after(TIMEOUT_S):
        async with open_model(real_model_path, on_progress=progress.append) as model:
            tokens = await model.tokenize("Hello world")
            without_bos = await model.tokenize("Hello world", add_special=False)
            assert tokens[1:] == without_bos
            assert b"".join(map(model.token_bytes, without_bos)) == b"Hello world"
            with pytest.raises(errors.InvalidArgument):
                model.token_bytes(-1)
            facts = model.facts
    assert progress == sorted(progress)
    assert facts.metadata["general.architecture"] == "gemma3"
    assert facts.chat_template is None
    assert facts.can_generate
    assert facts.n_swa == 512
    assert facts.n_vocab == 262_144


async def test_a_long_text_is_tokenized_like_its_beginning(real_model_path: Path) -> None:
    text = "word and another word, " * 2000
    with trio.fail_after(TIMEOUT_S):
        async with open_model(real_model_path) as model:
            long = await model.tokenize(text)
            short = await model.tokenize(text[:460])
    assert long[:60] == short[:60]
    assert len(long) > 5000


def _with_version_only(path: Path) -> None:
    path.write_bytes(b"GGUF" + struct.pack("<I", 3))


def _with_absurd_counts(path: Path) -> None:
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1 << 60) + b"\0" * 64)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda path: None, errors.ModelFileNotFound),
        (lambda path: path.mkdir(), errors.BadModelFile),
        (lambda path: path.write_bytes(b""), errors.BadModelFile),
        (lambda path: path.write_bytes(b"PK\3\4" + b"\0" * 1000), errors.BadModelFile),
        (_with_version_only, errors.BadModelFile),
        (_with_absurd_counts, errors.BadModelFile),
    ],
    ids=["missing", "directory", "empty", "foreign", "header only", "absurd counts"],
)
async def test_what_is_no_model_is_refused_with_its_path(
    tmp_path: Path, make: object, error: type[errors.EngineError]
) -> None:
    path = tmp_path / "model.gguf"
    make(path)  # type: ignore[operator]  # a parameter
    with trio.fail_after(TIMEOUT_S), pytest.raises(error, match=r"model\.gguf"):
        async with open_model(path):
            pass


async def test_a_truncated_model_is_refused(tmp_path: Path, real_model_path: Path) -> None:
    path = tmp_path / "model.gguf"
    with real_model_path.open("rb") as whole:
        path.write_bytes(whole.read(100_000_000))
    with trio.fail_after(TIMEOUT_S), pytest.raises(errors.BadModelFile, match="truncated"):
        async with open_model(path):
            pass


@pytest.mark.parametrize(
    ("whole", "broken"),
    [
        (b"llama.block_count" + struct.pack("<II", 4, 2), struct.pack("<II", 4, 0)),
        (b"llama.block_count" + struct.pack("<II", 4, 2), struct.pack("<II", 4, 1 << 31)),
        (b"\x01\x00\x00\x00\x00\x00\x00\x00a", b"b"),
    ],
    ids=["no layers", "absurdly many layers", "a token twice"],
)
async def test_a_file_that_llama_cpp_would_die_of_is_refused(
    tmp_path: Path, whole: bytes, broken: bytes
) -> None:
    """What llama.cpp asserts while it loads is an error like any other."""
    path = tiny_llama(tmp_path / "model.gguf")
    content = path.read_bytes()
    assert whole in content
    path.write_bytes(content.replace(whole, whole[: -len(broken)] + broken, 1))
    with trio.fail_after(TIMEOUT_S), pytest.raises(errors.BadModelFile, match=r"GGML_ASSERT"):
        async with open_model(path):
            pass
    tiny_llama(path)
    with trio.fail_after(TIMEOUT_S):
        async with open_model(path) as model:
            assert model.facts.can_generate


async def test_cancelling_a_load_frees_everything(real_model_path: Path) -> None:
    with trio.fail_after(TIMEOUT_S), trio.CancelScope() as scope:
        async with open_model(real_model_path, on_progress=lambda _: scope.cancel()):
            await trio.sleep_forever()
    assert scope.cancelled_caught


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"n_slots": 0}, errors.InvalidArgument, "slots"),
        ({"n_slots": 100_000}, errors.InvalidArgument, "slots"),
        ({"n_batch": 0}, errors.InvalidArgument, "n_batch"),
        ({"context_tokens": 0}, errors.InvalidArgument, "context"),
        ({"context_tokens": 2**31 - 1}, errors.InvalidArgument, "context"),
        ({"context_tokens": 2**30 - 1}, errors.OutOfMemory, "MiB"),
        ({"prefill_budget_ms": 0}, errors.InvalidArgument, "prefill"),
    ],
)
async def test_impossible_settings_are_refused(
    real_model_path: Path,
    fields: dict[str, int],
    error: type[errors.EngineError],
    message: str,
) -> None:
    settings = EngineSettings(**({"n_slots": 2, "context_tokens": 256} | fields))  # type: ignore[arg-type]  # a builder
    with trio.fail_after(TIMEOUT_S):
        async with open_model(real_model_path) as model:
            with pytest.raises(error, match=message):
                async with open_slots(model, settings):
                    pass
