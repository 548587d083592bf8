"""Random annotations, aggregates and window functions, as source text."""

from dataclasses import dataclass

from hypothesis import strategies as st

from .conditions import INTEGERS, NUMBERS, ORDERED, TEXT, condition, path, subquery

#: Sums of these stay inside 64 bits whatever the order of addition is.
SUMMED = tuple(kind for kind in INTEGERS if "Big" not in kind)


@dataclass(frozen=True)
class Expression:
    """Source text of an expression, and what is needed to compare its values."""

    source: str
    #: It refers to a relation to many rows: rows are repeated, differently.
    many: bool = False
    #: An aggregate of other tables' rows.
    joined: bool = False
    #: A sum of floats, whose last digits are nobody's promise.
    inexact: bool = False


@st.composite
def scalar(draw, table):
    """An annotation of each row."""
    builders = [_number, _number, _text, _text, _date, _choice, _any, _other]
    for builder in draw(st.permutations(builders)):
        found = draw(builder(table))
        if found is not None:
            return found
    return Expression("Value(1)")


@st.composite
def _number(draw, table):
    first = draw(path(table, INTEGERS))
    if first is None:
        return None
    second = draw(path(table, INTEGERS))
    f, g = f"F({first.text!r})", f"F({(second or first).text!r})"
    n = draw(st.sampled_from([0, 1, 2, 3, -1]))
    source = draw(
        st.sampled_from(
            [
                *(f"{f} + {n}", f"{f} + {g}", f"{f} - {g}", f"{f} * {n}", f"-{f}"),
                *(f"{f} / {n}", f"{f} % {n}", f"Abs({f})", f"Sign({f})"),
                *(f"Mod({f}, 7)", f"{f}.bitand(3)", f"{f}.bitor(8)"),
                *(f"{f}.bitleftshift(1)", f"{f}.bitxor({g})"),
                *(f"Coalesce({f}, {g}, 0)", f"NullIf({f}, {n})", f"Greatest({f}, {g})"),
                *(
                    f"Least({f}, {g})",
                    f"Cast({f}, CharField())",
                    f"Cast({f}, FloatField())",
                ),
                *(f"Power({f} % 10, 2)", f"Floor({f} / 2.0)", f"Ceil({f} / 2.0)"),
                *(f"Round({f} / 4.0)", f"Cast({f}, BooleanField())"),
            ]
        )
    )
    return Expression(source, first.many or bool(second and second.many))


@st.composite
def _text(draw, table):
    first = draw(path(table, TEXT))
    if first is None:
        return None
    second = draw(path(table, TEXT)) or first
    f, g = f"F({first.text!r})", f"F({second.text!r})"
    output = "output_field=TextField()"
    source = draw(
        st.sampled_from(
            [
                *(f"Lower({f})", f"Upper({f})", f"Length({f})", f"Trim({f})"),
                *(f"Concat({f}, Value('-'), {g}, {output})", f"Substr({f}, 2, 1)"),
                *(f"Left({f}, 1)", f"Right({f}, 2)", f"LPad({f}, 4, Value('é'))"),
                *(f"Coalesce({f}, Value('none'), {output})", f"Repeat({f}, 2)"),
                *(f"Replace({f}, Value('a'), Value(\"'\"))", f"Reverse({f})"),
                *(f"StrIndex({f}, Value('b'))", f"NullIf({f}, Value(''))"),
                *(f"Greatest({f}, {g}, {output})", f"MD5({f})", f"Ord({f})"),
            ]
        )
    )
    return Expression(source, first.many or second.many)


@st.composite
def _date(draw, table):
    chosen = draw(path(table, ("DateField", "DateTimeField", "TimeField")))
    if chosen is None:
        return None
    days = ["Year", "Month", "Day", "Week", "WeekDay", "IsoWeekDay", "Quarter"]
    times = ["Hour", "Minute", "Second"]
    parts = {"DateField": days, "TimeField": times, "DateTimeField": days + times}
    choices = [f"Extract{part}({chosen.text!r})" for part in parts[chosen.kind]]
    cut = {
        "DateField": ["Year", "Quarter", "Month", "Week"],
        "TimeField": times,
        "DateTimeField": ["Year", "Quarter", "Month", "Week", "Day", *times],
    }
    choices += [f"Trunc{part}({chosen.text!r})" for part in cut[chosen.kind]]
    if chosen.kind == "DateTimeField":
        choices += [f"TruncDate({chosen.text!r})", f"TruncTime({chosen.text!r})"]
    if chosen.kind != "TimeField":
        step = "Value(datetime.timedelta(days=1, microseconds=1))"
        output = f"output_field={chosen.kind}()"
        choices.append(f"ExpressionWrapper(F({chosen.text!r}) + {step}, {output})")
    return Expression(draw(st.sampled_from(choices)), chosen.many)


