"""CSV files: what is read, and what is refused."""

import csv
import datetime
import os
from decimal import Decimal

import pytest
from django.db import (
    DatabaseError,
    DataError,
    NotSupportedError,
    OperationalError,
    connection,
    models,
)
from hypothesis import given
from hypothesis import strategies as st

from backendkit.stores.testing import ReadOnlyContract
from csv_store.store import CsvStore
from tests.nonrel.models import Registry
from tests.readonly.databases import aliases, run

BOOKS = """\
id,title,pages,price,bought
3,"Ignition!",214,12.50,2018-05-01
1,"Small, is
beautiful",,9,
2,Notes,31,0.10,2024-02-29
"""
LOANS = "\ufeffbook,who,zip\n3,ann,01234\n3,bob,00000\n1,ann,70001\n"


class Book(models.Model):
    title = models.TextField()
    pages = models.IntegerField(null=True)
    price = models.DecimalField(max_digits=9, decimal_places=2)
    bought = models.DateField(null=True)

    class Meta:
        app_label = "examples_csv"
        apps = Registry()
        db_table = "book"
        managed = False


class Loan(models.Model):
    book = models.ForeignKey(Book, models.DO_NOTHING, db_column="book")
    who = models.TextField()
    zip = models.TextField()

    class Meta:
        app_label = "examples_csv"
        apps = Book._meta.apps
        db_table = "loan"
        managed = False


def fill(folder):
    (folder / "book.csv").write_text(BOOKS, "utf-8")
    (folder / "loan.csv").write_text(LOANS, "utf-8")
    (folder / "empty.csv").write_text("")
    (folder / "README.txt").write_text("no table")
    return folder


class TestContract(ReadOnlyContract):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path):
        self.path = fill(tmp_path)

    def make_store(self):
        return CsvStore(self.path)


@pytest.fixture
def folder(tmp_path, _unblocked):
    """The folder of the default database."""
    with aliases(default={"ENGINE": "csv_store", "NAME": str(tmp_path)}):
        yield fill(tmp_path)


def test_reading(folder):
    """Relations, aggregates, order: all that Django can say."""
    books = Book.objects.annotate(n=models.Count("loan")).order_by("-n", "id")
    assert [(book.pk, book.n) for book in books] == [(3, 2), (1, 1), (2, 0)]
    book = Book.objects.get(loan__who="bob")
    assert (book.title, book.price) == ("Ignition!", Decimal("12.50"))
    assert book.bought == datetime.date(2018, 5, 1)
    assert Book.objects.get(pages=None).title == "Small, is\nbeautiful"
    assert Book.objects.filter(bought__year=2024).get().pk == 2
    assert Book.objects.aggregate(all=models.Sum("price"))["all"] == Decimal("21.60")
    assert [loan.zip for loan in Loan.objects.order_by("pk")] == [
        *("01234", "00000", "70001")
    ]


def test_a_changed_file_is_read_again(folder):
    """By the next transaction, and only that file."""
    assert Book.objects.count() == 3
    file = folder / "new.csv"
    file.write_text("id,title,pages,price,bought\n7,New,1,1,\n")
    os.replace(file, folder / "book.csv")
    assert [book.title for book in Book.objects.all()] == ["New"]
    (folder / "book.csv").unlink()
    with pytest.raises(DatabaseError, match="no such table: book"):
        Book.objects.count()


@pytest.mark.parametrize(
    "write",
    [
        lambda: Book.objects.create(title="x", price=1),
        lambda: Book.objects.update(price=1),
        lambda: Book.objects.filter(pk=1).delete(),
        lambda: run("default", "CREATE TABLE t (id integer PRIMARY KEY)"),
        lambda: run("default", "DROP TABLE book"),
    ],
)
def test_writes_are_refused(folder, write):
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(NotSupportedError, match="CsvStore is read-only"):
        write()
    assert before == {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id,a\n1,2\n2\n", r"book\.csv: a line hasn't 2 fields"),
        (b"id,a\n1,2,3\n", r"book\.csv: a line hasn't 2 fields"),
        (b"id,a\n1,2\n1,3\n", r"book\.csv: two lines have the same id"),
        (b"ID,a\n1,2\n,3\n", r"book\.csv: two lines have the same ID, or one has none"),
        (b"id,a,A\n1,2,3\n", r"book\.csv: each column needs a name of its own"),
        (b"id,\n1,2\n", r"book\.csv: each column needs a name of its own"),
        (b'id,a\n1,"2\n', "unexpected end of data"),
        (b'id,a\n1,"2"3\n', "expected after"),
        (b"id,a\n1,\xff\n", "can't decode byte 0xff"),
        (b"id,a\n1," + b"x" * 200_000, "field larger than field limit"),
    ],
)
def test_bad_files(folder, content, message):
    """They are an error of Django's, which says what is wrong; and others go on then."""
    (folder / "book.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        Book.objects.count()
    (folder / "book.csv").write_text(BOOKS)
    assert Book.objects.count() == 3


def test_no_folder(tmp_path):
    missing = {"ENGINE": "csv_store", "NAME": str(tmp_path / "missing")}
    with aliases(default=missing), pytest.raises(OperationalError, match="missing"):
        Book.objects.count()


def test_introspection(folder):
    """``inspectdb`` sees what a column is."""
    with connection.cursor() as cursor:
        names = connection.introspection.table_names(cursor)
        assert names == ["book", "empty", "loan"]
        found = connection.introspection.get_table_description(cursor, "book")
        kinds = [connection.introspection.get_field_type(c.type_code, c) for c in found]
    assert kinds[1:] == ["TextField", "BigIntegerField", "DecimalField", "DateField"]


#: What a field may hold that isn't what it looks like.
_texts = st.text(
    st.characters(exclude_categories=["Cs"]), max_size=8
) | st.sampled_from(
    ["", "0", "-0", "007", "1e5", "1_0", "٣", "9" * 18, "9" * 19, "NaN", "2023-02-29"]
)


@given(values=st.lists(_texts, min_size=1, max_size=5))
def test_texts_come_back(tmp_path_factory, values):
    """Whatever type a column has, its values are written as they are in the file."""
    folder = tmp_path_factory.mktemp("csv")
    with (folder / "t.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["n", "a"], *enumerate(values)])
    table, rows = CsvStore(folder).read()["t"]
    found = [row[table.positions["a"]] for row in rows]
    written = [f"{one:f}" if isinstance(one, Decimal) else one for one in found]
    assert ["" if one is None else str(one) for one in written] == values
