"""
Many processes on one LMDB database, through Django.

Some seconds in each run, a minute in ``make soak``; ``-s`` shows its figures.
"""

import json

import pytest
from tests.effort import effort
from tests.nonrel.databases import settings_of
from tests.nonrel.projects import Project

SECONDS = effort(test=4.0, soak=60.0)
WRITERS, READERS = 4, 8
ACCOUNTS, EACH = 20, 1000

MODELS = """
    from django.db import models

    class Account(models.Model):
        name = models.CharField(max_length=40, unique=True)
        balance = models.IntegerField()

    class Transfer(models.Model):
        reference = models.CharField(max_length=40, unique=True)
        source = models.ForeignKey(Account, models.PROTECT, related_name="outgoing")
        target = models.ForeignKey(Account, models.PROTECT, related_name="incoming")
        amount = models.IntegerField()

    class Counter(models.Model):
        transfers = models.IntegerField()
"""

WORK = """
    import json, random, sys, time
    from django.db import (
        IntegrityError, OperationalError, connection, models, transaction
    )
    from shop.models import Account, Counter, Transfer

    figures = dict.fromkeys(
        "done conflicts timeouts unique foreign reads".split(), 0
    )
    figures["longest"] = 0.0
    ACCOUNTS, TOTAL = {accounts}, {total}

    def check(whole):
        # Everything in one transaction: what is seen has to fit together.
        with transaction.atomic():
            balances = dict(Account.objects.values_list("id", "balance"))
            assert sum(balances.values()) == TOTAL, sum(balances.values())
            total = Account.objects.aggregate(total=models.Sum("balance"))["total"]
            assert total == TOTAL, total
            counted = Counter.objects.get().transfers
            assert Transfer.objects.count() == counted
            if whole:
                moved = dict.fromkeys(balances, 0)
                for source, target, amount in Transfer.objects.values_list(
                    "source", "target", "amount"
                ).iterator():
                    moved[source] -= amount
                    moved[target] += amount
                for id, balance in balances.items():
                    start = {each} if id <= ACCOUNTS else 0
                    assert balance == start + moved[id], (id, balance, moved[id])
                query = Transfer.objects.select_related("source", "target")
                newest = list(query.order_by("-id")[:50])
                assert len(newest) == min(50, counted)
                for one in newest:
                    assert one.source.balance == balances[one.source_id]
            # A snapshot: nothing of that has changed meanwhile.
            assert dict(Account.objects.values_list("id", "balance")) == balances
            assert Counter.objects.get().transfers == counted
            assert Transfer.objects.count() == counted
"""

WRITER = """
    me, seconds = sys.argv[1], float(sys.argv[2])
    chance = random.Random(me)
    if int(me) % 2:
        # One half waits as writers from the start, the other runs again.
        connection.settings_dict["OPTIONS"]["transaction_mode"] = "IMMEDIATE"

    def transfer(number):
        with transaction.atomic():
            ids = chance.sample(range(1, ACCOUNTS + 1), 2)
            source, target = (Account.objects.get(id=id) for id in ids)
            amount = chance.randint(1, 20)
            source.balance -= amount
            target.balance += amount
            source.save()
            target.save()
            Transfer.objects.create(
                reference=f"{me}-{number}", source=source, target=target, amount=amount
            )
            counter = Counter.objects.get()
            counter.transfers += 1
            counter.save()

    def collide():
        # Every writer wants the same names, at first one that is taken.
        number = chance.randint(1, 60) if figures["unique"] else 1
        try:
            Account.objects.create(name=f"account {number}", balance=0)
        except IntegrityError as error:
            assert "UNIQUE" in str(error)
            figures["unique"] += 1

    def dangle():
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                if figures["foreign"] and chance.random() < 0.5:
                    cursor.execute(
                        "DELETE FROM shop_account WHERE id IN"
                        " (SELECT source_id FROM shop_transfer LIMIT 1)"
                    )
                    # Nobody has sent anything yet.
                    assert cursor.rowcount in (0, 1)
                    if not cursor.rowcount:
                        return
                else:
                    cursor.execute(
                        "INSERT INTO shop_transfer"
                        " (reference, source_id, target_id, amount)"
                        " VALUES (%s, 1, 99999, 1)",
                        [f"dangling {me}"],
                    )
            raise AssertionError("a foreign key leads nowhere")
        except IntegrityError as error:
            assert "FOREIGN KEY" in str(error)
            figures["foreign"] += 1

    def patiently(work, *arguments):
        started = time.monotonic()
        while True:
            try:
                work(*arguments)
            except OperationalError as error:
                if "run it again" in str(error):
                    figures["conflicts"] += 1
                elif "database is locked" in str(error):
                    figures["timeouts"] += 1
                    print(error, file=sys.stderr)
                else:
                    raise
            else:
                break
        figures["longest"] = max(figures["longest"], time.monotonic() - started)

    Counter.objects.count()
    print("ready", flush=True)
    sys.stdin.readline()
    end = time.monotonic() + seconds
    # One of each kind, however slow the machine is.
    first = [0.95, 0.85, 0.0]
    while first or time.monotonic() < end:
        kind = first.pop() if first else chance.random()
        if kind < 0.8:
            patiently(transfer, figures["done"])
            figures["done"] += 1
        elif kind < 0.9:
            patiently(collide)
        else:
            patiently(dangle)
    print(json.dumps(figures))
"""

