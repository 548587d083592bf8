"""
Random conditions: the text of ``Q`` objects, lookups and the paths they follow.

Queries are built as source text: it shrinks well, prints as what a developer
would write, and is evaluated once for each database.
"""

from dataclasses import dataclass

from django.db import models
from hypothesis import strategies as st

from .rows import JSON, LIMITS

INTEGERS = tuple(LIMITS)
DECIMALS = ("DecimalField", "FloatField")
NUMBERS = (*INTEGERS, *DECIMALS)
TEXT = ("CharField", "TextField", "SlugField")
ORDERED = (*NUMBERS, *TEXT, "DateField", "DateTimeField", "TimeField")
ORDERED = (*ORDERED, "DurationField", "UUIDField", "GenericIPAddressField")

TEXT_LOOKUPS = (
    *("contains", "icontains", "startswith", "istartswith", "endswith"),
    *("iendswith", "iexact"),
)
PATTERNS = (
    *("a", "^a", "b$", "^$", ".", "[0-9]+", "é", "^A?b*$", "\\\\", "(a|ß)", "a.b"),
    *("\\w", "^\\s"),
)
DATE_PARTS = {
    "year": (1, 999, 1969, 1970, 2000, 2024, 9999),
    "iso_year": (1, 1970, 2020, 2025, 9999),
    "month": (1, 2, 5, 12),
    "day": (1, 29, 30, 31),
    "week": (1, 53),
    "week_day": (1, 2, 7),
    "iso_week_day": (1, 2, 7),
    "quarter": (1, 4),
}
TIME_PARTS = {"hour": (0, 12, 23), "minute": (0, 30), "second": (0, 15, 59)}


@dataclass(frozen=True)
class Path:
    """A way from a model to a column, written with double underscores."""

    text: str
    field: models.Field
    #: It crosses a relation to many rows, so that joins repeat rows.
    many: bool

    @property
    def kind(self):
        target = self.field
        while target.is_relation:
            target = target.target_field
        if target.get_internal_type() == "GeneratedField":
            target = target.output_field
        return target.get_internal_type()


def paths(model, depth=2):
    """All paths from ``model`` that follow at most ``depth`` relations."""
    return _paths(model, depth, "", many=False)


def _paths(model, depth, prefix, *, many):
    found = []
    for model_field in model._meta.get_fields():
        if model_field.concrete and not model_field.many_to_many:
            found.append(Path(prefix + model_field.name, model_field, many))
        if model_field.is_relation and depth:
            across = many or bool(model_field.one_to_many or model_field.many_to_many)
            found += _paths(
                model_field.related_model,
                depth - 1,
                f"{prefix}{model_field.name}__",
                many=across,
            )
    return found


@st.composite
def path(draw, table, kinds=None, *, many=True, depth=None):
    """A path to a column of one of ``kinds``; None if there is none."""
    if depth is None:
        depth = draw(st.sampled_from([0, 0, 0, 1, 2]))
    fitting = [
        p
        for p in paths(table.model, depth)
        if (kinds is None or p.kind in kinds) and (many or not p.many)
    ]
    return draw(st.sampled_from(fitting)) if fitting else None


@st.composite
def condition(draw, table, depth=2):
    """The text of a ``Q`` over the rows of a table."""
    kind = draw(st.integers(0, 9 if depth else 4))
    if kind <= 4:
        return f"Q({draw(lookup(table))})"
    if kind == 5:
        return draw(comparison(table))
    if kind == 6:
        return f"~{draw(condition(table, depth - 1))}"
    if kind == 7 and (inner := draw(subquery(table))):
        return f"Q(Exists({inner}))"
    operator = draw(st.sampled_from("&||^"))
    left = draw(condition(table, depth - 1))
    right = draw(condition(table, depth - 1))
    return f"({left} {operator} {right})"


