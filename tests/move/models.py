"""Tables that are hard to move: cycles, inheritance, all kinds of keys and values."""

import uuid

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models.functions import Upper


class Hidden(models.Manager):
    def get_queryset(self):
        return super().get_queryset().none()


class Person(models.Model):
    """In a cycle with Team; refers to itself."""

    name = models.CharField(max_length=50, db_default="nobody")
    boss = models.ForeignKey("self", models.CASCADE, null=True)
    team = models.ForeignKey("Team", models.CASCADE)
    changed = models.DateTimeField(auto_now=True)

    class Meta:
        app_label = "moving"
        ordering = ["-name"]

    def save(self, *args, **kwargs):
        raise AssertionError("moving calls no save()")


class Team(models.Model):
    """Refers to a person, who refers to it: neither can be NULL."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    head = models.ForeignKey(Person, models.CASCADE, related_name="+")
    friends = models.ManyToManyField("self")

    class Meta:
        app_label = "moving"


class Place(models.Model):
    code = models.CharField(primary_key=True, max_length=20)
    staff = models.ManyToManyField(Person)

    class Meta:
        app_label = "moving"
        ordering = ["-code"]


class Shop(Place):
    sells = models.TextField()

    class Meta:
        app_label = "moving"


class Kiosk(Shop):
    window = models.OneToOneField(Place, models.CASCADE, related_name="+", null=True)

    class Meta:
        app_label = "moving"


class Value(models.Model):
    text = models.TextField(null=True)
    number = models.DecimalField(max_digits=20, decimal_places=6, null=True)
    real = models.FloatField(null=True)
    flag = models.BooleanField(null=True)
    data = models.JSONField(null=True)
    binary = models.BinaryField(null=True)
    day = models.DateField(null=True)
    moment = models.DateTimeField(null=True)
    time = models.TimeField(null=True)
    length = models.DurationField(null=True)
    big = models.BigIntegerField(null=True)
    key = models.UUIDField(null=True)
    file = models.FileField(null=True)
    address = models.GenericIPAddressField(null=True)
    upper = models.GeneratedField(
        expression=Upper("text"), output_field=models.TextField(), db_persist=True
    )

    class Meta:
        app_label = "moving"


class Part(models.Model):
    """Has a composite key."""

    pk = models.CompositePrimaryKey("team", "moment")
    team = models.ForeignKey(Team, models.CASCADE)
    moment = models.DateTimeField()
    amount = models.IntegerField()

    class Meta:
        app_label = "moving"


class Note(models.Model):
    """Its managers hide all of it."""

    kind = models.ForeignKey(ContentType, models.CASCADE)
    about = models.TextField()
    subject = GenericForeignKey("kind", "about")

    objects = Hidden()

    class Meta:
        app_label = "moving"
        base_manager_name = "objects"


class Secret:
    """An object whose text tells nothing."""

    def __init__(self, value):
        self.value = value

    def __repr__(self):
        return "***"


class SecretField(models.CharField):
    def from_db_value(self, value, expression, connection):
        return Secret(value)

    def get_prep_value(self, value):
        return value.value if isinstance(value, Secret) else value


class Safe(models.Model):
    secret = SecretField(max_length=20, unique=True)

    class Meta:
        app_label = "moving"


class View(models.Model):
    class Meta:
        app_label = "moving"
        managed = False


MODELS = [Person, Team, Place, Shop, Kiosk, Value, Part, Note, Safe]
