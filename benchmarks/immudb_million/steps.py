"""What is done to the rows, step by step; each in a process of its own."""

import argparse
import contextlib
import json
import resource
import sys
import time
from pathlib import Path

from . import rows as wanted
from .project import set_up

#: Rows of one call of ``bulk_create()``.
CALL = 10_000
#: Of so many rows there is one that is changed, and one that is deleted; one that is
#: loaded from a fixture, and a session.
CHANGED, LOADED, SESSIONS = 10, 20, 20


class WrongRowsError(Exception):
    """A step has done something else than it should."""


class Steps:
    """
    The steps of one run; what each returns tells what it has done.

    :param rows: events in all.
    :param directory: for the fixture.
    """

    def __init__(self, rows, directory):
        self.rows = rows
        self.fixture = Path(directory) / "events.jsonl"
        self.loaded = rows // LOADED
        self.half = rows // 2

    # Before the migrations

    def first(self):
        """Make the tables and the authors."""
        from django.core.management import call_command

        for name in ("contenttypes", "auth", "admin", "sessions"):
            call_command("migrate", name, verbosity=0)
        call_command("migrate", "events", "0001", verbosity=0)
        from .former.models import Author

        Author.objects.bulk_create(
            Author(name=f"Author {number}") for number in range(wanted.AUTHORS)
        )

    def create_in_calls(self):
        self._create(range(self.half), CALL)

    def create_at_once(self):
        numbers = range(self.half, self.rows - self.loaded)
        self._create(numbers, len(numbers))

    def _create(self, numbers, size):
        from .former.models import Event

        for start in range(0, len(numbers), size):
            Event.objects.bulk_create(
                Event(**wanted.event(number, self.rows))
                for number in numbers[start : start + size]
            )

    def write_fixture(self):
        from .former.models import Event

        first = Event.objects.order_by("-pk").values_list("pk", flat=True)[0] + 1
        numbers = range(self.rows - self.loaded, self.rows)
        with self.fixture.open("w", encoding="utf-8") as file:
            file.writelines(wanted.fixture(numbers, self.rows, first))

    def load(self):
        from django.core.management import call_command

        call_command("loaddata", str(self.fixture), verbosity=0)

    def create_sessions(self):
        from django.contrib.sessions.models import Session

        for start in range(0, self.rows // SESSIONS, CALL):
            stop = min(start + CALL, self.rows // SESSIONS)
            Session.objects.bulk_create(
                Session(
                    session_key=f"{number:032}",
                    session_data="." * 80,
                    expire_date=wanted.FIRST,
                )
                for number in range(start, stop)
            )

    # After them

    def migrate(self, name):
        from django.core.management import call_command

        call_command("migrate", "events", name, verbosity=0)

    def update(self):
        from .events.models import Event

        number = self.rows // CHANGED
        end = wanted.created(number)
        found = Event.objects.filter(created__lt=end).update(weight=2)
        _require(found == number, found)

    def update_indexed(self):
        from .events.models import Event

        number = self.rows // CHANGED
        found = Event.objects.filter(created__lt=wanted.created(number))
        _require(found.update(note="changed") == number)

    def delete(self):
        from .events.models import Event

        number = self.rows // CHANGED
        begin = wanted.created(self.rows - number)
        found, _ = Event.objects.filter(created__gte=begin).delete()
        _require(found == number, found)

    def clear_sessions(self):
        from django.core.management import call_command

        call_command("clearsessions")

    def flush(self):
        from django.core.management import call_command

        call_command("flush", interactive=False, verbosity=0)


def check_rows(rows, *, notes, text, renamed, weight, changed=False):
    """
    Compare the events with what they should be: how many there are, and some of them.

    :param notes: whether there are texts in place of NULL.
    :param text: whether the level is a text.
    :param renamed: whether it is the severity.
    :param weight: whether there is a weight, of which value; None for no such column.
    :raises WrongRowsError: they are others.
    """
    from django.db import connection

    names = ["created", "author_id", "name", "note", "data"]
    names.append("severity" if renamed else "level")
    names += [] if weight is None else ["weight"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM events_event")
        _require(cursor.fetchone() == (rows,), "count")
        for number in sorted({0, 1, rows // 2, rows - rows // LOADED, rows - 1}):
            one = wanted.event(number, rows)
            is_changed = changed and number < rows // CHANGED
            cursor.execute(
                f"SELECT {', '.join(names)} FROM events_event WHERE created = %s",
                [one["created"].replace(tzinfo=None)],
            )
            found = cursor.fetchall()
            note = (one["note"] or "") if notes else one["note"]
            right = [
                one["author_id"],
                one["name"],
                "changed" if is_changed else note,
                one["data"],
                str(one["level"]) if text else one["level"],
            ]
            if weight is not None:
                right.append(2 if is_changed else weight)
            _require(len(found) == 1, found)
            (row,) = found
            _require([*row[1:4], json.loads(row[4]), *row[5:]] == right, row, right)


def _require(right, *found):
    if not right:
        raise WrongRowsError(found)


def check_sessions(number):
    """Raise WrongRowsError if there are not so many sessions that have expired."""
    from django.contrib.sessions.models import Session

    found = Session.objects.filter(expire_date=wanted.FIRST).count()
    _require(found == number, found)


def peak():
    """Return the most memory that this process has had, in bytes; None if unknown."""
    with contextlib.suppress(OSError):
        return status_bytes("self")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def status_bytes(process, name="VmHWM"):
    """Return what Linux tells of a process's memory. :raises OSError: it doesn't."""
    text = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    for line in text.splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(name)


def main():
    """Do one step, and print what it took as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("step")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--places", type=json.loads, required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--migrated", action="store_true")
    parser.add_argument("--check", type=json.loads)
    arguments = parser.parse_args()
    set_up(arguments.places, migrated=arguments.migrated)
    from django.db import connection

    steps = Steps(arguments.rows, arguments.places["directory"])
    if arguments.step == "read":
        from .reads import measure

        print(json.dumps(measure(arguments.rows, arguments.places)))
        return
    connection.ensure_connection()
    step = getattr(steps, arguments.step)
    started = time.perf_counter()
    spent = time.process_time()
    step(*arguments.words)
    seconds = time.perf_counter() - started
    spent = time.process_time() - spent
    found = {"seconds": seconds, "processor": spent, "peak": peak()}
    if arguments.check:
        kind = arguments.check.pop("kind")
        {"rows": check_rows, "sessions": check_sessions}[kind](**arguments.check)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
