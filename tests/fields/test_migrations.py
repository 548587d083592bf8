"""Migrations of projects whose embedded models are renamed and removed."""

import pytest

from tests.nonrel.projects import Project

MODELS = """
    from django.db import models
    from backendkit.fields import *

    def magnitude(value):
        return abs(value)

    class Place(EmbeddedModel):
        name = models.CharField(max_length=20)

    class Address(EmbeddedModel):
        city = models.CharField(max_length=20)
        place = EmbeddedModelField(Place, null=True)

    class Person(models.Model):
        address = EmbeddedModelField(Address, null=True)
        other = EmbeddedModelField({"place": Place, "address": "Address"}, null=True)
        places = EmbeddedModelListField("Place")
        numbers = ListField(models.IntegerField(), ordering=magnitude)
        sums = DictField(models.DecimalField(max_digits=5, decimal_places=2))
        marks = SetField(item_field=models.UUIDField())
        raw = RawField(null=True)
        blob = BlobField(null=True)

        class Meta:
            indexes = [models.Index("address__place__name", name="person_place")]
            constraints = [
                models.UniqueConstraint("address__city", name="person_city")
            ]
"""


@pytest.mark.parametrize(
    "engine",
    [
        "django.db.backends.sqlite3",
        pytest.param("backendkit.backends.lmdb", marks=pytest.mark.check),
    ],
)
def test_migrations_are_stable(tmp_path, engine):
    project = Project(tmp_path, {"ENGINE": engine, "NAME": str(tmp_path / "db")})
    project.write("shop/models.py", MODELS)
    project.manage("check")
    project.manage("makemigrations", "shop")
    project.manage("migrate")
    assert "No changes" in project.manage("makemigrations", "--check")
    written = (tmp_path / "shop/migrations/0001_initial.py").read_text()
    assert "backendkit.fields._" not in written
    project.script("""
        from shop.models import *
        Person.objects.create(
            address=Address(city="a", place=Place(name="b")), places=[Place(name="c")],
            other=Place(name="d"), numbers=[-2, 1],
        )
    """)
    # A field is added to a table with a row, an embedded model is renamed, and another
    # one is removed with what embeds it.
    text = MODELS.replace("Address", "Location").replace(
        "raw = RawField(null=True)", "more = ListField()"
    )
    text = text.replace("models.Index(", "models.Index('id', ").replace(
        '"address__place__name", ', ""
    )
    for line in MODELS.splitlines():
        if line.strip().startswith(("place =", "places =", "other =")):
            text = text.replace(line.replace("Address", "Location") + "\n", "")
    text = text.replace(
        "    class Place(EmbeddedModel):\n        name = models.CharField(max_length=20)\n",
        "",
    )
    assert "Place" not in text
    project.write("shop/models.py", text)
    project.write(
        "shop/migrations/0002_rename.py",
        """
        from django.db import migrations
        from backendkit.fields import EmbeddedModelField

        def read(apps, schema_editor):
            Person = apps.get_model("shop", "Person")
            person = Person.objects.get()
            assert person.address.place.name == "b", person.address
            person.address.city = "z"
            person.save()

        class Migration(migrations.Migration):
            dependencies = [("shop", "0001_initial")]
            operations = [
                migrations.RunPython(read, migrations.RunPython.noop),
                migrations.RenameModel("Address", "Location"),
                # What embeds it follows before anything else.
                migrations.AlterField(
                    "Person", "address", EmbeddedModelField("shop.Location", null=True)
                ),
            ]
        """,
    )
    project.manage("makemigrations", "shop", "--noinput")
    assert "No changes" in project.manage("makemigrations", "--check")
    project.manage("migrate")
    assert (
        project.script("""
        from shop.models import *
        person = Person.objects.get(address__city="z")
        print(person.address.city, person.more, person.numbers)
    """)
        == "z [] [1, -2]\n"
    )
    project.manage("migrate", "shop", "0002")
    project.manage("migrate", "shop", "zero")


ITEMS = """
    from django.db import models
    from backendkit.fields import *

    class Note(models.Model):
        tags = ListField(models.CharField(max_length=20))
        codes = SetField(models.IntegerField())

        class Meta:
            indexes = [ItemIndex(fields=["tags"], name="note_tags")]
            constraints = [ItemUniqueConstraint(fields=["codes"], name="note_codes")]
"""
#: What a project may do next, as changes of its models.
STEPS = [
    [('name="note_tags"', 'name="note_labels"')],
    [("tags = ", "labels = "), ('fields=["tags"]', 'fields=["labels"]')],
    [("max_length=20", "max_length=30"), ("models.IntegerField", "models.FloatField")],
    [
        (
            "        class Meta",
            "        number = models.IntegerField(null=True)\n\n        class Meta",
        )
    ],
    [("ItemUniqueConstraint", "models.UniqueConstraint")],
    [("models.UniqueConstraint", "ItemUniqueConstraint"), ("Note", "Card")],
    [("[ItemIndex", "[] and [ItemIndex")],
    [("[] and [ItemIndex", "[ItemIndex")],
]


@pytest.mark.check
@pytest.mark.parametrize(
    "engine",
    [
        pytest.param("django.db.backends.sqlite3", marks=pytest.mark.soak),
        "backendkit.backends.lmdb",
    ],
)
def test_item_indexes_migrate(tmp_path, engine):
    """Whatever changes, forwards and backwards, the rows are found; then nothing is left."""
    project = Project(tmp_path, {"ENGINE": engine, "NAME": str(tmp_path / "db")})
    text, name, field = ITEMS, "Note", "tags"
    for number, step in enumerate([[], *STEPS]):
        for old, new in step:
            assert old in text
            text = text.replace(old, new)
            name = "Card" if "Card" in new else name
            field = "labels" if "labels = " in new else field
        project.write("shop/models.py", text)
        # Renames are asked for, and confirmed. A second command finds nothing to do.
        printed = project.script(f"""
            from django.core.management import call_command
            from django.db.migrations.questioner import InteractiveMigrationQuestioner as Q
            from shop.models import *
            Q.ask_rename = Q.ask_rename_model = lambda *_: True
            call_command("makemigrations", "shop", verbosity=0)
            call_command("migrate", verbosity=0)
            call_command("makemigrations", check_changes=True, verbosity=0)
            if {number} == 0:
                for n in range(300):
                    Note.objects.create(tags=[f"t{{n}}", "all"], codes={{n}})
            found = {name}.objects.filter({field}__contains=["t7"])
            print(found.count(), "seek items" in found.explain())
        """)
        has_index = engine.startswith("backendkit") and "[] and" not in text
        assert printed == f"1 {has_index}\n", step
    assert "backendkit.fields._" not in "".join(
        one.read_text() for one in (tmp_path / "shop/migrations").glob("0*.py")
    )
    project.manage("migrate", "shop", "0002")
    project.manage("migrate", "shop", "zero")
    left = project.script("""
        from django.db import connection
        print(connection.introspection.table_names())
    """)
    assert left == "['django_migrations']\n"
