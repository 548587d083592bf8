"""An iterator that is open goes on while what it returns is written."""

import pathlib

import pytest
from django.db import OperationalError, models, transaction
from django.db.models import F

from tests.effort import effort

from .models import registry

ROWS = effort(test=2_000, check=20_000, soak=200_000)
#: Rows between two that are written.
GAP = ROWS // 40
#: MiB that memory may grow by: at soak, all rows in memory would take three times that.
GROWTH = 40
STATUS = pathlib.Path("/proc/self/status")


class Entry(models.Model):
    """A row that is read, then written."""

    n = models.IntegerField()
    text = models.CharField(max_length=200)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    day = models.DateField()

    class Meta:
        app_label = "nonrel"
        apps = registry


def memory():
    """Return MiB of this process that aren't files: LMDB's map is one."""
    line = next(x for x in STATUS.read_text().splitlines() if x.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


@pytest.fixture
def entries(ours):
    ours.create(Entry)
    for low in range(0, ROWS, 5000):
        Entry.objects.bulk_create(
            Entry(n=n, text="t" * 80, price="1.50", day="2026-01-02")
            for n in range(low, min(low + 5000, ROWS))
        )
    return ours


def native():
    return Entry.objects.order_by("pk")


def by_sql():
    return Entry.objects.annotate(m=F("n") + 1).order_by("pk")


def in_autocommit(query):
    """Each write is a transaction of its own."""
    for entry in query.iterator(chunk_size=100):
        yield entry
        if entry.n % GAP == 0:
            with transaction.atomic():
                entry.n = -1
                entry.save()


def in_atomic(query):
    """The iterator begins within a transaction, each write is a savepoint."""
    with transaction.atomic():
        yield from in_autocommit(query)


def in_transactions(query):
    """The iterator begins within a transaction that writes, and outlives many."""
    transaction.set_autocommit(False)
    try:
        Entry.objects.create(n=ROWS, text="", price=0, day="2026-01-02")
        for entry in query.iterator(chunk_size=100):
            yield entry
            if entry.n % GAP == 0:
                entry.n = -1
                entry.save()
                transaction.commit()
        transaction.commit()
    finally:
        transaction.set_autocommit(True)


@pytest.mark.parametrize("how", [in_autocommit, in_atomic, in_transactions])
@pytest.mark.parametrize("make", [native, by_sql])
@pytest.mark.skipif(not STATUS.exists(), reason="memory is looked up in /proc")
def test_an_iterator_goes_on_while_rows_are_written(entries, make, how):
    """It returns each row once, as it was, and memory stays as it is."""
    extra = how is in_transactions
    before = most = memory()
    number = -1
    for number, entry in enumerate(how(make())):
        assert entry.n == number
        if number < ROWS:
            assert (str(entry.price), entry.day.year) == ("1.50", 2026)
        if number % 500 == 0:
            most = max(most, memory())
    assert number == ROWS - 1 + extra
    assert most - before < GROWTH
    assert Entry.objects.filter(n=-1).count() == 40 + extra


def test_an_iterator_ends_with_its_transaction_rolled_back(entries):
    transaction.set_autocommit(False)
    try:
        Entry.objects.create(n=ROWS, text="", price=0, day="2026-01-02")
        rows = by_sql().iterator(chunk_size=100)
        assert next(rows).n == 0
        transaction.rollback()
        with pytest.raises(OperationalError, match="abort due to ROLLBACK"):
            list(rows)
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
