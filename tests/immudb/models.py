"""Models of a registry of their own, for the tests of immudb's traps."""

from django.db import models
from django.db.models.functions import Lower

from tests.nonrel.models import Registry

registry = Registry()


class Parent(models.Model):
    # A reserved word, upper case, and what immudb's names can't have.
    order = models.CharField("password", max_length=20, db_column="Order by é")

    class Meta:
        app_label = "traps"
        apps = registry
        db_table = 'traps "Parent"'


class Trap(models.Model):
    n = models.BigIntegerField(null=True, db_index=True)
    f = models.FloatField(null=True, db_index=True)
    s = models.CharField(max_length=40, null=True, db_index=True)
    flag = models.BooleanField(null=True)
    at = models.DateTimeField(null=True, db_index=True)
    amount = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    data = models.JSONField(null=True)
    code = models.CharField(max_length=40, null=True, unique=True)
    parent = models.ForeignKey(Parent, models.DO_NOTHING, null=True)
    password = models.IntegerField(default=0)

    class Meta:
        app_label = "traps"
        apps = registry
        constraints = [
            models.CheckConstraint(condition=models.Q(n__gt=-1000), name="n_gt"),
            models.UniqueConstraint(Lower("s"), "f", name="lower_s_f"),
        ]
