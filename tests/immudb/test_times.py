"""
Orders and ranges of times go by an index, and are those of SQLite.

The keys of an index count nanoseconds in 64 bits: far times, before 1677 and after 2262,
are in the wrong place there. The catalog notes the first one of a column.
"""

import datetime
import json
from dataclasses import replace

import pytest
from django.db import connection, connections, models, transaction
from django.db.models import Max, Min

from backendkit import clock
from backendkit.backends.immudb import base, surveying
from backendkit.backends.immudb.catalog import TABLES, Stored
from backendkit.backends.immudb.shared import Shared
from backendkit.backends.immudb.store import ImmudbStore
from backendkit.backends.immudb.surveying import survey
from backendkit.backends.immudb.times import FIRST, LAST, is_far
from backendkit.stores import (
    Column,
    ConflictError,
    DatabaseError,
    FilterShape,
    Index,
    Table,
    ValueType,
)
from tests.effort import chance, examples
from tests.nonrel.databases import complete
from tests.nonrel.models import Registry

pytest.importorskip("grpc", reason="needs the extra immudb")

ORACLE = "times_oracle"
MICROSECOND = datetime.timedelta(microseconds=1)
#: A round asks so many things of a table.
QUESTIONS = examples(test=12, check=60, soak=500)


class Moment(models.Model):
    at = models.DateTimeField(null=True, db_index=True)
    other = models.DateTimeField(null=True)
    group = models.IntegerField()

    class Meta:
        app_label = "times"
        apps = Registry()
        indexes = (models.Index(fields=["group", "at"], name="times_group_at"),)


