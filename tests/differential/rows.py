"""Random rows: values for every field type, with the extremes that bite."""

import datetime
import functools
import string
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from math import inf

from django.conf import settings
from hypothesis import strategies as st

from .databases import aliases

TEXTS = (
    *("", "a", "A", "ab", "aB", "b", "a_b", "a%b", "50%", "\\", "'", '"', "a\nb"),
    *("é", "e\u0301", "É", "ß", "SS", "İ", "😀", "a😀", "\U0010ffff", "\ufffd"),
    *(" a ", "0", "10", "9", "NULL", "a\x00b", "\x00"),
)
#: Longer than any key of LMDB; alike but for the end, the middle or nothing.
LONG_TEXTS = (
    *("x" * 600, "x" * 600 + "a", "x" * 300 + "a" + "x" * 300, "x" * 600 + "\0"),
    *("漢" * 255, "漢" * 254 + "字", "é" * 400, "é" * 399 + "è", "😀" * 150),
)
#: Megabytes: how many characters or bytes.
LARGE = (2**20, 2**20 + 1, 3 * 2**20 - 7)
FLOATS = (
    *(0.0, -0.0, 0.5, 1.0, -1.0, 1.5, 2.25, -3.75, 0.1, 10.0, 1e15, -1e15, 1e22),
    *(1.7976931348623157e308, -1e300, 5e-324, 2.0**53 + 2, inf, -inf),
)
DATES = tuple(
    datetime.date(*parts)
    for parts in (
        *((2000, 1, 1), (2000, 2, 29), (2024, 12, 30), (2021, 1, 3)),
        *((1970, 1, 1), (1969, 12, 31), (1, 1, 1), (999, 5, 5), (9999, 12, 31)),
    )
)
TIMES = (
    datetime.time(0, 0),
    datetime.time(12, 30),
    datetime.time(12, 30, 0, 1),
    datetime.time(12, 30, 15, 500000),
    datetime.time(23, 59, 59, 999999),
)
DURATIONS = (
    datetime.timedelta(0),
    datetime.timedelta(microseconds=1),
    datetime.timedelta(microseconds=-1),
    datetime.timedelta(days=1),
    datetime.timedelta(days=-1, seconds=5),
    datetime.timedelta(hours=36, microseconds=7),
    datetime.timedelta(days=100_000),
    datetime.timedelta(days=-100_000),
)
UUIDS = tuple(uuid.UUID(int=n) for n in (0, 1, 2, 3, 255, 2**64, 2**127, 2**128 - 1))
BYTES = (b"", b"\x00", b"a", b"ab", b"\xff", b"\xff\x00\xfe", b"'")
JSON = (
    *(1, 0, True, False, "", "a", "1", 1.5, [], {}, [1, 2], [1, [2]], ["a", None]),
    *({"a": 1}, {"a": None}, {"a": "x", "b": [1, 2]}, {"b": {"c": True}}, {"a": 2.5}),
    *({"é'\"": "😀"}, {"0": 1}, [{"a": 1}, {"a": 2}]),
)
IP_ADDRESSES = ("0.0.0.0", "10.0.0.1", "255.255.255.255", "::1", "2001:db8::1")
SMALL_INTEGERS = (0, 1, 2, 3, -1, -2, 7, 10, 100, 999, 1000)
LIMITS = {
    "SmallIntegerField": (-(2**15), 2**15 - 1),
    "IntegerField": (-(2**31), 2**31 - 1),
    "AutoField": (1, 2**31 - 1),
    "BigAutoField": (1, 2**63 - 1),
    "BigIntegerField": (-(2**63), 2**63 - 1),
    "PositiveSmallIntegerField": (0, 2**15 - 1),
    "PositiveIntegerField": (0, 2**31 - 1),
    "PositiveBigIntegerField": (0, 2**63 - 1),
}


class LargeText(str):
    """A text of megabytes, which prints as an expression."""

    __slots__ = ()

    def __repr__(self):
        return f"LargeText({self[0]!r} * {len(self) - 1} + {self[-1]!r})"


class LargeBytes(bytes):
    """Megabytes, which print as an expression."""

    __slots__ = ()

    def __repr__(self):
        return f"LargeBytes({self[:1]!r} * {len(self) - 1} + {self[-1:]!r})"


