"""
Random models: what they look like, and the classes and tables made from them.

A schema is plain data (names and the source text of fields and constraints),
so that a failing example prints as something that can be pasted back. The
real classes live in an ``Apps`` registry of their own: nothing here is seen by
the project that runs the tests.
"""

import functools
import hashlib
import weakref
from dataclasses import dataclass, field

from django.apps.registry import Apps
from django.db import connections, models
from django.db.migrations.state import AppConfigStub
from django.db.models import functions
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

NAMESPACE = {
    **{name: getattr(models, name) for name in models.__all__},
    **{name: getattr(functions, name) for name in functions.__all__},
}

#: Fields without relations; the options are null, db_index and unique.
FIELD_SOURCES = (
    "IntegerField({options})",
    "BooleanField({options})",
    "CharField({options}max_length=30)",
    "FloatField({options})",
    "DecimalField({options}max_digits=12, decimal_places=3)",
    "DateField({options})",
    "DateTimeField({options})",
    "TextField({options})",
    "BigIntegerField({options})",
    "SmallIntegerField({options})",
    "PositiveIntegerField({options})",
    "PositiveSmallIntegerField({options})",
    "PositiveBigIntegerField({options})",
    "DecimalField({options}max_digits=15, decimal_places=0)",
    "DecimalField({options}max_digits=15, decimal_places=15)",
    "TimeField({options})",
    "DurationField({options})",
    "UUIDField({options})",
    "BinaryField({options})",
    "JSONField({options})",
    "SlugField({options})",
    "GenericIPAddressField({options})",
)
#: Types that no index is asked for: Django refuses or it would prove nothing.
UNINDEXED = ("JSONField", "BinaryField", "BooleanField")

PRIMARY_KEYS = (
    "BigAutoField(primary_key=True)",
    "AutoField(primary_key=True)",
    "IntegerField(primary_key=True)",
    "CharField(primary_key=True, max_length=30)",
    "UUIDField(primary_key=True)",
    "BigIntegerField(primary_key=True)",
)

#: Names that an unquoted identifier would trip over.
HOSTILE_COLUMNS = ("order", "Group By", "a.b", "ünï", "select'x", "rowid")


@dataclass(frozen=True)
class ModelSpec:
    """One model: its fields and Meta options by name, each as source text."""

    name: str
    fields: tuple[tuple[str, str], ...]
    meta: tuple[tuple[str, str], ...] = ()

    def __str__(self):
        lines = [f"class {self.name}(models.Model):"]
        lines += [f"    {name} = {source}" for name, source in self.fields]
        if self.meta:
            lines.append("    class Meta:")
            lines += [f"        {name} = {source}" for name, source in self.meta]
        return "\n".join(lines)


@dataclass(frozen=True)
class Schema:
    """The models of one example. A relation names a model before it, or its own."""

    models: tuple[ModelSpec, ...]

    def __str__(self):
        return "\n\n".join(map(str, self.models))

    @property
    def label(self):
        """An app label that no other schema has, the same in every process."""
        return "d" + hashlib.sha256(repr(self).encode()).hexdigest()[:9]


@dataclass
class BuiltSchema:
    """A schema's model classes, and where their tables exist already."""

    schema: Schema
    classes: dict[str, type[models.Model]]
    # Connections, not aliases: an alias may come back with another database.
    created_on: weakref.WeakSet = field(default_factory=weakref.WeakSet)

    def create_tables(self, alias):
        if connections[alias] not in self.created_on:
            with connections[alias].schema_editor() as editor:
                for model in self.classes.values():
                    editor.create_model(model)
            self.created_on.add(connections[alias])

    def drop_tables(self, alias):
        if connections[alias] in self.created_on:
            with connections[alias].schema_editor() as editor:
                for model in reversed(self.classes.values()):
                    editor.delete_model(model)
            self.created_on.discard(connections[alias])

    def all_models(self):
        """The models and the tables behind their many-to-many fields."""
        for model in self.classes.values():
            yield model
            for relation in model._meta.local_many_to_many:
                yield relation.remote_field.through


@functools.cache
def build(schema):
    """Make the model classes of a schema (once: classes are not cheap)."""
    registry = Registry([AppConfigStub(schema.label)])
    classes = {}
    for spec in schema.models:
        meta = {
            name: evaluate(source.replace("{label}", schema.label))
            for name, source in spec.meta
        }
        attributes = {name: evaluate(source) for name, source in spec.fields}
        attributes["__module__"] = __name__
        attributes["Meta"] = type(
            "Meta", (), {**meta, "apps": registry, "app_label": schema.label}
        )
        classes[spec.name] = type(spec.name, (models.Model,), attributes)
    return BuiltSchema(schema, classes)


class Registry(Apps):
    """Where the models of one schema are registered, and nothing else."""


def evaluate(source):
    # The text was written by the strategies below or by regressions.py.
    return eval(source, dict(NAMESPACE))


@st.composite
def schemas(draw):
    """One to three random models."""
    count = draw(st.integers(1, 3))
    names = "ABC"[:count]
    return Schema(tuple(draw(_model(names[: i + 1])) for i in range(count)))


