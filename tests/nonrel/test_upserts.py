"""``bulk_create()`` over rows that are there already, with defaults of the database."""

import datetime

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, models
from django.db.models import F, Value
from django.db.models.functions import Coalesce, Lower, Now
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.effort import effort

from .databases import OURS, opened
from .models import registry


class Job(models.Model):
    """Defaults of each kind: constants, expressions, NULL, and part of a key."""

    key = models.IntegerField(unique=True)
    part = models.IntegerField(db_default=7)
    state = models.CharField(max_length=9, db_default="new")
    note = models.CharField(max_length=9, null=True, db_default=Lower(Value("ABC")))
    tries = models.IntegerField(db_default=Value(2) + Value(3))
    price = models.DecimalField(max_digits=6, decimal_places=2, db_default=1)
    size = models.IntegerField(null=True, db_default=Coalesce(Value(None), Value(4)))
    doubled = models.GeneratedField(
        expression=F("tries") * 2, output_field=models.IntegerField(), db_persist=True
    )

    class Meta:
        app_label = "nonrel"
        apps = registry
        constraints = (models.UniqueConstraint(fields=["part", "state"], name="both"),)


class Moment(models.Model):
    """A default that is another one each time."""

    key = models.IntegerField(unique=True)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        app_label = "nonrel"
        apps = registry


VALUES = {
    "part": st.integers(1, 9),
    "state": st.sampled_from(["new", "old", "done"]),
    "note": st.sampled_from([None, "x", Lower(Value("Y"))]),
    "tries": st.integers(0, 3),
    "price": st.sampled_from(["2.50", "0.00"]),
    "size": st.sampled_from([None, 1]),
}


@st.composite
def jobs(draw):
    """Values of a job, most of them left to the database."""
    names = draw(st.lists(st.sampled_from(sorted(VALUES)), unique=True, max_size=3))
    key = draw(st.integers(1, 4))
    return {"key": key, **{name: draw(VALUES[name]) for name in sorted(names)}}


#: Rows that are there, rows to insert, and what is to be done about conflicts.
PROGRAMS = st.tuples(
    st.lists(jobs(), max_size=4),
    st.lists(jobs(), min_size=1, max_size=5),
    st.one_of(
        st.just({"ignore_conflicts": True}),
        st.fixed_dictionaries(
            {
                "update_conflicts": st.just(True),
                "unique_fields": st.sampled_from([["key"], ["part", "state"]]),
                "update_fields": st.lists(
                    st.sampled_from(sorted(VALUES)), min_size=1, unique=True
                ),
            }
        ),
    ),
    st.sampled_from([None, 1, 2]),
    st.booleans(),
)


def outcome(program):
    """What comes of a program, or the exception's class, and the rows then."""
    before, after, options, size, asynchronous = program
    Job.objects.all().delete()
    Job.objects.bulk_create((Job(**one) for one in before), ignore_conflicts=True)
    objects = [Job(**one) for one in after]
    try:
        if asynchronous:
            made = async_to_sync(_created)(objects, size, options)
        else:
            made = Job.objects.bulk_create(objects, batch_size=size, **options)
        answer = len(made)
    except Exception as error:  # noqa: BLE001  # any is an answer
        answer = type(error)
    names = [field.name for field in Job._meta.fields if field.name != "id"]
    return answer, list(Job.objects.order_by("key").values_list(*names))


async def _created(objects, size, options):
    return await Job.objects.abulk_create(objects, batch_size=size, **options)


@pytest.mark.parametrize("engine", OURS)
def test_as_on_sqlite(tmp_path, engine):
    """What isn't given is the default for a row that is there, too."""
    programs = []

    @settings(
        max_examples=effort(test=20, check=100, soak=3000),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(PROGRAMS)
    def collect(program):
        programs.append(program)

    collect()
    with opened("sqlite3", tmp_path) as database:
        database.create(Job)
        wanted = [outcome(program) for program in programs]
    assert any(isinstance(answer, type) for answer, _ in wanted)
    for native in (True, False):
        with opened(engine, tmp_path, native=native) as database:
            database.create(Job)
            for program, expected in zip(programs, wanted, strict=True):
                assert outcome(program) == expected, program
            Job.objects.all().delete()
            with connection.schema_editor() as editor:
                editor.delete_model(Job)


def test_now(database):
    """The default is computed anew."""
    database.create(Moment)
    old = datetime.datetime(2001, 1, 1)  # USE_TZ is off
    Moment.objects.create(key=1, at=old)
    Moment.objects.bulk_create(
        [Moment(key=1), Moment(key=2)],
        update_conflicts=True,
        unique_fields=["key"],
        update_fields=["at"],
    )
    first, second = Moment.objects.order_by("key")
    assert first.at > old
    assert abs(first.at - second.at) < datetime.timedelta(hours=1)
    Moment.objects.filter(key=1).update(at=old)
    again, created = Moment.objects.update_or_create(key=1, defaults={"at": Now()})
    again.refresh_from_db()
    assert not created
    assert again.at > old


def test_a_new_instance_of_a_row_that_is_there(database):
    """``save()`` of one that isn't known to be there: UPDATE, with the defaults."""
    database.create(Job)
    pk = Job.objects.create(key=1, tries=9, note="x").pk
    again = Job(pk=pk, key=1)
    again.save(force_update=True)
    again.refresh_from_db()
    assert (again.tries, again.note, again.size, again.doubled) == (5, "abc", 4, 10)
