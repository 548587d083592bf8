"""
A process that lets others write, kills them, and looks at what they left.

It never opens the database itself. Writers and those that look are forked from it,
after all modules are loaded: to start one takes milliseconds.

The transaction with number n is a pure function of a seed, n and the state that the
transactions before it lead to (:func:`plan`). So a writer has to tell no more than
the number of each transaction that was committed, and this process knows what has to
be in the database: all transactions up to the last one it was told of, or one more.
"""

import contextlib
import copy
import functools
import itertools
import json
import os
import pickle
import random
import select
import signal
import struct
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field

from django.conf import settings

settings.configure(
    DATABASES={"default": {"ENGINE": "backendkit.backends.lmdb", "NAME": "unused"}},
    USE_TZ=False,
)

import django  # noqa: E402  # it has to be configured before it is imported

django.setup()

from django.apps.registry import Apps  # noqa: E402  # as above
from django.db import IntegrityError, connection, models, transaction  # noqa: E402  # as above
from django.db.models import F  # noqa: E402  # as above

from backendkit.backends.lmdb.transaction import LMDBTransaction  # noqa: E402  # as above
from backendkit.kv.checking import Checker  # noqa: E402  # as above

#: More rows than this in a table, and transactions delete rather than insert.
MANY = 60
#: Seconds that a writer may take for one transaction, on the busiest machine.
PATIENCE = 60
#: Which of ten writers ends between a commit and the acknowledgement of it.
UNHEARD = 4


class Registry(Apps):
    """Where these models are registered: they belong to no app."""

    def __init__(self):
        super().__init__(())

    @functools.cache  # noqa: B019  # as in Django, which calls cache_clear()
    def get_models(self, include_auto_created=False, include_swapped=False):
        """Return all models, with whom relations are followed when rows are deleted."""
        return list(self.all_models["crash"].values())


registry = Registry()


class Author(models.Model):
    name = models.CharField(max_length=40, unique=True)
    rank = models.IntegerField()

    class Meta:
        app_label = "crash"
        apps = registry


BOOK_PAGES = models.Index(fields=["pages"], name="crash_book_pages")


class Book(models.Model):
    title = models.CharField(max_length=40)
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    editor = models.ForeignKey(
        Author, models.SET_NULL, null=True, related_name="edited"
    )
    pages = models.IntegerField()

    class Meta:
        app_label = "crash"
        apps = registry
        constraints = [
            models.UniqueConstraint(fields=["title", "author"], name="crash_book_title")
        ]


class Note(models.Model):
    text = models.TextField()

    class Meta:
        app_label = "crash"
        apps = registry
        db_table = "crash_note"


class LongNote(models.Model):
    """The same table, with one column more."""

    text = models.TextField()
    more = models.IntegerField(default=7)

    class Meta:
        app_label = "crash"
        apps = registry
        db_table = "crash_note"


class Extra(models.Model):
    """A table that comes and goes."""

    value = models.CharField(max_length=40, unique=True)

    class Meta:
        app_label = "crash"
        apps = registry


MODELS = {model.__name__: model for model in (Author, Book, Note, LongNote, Extra)}
#: The columns of each but the primary key.
FIELDS = {
    name: [one.attname for one in model._meta.concrete_fields[1:]]
    for name, model in MODELS.items()
}


@dataclass
class Table:
    """Rows by primary key, and the greatest number that was given to one."""

    rows: dict = field(default_factory=dict)
    last: int = 0


@dataclass
class State:
    """What is in the database."""

    author: Table = field(default_factory=Table)
    book: Table = field(default_factory=Table)
    note: Table = field(default_factory=Table)
    extra: Table | None = None
    indexed: bool = False
    long: bool = False

    def table(self, model):
        """Return the table of a model, by name."""
        return getattr(self, model.lower().removeprefix("long"))


