"""Processes that change the same rows at the same time: none loses, none gives up."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from django.db.models import Sum

from tests.effort import effort
from tests.nonrel.models import Item

pytest.importorskip("grpc", reason="needs the extra immudb")

ROOT = Path(__file__).parent.parent.parent

PROCESSES = effort(test=3, check=8, soak=16)
TRANSFERS = effort(test=6, check=25, soak=100)
ACCOUNTS = effort(test=3, check=10, soak=10)

#: What each process runs: ``work`` is a function without arguments.
PROGRAM = """
import json, random, sys
from django.conf import settings

given = json.loads(sys.argv[1])
settings.configure(DATABASES={{"default": given["database"]}}, USE_TZ=False)

import django

django.setup()

from django.db.models import F
from backendkit.retry import retry
from tests.nonrel.models import Item

chance = random.Random(given["seed"])

{work}

Item.objects.count()
print("ready", flush=True)
sys.stdin.readline()
for _ in range(given["times"]):
    work()
"""

TRANSFER = """
@retry
def transfer(source, target, amount):
    one, other = Item.objects.get(pk=source), Item.objects.get(pk=target)
    one.number -= amount
    other.number += amount
    one.save()
    other.save()


def work():
    transfer(*chance.sample(given["keys"], 2), chance.randrange(1, 9))
"""

STATEMENTS = """
def work():
    found = Item.objects.filter(pk=chance.choice(given["keys"][:2]))
    assert found.update(number=F("number") + 1) == 1
    Item.objects.create(code=f"{given['seed']} {chance.random()}")
"""


def together(settings, work, keys):
    """Run a program in several processes at once. :raises AssertionError: one failed."""
    text = textwrap.dedent(PROGRAM).format(work=work)
    running = []
    try:
        for number in range(PROCESSES):
            given = {
                "database": settings,
                "keys": keys,
                "seed": number,
                "times": TRANSFERS,
            }
            running.append(
                subprocess.Popen(
                    [sys.executable, "-c", text, json.dumps(given)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    cwd=ROOT,
                )
            )
        for one in running:
            assert one.stdout.readline() == "ready\n", one.stderr.read()
        for one in running:
            one.stdin.write("go\n")
            one.stdin.flush()
        errors = [one.communicate()[1] for one in running]
    finally:
        for one in running:
            if one.poll() is None:
                one.kill()
                one.wait()
    assert [
        (one.returncode, text) for one, text in zip(running, errors, strict=True)
    ] == [(0, "")] * PROCESSES


@pytest.fixture
def keys(database):
    database.create(Item)
    made = Item.objects.bulk_create(
        [Item(code=str(n), number=1000) for n in range(ACCOUNTS)]
    )
    return [one.pk for one in made]


def test_transfers(keys, settings_of_database):
    """With the default arguments of retry()."""
    together(settings_of_database, TRANSFER, keys)
    found = Item.objects.aggregate(total=Sum("number"))
    assert found == {"total": 1000 * ACCOUNTS}


def test_statements_in_autocommit(keys, settings_of_database):
    """
    Each is a statement of its own, which is run again without being asked to.

    No two processes give a row the same number: it would have the other's place.
    """
    together(settings_of_database, STATEMENTS, keys)
    found = Item.objects.aggregate(total=Sum("number"))
    assert found == {"total": 1000 * ACCOUNTS + PROCESSES * TRANSFERS}
    assert Item.objects.count() == ACCOUNTS + PROCESSES * TRANSFERS
