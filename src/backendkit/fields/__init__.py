"""
Model fields for lists, sets, dictionaries, embedded models and blobs.

They need nothing but Django, and store JSON in the database's own JSON type, so that
they work on every database with a ``JSONField``.
"""

from ._blob import BlobField
from ._collections import DictField, ListField, RawField, SetField
from ._embedded import EmbeddedModel, EmbeddedModelField, EmbeddedModelListField
from ._indexes import ItemIndex, ItemUniqueConstraint

__all__ = [
    "BlobField",
    "DictField",
    "EmbeddedModel",
    "EmbeddedModelField",
    "EmbeddedModelListField",
    "ItemIndex",
    "ItemUniqueConstraint",
    "ListField",
    "RawField",
    "SetField",
]
