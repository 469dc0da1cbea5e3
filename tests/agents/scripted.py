"""A model that says what it was told to say, and tools that run in this thread."""

from __future__ import annotations

import threading

from xtune.generation.reply import Reply
from xtune.tools.base import ToolResult
from xtune.tools.spec import ToolSpec

NUMBER = {"type": "number", "description": "n"}
TEXT = {"type": "string", "description": "t"}


class Scripted:
    """Answers with the next text, or Reply, or raises the next exception; keeps what it was asked.

    Text is given to `on_text` word by word, as a model does.
    """

    name = "scripted"
    context = None

    def __init__(self, *replies, native=False):
        self.native = native
        self.asked = []
        self.tools = []
        self._replies = list(replies)

    @property
    def left(self):
        return len(self._replies)

    def count_tokens(self, messages, tools):
        return 0

    def takes_role(self, role):
        return True

    def answer(self, messages, tools, on_text, *, stop=()):
        self.asked.append([dict(message) for message in messages])
        self.tools.append(list(tools))
        reply = self._replies.pop(0)
        if isinstance(reply, BaseException) or (
            isinstance(reply, type) and issubclass(reply, BaseException)
        ):
            raise reply
        if isinstance(reply, Reply):
            return reply
        for word in reply.split(" "):
            on_text(word + " ")
        return Reply({"role": "assistant", "content": reply}, reply)


def native(content="", *calls, **more):
    """A reply with native calls, each a Call."""
    message = {"role": "assistant", "content": content}
    if calls:
        message["tool_calls"] = [call.as_message_part() for call in calls]
    return Reply(message, content, **more)


class Box:
    """`add(a, b)`, `shout(text)`, `fail()`, and functions of the test's own."""

    def __init__(self, **functions):
        functions = {"add": _add, "shout": _shout, "fail": _fail, **functions}
        self._functions = functions
        parameters = {
            "add": {"a": NUMBER, "b": NUMBER},
            "shout": {"text": TEXT},
        }
        self.specs = tuple(
            ToolSpec(
                name,
                f"Does {name}.",
                {
                    "type": "object",
                    "properties": parameters.get(name, {}),
                    "required": list(parameters.get(name, {})),
                },
            )
            for name in functions
        )
        self.called = []
        self.stopped = 0
        self._lock = threading.Lock()

    def schemas(self):
        return [spec.schema() for spec in self.specs]

    def call(self, name, arguments):
        with self._lock:
            self.called.append((name, dict(arguments)))
        if name not in self._functions:
            return ToolResult(False, f"there is no tool {name!r}")
        try:
            return ToolResult(True, str(self._functions[name](**arguments)))
        except Exception as error:
            return ToolResult(False, f"{type(error).__name__}: {error}")

    def stop(self):
        self.stopped += 1


def _add(a, b):
    return a + b


def _shout(text):
    return text.upper()


def _fail():
    raise ZeroDivisionError("by zero")


class Seen:
    """A watcher that keeps everything."""

    def __init__(self):
        self.written = ""
        self.steps = []

    def text(self, piece):
        self.written += piece

    def step(self, step):
        self.steps.append(step)


def trace(outcome):
    """The steps as (kind, tool, arguments, result), for exact comparison."""
    return [(s.kind, s.tool, dict(s.arguments), s.result) for s in outcome.steps]