class Planner:
    """
    Makes up a transaction, and applies it to a state.

    :ivar state: that before it; changed.
    """

    def __init__(self, seed, number, state):
        self.random = random.Random(f"{seed}-{number}")
        self.number = number
        self.state = state
        self.names = itertools.count()

    def transaction(self):
        """Return how it ends, and its operations."""
        kind = self.random.choices(
            ("atomic", "autocommit", "undone", "broken"), (70, 15, 10, 5)
        )[0]
        before = copy.deepcopy(self.state)
        if kind == "autocommit":
            return kind, [self.simple()]
        operations = self.operations(self.random.randint(1, 6), depth=0)
        if kind == "broken":
            fields = {"title": "x", "author_id": 10**9, "editor_id": None, "pages": 1}
            operations.append(("create", "Book", [fields]))
        if kind != "atomic":
            self.state = before
        return kind, operations

    def operations(self, count, depth):
        return [self.operation(depth) for _ in range(count)]

    def operation(self, depth):
        chance = self.random.random()
        if chance < 0.15 and depth < 3:
            before = copy.deepcopy(self.state)
            operations = self.operations(self.random.randint(1, 3), depth + 1)
            kept = self.random.random() < 0.6
            if not kept:
                self.state = before
            return "savepoint", kept, operations
        if chance < 0.23:
            return self.definition()
        if chance < 0.3 and self.state.author.rows:
            name = self.random.choice(list(self.state.author.rows.values()))[0]
            return "duplicate", "Author", {"name": name, "rank": 0}
        return self.simple()

    def simple(self):
        """Insert, update or delete."""
        kinds = ["Author", "Author", "Book", "Book", "Book", "Note"]
        if self.state.extra is not None:
            kinds.append("Extra")
        model = self.random.choice(kinds)
        if model == "Book" and not self.state.author.rows:
            model = "Author"
        if model == "Note" and self.state.long:
            model = "LongNote"
        rows = self.state.table(model).rows
        if len(rows) > MANY or (rows and self.random.random() < 0.25):
            return self.delete(model)
        if rows and self.random.random() < 0.4:
            return self.change(model)
        return self.create(model)

    def fields(self, model):
        # Names never come again: no transaction violates anything by chance.
        name = f"{self.number}.{next(self.names)}"
        name += "x" * self.random.choice((0, 0, 25))
        number = self.random.randint(-1000, 1000)
        if model == "Author":
            return {"name": name, "rank": number}
        if model == "Book":
            authors = list(self.state.author.rows)
            return {
                "title": name,
                "author_id": self.random.choice(authors),
                "editor_id": self.random.choice([None, *authors]),
                "pages": number,
            }
        if model == "Extra":
            return {"value": name}
        text = name * self.random.choice((1, 1, 10, 500))
        return {"text": text, "more": number} if model == "LongNote" else {"text": text}

    def create(self, model):
        table = self.state.table(model)
        count = self.random.choice((1, 1, 1, 2, 15))
        given = [self.fields(model) for _ in range(count)]
        for fields in given:
            table.last += 1
            table.rows[table.last] = tuple(fields.values())
        return "create", model, given

    def change(self, model):
        table = self.state.table(model)
        if model == "Author" and self.random.random() < 0.3:
            limit = self.random.randint(-1000, 1000)
            for key, (name, rank) in table.rows.items():
                if rank < limit:
                    table.rows[key] = name, rank + 1
            return "raise", limit
        key = self.random.choice(list(table.rows))
        fields = self.fields(model)
        table.rows[key] = tuple(fields.values())
        return "change", model, key, fields

    def delete(self, model):
        rows = self.state.table(model).rows
        count = min(self.random.choice((1, 1, 5, 30)), len(rows))
        keys = self.random.sample(list(rows), count)
        for key in keys:
            del rows[key]
        if model == "Author":
            books = self.state.book.rows
            for key, (title, author, editor, pages) in list(books.items()):
                if author in keys:
                    del books[key]
                elif editor in keys:
                    books[key] = title, author, None, pages
        return "delete", model, keys

    def definition(self):
        """Change the schema."""
        state = self.state
        what = self.random.choice(("index", "column", "table"))
        if what == "index":
            state.indexed = not state.indexed
            return what, state.indexed
        if what == "column":
            state.long = not state.long
            rows = state.note.rows
            for key, (text, *_) in rows.items():
                rows[key] = (text, 7) if state.long else (text,)
            return what, state.long
        state.extra = Table() if state.extra is None else None
        return what, state.extra is not None


def plan(seed, number, state):
    """Return a transaction, and the state after it; the given one is changed."""
    planner = Planner(seed, number, state)
    return planner.transaction(), planner.state


class UndoneError(Exception):
    """Ends an atomic block that is to leave nothing."""


def execute(planned, acknowledge):
    """Run a transaction by the ORM, and acknowledge it when it has ended."""
    kind, operations = planned
    if kind == "autocommit":
        run(operations[0])
    else:
        expected = {"undone": UndoneError, "broken": IntegrityError}.get(kind)
        with contextlib.suppress(expected) if expected else contextlib.nullcontext():
            with transaction.atomic():
                for operation in operations:
                    run(operation)
                if kind == "undone":
                    raise UndoneError
                if MUTATION == "early":
                    acknowledge()
            assert expected is None, f"a transaction that is {kind} was committed"
    acknowledge()


