"""What the demo shows: waits and addresses on standard error, the answer on standard output."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

from paddler.cli.demo.client import CONVERSATION_PATH, Finished


class Screen:
    """Writes to the two standard streams."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)

    @contextlib.contextmanager
    def file_progress(self, title: str) -> Iterator[Callable[[int, int], None]]:
        """A bar for bytes; shown once the first ones are there. Yields (done, total)."""
        with self._progress(BarColumn(), DownloadColumn()) as progress:
            task = progress.add_task(title, total=None, visible=False)

            def show(done: int, total: int) -> None:
                progress.update(task, completed=done, total=total, visible=True)

            yield show

    @contextlib.contextmanager
    def waiting(self, title: str) -> Iterator[None]:
        """A moving bar for a wait of unknown length."""
        if not self._console.is_terminal:
            self._console.print(f"{title} ...")
        with self._progress(BarColumn(), TimeElapsedColumn()) as progress:
            progress.add_task(title, total=None)
            yield

    def question(self, prompt: str) -> None:
        """What is asked."""
        self._console.print(f"\n[bold cyan]>[/] [bold]{_plain(prompt)}[/]\n")

    def answer(self, text: str) -> None:
        """A piece of the answer, at once."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def finished(self, finished: Finished, first_s: float, rest_s: float) -> None:
        """The end of the answer, with its figures."""
        self.answer("\n")
        n_tokens = finished.generated_tokens
        speed = (n_tokens - 1) / rest_s if n_tokens > 1 and rest_s > 0 else 0.0
        self._console.print(
            f"\n[dim]{n_tokens} tokens after {finished.prompt_tokens} of prompt; the first after "
            f"{first_s * 1000:.0f} ms, then {speed:.0f} tokens/s\n"
            "(Gemma 3 270M is tiny and was not trained to chat: it writes, but it knows little)[/]"
        )

    def addresses(
        self, inference_url: str, management_url: str, request: dict[str, object]
    ) -> None:
        """Where to go on from here."""
        curl = (
            f"curl -N {inference_url}{CONVERSATION_PATH} -H 'Content-Type: application/json' "
            f"-d {shlex.quote(json.dumps(request, ensure_ascii=False))}"
        )
        self._console.print(f"\n[bold]Inference[/]   {inference_url}")
        self._console.print(f"[bold]Management[/]  {management_url}/api/v1/agents\n")
        # Unwrapped, so that it can be copied.
        self._console.print(_plain(curl), soft_wrap=True)
        self._console.print("\n[dim]Serving until Ctrl-C.[/]")

    def _progress(self, *columns: ProgressColumn) -> Progress:
        return Progress(
            TextColumn("{task.description}"),
            *columns,
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )


def _plain(text: str) -> str:
    """`text` without the meaning that rich's markup gives to brackets."""
    return text.replace("[", r"\[")