@dataclass(frozen=True)
class Row:
    """One row: a model's name and its values by attribute name."""

    model: str
    values: dict

    def __str__(self):
        values = ", ".join(f"{name}={value!r}" for name, value in self.values.items())
        return f"{self.model}({values})"


@dataclass(frozen=True)
class Link:
    """A many-to-many row: ``model.objects.get(pk=source).<field>.add(*targets)``."""

    model: str
    field: str
    source: object
    targets: tuple

    def __str__(self):
        targets = ", ".join(map(repr, self.targets))
        return (
            f"{self.model}.objects.get(pk={self.source!r}).{self.field}.add({targets})"
        )


@dataclass(frozen=True)
class Rows:
    """What an example's tables hold, in an order that foreign keys allow."""

    rows: tuple[Row, ...] = ()
    links: tuple[Link, ...] = field(default=())

    def __str__(self):
        return "\n".join(map(str, (*self.rows, *self.links)))

    def held(self):
        """The values in each column, by model and attribute name."""
        found = {}
        for row in self.rows:
            for name, value in row.values.items():
                if value is not None:
                    found.setdefault((row.model, name), []).append(value)
        return found

    def scale(self):
        """The largest finite float or decimal, for the tolerance of sums."""
        numbers = [
            abs(float(value))
            for row in self.rows
            for value in row.values.values()
            if isinstance(value, (float, Decimal, int))
        ]
        return max((n for n in numbers if n != inf), default=0.0)


@dataclass(frozen=True)
class Table:
    """A model, and what its and the other tables hold: what queries ask for."""

    model: type
    held: dict

    def other(self, model):
        return Table(model, self.held)

    def values(self, model_field):
        """Values for a lookup: often ones that some row has."""
        some = self.held.get((model_field.model.__name__, model_field.attname))
        anything = values(model_field)
        return _mostly(some, anything) if some else anything


@functools.cache
def values(model_field):
    """
    Values that ``model_field`` can hold, without None.

    The same strategy each time: Hypothesis looks over each new one for long.
    """
    kind = model_field.get_internal_type()
    if model_field.is_relation:
        return values(model_field.target_field)
    if kind in LIMITS:
        return _integers(*LIMITS[kind])
    if kind == "GeneratedField":
        return values(model_field.output_field)
    if kind == "DecimalField":
        return _decimals(model_field)
    return {
        "BinaryField": lambda: st.sampled_from(BYTES) | st.binary(max_size=5),
        "BooleanField": st.booleans,
        "CharField": lambda: _texts(model_field.max_length),
        "DateField": lambda: _mostly(DATES, st.dates()),
        "DateTimeField": _datetimes,
        "DurationField": lambda: st.sampled_from(DURATIONS),
        "FloatField": lambda: st.sampled_from(FLOATS),
        "GenericIPAddressField": lambda: st.sampled_from(IP_ADDRESSES),
        "JSONField": lambda: st.sampled_from(JSON),
        "SlugField": lambda: st.text(string.ascii_letters + "-_", max_size=3),
        "TextField": lambda: _mostly([*TEXTS, *_long_texts()], st.text(max_size=4)),
        "TimeField": lambda: _mostly(TIMES, st.times()),
        "UUIDField": lambda: st.sampled_from(UUIDS),
    }[kind]()


@functools.cache
def values_or_none(model_field):
    """Values that ``model_field`` can hold, and None."""
    return st.none() | values(model_field)


def _mostly(chosen, anything):
    """The values that are known to bite, and any others now and then."""
    some = st.sampled_from(chosen)
    return st.one_of(some, some, some, anything)


def _integers(low, high):
    small = [n for n in SMALL_INTEGERS if low <= n <= high]
    return _mostly([*small, *small, low, high], st.integers(low, high))


