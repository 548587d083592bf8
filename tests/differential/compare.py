"""When are two databases' answers the same?"""

import datetime
import math
import uuid
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal

from django.db import DataError, Error, IntegrityError, models

#: Relative to the largest number involved: the order in which floats are
#: added is the database's own business, and SQLite's SUM changed in 3.43.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Raised:
    """The outcome of something that raised instead of answering."""

    exception: type[BaseException]
    message: str = ""

    def __str__(self):
        return f"raised {self.exception.__name__}: {self.message}"


def canonical(value):
    """
    ``value`` as nested tuples that are equal only where types are equal too.

    1, 1.0, True and Decimal(1) all differ; so do Decimal("1.0") and "1.00".
    """
    kind = type(value).__name__
    match value:
        case None | bool() | int() | str() | Raised():
            return (kind, value)
        case float():
            if math.isnan(value):
                return (kind, "nan")
            # SQLite stores whole floats as integers: -0.0 reads back as 0.0.
            return (kind, 0.0 if value == 0 else value)
        case Decimal():
            return (kind, str(abs(value) if value == 0 else value))
        case bytes() | bytearray() | memoryview():
            return ("bytes", bytes(value))
        case datetime.datetime():
            return (kind, value.replace(tzinfo=None).isoformat(), value.utcoffset())
        case datetime.date() | datetime.time() | datetime.timedelta() | uuid.UUID():
            return (kind, repr(value))
        case dict():
            items = ((canonical(k), canonical(v)) for k, v in value.items())
            return ("dict", tuple(sorted(items, key=repr)))
        case models.Model():
            return _canonical_instance(value, ())
        case list() | tuple() | models.QuerySet():
            return ("rows", tuple(canonical(item) for item in value))
        case set() | frozenset():
            return ("set", tuple(sorted(map(canonical, value), key=repr)))
        case models.Choices() | type():
            return ("type", value.__name__)
    message = f"{type(value)} is not a value that a query returns"
    raise TypeError(message)


def _canonical_instance(instance, path):
    """An instance with its annotations and all that was loaded along with it."""
    for model_field in instance._meta.concrete_fields:
        # save() gets these back from the database, or loads them when asked for.
        if model_field.generated and instance.pk is not None:
            getattr(instance, model_field.attname)
    loaded = {
        name: canonical(value)
        for name, value in vars(instance).items()
        if name not in ("_state", "_prefetched_objects_cache")
    }
    # A related object may know its way back: follow each only once on a path.
    path = (*path, (type(instance), instance.pk))
    for name, related in instance._state.fields_cache.items():
        loaded[f"{name} (loaded)"] = _canonical_related(related, path)
    for name, related in getattr(instance, "_prefetched_objects_cache", {}).items():
        # Prefetched rows come in the order of a query that had none.
        members = sorted((_canonical_related(r, path) for r in related), key=repr)
        loaded[f"{name} (prefetched)"] = ("rows", tuple(members))
    return (type(instance).__name__, tuple(sorted(loaded.items())))


def _canonical_related(related, path):
    if related is None or (type(related), related.pk) in path:
        return ("seen", canonical(related and related.pk))
    return _canonical_instance(related, path)


def difference(expected, actual, *, ordered=True, scale=None, sliced=False):
    """
    Say how ``actual`` differs from ``expected``; None if it doesn't.

    Both are :func:`canonical`. Lists are compared in order only if ``ordered``.
    ``sliced``: the query has a slice. With ``scale`` numbers may differ by a tiny part of it (see TOLERANCE).
    """
    if expected == actual:
        return None
    if "Raised" in (expected[0], actual[0]):
        if sliced and _aggregate_failed(expected) and actual[0] == "rows":
            # Whether groups behind a slice are computed at all is the planner's
            # choice: an order that comes from the store ends the work earlier.
            return None
        return _difference_raised(expected, actual)
    both_rows = expected[0] == actual[0] == "rows"
    if both_rows and not ordered:
        missing, extra = _difference_multisets(expected[1], actual[1], scale)
        if not missing and not extra:
            return None
        return f"missing: {_shown(missing)}\nnot expected: {_shown(extra)}"
    if scale is not None and _close(expected, actual, scale):
        return None
    if both_rows and Counter(map(repr, expected[1])) == Counter(map(repr, actual[1])):
        return f"order expected: {_shown(expected[1])}\ngot: {_shown(actual[1])}"
    return f"expected: {_plain(expected)}\ngot: {_plain(actual)}"


def _aggregate_failed(answer):
    return answer[0] == "Raised" and "user-defined aggregate" in str(answer[1])


def _difference_raised(expected, actual):
    if expected[0] == actual[0] == "Raised":
        wanted, got = expected[1].exception, actual[1].exception
        if wanted is got:
            return None
        # sqlite3 lets OverflowError and the like through for values that it
        # can't bind: there a backend may do better and raise Django's error.
        driver_leak = wanted in (OverflowError, UnicodeEncodeError, ValueError)
        if driver_leak and issubclass(got, Error):
            return None
        # An UPDATE whose rows fail for two reasons names the first row's; which one
        # comes first, nobody says.
        if wanted is IntegrityError and got is DataError and _overflows(actual[1]):
            return None
    return f"expected: {_plain(expected)}\ngot: {_plain(actual)}"


def _overflows(raised):
    return "out of the range of 64 bits" in raised.message


def _difference_multisets(expected, actual, scale):
    missing, extra = Counter(map(repr, expected)), Counter(map(repr, actual))
    missing, extra = missing - extra, extra - missing
    by_text = {repr(row): row for row in (*expected, *actual)}
    missing = [by_text[text] for text in missing.elements()]
    extra = [by_text[text] for text in extra.elements()]
    if scale is not None:
        for row in tuple(missing):
            twin = next((r for r in extra if _close(row, r, scale)), None)
            if twin is not None:
                missing.remove(row)
                extra.remove(twin)
    return missing, extra


def _close(a, b, scale):
    """Equal but for the last digits of floats and decimals."""
    if not isinstance(a, tuple) or not isinstance(b, tuple):
        return a == b
    if len(a) == 2 and a[0] == b[0] and a[0] in ("float", "Decimal"):
        return a == b or math.isclose(
            float(a[1]), float(b[1]), rel_tol=TOLERANCE, abs_tol=TOLERANCE * scale
        )
    return len(a) == len(b) and all(_close(x, y, scale) for x, y in zip(a, b))  # noqa: B905  # lengths are compared


def _plain(value):
    """A canonical value in fewer words."""
    if isinstance(value, tuple) and value and isinstance(value[0], str):
        if value[0] == "Raised":
            return str(value[1])
        if value[0] == "rows":
            return _shown(value[1])
        if len(value) == 2 and not isinstance(value[1], tuple):
            return f"{value[0]} {value[1]!r}"
    return repr(value)


def _shown(rows):
    return "[" + ", ".join(map(_plain, rows)) + "]"
