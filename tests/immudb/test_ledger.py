"""The ledger through the ORM: what rows were, and proofs that they are."""

import datetime
import gc
import pickle
import random
import threading

import pytest
from django.db import (
    DatabaseError,
    NotSupportedError,
    ProgrammingError,
    connection,
    models,
    transaction,
)
from django.db.models import F, Sum
from django.utils import timezone

pytest.importorskip("grpc", reason="needs the extra immudb")

from backendkit.backends.immudb import driver, ledger  # after the skip
from backendkit.backends.immudb.ledger import aliases, proofs, revisions  # the same
from tests.effort import chance as seeded  # the same
from tests.effort import effort, examples  # the same
from tests.nonrel.models import Registry  # the same

from .ledger_models import MODELS, Author, Book, Novel, Shelf, Tag  # the same

#: See the fixture ``_lent``.
LENDS = True


@pytest.fixture
def tables(database, tmp_path):
    """Tables of the models; what was verified is in a file of the test's own."""
    # However busy the machine is.
    patience = {"connect_timeout": 120, "timeout": 120}
    database.set_options(state=tmp_path / "states.json", **patience)
    database.create(*MODELS)


def last_tx():
    """The last transaction of the database."""
    connection.ensure_connection()
    with connection.connection.store.other() as other:
        return other.state().txId


pytestmark = pytest.mark.usefixtures("tables")


@pytest.fixture
def ask(monkeypatch):
    """Lets versions of rows be asked for, however short the log is."""

    def ask(questions=1e9):
        monkeypatch.setattr(revisions, "READ", 0)
        monkeypatch.setattr(revisions, "ASKED", questions)
        monkeypatch.setattr(revisions, "ASKED_EACH", 0)

    return ask


