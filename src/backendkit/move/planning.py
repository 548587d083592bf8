"""Which tables are moved, and in which order."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.core.management.utils import parse_apps_and_model_labels
from django.db import connections, router

from backendkit.move.errors import MoveError

Model = Any  # a class of models; Django's have no type hints

#: ``migrate`` fills these. The source's rows take their place, so that the foreign keys
#: and generic relations that come with it mean what they meant.
FILLED_BY_MIGRATE = ("auth.permission", "contenttypes.contenttype", "sites.site")


@dataclass(frozen=True)
class Group:
    """
    Models whose rows are copied one table after the other.

    :param models: one model, or all models of a cycle of foreign keys.
    :param cyclic: whether a row can refer to one that is copied later.
    """

    models: tuple[Model, ...]
    cyclic: bool


@dataclass
class Plan:
    """
    What is moved.

    :param groups: in the order of their foreign keys.
    :param skipped: why a model's rows aren't moved, by label.
    :param replaced: labels in lower case of models whose rows in the target are deleted.
    """

    groups: list[Group] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    replaced: frozenset[str] = frozenset()

    @property
    def models(self) -> list[Model]:
        """All models, in the order in which they are copied."""
        return [model for group in self.groups for model in group.models]


def make_plan(
    source: str,
    target: str,
    labels: Collection[str],
    exclude: Collection[str],
    replace: Collection[str],
) -> Plan:
    """
    Return which models are moved, in which order.

    :param labels: ``app`` or ``app.Model``; all models if there are none.
    :param exclude: of the same form.
    :param replace: of the same form: models whose rows in the target may be deleted.
    :raises CommandError: there is no such app or model, or nothing is left to move.
    """
    skipped = {}
    models = []
    wanted, unwanted = _Labels(labels), _Labels(exclude)
    replaced = _Labels(replace)
    for model in apps.get_models(include_auto_created=True):
        if (labels and model not in wanted) or model in unwanted:
            continue
        if why := _why_not(model, source, target):
            skipped[model._meta.label] = why
        else:
            models.append(model)
    if not models:
        reasons = "; ".join(f"{label} {why}" for label, why in skipped.items())
        raise MoveError(f"There is no model to move. {reasons}".strip())
    return Plan(
        order(models),
        skipped,
        frozenset(
            model._meta.label_lower
            for model in models
            if model._meta.label_lower in FILLED_BY_MIGRATE
            or (replace and model in replaced)
        ),
    )


class _Labels:
    """Models that were named on the command line, with their many-to-many tables."""

    def __init__(self, labels: Collection[str]) -> None:
        models, configs = parse_apps_and_model_labels(labels)
        self._models = {model._meta.concrete_model for model in models}
        self._apps = {config.label for config in configs}

    def __contains__(self, model: Model) -> bool:
        owner = model._meta.auto_created or model
        return (
            model in self._models
            or owner._meta.concrete_model in self._models
            or owner._meta.app_label in self._apps
        )


def _why_not(model: Model, source: str, target: str) -> str:
    options = model._meta
    if options.proxy:
        return "is a proxy: its rows are those of another model"
    if not options.managed:
        return "isn't managed by Django"
    for alias in (source, target):
        if not router.allow_migrate_model(alias, model):
            return f"has no table in {alias!r}, according to DATABASE_ROUTERS"
        if not options.can_migrate(connections[alias]):
            return (
                f"needs another database than {alias!r}, or a feature that it doesn't"
                " have"
            )
    return ""


def order(models: Iterable[Model]) -> list[Group]:
    """
    Return models in groups, each after those that its foreign keys refer to.

    The groups are the strongly connected components of the graph of foreign keys
    (Tarjan's algorithm, which finds them in this order).
    """
    chosen = {model: references(model) for model in models}
    number: dict[Model, int] = {}
    lowest: dict[Model, int] = {}
    open_models: list[Model] = []
    groups: list[Group] = []

    def enter(model: Model) -> tuple[Model, list[Model]]:
        number[model] = lowest[model] = len(number)
        open_models.append(model)
        # In the order of apps and models, whatever the set's.
        return model, [other for other in chosen if other in chosen[model]]

    for first in chosen:
        if first in number:
            continue
        # Its own stack: a chain of foreign keys may be longer than Python's.
        path = [enter(first)]
        while path:
            model, others = path[-1]
            if others:
                other = others.pop(0)
                if other not in number:
                    path.append(enter(other))
                elif other in open_models:
                    lowest[model] = min(lowest[model], number[other])
                continue
            path.pop()
            if path:
                before = path[-1][0]
                lowest[before] = min(lowest[before], lowest[model])
            if lowest[model] == number[model]:
                at = open_models.index(model)
                members = tuple(open_models[at:])
                del open_models[at:]
                cyclic = len(members) > 1 or model in chosen[model]
                groups.append(Group(members, cyclic))
    return groups


def references(model: Model) -> set[Model]:
    """Return the models that a table's foreign keys refer to, its parents included."""
    return {
        found.related_model._meta.concrete_model
        for found in model._meta.local_fields
        if found.is_relation and found.remote_field and found.related_model
    }
