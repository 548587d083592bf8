"""``LedgerAdmin``: the admin with the ledger's history of an object."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.options import get_content_type_for_model
from django.contrib.admin.utils import display_for_field, flatten_fieldsets, unquote
from django.contrib.admin.views.main import PAGE_VAR
from django.core import checks
from django.core.exceptions import ValidationError
from django.db import DatabaseError, NotSupportedError, connections, router
from django.db.models import Field, Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.text import Truncator

from .ledger import TamperedError, verify

if TYPE_CHECKING:
    from django.contrib.admin.models import LogEntry

    from .ledger.proofs import Proof
    from .ledger.revisions import Revision

_APPLICATION = "backendkit.backends.immudb"
#: What a value is shown with at most.
_CHARACTERS = 1_000
#: By how much the clocks of Django and of the server may differ.
_CLOCKS = datetime.timedelta(minutes=10)
#: Set on a request for a history page: objects that are deleted are found, too.
_DELETED = "_backendkit_deleted_too"
#: The parameter of a request that asks for a proof.
_VERIFY = "verify"


@dataclasses.dataclass(frozen=True)
class Change:
    """A field of which a revision has another value than the one before, as texts."""

    field: str
    old: Any
    new: Any


@dataclasses.dataclass
class Line:
    """
    A revision as the page shows it.

    :param hidden: names of fields that have changed and aren't shown.
    :param others: whether fields have changed that the admin has nowhere.
    :param log: entries of Django's log that were written in the same transaction.
    """

    revision: Revision
    added: bool
    changes: list[Change]
    hidden: list[str]
    others: bool
    log: list[LogEntry] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """
    What came of verifying an object.

    :param problem: why it isn't proven; empty if it is.
    :param broken: whether that is because of what the server says. If not, it just
        couldn't be told.
    """

    proof: Proof | None = None
    problem: str = ""
    broken: bool = False


class LedgerAdmin(admin.ModelAdmin):
    """
    A ``ModelAdmin`` whose History page is the ledger's.

    It shows each revision of the object, the newest first: what has changed, when and in
    which transaction, and who has done it, if that was in the admin. On demand the
    object is proven. On a database that isn't immudb the page is Django's own.
    """

    ledger_history_template = "backendkit/immudb/ledger_history.html"
    history_per_page = 50
    history_hidden_fields: ClassVar[Sequence[str]] = ("password",)

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        found: list[checks.CheckMessage] = super().check(**kwargs)
        if not apps.is_installed(_APPLICATION):
            found.append(
                checks.Error(
                    f"{_APPLICATION!r} has to be in INSTALLED_APPS for LedgerAdmin.",
                    obj=self.__class__,
                    id="backendkit.immudb.E001",
                )
            )
        return found

    def has_view_deleted_permission(self, request: HttpRequest, obj: Model) -> bool:
        """
        Whether the history of an object that is deleted may be seen.

        ``get_queryset`` can't tell whose it was: superusers may see it, others may not.
        """
        return bool(request.user.is_superuser)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Model | None:
        found = super().get_object(request, object_id, from_field)
        if found is None and hasattr(request, _DELETED):
            found = self._deleted(request, object_id)
        return found

    def history_view(
        self,
        request: HttpRequest,
        object_id: str,
        extra_context: Mapping[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the ledger's history of an object; who may see it is Django's to say."""
        setattr(request, _DELETED, True)
        response = super().history_view(request, object_id, extra_context)
        using = self._using(request)
        if not isinstance(response, TemplateResponse) or using is None:
            return response
        obj = response.context_data["object"]
        try:
            revisions = self._revisions(obj.pk, using)
        except NotSupportedError as error:
            response.context_data["ledger_problem"] = str(error)
            revisions = []
        # Only those that the page shows are asked for.
        newest_first = range(len(revisions))[::-1]
        paginator = self.get_paginator(request, newest_first, self.history_per_page)
        page = paginator.get_page(request.GET.get(PAGE_VAR, 1))
        first = len(revisions) - page.end_index()
        lines = self._lines(
            request, obj, revisions, range(first, first + len(page.object_list))
        )
        known = self._note_who(request, object_id, lines, using)
        deleted = bool(revisions) and revisions[-1].deleted
        response.context_data |= {
            "lines": lines[::-1],
            "page_obj": page,
            "page_range": list(paginator.get_elided_page_range(page.number)),
            "pagination_required": paginator.num_pages > 1,
            "deleted": deleted,
            # Where it can't be told which transactions its entries are of.
            "show_log": not known,
            "verdict": self._verdict(obj, using)
            if _VERIFY in request.GET and not deleted
            else None,
        }
        if self.object_history_template is None:
            response.template_name = self.ledger_history_template
        return response

    # What happened

    def _revisions(self, pk: Any, using: str) -> Sequence[Revision]:
        """Return the revisions of an object, the oldest first."""
        from .ledger.revisions import versions  # noqa: PLC0415  # gRPC is loaded when used

        return versions(self.model, pk, using=using)

    def _using(self, request: HttpRequest) -> str | None:
        """Return the alias of the database; None if it isn't immudb."""
        alias: str = self.get_queryset(request).db
        vendor = getattr(connections[alias], "store_vendor", None)
        return alias if vendor == "immudb" else None

    def _deleted(self, request: HttpRequest, object_id: str) -> Model | None:
        """Return an object as it was when it was deleted, if it may be seen."""
        using = self._using(request)
        if using is None:
            return None
        try:
            pk = self.opts.pk.to_python(object_id)
            revisions = self._revisions(pk, using)
        except (ValidationError, ValueError, NotSupportedError):
            return None
        if not revisions or not revisions[-1].deleted:
            return None
        found: Model = revisions[-1].instance
        return found if self.has_view_deleted_permission(request, found) else None

    def _lines(
        self,
        request: HttpRequest,
        obj: Model,
        revisions: Sequence[Revision],
        wanted: range,
    ) -> list[Line]:
        """Compare revisions with those before them."""
        names = set(flatten_fieldsets(self.get_fieldsets(request, obj)))
        fields = [field for field in self.opts.concrete_fields if not field.primary_key]
        shown = [
            field
            for field in fields
            if field.name in names and field.name not in self.history_hidden_fields
        ]
        labels = _labels(
            shown,
            [
                revisions[at].instance
                for at in range(max(wanted.start - 1, 0), wanted.stop)
            ],
        )
        lines = []
        for at in wanted:
            revision = revisions[at]
            before = revisions[at - 1] if at and not revisions[at - 1].deleted else None
            line = Line(revision, before is None, [], [], others=False)
            lines.append(line)
            if revision.deleted:
                continue
            for field in fields:
                new = field.value_from_object(revision.instance)
                if before is None:
                    old = None
                    if new in field.empty_values:
                        continue
                else:
                    old = field.value_from_object(before.instance)
                    if old == new:
                        continue
                if field in shown:
                    line.changes.append(
                        Change(
                            str(field.verbose_name),
                            "" if before is None else self._text(field, old, labels),
                            self._text(field, new, labels),
                        )
                    )
                elif field.name in names:
                    line.hidden.append(str(field.verbose_name))
                else:
                    line.others = True
        return lines

    def _text(
        self,
        field: Field[Any, Any],
        value: Any,
        labels: Mapping[Any, Mapping[Any, str]],
    ) -> Any:
        """Return what a value is shown as; the template escapes it."""
        if value is not None and field in labels:
            label = labels[field].get(value)
            text: Any = str(value) if label is None else f"{label} ({value})"
        else:
            text = display_for_field(value, field, self.get_empty_value_display())
        if hasattr(text, "__html__"):
            return text
        return Truncator(text).chars(_CHARACTERS)

    def _note_who(
        self, request: HttpRequest, object_id: str, lines: Sequence[Line], using: str
    ) -> bool:
        """
        Note which entries of the admin's log are of which revision.

        :return: whether that can be told: the log has to be in the same database.
        """
        from django.contrib.admin.models import LogEntry  # noqa: PLC0415  # needs apps

        from .ledger.rows import Rows  # noqa: PLC0415  # gRPC is loaded when it is used

        if router.db_for_read(LogEntry) != using:
            return False
        if not lines:
            return True
        entries = (
            LogEntry.objects.using(using)
            .filter(
                object_id=unquote(object_id),
                content_type=get_content_type_for_model(self.model),
                action_time__gte=lines[0].revision.time - _CLOCKS,
                action_time__lte=lines[-1].revision.time + _CLOCKS,
            )
            .select_related("user")
            .order_by("pk")
        )
        by_tx = {line.revision.tx: line for line in lines}
        rows = Rows(LogEntry, using)
        with rows.store.other() as connection:
            for entry in entries:
                # What the admin does is one transaction with its entry in the log.
                answer = connection.verifiable_get(rows.physical, rows.key(entry.pk))
                line = by_tx.get(answer.sqlEntry.tx)
                if line is not None:
                    line.log.append(entry)
        return True

    # What is proven

    def _verdict(self, obj: Model, using: str) -> Verdict:
        try:
            return Verdict(proof=verify(obj, using=using))
        except TamperedError as error:
            return Verdict(problem=str(error), broken=True)
        except DatabaseError as error:
            return Verdict(problem=str(error))


def _labels(
    fields: Iterable[Field[Any, Any]], instances: Sequence[Model]
) -> dict[Any, dict[Any, str]]:
    """Return what objects that foreign keys lead to are called today, by field and key."""
    found: dict[Any, dict[Any, str]] = {}
    for field in fields:
        if not field.many_to_one and not field.one_to_one:
            continue
        remote = field.target_field
        keys = {field.value_from_object(instance) for instance in instances} - {None}
        objects = remote.model._default_manager.filter(**{f"{remote.name}__in": keys})
        found[field] = {getattr(one, remote.attname): str(one) for one in objects}
    return found
