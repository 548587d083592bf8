"""The rows, by their numbers: the same in each run and in each process."""

import datetime
import json

from benchmarks.words import WORDS

#: When the log begins. Events come a minute apart, more or less.
FIRST = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
#: Events that have the same name, about.
ALIKE = 20
AUTHORS = 1_000
#: A tenth has none: ``null`` is what is migrated.
_NOTES = 10
#: Prime, so that neighbours have nothing in common.
_STEP = 7919


def names(rows):
    """Return how many names there are."""
    return max(rows // ALIKE, 1)


def created(number):
    """Return the time of an event: no two have the same."""
    seconds = number * 60 + number * _STEP % 59
    return FIRST + datetime.timedelta(seconds=seconds)


def name(number, rows):
    """Return the name of an event."""
    key = number * _STEP % names(rows)
    return f"{WORDS[key % len(WORDS)]}-{key:06}"


def author(number):
    """Return the primary key of an author."""
    return number * 31 % AUTHORS + 1


def level(number):
    """Return a number that is a text later."""
    return number * 17 % 5


def note(number):
    """Return a text; None of each tenth event."""
    if number % _NOTES == 0:
        return None
    return f"{WORDS[number * 13 % len(WORDS)]} {number * _STEP % 9973}"


def data(number):
    """Return what is kept as JSON."""
    return {
        "path": f"/{WORDS[number * 5 % len(WORDS)]}/{number * 31 % 997}",
        "status": [200, 200, 200, 301, 404, 500][number % 6],
        "milliseconds": number * _STEP % 1009,
    }


def event(number, rows):
    """Return the fields of an event, as they are before the migrations."""
    return {
        "created": created(number),
        "author_id": author(number),
        "name": name(number, rows),
        "level": level(number),
        "note": note(number),
        "data": data(number),
    }


def fixture(numbers, rows, first):
    """
    Yield the lines of a fixture.

    :param first: the primary key of the first one.
    """
    for key, number in enumerate(numbers, first):
        fields = event(number, rows)
        fields["author"] = fields.pop("author_id")
        fields["created"] = fields["created"].isoformat()
        line = {"model": "events.event", "pk": key, "fields": fields}
        yield json.dumps(line) + "\n"
