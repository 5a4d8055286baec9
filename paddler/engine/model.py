"""A loaded model: the file in memory, its facts and its tokenizer.

Owns the native model handle. Knows nothing of slots or requests.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import trio

from paddler.engine import errors
from paddler.engine.library import ffi, lib, new_error, raise_for_status, take_string

_TOKENIZE_IN_THREAD_CHARS = 16_384
"""Above this, tokenizing takes milliseconds and leaves the event loop."""

_LOG_LEVELS = {1: logging.DEBUG, 2: logging.DEBUG, 3: logging.WARNING, 4: logging.ERROR}
"""`enum ggml_log_level`; llama.cpp's own INFO is detail to an operator."""

_MAX_LOG_LINE_BYTES = 4096

logger = logging.getLogger("paddler.engine.llama_cpp")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What a model file says about itself.

    `metadata` are the GGUF keys with scalar values; `chat_template` is the
    file's own; `n_swa` is the sliding window in tokens, 0 for none;
    `pooling_type` is a number of `POOLING_TYPES`, -1 where the file names none.
    """

    metadata: dict[str, str]
    chat_template: str | None
    n_parameters: int
    size_bytes: int
    n_vocab: int
    n_embd: int
    n_ctx_train: int
    n_swa: int
    is_recurrent: bool
    is_hybrid: bool
    can_generate: bool
    can_embed: bool
    pooling_type: int

    @property
    def needs_checkpoints(self) -> bool:
        """Whether a sequence cannot be cut at any place, so that checkpoints help."""
        return self.n_swa > 0 or self.is_recurrent or self.is_hybrid


def forward_log() -> None:
    """Hand llama.cpp's waiting log lines to Python's logging."""
    text = ffi.new("char[]", _MAX_LOG_LINE_BYTES)
    level = ffi.new("int32_t *")
    n_lost = ffi.new("int64_t *")
    while (length := lib.pdl_log_take(text, _MAX_LOG_LINE_BYTES, level, n_lost)) >= 0:
        line = ffi.buffer(text, length)[:].decode("utf-8", "replace").rstrip()
        if line:
            logger.log(_LOG_LEVELS.get(level[0], logging.DEBUG), "%s", line)


class Model:
    """A model in memory. Made by `open_model`; usable from any thread."""

    def __init__(self, handle: Any, path: Path) -> None:
        self.handle = handle
        self.path = path
        self.facts = _read_facts(handle)

    async def tokenize(
        self, text: str, *, add_special: bool = True, parse_special: bool = True
    ) -> list[int]:
        """Token ids of `text` (llama.h: llama_tokenize).

        Args:
            add_special: Whether BOS and the like are added as the tokenizer says.
            parse_special: Whether control tokens in `text` become those tokens.
        """
        if len(text) <= _TOKENIZE_IN_THREAD_CHARS:
            return self._tokenize(text, add_special, parse_special)
        return await trio.to_thread.run_sync(self._tokenize, text, add_special, parse_special)

    def _tokenize(self, text: str, add_special: bool, parse_special: bool) -> list[int]:
        encoded = text.encode("utf-8", "replace")
        capacity = len(encoded) + 16
        while True:
            tokens = ffi.new("int32_t[]", capacity)
            error = new_error()
            n_tokens = lib.pdl_tokenize(
                self.handle,
                encoded,
                len(encoded),
                add_special,
                parse_special,
                tokens,
                capacity,
                error,
            )
            raise_for_status(error.status, error)
            if n_tokens <= capacity:
                return list(ffi.unpack(tokens, n_tokens))
            capacity = n_tokens

    def token_bytes(self, token_id: int, *, special: bool = True) -> bytes:
        """The text of one token, possibly part of a code point.

        Raises:
            InvalidArgument: There is no such token.
        """
        capacity = 64
        while True:
            text = ffi.new("char[]", capacity)
            length = lib.pdl_token_text(self.handle, token_id, special, text, capacity)
            if length >= 0:
                return bytes(ffi.buffer(text, length))
            if length == -1 and not 0 <= token_id < self.facts.n_vocab:
                message = f"token {token_id} is outside the vocabulary of {self.facts.n_vocab}"
                raise errors.InvalidArgument(message)
            capacity = -length

    def check_grammar(self, text: str, root: str) -> None:
        """Parse GBNF.

        Raises:
            BadGrammar: It does not parse, or has no rule `root`; says what is wrong, and where.
        """
        if "\0" in text or "\0" in root:
            message = "a grammar cannot contain the character U+0000"
            raise errors.BadGrammar(message)
        error = new_error()
        status = lib.pdl_grammar_check(self.handle, text.encode(), root.encode(), error)
        forward_log()
        raise_for_status(status, error)


@contextlib.asynccontextmanager
async def open_model(
    path: Path,
    *,
    n_gpu_layers: int = 0,
    on_progress: Callable[[float], None] | None = None,
) -> AsyncIterator[Model]:
    """Load a GGUF file in a worker thread; free it on exit.

    Args:
        path: The file; of a split model the first one.
        n_gpu_layers: Layers to offload; -1 is all.
        on_progress: Called with 0..1 as loading goes on.

    Raises:
        ModelFileNotFound, ModelFileUnreadable, BadModelFile, OutOfMemory: The file.
        Unsupported: This processor lacks instructions that the engine was compiled for.

    Cancelling while it loads aborts the load and frees what was loaded.
    """
    handle = await _load(path, n_gpu_layers, on_progress)
    try:
        yield Model(handle, path)
    finally:
        lib.pdl_model_free(handle)
        forward_log()


async def _load(path: Path, n_gpu_layers: int, on_progress: Callable[[float], None] | None) -> Any:
    error = new_error()
    load = lib.pdl_load_new(error)
    raise_for_status(error.status, error)
    model = ffi.new("pdl_model **")
    name = ffi.new("char[]", os.fsencode(path))
    params = ffi.new("pdl_model_params *")
    params.path = name
    params.n_gpu_layers = n_gpu_layers
    params.use_mmap = 1
    status = lib.PDL_CANCELLED

    async def watch() -> None:
        while True:
            await trio.lowlevel.wait_readable(lib.pdl_load_fd(load))
            progress = lib.pdl_load_progress(load)
            if on_progress is not None:
                on_progress(progress)

    async def abort_when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        finally:
            lib.pdl_load_cancel(load)

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            nursery.start_soon(abort_when_cancelled)
            status = await trio.to_thread.run_sync(lib.pdl_model_load, params, load, model, error)
            nursery.cancel_scope.cancel()
        await trio.lowlevel.checkpoint_if_cancelled()
    except BaseException:
        if model[0] != ffi.NULL:
            lib.pdl_model_free(model[0])
        raise
    finally:
        lib.pdl_load_free(load)
        forward_log()
    raise_for_status(status, error)
    return model[0]


def _read_facts(handle: Any) -> ModelFacts:
    info = ffi.new("pdl_model_info *")
    lib.pdl_model_get_info(handle, info)
    error = new_error()
    metadata = ffi.new("char **")
    raise_for_status(lib.pdl_model_metadata(handle, metadata, error), error)
    template = ffi.new("char **")
    raise_for_status(lib.pdl_model_chat_template(handle, template, error), error)
    return ModelFacts(
        metadata=json.loads(take_string(metadata)),
        chat_template=None if template[0] == ffi.NULL else take_string(template),
        n_parameters=info.n_parameters,
        size_bytes=info.size_bytes,
        n_vocab=info.n_vocab,
        n_embd=info.n_embd,
        n_ctx_train=info.n_ctx_train,
        n_swa=info.n_swa,
        is_recurrent=bool(info.is_recurrent),
        is_hybrid=bool(info.is_hybrid),
        can_generate=bool(info.can_generate),
        can_embed=bool(info.can_embed),
        pooling_type=info.pooling_type,
    )
