from django.db import models


class Customer(models.Model):
    name = models.CharField(max_length=40)

    class Meta:
        app_label = "ledgershop"

    def __str__(self):
        return self.name


class Invoice(models.Model):
    title = models.TextField()
    customer = models.ForeignKey(Customer, models.SET_NULL, null=True, blank=True)
    total = models.DecimalField(max_digits=9, decimal_places=2, null=True, blank=True)
    paid = models.BooleanField(default=False)
    password = models.CharField(max_length=40, blank=True)
    internal = models.CharField(max_length=40, blank=True)

    class Meta:
        app_label = "ledgershop"

    def __str__(self):
        return self.title


class Special(Invoice):
    """Its fields are in two tables."""

    class Meta:
        app_label = "ledgershop"
