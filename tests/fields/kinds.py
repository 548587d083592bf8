"""A model for each kind of value, with all that can hold such a value."""

import datetime
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import models

from backendkit.fields import (
    DictField,
    EmbeddedModel,
    EmbeddedModelField,
    EmbeddedModelListField,
    ListField,
    RawField,
    SetField,
)

from .models import registry

LETTERS = "aAbBzZéÉß\"'%_\\{}[]$.:,/ \t\n😀"


@dataclass(frozen=True)
class Kind:
    """
    :param field: makes a model field, of ``null`` and ``blank``.
    :param edges: values that are hard.
    :param draw: makes another value.
    :param lookups: of the field's own, each with what makes its operand of a value.
    """

    name: str
    field: Callable[..., Any]
    edges: tuple[Any, ...]
    draw: Callable[[random.Random], Any]
    lookups: dict[str, Callable[[Any], Any]]

    def values(self, chance, number):
        """Return so many values; some of them are equal."""
        found = [
            chance.choice(self.edges) if chance.random() < 0.5 else self.draw(chance)
            for _ in range(number)
        ]
        return [*found[: number - 2], *chance.choices(found, k=2)]


def same(value):
    return value


def text(chance):
    return "".join(chance.choices(LETTERS, k=chance.randint(1, 6)))


def digits(chance):
    return chance.randint(-(10**7), 10**7)


def moment(chance):
    return datetime.datetime(1970, 1, 1) + datetime.timedelta(
        seconds=digits(chance) * 50, microseconds=chance.choice([0, 1, 500_000])
    )


PARTS_OF_TEXT = {
    "startswith": lambda value: value[:2],
    "endswith": lambda value: value[-2:],
    "contains": lambda value: value[1:3],
    "iexact": str.upper,
    "istartswith": lambda value: value[:1].swapcase(),
    "icontains": lambda value: value[1:2].swapcase(),
}
PARTS_OF_DATES = {
    part: lambda value, part=part: getattr(value, part)
    for part in ("year", "month", "day")
}
PARTS_OF_TIMES = {
    part: lambda value, part=part: getattr(value, part)
    for part in ("hour", "minute", "second")
}

KINDS = [
    Kind(
        "boolean",
        models.BooleanField,
        (True, False),
        lambda chance: chance.random() < 0.5,
        {},
    ),
    Kind(
        "small",
        models.SmallIntegerField,
        (0, -1, 32767, -32768),
        lambda chance: chance.randint(-99, 99),
        {},
    ),
    Kind(
        "integer",
        models.IntegerField,
        (0, 1, -1, 9, 10, 2**31 - 1, -(2**31)),
        digits,
        {},
    ),
    Kind(
        "big",
        models.BigIntegerField,
        (0, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)),
        lambda chance: chance.randint(-(2**63), 2**63 - 1),
        {},
    ),
    Kind(
        "float",
        models.FloatField,
        (0.0, 1.0, 0.1, -1e-9, 1e15, 5e-9, 2.0**53),
        lambda chance: digits(chance) / 64,
        {},
    ),
    Kind(
        "decimal",
        lambda **options: models.DecimalField(
            max_digits=12, decimal_places=3, **options
        ),
        tuple(
            map(Decimal, ("0", "0.001", "-0.001", "1.5", "10", "9", "123456789.999"))
        ),
        lambda chance: Decimal(digits(chance)) / 1000,
        {},
    ),
    Kind(
        "char",
        lambda **options: models.CharField(max_length=20, **options),
        ("null", "true", "1", "1.0", '"', "a", "A", "[]", "é", "É", "\\u0041", "$.x"),
        text,
        PARTS_OF_TEXT,
    ),
    Kind(
        "text",
        models.TextField,
        ("{}", "\n", "%s", "ab", "aB", "null", "x" * 300),
        text,
        PARTS_OF_TEXT,
    ),
    Kind(
        "date",
        models.DateField,
        tuple(
            map(
                datetime.date.fromisoformat,
                ("1000-01-01", "9999-12-31", "1969-12-31", "2024-02-29", "2026-01-31"),
            )
        ),
        lambda chance: moment(chance).date(),
        PARTS_OF_DATES | {"week_day": lambda value: value.isoweekday() % 7 + 1},
    ),
    Kind(
        "datetime",
        models.DateTimeField,
        tuple(
            map(
                datetime.datetime.fromisoformat,
                (
                    "1000-01-01T00:00:00",
                    "9999-12-31T23:59:59.999999",
                    "1969-12-31T23:59:59.999999",
                    "2024-02-29T12:00:00",
                    "2024-02-29T12:00:00.000001",
                ),
            )
        ),
        moment,
        {**PARTS_OF_DATES, **PARTS_OF_TIMES, "date": lambda value: value.date()},
    ),
    Kind(
        "time",
        models.TimeField,
        tuple(
            map(
                datetime.time.fromisoformat,
                ("00:00:00", "23:59:59.999999", "12:00:00", "12:00:00.000001"),
            )
        ),
        lambda chance: moment(chance).time(),
        PARTS_OF_TIMES,
    ),
    Kind(
        "duration",
        models.DurationField,
        tuple(
            datetime.timedelta(microseconds=each)
            for each in (0, 1, -1, 999_999, 86_400_000_000, -86_400_000_001)
        ),
        lambda chance: datetime.timedelta(milliseconds=digits(chance)),
        {},
    ),
    Kind(
        "uuid",
        models.UUIDField,
        (uuid.UUID(int=0), uuid.UUID(int=1), uuid.UUID(int=2**128 - 1)),
        # MariaDB takes no others than those of RFC 4122.
        lambda chance: uuid.UUID(int=chance.getrandbits(128), version=4),
        {},
    ),
    Kind(
        "address",
        models.GenericIPAddressField,
        ("10.0.0.1", "9.0.0.1", "::1", "2001:db8::1", "255.255.255.255"),
        lambda chance: f"10.0.{chance.randint(0, 255)}.{chance.randint(0, 255)}",
        {},
    ),
    Kind(
        "slug",
        models.SlugField,
        ("a", "a-b", "A", "0", "-1"),
        lambda chance: "".join(chance.choices("abAB01-_", k=4)),
        PARTS_OF_TEXT,
    ),
    Kind(
        "binary",
        models.BinaryField,
        (b"\0", b"\xff", b"a", b"\0" * 3),
        lambda chance: chance.randbytes(4),
        {},
    ),
    Kind(
        "raw",
        RawField,
        (0, 1, True, False, "1", "true", "", "a", [], [1], [1, 2], {}),
        lambda chance: chance.choice(
            [{"a": 1, "b": [True]}, {"b": [True], "a": 1}, {"a": 1}, [{"a": None}], 0.5]
        ),
        {},
    ),
]
#: Of these, databases have no order that an application relies on.
UNORDERED = {"boolean", "binary", "address", "uuid"}
#: Paths to these are Django's, without a type.
UNTYPED = {"raw"}


