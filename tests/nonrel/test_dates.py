"""The range of moments that a date is translated to holds all that Django finds on it."""

import datetime
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from django.db import connection, models
from django.db.backends.sqlite3._functions import _sqlite_datetime_cast_date
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from backendkit.nonrel.dates import _AnyMomentError, _moments
from backendkit.stores import ValueType
from tests.nonrel.databases import OURS, opened
from tests.nonrel.models import Registry

#: With days of 23 and 25 hours, that weren't, of changes at midnight, far from UTC.
ZONES = [
    *("UTC", "Pacific/Apia", "Pacific/Kiritimati", "America/Adak", "America/Sao_Paulo"),
    *("America/New_York", "Asia/Kolkata", "Africa/Monrovia", "Australia/Lord_Howe"),
]
DATES = [
    *(datetime.date(2011, 12, day) for day in (28, 29, 30, 31)),
    *(datetime.date(2018, 11, day) for day in (3, 4, 5)),
    *(datetime.date(1972, 1, 7), datetime.date(2026, 3, 8), datetime.date(2026, 11, 1)),
    *(datetime.date(1879, 12, 31), datetime.date(1600, 2, 29)),
]
offsets = st.integers(-60 * 60 * 60, 84 * 60 * 60) | st.sampled_from(
    [hour * 3600 + more for hour in range(-40, 64) for more in (-1, 0, 1)]
)


@given(st.sampled_from(ZONES), st.sampled_from(ZONES), st.sampled_from(DATES), offsets)
def test_no_moment_of_a_date_is_left_out(here, stored, date, seconds):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("backendkit.nonrel.dates.settings", SimpleNamespace(USE_TZ=True))
        database = SimpleNamespace(timezone=ZoneInfo(stored))
        low, high = _moments(date, ZoneInfo(here), database)
    midnight = datetime.datetime(date.year, date.month, date.day)
    for microseconds in (-1, 0, 1):
        moment = midnight + datetime.timedelta(
            seconds=seconds, microseconds=microseconds
        )
        found = _sqlite_datetime_cast_date(str(moment), here, stored)
        if found == date.isoformat():
            assert low <= moment < high
    # Of a day, not of a week.
    assert high - low <= datetime.timedelta(hours=75)


def test_zones_whose_name_django_takes_for_an_offset(settings):
    settings.USE_TZ = True
    database = SimpleNamespace(timezone=ZoneInfo("UTC"))
    for name in ("Etc/GMT+12", "Etc/GMT-14"):
        with pytest.raises(_AnyMomentError):
            _moments(DATES[0], ZoneInfo(name), database)


class Event(models.Model):
    at = models.DateTimeField(null=True, db_index=True)

    class Meta:
        app_label = "dates"
        apps = Registry()


@pytest.mark.parametrize("engine", [*OURS, "sqlite3"])
def test_dates_of_rows(engine, tmp_path, settings):
    settings.USE_TZ = True
    start = datetime.datetime(2026, 3, 6, 1, tzinfo=datetime.UTC)
    hours = [start + datetime.timedelta(hours=n) for n in range(100)]
    with opened(engine, tmp_path) as database:
        database.create(Event)
        Event.objects.bulk_create([Event(at=None), *(Event(at=at) for at in hours)])
        for zone in ("America/New_York", "Asia/Kolkata"):
            with timezone.override(zone):
                local = [at.astimezone(ZoneInfo(zone)).date() for at in hours]
                for date in [*dict.fromkeys(local), datetime.date(9999, 12, 31)]:
                    for lookup, wanted in (
                        ("", [one == date for one in local]),
                        ("__gt", [one > date for one in local]),
                        ("__gte", [one >= date for one in local]),
                        ("__lt", [one < date for one in local]),
                        ("__lte", [one <= date for one in local]),
                    ):
                        found = Event.objects.filter(**{f"at__date{lookup}": date})
                        assert found.count() == sum(wanted), (lookup, date)
                    found = Event.objects.filter(at__date__range=(local[0], date))
                    assert found.count() == sum(one <= date for one in local)
                    assert Event.objects.exclude(at__date=date).count() >= 99 - 25


@pytest.mark.parametrize("engine", OURS)
def test_an_index_finds_them(engine, tmp_path):
    with opened(engine, tmp_path) as database:
        database.create(Event)
        calls = Event.objects.filter(at__date="2026-03-08").explain(analyze=True)
        assert "compiler's filters" in calls
        kind = connection.connection.catalog().tables["dates_event"].column("at").type
        assert kind is ValueType.DATETIME


@pytest.mark.parametrize("engine", [*OURS, "sqlite3"])
def test_bounds_that_are_expressions(engine, tmp_path):
    """They are no dates that an index could be asked for."""
    start = datetime.datetime(2026, 3, 6, 1)
    with opened(engine, tmp_path) as database:
        database.create(Event)
        Event.objects.bulk_create(
            Event(at=start + datetime.timedelta(days=n)) for n in range(5)
        )
        day = models.functions.TruncDate(models.F("at"))
        last = datetime.date(2026, 3, 8)
        for bounds, number in (((day, last), 3), ((day, day), 5), ((last, day), 3)):
            assert Event.objects.filter(at__date__range=bounds).count() == number
        assert Event.objects.filter(at__date=day).count() == 5
        assert Event.objects.filter(at__date__gt=models.Value(last)).count() == 2
        assert not Event.objects.filter(at__date__lt=day).exists()