@st.composite
def comparison(draw, table):
    """A column beside another one of its type, perhaps a little changed."""
    left = draw(path(table, ORDERED))
    if left is None:
        return "Q()"
    kinds = next((k for k in (INTEGERS, TEXT) if left.kind in k), (left.kind,))
    right = draw(path(table, kinds))
    operator = draw(st.sampled_from(["", "__gt", "__lte"]))
    value = f"F({right.text!r})" if right else repr(draw(table.values(left.field)))
    if left.kind in INTEGERS:
        value += draw(st.sampled_from(["", " + 1", " * 2", " - 3"]))
    elif left.kind in TEXT and not left.field.is_relation:
        operator = draw(st.sampled_from([operator, "__contains", "__istartswith"]))
    return f"Q({left.text}{operator}={value})"


@st.composite
def subquery(draw, table):
    """Text of a queryset of a related model that refers to the outer row."""
    related = [
        f
        for f in table.model._meta.get_fields()
        if f.is_relation and not f.many_to_many and f.auto_created
    ]
    if not related:
        return None
    relation = draw(st.sampled_from(related))
    inner = table.other(relation.related_model)
    text = (
        f"{inner.model.__name__}.objects.filter({relation.field.name}=OuterRef('pk'))"
    )
    if draw(st.booleans()):
        text += f".filter({draw(lookup(inner))})"
    return text


@st.composite
def lookup(draw, table, depth=None):
    """One keyword argument of ``filter()``."""
    chosen = draw(path(table, depth=depth))
    return draw(lookup_on(table, chosen))


@st.composite
def lookup_on(draw, table, chosen):
    """One keyword argument of ``filter()`` for a given path."""
    text, kind = chosen.text, chosen.kind
    if kind == "JSONField":
        return draw(_json_lookup(text))
    value = table.values(chosen.field)
    choices = ["exact", "exact", "isnull", "in"]
    relation = chosen.field.is_relation
    if kind in ORDERED:
        choices += ["gt", "gte", "lt", "lte"]
    if kind in ORDERED and not relation:
        choices += ["range"]
    if kind in TEXT and not relation:
        choices += [*TEXT_LOOKUPS, "regex", "iregex"]
    if kind in ("DateField", "DateTimeField"):
        choices += ["part", "part"]
    if kind == "DateTimeField":
        choices += ["date", "time", "time part"]
    if kind == "TimeField":
        choices += ["time part"]
    match draw(st.sampled_from(choices)):
        case "exact":
            none = st.none() if draw(st.integers(0, 5)) == 5 else value
            return f"{text}={draw(none)!r}"
        case "isnull":
            return f"{text}__isnull={draw(st.booleans())}"
        case "in":
            some = draw(st.lists(value | st.none(), max_size=4))
            return f"{text}__in={some!r}"
        case "range":
            return f"{text}__range=({draw(value)!r}, {draw(value)!r})"
        case "regex" | "iregex" as name:
            return f"{text}__{name}={draw(st.sampled_from(PATTERNS))!r}"
        case "part":
            return draw(_part(text, DATE_PARTS))
        case "time part":
            return draw(_part(text, TIME_PARTS))
        case ("date" | "time") as name:
            operator = draw(st.sampled_from(["", "__gt", "__lte"]))
            part = getattr(draw(value), name)()
            return f"{text}__{name}{operator}={part!r}"
        case name:
            return f"{text}__{name}={draw(value)!r}"


@st.composite
def _part(draw, text, parts):
    name = draw(st.sampled_from(sorted(parts)))
    operator = draw(st.sampled_from(["", "", "__gt", "__gte", "__lt", "__in"]))
    value = draw(st.sampled_from(parts[name]))
    return f"{text}__{name}{operator}={[value] if operator == '__in' else value}"


@st.composite
def _json_lookup(draw, text):
    key = draw(st.sampled_from(["a", "b", "b__c", "0", "1", "b__0", "missing"]))
    value = draw(st.sampled_from(JSON))
    choices = [
        f"{text}={value!r}",
        f"{text}__isnull={draw(st.booleans())}",
        f"{text}__{key}={value!r}",
        f"{text}__{key}__isnull={draw(st.booleans())}",
        f"{text}__{key}__gt={draw(st.integers(-1, 2))}",
        f"{text}__{key}__icontains='a'",
        f"{text}__has_key='a'",
        f"{text}__has_keys=['a', 'b']",
        f"{text}__has_any_keys=['b', '0']",
        f"{text}__{key}__in=[1, 'x', {value!r}]",
    ]
    return draw(st.sampled_from(choices))