def run(operation):
    """Run one operation."""
    kind, *arguments = operation
    if kind == "savepoint":
        kept, operations = arguments
        with contextlib.suppress(UndoneError), transaction.atomic():
            for one in operations:
                run(one)
            if not kept:
                raise UndoneError
    elif kind == "duplicate":
        model, fields = arguments
        with contextlib.suppress(IntegrityError), transaction.atomic():
            MODELS[model].objects.create(**fields)
            raise AssertionError("a unique index let a row pass")
    elif kind == "create":
        model, given = arguments
        objects = [MODELS[model](**fields) for fields in given]
        if len(objects) == 1:
            objects[0].save(force_insert=True)
        else:
            MODELS[model].objects.bulk_create(objects)
    elif kind == "change":
        model, key, fields = arguments
        one = MODELS[model].objects.get(pk=key)
        for name, value in fields.items():
            setattr(one, name, value)
        one.save()
    elif kind == "raise":
        (limit,) = arguments
        Author.objects.filter(rank__lt=limit).update(rank=F("rank") + 1)
    elif kind == "delete":
        model, keys = arguments
        MODELS[model].objects.filter(pk__in=keys).delete()
    else:
        with connection.schema_editor() as editor:
            define(editor, kind, *arguments)


def define(editor, what, there):
    """Change the schema so that something is there, or isn't."""
    if what == "index":
        (editor.add_index if there else editor.remove_index)(Book, BOOK_PAGES)
    elif what == "table":
        (editor.create_model if there else editor.delete_model)(Extra)
    elif there:
        editor.add_field(Note, LongNote._meta.get_field("more"))
    else:
        editor.remove_field(LongNote, LongNote._meta.get_field("more"))


def found():
    """Return the state that the database is in, after a check of all it holds."""
    state = State()
    connection.ensure_connection()
    session = connection.connection.store.session()
    session.begin(write=False)
    try:
        findings = [str(one) for one in Checker(session.active(), 511).findings()]
        assert not findings, findings
        catalog = session.catalog()
        last = {
            name: session.numbers(session.record(table)).last
            for name, table in catalog.tables.items()
        }
    finally:
        session.close()
    with connection.cursor() as cursor:
        state.indexed = BOOK_PAGES.name in connection.introspection.get_constraints(
            cursor, "crash_book"
        )
    columns = {column.name for column in catalog.tables["crash_note"].columns}
    state.long = "more" in columns
    if "crash_extra" in catalog.tables:
        state.extra = Table()
    for model in ("Author", "Book", "LongNote" if state.long else "Note", "Extra"):
        table = state.table(model)
        if table is not None:
            rows = MODELS[model].objects.values_list("pk", *FIELDS[model])
            table.rows = {key: tuple(values) for key, *values in rows}
            table.last = last[MODELS[model]._meta.db_table]
    connection.check_constraints()
    return state


def create():
    """Make the tables."""
    with connection.schema_editor() as editor:
        for model in (Author, Book, Note):
            editor.create_model(model)


def write(pipe, seed, number, state, last=None):
    """
    Run one transaction after the other, and tell the number of each.

    :param last: at the first transaction from this number on that changes anything,
        the process kills itself instead of telling that it has been committed.
    """

    def acknowledge():
        if last is not None and number >= last and state != before:
            os.kill(os.getpid(), signal.SIGKILL)
        os.write(pipe, struct.pack("q", number))

    Author.objects.exists()
    os.write(pipe, struct.pack("q", number))
    while True:
        number += 1
        before = copy.deepcopy(state)
        planned, state = plan(seed, number, state)
        execute(planned, acknowledge)


def forked(work, *arguments):
    """Start a process that does some work with a pipe; return its pid and the pipe."""
    read, written = os.pipe()
    pid = os.fork()
    if pid:
        os.close(written)
        return pid, read
    status = 1
    try:
        os.close(read)
        work(written, *arguments)
        status = 0
    except BaseException:  # noqa: BLE001  # whatever it is, the process ends here
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def answer(work, *arguments):
    """Return what a function returns in a process of its own."""

    def tell(pipe):
        with open(pipe, "wb") as file:
            pickle.dump(work(*arguments), file)

    pid, pipe = forked(tell)
    with open(pipe, "rb") as file:
        data = file.read()
    assert os.waitpid(pid, 0)[1] == 0, "a process that looks at the database failed"
    return pickle.loads(data)


