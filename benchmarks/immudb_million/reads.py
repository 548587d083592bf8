"""
Reading the rows, by Django beside the bare driver.

Both give the same answers, which is looked at before anything is measured. They take
turns. Of a page, the driver runs the statements that it is made of, in their best form.
"""

import contextlib
import datetime
import functools
import statistics
import time
from dataclasses import dataclass

from . import rows as wanted

_EVENT = "id, created, author_id, name, severity, note, data, weight"
_FEW = 20
_PAGE = 100
#: What Django's time may be as a multiple of the driver's; and in seconds, where the
#: driver's is less than the last one.
RATIO, MOST, QUICK = 3.0, 0.05, 0.01
#: Calls in a sample, and samples.
_CALLS, _PAGES, _ROUNDS = 10, 1, 9
#: With fewer rows than this it is a test, and two samples are enough.
_TEST = 10_000


@dataclass(frozen=True)
class Line:
    """
    What was measured of a read.

    :param django: seconds of a call, one for each round.
    :param driver: the same of the bare driver.
    """

    name: str
    django: list[float]
    driver: list[float]

    @property
    def ratio(self):
        """Django : driver, the median of the rounds."""
        pairs = zip(self.django, self.driver, strict=True)
        return statistics.median(ours / theirs for ours, theirs in pairs)

    @property
    def met(self):
        """Whether it meets its target."""
        ours, theirs = map(statistics.median, (self.django, self.driver))
        return self.ratio <= RATIO and (theirs >= QUICK or ours <= MOST)