class TestHistory:
    @pytest.fixture(autouse=True, params=["read", "asked for"])
    def way(self, request, ask, monkeypatch):
        if request.param == "asked for":
            ask()
        else:
            monkeypatch.setattr(revisions, "FEW", 0)

    def test_all_versions_of_a_row(self):
        made = Author.objects.create(name="a")
        made.name = "b"
        made.save()
        Author.objects.create(name="another")
        key = made.pk
        made.delete()
        Author.objects.create(pk=key, name="c")
        found = list(Author.objects.history(key))
        assert [(one.revision, one.deleted) for one in found] == [
            (1, False),
            (2, False),
            (3, True),
            (4, False),
        ]
        # A deletion shows what was deleted.
        assert [one.instance.name for one in found] == ["a", "b", "b", "c"]
        assert {one.pk for one in found} == {key}
        txs = [one.tx for one in found]
        assert txs == sorted(set(txs))
        now = timezone.make_naive(datetime.datetime.now(datetime.UTC))
        assert all(abs((now - one.time).total_seconds()) < 3600 for one in found)

    def test_of_some_rows_and_of_all(self):
        first, second, third = (Author.objects.create(name=name) for name in "abc")
        second.delete()
        deleted = third.pk - 1

        def seen(found):
            return [(one.pk, one.revision, one.deleted) for one in found]

        whole = [(first.pk, 1, False), (deleted, 1, False)]
        whole += [(third.pk, 1, False), (deleted, 2, True)]
        assert seen(Author.objects.history()) == whole
        assert seen(ledger.history(Author)) == whole
        assert seen(Author.objects.filter(pk=deleted).history()) == whole[1::2]
        few = Author.objects.filter(pk__in=[first.pk, third.pk])
        assert seen(few.history()) == whole[::2]
        before = Author.objects.as_of(last_tx() - 1)
        assert seen(before.history()) == whole[:3]
        assert seen(Author.objects.history(999)) == []

    def test_the_past_cannot_be_filtered_by_values(self):
        for filtered in (
            Author.objects.filter(name="a"),
            Author.objects.filter(pk__gt=1),
            Author.objects.exclude(pk=1),
            Author.objects.filter(pk=1, name="a"),
            Author.objects.all()[:5],
            Author.objects.none(),
            Author(pk=1).books.all(),
            Book.objects.filter(author__pk=1),
        ):
            with pytest.raises(TypeError, match="primary keys"):
                filtered.history()

    def test_a_key_twice(self):
        with pytest.raises(TypeError):
            Author.objects.filter(pk=1).history(1)
        with pytest.raises(TypeError):
            Author.objects.filter(pk=1).changes(0)

    def test_what_a_version_refers_to_is_as_it_was(self):
        author = Author.objects.create(name="Ann")
        book = Book.objects.create(title="A", author=author)
        Author.objects.update(name="Bob")
        key = book.pk
        book.delete()
        author.delete()
        made, deleted = Book.objects.history(key)
        assert made.instance.author.name == "Ann"
        assert deleted.instance.author.name == "Bob"
        with pytest.raises(NotSupportedError, match="nobody can write"):
            made.instance.save()

    def test_columns_that_came_went_and_got_other_names(self):
        """An old version has what is known of today's fields."""
        registry = Registry()

        class Thing(models.Model):
            name = models.CharField(max_length=20)
            gone = models.IntegerField(default=1)

            class Meta:
                app_label = "before"
                apps = registry
                db_table = "thing"

        with connection.schema_editor() as editor:
            editor.create_model(Thing)
        thing = Thing.objects.create(name="a")
        before = last_tx()

        class Changed(models.Model):
            title = models.CharField(max_length=20)
            more = models.IntegerField(null=True)

            class Meta:
                app_label = "after"
                apps = registry
                db_table = "thing"

        old = Thing._meta.get_field("name")
        with connection.schema_editor() as editor:
            editor.alter_field(Thing, old, Changed._meta.get_field("title"))
            editor.remove_field(Thing, Thing._meta.get_field("gone"))
            editor.add_field(Thing, Changed._meta.get_field("more"))
        Changed.objects.filter(pk=thing.pk).update(title="b", more=3)
        assert [
            (one.instance.title, one.instance.more)
            for one in ledger.history(Changed, thing.pk)
        ] == [("a", None), ("b", 3)]
        past = ledger.as_of(Changed.objects.all(), before)
        assert list(past.values_list("title", "more")) == [("a", None)]
        assert ledger.verify(Changed.objects.get()).instance.more == 3
        assert ledger.verify(past.get()).tx <= before

    def test_a_table_that_was_copied(self):
        """immudb can't change some things: what a copy was before isn't there."""
        registry = Registry()

        class Thing(models.Model):
            name = models.TextField()

            class Meta:
                app_label = "copied"
                apps = registry

        with connection.schema_editor() as editor:
            editor.create_model(Thing)
        Thing.objects.create(name="a")
        before = last_tx()
        indexed = models.CharField(max_length=20, db_index=True)
        indexed.set_attributes_from_name("name")
        indexed.model = Thing
        with connection.schema_editor() as editor:
            editor.alter_field(Thing, Thing._meta.get_field("name"), indexed)
        copied = last_tx()
        with pytest.raises(
            NotSupportedError, match="copied copied_thing to a new table"
        ):
            list(ledger.as_of(Thing.objects.all(), before))
        assert ledger.as_of(Thing.objects.all(), copied).get().name == "a"
        assert [one.tx for one in ledger.history(Thing)] == [copied]
        # A table that wasn't there at all had no rows.
        assert list(Author.objects.as_of(1)) == []


