"""
Processes that fork, read, write and end, each of which checks what it reads.

``python forking.py DATABASE SEED NUMBER`` runs interleavings, each of which draws from
its own seed, SEED and the NUMBER that it has: ``python forking.py DATABASE SEED 7:8``
runs the seventh again. What processes draw is the same then, but not how the kernel
lets them take turns.

Each transaction that writes sets the number of the commit in all rows, and there are as
many rows as :func:`size` says for that number. So every process can tell whether what
it reads is one snapshot, and none that it has seen the end of.
"""

import contextlib
import faulthandler
import gc
import json
import os
import random
import signal
import sys
import threading
import traceback
import warnings

# Python warns of what is tried here.
warnings.simplefilter("ignore", DeprecationWarning)

from django.conf import settings  # noqa: E402  # Django after the warnings

settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "backendkit.backends.lmdb",
            "NAME": sys.argv[1],
            "OPTIONS": {"sync": False, "timeout": 60.0, "warn_scan_rows": None},
        }
    },
)

import django  # noqa: E402  # it has to be configured before it is imported

django.setup()

from django.apps.registry import Apps  # noqa: E402  # as above
from django.db import (  # noqa: E402  # as above
    InterfaceError,
    OperationalError,
    connection,
    connections,
    models,
    transaction,
)
from django.db.models import F  # noqa: E402  # as above

from backendkit.backends.lmdb import inherited  # noqa: E402  # as above

#: Rows that there are at least, and how many a query is asked for at a time: so many
#: that LMDB's pages are still to be read after a fork.
FEWEST, CHUNK = 400, 5
#: Processes between the first of an interleaving and the last, and steps of each.
GENERATIONS, STEPS, CHILDREN = 3, 7, 2
#: Where processes tell what they did.
told = -1
#: Seconds that a process may take, on the busiest machine.
PATIENCE = 120


class Row(models.Model):
    number = models.IntegerField()
    text = models.CharField(max_length=300)

    class Meta:
        app_label = "fork"
        apps = Apps()


def size(number):
    """Return how many rows there are after a commit."""
    return FEWEST + number * 7 % 50


def write():
    """Commit a transaction."""
    with transaction.atomic():
        Row.objects.update(number=F("number") + 1)
        number = Row.objects.first().number
        missing = size(number) - Row.objects.count()
        if missing > 0:
            Row.objects.bulk_create(
                Row(number=number, text="x" * 200) for _ in range(missing)
            )
        elif missing < 0:
            surplus = Row.objects.order_by("-pk").values_list("pk", flat=True)
            Row.objects.filter(pk__in=list(surplus[:-missing])).delete()
    return number


def check(numbers, seen=0):
    """Check that these are all rows of one commit, and return its number."""
    (number,) = set(numbers)
    assert len(numbers) == size(number), (number, len(numbers))
    assert number >= seen, (number, seen)
    return number


def check_refusal(error):
    """Check that an error says that a child may not go on."""
    assert "before a fork" in str(error), error


def read(draw):
    """Read all rows in one of several ways."""
    way = draw.randrange(4)
    if way == 0:
        return list(Row.objects.values_list("number", flat=True))
    if way == 1:
        return [row.number for row in Row.objects.order_by("-pk").iterator()]
    with connection.cursor() as cursor:
        if way == 2:
            cursor.execute("SELECT a.number FROM fork_row a ORDER BY a.text, a.number")
            return [number for (number,) in cursor]
        cursor.execute("SELECT MAX(number), MIN(number), COUNT(*) FROM fork_row")
        most, least, count = cursor.fetchone()
        assert most == least
        return [most] * count


class Open:
    """A query that is being read, step by step, while much else is going on."""

    def __init__(self, draw):
        if draw.random() < 0.5:
            rows = Row.objects.order_by("pk").values_list("number", flat=True)
            self.rows = rows.iterator(chunk_size=CHUNK)
        else:
            self.rows = self.raw()
        self.numbers = [next(self.rows)]

    @staticmethod
    def raw():
        with connection.cursor() as cursor:
            cursor.execute("SELECT number FROM fork_row ORDER BY id")
            while rows := cursor.fetchmany(CHUNK):
                for (number,) in rows:
                    yield number

    def step(self, draw):
        """Read on; return whether it is over."""
        for _ in range(draw.randrange(1, 100)):
            number = next(self.rows, None)
            if number is None:
                check(self.numbers)
                return True
            self.numbers.append(number)
            assert number == self.numbers[0], (number, self.numbers)
        return False

    def refuse(self):
        """Check that a child can't read on, but for what had been read ahead."""
        try:
            for number in self.rows:
                self.numbers.append(number)
                assert number == self.numbers[0], (number, self.numbers)
        except InterfaceError as error:
            check_refusal(error)
        else:
            # The last rows had been fetched before the fork.
            check(self.numbers)


