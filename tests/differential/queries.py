"""Random QuerySets, as source text that any of the databases can evaluate."""

import datetime
import math
import uuid
from dataclasses import dataclass
from decimal import Decimal

from hypothesis import strategies as st

from .conditions import INTEGERS, ORDERED, TEXT, condition, lookup, path
from .expressions import aggregate, scalar, window
from .lookalikes import lookalike
from .rows import LargeBytes, LargeText, Table
from .schemas import NAMESPACE

EVALUATED_WITH = {
    **NAMESPACE,
    "datetime": datetime,
    "Decimal": Decimal,
    "UUID": uuid.UUID,
    "inf": math.inf,
    "LargeText": LargeText,
    "LargeBytes": LargeBytes,
}


@dataclass(frozen=True)
class Query:
    """A query: an expression whose value is the answer."""

    source: str
    #: Its order is total, so rows are compared in order.
    ordered: bool = True
    #: It adds floats: the last digits may differ.
    inexact: bool = False

    def __str__(self):
        notes = [] if self.ordered else ["in any order"]
        notes += ["last digits may differ"] * self.inexact
        return f"{self.source}  # {', '.join(notes)}" if notes else self.source

    def evaluate(self, built):
        return eval(self.source, {**EVALUATED_WITH, **built.classes})


@st.composite
def simple_queries(draw, built, rows):
    """
    Queries of one table: what a store may be asked to answer by itself.

    Lookups on single columns, order, limits and counts, but no joins.
    """
    table = Table(draw(st.sampled_from(list(built.classes.values()))), rows.held())
    source = f"{table.model.__name__}.objects.all()"
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2, 3]))):
        method = draw(st.sampled_from(["filter", "filter", "filter", "exclude"]))
        source += f".{method}({draw(lookup(table, depth=0))})"
    if draw(st.integers(0, 4)) == 0:
        return draw(_lookalike(table, source))
    return draw(_ended(table, source, many=False))


@st.composite
def queries(draw, built, rows):
    """Queries of all kinds."""
    table = Table(draw(st.sampled_from(list(built.classes.values()))), rows.held())
    shape = draw(
        st.sampled_from(
            [
                *(_rows, _rows, _rows, _grouped, _grouped, _totals, _combined),
                _lookalike,
            ]
        )
    )
    return draw(shape(table, draw(_filtered(table))))


@st.composite
def _lookalike(draw, table, source):
    """What backends may take for something else."""
    return Query(draw(lookalike(table, source)), ordered=False)


@st.composite
def _filtered(draw, table):
    source = f"{table.model.__name__}.objects.all()"
    for _ in range(draw(st.sampled_from([0, 1, 1, 2]))):
        method = draw(st.sampled_from(["filter", "filter", "filter", "exclude"]))
        source += f".{method}({draw(condition(table))})"
    return source


@st.composite
def ordering(draw, table, extra=()):
    """Arguments of ``order_by()`` that leave nothing undecided."""
    order = []
    for _ in range(draw(st.integers(0, 2))):
        chosen = draw(path(table, ORDERED, many=False))
        if chosen:
            nulls = ["nulls_first=True", "nulls_last=True", ""]
            order.append(
                draw(
                    st.sampled_from(
                        [
                            repr(chosen.text),
                            repr("-" + chosen.text),
                            f"F({chosen.text!r}).asc({draw(st.sampled_from(nulls))})",
                            f"F({chosen.text!r}).desc({draw(st.sampled_from(nulls))})",
                        ]
                    )
                )
            )
    order += [draw(st.sampled_from([repr(n), repr("-" + n)])) for n in extra]
    return ", ".join([*order, draw(st.sampled_from(["'pk'", "'-pk'"]))])


@st.composite
def _slice(draw):
    low, size = draw(st.integers(0, 4)), draw(st.integers(0, 5))
    return draw(st.sampled_from([f"[:{size}]", f"[{low}:]", f"[{low}:{low + size}]"]))


