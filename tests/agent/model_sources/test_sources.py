"""Local files, split names, and that every issue of the contract has a cause."""

from __future__ import annotations

import typing
from pathlib import Path

import pytest

from paddler.agent.model_sources import errors
from paddler.agent.model_sources.huggingface import HuggingFaceSource
from paddler.agent.model_sources.sources import ModelSources
from paddler.agent.model_sources.split_files import part_names
from paddler.agent.model_sources.url import DownloadLimits, UrlSource
from paddler.agent.serving_state import issues
from paddler.engine import errors as engine_errors
from paddler.messages.agents import ModelIssue, ModelIssueKind
from paddler.messages.state import ModelReference

FROM_THE_ENGINE = {"ModelCannotBeLoaded", "ModelFileDoesNotExist"}
FROM_WHAT_IS_MISSING = {"UnableToFindChatTemplate", "MultimodalProjectionCannotBeLoaded"}


@pytest.fixture
def sources(tmp_path: Path) -> ModelSources:
    limits = DownloadLimits(max_bytes=1, timeout_s=1, lock_wait_s=1)
    return ModelSources(url=UrlSource(tmp_path, limits), huggingface=HuggingFaceSource())


def all_of(kind: type[Exception]) -> set[type[Exception]]:
    return {kind}.union(*(all_of(child) for child in kind.__subclasses__()))


def test_every_issue_about_a_model_has_a_cause() -> None:
    kinds = {getattr(kind, "issue_kind", None) for kind in all_of(errors.ModelSourceError)}
    assert kinds - {None} | FROM_THE_ENGINE | FROM_WHAT_IS_MISSING == set(
        typing.get_args(ModelIssueKind)
    )


def test_every_error_of_a_source_is_an_issue() -> None:
    for kind in all_of(errors.ModelSourceError):
        if kind is errors.HuggingFaceCannotAcquireLock:
            error: errors.ModelSourceError = errors.HuggingFaceCannotAcquireLock("m", lock_path="l")
        else:
            error = typing.cast("errors.ModelSourceError", kind("message"))
        failure = issues.source_failure(error, "model")
        assert len(failure.issues) == 1
        assert failure.retryable == error.retryable


def test_every_error_of_the_engine_becomes_an_issue() -> None:
    for kind in all_of(engine_errors.EngineError):
        error = kind("message")
        assert isinstance(error, engine_errors.EngineError)
        failure = issues.open_failure(error, "model")
        assert len(failure.issues) == 1
    broken = issues.open_failure(engine_errors.BadModelFile("no"), "model")
    assert not broken.retryable
    assert broken.issues == (ModelIssue("ModelCannotBeLoaded", "model"),)


async def test_local_file_is_found(sources: ModelSources, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"x")  # set-up
    assert await sources.fetch(ModelReference(LocalToAgent=str(path)), print) == path


@pytest.mark.parametrize("name", ["missing.gguf", "", "nul\0", "m-00001-of-00002.gguf"])
async def test_local_file_that_is_missing_does_not_exist(
    sources: ModelSources, tmp_path: Path, name: str
) -> None:
    (tmp_path / "m-00001-of-00002.gguf").write_bytes(b"x")  # set-up
    with pytest.raises(errors.ModelFileDoesNotExist):
        await sources.fetch(ModelReference(LocalToAgent=f"{tmp_path}/{name}"), print)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("m.gguf", ["m.gguf"]),
        (
            "a/m-00002-of-00002.gguf",
            ["a/m-00001-of-00002.gguf", "a/m-00002-of-00002.gguf"],
        ),
        ("m-00001-of-00001.gguf", ["m-00001-of-00001.gguf"]),
        ("m-00003-of-00002.gguf", ["m-00003-of-00002.gguf"]),
        ("m-00000-of-00000.gguf", ["m-00000-of-00000.gguf"]),
        ("m-00001-of-99999.gguf", ["m-00001-of-99999.gguf"]),
        ("m-1-of-2.gguf", ["m-1-of-2.gguf"]),
    ],
)
def test_parts_of_a_split_model(name: str, parts: list[str]) -> None:
    assert part_names(name) == parts
