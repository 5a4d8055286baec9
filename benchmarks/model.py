"""Which model a benchmark runs, and how the engines beside each other are set up."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.resources
from pathlib import Path

from benchmarks.processes import n_cores
from paddler.cli.embedded_model import embedded_model_path
from paddler.engine.settings import EngineSettings

END_TOKENS = {"1": -10000.0, "106": -10000.0}
"""Logit biases that keep the embedded model (Gemma 3) from ending its answer."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineShape:
    """What our engine and llama-server are both started with."""

    model: Path
    n_slots: int
    context_tokens: int
    n_threads: int
    n_batch: int = 2048
    n_ubatch: int = 512
    kv_dtype: str = "Q8_0"

    def settings(self, **changes: object) -> EngineSettings:
        """For our engine, with nothing kept between requests unless changed."""
        settings = EngineSettings(
            n_slots=self.n_slots,
            context_tokens=self.context_tokens,
            n_batch=self.n_batch,
            n_ubatch=self.n_ubatch,
            n_threads=self.n_threads,
            k_cache_dtype=self.kv_dtype,
            v_cache_dtype=self.kv_dtype,
            reuse_cache=False,
        )
        return dataclasses.replace(settings, **changes)  # type: ignore[arg-type]  # names of fields

    def line(self) -> str:
        """One line for the documentation."""
        return (
            f"{self.model.stem}, {self.n_slots} slots of {self.context_tokens} tokens, "
            f"{self.n_threads} threads, {self.kv_dtype} KV cache, n_batch {self.n_batch}, "
            f"n_ubatch {self.n_ubatch}"
        )


def add_model_options(parser: argparse.ArgumentParser, *, n_slots: int, context: int) -> None:
    """Flags that `shape_from` reads."""
    parser.add_argument("--model", type=Path, help="GGUF file; default: the embedded model")
    parser.add_argument("--slots", type=int, default=n_slots)
    parser.add_argument("--context", type=int, default=context, help="tokens per slot")
    parser.add_argument("--threads", type=int, default=n_cores())
    parser.add_argument("--kv-dtype", default="Q8_0")


def shape_from(arguments: argparse.Namespace) -> EngineShape:
    """The shape that the flags ask for; writes the embedded model's file on first use."""
    return EngineShape(
        model=arguments.model or embedded_model_path(),
        n_slots=arguments.slots,
        context_tokens=arguments.context,
        n_threads=arguments.threads,
        kv_dtype=arguments.kv_dtype,
    )


def chat_template() -> str:
    """The template for the embedded model, whose file has none."""
    resources = importlib.resources.files("paddler.cli.demo")
    return resources.joinpath("gemma_chat_template.jinja").read_text(encoding="utf-8")
