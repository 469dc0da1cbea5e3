"""`weather`: the forecast for a place by its name, from Open-Meteo, which needs no key."""

from __future__ import annotations

import re
from datetime import date as Date
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from xtune.tools.base import ToolError, tool
from xtune.tools.web import get_json

__all__ = ["Weather"]

_MONTHS = "january february march april may june july august september october november december"
_DAILY = ("weather_code", "temperature_2m_max", "temperature_2m_min", "precipitation_sum")
# WMO code 4677, as Open-Meteo uses it
_SKIES = {
    0: "clear sky",
    1: "mainly clear",
    2: "partly cloudy",
    3: "overcast",
    45: "fog",
    48: "fog with rime",
    51: "light drizzle",
    53: "drizzle",
    55: "dense drizzle",
    56: "light freezing drizzle",
    57: "freezing drizzle",
    61: "light rain",
    63: "rain",
    65: "heavy rain",
    66: "light freezing rain",
    67: "freezing rain",
    71: "light snow",
    73: "snow",
    75: "heavy snow",
    77: "snow grains",
    80: "light showers",
    81: "showers",
    82: "violent showers",
    85: "light snow showers",
    86: "snow showers",
    95: "thunderstorm",
    96: "thunderstorm with hail",
    99: "thunderstorm with heavy hail",
}


@tool(name="weather", seconds=35)
class Weather:
    """Open-Meteo's two services.

    Args:
        geocoding_url: finds a place by its name.
        forecast_url: gives the forecast of a place.
    """

    def __init__(
        self,
        *,
        geocoding_url: str = "https://geocoding-api.open-meteo.com/v1/search",
        forecast_url: str = "https://api.open-meteo.com/v1/forecast",
    ) -> None:
        self._geocoding_url = geocoding_url
        self._forecast_url = forecast_url

    def __call__(self, city: str, date: str = "today") -> str:
        """Tell the weather at a place on a day.

        Args:
            city: its name, such as Bergen.
            date: today, tomorrow, or a day within two weeks, such as 2026-11-28 or 28 November.
        """
        asked = urlencode({"name": city, "count": 1, "format": "json"})
        places = _rows(get_json(f"{self._geocoding_url}?{asked}").get("results"))
        if not places:
            raise ToolError(f"no place is called {city!r}")
        place = places[0]
        try:
            where = {"latitude": float(place["latitude"]), "longitude": float(place["longitude"])}
        except (KeyError, TypeError, ValueError):
            raise ToolError("the geocoding service answered without coordinates") from None
        day = _day(date, Date.today())
        days = {"start_date": day.isoformat(), "end_date": day.isoformat()}
        asked = urlencode({**where, **days, "daily": ",".join(_DAILY), "timezone": "auto"})
        daily = get_json(f"{self._forecast_url}?{asked}").get("daily")
        try:
            code, most, least, rain = (daily[name][0] for name in _DAILY)
        except (KeyError, TypeError, IndexError):
            raise ToolError(f"there is no forecast for {day.isoformat()}") from None
        named = ", ".join(str(place[key]) for key in ("name", "country") if place.get(key))
        sky = _SKIES.get(code, f"weather code {code}")
        return (
            f"{named}, {day.isoformat()}: {sky}, {least} to {most} °C, {rain} mm of precipitation"
        )


def _rows(found: Any) -> list[dict[str, Any]]:
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def _day(text: str, today: Date) -> Date:
    """Return the day that a text names, the next one of that name.

    >>> _day("28 Nov", Date(2026, 12, 1))
    datetime.date(2027, 11, 28)
    >>> _day("tomorrow", Date(2026, 12, 31))
    datetime.date(2027, 1, 1)
    """
    said = text.strip().lower()
    for name, days in {"": 0, "today": 0, "tomorrow": 1, "the day after tomorrow": 2}.items():
        if said == name:
            return today + timedelta(days=days)
    try:
        return Date.fromisoformat(said)
    except ValueError:
        pass
    found = re.fullmatch(
        r"(\d{1,2})(?:st|nd|rd|th)?\.? (?:of )?([a-z]{3,9})|([a-z]{3,9}) (\d{1,2})", said
    )
    if found:
        number, name = int(found[1] or found[4]), found[2] or found[3]
        months = [at for at, month in enumerate(_MONTHS.split(), 1) if month.startswith(name)]
        for year in (today.year, today.year + 1):
            try:
                day = Date(year, months[0], number)
            except (ValueError, IndexError):
                continue
            if day >= today:
                return day
    raise ToolError(f"{text!r} is no day; write today, tomorrow, or a date such as 2026-11-28")