@st.composite
def _rows(draw, table, source):
    """Annotated rows."""
    names, many, numbered, inexact = [], False, False, False
    for number in range(draw(st.sampled_from([0, 0, 1, 1, 2]))):
        kind = draw(st.sampled_from([scalar, scalar, window]))
        # An aggregate groups by all other columns, so it must be the last one.
        if number == 0 and draw(st.integers(0, 4)) == 0:
            kind = aggregate
        expression = draw(kind(table))
        many |= expression.many
        numbered |= kind is window
        if many and numbered:
            # Which of a row's copies has which number isn't said.
            break
        source += f".annotate(x{number}={expression.source})"
        inexact |= expression.inexact
        names.append(f"x{number}")
    if names and not inexact and draw(st.integers(0, 4)) == 0:
        source += f".filter({names[0]}__isnull={draw(st.booleans())})"
    return draw(_ended(table, source, many=many, inexact=inexact, names=names))


@st.composite
def _ended(draw, table, source, *, many, inexact=False, names=()):
    """
    Order and cut ``source`` and choose what is asked of it.

    ``many``: joins repeat rows with different values in them, so that no order
    by columns of ``table`` is total; such a query isn't cut.
    """
    ordered = not many and draw(st.booleans())
    usable = [] if inexact else list(names)
    if ordered:
        source += f".order_by({draw(ordering(table, usable))})"
    if draw(st.integers(0, 5)) == 0:
        source += ".distinct()"
    ends = [_instances, _instances, _values, _values, _scalars]
    source, ordered = draw(draw(st.sampled_from(ends))(table, source, ordered, names))
    return Query(source, ordered, inexact)


@st.composite
def _instances(draw, table, source, ordered, names):
    forward = [
        f.name for f in table.model._meta.fields if f.is_relation and f.remote_field
    ]
    if forward and draw(st.booleans()):
        source += f".select_related({draw(st.sampled_from(forward))!r})"
        forward = None
    sets = [
        f.get_accessor_name() if f.auto_created else f.name
        for f in table.model._meta.get_fields()
        if f.is_relation
    ]
    if sets and draw(st.integers(0, 3)) == 0:
        source += f".prefetch_related({draw(st.sampled_from(sets))!r})"
    elif forward is not None and draw(st.integers(0, 5)) == 0:
        # Django refuses to defer what select_related() follows.
        method = draw(st.sampled_from(["only", "defer"]))
        plain = [f.name for f in table.model._meta.concrete_fields if not f.is_relation]
        source += f".{method}({draw(st.sampled_from(plain))!r})"
    if ordered and draw(st.booleans()):
        source += draw(_slice())
    elif draw(st.integers(0, 5)) == 0:
        source = f"list({source}.iterator(chunk_size={draw(st.integers(1, 3))}))"
    return source, ordered


@st.composite
def _values(draw, table, source, ordered, names):
    fields = [f.attname for f in table.model._meta.concrete_fields]
    some = draw(st.lists(st.sampled_from(fields), min_size=1, max_size=3, unique=True))
    # DISTINCT works on what is selected: the order by a column that isn't
    # selected adds it, but a slice must not cut between equal rows.
    columns = ", ".join(repr(name) for name in [*some, *names])
    method = draw(st.sampled_from(["values", "values_list"]))
    if len(some) == 1 and not names and draw(st.booleans()):
        source += f".values_list({columns}, flat=True)"
    else:
        source += f".{method}({columns})"
    if ordered and draw(st.booleans()):
        source += draw(_slice())
    return source, ordered


