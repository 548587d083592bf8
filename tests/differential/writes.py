"""Random writes: steps that change the tables, and blocks of steps."""

from dataclasses import dataclass

from django.db import transaction
from hypothesis import strategies as st

from .conditions import INTEGERS, TEXT, lookup
from .databases import outcome
from .queries import EVALUATED_WITH
from .rows import Row, Table, row_values, values


@dataclass(frozen=True)
class Write:
    """One statement; what it returns is compared, too."""

    source: str

    def __str__(self):
        return self.source

    def run(self, alias, built):
        namespace = {**EVALUATED_WITH, **built.classes}

        def action():
            # Each in its own block: PostgreSQL's rule, and Django's advice.
            with transaction.atomic(using=alias):
                return eval(self.source, namespace)

        return [outcome(alias, action)]


@dataclass(frozen=True)
class Block:
    """An atomic block that commits or rolls back."""

    steps: tuple
    commit: bool = True

    def __str__(self):
        inside = "\n".join(map(str, self.steps)) or "pass"
        end = "" if self.commit else "set_rollback(True)"
        return f"with atomic():\n{inside}\n{end}".rstrip().replace("\n", "\n    ")

    def run(self, alias, built):
        outcomes = []

        def action():
            with transaction.atomic(using=alias):
                for step in self.steps:
                    outcomes.extend(step.run(alias, built))
                if not self.commit:
                    transaction.set_rollback(True, using=alias)

        outcomes.append(outcome(alias, action))
        return outcomes


@st.composite
def writes(draw, built, rows):
    """A few steps on the tables that hold ``rows``."""
    # Rows that are left out may use up numbers, or not: SQLite promises nothing.
    ignoring = draw(st.booleans())
    return tuple(
        draw(_step(built, rows, 2, ignoring)) for _ in range(draw(st.integers(1, 5)))
    )


@st.composite
def _step(draw, built, rows, depth, ignoring):
    if depth and draw(st.integers(0, 3)) == 0:
        count = draw(st.integers(1, 3))
        steps = tuple(
            draw(_step(built, rows, depth - 1, ignoring)) for _ in range(count)
        )
        return Block(steps, commit=draw(st.booleans()))
    name, model = draw(st.sampled_from(list(built.classes.items())))
    kinds = [_update, _update, _delete, _delete, _bulk_update, _get_or_create]
    kinds += [_bad_value, _relate]
    kinds += [_save_by_key, _create_ignoring] if ignoring else [_save, _create_many]
    kinds += kinds[-2:]
    source = draw(draw(st.sampled_from(kinds))(name, model, rows))
    return Write(source or f"{name}.objects.count()")


def _changeable(model, *, unique=True):
    """
    Fields that ``update()`` may set, perhaps only those in no constraint.

    SQLite checks uniqueness row by row while it updates, so that what several
    rows raise depends on their order, unless they all get the same value.
    """
    checked = {
        name
        for constraint in model._meta.constraints
        for name in getattr(constraint, "fields", ())
    }
    if not unique and any(
        getattr(c, "contains_expressions", False) or getattr(c, "condition", None)
        for c in model._meta.constraints
    ):
        return []
    return [
        f
        for f in model._meta.concrete_fields
        if not f.primary_key
        and not f.generated
        and (unique or not (f.unique or f.name in checked))
    ]


@st.composite
def _filter(draw, name, model, rows):
    """
    Text of the rows to change.

    No ``exclude()`` across relations: it is a correlated subquery on the table
    that changes, and SQLite (3.40 does, 3.54 doesn't) lets it see the rows that
    the same UPDATE has changed already. A backend that is right would differ.
    """
    source = f"{name}.objects.all()"
    table = Table(model, rows.held())
    for _ in range(draw(st.integers(0, 2))):
        method = draw(st.sampled_from(["filter", "filter", "exclude"]))
        depth = 0 if method == "exclude" else None
        source += f".{method}({draw(lookup(table, depth))})"
    return source


@st.composite
def _value(draw, model_field, rows):
    """A value for a field as text; NULL even where it isn't allowed, sometimes."""
    if draw(st.integers(0, 2 if model_field.null else 20)) == 2:
        return "None"
    if model_field.is_relation:
        keys = _keys(rows, model_field.related_model.__name__)
        if keys and draw(st.integers(0, 9)) < 9:
            return repr(draw(st.sampled_from(keys)))
    return repr(draw(values(model_field)))


@st.composite
def _update(draw, name, model, rows):
    fields = _changeable(model)
    if not fields:
        return None
    chosen = draw(
        st.lists(st.sampled_from(fields), min_size=1, max_size=2, unique=True)
    )
    free = _changeable(model, unique=False)
    texts = []
    for f in chosen:
        text = draw(_value(f, rows))
        if f in free and not f.is_relation and draw(st.booleans()):
            kind = f.get_internal_type()
            if kind in INTEGERS:
                text = draw(
                    st.sampled_from([f"F({f.name!r}) + 1", f"F({f.name!r}) / 2 - 1"])
                )
            elif kind in TEXT:
                text = f"Upper({f.name!r})"
            elif kind not in ("JSONField", "DecimalField"):
                condition = draw(lookup(Table(model, rows.held())))
                plain = "__" not in condition.split("=")[0].replace("__isnull", "")
                if plain:
                    text = (
                        f"Case(When({condition}, then=Value({text}, "
                        f"output_field={kind}())), default=F({f.name!r}))"
                    )
        texts.append(f"{f.attname if f.is_relation else f.name}={text}")
    return f"{draw(_filter(name, model, rows))}.update({', '.join(texts)})"


