"""Large values: memory holds a few of them, however many rows there are."""

import contextlib
import tracemalloc

import pytest
from django.db import connection, models, transaction
from django.db.models import F, Index, Q

from tests.effort import effort

from .databases import opened, run
from .models import registry

MIB = 1 << 20
#: Rows of one MiB, behind as many small ones as a chunk has.
ROWS = effort(test=60, soak=300)
SMALL = 600
#: Bytes that are enough for some rows: as read, as stored, as changed.
ENOUGH = 30 * MIB


class Blob(models.Model):
    """A row with one large value."""

    data = models.BinaryField()
    n = models.IntegerField(db_index=True)
    other = models.IntegerField(default=0)

    class Meta:
        app_label = "nonrel"
        apps = registry


class Reference(models.Model):
    """A small row that refers to a large one."""

    blob = models.ForeignKey(Blob, models.CASCADE)

    class Meta:
        app_label = "nonrel"
        apps = registry


class Comment(models.Model):
    """A large row that refers to another large one."""

    blob = models.ForeignKey(Blob, models.CASCADE)
    text = models.TextField()

    class Meta:
        app_label = "nonrel"
        apps = registry


@pytest.fixture
def blobs(tmp_path):
    with opened("lmdb", tmp_path) as database:
        database.create(Blob, Reference, Comment)
        Blob.objects.bulk_create(Blob(data=b"s", n=n) for n in range(SMALL))
        for n in range(SMALL, SMALL + ROWS):
            Blob.objects.create(data=bytes(MIB), n=n)
        Reference.objects.bulk_create(
            Reference(blob_id=pk) for pk in Blob.objects.values_list("pk", flat=True)
        )
        Comment.objects.bulk_create(
            Comment(blob_id=pk, text="c" * 1000)
            for pk in Blob.objects.values_list("pk", flat=True)
        )
        yield database


@contextlib.contextmanager
def traced(name):
    """Let memory grow by no more than a few rows."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < ENOUGH, f"{name}: {peak / MIB:.1f} MiB"


objects = Blob.objects
READS = {
    "objects": objects.all,
    "by key": lambda: objects.order_by("pk"),
    "backwards": lambda: objects.order_by("-pk"),
    "by index": lambda: objects.order_by("n")[: SMALL + ROWS],
    "index, backwards": lambda: objects.order_by("-n")[: SMALL + ROWS],
    "range of index": lambda: objects.filter(n__gte=SMALL),
    "rest": lambda: objects.filter(other__lt=1),
    "equal": lambda: objects.filter(other=0),
    "keys": lambda: objects.values_list("pk"),
    "column": lambda: objects.values_list("other"),
    "SQL": lambda: objects.annotate(m=F("n") + 1),
    "SQL, keys": lambda: objects.filter(Q(n__gt=F("other"))).values_list("pk"),
    "joined": lambda: Reference.objects.select_related("blob"),
    "joined, by key": lambda: Reference.objects.select_related("blob").order_by("pk"),
    "both": lambda: Comment.objects.select_related("blob"),
    "SQL, joined": lambda: Reference.objects.annotate(m=F("blob__n") + 1).values("m"),
}


def test_queries_read_a_few_rows_ahead(blobs):
    for name, make in READS.items():
        query = make()
        with traced(name):
            number = sum(1 for _ in query.iterator(chunk_size=1))
            assert number == query.count()
            assert query.exists()


def index():
    with connection.schema_editor() as editor:
        editor.add_index(Blob, Index(fields=["other"], name="by_other"))


def column():
    field = models.IntegerField(default=5)
    field.set_attributes_from_name("added")
    with connection.schema_editor() as editor:
        editor.add_field(Blob, field)


def drop():
    with connection.schema_editor() as editor:
        editor.delete_model(Blob)


CHANGES = {
    "update": lambda: objects.update(other=1),
    "update of the index": lambda: objects.update(n=F("n") + 1000),
    "update by index": lambda: objects.filter(n__gte=SMALL).update(other=2),
    "update in SQL": lambda: run("UPDATE nonrel_blob SET other = other + 1"),
    "delete": lambda: run("DELETE FROM nonrel_blob"),
    "check": connection.check_constraints,
    "index": index,
    "column": column,
    "drop": drop,
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("atomic", [True, pytest.param(False, marks=pytest.mark.check)])
def test_changes_keep_a_few_rows_in_memory(blobs, name, atomic):
    """With a savepoint too, which has to be able to bring all of them back."""
    Reference.objects.all().delete()
    Comment.objects.all().delete()
    with traced(name), contextlib.ExitStack() as stack:
        if atomic:
            stack.enter_context(transaction.atomic())
        CHANGES[name]()


@pytest.mark.parametrize("name", ["update", "update in SQL", "delete"])
def test_savepoints_bring_large_values_back(blobs, name):
    Reference.objects.all().delete()
    Comment.objects.all().delete()
    query = objects.order_by("pk").values_list("n", "other", "data")
    before = [(n, other, len(data)) for n, other, data in query.iterator(chunk_size=1)]
    with transaction.atomic():
        with contextlib.suppress(ZeroDivisionError), transaction.atomic():
            CHANGES[name]()
            raise ZeroDivisionError
        after = [
            (n, other, len(data)) for n, other, data in query.iterator(chunk_size=1)
        ]
    assert after == before
