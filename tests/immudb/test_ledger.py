"""The ledger through the ORM: what rows were, and proofs that they are."""

import datetime

import pytest
from django.utils import timezone

pytest.importorskip("grpc", reason="needs the extra immudb")

from backendkit.backends.immudb import ledger  # after the skip


@pytest.fixture
def item(database):
    from tests.nonrel.models import Item

    database.create(Item)
    return Item


@pytest.fixture
def states(database, tmp_path):
    """A file of verified states of its own."""
    database.set_options(state=tmp_path / "states.json")


class TestHistory:
    def test_all_versions_of_a_row(self, item):
        made = item.objects.create(code="a", number=1)
        made.number = 2
        made.save()
        item.objects.create(code="b")
        key = made.pk
        made.delete()
        item.objects.create(pk=key, code="c")
        found = list(ledger.history(item, key))
        assert [(one.revision, one.deleted) for one in found] == [
            (1, False),
            (2, False),
            (3, True),
            (4, False),
        ]
        assert [one.instance.code for one in found] == ["a", "a", "a", "c"]
        assert [one.instance.number for one in found] == [1, 2, 2, 0]
        assert {one.pk for one in found} == {key}
        txs = [one.tx for one in found]
        assert txs == sorted(set(txs))
        now = timezone.make_naive(datetime.datetime.now(datetime.UTC))
        assert all(abs((now - one.time).total_seconds()) < 3600 for one in found)


class TestVerify:
    def test_what_is_there_is_proven(self, item, states):
        made = item.objects.create(code="a", number=1)
        made.number = 2
        made.save()
        proof = ledger.verify(made)
        last = list(ledger.history(item, made.pk))[-1]
        assert (proof.tx, proof.time, proof.revision) == (last.tx, last.time, 2)
        assert proof.state[0] >= proof.tx
        assert proof.instance.number == 2
        assert proof.fields == ("id", "code", "number", "note")

    def test_other_values_are_not(self, item, states):
        made = item.objects.create(code="a", number=1)
        made.number = 5
        with pytest.raises(ledger.MismatchError, match="number") as caught:
            ledger.verify(made)
        assert caught.value.fields == ("number",)

    def test_a_deleted_row_is_not(self, item, states):
        made = item.objects.create(code="a")
        item.objects.all().delete()
        with pytest.raises(ledger.NotInLedgerError):
            ledger.verify(made)
