"""Slices: the same rows as of the whole, without reading what is skipped."""

import random
import uuid

import pytest
from django.db import models
from django.db.models import F

from backendkit.engine import native
from backendkit.kv.query import RecordQuery
from tests.effort import effort

from .models import registry

ROWS = 60


class Thing(models.Model):
    """Columns to sort by, with an index and without one, and NULLs in them."""

    kind = models.IntegerField(null=True, db_index=True)
    size = models.IntegerField(null=True)
    name = models.CharField(max_length=20)
    price = models.DecimalField(max_digits=6, decimal_places=2, null=True)
    text = models.TextField()

    class Meta:
        app_label = "nonrel"
        apps = registry


class Tagged(models.Model):
    """One whose key is no number."""

    tag = models.UUIDField(primary_key=True)
    size = models.IntegerField(null=True)
    text = models.TextField()

    class Meta:
        app_label = "nonrel"
        apps = registry


def fill():
    some = random.Random(7)
    Thing.objects.bulk_create(
        Thing(
            kind=some.choice([None, 1, 2, 3]),
            size=some.choice([None, *range(9)]),
            name=some.choice("abcdeé"),
            price=some.choice([None, 1, 2.5]),
            text="x" * number,
        )
        for number in range(ROWS)
    )
    Tagged.objects.bulk_create(
        Tagged(tag=uuid.UUID(int=number * 7919 % 97), size=number % 7, text="y")
        for number in range(ROWS)
    )


FILTERS = [
    lambda query: query,
    lambda query: query.filter(kind=2),
    lambda query: query.filter(size__gt=3, name__contains="a"),
    lambda query: query.exclude(name__icontains="É"),
    lambda query: query.filter(price=None),
    lambda query: query.annotate(more=F("size") + 1),
    lambda query: query.values_list("text", "name"),
    lambda query: query.values_list("size"),
    lambda query: query.only("name"),
]


def test_a_slice_is_a_part_of_the_whole(database):
    """Whatever it is sorted by, filtered by, and made of."""
    database.create(Thing, Tagged)
    fill()
    for seed in range(effort(test=40, check=200, soak=5000)):
        some = random.Random(seed)
        names = some.sample(["kind", "size", "name", "price"], some.randrange(4))
        ordering = [some.choice(["", "-"]) + name for name in [*names, "pk"]]
        low = some.randrange(ROWS + 5)
        high = low + some.choice([0, 1, 3, 10, ROWS])
        things = some.choice(FILTERS)(Thing.objects.order_by(*ordering))
        tagged = Tagged.objects.order_by(some.choice(["", "-"]) + "size", "-pk")
        for query in (things, tagged):
            whole = list(query)
            assert list(query.all()[low:high]) == whole[low:high], seed
            assert list(query.all()[:high]) == whole[:high], seed
            assert list(query.all()[low:]) == whole[low:], seed


@pytest.fixture
def decoded(monkeypatch):
    """Columns, and how many rows of them were decoded, of each query that was run."""
    found = []
    read = RecordQuery._read

    def counted(self, datas):
        entry = [self.columns, 0]
        found.append(entry)

        def count():
            for data in datas:
                entry[1] += 1
                yield data

        return read(self, count())

    monkeypatch.setattr(RecordQuery, "_read", counted)
    return found


@pytest.mark.parametrize(
    ("query", "most"),
    [
        (lambda: Thing.objects.order_by("pk")[50:53], 3),
        (lambda: Thing.objects.order_by("-pk")[50:53], 3),
        (lambda: Thing.objects.order_by("pk").values_list("name")[50:53], 3),
        (lambda: Thing.objects.filter(kind=2)[5:7], 2),
        (lambda: Thing.objects.filter(kind__gte=2).order_by("-kind")[5:7], 2),
        (lambda: Thing.objects.annotate(m=F("size") + 1).order_by("pk")[50:53], 3),
    ],
)
def test_what_is_skipped_is_not_decoded(lmdb, decoded, query, most):
    lmdb.create(Thing, Tagged)
    fill()
    del decoded[:]
    assert list(query())
    assert sum(number for _, number in decoded) <= most


@pytest.mark.parametrize(
    ("query", "narrow"),
    [
        (lambda: Thing.objects.order_by("size")[:5], {"id", "size"}),
        (lambda: Thing.objects.order_by("-size", "name")[7:9], {"id", "size", "name"}),
        (lambda: Thing.objects.filter(name="a").order_by("size")[:5], {"id", "size"}),
        (lambda: Tagged.objects.order_by("size")[:5], {"tag", "size"}),
    ],
)
def test_the_first_rows_are_found_by_what_they_are_sorted_by(
    lmdb, decoded, query, narrow
):
    """All columns are decoded of the rows that are wanted, and of no others."""
    lmdb.create(Thing, Tagged)
    fill()
    del decoded[:]
    found = list(query())
    (columns, _), (_, number) = decoded
    assert set(columns) == narrow
    assert number == len(found) > 0


def test_large_rows_are_not_kept_by_their_keys(lmdb, decoded, monkeypatch):
    """They would be in memory all at a time."""
    monkeypatch.setattr(native, "_MEMORY", 20)
    lmdb.create(Thing, Tagged)
    fill()
    query = Thing.objects.order_by("size", "pk")
    whole = list(query)
    del decoded[:]
    assert list(query.all()[:9]) == whole[:9]
    assert len(decoded) == 3
    assert decoded[1][1] < 9
