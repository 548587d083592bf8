"""``dates()`` and ``datetimes()`` go from period to period, and miss none."""

import datetime
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from django.db import models, transaction
from django.db.models import DateField, DateTimeField
from django.db.models.expressions import Col
from django.db.models.functions import Trunc, TruncMonth
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from backendkit.engine.native import Prepared
from backendkit.engine.periods import UnsureError
from backendkit.nonrel.periods import period_functions
from tests.effort import chance, effort
from tests.nonrel.databases import OURS, opened
from tests.nonrel.models import Registry
from tests.nonrel.test_dates import ZONES

ZONES = [*ZONES, "America/St_Johns", "America/Toronto", "Asia/Manila", "Africa/Cairo"]
KINDS = ["year", "quarter", "month", "week", "day", "hour", "minute", "second"]
#: When clocks were put back or forward, at midnight too; days that were left out or twice.
CHANGES = [
    *("2011-12-30 10:00", "2018-11-04 03:00", "2018-02-18 02:00", "1844-12-30 16:00"),
    *("2006-10-29 02:31", "2026-03-29 01:00", "2026-11-01 06:00", "1919-03-31 04:30"),
    *("2014-05-15 22:00", "2014-09-25 21:00", "1972-01-07 00:44", "2024-01-01 00:00"),
]
moments = st.builds(
    lambda at, seconds: (
        datetime.datetime.fromisoformat(at) + datetime.timedelta(seconds=seconds)
    ),
    st.sampled_from(CHANGES),
    st.integers(-40 * 86400, 40 * 86400) | st.integers(-8000, 8000),
)


class Event(models.Model):
    at = models.DateTimeField(null=True, db_index=True)
    day = models.DateField(db_index=True)
    late = models.DateTimeField()
    kind = models.IntegerField(db_index=True)

    class Meta:
        app_label = "periods"
        apps = Registry()


def truncated(kind, zone, output):
    field = Event._meta.get_field("at")
    column = Col("periods_event", field)
    return Trunc(column, kind, output_field=output(), tzinfo=ZoneInfo(zone))


@given(
    st.sampled_from(ZONES),
    st.sampled_from(KINDS),
    st.sampled_from([DateTimeField, DateField]),
    moments,
    st.data(),
)
def test_a_period_begins_once(zone, kind, output, value, data):
    if output is DateField and kind in KINDS[5:]:
        kind = "day"
    database = SimpleNamespace(timezone_name="UTC")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("backendkit.nonrel.periods.settings", SimpleNamespace(USE_TZ=1))
        patch.setattr(
            "django.db.models.functions.datetime.settings", SimpleNamespace(USE_TZ=1)
        )
        shown, begin = period_functions(truncated(kind, zone, output), database)
    try:
        first = begin(value)
    except UnsureError:
        return
    assert first <= value
    step = (value - first) / 50
    inner = [first + step * n for n in range(50)]
    inner.append(first + (value - first) * data.draw(st.floats(0, 1)))
    for one in inner:
        assert (shown(one), begin(one)) == (shown(value), first), one
    before = first - datetime.timedelta(microseconds=1)
    assert shown(before) < shown(value)


@pytest.mark.parametrize(
    ("zone", "kind", "text"),
    [
        ("America/St_Johns", "day", "2006-10-29 02:40"),
        ("America/New_York", "hour", "2026-11-01 05:30"),
        ("America/Juneau", "day", "1867-10-18 12:00"),
    ],
)
def test_where_a_period_begins_isnt_known_if_clocks_are_put_back_over_it(
    zone, kind, text, settings
):
    settings.USE_TZ = True
    _, begin = period_functions(
        truncated(kind, zone, DateTimeField), SimpleNamespace(timezone_name="UTC")
    )
    with pytest.raises(UnsureError):
        begin(datetime.datetime.fromisoformat(text))


def random_rows(draw, count):
    rows = []
    for _ in range(count):
        start = datetime.datetime.fromisoformat(draw.choice(CHANGES))
        at = start + datetime.timedelta(seconds=draw.randrange(-400_000, 400_000))
        at = at.replace(tzinfo=datetime.UTC)
        rows.append(
            Event(
                at=None if draw.random() < 0.1 else at,
                day=at.date(),
                late=at,
                kind=draw.randrange(3),
            )
        )
    return rows


def expected(rows, name, kind, zone, order, made):
    """What Python finds."""
    found = set()
    for row in rows:
        value = getattr(row, name)
        if value is None:
            continue
        if isinstance(value, datetime.datetime):
            value = value.astimezone(zone).replace(tzinfo=None, fold=0)
        else:
            value = datetime.datetime(value.year, value.month, value.day)
        found.add(beginning(value, kind))
    every = sorted(found, reverse=order == "DESC")
    if made == "dates":
        return [one.date() for one in every]
    return [one.replace(tzinfo=zone) for one in every]


