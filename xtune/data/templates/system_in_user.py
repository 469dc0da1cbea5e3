"""For formats without a place for system texts: each goes to the head of the user message after it.

    system     Be brief.
    user       2 + 2?           user       2 + 2?   system: Be brief.
    assistant  Four.            assistant  Four.
    system     11 degrees       user                system: 11 degrees
    assistant  It is cold.      assistant  It is cold.

Where no user message follows, an empty one is made for it; several in a row are joined. Nothing is
lost and nothing is said by the wrong speaker.
"""

from __future__ import annotations

__all__ = ["SYSTEM_IN_USER"]

# Jinja that leaves the dialogue in `turns.all`: user messages have `system`, which may be ''.
SYSTEM_IN_USER = """\
{%- set turns = namespace(all=[], system='') -%}
{%- for message in messages -%}
{%- if message.role == 'system' -%}
{%- set turns.system = turns.system + ('\\n\\n' if turns.system else '') + message.content -%}
{%- else -%}
{%- if turns.system and message.role != 'user' -%}
{%- set turns.all = turns.all + [{'role': 'user', 'content': '', 'system': turns.system}] -%}
{%- set turns.system = '' -%}
{%- endif -%}
{%- if message.role == 'user' -%}
{%- set turn = {'role': 'user', 'content': message.content, 'system': turns.system} -%}
{%- set turns.all = turns.all + [turn] -%}
{%- set turns.system = '' -%}
{%- else -%}
{%- set turns.all = turns.all + [message] -%}
{%- endif -%}
{%- endif -%}
{%- endfor -%}
{%- if turns.system -%}
{%- set turns.all = turns.all + [{'role': 'user', 'content': '', 'system': turns.system}] -%}
{%- endif -%}
"""