class Orm:
    """Django, as a project uses it."""

    def __init__(self, rows):
        from django.contrib.auth.models import User
        from django.test import Client
        from django.urls import reverse

        from .events.models import Author, Event

        self.author, self.event, self.rows = Author, Event, rows
        self.commits = 0
        self.client = Client()
        self.user = User.objects.create_superuser("admin", password="admin")
        self.client.force_login(self.user)
        self.list = reverse("admin:events_event_changelist")

    @functools.cache  # noqa: B019  # there is one
    def key(self, number):
        """Return the primary key of an event."""
        found = self.event.objects.filter(created=wanted.created(number))
        return found.values_list("pk", flat=True).get()

    def get(self, number):
        return [self.event.objects.get(pk=self.key(number))]

    def equal(self, number):
        name = wanted.name(number, self.rows)
        return list(self.event.objects.filter(name=name))

    def between(self, number):
        low, high = _times(number, self.rows)
        return list(self.event.objects.filter(created__gte=low, created__lt=high))

    def last(self, number):
        return list(self.event.objects.order_by("-created")[:_FEW])

    def begins(self, number):
        prefix = wanted.name(number, self.rows)[:-1]
        return list(self.event.objects.filter(name__startswith=prefix))

    def first_page(self, number):
        return self._page(0)

    def last_page(self, number):
        return self._page(self.rows // _PAGE - (self.rows % _PAGE == 0))

    def _page(self, number):
        response = self.client.get(self.list, {"p": number + 1} if number else {})
        if response.status_code != 200:
            raise RuntimeError(response)
        return list(response.context_data["cl"].result_list)

    def history(self, number):
        from django.urls import reverse

        path = reverse("admin:events_event_history", args=[self.key(number)])
        response = self.client.get(path)
        if response.status_code != 200:
            raise RuntimeError(response)
        return response.context_data["lines"]

    def commit(self):
        """Write something: what was counted has to be counted again."""
        self.commits += 1
        name = f"Author {-self.commits}"
        self.author.objects.filter(pk=1).update(name=name)

    @staticmethod
    def same(found):
        """Return what the driver has to find, too."""
        if found and hasattr(found[0], "revision"):
            return [line.revision.tx for line in found]
        return [(one.pk, one.name, one.note, one.author_id) for one in found]


class Bare:
    """The driver, with the best statements for the same answers."""

    def __init__(self, rows, connection, orm):
        self.connection, self.rows = connection, rows
        self.key = orm.key
        self.session = orm.client.session.session_key
        self.user = orm.user.pk

    def _rows(self, sql, *parameters):
        return self.connection.query(sql, parameters).rows

    def get(self, number):
        sql = f"SELECT {_EVENT} FROM events_event WHERE id = ?"
        return self._rows(sql, self.key(number))

    def equal(self, number):
        return self._rows(
            f"SELECT {_EVENT} FROM events_event USE INDEX ON (name) WHERE name = ?",
            wanted.name(number, self.rows),
        )

    def between(self, number):
        return self._rows(
            f"SELECT {_EVENT} FROM events_event USE INDEX ON (created)"
            " WHERE created >= ? AND created < ?",
            *map(_stored, _times(number, self.rows)),
        )

    def last(self, number):
        return self._ends("DESC", _FEW)

    def _ends(self, direction, number, columns=_EVENT):
        return self._rows(
            f"SELECT {columns} FROM events_event USE INDEX ON (created)"
            f" ORDER BY created {direction} LIMIT {number}"
        )

    def begins(self, number):
        prefix = wanted.name(number, self.rows)[:-1]
        return self._rows(
            f"SELECT {_EVENT} FROM events_event USE INDEX ON (name)"
            " WHERE name >= ? AND name < ?",
            prefix,
            prefix + ":",  # what follows the digits
        )

    def first_page(self, number):
        self._user()
        self._count()
        found = self._ends("DESC", _PAGE)
        return self._with_authors(found)

    def last_page(self, number):
        self._user()
        total = self._count()
        found = self._ends("", total % _PAGE or _PAGE)[::-1]
        return self._with_authors(found)

    def _count(self):
        ((total,),) = self._rows("SELECT COUNT(*) FROM events_event")
        return total

    def _user(self):
        self._rows(
            "SELECT session_key, session_data, expire_date FROM django_session"
            " WHERE session_key = ?",
            self.session,
        )
        self._rows(
            'SELECT id, "password", last_login, is_superuser,'
            " username, first_name,"
            " last_name, email, is_staff, is_active, date_joined FROM auth_user"
            " WHERE id = ?",
            self.user,
        )

    def _with_authors(self, found):
        """Look up the authors of a page, and what the date hierarchy shows."""
        keys = list(dict.fromkeys(row[2] for row in found))
        one = "SELECT id, name FROM events_author WHERE id = ?"
        self._rows(" UNION ALL ".join([one] * len(keys)), *keys)
        ((first,),) = self._ends("", 1, "created")
        ((last,),) = self._ends("DESC", 1, "created")
        unit = "day" if _month(first) == _month(last) else "month"
        if first.year != last.year:
            unit = "year"
        while first is not None:
            rest = self._rows(
                "SELECT created FROM events_event USE INDEX ON (created)"
                " WHERE created >= ? ORDER BY created LIMIT 1",
                _following(first, unit),
            )
            first = rest[0][0] if rest else None
        return found

    def history(self, number):
        from backendkit.backends.immudb.asking import RowsPast

        self._user()
        key = self.key(number)
        self.get(number)
        self._rows(
            "SELECT id FROM django_admin_log WHERE object_id = ? AND user_id = ?",
            str(key),
            self.user,
        )
        # No statement tells the transactions of versions: it takes a bisection.
        past = RowsPast(self.connection, "events_event", {"id": key}, {"id": "INTEGER"})
        state = int(self.connection.state().txId)
        found, _ = past.writes(past.revisions(), state, state)
        for tx in found:
            self.connection.verifiable_get("events_event", (key,), at=tx, wait=False)
        return sorted(found, reverse=True)

    @staticmethod
    def same(found):
        if found and isinstance(found[0], int):
            return found
        return [(row[0], row[3], row[5], row[2]) for row in found]


def _times(number, rows):
    """Return a range with as many events as are wanted."""
    start = number % (rows - _FEW)
    return wanted.created(start), wanted.created(start + _FEW)


def _stored(moment):
    return moment.astimezone(datetime.UTC).replace(tzinfo=None)


def _month(moment):
    return moment.year, moment.month


def _following(moment, unit):
    """Return the beginning of the next year, month or day."""
    if unit == "day":
        return datetime.datetime(*moment.timetuple()[:3]) + datetime.timedelta(1)
    if unit == "year" or moment.month == 12:
        return datetime.datetime(moment.year + 1, 1, 1)
    return datetime.datetime(moment.year, moment.month + 1, 1)


#: What is measured: the methods above, and what they are called.
READS = {
    "get": "get(pk)",
    "equal": "filter(name=…), 20 rows by an index",
    "between": "a range of times, 20 rows",
    "last": 'order_by("-created")[:20]',
    "begins": "name__startswith, 20 rows",
    "first_page": "admin: first page of the changelist",
    "last_page": "admin: its last page",
    "history": "admin: history page of a row",
}
_HTML = ("first_page", "last_page", "history")


class DifferentRowsError(Exception):
    """Django and the driver don't find the same."""


def measure(rows, places):
    """
    Return the lines as dictionaries.

    :raises DifferentRowsError: Django and the driver don't find the same.
    """
    from backendkit.backends.immudb import driver

    found = []
    with contextlib.closing(
        driver.connect(
            places["host"],
            places["port"],
            password=places["password"],
            autocommit=True,
        )
    ) as connection:
        orm = Orm(rows)
        bare = Bare(rows, connection, orm)
        for name, title in READS.items():
            _compare(orm, bare, name, rows)
            calls = _PAGES if name in _HTML else _CALLS
            line = Line(title, [], [])
            for number in range(
                (2 if rows < _TEST else _ROUNDS) + 1
            ):  # the first isn't counted
                pair = {}
                numbers = [
                    (number * calls + place) * 7919 % rows for place in range(calls)
                ]
                for one in numbers:
                    orm.key(one)  # which is known when the time is taken
                for one in (orm, bare) if number % 2 else (bare, orm):
                    orm.commit()
                    call, started = getattr(one, name), time.perf_counter()
                    for place in numbers:
                        call(place)
                    pair[one] = (time.perf_counter() - started) / calls
                if number:
                    line.django.append(pair[orm])
                    line.driver.append(pair[bare])
            found.append(vars(line))
    return found


def _compare(orm, bare, name, rows):
    for number in (rows // 3, rows // 2 + 7):
        ours = orm.same(getattr(orm, name)(number))
        theirs = bare.same(getattr(bare, name)(number))
        if name in ("equal", "between", "begins"):
            ours.sort()
            theirs.sort()
        if ours != theirs or not ours:
            raise DifferentRowsError(f"{name}: {ours[:5]}, {theirs[:5]}")
