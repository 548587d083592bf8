"""Frozen clocks, clocks that go back, and values of subclasses."""

import datetime
import decimal
import enum
import threading
import time
import uuid

import pytest
import time_machine
from django.db import OperationalError, connection, models, transaction
from django.test import override_settings
from django.utils import timezone
from django.utils.safestring import mark_safe
from freezegun import freeze_time

from backendkit import clock
from backendkit.clock import real
from backendkit.stores import OperationalError as Locked
from backendkit.stores import WriterLock

from .databases import OtherThread, run
from .models import registry

#: The class as no test's clock has it.
PAST = real.datetime(2020, 2, 2, 3, 4, 5, 6, tzinfo=datetime.UTC)


class Happening(models.Model):
    """A column of each type that has a subclass somewhere."""

    made = models.DateTimeField(auto_now=True)
    at = models.DateTimeField(null=True, db_index=True)
    day = models.DateField(null=True, unique=True)
    clock = models.TimeField(null=True)
    text = models.CharField(max_length=20, null=True, db_index=True)
    number = models.IntegerField(null=True, db_index=True)
    price = models.DecimalField(max_digits=8, decimal_places=2, null=True)
    token = models.UUIDField(null=True)
    ratio = models.FloatField(null=True)
    raw = models.BinaryField(null=True)
    lasting = models.DurationField(null=True)

    class Meta:
        app_label = "nonrel"
        apps = registry


FREEZERS = [freeze_time, lambda moment: time_machine.travel(moment, tick=False)]


@pytest.fixture(params=FREEZERS, ids=["freezegun", "time-machine"])
def frozen(request):
    """The wall clock stands still."""
    with request.param(PAST):
        yield


def test_dates_and_times(database, frozen):
    """They are written, found and read, and what is read is no fake."""
    with override_settings(USE_TZ=True, TIME_ZONE="UTC"):
        database.create(Happening)
        now = timezone.now()
        values = {"at": now, "day": now.date(), "clock": now.time()}
        one = Happening.objects.create(**values)
        Happening.objects.bulk_create([Happening(at=now) for _ in range(5)])
        Happening.objects.filter(pk=one.pk).update(**values)
        for name, value in values.items():
            assert Happening.objects.filter(**{name: value}).exists()
            assert Happening.objects.filter(**{f"{name}__lte": value}).count()
            assert Happening.objects.filter(**{f"{name}__in": [value]}).count()
        assert Happening.objects.filter(at__date=now.date()).count() == 6
        found = Happening.objects.order_by("at", "pk")[0]
        assert run("SELECT count(*) FROM nonrel_happening WHERE at = %s", [now])
        assert found.made == found.at == now
    if not database.is_oracle:
        assert type(found.at) is real.datetime
        assert type(found.day) is real.date
        assert type(found.clock) is datetime.time


def test_what_was_written_frozen_is_plain_afterwards(ours):
    with override_settings(USE_TZ=True, TIME_ZONE="UTC"):
        with freeze_time(PAST):
            ours.create(Happening)
            Happening.objects.create(at=timezone.now(), day=datetime.date.today())
        found = Happening.objects.get(day=datetime.date(2020, 2, 2))
    assert (type(found.at), type(found.day)) == (real.datetime, real.date)
    assert found.at == PAST


def test_schema_changes(database, frozen):
    """A table is made, changed and filled while time stands still."""
    database.create(Happening)
    Happening.objects.create(text="a")
    field = models.DateTimeField(default=timezone.now)
    field.set_attributes_from_name("later")
    with connection.schema_editor() as editor:
        editor.add_field(Happening, field)
    assert run("SELECT count(later) FROM nonrel_happening") == [(1,)]


def test_a_wait_ends(ours, frozen):
    """Who waits for the right to write waits as long as it takes, and no longer."""
    ours.set_options(timeout=0.2)
    ours.create(Happening)
    began = clock.monotonic()
    with OtherThread() as other, transaction.atomic():
        Happening.objects.create(text="mine")
        if ours.engine == "buffered":
            return  # nobody waits
        with pytest.raises(OperationalError, match="lock"):
            other.do(lambda: Happening.objects.create(text="theirs"))
    assert 0.2 <= clock.monotonic() - began < 30


