"""A transaction that writes by what it has read fails if that has changed since."""

import datetime

import pytest
from django.db import models

from backendkit.retry import is_conflict, retry
from tests.nonrel.databases import OtherThread, run
from tests.nonrel.models import Registry

pytest.importorskip("grpc", reason="needs the extra immudb")

#: See the fixture ``_lent``.
LENDS = True

registry = Registry()


class Team(models.Model):
    name = models.CharField(max_length=20, unique=True)

    class Meta:
        app_label = "serializable"
        apps = registry


class Doctor(models.Model):
    name = models.CharField(max_length=20, unique=True)
    on_call = models.BooleanField(default=True)
    level = models.IntegerField(db_index=True)
    wage = models.DecimalField(max_digits=8, decimal_places=2, default=1)
    since = models.DateTimeField(db_index=True, null=True)
    team = models.ForeignKey(Team, models.CASCADE, null=True)

    class Meta:
        app_label = "serializable"
        apps = registry


class Note(models.Model):
    text = models.TextField()

    class Meta:
        app_label = "serializable"
        apps = registry


@pytest.fixture
def doctors(database):
    database.create(Team, Doctor, Note)
    team = Team.objects.create(name="day")
    since = datetime.datetime(2020, 1, 1)
    Doctor.objects.bulk_create(
        [
            Doctor(name=f"d{n}", level=n, since=since, wage=n, team=team)
            for n in range(6)
        ]
    )


@pytest.fixture
def other():
    with OtherThread() as thread:
        yield thread


def new():
    """Make a row that all of the reads below would have seen."""
    Doctor.objects.create(
        name="new",
        level=100,
        since=datetime.datetime(2030, 1, 1),
        wage=100,
        team=Team.objects.get(),
    )


DOCTORS = Doctor.objects
READS = {
    "all": lambda: list(DOCTORS.all()),
    "none by primary key": lambda: DOCTORS.filter(pk__gt=6).exists(),
    "none by unique value": lambda: DOCTORS.filter(name="new").first(),
    "none of several": lambda: list(DOCTORS.filter(name__in=["new", "newer"])),
    "range of an index": lambda: list(DOCTORS.filter(level__gt=50)),
    "none by index": lambda: list(DOCTORS.filter(level=100)),
    "order and slice": lambda: list(DOCTORS.order_by("-level")[:1]),
    "range of times": lambda: list(DOCTORS.filter(since__year__gte=2029)),
    "count": DOCTORS.count,
    "count with filter": lambda: DOCTORS.filter(on_call=True).count(),
    "exists": lambda: DOCTORS.filter(wage=100).exists(),
    "sum": lambda: DOCTORS.aggregate(models.Sum("wage"), models.Max("level")),
    "pattern": lambda: list(DOCTORS.filter(name__icontains="NEW")),
    "join": lambda: list(Team.objects.filter(doctor__level=100)),
    "subquery": lambda: list(
        Team.objects.filter(pk__in=DOCTORS.filter(level__gt=50).values("team"))
    ),
    "related": lambda: list(Team.objects.get().doctor_set.all()),
    "raw SQL": lambda: run("SELECT max(level) FROM serializable_doctor"),
}


def test_a_row_that_appears_is_a_conflict(doctors, other):
    """Phantoms: what was read has no row that could have been changed."""
    from django.db import OperationalError, transaction

    for name, read in READS.items():
        with pytest.raises(OperationalError) as caught, transaction.atomic():
            read()
            other.do(new)
            Note.objects.create(text=name)
        assert is_conflict(caught.value), name
        DOCTORS.filter(name="new").delete()
    assert not Note.objects.exists()


def test_write_skew(doctors, other):
    """Two go home because the other one stays: one of them has to look again."""
    from django.db import OperationalError, transaction

    DOCTORS.filter(level__gt=1).update(on_call=False)

    def go_home(name):
        if DOCTORS.filter(on_call=True).count() > 1:
            DOCTORS.filter(name=name).update(on_call=False)

    with pytest.raises(OperationalError) as caught, transaction.atomic():
        go_home("d0")
        other.do(retry(go_home), "d1")
    assert is_conflict(caught.value)
    retry(go_home)("d0")
    assert [each.name for each in DOCTORS.filter(on_call=True)] == ["d0"]


def test_what_was_not_read_is_no_conflict(doctors, other):
    from django.db import transaction

    with transaction.atomic():
        DOCTORS.get(name="d1")
        other.do(lambda: DOCTORS.filter(name="d2").update(level=7))
        Note.objects.create(text="d1")
    assert Note.objects.count() == 1


@pytest.mark.parametrize("changes", [{"on_call": False}, {"level": 50}])
def test_changes_of_different_rows_are_no_conflict(doctors, other, changes):
    """Not even of processes that have taken no numbers of the table."""
    from django.db import connection, transaction

    shared = connection.connection.store.shared
    with transaction.atomic():
        shared.forget_numbers(Doctor._meta.db_table)
        DOCTORS.filter(pk=1).update(**changes)
        other.do(lambda: DOCTORS.filter(pk=2).update(**changes))
        shared.forget_numbers(Doctor._meta.db_table)
    assert DOCTORS.filter(**changes).count() == 2


def test_who_only_reads_is_never_in_conflict(doctors, other):
    from django.db import transaction

    with transaction.atomic():
        assert DOCTORS.count() == 6
        other.do(new)
        assert DOCTORS.count() == 6
    assert DOCTORS.count() == 7
