"""The fields themselves: arguments, defaults, validation, copies, serialization."""

import copy
import datetime
import io
import pickle
from decimal import Decimal

import pytest
from django.core import serializers
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import DataError, IntegrityError, NotSupportedError, connection, models

from backendkit.fields import (
    BlobField,
    DictField,
    EmbeddedModel,
    EmbeddedModelField,
    EmbeddedModelListField,
    ListField,
    RawField,
    SetField,
)

from .models import Address, Email, Person, Phone, Place, Team, magnitude, registry

FIELDS = [
    RawField(null=True),
    ListField(),
    ListField(models.IntegerField, ordering=magnitude),
    ListField(ListField(models.CharField(max_length=3)), blank=True, default=list),
    SetField(models.UUIDField(null=True)),
    DictField(models.DecimalField(max_digits=5, decimal_places=2), null=True),
    EmbeddedModelField(Place, null=True),
    EmbeddedModelField([Email, "fields_tests.Phone"]),
    EmbeddedModelField({"mail": Email}),
    EmbeddedModelListField("Place"),
    BlobField(editable=False),
    BlobField(max_length=5),
]


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: type(field).__name__)
def test_deconstruct_says_all_of_a_field(field):
    _, path, args, kwargs = field.deconstruct()
    assert path == f"backendkit.fields.{type(field).__name__}"
    again = type(field)(*args, **kwargs)
    assert deep(again) == deep(field)
    assert deep(field.clone()) == deep(field)


def deep(field):
    _, path, args, kwargs = field.deconstruct()
    kwargs = {
        key: deep(value) if isinstance(value, models.Field) else value
        for key, value in kwargs.items()
    }
    return path, args, kwargs


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: ListField(5), "item_field"),
        (lambda: ListField(str), "item_field"),
        (lambda: ListField(ordering=5), "ordering"),
        (EmbeddedModelField, "embedded_model"),
        (lambda: EmbeddedModelField([]), "embedded_model"),
        (lambda: EmbeddedModelField(5), "embedded_model"),
        (lambda: EmbeddedModelField(EmbeddedModel), "abstract"),
    ],
)
def test_an_argument_that_is_none_is_a_type_error(make, named):
    with pytest.raises(TypeError, match=named):
        make()


def test_a_default_is_nobody_elses():
    given = [1]
    field = ListField(default=given)
    assert field.get_default() == [1]
    field.get_default().append(2)
    assert given == [1]
    one, other = Person(), Person()
    one.tags.append("x")
    assert other.tags == []
    assert (one.marks, one.sums, one.days) == (set(), {}, None)


def test_the_users_list_is_not_sorted(empty):
    given = [3, -1, 2]
    person = Person(numbers=given)
    person.save()
    assert given == [3, -1, 2]
    assert person.numbers == [-1, 2, 3]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("tags", ["a", "b", "x" * 11], "Item 2: "),
        ("tags", "abc", "'abc' isn't a list"),
        ("tags", 5, "5 isn't a list"),
        ("marks", {"a"}, "Item 0: "),
        ("sums", {"a": "b"}, "Item a: "),
        ("sums", {1: 1.0}, "key 1 must be a string"),
        ("sums", {"a": float("nan")}, "Item a: .*finite"),
        ("sums", [1], "value must be a dict"),
        ("grid", [[1], [2, "x"]], "Item 1: Item 1: "),
        ("raw", float("inf"), "finite"),
        ("raw", object(), "aren't JSON serializable"),
        ("address", Address(city=""), "city: "),
        ("address", Place(name="x"), "Use fields_tests.Address"),
        ("address", 5, "isn't an embedded model"),
        ("contact", {"_model": "os.system"}, "isn't a model that is allowed"),
        ("contact", {"number": "1"}, "isn't a model that is allowed"),
        ("places", [Place(name="a"), Place(name="")], "Item 1: name: "),
        ("places", [Place(name="a"), Email(address="a@b.cd")], "Item 1: "),
        ("days", ["2026-13-01"], "Item 0: "),
    ],
)
def test_what_is_no_value_is_named_with_its_place(field, value, message, empty):
    person = Person(**{field: value})
    with pytest.raises(ValidationError, match=message) as caught:
        person.full_clean(validate_constraints=False)
    assert set(caught.value.error_dict) == {field}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"tags": "abc"}, ValidationError),
        ({"numbers": ["x"]}, (ValidationError, ValueError, TypeError)),
        ({"address": Place(name="x")}, TypeError),
        ({"sums": {"a": float("inf")}}, ValueError),
        ({"raw": {1: 2}}, ValueError),
        ({"raw": object()}, ValueError),
        ({"blob": 5}, TypeError),
    ],
)
def test_what_is_no_value_is_not_saved(values, kind, empty):
    with pytest.raises(kind):
        Person(**values).save()
    assert not Person.objects.exists()


