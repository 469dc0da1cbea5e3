"""The dialogues that every template renders in its golden file."""

from __future__ import annotations

from xtune.structures import Conversation

_WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def _call(city: str) -> dict:
    return {"type": "function", "function": {"name": "weather", "arguments": {"city": city}}}


DIALOGUES: dict[str, Conversation] = {
    "one turn": {
        "messages": [
            {"role": "user", "content": "What is 2 + 2?"},
            {"role": "assistant", "content": "Four."},
        ]
    },
    "system and three turns, the second of them not trained": {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What is 2 + 2?"},
            {"role": "assistant", "content": "Four."},
            {"role": "user", "content": "And 3?"},
            {"role": "assistant", "content": "Nine.", "loss": False},
            {"role": "user", "content": "No."},
            {"role": "assistant", "content": "Seven, then.\n\n  Sorry."},
        ]
    },
    "a system text in the middle": {
        "messages": [
            {"role": "user", "content": "Is it warm in Paris?"},
            {"role": "assistant", "content": "I look it up."},
            {"role": "system", "content": "19 degrees"},
            {"role": "assistant", "content": "It is."},
        ]
    },
    "an empty system text": {
        "messages": [
            {"role": "system", "content": ""},
            {"role": "user", "content": "What is 2 + 2?"},
            {"role": "assistant", "content": "Four."},
        ]
    },
    "tools": {
        "tools": [_WEATHER],
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Is it warmer in Paris or in Rome?"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [_call("Paris"), _call("Rome")],
            },
            {"role": "tool", "content": "11 degrees"},
            {"role": "tool", "content": "19 degrees"},
            {"role": "assistant", "content": "In Rome."},
        ],
    },
    "one call, its arguments as text": {
        "tools": [_WEATHER],
        "messages": [
            {"role": "user", "content": "Is it warm in Rome?"},
            {
                "role": "assistant",
                "content": "I look it up.",
                "tool_calls": [{"function": {"name": "weather", "arguments": '{"city": "Rome"}'}}],
            },
            {"role": "tool", "content": "19 degrees"},
            {"role": "assistant", "content": "It is."},
        ],
    },
    "reasoning": {
        "messages": [
            {"role": "user", "content": "What is 2 + 2?"},
            {
                "role": "assistant",
                "reasoning_content": "2 and 2.",
                "content": "Four.",
            },
            {"role": "user", "content": "And 3?"},
            {
                "role": "assistant",
                "reasoning_content": "4 and 3.",
                "content": "Seven.",
            },
        ]
    },
}
