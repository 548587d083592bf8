"""
Transactions that read more than immudb takes note of.

The database of these tests takes note of 1,000 entries instead of 100,000.
"""

import threading
import uuid

import pytest

pytest.importorskip("grpc", reason="needs the extra immudb")


@pytest.fixture
def settings_of_database(shared, arguments):
    name = f"narrow{uuid.uuid4().hex[:12]}"
    shared.create_database(name, max_read_set=1_000)
    yield {
        "ENGINE": "immudb_backend",
        "USER": arguments["user"],
        "PASSWORD": arguments["password"],
        "NAME": name,
        "HOST": arguments["host"],
        "PORT": str(arguments["port"]),
    }
    shared.delete_database(name)


@pytest.fixture(params=[True, False], ids=["estimated", "found_out"])
def trap(request, database, monkeypatch):
    """A table of 1,300 rows; whether it is known beforehand that it is large."""
    from backendkit.backends.immudb import reading

    from . import models

    monkeypatch.setattr(reading, "_ASIDE", 300 if request.param else 10**9)
    # Answers of more than one message, too.
    monkeypatch.setattr(reading, "_SMALL", 300)
    database.create(models.Parent, models.Trap)
    models.Trap.objects.bulk_create([models.Trap(password=n) for n in range(1_300)])
    return models.Trap


def elsewhere(function):
    """Run in another thread, which has a connection of its own."""
    from django.db import connection

    failed = []

    def run():
        try:
            function()
        except Exception as error:  # noqa: BLE001  # raised in the test's thread
            failed.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def gate():
    from django.db import connection

    from backendkit.backends.immudb.gate import read_gate

    with connection.connection.store.other() as one:
        return read_gate(one)


def test_all_rows_are_read_and_written(trap):
    from django.db import transaction
    from django.db.models import F, Sum

    with transaction.atomic():
        assert len(trap.objects.all()) == 1_300
        assert trap.objects.update(password=F("password") + 1) == 1_300
        assert trap.objects.aggregate(sum=Sum("password"))["sum"] == sum(range(1_301))
    assert trap.objects.aggregate(sum=Sum("password"))["sum"] == sum(range(1_301))
    assert trap.objects.filter(password__gt=1_000).delete()[0] == 300
    assert trap.objects.count() == 1_000
    assert not gate().closed


def test_small_changes_after_large_reads(trap):
    from django.db import transaction

    with transaction.atomic():
        total = sum(trap.objects.values_list("password", flat=True))
        assert total == sum(range(1_300))
        trap.objects.create(n=total)
    assert trap.objects.get(n=total)
    assert not gate().closed


def test_schema_changes(trap, database):
    from django.db import connection, models

    field = models.IntegerField(default=7, db_index=True)
    field.set_attributes_from_name("fresh")
    field.model = trap
    with connection.schema_editor() as editor:
        editor.add_field(trap, field)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*), SUM(fresh) FROM {trap._meta.db_table}")
        assert cursor.fetchone() == (1_300, 1_300 * 7)


def test_another_write_of_the_table_is_a_conflict(trap):
    from django.db import OperationalError, transaction

    from backendkit.stores import ConflictError

    with pytest.raises(OperationalError) as caught, transaction.atomic():
        assert len(trap.objects.all()) == 1_300
        elsewhere(lambda: trap.objects.filter(password=17).update(password=5_000))
        trap.objects.update(password=0)
    assert isinstance(caught.value.__cause__, ConflictError)
    assert trap.objects.get(password=5_000)
    assert trap.objects.filter(password=0).count() == 1
    assert not gate().closed
    # And it can be run again.
    assert trap.objects.update(password=0) == 1_300


def test_what_is_written_counts(trap):
    """As a read: the server looks for each row that is deleted."""
    from django.db import transaction

    with transaction.atomic():
        keys = [key for (key,) in trap.objects.values_list("pk")[:600]]
        assert trap.objects.filter(pk__in=keys[:250]).delete()[0] == 250
    assert trap.objects.count() == 1_050


def test_a_deletion_is_a_conflict(trap):
    from django.db import OperationalError, transaction

    with pytest.raises(OperationalError), transaction.atomic():
        total = sum(trap.objects.values_list("password", flat=True))
        elsewhere(lambda: trap.objects.filter(password=17).delete())
        trap.objects.create(n=total)
    assert not trap.objects.filter(n__gt=0).exists()
    assert trap.objects.count() == 1_299


def test_a_write_of_another_table_is_none(trap):
    from django.db import transaction

    from .models import Parent

    with transaction.atomic():
        assert len(trap.objects.all()) == 1_300
        elsewhere(Parent.objects.create)
        trap.objects.update(password=0)
    assert trap.objects.filter(password=0).count() == 1_300


def test_a_gate_that_a_dead_client_has_left(trap, monkeypatch):
    """It was killed before it had decided: nothing is committed."""
    from django.db import connection

    from backendkit.backends.immudb import journal
    from backendkit.backends.immudb.gate import UNDECIDED

    monkeypatch.setattr(journal, "TAKE_OVER", 0.2)
    with connection.connection.store.other() as other:
        left = journal.new_gate()._replace(progress=UNDECIDED)
        other.run(*journal.set_gate(left))
    assert trap.objects.update(password=0) == 1_300
    assert gate().journal not in (left.journal, -left.journal)
    assert not gate().closed


def test_a_client_that_was_taken_for_dead(trap, monkeypatch):
    """It commits nothing, and may run its transaction again."""
    from django.db import OperationalError, connection, transaction

    from backendkit.backends.immudb import journal
    from backendkit.backends.immudb.asides import Asides

    store, check = connection.connection.store, Asides.check

    def slow(asides):
        if gate().undecided:
            with store.other() as other:
                journal.abandon(other, gate())
        check(asides)

    with monkeypatch.context() as patched:
        patched.setattr(Asides, "check", slow)
        with pytest.raises(OperationalError, match="abandoned"), transaction.atomic():
            assert len(trap.objects.all()) == 1_300
            trap.objects.update(password=0)
    assert trap.objects.filter(password=0).count() == 1
    assert not gate().closed
    assert trap.objects.update(password=0) == 1_300