@pytest.fixture
def oracle(database):
    """SQLite under an alias of its own, with the same table."""
    connections.databases[ORACLE] = complete(
        {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    )
    database.create(Moment)
    with connections[ORACLE].schema_editor() as editor:
        editor.create_model(Moment)
    yield
    connections[ORACLE].close()
    del connections[ORACLE]
    del connections.databases[ORACLE]


@pytest.fixture(params=[None, "UTC", "America/New_York", "Pacific/Apia"])
def zone(request, settings):
    """The current time zone, with days of 23 and 25 hours, and one that wasn't."""
    settings.USE_TZ = request.param is not None
    settings.TIME_ZONE = request.param or "UTC"
    return request.param


NEAR = [
    *(
        datetime.datetime(2011, 12, day, hour)
        for day in (29, 30, 31)
        for hour in (9, 10)
    ),
    *(datetime.datetime(2026, 3, 8, hour, 59, 59, 999999) for hour in range(4, 9)),
    *(datetime.datetime(2026, 11, 1, hour) for hour in range(4, 9)),
    *(datetime.datetime(2026, 1, 1) + n * MICROSECOND for n in (-1, 0, 1)),
    *(FIRST, FIRST + MICROSECOND, LAST - MICROSECOND, LAST),
    *(
        datetime.datetime(1969, 12, 31, 23, 59, 59, 999999),
        datetime.datetime(1970, 1, 1),
    ),
]
FAR = [
    *(FIRST - MICROSECOND, LAST + MICROSECOND),
    *(
        datetime.datetime(year, 1, 2)
        for year in (2, 1093, 1500, 2300, 2554, 2846, 9998)
    ),
]


def aware(value):
    from django.conf import settings

    return value.replace(tzinfo=datetime.UTC) if settings.USE_TZ and value else value


class Question:
    """A query: a function of a manager, whose answer doesn't depend on ties."""

    def __init__(self, draw, times):
        self.steps = []
        some = [aware(value) for value in times]
        for _ in range(draw.randrange(4)):
            column = draw.choice(["at", "at", "at", "other"])
            one = draw.choice(some)
            name, value = draw.choice(
                [
                    *(
                        (f"{column}__{name}", one)
                        for name in ("gt", "gte", "lt", "lte")
                    ),
                    (f"{column}__range", sorted([one, draw.choice(some)])),
                    (column, one),
                    (f"{column}__in", draw.sample(some, 2)),
                    (f"{column}__isnull", draw.random() < 0.3),
                    (f"{column}__date", one.date()),
                    (f"{column}__date__gte", one.date()),
                    (f"{column}__date__lt", one.date()),
                    (f"{column}__year", min(max(one.year, 2), 9998)),
                    (f"{column}__year__gte", min(max(one.year, 2), 9998)),
                    ("group", draw.randrange(3)),
                ]
            )
            method = "exclude" if draw.random() < 0.15 else "filter"
            self.steps.append((method, (), {name: value}))
        order = draw.choice([["at"], ["-at"], ["at", "pk"], ["-at", "-pk"], ["other"]])
        order = draw.choice([order, ["group", *order], ["pk"], ["-at", "pk"]])
        self.steps.append(("order_by", order, {}))
        self.names = [name.lstrip("-") for name in order]
        low = draw.choice([0, 0, 3, 10])
        self.slice = draw.choice([slice(None), slice(low, low + draw.choice([1, 7]))])
        self.what = draw.choice(
            ["rows", "rows", "rows", "count", "ends", "latest", "periods"]
        )
        self.kind = draw.choice(["year", "month", "week", "day"])
        self.direction = draw.choice(["ASC", "DESC"])

    def ask(self, alias):
        found = Moment.objects.using(alias)
        for method, arguments, options in self.steps:
            found = getattr(found, method)(*arguments, **options)
        if self.what == "count":
            return found.count(), found.exists()
        if self.what == "ends":
            return found.aggregate(Min("at")), found.aggregate(a=Max("at"), b=Min("at"))
        if self.what == "latest":
            return [getattr(found.order_by("-at").first(), "at", None)]
        if self.what == "periods":
            return list(found.datetimes("at", self.kind, self.direction))
        return list(found.values_list(*self.names)[self.slice])

    def __repr__(self):
        return f"{self.what} of {self.steps} {self.slice}"


def write(rows):
    """Write the same rows to both."""
    made = [
        Moment(at=aware(at), other=aware(other), group=group)
        for at, other, group in rows
    ]
    Moment.objects.bulk_create(made)
    Moment.objects.using(ORACLE).bulk_create(made)


def check(draw, times):
    for _ in range(QUESTIONS):
        question = Question(draw, times)
        assert question.ask("default") == question.ask(ORACLE), question


def noted():
    """Return the columns that the catalog notes."""
    store = connection.connection.store
    with store.other() as reader:
        (row,) = reader.query(
            f"SELECT definition FROM {TABLES} WHERE name = 'times_moment'"
        ).rows
    return Stored.from_json(row[0]).far_times


@pytest.fixture
def large(monkeypatch):
    """Let every table be taken for one that an index is worth it for."""
    monkeypatch.setattr(Shared, "size", lambda *_: 10**6)
    # And be read in the transaction all the same.
    monkeypatch.setattr("backendkit.backends.immudb.reading._ASIDE", 10**9)


def test_answers_are_those_of_sqlite(oracle, zone, large):
    draw = chance("times", zone)

    def rows(times, number=30):
        some = [*times, None]
        return [
            (draw.choice(some), draw.choice(some), draw.randrange(3))
            for _ in range(number)
        ]

    write(rows(NEAR))
    check(draw, NEAR)
    check(draw, NEAR + FAR)
    assert noted() == set()
    # A far time that is rolled back was never there.
    with transaction.atomic(), transaction.atomic(ORACLE):
        write(rows(NEAR + FAR))
        check(draw, NEAR + FAR)
        transaction.set_rollback(True)
        transaction.set_rollback(True, ORACLE)
    check(draw, NEAR + FAR)
    assert noted() == set()
    with transaction.atomic(), transaction.atomic(ORACLE):
        write([(draw.choice(NEAR), far, 1) for far in FAR[:3]])
        write(rows(NEAR, 3))
        check(draw, NEAR + FAR)
    assert noted() == {"other"}
    check(draw, NEAR + FAR)
    write(rows(NEAR + FAR))
    assert noted() == {"at", "other"}
    check(draw, NEAR)
    check(draw, NEAR + FAR)
    for alias in ("default", ORACLE):
        # What was noted stays so.
        found = Moment.objects.using(alias)
        found.filter(at__lt=aware(FIRST)).delete()
        found.filter(at__gt=aware(LAST)).update(at=aware(LAST))
    check(draw, NEAR + FAR)


def test_the_first_and_the_last_that_an_index_has_in_their_places(connection):
    """One microsecond on either side of them is at the other end."""
    connection.run("CREATE TABLE t (id INTEGER, at TIMESTAMP, PRIMARY KEY (id))")
    connection.run("CREATE INDEX ON t(at)")
    times = [FIRST - MICROSECOND, FIRST, LAST, LAST + MICROSECOND]
    for number, time in enumerate(times):
        connection.run("INSERT INTO t (id, at) VALUES (?, ?)", (number, time))
    rows = connection.query("SELECT at FROM t USE INDEX ON (at) ORDER BY at").rows
    found = [at for (at,) in rows]
    assert found.index(FIRST) < found.index(LAST)
    assert found != times
    assert [is_far(time) for time in times] == [True, False, False, True]


# What the catalog notes

ID = Column("id", ValueType.INTEGER, nullable=False)
AT = Column("at", ValueType.DATETIME)
EVENTS = Table("events", (ID, AT), ("id",), (Index("events_at", ("at",)),))
NOW = datetime.datetime(2026, 1, 1)
AGO = datetime.datetime(1500, 1, 1)


def insert(store, *rows, table=EVENTS):
    session = store.session()
    session.begin(write=True)
    if table.name not in session.catalog().tables:
        session.create_table(table)
    session.insert(table, rows)
    session.commit()
    session.close()


def first(session, number=2):
    """Return the keys of the first rows in the order of time."""
    ordering = [("at", False)]
    access = session.access(EVENTS, [], ordering, few=True)
    assert access.ordered
    assert access.index == ("" if session.far_times(EVENTS) else "events_at")
    query = session.query(EVENTS, ["id"], access)
    query.order_by(ordering)
    return [key for (key,) in query.fetch(0, number)]


def later(session):
    """Return how many rows are of a time, or later."""
    access = session.access(EVENTS, [FilterShape("at", "lt")])
    assert access.index == ("" if session.far_times(EVENTS) else "events_at")
    query = session.query(EVENTS, ["id"], access)
    query.add_filter("at", "lt", False, ValueType.DATETIME, NOW)
    assert query.count() == sum(1 for _ in query.fetch())
    return query.count()


@pytest.fixture
def elsewhere(arguments, store, large):
    """A store as another process has it, which knows nothing of this one's catalog."""
    insert(store, *((n, NOW + datetime.timedelta(days=n)) for n in range(1, 30)))
    other = ImmudbStore(arguments)
    other.shared = Shared()
    yield other
    other.close()


def hold_catalog(store):
    """Let the store trust its catalog, however old it is."""
    session = store.reader()
    session.begin(write=False)
    assert first(session) == [1, 2]
    session.close()
    store.shared._checked = clock.monotonic() + 10**6


@pytest.mark.parametrize("alone", [True, False])
def test_another_process_commits_the_first_far_time(store, elsewhere, alone):
    hold_catalog(store)
    insert(elsewhere, (50, AGO))
    for _ in range(2):  # and once with what it has learned
        session = store.reader()
        session.begin(write=False)
        session.alone = alone
        assert first(session) == [50, 1]
        assert later(session) == 1
        session.close()


def test_it_is_committed_after_a_transaction_began(store, elsewhere):
    """The transaction sees the row or not, by whichever way it reads; or conflicts."""
    hold_catalog(store)
    session = store.session()
    session.begin(write=True)
    insert(elsewhere, (50, AGO))
    seen = first(session)
    assert seen == [50, 1]
    assert later(session) == 1
    session.insert(EVENTS, [(60, NOW)])
    assert first(session, 3) == [50, 60, 1]
    with pytest.raises(ConflictError):
        session.commit()
    session.close()


def test_it_is_committed_after_a_transaction_has_read(store, elsewhere):
    hold_catalog(store)
    session = store.session()
    session.begin(write=True)
    assert first(session) == [1, 2]
    insert(elsewhere, (50, AGO))
    # The primary key, by which it reads now, is seen as it is when it is read first.
    assert first(session) == [50, 1]
    assert later(session) == 1
    session.insert(EVENTS, [(60, NOW)])
    with pytest.raises(ConflictError):
        session.commit()
    session.close()


def test_the_index_is_used_until_then(store, elsewhere, monkeypatch):
    """Else it would be right, and as slow as ever."""
    asked = []
    session = store.reader()
    ask = session.run_batches
    monkeypatch.setattr(
        session,
        "run_batches",
        lambda sql, *rest, **options: asked.append(sql) or ask(sql, *rest, **options),
    )
    session.begin(write=False)
    assert first(session) == [1, 2]
    assert len(asked) == 1
    assert 'USE INDEX ON ("at")' in asked[0]
    session.rollback()
    hold_catalog(store)
    insert(elsewhere, (50, AGO))
    session.begin(write=False)
    assert first(session) == [50, 1]
    assert len(asked) == 3
    assert 'USE INDEX ON ("id")' in asked[2]
    session.close()


def kept(store, name="events"):
    with store.other() as connection:
        (row,) = connection.query(
            f"SELECT definition FROM {TABLES} WHERE name = ?", (name,)
        ).rows
    return row[0]


def of_an_older_version(store):
    """Let the catalog say nothing of far times, as it did before."""
    document = json.loads(kept(store))
    del document["far_times"]
    assert Stored.from_json(json.dumps(document)).far_times is None
    with store.other() as connection:
        connection.run(
            f"UPSERT INTO {TABLES} (name, definition) VALUES (?, ?)",
            ("events", json.dumps(document)),
        )
    store.shared.forget_schema()


def test_a_table_of_an_older_version(store, elsewhere):
    """Nobody knows what it has: its index is used between two bounds alone."""
    of_an_older_version(store)
    with store.other() as connection:
        # An older version doesn't note it.
        connection.run("INSERT INTO events (id, at) VALUES (?, ?)", (50, AGO))
    session = elsewhere.reader()
    session.begin(write=False)
    assert first(session) == [50, 1]
    assert later(session) == 1
    session.close()
    insert(elsewhere, (60, NOW))
    assert Stored.from_json(kept(store)).far_times is None
    survey(store)
    assert Stored.from_json(kept(store)).far_times == {"at"}


def test_migrate_finds_out(store, elsewhere):
    of_an_older_version(store)
    survey(store)
    assert Stored.from_json(kept(store)).far_times == set()
    hold_catalog(elsewhere)
    insert(store, (50, AGO))
    session = elsewhere.reader()
    session.begin(write=False)
    assert first(session) == [50, 1]
    session.close()


def test_a_far_time_comes_while_migrate_finds_out(store, elsewhere, monkeypatch):
    of_an_older_version(store)
    look, rows = surveying._far_times, iter([(50, AGO)])

    def far_times(*arguments):
        found = look(*arguments)
        for row in rows:
            insert(elsewhere, row)
        return found

    monkeypatch.setattr(surveying, "_far_times", far_times)
    survey(store)
    assert Stored.from_json(kept(store)).far_times == {"at"}


def test_migrate_is_what_does(database, oracle, monkeypatch):
    asked = []
    monkeypatch.setattr(base, "survey", asked.append)
    connection.prepare_database()
    assert asked == [connection.connection.store]


@pytest.mark.parametrize("wrong", ["at", [1], {"at": 1}, ["no"], 5])
def test_a_catalog_that_says_something_else(store, elsewhere, wrong):
    document = {**json.loads(kept(store)), "far_times": wrong}
    with pytest.raises(DatabaseError, match="catalog"):
        Stored.from_json(json.dumps(document))


def test_what_becomes_of_the_note(store):
    """It goes with a column, and with the rows of a table that is copied."""
    table = replace(EVENTS, columns=(*EVENTS.columns, replace(AT, name="other")))
    insert(store, (1, NOW, AGO), table=table)

    def changed(step):
        session = store.session()
        session.begin(write=True)
        step(session)
        session.commit()
        session.close()

    assert Stored.from_json(kept(store)).far_times == {"other"}
    renamed = replace(
        table,
        columns=(ID, replace(AT, name="first"), replace(AT, name="second")),
        indexes=(Index("events_at", ("second",)),),
    )
    names = {"other": "first", "at": "second"}
    changed(lambda session: session.alter_table("events", renamed, names))
    assert Stored.from_json(kept(store)).far_times == {"first"}
    more = replace(renamed, columns=(*renamed.columns, replace(AT, name="third")))
    changed(lambda session: session.alter_table("events", more, {}, {"third": AGO}))
    assert Stored.from_json(kept(store)).far_times == {"first", "third"}
