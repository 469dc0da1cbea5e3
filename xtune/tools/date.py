"""`date`: what day and time it is, and a day before or after another."""

from __future__ import annotations

from datetime import date as Date
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from xtune.tools.base import ToolError, tool

__all__ = ["date"]


@tool
def date(day: str = "today", add_days: int = 0, time_zone: str | None = None) -> str:
    """Tell the date, day of the week and time; or the date so many days before or after one.

    Args:
        day: 'today' or a date such as '2026-11-26'.
        add_days: days to add; negative for days before.
        time_zone: such as 'Europe/Berlin'; left out, the computer's own.
    """
    try:
        zone = ZoneInfo(time_zone) if time_zone else None
    except (OSError, ValueError, KeyError) as error:
        raise ToolError(f"unknown time zone {time_zone!r}; write such as Europe/Berlin") from error
    now = datetime.now(zone) if zone else datetime.now().astimezone()
    try:
        wanted = now.date() if day.strip().lower() in ("today", "") else Date.fromisoformat(day)
        wanted += timedelta(days=add_days)
    except (ValueError, OverflowError) as error:
        raise ToolError(
            f"{day!r} + {add_days} days is no date: {error}; write 2026-11-26"
        ) from None
    said = f"{wanted:%A}, {wanted.isoformat()}"
    return f"{said}, {now:%H:%M %Z}" if wanted == now.date() else said
