"""Pages of a large table: those near the end are read from there; rows are counted once."""

import pytest
from django.db import connection, transaction

from backendkit.backends.immudb.shared import Shared
from tests.effort import chance, examples
from tests.immudb.test_batches import queries  # noqa: F401  # a fixture
from tests.immudb.test_times import FAR, NEAR, Moment

pytest.importorskip("grpc", reason="needs the extra immudb")

ROWS = 200
PAGES = examples(test=20, check=100, soak=1000)


@pytest.fixture
def rows(database, monkeypatch):
    """Moments with ties, in a table that is taken for a large one."""
    database.create(Moment)
    draw = chance("pages")
    times = [*NEAR[:6], None]
    Moment.objects.bulk_create(
        Moment(at=draw.choice(times), group=n % 4) for n in range(ROWS)
    )
    monkeypatch.setattr("backendkit.backends.immudb.query._DEEP", 5)
    monkeypatch.setattr("backendkit.backends.immudb.reading._SMALL", 10)
    return draw


def check(draw):
    every = list(Moment.objects.all())
    for _ in range(PAGES):
        order = draw.choice(
            [["pk"], ["at", "pk"], ["group", "at", "pk"], ["other", "pk"]]
        )
        if draw.random() < 0.5:
            order = [f"-{name}" for name in order]
        low = draw.randrange(len(every) + 8)
        part = slice(low, low + draw.choice([1, 7, 100]))
        found = list(Moment.objects.order_by(*order)[part])

        def key(moment, order=order):
            values = (getattr(moment, name.lstrip("-")) for name in order)
            return [(value is not None, value) for value in values]

        wanted = sorted(every, key=key, reverse=order[0][0] == "-")
        assert found == wanted[part], (order, part)


def test_pages_are_parts_of_the_whole(rows):
    check(rows)
    with transaction.atomic():
        check(rows)
        Moment.objects.bulk_create([Moment(at=NEAR[0], group=9) for _ in range(3)])
        Moment.objects.filter(pk__lt=4).delete()
        check(rows)
    check(rows)
    Moment.objects.bulk_create([Moment(at=far, group=9) for far in FAR])
    check(rows)


def test_the_last_page_is_read_from_the_end(rows, monkeypatch):
    asked = []
    session = type(connection.connection.store.reader())
    run = session.run_batches
    monkeypatch.setattr(
        session,
        "run_batches",
        lambda self, sql, *rest, **options: (
            asked.append(sql) or run(self, sql, *rest, **options)
        ),
    )
    for order in ("pk", "-pk", "at", "-at"):
        found = Moment.objects.order_by(order)
        asked.clear()
        assert len(found[ROWS - 7 : ROWS]) == 7
        assert len(found[ROWS - 7 : ROWS + 93]) == 7
        assert len(found[ROWS - 9 : ROWS - 5]) == 4
        assert not found[ROWS : ROWS + 5]
        assert [sql.partition(" ORDER")[2].count("OFFSET") for sql in asked] == [
            0,
            0,
            1,
        ]


def test_rows_are_counted_once_as_long_as_nothing_is_committed(rows, queries):  # noqa: F811  # the fixture
    def count():
        assert Moment.objects.count() == wanted

    wanted = ROWS
    count()
    assert queries(count) == 0
    Moment.objects.create(group=1)
    wanted += 1
    assert queries(count) >= 1
    assert queries(count) == 0
    with transaction.atomic():
        Moment.objects.create(group=1)
        wanted += 1
        count()
        transaction.set_rollback(True)
    wanted -= 1
    count()
    # Another process writes.
    other = connection.connection.store
    (shared, other.shared) = other.shared, Shared()
    Moment.objects.all()[:1].get().delete()
    wanted -= 1
    other.shared = shared
    count()
