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
