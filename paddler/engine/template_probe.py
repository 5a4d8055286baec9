"""Tries a chat template in a process of its own.

llama.cpp's template engine recurses and loops as deep and as long as the
template says, and a stack overflow cannot be caught: a template that calls
itself for ever would take the whole agent down with it, and again after every
restart. So a template is compiled and rendered elsewhere first.

`python -m paddler.engine.template_probe` is that process: the source comes on
standard input, and how it ends is the answer.
"""

from __future__ import annotations

import resource
import signal
import subprocess
import sys

import trio

from paddler.engine.errors import BadTemplate

TIME_LIMIT_S = 10.0
CPU_LIMIT_S = 5
MEMORY_LIMIT_BYTES = 4 << 30
EXIT_OUT_OF_MEMORY = 3

_ENDINGS = {
    -signal.SIGSEGV: "recurses without end or is nested too deeply",
    -signal.SIGXCPU: "takes too long to render",
    -signal.SIGKILL: "takes too long to render",
    EXIT_OUT_OF_MEMORY: "needs too much memory to render",
}


async def probe_template(source: str) -> None:
    """Compiles `source` and renders two conversations, where nothing can be harmed.

    A template that merely does not compile, or refuses the conversations,
    passes: whoever opens it finds out. Takes a few tenths of a second.

    Raises:
        BadTemplate: the process crashed, or took more time or memory than
            any template needs.
    """
    with trio.move_on_after(TIME_LIMIT_S) as scope:
        done = await trio.run_process(
            [sys.executable, "-m", "paddler.engine.template_probe"],
            stdin=source.encode("utf-8", "surrogatepass"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode < 0 or done.returncode == EXIT_OUT_OF_MEMORY:
            reason = _ENDINGS.get(done.returncode, f"crashes (signal {-done.returncode})")
            raise BadTemplate(f"the chat template {reason}")
    if scope.cancelled_caught:
        raise BadTemplate("the chat template takes too long to render")


def _try(source: str) -> int:
    """The probing process: its exit status."""
    from paddler.engine.chat import ChatTemplates
    from paddler.engine.errors import EngineError, OutOfMemory
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
    for prompt in (
        ConversationPrompt(messages=[question]),
        ConversationPrompt(messages=answered, tools=[tool], enable_thinking=True),
    ):
        try:
            templates = ChatTemplates.open(None, source)
            if templates is not None:
                templates.render(prompt)
        except OutOfMemory:
            return EXIT_OUT_OF_MEMORY
        except EngineError:
            continue
    return 0


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT_S, CPU_LIMIT_S + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    sys.exit(_try(sys.stdin.buffer.read().decode("utf-8", "surrogatepass")))
