"""
One engine's process: takes commands from standard input, one JSON line each.

Both engines' workers wait for each other, so that they are measured in turn, and
neither has the other's objects, caches or garbage in its memory.
"""

import argparse
import gc
import hashlib
import json
import sys
import time
from pathlib import Path

from .engines import ENGINES, check_durable, set_up, versions


def fill(sizes):
    """Make the tables and fill them."""
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    from .shop import rows

    call_command("migrate", run_syncdb=True, verbosity=0)
    get_user_model().objects.create_superuser("bench")
    rows.fill(sizes)


def first_query():
    """Run the query that a new process is waited for."""
    from .shop.models import Book

    return Book.objects.get(pk=1).title


def resident():
    """Return the resident memory in bytes, all and anonymous; None if unknown."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return [int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "RssAnon")]


def digest_of(value):
    """Return a short text that is the same for the same values only."""
    text = repr(value)
    return f"{hashlib.sha256(text.encode()).hexdigest()[:16]} {text[:200]}"


def sample(operation, calls):
    """Return the seconds that a number of calls take together."""
    operation.before(calls)
    call, start = operation.call, operation.number
    operation.number += calls
    # Collected before, and left on: as in a server that serves requests.
    gc.collect()
    started = time.perf_counter()
    for number in range(start, start + calls):
        call(number)
    seconds = time.perf_counter() - started
    operation.after(calls)
    return seconds


def answer(operation):
    """Call an operation once and return what it answers, shortened."""
    from .operations import plain_of

    operation.before(1)
    found = digest_of(plain_of(operation.call(operation.number)))
    operation.number += 1
    operation.after(1)
    return found


def contents():
    """Return a digest of each table's rows."""
    from .operations import plain_of
    from .shop.models import Author, Book, Sale

    return [
        digest_of([plain_of(row) for row in model.objects.order_by("pk").iterator()])
        for model in (Author, Book, Sale)
    ]


def serve(arguments):
    """Answer commands until there are no more."""
    from .operations import operations
    from .shop.rows import Sizes

    engine, directory = arguments.engine, arguments.directory
    sizes = Sizes.of(arguments.quick)
    check_durable(engine)
    if arguments.fill:
        fill(sizes)
    known = operations(engine, sizes, directory)
    handlers = {
        "list": lambda: [[one.name, one.group, one.reads] for one in known],
        "versions": lambda: versions(engine),
        "answer": lambda number: answer(known[number]),
        "sample": lambda number, calls: sample(known[number], calls),
        "contents": contents,
        "resident": resident,
    }
    for line in sys.stdin:
        name, *values = json.loads(line)
        print(json.dumps(handlers[name](*values)), flush=True)


def main():
    """Set up Django, then run one query or take commands."""
    parser = argparse.ArgumentParser()
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--fill", action="store_true")
    parser.add_argument("--first-query", action="store_true")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    set_up(arguments.engine, arguments.directory)
    if arguments.first_query:
        first_query()
    else:
        serve(arguments)


if __name__ == "__main__":
    main()
