"""
Measure Django on immudb beside immudb's own client for Python, in one run.

All ask one server, started for this, for the same rows of the same tables; what is
written is on the disk. Each client has a process of its own: this backend, immudb-py,
and psycopg on the server's PostgreSQL port. They take turns.
"""

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from . import report
from .measuring import Worker

#: In ``docs/benchmarks.md``.
HEADING = report.IMMUDB
DATABASE = "bench"
#: Entries of a transaction that the database takes; a row is one.
ENTRIES = 16_384
TABLE = "shop_book"

CLIENTS = {
    "django": "Django",
    "immudb-py": "immudb-py",
    "postgresql": "psycopg",
}
#: What is measured, and what Django's time may be as a multiple of immudb-py's.
GET = "get(pk), autocommit"
INSTANCES = "{rows:,} instances"
JOINED = "{rows:,} instances with select_related()"
BULK = "bulk_create() of {rows:,}"
TARGETS = {GET: 0.75, INSTANCES: 1.3, JOINED: None, BULK: 1.3}
#: Calls of the server that Django may need.
MOST_CALLS = {JOINED: 3}

COLUMNS = (
    "",
    *CLIENTS.values(),
    "Django : immudb-py",
    "quartiles",
    "target",
    "met",
    "calls",
)


@dataclass(frozen=True)
class Line:
    """
    What was measured of an operation.

    :param values: for each client that can do it, seconds a call, one for each round.
    :param calls: how often Django called the server, once.
    """

    name: str
    values: dict[str, list[float]]
    calls: int
    target: float | None
    most_calls: int | None

    @property
    def ratios(self):
        """Django : immudb-py, for each round."""
        pairs = zip(
            self.values["django"], self.values.get("immudb-py", ()), strict=False
        )
        return [ours / theirs for ours, theirs in pairs]

    @property
    def met(self):
        """Whether it meets its target; None if it has none."""
        found = []
        if self.target is not None:
            found.append(statistics.median(self.ratios) <= self.target)
        if self.most_calls is not None:
            found.append(self.calls <= self.most_calls)
        return all(found) if found else None

    def cells(self):
        """Return it as texts."""
        times = [
            report.amount(statistics.median(self.values[client]), "s")
            if client in self.values
            else ""
            for client in CLIENTS
        ]
        ratios = ["", ""]
        if self.ratios:
            low, middle, high = statistics.quantiles(
                self.ratios, n=4, method="inclusive"
            )
            ratios = [f"{middle:.2f}", f"{low:.2f} to {high:.2f}"]
        target = "" if self.target is None else f"≤ {self.target}"
        met = "" if self.met is None else "yes" if self.met else "NO"
        most = "" if self.most_calls is None else f" (≤ {self.most_calls})"
        return [self.name, *times, *ratios, target, met, f"{self.calls}{most}"]


# Clients, each in a process of its own


