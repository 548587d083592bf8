"""Models with each of the fields."""

from django.db import models

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
from tests.nonrel.models import Registry

registry = Registry()


def magnitude(value):
    return abs(value)


class Place(EmbeddedModel):
    name = models.CharField(max_length=20)
    floor = models.SmallIntegerField(null=True, blank=True)

    class Meta(EmbeddedModel.Meta):
        app_label = "fields_tests"
        apps = registry


class Address(EmbeddedModel):
    """A field for each kind of value that JSON has no form for, and others."""

    city = models.CharField(max_length=30)
    number = models.IntegerField(default=1)
    ratio = models.FloatField(null=True, blank=True)
    price = models.DecimalField(max_digits=8, decimal_places=2, null=True, blank=True)
    since = models.DateField(null=True, blank=True)
    seen = models.DateTimeField(null=True, blank=True)
    opens = models.TimeField(null=True, blank=True)
    lasts = models.DurationField(null=True, blank=True)
    key = models.UUIDField(null=True, blank=True)
    ip = models.GenericIPAddressField(null=True, blank=True)
    secret = models.BinaryField(null=True, blank=True)
    open = models.BooleanField(null=True, blank=True)
    place = EmbeddedModelField(Place, null=True, blank=True)
    tags = ListField(models.CharField(max_length=10), blank=True)
    made = models.DateTimeField(auto_now_add=True)

    class Meta(EmbeddedModel.Meta):
        app_label = "fields_tests"
        apps = registry


class Email(EmbeddedModel):
    address = models.EmailField()

    class Meta(EmbeddedModel.Meta):
        app_label = "fields_tests"
        apps = registry


class Phone(EmbeddedModel):
    number = models.CharField(max_length=20)
    private = models.BooleanField(default=False, editable=False)

    class Meta(EmbeddedModel.Meta):
        app_label = "fields_tests"
        apps = registry


class Team(models.Model):
    name = models.CharField(max_length=20)

    class Meta:
        app_label = "fields_tests"
        apps = registry


class Person(models.Model):
    address = EmbeddedModelField("Address", null=True, blank=True)
    contact = EmbeddedModelField([Email, "fields_tests.Phone"], null=True, blank=True)
    old = EmbeddedModelField({"mail": Email}, null=True, blank=True)
    places = EmbeddedModelListField(Place, blank=True)
    ways = EmbeddedModelListField([Email, Phone], blank=True)
    tags = ListField(models.CharField(max_length=10), blank=True)
    numbers = ListField(models.IntegerField, ordering=magnitude, blank=True)
    prices = ListField(
        models.DecimalField(max_digits=8, decimal_places=2, null=True), blank=True
    )
    marks = SetField(models.IntegerField(), blank=True)
    sums = DictField(models.FloatField(), blank=True)
    days = ListField(models.DateField(), null=True, blank=True)
    teams = ListField(models.ForeignKey("Team", models.DO_NOTHING), blank=True)
    grid = ListField(ListField(models.IntegerField()), blank=True)
    raw = RawField(null=True, blank=True)
    anything = ListField(blank=True)
    blob = BlobField(null=True, blank=True)

    class Meta:
        app_label = "fields_tests"
        apps = registry
        indexes = [
            models.Index("address__city", name="person_city"),
            models.Index("address__seen", name="person_seen"),
            models.Index("address__since", "address__price", name="person_since"),
            models.Index("address__place__floor", name="person_floor"),
        ]
        constraints = [
            models.UniqueConstraint("address__key", name="person_key"),
        ]