class TestWhatHistoryCosts:
    """As much as a row's versions, whatever else is in the log."""

    @pytest.fixture
    def cost(self, monkeypatch, calls):
        """Returns a history, how many calls it takes, and entries of others it receives."""
        received = []
        honest = driver.Connection.transactions

        def transactions(*args, **options):
            found = honest(*args, **options)
            received.extend(entry for one in found for entry in one.entries)
            return found

        monkeypatch.setattr(driver.Connection, "transactions", transactions)

        def cost(ask):
            calls.clear()
            received.clear()
            return list(ask()), len(calls), len(received)

        return cost

    @staticmethod
    def grow(times):
        for _ in range(times):
            Author.objects.bulk_create([Author(name="n") for _ in range(400)])

    @pytest.mark.parametrize("deleted", [False, True])
    def test_large_transactions_of_others(self, cost, deleted):
        made = Author.objects.create(name="first")
        key = made.pk
        for number in range(4):
            self.grow(2)
            Author.objects.filter(pk=key).update(name=str(number))
        if deleted:
            made.delete()
        found = {}
        for more in (2, effort(test=5, check=40, soak=300)):
            self.grow(more)
            # A process that knows nothing yet.
            shared = connection.connection.store.shared
            shared._followed = None
            versions, calls, entries = cost(lambda: Author.objects.history(key))
            found[last_tx()] = calls
            assert [one.revision for one in versions] == [*range(1, 6 + deleted)]
            assert entries == 0
        for log, calls in found.items():
            # A sixteenth of the log is left after each question.
            digits = len(f"{log:x}")
            assert calls <= len(versions) * (digits + 2) + 10, found
        others = list(Author.objects.values_list("pk", flat=True)[1:700:600])
        few = Author.objects.filter(pk__in=[key, *others])
        versions, _, entries = cost(few.history)
        assert len(versions) == 7 + deleted
        assert entries == 0
        assert cost(lambda: Author.objects.history(10**6))[::2] == ([], 0)

    def test_a_row_with_many_versions_in_a_short_log(self, cost, calls, monkeypatch):
        """Reading it is cheaper, if its transactions are small."""
        monkeypatch.setattr(revisions, "_entries", lambda *_: 1)
        made = Author.objects.create(name="first")
        for number in range(30):
            Author.objects.filter(pk=made.pk).update(name=str(number))
        versions, _, received = cost(lambda: Author.objects.history(made.pk))
        assert [one.revision for one in versions] == [*range(1, 32)]
        assert received
        assert "VerifiableSQLGet" not in calls

    def test_a_page_of_the_admin(self, cost, calls):
        made = Author.objects.create(name="first")
        for number in range(3):
            self.grow(2)
            Author.objects.filter(pk=made.pk).update(name=str(number))
        found = revisions.versions(Author, made.pk, using="default")
        calls.clear()
        assert len(found) == 4
        assert calls == []
        assert [one.instance.name for one in found[-2:]] == ["1", "2"]
        assert calls == ["VerifiableSQLGet"] * 2
        assert found[-1] is found[3]

    @pytest.mark.check
    def test_a_row_that_is_written_all_the_time(self, monkeypatch):
        """Nobody can tell then when all versions are found: the log is read."""
        from backendkit.backends.immudb.asking import RowsPast

        made = Author.objects.create(name="a")
        honest = RowsPast.revisions

        def revisions_of(past):
            Author.objects.filter(pk=made.pk).update(name="b")
            return honest(past)

        monkeypatch.setattr(RowsPast, "revisions", revisions_of)
        (found,) = Author.objects.history(made.pk)
        assert found.instance.name == "a"