@st.composite
def _choice(draw, table):
    """CASE with one or two conditions."""
    chosen = draw(path(table, (*INTEGERS, *TEXT), many=False))
    if chosen is None:
        return None
    output = "TextField()" if chosen.kind in TEXT else "BigIntegerField()"
    whens = [
        f"When({draw(condition(table, 1))}, then=Value({draw(table.values(chosen.field))!r}))"
        for _ in range(draw(st.integers(1, 2)))
    ]
    default = draw(
        st.sampled_from(["", f"default=F({chosen.text!r}), ", "default=None, "])
    )
    return Expression(
        f"Case({', '.join(whens)}, {default}output_field={output})", many=True
    )


@st.composite
def _any(draw, table):
    chosen = draw(path(table))
    return Expression(f"F({chosen.text!r})", chosen.many)


@st.composite
def _other(draw, table):
    inner = draw(subquery(table))
    if inner is None or draw(st.booleans()):
        wrapped = draw(condition(table, 1))
        return Expression(
            f"ExpressionWrapper({wrapped}, output_field=BooleanField())", many=True
        )
    source = draw(
        st.sampled_from(
            [
                f"Exists({inner})",
                f"~Exists({inner})",
                f"Subquery({inner}.order_by('pk').values('pk')[:1])",
                f"Subquery({inner}.order_by('-pk').values('pk')[1:2])",
            ]
        )
    )
    return Expression(source)


@st.composite
def aggregate(draw, table, *, exact=False):
    """An aggregate; only one with the same digits everywhere if ``exact``."""
    kind = draw(st.sampled_from(["count", "count", "minmax", "sum", "avg"]))
    options = ""
    filtered = draw(st.integers(0, 3)) == 0  # by another table's rows, maybe
    if filtered:
        options += f", filter={draw(condition(table, 1))}"
    if kind == "minmax" and (chosen := draw(path(table, ORDERED))):
        if draw(st.integers(0, 3)) == 0:
            options += f", default={draw(table.values(chosen.field))!r}"
        name = draw(st.sampled_from(["Min", "Max"]))
        return Expression(
            f"{name}({chosen.text!r}{options})", joined=filtered or chosen.many
        )
    kinds = SUMMED if exact else (*SUMMED, "FloatField", "DecimalField")
    if kind == "sum" and (chosen := draw(path(table, kinds))):
        options += draw(st.sampled_from(["", "", ", distinct=True"]))
        if chosen.kind in INTEGERS and draw(st.booleans()):
            options += ", default=0"
        return Expression(
            f"Sum({chosen.text!r}{options})",
            joined=filtered or chosen.many,
            inexact=chosen.kind not in INTEGERS,
        )
    if kind == "avg" and not exact and (chosen := draw(path(table, kinds))):
        name = draw(st.sampled_from(["Avg", "Avg", "StdDev", "Variance"]))
        return Expression(
            f"{name}({chosen.text!r}{options})",
            joined=filtered or chosen.many,
            inexact=True,
        )
    chosen = draw(path(table))
    options += draw(st.sampled_from(["", ", distinct=True"]))
    return Expression(
        f"Count({chosen.text!r}{options})", joined=filtered or chosen.many
    )


@st.composite
def window(draw, table):
    """A window function over the whole table or parts, in a total order."""
    order = draw(path(table, ORDERED, many=False))
    sign = draw(st.sampled_from(["", "-"]))
    ordering = [f"{sign}{order.text}", "pk"] if order else ["pk"]
    chosen = draw(path(table, many=False))
    number = draw(path(table, SUMMED, many=False))
    choices = [
        *("RowNumber()", "Rank()", "DenseRank()", "Ntile(3)", "CumeDist()"),
        *("PercentRank()", f"Lag({chosen.text!r}, 1)", f"Lead({chosen.text!r}, 2)"),
        *(f"FirstValue({chosen.text!r})", f"LastValue({chosen.text!r})"),
        *(f"NthValue({chosen.text!r}, 2)", f"Count({chosen.text!r})"),
    ]
    if number:
        choices += [f"Sum({number.text!r})", f"Max({number.text!r})"]
    function = draw(st.sampled_from(choices))
    options = f"order_by={ordering!r}"
    if draw(st.booleans()):
        partition = draw(path(table, (*NUMBERS, *TEXT, "BooleanField"), many=False))
        if partition:
            options += f", partition_by=[F({partition.text!r})]"
    if function.startswith(("Sum", "Max", "Last")) and draw(st.booleans()):
        options += ", frame=RowRange(start=-1, end=1)"
    return Expression(f"Window({function}, {options})")