@st.composite
def _scalars(draw, table, source, ordered, names):
    comparable = [
        f.name
        for f in table.model._meta.concrete_fields
        if f.get_internal_type() in ORDERED and not f.is_relation
    ]
    choices = [
        f"{source}.count()",
        f"{source}.exists()",
        f"{source}.aggregate(n=Count('pk'))",
        f"isinstance({source}.explain(), str)",
        f"{source}.contains({table.model.__name__}.objects.order_by('pk').first())",
    ]
    key = draw(table.values(table.model._meta.pk))
    choices.append(f"{source}.in_bulk([{key!r}])")
    choices.append(f"{source}.get(pk={key!r})")
    if ordered:
        choices += [f"{source}.first()", f"{source}.last()", f"{source}[2]"]
        choices += [f"{source}{draw(_slice())}.{end}()" for end in ("count", "exists")]
        if comparable:
            name = draw(st.sampled_from(comparable))
            choices.append(f"{source}.earliest({name!r}, 'pk')")
            choices.append(f"{source}.latest({name!r}, 'pk')")
    kinds = {f.name: f.get_internal_type() for f in table.model._meta.concrete_fields}
    for name, kind in kinds.items():
        if kind in ("DateField", "DateTimeField"):
            unit = draw(st.sampled_from(["year", "month", "week", "day"]))
            order = draw(st.sampled_from(["ASC", "DESC"]))
            choices.append(f"{source}.dates({name!r}, {unit!r}, {order!r})")
        if kind == "DateTimeField":
            unit = draw(st.sampled_from(["year", "day", "hour", "second"]))
            choices.append(f"{source}.datetimes({name!r}, {unit!r})")
    # dates() comes back in its own total order, all others are single values.
    chosen = draw(st.sampled_from(choices))
    return chosen, True


@st.composite
def _grouped(draw, table, source):
    """``values().annotate()``: GROUP BY, perhaps with HAVING."""
    grouping = []
    for _ in range(draw(st.integers(1, 2))):
        chosen = draw(path(table, many=True))
        if chosen.text not in grouping:
            grouping.append(chosen.text)
    columns = ", ".join(map(repr, grouping))
    having = draw(st.booleans())
    total = draw(aggregate(table, exact=having))
    source += f".values({columns}).annotate(total={total.source}"
    inexact = total.inexact
    if draw(st.booleans()):
        other = draw(aggregate(table))
        source += f", other={other.source}"
        inexact |= other.inexact
    source += ")"
    if having:
        test = "isnull=False" if "Min" in total.source else "gt=1"
        test = test if "Max" not in total.source else "isnull=False"
        source += f".filter(total__{test})"
    ordered = draw(st.booleans())
    if ordered:
        source += f".order_by({columns})"
        if draw(st.booleans()):
            source += draw(_slice())
    # Equal keys differ as JSON text or as 0 and -0: only whole groups count.
    return Query(source, ordered, inexact)


@st.composite
def _totals(draw, table, source):
    """``aggregate()`` over rows, over a slice and over groups."""
    total, other = draw(aggregate(table)), draw(aggregate(table))
    if draw(st.integers(0, 3)) == 0:
        part = f".order_by({draw(ordering(table))}){draw(_slice())}"
        # Of the rows that a join makes of one, it isn't said which come first.
        source += "" if total.joined or other.joined else part
    elif draw(st.integers(0, 3)) == 0:
        source += f".annotate(x0={draw(aggregate(table, exact=True)).source})"
    source += f".aggregate(total={total.source}, other={other.source})"
    return Query(source, inexact=total.inexact or other.inexact)


@st.composite
def _combined(draw, table, source):
    """UNION, INTERSECT and EXCEPT of two querysets of one model."""
    plain = [
        f.attname
        for f in table.model._meta.concrete_fields
        if f.get_internal_type() in (*INTEGERS, *TEXT, "DateField", "UUIDField")
    ]
    some = draw(st.lists(st.sampled_from(plain), max_size=2, unique=True))
    columns = [n for n in some if n != table.model._meta.pk.attname]
    columns = [table.model._meta.pk.attname, *columns]
    if draw(st.booleans()):
        columns = columns[1:] or columns
    shown = ", ".join(map(repr, columns))
    method = draw(st.sampled_from(["union", "union", "intersection", "difference"]))
    options = ", all=True" if method == "union" and draw(st.booleans()) else ""
    right = f"{draw(_filtered(table))}.values_list({shown})"
    source += f".values_list({shown}).{method}({right}{options})"
    ordered = draw(st.booleans())
    if ordered:
        source += f".order_by({shown})"
        if draw(st.booleans()):
            source += draw(_slice())
    if draw(st.integers(0, 4)) == 0:
        return Query(f"{source}.count()")
    return Query(source, ordered)