@st.composite
def _delete(draw, name, model, rows):
    keys = _keys(rows, name)
    if keys and draw(st.booleans()):
        key = draw(st.sampled_from(keys))
        return f"{name}.objects.get(pk={key!r}).delete()"
    return f"{draw(_filter(name, model, rows))}.delete()"


@st.composite
def _new_row(draw, name, model, rows, *, key=True):
    """A row that may clash with others, as a constructor call."""
    existing = {m: _keys(rows, m.__name__) for m in _models(model)}
    row = draw(row_values(model, existing))
    if row is None:
        return None
    pk = model._meta.pk.attname
    keys = existing[model]
    if keys and draw(st.booleans()):
        row[pk] = draw(st.sampled_from(keys))
    if not key and "Auto" in model._meta.pk.get_internal_type():
        del row[pk]
    elif "Auto" in model._meta.pk.get_internal_type() and row[pk] not in keys:
        # The number after the largest one wouldn't exist.
        row[pk] %= 10**6
    if draw(st.integers(0, 9)) == 0:
        # Not the key: which number a non-automatic one gets is SQLite's secret.
        row[draw(st.sampled_from(sorted(row.keys() - {pk}) or [pk]))] = None
    return str(Row(name, row))


@st.composite
def _save(draw, name, model, rows):
    by_key = draw(st.integers(0, 4)) > 0
    return draw(_save_by_key(name, model, rows, key=by_key))


@st.composite
def _save_by_key(draw, name, model, rows, *, key=True):
    row = draw(_new_row(name, model, rows, key=key))
    if row is None:
        return None
    options = draw(st.sampled_from(["", "force_insert=True", "force_update=True"]))
    return f"{row}.save({options})"


def _create_ignoring(name, model, rows):
    return _create_many(name, model, rows, ("plain", "ignore"))


@st.composite
def _create_many(draw, name, model, rows, ways=("plain", "update")):
    some = [draw(_new_row(name, model, rows)) for _ in range(draw(st.integers(1, 3)))]
    some = ", ".join(row for row in some if row)
    source = f"{name}.objects.bulk_create([{some}]"
    match draw(st.sampled_from(ways)):
        case "ignore":
            source += ", ignore_conflicts=True"
        case "update":
            fields = [f.name for f in _changeable(model)]
            if fields:
                unique = draw(
                    st.sampled_from(
                        [f for f in model._meta.concrete_fields if f.unique]
                    )
                )
                update = draw(
                    st.lists(
                        st.sampled_from(fields), min_size=1, max_size=2, unique=True
                    )
                )
                source += (
                    f", update_conflicts=True, update_fields={update!r}, "
                    f"unique_fields=[{unique.name!r}]"
                )
    return f"[row.pk for row in {source})]"


@st.composite
def _bulk_update(draw, name, model, rows):
    fields = [f for f in _changeable(model, unique=False) if not f.is_relation]
    keys = _keys(rows, name)
    if not fields or not keys:
        return None
    chosen = draw(st.sampled_from(fields))
    keys = draw(st.lists(st.sampled_from(keys), min_size=1, max_size=3, unique=True))
    pk = model._meta.pk.attname
    some = ", ".join(
        f"{name}({pk}={key!r}, {chosen.name}={draw(_value(chosen, rows))})"
        for key in keys
    )
    return f"{name}.objects.bulk_update([{some}], [{chosen.name!r}])"


@st.composite
def _get_or_create(draw, name, model, rows):
    row = draw(_new_row(name, model, rows))
    if row is None:
        return None
    pk = model._meta.pk.attname
    arguments = row[len(name) + 1 : -1]
    method = draw(st.sampled_from(["get_or_create", "update_or_create"]))
    return (
        f"(lambda **row: {name}.objects.{method}({pk}=row.pop({pk!r}, 77), "
        f"defaults=row))({arguments})"
    )


@st.composite
def _bad_value(draw, name, model, rows):
    """Values that no column of the type can hold."""
    bad = {
        **dict.fromkeys(INTEGERS, ("2**63", "-(2**70)", "'x'")),
        **dict.fromkeys(TEXT, ("'\\ud800'",)),
        "DateField": ["'2001-02-30'", "'x'"],
        # SQLite takes numbers that have too many digits, which nobody can read then.
        "DecimalField": ["'x'", "Decimal('NaN')"],
        "UUIDField": ["'x'"],
        "BooleanField": ["'x'"],
    }
    fields = [f for f in _changeable(model) if f.get_internal_type() in bad]
    if not fields:
        return None
    chosen = draw(st.sampled_from(fields))
    text = draw(st.sampled_from(bad[chosen.get_internal_type()]))
    return f"{draw(_filter(name, model, rows))}.update({chosen.name}={text})"


@st.composite
def _relate(draw, name, model, rows):
    relations = model._meta.local_many_to_many
    keys = _keys(rows, name)
    if not relations or not keys:
        return None
    relation = draw(st.sampled_from(relations))
    others = _keys(rows, relation.related_model.__name__)
    some = draw(st.lists(st.sampled_from(others), max_size=3)) if others else []
    method = draw(st.sampled_from(["add", "remove", "set", "clear"]))
    arguments = {
        "clear": "",
        "set": repr(some),
    }.get(method, ", ".join(map(repr, some)))
    source = f"{name}.objects.get(pk={draw(st.sampled_from(keys))!r})"
    return f"{source}.{relation.name}.{method}({arguments})"


def _keys(rows, name):
    return [next(iter(row.values.values())) for row in rows.rows if row.model == name]


def _models(model):
    return model._meta.apps.get_models(include_auto_created=True)
