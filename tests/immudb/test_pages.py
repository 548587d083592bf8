"""Pages of a large table: those near the end are read from there; rows are counted once."""

import pytest
from django.db import connection, models, transaction

from backendkit.backends.immudb.shared import Shared
from tests.effort import chance, examples
from tests.immudb.test_batches import queries  # noqa: F401  # a fixture
from tests.immudb.test_times import FAR, NEAR, Moment
from tests.nonrel.models import Registry

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


def test_the_last_page_is_read_from_the_end(rows, asked):
    for order in ("pk", "-pk", "at", "-at"):
        found = Moment.objects.order_by(order)
        asked.clear()
        assert len(found[ROWS - 7 : ROWS]) == 7
        assert len(found[ROWS - 7 : ROWS + 93]) == 7
        assert len(found[ROWS - 9 : ROWS - 5]) == 4
        assert not found[ROWS : ROWS + 5]
        assert [sql.partition(" ORDER")[2].count("OFFSET") for sql, _ in asked] == [
            0,
            0,
            1,
        ]


def test_the_primary_key_behind_an_index_is_not_sorted_by(rows, asked):
    """As the admin orders: immudb would sort the table."""
    for order, sent in (
        (["at", "pk"], '"at"'),
        (["-at", "-pk"], '"at" DESC'),
        (["group", "at", "pk"], '"group", "at"'),
    ):
        asked.clear()
        assert len(Moment.objects.order_by(*order)[:7]) == 7
        assert asked[0][0].partition(" ORDER BY ")[2].startswith(f"{sent} LIMIT")


registry = Registry()


class Weight(models.Model):
    kilos = models.FloatField(db_index=True)

    class Meta:
        app_label = "pages"
        apps = registry


def test_zeros_are_alike_whatever_their_sign(database, monkeypatch):
    monkeypatch.setattr("backendkit.backends.immudb.reading._SMALL", 10)
    database.create(Weight)
    Weight.objects.bulk_create(Weight(kilos=[0.0, -0.0][n % 2]) for n in range(40))
    every = [one.pk for one in Weight.objects.order_by("pk")]
    found = Weight.objects.order_by("kilos", "pk").values_list("pk", flat=True)
    assert list(found) == every
    assert list(found[:9]) == every[:9]
    assert list(found.reverse()[:9]) == every[::-1][:9]


class Writer(models.Model):
    name = models.CharField(max_length=10)

    class Meta:
        app_label = "pages"
        apps = registry


class Line(models.Model):
    writer = models.ForeignKey(Writer, models.CASCADE)
    reader = models.ForeignKey(Writer, models.SET_NULL, null=True, related_name="+")

    class Meta:
        app_label = "pages"
        apps = registry


@pytest.fixture
def lines(database, monkeypatch, asked):
    """Rows that refer to others, and the statements that read some of them."""
    database.create(Writer, Line)
    writers = Writer.objects.bulk_create(Writer(name=str(n)) for n in range(5))
    Line.objects.bulk_create(
        Line(writer=writers[n % 5], reader=writers[n % 5] if n % 3 else None)
        for n in range(ROWS)
    )
    monkeypatch.setattr("backendkit.backends.immudb.query._DEEP", 5)
    monkeypatch.setattr("backendkit.backends.immudb.reading._SMALL", 10)
    return asked


def limits(asked):
    """Return the limits of what was asked of the lines; they come without OFFSET."""
    found = []
    for sql, parameters in asked:
        if '"pages_line"' in sql or "FROM pages_line" in sql:
            assert "OFFSET" not in sql
            found.append(parameters[-1] if "LIMIT" in sql else None)
    return found


@pytest.mark.parametrize("related", ["writer", "writer__pk", "reader"])
def test_a_page_of_rows_with_what_they_refer_to_is_read_alone(lines, related):
    """That each refers to something, the foreign key says."""
    names = [related.partition("__")[0]]
    found = Line.objects.select_related(*names).order_by("pk")
    every = list(found)
    lines.clear()
    assert list(found.all()[ROWS - 7 : ROWS]) == every[-7:]
    assert limits(lines) == [7]
    assert [one.writer.name for one in found.all()[ROWS - 7 : ROWS]] == [
        one.writer.name for one in every[-7:]
    ]
    draw = chance("joined pages", related)
    for _ in range(PAGES):
        low = draw.randrange(1, ROWS + 3)
        part = slice(low, low + draw.choice([1, 7, 100]))
        assert list(found.all()[part]) == every[part]
        assert list(found.reverse()[part]) == every[::-1][part]


def test_a_row_that_refers_to_nothing_is_left_out_of_its_page(lines):
    found = Line.objects.select_related("writer").order_by("pk")
    first, *_, last = every = list(found)
    # In a transaction, it may until its end.
    with transaction.atomic():
        last.writer.delete()
        Line.objects.bulk_create([Line(writer_id=-1)])
        rest = [one for one in every if one.writer_id != last.writer_id]
        assert list(found.all()[100:]) == rest[100:]
        assert list(found.all()[150:170]) == rest[150:170]
        transaction.set_rollback(True)
    assert first.writer_id != last.writer_id
    # Other clients may do what they want.
    with connection.connection.store.other() as other:
        other.run(f"DELETE FROM pages_writer WHERE id = {last.writer_id}")
    assert list(found.all()[ROWS - 7 : ROWS]) == []
    assert list(found.all()[150:160]) == rest[150:160]


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


def test_what_was_counted_is_known_from_then_on(rows, monkeypatch):
    """Nobody counts a large table to estimate its rows."""
    monkeypatch.setattr("backendkit.backends.immudb.shared._COUNTED", ROWS // 2)
    store = connection.connection.store
    store.shared.forget_table("times_moment")
    with store.other() as other:
        schema, _ = store.shared.schema(other, age=0)
        table = schema.catalog.tables["times_moment"]
        assert store.shared.size(lambda: other, table) == ROWS * 5
        assert Moment.objects.count() == ROWS
        assert store.shared.size(lambda: other, table) == ROWS