class Killer:
    """Starts writers and kills them, at moments that are random on any machine."""

    def __init__(self, seed):
        self.random = random.Random(f"{seed}-kills")
        #: Seconds that a transaction takes, about.
        self.pace = 0.02

    def kill(self, seed, number, state):
        """
        Let a writer run; return the number of the last transaction that it told.

        One in ten is killed while it starts, the others within the transaction that
        follows a few whole ones.
        """
        pid, pipe = forked(write, seed, number, state)
        told = b""
        try:
            if self.random.random() < 0.1:
                time.sleep(self.random.uniform(0, self.pace))
            else:
                started = 0.0
                count = self.random.randint(0, 5)
                while len(told) <= 8 * count:
                    assert select.select([pipe], [], [], PATIENCE)[0], "it is stuck"
                    data = os.read(pipe, 8)
                    if not data:
                        break  # it has failed: its status says so
                    told += data
                    started = started or time.monotonic()
                if count:
                    taken = (time.monotonic() - started) / count
                    self.pace += (taken - self.pace) / 10
                time.sleep(self.random.uniform(0, 1.2 * self.pace))
        finally:
            os.kill(pid, signal.SIGKILL)
            status = os.waitpid(pid, 0)[1]
        with open(pipe, "rb") as file:
            told += file.read()
        assert os.WIFSIGNALED(status), "a writer failed"
        return struct.unpack("q", told[-8:])[0] if told else number

    def unheard(self, seed, number, state):
        """As :meth:`kill`; the writer ends between a commit and its acknowledgement."""
        last = number + self.random.randint(1, 5)
        pid, pipe = forked(write, seed, number, state, last)
        with open(pipe, "rb") as file:
            told = file.read()
        assert os.WIFSIGNALED(os.waitpid(pid, 0)[1]), "a writer failed"
        return struct.unpack("q", told[-8:])[0]


def difference(state, expected):
    """Return how a state differs from the expected one, in a few lines."""
    lines = []
    for name in ("author", "book", "note", "extra"):
        one, other = getattr(state, name), getattr(expected, name)
        if one == other:
            continue
        if one is None or other is None:
            lines.append(f"{name}: {'not' if one is None else ''} there")
            continue
        lines.append(f"{name}: last {one.last}, expected {other.last}")
        for key in sorted({*one.rows, *other.rows}):
            if one.rows.get(key) != other.rows.get(key):
                shown = repr((one.rows.get(key), other.rows.get(key)))
                lines.append(f"  {key}: {shown[:200]}")
    if (state.indexed, state.long) != (expected.indexed, expected.long):
        lines.append("the schema differs")
    return "\n".join(lines[:20])


def crash(name, seed, kills):
    """
    Kill writers to one database; return figures.

    :raises AssertionError: something was lost, or was there that mustn't be.
    """
    connection.settings_dict["NAME"] = name
    assert answer(create) is None
    killer = Killer(seed)
    number, state = 0, State()
    figures = {"kills": kills, "transactions": 0, "unacknowledged": 0, "starting": 0}
    for turn in range(kills):
        kill = killer.unheard if turn % 10 == UNHEARD else killer.kill
        told = kill(seed, number, copy.deepcopy(state))
        figures["starting"] += told == number
        figures["transactions"] += told - number
        for one in range(number + 1, told + 1):
            state = plan(seed, one, state)[1]
        following = plan(seed, told + 1, copy.deepcopy(state))[1]
        number = told
        now = answer(found)
        if now == state:
            continue
        if now == following:
            state = following
            number += 1
            figures["unacknowledged"] += 1
            continue
        raise AssertionError(
            f"after transaction {told} of seed {seed}:\n{difference(now, state)}\n"
            f"or, with one transaction more:\n{difference(now, following)}"
        )
    return figures


def warm_up():
    """Load all that is loaded as it is used: children have it then."""
    with tempfile.TemporaryDirectory() as folder:
        connection.settings_dict["NAME"] = f"{folder}/db"
        create()
        state = State()
        for number in range(30):
            planned, state = plan("warm up", number, state)
            execute(planned, lambda: None)
        assert found() == state
        connection.close()


def write_apart(first, commit=LMDBTransaction.commit):
    """
    Mutation: let transactions commit in two steps.

    :param first: what the keys of the second step begin with.
    """

    def apart(self):
        if self._write is None:
            commit(self)
            return
        environment = self._environment.lmdb
        with environment.begin() as before:
            old = dict(pairs(before))
        new = dict(pairs(self._write))
        change(self._write, new, old)
        commit(self)
        with environment.begin(write=True) as second:
            change(second, old, new)

    def pairs(one):
        cursor = one.cursor()
        if cursor.set_range(first):
            yield from itertools.takewhile(lambda pair: pair[0][:1] == first, cursor)

    def change(one, present, wanted):
        for key in present.keys() - wanted.keys():
            one.delete(key)
        for key, value in wanted.items():
            if present.get(key) != value:
                one.put(key, value)

    LMDBTransaction.commit = apart


#: What can be broken, to see that it is noticed: transactions are acknowledged before
#: they are committed, or their index entries, rows or numbers are committed apart.
APART = {"entries": b"i", "rows": b"r", "numbers": b"\x02"}
MUTATION = sys.argv[4] if len(sys.argv) > 4 else ""


def main():
    """Print figures as JSON."""
    name, seed, kills = sys.argv[1:4]
    started = time.monotonic()
    warm_up()
    if MUTATION in APART:
        write_apart(APART[MUTATION])
    figures = crash(name, seed, int(kills))
    figures["seconds"] = round(time.monotonic() - started, 1)
    sys.stdout.write(json.dumps(figures))


if __name__ == "__main__":
    main()