@st.composite
def _model(draw, names):
    """The model ``names[-1]``, which may point at itself and those before it."""
    name = names[-1]
    fields = [("id", draw(st.sampled_from(PRIMARY_KEYS)))]
    plain = draw(st.lists(_plain_field(), min_size=1, max_size=7))
    fields += [(f"f{number}", source) for number, source in enumerate(plain)]
    if draw(st.booleans()):
        column = draw(st.sampled_from(HOSTILE_COLUMNS))
        fields.append(("odd", f"IntegerField(null=True, db_column={column!r})"))
    for number in range(draw(st.integers(int(len(names) > 1), 2))):
        target = draw(st.sampled_from(names[::-1]))
        fields.append((f"r{number}", draw(_foreign_key(name, target, number))))
    if draw(st.booleans()):
        target = draw(st.sampled_from(names))
        symmetrical = ", symmetrical=False" if target == name else ""
        source = f"ManyToManyField({target!r}, related_name='m_{name}'{symmetrical})"
        fields.append(("m0", source))
    integers = [n for n, s in fields if s.startswith(("IntegerField", "SmallInt"))]
    if integers and draw(st.integers(0, 4)) == 0:
        persist = draw(st.booleans())
        source = (
            f"GeneratedField(expression=F({integers[-1]!r}) * 2 + 1, "
            f"output_field=BigIntegerField(null=True), db_persist={persist})"
        )
        fields.append(("g0", source))
    return ModelSpec(name, tuple(fields), draw(_meta(name, fields)))


@st.composite
def _plain_field(draw):
    source = draw(st.sampled_from(FIELD_SOURCES))
    options = ""
    if draw(st.booleans()):
        options += "null=True, "
    if not source.startswith(UNINDEXED):
        options += draw(
            st.sampled_from(["", "", "", "", "db_index=True, ", "unique=True, "])
        )
    return source.format(options=options).replace(", )", ")")


@st.composite
def _foreign_key(draw, name, target, number):
    kind = draw(st.sampled_from(["ForeignKey"] * 4 + ["OneToOneField"]))
    # A model that must point at itself could never get its first row.
    null = target == name or draw(st.booleans())
    actions = ["CASCADE", "PROTECT", "RESTRICT", "DO_NOTHING"]
    action = draw(st.sampled_from([*actions, "SET_NULL"] if null else actions))
    options = f"null={null}, related_name='r{number}_{name}'"
    return f"{kind}({target!r}, {action}, {options})"


@st.composite
def _meta(draw, name, fields):
    """Indexes and constraints over a few of the fields."""
    plain = [n for n, s in fields if n[0] == "f" and not s.startswith(UNINDEXED)]
    numbers = [
        n for n, s in fields if n[0] == "f" and "IntegerField" in s.split("(")[0]
    ]
    texts = [n for n, s in fields if s.startswith(("CharField(n", "TextField"))]
    indexes, constraints = [], []
    if plain and draw(st.booleans()):
        some = draw(
            st.lists(st.sampled_from(plain), min_size=1, max_size=3, unique=True)
        )
        signed = [draw(st.sampled_from(["", "-"])) + column for column in some]
        indexes.append(f"Index(fields={signed!r}, name='{{label}}_{name}_i')")
    if texts and draw(st.integers(0, 3)) == 0:
        indexes.append(f"Index(Lower({texts[0]!r}), name='{{label}}_{name}_il')")
    if plain and draw(st.integers(0, 2)) == 0:
        some = draw(
            st.lists(st.sampled_from(plain), min_size=1, max_size=2, unique=True)
        )
        condition = ""
        if numbers and draw(st.booleans()):
            condition = f"condition=Q({numbers[-1]}__gt=0), "
        constraints.append(
            f"UniqueConstraint(fields={some!r}, {condition}name='{{label}}_{name}_u')"
        )
    if texts and draw(st.integers(0, 5)) == 0:
        constraints.append(
            f"UniqueConstraint(Lower({texts[-1]!r}), name='{{label}}_{name}_ul')"
        )
    if numbers and draw(st.integers(0, 2)) == 0:
        constraints.append(
            f"CheckConstraint(condition=Q({numbers[0]}__lt=1000) | "
            f"Q({numbers[0]}__gt=32000), name='{{label}}_{name}_c')"
        )
    meta = []
    if indexes:
        meta.append(("indexes", "[" + ", ".join(indexes) + "]"))
    if constraints:
        meta.append(("constraints", "[" + ", ".join(constraints) + "]"))
    return tuple(meta)


@functools.cache
def pool(size):
    """
    The same ``size`` schemas in every process, the simplest first.

    Creating tables for each example would take most of the time, so most tests
    draw from this pool; simple schemas come first because Hypothesis shrinks
    towards the first choice.
    """
    found = []

    @settings(
        max_examples=size,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(schemas())
    def collect(schema):
        found.append(schema)

    collect()
    return tuple(sorted(dict.fromkeys(found), key=lambda schema: len(str(schema))))
