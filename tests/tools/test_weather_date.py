"""`weather` against a local stand-in of Open-Meteo, and `date`."""

from __future__ import annotations

from datetime import date as Date
from datetime import timedelta

import pytest

from tests.tools.web_server import serving
from xtune.tools.base import ToolError
from xtune.tools.date import date
from xtune.tools.weather import Weather, _day


def open_meteo(asked):
    if asked.path == "/search":
        if asked.query["name"] != ["Bergen"]:
            return 200, {}, {}
        place = {"name": "Bergen", "country": "Norway", "latitude": 60.39, "longitude": 5.32}
        return 200, {}, {"results": [place]}
    daily = {
        "weather_code": [63],
        "temperature_2m_max": [9.5],
        "temperature_2m_min": [4.1],
        "precipitation_sum": [12.4],
    }
    return 200, {}, {"daily": daily}


def test_a_forecast_is_asked_for_by_place_and_day():
    with serving(open_meteo) as (url, asked):
        weather = Weather(geocoding_url=f"{url}/search", forecast_url=f"{url}/forecast")
        tomorrow = (Date.today() + timedelta(days=1)).isoformat()
        assert weather("Bergen", "tomorrow") == (
            f"Bergen, Norway, {tomorrow}: rain, 4.1 to 9.5 °C, 12.4 mm of precipitation"
        )
        assert asked[1].query["latitude"] == ["60.39"]
        assert asked[1].query["start_date"] == asked[1].query["end_date"] == [tomorrow]
        with pytest.raises(ToolError, match="no place is called 'Atlantis'"):
            weather("Atlantis")
        with pytest.raises(ToolError, match="is no day"):
            weather("Bergen", "some day")
    nowhere = {"results": [{"name": "x"}]}
    with (
        serving(lambda asked: (200, {}, nowhere)) as (url, _),
        pytest.raises(ToolError, match="without coordinates"),
    ):
        Weather(geocoding_url=url, forecast_url=url)("x")


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("today", Date(2026, 11, 26)),
        ("", Date(2026, 11, 26)),
        ("Tomorrow", Date(2026, 11, 27)),
        ("2026-12-01", Date(2026, 12, 1)),
        ("3 May", Date(2027, 5, 3)),
        ("3rd of May", Date(2027, 5, 3)),
        ("December 24", Date(2026, 12, 24)),
        ("29 feb", None),
        ("31 April", None),
    ],
)
def test_days_as_people_name_them(text, day):
    if day is None:
        with pytest.raises(ToolError):
            _day(text, Date(2026, 11, 26))
    else:
        assert _day(text, Date(2026, 11, 26)) == day


def test_date():
    assert date("2026-11-26").startswith("Thursday, 2026-11-26")
    assert date("2024-02-28", 2) == "Friday, 2024-03-01"
    assert date().split(", ")[1] in (
        Date.today().isoformat(),
        (Date.today() - timedelta(days=1)).isoformat(),
    )
    assert "UTC" in date(time_zone="UTC")
    for arguments in ({"day": "soon"}, {"add_days": 10**9}, {"time_zone": "../../etc/passwd"}):
        with pytest.raises(ToolError):
            date(**arguments)