def test_an_item_field_changes_its_items(empty):
    class Visit(models.Model):
        days = ListField(models.DateField(auto_now=True))

        class Meta:
            app_label = "fields_tests"
            apps = registry

    field = Visit._meta.get_field("days")
    visit = Visit(days=[None, None])
    assert field.pre_save(visit, add=True) == [datetime.date.today()] * 2
    del registry.all_models["fields_tests"]["visit"]


def test_auto_now_add_is_set_once(empty):
    person = Person(address=Address(city="a"))
    person.save()
    made = person.address.made
    assert made is not None
    person.save()
    assert Person.objects.get().address.made == person.address.made == made


@pytest.fixture
def registered(monkeypatch):
    """Let Django find the models by their labels."""
    from django.apps import apps

    def get_model(label, name=None, **_):
        parts = (label, name) if name else label.split(".")
        return registry.get_registered_model(*parts)

    monkeypatch.setattr(apps, "get_model", get_model)


@pytest.mark.parametrize("form", ["json", "jsonl", "xml", "python"])
def test_fixtures(form, empty, registered):
    person = Person(
        address=Address(
            city="é", price=Decimal("1.50"), secret=b"\0", seen=datetime.datetime.min
        ),
        contact=Email(address="a@b.cd"),
        places=[Place(name="a", floor=1)],
        tags=["<a>"],
        prices=[Decimal("0.10")],
        marks={2, 1},
        sums={"a": 1.0},
        days=[datetime.date(2026, 1, 1)],
        raw=None,
        blob=b"\0\xff",
    )
    person.save()
    data = serializers.serialize(form, [person])
    Person.objects.all().delete()
    (loaded,) = serializers.deserialize(form, data)
    loaded.save()
    found = Person.objects.get()
    for field in Person._meta.concrete_fields:
        assert getattr(found, field.name) == getattr(person, field.name), field.name


def test_instances_are_copied_and_pickled(empty, registered):
    person = Person(address=Address(city="a", place=Place(name="b")), marks={1})
    person.save()
    for again in (copy.deepcopy(person), pickle.loads(pickle.dumps(person))):
        assert again.address == person.address
        assert again.address is not person.address
        assert again.marks == {1}
    queryset = Person.objects.filter(address__city="a")
    again = Person.objects.all()
    again.query = pickle.loads(pickle.dumps(queryset.query))
    assert list(again) == [person]


def test_an_unknown_tag_is_an_error_and_is_kept(empty):
    Person.objects.create(contact=Email(address="a@b.cd"))
    text = '{"_model": "os.system", "address": "rm"}'
    with connection.cursor() as cursor:
        cursor.execute("UPDATE fields_tests_person SET contact = %s", [text])
    with pytest.raises(DataError, match=r"contact: .*os.system.*fields_tests.email"):
        Person.objects.get()
    person = Person.objects.defer("contact").get()
    person.save()
    assert (
        Person.objects.filter(contact__isnull=False).values_list("pk", flat=True).get()
        == person.pk
    )


def test_keys_that_a_model_lacks_or_has_since_are_no_error(empty):
    Person.objects.create(address=Address(city="a"))
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE fields_tests_person SET address = %s", ['{"city": "b", "old": 1}']
        )
    address = Person.objects.get().address
    assert (address.city, address.number, address.price) == ("b", 1, None)


def test_a_unique_constraint_on_a_path(empty):
    import uuid

    key = uuid.UUID(int=1)
    Person.objects.create(address=Address(city="a", key=key))
    other = Person(address=Address(city="b", key=key))
    with pytest.raises(ValidationError, match="person_key"):
        other.validate_constraints()
    Person.objects.create(address=Address(city="b", key=uuid.UUID(int=2)))
    Person.objects.create(address=Address(city="c"))
    Person.objects.create(address=Address(city="c"))
    if connection.features.supports_expression_indexes:
        with pytest.raises(IntegrityError):
            other.save()


def test_a_database_without_indexes_on_paths_is_named_by_a_system_check(empty):
    found = {message.id for message in Person.check(databases=["default"])}
    if connection.features.supports_expression_indexes:
        assert not found
    else:
        assert found == {"models.W043", "models.W044"}  # MariaDB, of Django's own


