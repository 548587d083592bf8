"""A connection that lives for days holds no more than after its first hours."""

import gc
import pathlib
import random

import pytest
from django.apps.registry import Apps
from django.db import connection, models, transaction
from django.db.models import Count, F, Max, Q, Sum, Value

from tests.effort import effort, seed

from .databases import opened, run
from .models import Registry

REQUESTS = effort(test=1_000, check=3_000, soak=50_000)
#: Requests between two looks at memory.
STEP = REQUESTS // 50
#: KiB that may be there more at times: what fills the place of something else may be
#: larger. A plan for each request takes twice as much after 3,000.
MORE = 4 << 10
OTHERS = ("memory", "buffered")
STATUS = pathlib.Path("/proc/self/status")
FIELDS = [f"c{place}" for place in range(6)]

#: Its get_models() remembers its registries; those of these tests come and go.
registry = Registry()


def made(name, apps):
    """Return a new model with a few fields."""
    fields = {field: models.IntegerField(default=0) for field in FIELDS}
    meta = type("Meta", (), {"app_label": "old", "apps": apps})
    return type(name, (models.Model,), {**fields, "__module__": __name__, "Meta": meta})


Row = made("Row", registry)


class Child(models.Model):
    """Refers to a row."""

    row = models.ForeignKey(Row, models.CASCADE)
    text = models.CharField(max_length=20)

    class Meta:
        app_label = "old"
        apps = registry


def some(number):
    """Return some of the fields, others for each number."""
    return [field for place, field in enumerate(FIELDS) if number >> place & 1]


def annotated(number, _draw):
    name = f"name{number}"
    query = Row.objects.annotate(**{name: F("c0") + number})
    return list(query.filter(**{f"{name}__gte": 0}).values_list(name)[:3])


def listed(number, _draw):
    numbers = range(number % 1000)
    return [
        Row.objects.filter(c1__in=numbers).count(),
        list(Row.objects.annotate(m=F("c1") + 1).filter(c2__in=numbers)[:2]),
        Child.objects.filter(row__in=list(numbers)).exists(),
    ]


def valued(number, draw):
    fields = some(number) or ["c0"]
    query = Row.objects.order_by(*draw.sample(FIELDS, 2))
    query = query.values(*fields, **{f"other{number}": Value(number)})
    return [list(query[:2]), list(Row.objects.only(*fields)[:2])]


def grouped(number, draw):
    one, other = draw.sample(FIELDS, 2)
    return [
        Row.objects.aggregate(**{f"sum{number}": Sum(one), "greatest": Max(other)}),
        list(Row.objects.values(one).annotate(**{f"n{number}": Count("pk")})[:2]),
    ]


def filtered(number, draw):
    tests = Q()
    for field in some(number):
        lookup = draw.choice(["gt", "gte", "lt", "exact", "in"])
        value = [number] if lookup == "in" else number
        tests |= ~Q(**{f"{field}__{lookup}": value})
        tests &= Q(**{f"{field}__{lookup}": value})
    return list(Child.objects.filter(row__in=Row.objects.filter(tests))[:2])


def raw(number, _draw):
    fields = ", ".join([*some(number), "id"])
    name = f"view{number}"
    return [
        run(f"SELECT {fields}, {number} AS a{number} FROM old_row /* {number} */"),
        run(
            f"INSERT INTO old_row ({', '.join(FIELDS)}) SELECT {number}, 2, 3, 4, 5, 6"
        ),
        run(f"DELETE FROM old_row WHERE c0 = {number}"),
        run(f"CREATE VIEW {name} AS SELECT {fields} FROM old_row"),
        run(f"SELECT * FROM {name}"),
        run(f"DROP VIEW {name}"),
    ]


def written(number, _draw):
    with transaction.atomic():
        row = Row.objects.create(**dict.fromkeys(some(number), number))
        row.save(update_fields=some(number) or None)
        Child.objects.create(row=row, text=str(number))
        Row.objects.filter(pk=row.pk).update(**dict.fromkeys(some(number), 1))
        row.delete()


def migrated(number, _draw):
    """Make a model and its table, use them, and let go of both."""
    model = made(f"Model{number}", Apps(()))
    field = models.IntegerField(default=number)
    with connection.schema_editor() as editor:
        editor.create_model(model)
        field.contribute_to_class(model, f"added{number}")
        editor.add_field(model, field)
    model.objects.create(c1=1)
    assert model.objects.filter(c1=1).update(c2=2) == 1
    assert list(model.objects.values_list("c2", flat=True)) == [2]
    with connection.schema_editor() as editor:
        editor.delete_model(model)


def declared(number, _draw):
    """Change the schema by raw SQL."""
    run(
        f"CREATE TABLE raw{number} (id integer PRIMARY KEY, p integer"
        f" REFERENCES old_row (id), c integer CHECK (c < {number + 10}))"
    )
    run(f"CREATE INDEX index{number} ON raw{number} (c)")
    run(f"INSERT INTO raw{number} (c) VALUES (1)")
    assert run(f"SELECT c FROM raw{number} WHERE c = 1") == [(1,)]
    run(f"DROP TABLE raw{number}")


KINDS = [annotated, listed, valued, grouped, filtered, raw, written]


def memory():
    """Return KiB of this process that aren't files: LMDB's map is one."""
    line = next(x for x in STATUS.read_text().splitlines() if x.startswith("RssAnon"))
    return int(line.split()[1])


@pytest.mark.check
@pytest.mark.parametrize(
    "engine",
    ["lmdb", *(pytest.param(one, marks=pytest.mark.soak) for one in OTHERS)],
)
@pytest.mark.skipif(not STATUS.exists(), reason="memory is looked up in /proc")
def test_memory_is_flat(tmp_path, engine, record_property):
    """What the second half of the requests takes, the first half has taken, too."""
    draw = random.Random(seed())
    with opened(engine, tmp_path) as database:
        database.create(Row, Child)
        Row.objects.bulk_create(Row(c0=n, c1=n) for n in range(20))
        sizes = []
        for number in range(REQUESTS):
            draw.choice(KINDS)(number, draw)
            if number % 50 == 0:
                draw.choice([migrated, declared])(number, draw)
            if number % STEP == STEP - 1:
                gc.collect()
                sizes.append(memory())
    record_property("KiB", sizes)
    warm, rest = sizes[: len(sizes) // 2], sizes[len(sizes) // 2 :]
    assert max(rest) <= max(warm) + MORE, sizes