def _decimals(model_field):
    places = model_field.decimal_places
    unit = Decimal(1).scaleb(-places)
    most = 10**model_field.max_digits - 1
    whole = min(10**places, most)
    numbers = [0, 1, -1, 5, whole, -whole, whole // 2, most, -most]
    return _mostly(numbers, st.integers(-most, most)).map(lambda n: n * unit)


def _long_texts():
    # immudb has a limit for text in an index.
    return () if any("immudb" in name for name in aliases().values()) else LONG_TEXTS


def _texts(length):
    fitting = [text for text in TEXTS if len(text) <= length]
    return _mostly(fitting, st.text(max_size=min(4, length)))


@st.composite
def _datetimes(draw):
    date = draw(st.sampled_from(DATES))
    time = draw(st.sampled_from(TIMES))
    tzinfo = datetime.UTC if settings.USE_TZ else None
    if settings.USE_TZ:
        # It has to exist in other zones. If it doesn't, a function of it fails, but if
        # joins leave its row out, whether that is computed is the planner's choice.
        date = min(max(date, datetime.date(1, 1, 2)), datetime.date(9999, 12, 30))
    return datetime.datetime.combine(date, time, tzinfo)


@st.composite
def row_values(draw, model, primary_keys, used=None, primary_key=None):
    """
    The values of one row of ``model`` by attribute name.

    Foreign keys are drawn from ``primary_keys`` (by model). Values of unique
    fields that ``used`` has are drawn again, a few times: most rows should get
    in. None if the row needs a foreign key to a table that is empty.
    """
    row = {}
    for model_field in model._meta.concrete_fields:
        if model_field.generated:
            continue
        name = model_field.attname
        if model_field.primary_key and primary_key is not None:
            row[name] = primary_key
            continue
        if model_field.is_relation:
            targets = list(primary_keys.get(model_field.related_model, ()))
            if not targets and not model_field.null:
                return None
            strategy = st.sampled_from(targets) if targets else st.none()
            if model_field.null:
                strategy = st.none() | strategy
        elif model_field.null:
            strategy = values_or_none(model_field)
        else:
            strategy = values(model_field)
        value = draw(strategy)
        if model_field.unique and used is not None:
            seen = used.setdefault(name, [])
            for _ in range(3):
                if value is None or value not in seen:
                    break
                value = draw(strategy)
            if value is not None and value in seen:
                if not model_field.null:
                    return None
                value = None
            seen.append(value)
        row[name] = value
    return row


@st.composite
def rows(draw, built, most=9, large=10):
    """
    Rows for all tables of a built schema.

    One example in ``large`` has values of megabytes.
    """
    found, links = [], []
    primary_keys = {}
    for name, model in built.classes.items():
        keys = primary_keys.setdefault(model, [])
        used = {}
        # Small numbers are where Hypothesis shrinks to, not what finds mistakes.
        count = draw(st.sampled_from([0, 1, most // 3, most // 2, most, most, most]))
        for number in range(count):
            automatic = "Auto" in model._meta.pk.get_internal_type()
            row = draw(
                row_values(model, primary_keys, used, number + 1 if automatic else None)
            )
            if row is not None:
                keys.append(row[model._meta.pk.attname])
                found.append(Row(name, row))
    for name, model in built.classes.items():
        for relation in model._meta.local_many_to_many:
            targets = primary_keys[relation.related_model]
            for key in primary_keys[model] if targets else ():
                some = draw(st.lists(st.sampled_from(targets), max_size=3, unique=True))
                if some:
                    links.append(Link(name, relation.name, key, tuple(some)))
    if found and draw(st.integers(1, large)) == large:
        draw(_enlarge(built, found))
    return Rows(tuple(found), tuple(links))


@st.composite
def _enlarge(draw, built, found):
    """Give a few rows a value of megabytes, where they have a column for it."""
    for number, row in enumerate(draw(st.permutations(found))[:3]):
        columns = {
            f.attname: f.get_internal_type()
            for f in built.classes[row.model]._meta.concrete_fields
            if f.get_internal_type() in ("TextField", "BinaryField", "JSONField")
        }
        if columns:
            name = draw(st.sampled_from(sorted(columns)))
            size = draw(st.sampled_from(LARGE))
            # In a unique column each is another one.
            last = draw(st.sampled_from("abcdef"))
            text = LargeText(
                draw(st.sampled_from("xé漢")) * (size // 2 + number) + last
            )
            row.values[name] = {
                "TextField": text,
                "BinaryField": LargeBytes(b"\0" * size + last.encode()),
                "JSONField": {"a": text, "b": [1]},
            }[columns[name]]
