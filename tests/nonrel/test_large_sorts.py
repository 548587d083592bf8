"""What has to see all rows before it returns the first one holds a few large ones."""

import os
import pathlib
import threading

import pytest
from django.db import connection, models
from django.db.models import Count, F, Max

from tests.effort import effort

from .models import registry

MIB = 1 << 20
ROWS = effort(test=60, check=100, soak=300)
#: MiB: what is sorted in memory, and a row for each file of SQLite's that is merged.
ENOUGH = 36 + ROWS // 6
STATUS = pathlib.Path("/proc/self/status")


class Letter(models.Model):
    """A row with a large text."""

    n = models.IntegerField()
    same = models.IntegerField(default=0)
    text = models.TextField()

    class Meta:
        app_label = "nonrel"
        apps = registry


class Reply(models.Model):
    """A small row that refers to a large one."""

    letter = models.ForeignKey(Letter, models.CASCADE)

    class Meta:
        app_label = "nonrel"
        apps = registry


letters, replies = Letter.objects, Reply.objects
QUERIES = {
    "native": lambda: letters.order_by("same", "-n"),
    "half": lambda: letters.order_by("-n")[: ROWS // 2],
    "some": lambda: letters.filter(same__in=[0, 1]).order_by("n"),
    "joined": lambda: replies.select_related("letter").order_by("-letter__n"),
    "SQL": lambda: letters.annotate(m=F("n") + 1).order_by("-m"),
    "by text": lambda: letters.order_by("text"),
    "distinct": lambda: letters.values_list("text").distinct(),
    "groups": lambda: letters.values_list("text").annotate(Count("pk")),
    "greatest": lambda: letters.values_list("n").annotate(Max("text")),
    "union": lambda: letters.filter(n__lt=9).union(letters.filter(n__gte=9)),
}


def memory():
    """Return MiB of this process that aren't files: LMDB's map is one."""
    line = next(x for x in STATUS.read_text().splitlines() if x.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


def growth(read):
    """Return by how much memory grows, at the most, and what a function returns."""
    start = memory()
    most, done = [start], threading.Event()

    def watch():
        while not done.wait(0.002):
            most.append(memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = read()
    finally:
        done.set()
        watcher.join()
    return max(*most, memory()) - start, result


def in_child(work):
    """Let a child process do something: its memory is its own. Return its exit code."""
    child = os.fork()
    if not child:
        code = 99
        try:
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture
def large(lmdb):
    lmdb.create(Letter, Reply)
    for n in range(ROWS):
        letter = letters.create(n=n * 7 % ROWS, text=chr(97 + n % 26) * MIB + str(n))
        replies.create(letter=letter)
    return lmdb


@pytest.mark.skipif(not STATUS.exists(), reason="memory is looked up in /proc")
def test_memory_is_bounded(large):
    for name, make in QUERIES.items():
        expected = ROWS // 2 if name == "half" else ROWS
        query = make()

        def work(query=query, expected=expected):
            connection.connect()
            grown, number = growth(lambda: sum(1 for _ in query.iterator(chunk_size=1)))
            return 98 if number != expected else min(int(grown), 97)

        assert in_child(work) < ENOUGH, name


def test_rows_are_in_order(large):
    for name in ("native", "half", "some", "joined", "SQL"):
        rows = QUERIES[name]().iterator(chunk_size=1)
        letters = [getattr(row, "letter", row) for row in rows]
        found = [(row.n, len(row.text) > MIB) for row in letters]
        order = range(ROWS) if name == "some" else range(ROWS - 1, -1, -1)
        expected = [(n, True) for n in order][: ROWS // 2 if name == "half" else None]
        assert found == expected, name
