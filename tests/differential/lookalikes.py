"""
Random queries that look like those that backends recognise, and mean something else.

``exists()`` selects the constant 1, ``count()`` counts all rows, ``get()`` cuts after a
few: whoever writes the same by hand wants rows, in another type maybe.
"""

from hypothesis import strategies as st

from .conditions import INTEGERS, NUMBERS, ORDERED, path

CONSTANTS = (
    *("Value(1)", "Value(1)", "Value(True)", "Value(1.0)", "Value('1')", "Value(None)"),
    *("Value(0)", "Value(Decimal(1))", "Value(1, output_field=FloatField())"),
    *("Value(1, output_field=BooleanField())", "Value(1, output_field=CharField())"),
    "ExpressionWrapper(Value(1), output_field=IntegerField())",
)
#: What Django calls such things itself, and what a user may.
NAMES = ("a", "a", "count", "n", "x0")


@st.composite
def constant_rows(draw, table, source):
    """Rows of constants."""
    name, constant = draw(st.sampled_from(NAMES)), draw(st.sampled_from(CONSTANTS))
    method = draw(st.sampled_from(["annotate", "annotate", "alias"]))
    source += f".{method}({name}={constant})"
    if draw(st.integers(0, 2)) == 0:
        source += f".filter({name}={draw(st.sampled_from(['1', '2', 'True']))})"
    if draw(st.integers(0, 3)) == 0:
        source += f".order_by({name!r}, 'pk')"
    if draw(st.integers(0, 4)) == 0:
        source += ".distinct()"
    if method == "alias":
        source += f".annotate(b=F({name!r}))"
        name = "b"
    same = f"{table.model.__name__}.objects.annotate({name}={constant})"
    ends = [
        f".values({name!r})",
        f".values_list({name!r})",
        f".values_list({name!r}, flat=True)",
        f".values_list('pk', {name!r}).order_by('pk')",
        f".values({name!r}).order_by()[:2]",
        f".values({name!r})[1:]",
        f".values_list({name!r}).union({same}.values_list({name!r}), all=True)",
        f".values({name!r}).count()",
        f".values({name!r})[:2].exists()",
        f".values({name!r}).annotate(m=Count('*'))",
        ".values().annotate(m=Count('*')).values('m')",
        ".exists()",
        ".count()",
        ".order_by('pk').first()",
        f".aggregate(m=Count({name!r}))",
        f".aggregate(m=Max({name!r}))",
        ".aggregate(m=Sum(Value(2)))",
        f".values_list({name!r}).first()",
    ]
    end = draw(st.sampled_from(ends))
    if end.startswith(".values") and draw(st.integers(0, 3)) == 0 and "(" in end:
        plain = draw(st.sampled_from(ends[:3]))
        return f"list({source}{plain}.iterator(chunk_size=2))"
    return source + end


@st.composite
def existence(draw, table, source):
    """``exists()`` of what isn't a plain filter."""
    parts = [
        ".distinct()",
        "[:2]",
        "[1:3]",
        ".distinct().order_by('pk')[1:2]",
        ".values('pk').annotate(n=Count('*'))",
        ".values('pk').annotate(n=Count('*')).filter(n__gt=1)",
        ".annotate(a=Value(2))",
        ".annotate(a=F('pk')).filter(a__gt=1)",
        ".order_by('?')",
        f".union({table.model.__name__}.objects.all())",
        f".difference({table.model.__name__}.objects.all())",
        ".none()",
    ]
    return f"{source}{draw(st.sampled_from(parts))}.exists()"


@st.composite
def cast_totals(draw, table, source):
    """Totals of one column with another field than the column's, side by side."""
    fields = ["FloatField()", "CharField()", "DecimalField()", "IntegerField()", None]
    column = draw(path(table, (*NUMBERS, *ORDERED), many=False))
    kinds = ["Max", "Min", "Count"]
    if column.kind in INTEGERS and "Big" not in column.kind:
        kinds += ["Sum", "Avg"]
    if column.kind not in NUMBERS:
        fields = [None]
        kinds = ["Max", "Min", "Count"]
    kind, other = draw(st.sampled_from(kinds)), draw(st.sampled_from(fields))
    if kind == "Count":
        other = draw(st.sampled_from(["FloatField()", "CharField()", None]))
    elif column.kind in ("FloatField", "DecimalField"):
        other = None  # digits of another type are nobody's promise
    output = "" if other is None else f", output_field={other}"
    total = f"{kind}({column.text!r}{output})"
    if draw(st.booleans()):
        return f"{source}.aggregate(m={total})"
    by = draw(path(table, (*INTEGERS, "BooleanField"), many=False))
    if by is None or by.text == "m":
        return f"{source}.aggregate(m={total})"
    return f"{source}.values({by.text!r}).annotate(m={total}).order_by({by.text!r})"


@st.composite
def lookalike(draw, table, source):
    """Any of them: source text."""
    kind = draw(st.sampled_from([constant_rows, constant_rows, existence, cast_totals]))
    return draw(kind(table, source))