def test_a_clock_that_goes_back(ours):
    """Nothing depends on it: not a wait, not a row."""
    ours.set_options(timeout=0.2)
    ours.create(Happening)
    for year in (2030, 1971, 2026):
        with time_machine.travel(real.datetime(year, 1, 1, tzinfo=datetime.UTC)):
            Happening.objects.create(number=year)
            if ours.engine == "buffered":
                continue
            with OtherThread() as other, transaction.atomic():
                Happening.objects.create(text="mine")
                with pytest.raises(OperationalError, match="lock"):
                    other.do(lambda: Happening.objects.create(text="theirs"))
    found = Happening.objects.exclude(number=None).order_by("pk")
    assert [one.number for one in found] == [2030, 1971, 2026]


def test_the_monotonic_clock_runs():
    """Frozen or not; locks wait by it too."""
    lock = WriterLock(timeout=0.05)
    lock.acquire(object())
    for freeze in FREEZERS:
        with freeze(PAST):
            before = clock.monotonic()
            with pytest.raises(Locked):
                lock.acquire(object())
            assert 0.04 < clock.monotonic() - before < 30
    with freeze_time(PAST):
        assert time.monotonic() == time.monotonic()  # else this tests nothing


def test_imported_while_frozen():
    """The classes are the standard library's, even if it was frozen at that time."""
    with freeze_time(PAST):
        assert datetime.datetime is not real.datetime
        assert clock._built_in(datetime.datetime) is real.datetime
        assert clock._built_in(datetime.date) is real.date


class Moment(datetime.datetime):
    """As pandas' Timestamp is one."""


class Text(str):
    __slots__ = ()

    def __str__(self):
        return self


KINDS = {
    "at": Moment(2020, 1, 1),
    "day": type("Day", (datetime.date,), {})(2020, 1, 1),
    "clock": type("Clock", (datetime.time,), {})(1, 2),
    "text": Text("a"),
    "number": enum.IntEnum("Number", {"one": 1}).one,
    "price": type("Price", (decimal.Decimal,), {})("1.50"),
    "token": type("Token", (uuid.UUID,), {})(int=5),
    "ratio": type("Ratio", (float,), {})(1.5),
    "raw": type("Raw", (bytes,), {})(b"x"),
    "lasting": type("Lasting", (datetime.timedelta,), {})(seconds=3),
}
MORE = [
    ("text", mark_safe("a")),  # that's the class
    ("text", enum.StrEnum("Word", {"a": "a"}).a),
    ("number", True),
]


@pytest.mark.parametrize(("name", "value"), [*KINDS.items(), *MORE])
def test_subclasses(ours, name, value):
    """What comes back is a plain value, however it was written and is found."""
    ours.create(Happening)
    made = Happening.objects.create(**{name: value})
    Happening.objects.bulk_create(
        Happening(**{name: value}) for _ in range(5 * (name != "day"))
    )
    Happening.objects.filter(pk=made.pk).update(**{name: value})
    rows = Happening.objects.filter(**{name: value})
    assert rows.count() == (1 if name == "day" else 6)
    plain = {"text": str, "number": int}.get(name)
    for native in (True, False):
        connection.native = native
        for found in rows.values_list(name, flat=True):
            wanted = plain or next(
                base for base in type(value).__mro__[1:] if base is not object
            )
            assert type(found) is (bytes if name == "raw" else wanted)
            assert found == value
        (stored,) = rows.values_list(name)[0]
        assert type(stored) is type(found)
    connection.native = True


def test_threads_wait_while_time_is_frozen():
    """A lock that is released in time is taken, though no clock moves."""
    lock = WriterLock(timeout=30)
    owner, started = object(), threading.Event()
    lock.acquire(owner)

    def release():
        started.wait(10)
        lock.release(owner)

    thread = threading.Thread(target=release)
    thread.start()
    with freeze_time(PAST):
        started.set()
        lock.acquire(other := object())
    lock.release(other)
    thread.join()