def _model(name, base, indexes=(), **attributes):
    outer = getattr(base, "Meta", object)
    options = {"app_label": "fields_tests", "apps": registry, "indexes": indexes}
    meta = type("Meta", (outer,), options)
    return type(name, (base,), {"__module__": __name__, "Meta": meta, **attributes})


def _models_of(kind):
    """Return a model with a column for each way to hold a value, and what it embeds."""
    title = kind.name.title()
    inner = _model(
        f"Inner{title}", EmbeddedModel, value=kind.field(null=True, blank=True)
    )
    outer = _model(
        f"Outer{title}", EmbeddedModel, inner=EmbeddedModelField(inner, null=True)
    )
    holder = _model(
        f"Holder{title}",
        models.Model,
        indexes=[models.Index("one__value", name=f"{kind.name}_value")],
        column=kind.field(null=True),
        one=EmbeddedModelField(inner, null=True),
        deep=EmbeddedModelField(outer, null=True),
        many=EmbeddedModelListField(inner),
        items=ListField(kind.field(null=True)),
        unique=SetField(kind.field(null=True)),
        named=DictField(kind.field(null=True)),
        lists=ListField(ListField(kind.field(null=True))),
    )
    return holder, inner, outer


#: By a kind's name: the model of its table, and the embedded ones.
MODELS = {kind.name: _models_of(kind) for kind in KINDS}


def rows_of(kind, chance, number):
    """Return unsaved rows, whose values are drawn."""
    holder, inner, outer = MODELS[kind.name]
    values = [None, *kind.values(chance, number - 1)]

    def some(most=3):
        return chance.choices(values, k=chance.randint(0, most))

    made = []
    for value in values:
        is_there = value is not None or chance.random() < 0.5
        one = inner(value=value) if is_there else None
        made.append(
            holder(
                column=value,
                one=one,
                deep=outer(inner=one) if one or chance.random() < 0.5 else None,
                many=[inner(value=each) for each in some()],
                items=[value, *some()] if is_there else [],
                unique={each for each in some() if each.__hash__},
                named=dict(zip("ab'", [value, *some()], strict=False))
                if is_there
                else {},
                lists=[some(2) for _ in range(chance.randint(0, 2))],
            )
        )
    return made