class TestPast:
    def test_everything_is_read_as_it_was(self):
        author = Author.objects.create(name="Ann")
        book = Book.objects.create(title="A", author=author, pages=3)
        tag = Tag.objects.create(word="w")
        book.tags.add(tag)
        then = last_tx()
        Author.objects.update(name="Bob")
        Book.objects.update(title="B", pages=F("pages") + 1)
        book.tags.clear()
        Book.objects.create(title="C", pages=10)
        tag.delete()
        past = Book.objects.as_of(then)
        found = past.get()
        assert (found.title, found.author.name) == ("A", "Ann")
        assert [one.word for one in found.tags.all()] == ["w"]
        (joined,) = past.select_related("author").filter(author__name="Ann")
        assert joined.author.name == "Ann"
        (fetched,) = past.prefetch_related("tags", "author")
        assert fetched.author.name == "Ann"
        assert [one.word for one in fetched.tags.all()] == ["w"]
        assert past.defer("title").get().title == "A"
        assert past.aggregate(Sum("pages")) == {"pages__sum": 3}
        assert (past.count(), past.exists(), len(past)) == (1, True, 1)
        assert not past.filter(author__name="Bob").exists()
        assert list(past.values_list("title", flat=True).iterator()) == ["A"]
        assert past.annotate(more=F("pages") * 2).get().more == 6
        assert [one.title for one in found.author.books.all()] == ["A"]
        # Query sets that aren't ours, and proxies, too.
        assert [one.title for one in Shelf.objects.as_of(then)] == ["A"]
        plain = models.QuerySet(Book)
        assert [one.title for one in ledger.as_of(plain, then)] == ["A"]
        (related,) = Author.objects.get().books.as_of(then)
        assert related.author.name == "Ann"
        # From there to another moment, and now.
        assert past.as_of(last_tx()).count() == Book.objects.count() == 2

    def test_tables_of_parents(self):
        Novel.objects.create(title="A", genre="x")
        then = last_tx()
        Novel.objects.update(title="B", genre="y")
        found = Novel.objects.as_of(then).get()
        assert (found.title, found.genre) == ("A", "x")
        for ask in (
            Novel.objects.history,
            lambda: Novel.objects.changes(0),
            lambda: list(Novel.objects.verified()),
            lambda: ledger.verify(found),
        ):
            with pytest.raises(NotSupportedError, match="multi-table inheritance"):
                ask()

    def test_an_index_that_came_later(self):
        authors = [Author.objects.create(name=name) for name in "abc"]
        then = last_tx()
        Author.objects.filter(pk=authors[0].pk).update(name="z")
        authors[1].delete()
        index = models.Index(fields=["name", "id"], name="name_id")
        with connection.schema_editor() as editor:
            editor.add_index(Author, index)
        past = Author.objects.as_of(then)
        assert [one.name for one in past.order_by("name")] == ["a", "b", "c"]
        assert [past.filter(name=name).count() for name in "abz"] == [1, 1, 0]

    def test_nobody_writes_there(self):
        Author.objects.create(name="a")
        past = Author.objects.as_of(last_tx())
        found = past.get()
        for write in (
            found.save,
            found.delete,
            past.delete,
            lambda: past.update(name="b"),
            lambda: past.create(name="b"),
            lambda: past.bulk_create([Author(name="b")]),
        ):
            with pytest.raises(NotSupportedError, match="nobody can write"):
                write()
        with (
            pytest.raises(NotSupportedError, match="nobody can write"),
            transaction.atomic(using=past.db),
        ):
            assert past.count() == 1
            found.save()
        found.name = "restored"
        found.save(using="default")
        assert Author.objects.get().name == "restored"

    def test_transactions_that_are_none(self):
        Author.objects.create(name="a")
        last = last_tx()
        assert Author.objects.as_of(last).count() == 1
        for wrong in (0, -1, last + 1, 2**70):
            with pytest.raises(ValueError, match="there is no transaction"):
                Author.objects.as_of(wrong)
        for wrong in (True, "1", 1.0, None, datetime.date(2026, 1, 1)):
            with pytest.raises(TypeError):
                Author.objects.as_of(wrong)

    def test_times(self):
        """To the second: a transaction counts from its own time on."""
        Author.objects.create(name="a")
        (one,) = Author.objects.history()
        aware = timezone.make_aware(one.time)
        assert Author.objects.as_of(aware).filter(name="a").exists()
        # Without a zone, it is the current one.
        with timezone.override(datetime.timezone(datetime.timedelta(hours=5))):
            there = aware.astimezone().astimezone(timezone.get_current_timezone())
            naive = there.replace(tzinfo=None)
            assert Author.objects.as_of(naive).filter(name="a").exists()
        with pytest.raises(ValueError, match="in the future"):
            Author.objects.as_of(timezone.now() + datetime.timedelta(days=2))
        with pytest.raises(ValueError, match="before the first"):
            Author.objects.as_of(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
        from backendkit.backends.immudb.ledger.moments import transaction_of

        # The times of all transactions, as they are told.
        store = connection.connection.store
        with store.other() as other:
            told = [(tx.header.id, tx.header.ts) for tx in other.transactions(1, 2000)]
        for seconds in {seconds for _, seconds in told}:
            moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
            last = max(tx for tx, at in told if at <= seconds)
            if last < 2000:  # the server is older than this test
                assert transaction_of(moment, "default") == last

    def test_what_isnt_committed_isnt_there(self):
        Author.objects.create(name="a")
        with transaction.atomic():
            Author.objects.create(name="b")
            assert Author.objects.as_of(last_tx()).count() == 1
            assert Author.objects.count() == 2
        assert Author.objects.as_of(last_tx()).count() == 2

    def test_connections_go_with_what_needs_them(self):
        author = Author.objects.create(name="a")
        Book.objects.create(title="A", author=author)
        then = last_tx()
        Author.objects.update(name="b")
        found = Book.objects.as_of(then).get()
        name = str(found._state.db)
        gc.collect()
        assert found.author.name == "a"
        copied = pickle.loads(pickle.dumps(found._state.db))
        assert copied is found._state.db
        del found, copied
        gc.collect()
        assert name not in aliases._aliases
        Author.objects.as_of(then - 1).first()
        assert name not in aliases._of_this_thread().known

    def test_another_thread(self):
        Author.objects.create(name="a")
        past = Author.objects.as_of(last_tx())
        Author.objects.update(name="b")
        found = []

        def read():
            from django.db import connections

            try:
                found.extend(past.values_list("name", flat=True))
            finally:
                connections[past.db].close()
                connections["default"].close()

        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
        assert found == ["a"]


class TestChanges:
    def test_what_became_of_rows(self):
        kept, changed, gone = (Author.objects.create(name=name) for name in "abc")
        keys = changed.pk, gone.pk
        start = last_tx()
        changed.name = "B"
        changed.save()
        gone.delete()
        made = Author.objects.create(name="d")
        Author.objects.create(name="short").delete()
        kept.name = "other"
        kept.save()
        kept.name = "a"
        kept.save()
        found = list(Author.objects.changes(start))
        assert [(one.action, one.pk) for one in found] == [
            ("update", keys[0]),
            ("delete", keys[1]),
            ("insert", made.pk),
        ]
        update, delete, insert = found
        assert update.fields == ("name",)
        assert (update.before.name, update.after.name) == ("b", "B")
        assert (delete.before.name, delete.after) == ("c", None)
        assert (insert.before, insert.after.name) == (None, "d")
        assert [one.tx for one in found] == [start + 1, start + 2, start + 3]
        assert list(Author.objects.changes(last_tx())) == []
        first = list(ledger.changes(Author, 0, start))
        assert [(one.action, one.after.name) for one in first] == [
            ("insert", "a"),
            ("insert", "b"),
            ("insert", "c"),
        ]
        with pytest.raises(ValueError, match="later"):
            Author.objects.changes(start, start - 1)


@pytest.mark.check
class TestRandomWrites:
    """A log kept in Python beside, of some hundred transactions."""

    @pytest.fixture
    def log(self):
        chance = seeded("log")
        rows, found = {}, []
        for _ in range(examples(test=25, check=60, soak=500)):
            before = last_tx()
            with transaction.atomic():
                for _ in range(chance.randint(1, 4)):
                    self.write(chance, rows)
            if last_tx() > before:
                found.append((last_tx(), {key: dict(row) for key, row in rows.items()}))
        return found

    @staticmethod
    def write(chance, rows):
        values = {
            "title": chance.choice(["", "a", "ä€", "plain"]),
            "pages": chance.randint(-3, 3),
            "price": chance.choice([None, "1.50", "-2.25"]),
            "changed": chance.choice([None, datetime.datetime(2026, 1, 2, 3, 4, 5, 6)]),
        }
        action = chance.random()
        key = chance.randint(1, 12)
        if key not in rows:
            Book.objects.create(pk=key, **values)
            rows[key] = values
        elif action < 0.3:
            Book.objects.filter(pk=key).delete()
            del rows[key]
        else:
            part = {name: values[name] for name in chance.sample(sorted(values), 2)}
            Book.objects.filter(pk=key).update(**part)
            rows[key] = {**rows[key], **part}

    @staticmethod
    def plain(books):
        found = {}
        for book in books:
            price = None if book.price is None else str(book.price)
            found[book.pk] = {
                "title": book.title,
                "pages": book.pages,
                "price": price,
                "changed": book.changed,
            }
        return found

    def test_the_past_is_what_it_was(self, log):
        for tx, rows in log[::5]:
            past = Book.objects.as_of(tx)
            assert self.plain(past) == rows
            assert past.count() == len(rows)
            few = {key for key, row in rows.items() if row["pages"] > 0}
            assert set(past.filter(pages__gt=0).values_list("pk", flat=True)) == few
            assert past.filter(pages__gt=0).count() == len(few)
            zero = [key for key, row in sorted(rows.items()) if row["pages"] == 0]
            ordered = past.filter(pages=0).order_by("pk")
            assert list(ordered.values_list("pk", flat=True)) == zero
            by_pages = sorted(rows, key=lambda key: (rows[key]["pages"], -key))
            found = past.order_by("pages", "-pk")[1:4]
            assert [one.pk for one in found] == by_pages[1:4]
            timed = [key for key, row in rows.items() if row["changed"]]
            assert past.filter(changed__lte=timezone.now()).count() == len(timed)

    def test_history_is_all_of_it(self, log):
        expected, before, numbers = [], {}, {}
        for tx, rows in log:
            for key in {*before, *rows}:
                old, new = before.get(key), rows.get(key)
                if old != new:
                    expected.append((tx, key, new is None, new or old))
            before = rows
        found = list(Book.objects.history())
        for one in found:
            numbers[one.pk] = numbers.get(one.pk, 0) + 1
            assert one.revision == numbers[one.pk]
        seen = {
            (one.tx, one.pk): (one.deleted, self.plain([one.instance])[one.pk])
            for one in found
        }
        for tx, key, deleted, row in expected:
            # An update that changes nothing is a version, too.
            assert seen[tx, key] == (deleted, row)
        assert len(seen) == len(found)
        assert {key for _, key in seen} == {key for _, key, *_ in expected}

    @pytest.mark.parametrize("questions", [1e9, 1, 0.1])
    def test_history_of_one_row_is_asked_for(self, log, ask, questions):
        """With any number of questions; what they leave open is read."""

        def seen(found):
            return [
                (one.tx, one.revision, one.deleted, self.plain([one.instance]))
                for one in found
            ]

        whole = list(Book.objects.history())
        middle = log[len(log) // 2][0]
        ask(questions)
        for pk in {one.pk for one in whole}:
            wanted = [one for one in whole if one.pk == pk]
            assert seen(Book.objects.history(pk)) == seen(wanted)
            past = Book.objects.as_of(middle).history(pk)
            assert seen(past) == seen([one for one in wanted if one.tx <= middle])

    def test_changes_lead_from_one_moment_to_another(self, log):
        chance = random.Random(3)
        for _ in range(6):
            (first, old), (last, new) = sorted(
                chance.sample(log, 2), key=lambda one: one[0]
            )
            rows = dict(old)
            for change in Book.objects.changes(first, last):
                assert (change.before is None) == (change.pk not in old)
                assert (change.after is None) == (change.pk not in new)
                if change.after is None:
                    del rows[change.pk]
                else:
                    rows.update(self.plain([change.after]))
                assert first < change.tx <= last
            assert rows == new


class TestVerified:
    def test_objects_are_proven(self, calls):
        author = Author.objects.create(name="Ann")
        Book.objects.bulk_create(
            Book(title=str(n), author=author, price="1.5", data={"n": [n, None]})
            for n in range(30)
        )
        then = last_tx()
        list(Book.objects.verified())  # what the tables look like is known then
        calls.clear()
        found = Book.objects.verified().select_related("author").order_by("pk")
        assert [one.title for one in found] == [str(n) for n in range(30)]
        assert {one._state.db for one in found} == {"default"}
        assert {one.author._state.db for one in found} == {"default"}
        # One for each row, its author's included.
        assert calls.count("VerifiableSQLGet") == 31
        Book.objects.update(title="new")
        past = Book.objects.as_of(then).verified().order_by("pk")
        assert [one.title for one in past[:2]] == ["0", "1"]
        assert Shelf.objects.verified().first().title == "new"
        assert len(author.books.verified()) == 30
        assert author.books.verified()[0].author is author
        assert list(Book.objects.verified().filter(title="none")) == []
        assert Book.objects.verified().in_bulk([1])[1].title == "new"
        assert ledger.verified(models.QuerySet(Book)).get(pk=1).title == "new"
        assert len(list(Book.objects.verified().iterator(chunk_size=7))) == 30

    def test_nothing_else_is(self):
        found = Book.objects.verified()
        for what, ask in (
            ("count", found.count),
            ("exists", found.exists),
            ("aggregate", lambda: found.aggregate(Sum("pages"))),
            ("values", lambda: list(found.values("title"))),
            ("values", lambda: list(found.values_list("pk").iterator())),
            ("annotate", lambda: list(found.annotate(n=F("pages")))),
            ("only", lambda: list(found.only("title"))),
            ("prefetch_related", lambda: list(found.prefetch_related("tags"))),
            ("union", lambda: list(found.union(found))),
            ("contains", lambda: found.contains(Book(pk=1))),
            ("values", lambda: ledger.verified(Book.objects.values("pk"))),
        ):
            with pytest.raises(NotSupportedError, match=what):
                ask()

    def test_an_altered_answer_of_sql(self, monkeypatch):
        """It is found, and not kept; nor is what was proven before it."""
        from backendkit.backends.immudb.session import ImmudbSession

        Author.objects.bulk_create(Author(name=name) for name in "abc")
        found = Author.objects.verified().order_by("pk")
        honest = ImmudbSession.run_query

        def altered(*args):
            rows = honest(*args)
            return [("x" if v == "c" else v for v in row) for row in rows]

        with monkeypatch.context() as patch:
            patch.setattr(
                ImmudbSession,
                "run_query",
                lambda *args: [tuple(row) for row in altered(*args)],
            )
            with pytest.raises(ledger.MismatchError, match="name") as caught:
                list(found)
            assert caught.value.fields == ("name",)
            assert isinstance(caught.value, DatabaseError)
            with pytest.raises(ledger.TamperedError):
                len(found)
        assert [one.name for one in found] == ["a", "b", "c"]

    def test_a_proof_that_fails(self, monkeypatch):
        author = Author.objects.create(name="a")
        assert ledger.verify(author)
        found = Author.objects.verified()
        honest = driver.Connection.verifiable_get

        def altered(self, *args, **options):
            entry = honest(self, *args, **options)
            entry.sqlEntry.value = entry.sqlEntry.value[:-1] + b"x"
            return entry

        with connection.connection.store.other() as other:
            before = other.verified_state()
        with monkeypatch.context() as patch:
            patch.setattr(driver.Connection, "verifiable_get", altered)
            for ask in (lambda: ledger.verify(author), lambda: list(found)):
                with pytest.raises(ledger.TamperedError) as caught:
                    ask()
                assert isinstance(caught.value.__cause__, driver.TamperedError)
        with connection.connection.store.other() as other:
            assert other.verified_state() == before
        assert [one.name for one in found] == ["a"]

    def test_writers_in_between(self, monkeypatch):
        """A row that is changed while others are proven is proven as it was read."""
        authors = Author.objects.bulk_create(Author(name=name) for name in "abc")
        honest = proofs._proven
        once = []

        def write_first(*args):
            if not once:
                once.append(True)
                Author.objects.filter(pk=authors[1].pk).update(name="new")
                Author.objects.filter(pk=authors[2].pk).delete()
            return honest(*args)

        monkeypatch.setattr(proofs, "_proven", write_first)
        found = Author.objects.verified().order_by("pk")
        assert [one.name for one in found] == ["a", "b", "c"]
        assert Author.objects.count() == 2


class TestVerify:
    def test_what_is_there_is_proven(self):
        made = Author.objects.create(name="a")
        then = last_tx()
        made.name = "b"
        made.save()
        proof = ledger.verify(made)
        first, last = Author.objects.history(made.pk)
        assert (proof.tx, proof.time, proof.revision) == (last.tx, last.time, 2)
        assert proof.state[0] >= proof.tx
        assert len(proof.state[1]) == 32
        assert proof.instance.name == "b"
        assert proof.fields == ("id", "name")
        # What came from the past is proven as it was.
        past = ledger.verify(Author.objects.as_of(then).get())
        assert (past.tx, past.revision, past.instance.name) == (first.tx, 1, "a")
        assert ledger.verify(first.instance).tx == first.tx

    def test_other_values_are_not(self):
        made = Author.objects.create(name="a")
        made.name = "other"
        with pytest.raises(ledger.MismatchError, match="name") as caught:
            ledger.verify(made)
        assert caught.value.fields == ("name",)

    def test_values_that_mean_the_same_are(self):
        book = Book.objects.create(
            title="a",
            price="1.5",
            pages="7",
            published="2026-01-02",
            changed="2026-01-02 03:04:05",
            data={"b": 1, "a": [1.5, None]},
        )
        assert ledger.verify(book).instance.pages == 7
        assert ledger.verify(Book.objects.get()).fields
        assert ledger.verify(Tag.objects.create(word="w")).revision == 1

    def test_deferred_fields_are_not_compared(self):
        Author.objects.create(name="a")
        assert ledger.verify(Author.objects.defer("name").get()).fields == ("id",)

    def test_what_is_not_there(self):
        made = Author.objects.create(name="a")
        Author.objects.all().delete()
        with pytest.raises(ledger.NotInLedgerError, match="no row"):
            ledger.verify(made)
        with pytest.raises(ValueError, match="never saved"):
            ledger.verify(Author(name="a"))

    def test_tables_that_are_not_there(self):
        class Nothing(models.Model):
            class Meta:
                app_label = "nothing"
                apps = Registry()

        with pytest.raises(ProgrammingError, match="no such table"):
            ledger.verify(Nothing(pk=1))
        with pytest.raises(ProgrammingError, match="no such table"):
            ledger.history(Nothing)

    def test_primary_keys_of_several_columns(self):
        composite = pytest.importorskip("django.db.models").CompositePrimaryKey

        class Seat(models.Model):
            pk = composite("row", "number")
            row = models.CharField(max_length=5)
            number = models.IntegerField()
            guest = models.CharField(max_length=20)

            class Meta:
                app_label = "seats"
                apps = Registry()

        with connection.schema_editor() as editor:
            editor.create_model(Seat)
        seat = Seat.objects.create(row="a", number=2, guest="Ann")
        Seat.objects.create(row="a", number=3, guest="Bob")
        then = last_tx()
        Seat.objects.filter(number=2).update(guest="Cid")
        assert ledger.verify(Seat.objects.get(number=2)).revision == 2
        with pytest.raises(ledger.MismatchError):
            ledger.verify(seat)
        found = ledger.history(Seat, ("a", 2))
        assert [one.instance.guest for one in found] == ["Ann", "Cid"]
        assert {one.guest for one in ledger.verified(Seat.objects.all())} == {
            "Bob",
            "Cid",
        }
        past = ledger.as_of(Seat.objects.all(), then)
        assert past.get(pk=("a", 2)).guest == "Ann"
        (change,) = ledger.changes(Seat, then)
        assert (change.action, change.pk) == ("update", ("a", 2))
        with pytest.raises(ValueError, match="2 values"):
            ledger.history(Seat, "a")