def beginning(value, kind):
    midnight = value.replace(hour=0, minute=0, second=0, microsecond=0)
    if kind == "week":
        return midnight - datetime.timedelta(value.weekday())
    if kind == "day":
        return midnight
    if kind == "hour":
        return value.replace(minute=0, second=0, microsecond=0)
    return midnight.replace(day=1, month=value.month if kind == "month" else 1)


@pytest.mark.parametrize("engine", OURS)
def test_all_periods_of_rows_are_found(engine, tmp_path, settings, monkeypatch):
    settings.USE_TZ = True
    monkeypatch.setattr("backendkit.engine.periods._SEEK", 1)
    draw = chance("periods", engine)
    with opened(engine, tmp_path) as database:
        database.create(Event)
        rows = random_rows(draw, 150)
        Event.objects.bulk_create(rows)
        for _ in range(effort(test=60, check=200, soak=3000)):
            zone = ZoneInfo(draw.choice(ZONES))
            order = draw.choice(["ASC", "DESC"])
            kinds = ["year", "month", "week", "day", "hour"]
            made = draw.choice(["dates", "datetimes"])
            kind = draw.choice(kinds[:4] if made == "dates" else kinds)
            name = draw.choice(["at", "at", "late"])
            name = draw.choice([name, "day"]) if made == "dates" else name
            low, high = sorted(draw.sample([row.late for row in rows], 2))
            bounds = {f"{name}__gte": low, f"{name}__lt": high}
            if name == "day":
                bounds = {f"{name}__gte": low.date(), f"{name}__lt": high.date()}
            bounds = draw.choice([{}, bounds, {f"{name}__isnull": False}])
            bounds |= draw.choice([{}, {}, {"kind": 1}])
            part = draw.choice([slice(None), slice(1, 4)])
            with timezone.override(zone):
                found = getattr(Event.objects.filter(**bounds), made)(name, kind, order)
                kept = Event.objects.filter(**bounds)
                wanted = expected(kept, name, kind, zone, order, made)
                assert list(found[part]) == wanted[part], (name, kind, zone, bounds)
        with transaction.atomic():
            Event.objects.filter(kind=1).delete()
            more = random_rows(draw, 20)
            Event.objects.bulk_create(more)
            left = [row for row in rows if row.kind != 1] + more
            zone = ZoneInfo("Asia/Kolkata")
            with timezone.override(zone):
                found = Event.objects.datetimes("at", "day")
                wanted = expected(left, "at", "day", zone, "ASC", "datetimes")
                assert list(found) == wanted


def is_by_index(queryset):
    return "for the first row of each period" in queryset.explain()


def test_few_rows_are_read(tmp_path, settings, monkeypatch):
    """Where indexes are in order, which those of the memory store aren't."""
    settings.USE_TZ = True
    settings.TIME_ZONE = "UTC"
    with opened("lmdb", tmp_path) as database:
        database.create(Event)
        start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
        times = [start + datetime.timedelta(hours=n) for n in range(1000)]
        Event.objects.bulk_create(
            Event(at=at, day=at.date(), late=at, kind=n % 3)
            for n, at in enumerate(times)
        )
        runs = []
        run = Prepared.run

        def counted(self, *rest):
            runs.append(self)
            return run(self, *rest)

        months = Event.objects.datetimes("at", "month")
        assert is_by_index(months)
        assert is_by_index(Event.objects.dates("day", "week", "DESC"))
        assert is_by_index(
            Event.objects.annotate(m=TruncMonth("at"))
            .filter(at__isnull=False)
            .values_list("m")
            .distinct()
            .order_by("m")
        )
        monkeypatch.setattr(Prepared, "run", counted)
        assert [one.month for one in months] == [1, 2]
        # The query, the first row, and one behind each month.
        assert len(runs) == 4
        runs.clear()
        # So many periods that it is better to read the rows.
        assert len(Event.objects.datetimes("at", "hour")) == 1000
        assert len(runs) == 13  # 11 in vain, and the one that reads them


def test_what_no_index_finds_is_read(lmdb, settings):
    settings.USE_TZ = True
    settings.TIME_ZONE = "UTC"
    lmdb.create(Event)
    every = Event.objects
    others = [
        every.datetimes("late", "month"),  # no index, which is found as it runs
        every.filter(kind=1).datetimes("at", "month"),
    ]
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    every.bulk_create(
        Event(at=start, day=start, late=start, kind=n % 3) for n in range(300)
    )
    for one in others:
        assert list(one) == [start]
    distinct = every.annotate(m=TruncMonth("at")).values_list("m").distinct()
    for one in (
        distinct.order_by("m"),  # NULL is a period, too
        distinct.filter(at__isnull=False),
        every.annotate(m=TruncMonth("at")).values_list("m", "kind").distinct(),
    ):
        assert not is_by_index(one)
