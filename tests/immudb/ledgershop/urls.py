from django.contrib import admin
from django.urls import path

from backendkit.backends.immudb.admin import LedgerAdmin

from .models import Customer, Invoice, Special


class InvoiceAdmin(LedgerAdmin):
    exclude = ["internal"]
    history_per_page = 4

    def get_queryset(self, request):
        # Some rows are nobody's business.
        return super().get_queryset(request).exclude(title="withheld")


site = admin.AdminSite()
site.register(Invoice, InvoiceAdmin)
site.register(Special, LedgerAdmin)
site.register(Customer, LedgerAdmin)
urlpatterns = [path("admin/", site.urls)]