class Process:
    """One process of an interleaving."""

    def __init__(self, draw, generation=0, opened=(), seen=0):
        self.draw = draw
        self.generation = generation
        self.children = []
        self.opened = list(opened)
        self.seen = seen
        self.figures = dict.fromkeys(("forks", "reads", "writes", "refused"), 0)
        self.threads = []

    def run(self):
        for _ in range(self.draw.randrange(3, STEPS)):
            steps = [self.read, self.write, self.open, self.go_on, self.transaction]
            steps += [self.go_on, self.fork]
            if not self.threads:
                steps.append(self.start_thread)
            self.draw.choice(steps)()
        for one in self.opened:
            while not one.step(self.draw):
                pass
        for thread in self.threads:
            thread.join()
        for child in self.children:
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert status == 0, f"a child ended with {status}"
        self.read()
        os.write(told, json.dumps(self.figures).encode() + b"\n")

    def read(self):
        self.seen = check(read(self.draw), self.seen)
        self.figures["reads"] += 1

    def write(self):
        for _ in range(self.draw.randrange(1, 4)):
            number = write()
            assert number > self.seen
            self.seen = number
            self.figures["writes"] += 1

    def open(self):
        if len(self.opened) < 4:
            self.opened.append(Open(self.draw))

    def go_on(self):
        if self.opened:
            one = self.draw.choice(self.opened)
            if one.step(self.draw):
                self.opened.remove(one)

    def transaction(self):
        """See one state in a transaction, whatever happens meanwhile."""
        with transaction.atomic():
            number = check(read(self.draw), self.seen)
            self.fork(inside=True)
            self.draw.choice([self.go_on, self.fork_again, lambda: None])()
            assert check(read(self.draw)) == number
            if self.draw.random() < 0.3:
                with contextlib.suppress(OperationalError):
                    # A conflict if another one was first.
                    Row.objects.filter(number=-1).delete()
        self.seen = number

    def fork_again(self):
        self.fork(inside=True)

    def fork(self, inside=False):
        if (
            self.generation == GENERATIONS
            or len(self.children) >= CHILDREN
            or self.draw.random() < self.generation / 4
        ):
            return
        seed = self.draw.random()
        self.figures["forks"] += 1
        child = os.fork()
        if child:
            self.children.append(child)
            return
        signal.alarm(PATIENCE)
        draw = random.Random(seed)
        Process(draw, self.generation + 1, self.opened, self.seen).begin(inside)

    def begin(self, inside):
        """Do, in a child, what a child does, and end as some do."""
        status = 1
        try:
            parents, self.opened = self.opened, []
            for one in parents:
                if self.draw.random() < 0.5:
                    one.refuse()
                    self.figures["refused"] += 1
            if self.draw.random() < 0.5:
                parents.clear()
                gc.collect()
            if inside:
                for query in (Row.objects.count, Row.objects.first, write):
                    try:
                        query()
                    except InterfaceError as error:
                        check_refusal(error)
                    else:
                        raise AssertionError("it went on in its parent's transaction")
                connection.close()
                connection.in_atomic_block = False
                connections["default"] = connection.copy()
            elif self.draw.random() < 0.2:
                connection.close()
            if self.draw.random() < 0.9:
                self.run()
            status = 0
        except SystemExit:
            raise  # a child of this one, that leaves through what it inherited
        except BaseException:  # noqa: BLE001  # the child ends here
            traceback.print_exc()
        # As servers' workers end: by the end of the program, with all its clean-up.
        # That takes longer than all else.
        if status or self.draw.random() < 0.1:
            sys.exit(status)
        os._exit(0)

    def start_thread(self):
        draw = random.Random(self.draw.random())
        process = Process(draw, self.generation, (), self.seen)

        def work():
            try:
                for _ in range(draw.randrange(2, 6)):
                    steps = [process.read, process.write, process.open, process.go_on]
                    draw.choice([*steps, process.transaction, process.fork])()
                for child in process.children:
                    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                    assert status == 0, f"a thread's child ended with {status}"
                os.write(told, json.dumps(process.figures).encode() + b"\n")
            except SystemExit as ended:  # in a child
                os._exit(ended.code)
            except BaseException:  # noqa: BLE001  # nobody else would say it
                traceback.print_exc()
                sys.stderr.flush()
                os._exit(3)
            finally:
                process.opened.clear()
                if draw.random() < 0.5:
                    connection.close()

        thread = threading.Thread(target=work)
        thread.start()
        self.threads.append(thread)


def main(seed, numbers):
    with connection.schema_editor() as editor:
        if Row._meta.db_table not in connection.introspection.table_names():
            editor.create_model(Row)
            Row.objects.bulk_create(
                Row(number=0, text="x" * 200) for _ in range(size(0))
            )
    total = {}
    for number in numbers:
        heard = interleaving(random.Random(f"{seed} {number}"), f"{seed} {number}")
        for name, count in heard.items():
            total[name] = total.get(name, 0) + count
        check(list(Row.objects.values_list("number", flat=True)))
    return total


def interleaving(draw, name):
    """Run an interleaving in a child, and return what all its processes did."""
    global told  # processes inherit it
    receiver, told = os.pipe()
    child = os.fork()
    if not child:
        os.close(receiver)
        signal.alarm(PATIENCE)
        status = 1
        try:
            Process(draw).run()
            status = 0
        except SystemExit as ended:  # of a child
            status = ended.code
        except BaseException:  # noqa: BLE001  # the child ends here
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(status)
    os.close(told)
    with open(receiver) as file:
        lines = file.read().splitlines()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0, f"interleaving {name} ended with {status}"
    heard = {"processes": len(lines)}
    for line in lines:
        for what, count in json.loads(line).items():
            heard[what] = heard.get(what, 0) + count
    return heard


if __name__ == "__main__":
    # Who waits for too long says where, and ends.
    faulthandler.register(signal.SIGALRM, chain=True)
    _, _, seed, numbers, *mutation = sys.argv
    if mutation == ["attached"]:
        # As if LMDB could end the parent's transactions unseen, though it can't.
        inherited.detach = lambda region: True
    first, _, last = numbers.rpartition(":")
    found = main(int(seed), range(int(first or 0), int(last)))
    sys.stdout.write(json.dumps(found))