def test_blobs(empty):
    person = Person(blob=io.BytesIO(b"abc"))
    person.save()
    assert person.blob == b"abc"
    assert bytes(Person.objects.get(blob__isnull=False).blob) == b"abc"
    Person.objects.update(blob="é")
    assert bytes(Person.objects.get().blob) == "é".encode()
    with pytest.raises(TypeError, match="no lookup"):
        Person.objects.filter(blob=b"abc")


def test_an_embedded_model_has_no_table():
    for action in (Place(name="a").save, Place(name="a").delete):
        with pytest.raises(NotSupportedError, match="has no table"):
            action()


def declared(**attributes):
    meta = type("Meta", (), {"app_label": "fields_tests", "apps": registry})
    try:
        return type(
            "Declared",
            (models.Model,),
            {"__module__": __name__, "Meta": meta, **attributes},
        )
    finally:
        registry.all_models["fields_tests"].pop("declared", None)


@pytest.mark.parametrize(
    ("field", "identifier"),
    [
        (EmbeddedModelField("fields_tests.Gone"), "E010"),
        (EmbeddedModelListField(["Place", "Gone"]), "E002"),
        (ListField(models.CharField(max_length=-1)), "E002"),
        (ListField(models.ManyToManyField("Team")), "E001"),
        (ListField(models.IntegerField(unique=True)), "W001"),
        (SetField(ListField()), "E003"),
        (SetField(EmbeddedModelField(Place)), "E003"),
        (EmbeddedModelField(Place, default=None), None),
        (ListField(models.ForeignKey("Team", models.DO_NOTHING)), None),
    ],
)
def test_checks(field, identifier):
    model = declared(field=field)
    found = [each.id for each in model._meta.get_field("field").check()]
    assert found == ([f"backendkit.fields.{identifier}"] if identifier else [])


@pytest.mark.parametrize(
    "back",
    [
        EmbeddedModelField("Right", null=True),
        EmbeddedModelField([Place, "Right"], null=True),
        EmbeddedModelListField("Right"),
        DictField(ListField(EmbeddedModelField("Right"))),
    ],
    ids=["one", "of several", "list", "within"],
)
def test_a_cycle_is_found(back):
    """By a system check, and by a form that is made before."""

    class Left(EmbeddedModel):
        right = back.clone()

        class Meta(EmbeddedModel.Meta):
            app_label = "fields_tests"
            apps = registry

    class Right(EmbeddedModel):
        lefts = ListField(EmbeddedModelField(Left))

        class Meta(EmbeddedModel.Meta):
            app_label = "fields_tests"
            apps = registry

    try:
        model = declared(field=EmbeddedModelField(Left))
        field = model._meta.get_field("field")
        (error,) = field.check()
        assert error.id == "backendkit.fields.E011"
        assert "Left → fields_tests.Right → fields_tests.Left" in error.msg
        (error,) = Left._meta.get_field("right").check()
        assert "embedded in itself" in error.msg
        with pytest.raises(ImproperlyConfigured, match=r"Left → fields_tests\.Right"):
            field.formfield()
    finally:
        for name in ("left", "right"):
            del registry.all_models["fields_tests"][name]


def test_a_model_that_embeds_itself_is_found():
    class Node(EmbeddedModel):
        nodes = EmbeddedModelListField("self")

        class Meta(EmbeddedModel.Meta):
            app_label = "fields_tests"
            apps = registry

    try:
        (error,) = Node._meta.get_field("nodes").check()
        assert "fields_tests.Node → fields_tests.Node" in error.msg
    finally:
        del registry.all_models["fields_tests"]["node"]


def test_a_list_of_foreign_keys(empty):
    teams = [Team.objects.create(name=name) for name in "ab"]
    person = Person(teams=teams)
    person.full_clean(validate_constraints=False)
    person.save()
    assert Person.objects.get().teams == [team.pk for team in teams]
    assert Person.objects.get(teams__contains=[teams[1]]) == person
    person.teams = [-1]
    with pytest.raises(ValidationError, match="Item 0: "):
        person.full_clean(validate_constraints=False)


def test_a_set_is_stored_once_and_alike(empty):
    person = Person.objects.create(marks=[3, 1, 3])
    assert Person.objects.get(marks={1, 3}) == person
    assert Person.objects.get(marks__len=2) == person
    assert Phone(number="1") == Phone(number="1")