READER = """
    seconds = float(sys.argv[2])
    Counter.objects.count()
    print("ready", flush=True)
    sys.stdin.readline()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        started = time.monotonic()
        check(figures["reads"] % 20 == 0)
        figures["longest"] = max(figures["longest"], time.monotonic() - started)
        figures["reads"] += 1
    print(json.dumps(figures))
"""


@pytest.mark.check
def test_many_processes(tmp_path):
    """Sums are kept, constraints hold, readers see one moment; nobody is starved."""
    # Durable: the writers wait for the disk with the lock in hand, as they will.
    database = settings_of("lmdb", tmp_path, sync=True, timeout=30)
    project = Project(tmp_path / "project", database)
    project.write("shop/models.py", MODELS)
    project.manage("makemigrations", "shop")
    project.manage("migrate")
    work = WORK.format(accounts=ACCOUNTS, total=ACCOUNTS * EACH, each=EACH)
    project.script(
        work
        + """
    Counter.objects.create(transfers=0)
    for number in range(1, ACCOUNTS + 1):
        Account.objects.create(name=f"account {number}", balance=TOTAL // ACCOUNTS)
    """
    )
    writers = [
        project.start_script(work + WRITER, str(number), str(SECONDS))
        for number in range(WRITERS)
    ]
    readers = [
        project.start_script(work + READER, str(number), str(SECONDS))
        for number in range(READERS)
    ]
    results = []
    try:
        for process in writers + readers:
            line = process.stdout.readline()
            assert line == "ready\n", process.stderr.read()
        for process in writers + readers:
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in writers + readers:
            output, errors = process.communicate(timeout=SECONDS + 120)
            assert process.returncode == 0, errors
            results.append(json.loads(output))
    finally:
        for process in writers + readers:
            process.kill()
            process.communicate()
    print("", *results, sep="\n")  # noqa: T201  # the figures, for pytest -s
    assert all(figures["done"] for figures in results[:WRITERS])
    assert all(figures["reads"] for figures in results[WRITERS:])
    assert sum(figures["unique"] for figures in results) > 0
    assert sum(figures["foreign"] for figures in results) > 0
    assert not any(figures["timeouts"] for figures in results)
    acknowledged = [figures["done"] for figures in results[:WRITERS]]
    project.script(
        work
        + f"""
    check(True)
    acknowledged = {acknowledged}
    references = set(Transfer.objects.values_list("reference", flat=True))
    assert references == {{
        f"{{me}}-{{number}}"
        for me, count in enumerate(acknowledged) for number in range(count)
    }}
    assert Counter.objects.get().transfers == sum(acknowledged)
    names = list(Account.objects.values_list("name", flat=True))
    assert len(names) == len(set(names)) > ACCOUNTS
    with connection.cursor() as cursor:
        connection.check_constraints()
    """
    )