class Django:
    """This backend, as a project uses it."""

    def __init__(self, places, rows):
        import django
        from django.conf import settings

        settings.configure(
            DATABASES={
                "default": {
                    "ENGINE": "backendkit.backends.immudb",
                    "NAME": DATABASE,
                    "HOST": "127.0.0.1",
                    "PORT": places["port"],
                    "USER": "immudb",
                    "PASSWORD": places["password"],
                }
            },
            INSTALLED_APPS=["benchmarks.shop"],
            DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        )
        django.setup()
        from .shop.models import Author, Book

        self.author, self.book, self.rows = Author, Book, rows

    def fill(self):
        from django.core.management import call_command

        from .shop.rows import Sizes, fill

        call_command("migrate", run_syncdb=True, verbosity=0)
        fill(Sizes(max(self.rows // 10, 1), self.rows, 0))

    def get(self, number):
        return self.book.objects.get(pk=number)

    def instances(self, number):
        return list(self.book.objects.all())

    def joined(self, number):
        return list(self.book.objects.select_related("author"))

    def bulk(self, number):
        made = self.author.objects.bulk_create(
            [self.author(name=f"Name {n}", country="AT") for n in range(self.rows)]
        )
        return len(made)

    def answer(self, name):
        """Return the columns of what was found, to compare it with the others'."""
        found = getattr(self, name)(7)
        rows = found if isinstance(found, list) else [found]
        return [[one.pk, one.title, one.pages, one.text] for one in rows]

    def calls(self, name):
        from backendkit.backends.immudb.driver._link import Link

        made, ask = [], Link.call

        def call(link, method, *args, **kwargs):
            made.append(method.name)
            return ask(link, method, *args, **kwargs)

        getattr(self, name)(7)
        Link.call = call
        try:
            getattr(self, name)(7)
        finally:
            Link.call = ask
        return len(made)


class ImmudbPy:
    """immudb's client for Python: its rows are tuples."""

    def __init__(self, places, rows):
        from immudb import ImmudbClient

        self.client = ImmudbClient(
            f"127.0.0.1:{places['port']}", max_grpc_message_length=2**28
        )
        self.client.login("immudb", places["password"])
        self.client.useDatabase(DATABASE.encode())
        self.rows = rows
        names = [name for (name,) in self._columns()]
        quoted = ", ".join(f'"{name}"' for name in names)
        self.select = f"SELECT {quoted} FROM {TABLE}"
        self.places = [names.index(n) for n in ("id", "title", "pages", "text")]
        # Below those that Django gives.
        self.last = 0

    def _columns(self):
        return self.client.sqlQuery(f"SELECT name FROM COLUMNS('{TABLE}')")

    def get(self, number):
        return self.client.sqlQuery(f"{self.select} WHERE id = @id", {"id": number})

    def instances(self, number):
        return self.client.sqlQuery(self.select)

    def bulk(self, number):
        # A thousand rows a statement, in one transaction: the fastest of what was tried.
        self.last -= self.rows
        statements, bound = [], {}
        for start in range(0, self.rows, 1000):
            marks = []
            for n in range(start, min(start + 1000, self.rows)):
                marks.append(f"(@i{n}, @n{n}, @c{n})")
                bound[f"i{n}"] = self.last + n
                bound[f"n{n}"] = f"Name {n}"
                bound[f"c{n}"] = "AT"
            values = ", ".join(marks)
            statements.append(
                f'INSERT INTO shop_author (id, "name", country) VALUES {values}'
            )
        self.client.sqlExec("; ".join(statements), bound)
        return self.rows

    def answer(self, name):
        found = getattr(self, name)(7)
        return [[row[place] for place in self.places] for row in found]


class PostgreSQL:
    """psycopg on immudb's PostgreSQL port."""

    def __init__(self, places, rows):
        import psycopg

        self.connection = psycopg.connect(
            host="127.0.0.1",
            port=places["pgsql"],
            user="immudb",
            password=places["password"],
            dbname=DATABASE,
            sslmode="disable",
            autocommit=True,
        )
        # Its rewriting of SQL doesn't know that a quoted "text" is no type.
        self.select = f"SELECT * FROM {TABLE}"

    def get(self, number):
        return self.connection.execute(
            f"{self.select} WHERE id = %s", (number,)
        ).fetchall()

    def instances(self, number):
        return self.connection.execute(self.select).fetchall()

    def answer(self, name):
        cursor = self.connection.execute(
            f"{self.select} WHERE id = 7" if name == "get" else self.select
        )
        names = [one.name.rpartition(".")[2].strip("()") for one in cursor.description]
        places = [names.index(n) for n in ("id", "title", "pages", "text")]
        return [[row[place] for place in places] for row in cursor.fetchall()]


KINDS = {"django": Django, "immudb-py": ImmudbPy, "postgresql": PostgreSQL}


def serve(name, places, rows):
    """Answer commands until there are no more."""
    client = KINDS[name](places, rows)

    def sample(operation, calls):
        call, taken = getattr(client, operation), 0.0
        for number in range(calls):
            key = (number * 7919 + calls) % rows + 1
            started = time.perf_counter()
            found = call(key)
            taken += time.perf_counter() - started
            del found
        return taken / calls

    for line in sys.stdin:
        what, *values = json.loads(line)
        if what == "sample":
            answer = sample(*values)
        elif what == "can":
            answer = hasattr(client, values[0])
        else:
            answer = getattr(client, what)(*values)
        print(json.dumps(answer), flush=True)


# Measuring


class Client(Worker):
    """A client's process."""

    def __init__(self, name, places, rows):
        self.name = name
        options = ["--rows", str(rows), "--places", json.dumps(places)]
        module = "benchmarks.immudb_clients"
        super().__init__([sys.executable, "-m", module, "--serve", name, *options])


class DifferentRowsError(Exception):
    """Two clients don't find the same."""


def measure(places, rows, rounds, gets, say):
    """
    Measure everything and return the lines.

    :param places: ports of the server, and its password.
    :param gets: look-ups in a sample; of the others there is one.
    :raises DifferentRowsError: the clients don't find the same rows.
    """
    operations = {"get": GET, "instances": INSTANCES, "joined": JOINED, "bulk": BULK}
    with contextlib.ExitStack() as stack:
        clients = []
        for name in CLIENTS:
            say(name)
            client = Client(name, places, rows)
            stack.callback(client.close)
            clients.append(client)
            if name == "django":
                client.ask("fill")
        lines = []
        for operation, title in operations.items():
            say(operation)
            able = [one for one in clients if one.ask("can", operation)]
            if operation != "bulk":
                answers = [sorted(one.ask("answer", operation)) for one in able]
                if any(answer != answers[0] for answer in answers):
                    raise DifferentRowsError(operation)
            calls = gets if operation == "get" else 1
            values = {one.name: [] for one in able}
            for number in range(-1, rounds):  # the first isn't counted
                for one in able if number % 2 else reversed(able):
                    seconds = one.ask("sample", operation, calls)
                    if number >= 0:
                        values[one.name].append(seconds)
            lines.append(
                Line(
                    title.format(rows=rows),
                    values,
                    clients[0].ask("calls", operation),
                    TARGETS[title],
                    MOST_CALLS.get(title),
                )
            )
    return lines


@contextlib.contextmanager
def server(directory):
    """Run a server on new data; give its ports and password."""
    from backendkit.backends.immudb import driver
    from backendkit.dbdev import ports
    from backendkit.dbdev.temporary import TemporaryServer

    pgsql = ports.choose(f"{directory}/pgsql")
    options = {"pgsql-server": "true", "pgsql-server-port": pgsql}
    os.environ.setdefault("GOMEMLIMIT", "2GiB")
    with TemporaryServer(
        "immudb", directory, NAME="defaultdb", DBDEV={"OPTIONS": options}
    ) as running:
        with driver.connect(
            port=running.port, password=running.password, autocommit=True
        ) as connection:
            connection.create_database(DATABASE, max_tx_entries=ENTRIES)
            version = connection.server_info().version
        places = {"port": running.port, "pgsql": pgsql, "password": running.password}
        yield places, version


def versions(server_version):
    """Return what is measured, in words."""
    from importlib.metadata import version

    names = ("grpcio", "immudb-py", "psycopg")
    found = ", ".join(f"{name} {version(name)}" for name in names)
    return [f"immudb {server_version}", found]


def run(directory, command, *, quick, say):
    """
    Start a server, measure, and return lines and facts.

    :param directory: on the disk to measure.
    :raises ServerNotFound: there is no immudb here.
    :raises ImportError: a client isn't installed.
    """
    import immudb  # noqa: F401  # looked for before anything is started
    import psycopg  # noqa: F401  # the same

    rows, rounds, gets = (500, 2, 20) if quick else (10_000, 15, 200)
    with tempfile.TemporaryDirectory(dir=directory, prefix="immudb-") as path:
        machine = report.Machine.here(Path(path), command)
        with server(Path(path)) as (places, version):
            lines = measure(places, rows, rounds, gets, say)
        machine.after(versions(version))
    return lines, machine


def summary(lines):
    """Return how many targets are met, as a sentence."""
    bound = [line for line in lines if line.met is not None]
    return f"{sum(line.met for line in bound)} of {len(bound)} targets are met."


def terminal(lines):
    """Return the table in columns."""
    rows = [list(COLUMNS), *(line.cells() for line in lines)]
    return "\n".join(report.columns(rows, "  "))


def section(lines, machine):
    """Return the part of ``docs/benchmarks.md``."""
    rule = ["---"] + ["---:"] * (len(COLUMNS) - 1)
    rows = [["operation", *COLUMNS[1:]], rule, *(line.cells() for line in lines)]
    found = "\n".join(f"| {line} |" for line in report.columns(rows, " | "))
    return f"""\
{HEADING}

This table compares Django on immudb with immudb's own client for Python, and with psycopg
on the server's PostgreSQL port. All were measured in one run, on one server and the same
rows. The clients return tuples, and Django returns instances. *Calls* counts the calls of
Django to the server. {summary(lines)}

{found}

{machine.listed()}
"""


def fragment(lines, machine):
    """Return the same for ``docs/internals/benchmarks.rst``."""
    rows = [[cell.replace(" ", "\xa0") for cell in line.cells()[1:]] for line in lines]
    named = [[line.name, *row] for line, row in zip(lines, rows, strict=True)]
    found = report.list_table(["operation", *COLUMNS[1:]], named)
    return f"{summary(lines)}\n\n{found}\n\n{machine.fields()}\n"


def data(lines, machine):
    """Return all of it for JSON."""
    return {
        "facts": machine.facts,
        "results": [
            {
                "name": line.name,
                "values": line.values,
                "ratios": line.ratios,
                "target": line.target,
                "calls": line.calls,
                "most calls": line.most_calls,
                "met": line.met,
            }
            for line in lines
        ],
    }


def write(directory, lines, machine):
    """Write what belongs into the documentation, beside the other benchmarks."""
    page = directory / "benchmarks.md"
    before, _, after = page.read_text(encoding="utf-8").partition(HEADING)
    # What follows is another module's, between marks.
    _, mark, rest = after.partition(report.MILLION)
    kept = f"\n{mark}{rest}" if mark else ""
    text = f"{before.rstrip()}\n\n{section(lines, machine)}{kept}"
    page.write_text(text, encoding="utf-8")
    path = directory / "internals/benchmarks-immudb.txt"
    path.write_text(fragment(lines, machine), encoding="utf-8")


def main():
    """Answer commands: what :class:`Client` starts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", choices=KINDS, required=True)
    parser.add_argument("--places", type=json.loads, required=True)
    parser.add_argument("--rows", type=int, required=True)
    arguments = parser.parse_args()
    serve(arguments.serve, arguments.places, arguments.rows)


if __name__ == "__main__":
    main()
