"""Tries a chat template in a process of its own.

llama.cpp's template engine recurses and loops as deep and as long as the
template says, and a stack overflow cannot be caught: a template that calls
itself for ever would take the whole agent down with it, and again after every
restart. So a template is compiled and rendered elsewhere first.

`python -m paddler.engine.template_probe` is that process: the source comes on
standard input, a `TemplateCheck` goes to standard output, and where there is
none, how the process ended is the answer.
"""

from __future__ import annotations

import resource
import signal
import subprocess
import sys

import msgspec
import trio

from paddler.messages.templates import TemplateCheck

TIME_LIMIT_S = 10.0
CPU_LIMIT_S = 5
MEMORY_LIMIT_BYTES = 4 << 30
EXIT_OUT_OF_MEMORY = 3
MAX_PREVIEW_CHARS = 4000
MAX_MESSAGE_CHARS = 2000

_ENDINGS = {
    -signal.SIGSEGV: "recurses without end or is nested too deeply",
    -signal.SIGXCPU: "takes too long to render",
    -signal.SIGKILL: "takes too long to render",
    EXIT_OUT_OF_MEMORY: "needs too much memory to render",
}


async def try_template(source: str) -> TemplateCheck:
    """Compiles `source` and renders two conversations, where nothing can be harmed.

    Its error is also what a crash or an excess of time or memory means; a
    template that merely refuses the conversations has none. Takes a few tenths
    of a second.
    """
    with trio.move_on_after(TIME_LIMIT_S):
        done = await trio.run_process(
            [sys.executable, "-m", "paddler.engine.template_probe"],
            stdin=source.encode("utf-8", "surrogatepass"),
            capture_stdout=True,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode == 0:
            return msgspec.json.decode(done.stdout, type=TemplateCheck)
        reason = _ENDINGS.get(done.returncode, f"crashes (exit status {done.returncode})")
        return TemplateCheck(error=f"the chat template {reason}")
    return TemplateCheck(error="the chat template takes too long to render")


def _try(source: str) -> TemplateCheck:
    """What the probing process does; raises `OutOfMemory`."""
    from paddler.engine.chat import ChatTemplates
    from paddler.engine.errors import BadTemplate, EngineError, OutOfMemory
    from paddler.engine.template_blocks import unmatched_block
    from paddler.messages.conversation import Message, ToolDefinition
    from paddler.messages.generation import ConversationPrompt

    question = Message(role="user", content="Hello")
    answered = [
        Message(role="system", content="Be brief."),
        question,
        Message(role="assistant", content="Hi."),
        question,
    ]
    tool = ToolDefinition(name="tool", description="A tool", parameters={"type": "object"})
    try:
        templates = ChatTemplates.open(None, source)
    except BadTemplate as error:
        hint = unmatched_block(source)
        return TemplateCheck(error=_message(error) if hint is None else f"{hint} ({error})")
    if templates is None:
        return TemplateCheck()
    try:
        # Many templates refuse a system message or tools, and may: what counts is
        # that doing so harms nobody.
        templates.render(ConversationPrompt(messages=answered, tools=[tool], enable_thinking=True))
    except OutOfMemory:
        raise
    except EngineError:
        pass
    try:
        rendered = templates.render(ConversationPrompt(messages=[question]))
    except OutOfMemory:
        raise
    except EngineError as error:
        return TemplateCheck(warning=_message(error))
    return TemplateCheck(preview=rendered.text[:MAX_PREVIEW_CHARS])


def _message(error: Exception) -> str:
    """What llama.cpp says, without the rule it draws above it."""
    return str(error).strip().removeprefix("------------").strip()[:MAX_MESSAGE_CHARS]


def _main() -> int:
    from paddler.engine.errors import OutOfMemory

    try:
        check = _try(sys.stdin.buffer.read().decode("utf-8", "surrogatepass"))
    except (OutOfMemory, MemoryError):
        return EXIT_OUT_OF_MEMORY
    sys.stdout.buffer.write(msgspec.json.encode(check))
    return 0


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT_S, CPU_LIMIT_S + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    sys.exit(_main())
