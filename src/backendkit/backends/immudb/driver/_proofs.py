"""
immudb's proofs, checked with nothing but SHA-256.

A transaction's entries are the leaves of a Merkle tree; its root is in the
transaction's header. The header and the hash of the transaction before make the hash
of the transaction: a chain. The hashes of the transactions are the leaves of another
Merkle tree that grows at the end; each header has the root of the tree as it was a
little before. What is proven is that an entry is in a transaction, and that the chain
up to one transaction is the beginning of the chain up to another.

Both trees are those of RFC 9162 (section 2.1), and so is the checking of paths in them.
Nothing here trusts the server: what doesn't fit is a :class:`ProofError`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import struct
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # The messages are read, never made: this module needs no protobuf.
    from . import immudb_pb2 as pb

SIZE = 32

LEAF = b"\x00"
NODE = b"\x01"


class ProofError(ValueError):
    """The proof doesn't prove it; the message says at which point."""


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """
    A transaction and the hash of all history up to it.

    :param tx: its id.
    :param hash: 32 bytes.
    """

    tx: int
    hash: bytes


def sha256(data: bytes) -> bytes:
    """Return the hash of it, 32 bytes."""
    return hashlib.sha256(data).digest()


def require(fits: bool, what: str) -> None:
    """
    Go on if it fits.

    :raises ProofError: it doesn't.
    """
    if not fits:
        raise ProofError(what)


def digests(terms: Iterable[bytes]) -> list[bytes]:
    """Return them; each has to be a digest's size, or it could reach into the next."""
    found = list(terms)
    require(all(len(term) == SIZE for term in found), "a hash of the wrong length")
    return found


# Merkle trees


def leaf(digest: bytes) -> bytes:
    """Return the leaf of a tree that stands for this digest."""
    return sha256(LEAF + digest)


def node(left: bytes, right: bytes) -> bytes:
    """Return the node over two others."""
    return sha256(NODE + left + right)


def check_path(
    path: Iterable[bytes], index: int, size: int, start: bytes, root: bytes, what: str
) -> None:
    """
    Check that a leaf is in a tree (RFC 9162, 2.1.3.2).

    :param path: the nodes beside the way up.
    :param index: of the leaf, from 0.
    :param size: how many leaves the tree has.
    :param start: the leaf.
    """
    require(0 <= index < size, f"{what}: the tree has no such leaf")
    here, last, found = index, size - 1, start
    for beside in digests(path):
        require(last > 0, f"{what}: the path is too long")
        if here & 1 or here == last:
            found = node(beside, found)
            while here and not here & 1:
                here >>= 1
                last >>= 1
        else:
            found = node(found, beside)
        here >>= 1
        last >>= 1
    require(last == 0 and found == root, f"{what}: the path leads to another root")


def check_growth(
    path: Iterable[bytes], size: int, root: bytes, new_size: int, new_root: bytes
) -> None:
    """
    Check that a tree is the beginning of another (RFC 9162, 2.1.4.2).

    immudb's path begins with the old root also where the RFC leaves it out.
    """
    what = "growth of the tree"
    require(0 < size <= new_size, f"{what}: the tree has shrunk")
    if size == new_size:
        require(root == new_root, f"{what}: a tree of the same size has another root")
        return
    nodes = digests(path)
    require(bool(nodes), f"{what}: the proof has no path")
    here, last = size - 1, new_size - 1
    while here & 1:
        here >>= 1
        last >>= 1
    old = new = nodes[0]
    for beside in nodes[1:]:
        require(last > 0, f"{what}: the path is too long")
        if here & 1 or here == last:
            old = node(beside, old)
            new = node(beside, new)
            while here and not here & 1:
                here >>= 1
                last >>= 1
        else:
            new = node(new, beside)
        here >>= 1
        last >>= 1
    require(
        last == 0 and old == root and new == new_root,
        f"{what}: the path leads to other roots",
    )


def tree_root(entries: Sequence[bytes]) -> bytes:
    """Return the root of the tree over these digests, of which there is at least one."""
    level = [leaf(digest) for digest in entries]
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        odd = level[-1:] if len(level) % 2 else []
        level = [node(left, right) for left, right in pairs] + odd
    return level[0]


# Transactions


def inner_hash(header: pb.TxHeader) -> bytes:
    """Return the hash of what a transaction is, apart from its place."""
    require(header.nentries > 0, "a transaction without entries")
    digests((header.eH, header.blRoot))
    extra = _metadata(header.metadata)
    if header.version == 1:
        count = (
            struct.pack(">H", len(extra)) + extra + struct.pack(">I", header.nentries)
        )
    elif header.version == 0:
        require(
            not extra and header.nentries < 1 << 16,
            "metadata or a number of entries that version 0 doesn't allow",
        )
        count = struct.pack(">H", header.nentries)
    else:
        raise ProofError(f"a transaction of the unknown version {header.version}")
    return sha256(
        struct.pack(">qH", header.ts, header.version)
        + count
        + header.eH
        + struct.pack(">Q", header.blTxId)
        + header.blRoot
    )


def _metadata(metadata: pb.TxMetadata) -> bytes:
    encoded = b""
    if metadata.truncatedTxID:
        encoded += b"\x00" + struct.pack(">Q", metadata.truncatedTxID)
    if metadata.extra:
        require(len(metadata.extra) < 1 << 16, "metadata that are too long")
        encoded += b"\x01" + struct.pack(">H", len(metadata.extra)) + metadata.extra
    return encoded


def chain(tx: int, before: bytes, inner: bytes) -> bytes:
    """Return the hash of a transaction from that of the one before it."""
    return sha256(struct.pack(">Q", tx) + before + inner)


def state_of(header: pb.TxHeader) -> State:
    """Return the transaction with its hash."""
    digests((header.prevAlh,))
    return State(header.id, chain(header.id, header.prevAlh, inner_hash(header)))


def entry_digest(
    version: int, key: bytes, value_hash: bytes, extra: bytes = b""
) -> bytes:
    """
    Return the digest of an entry.

    :param version: of its transaction.
    :param extra: its metadata, encoded.
    """
    digests((value_hash,))
    if version == 0:
        require(not extra, "metadata in a version that doesn't have them")
        return sha256(key + value_hash)
    require(len(key) < 1 << 16, "a key that is too long")
    lengths = struct.pack(">H", len(extra)), struct.pack(">H", len(key))
    return sha256(lengths[0] + extra + lengths[1] + key + value_hash)


def entry_metadata(metadata: pb.KVMetadata) -> bytes:
    """Return an entry's metadata as they are hashed."""
    encoded = b""
    if metadata.deleted:
        encoded += b"\x00"
    if metadata.HasField("expiration"):
        encoded += b"\x01" + struct.pack(">q", metadata.expiration.expiresAt)
    if metadata.nonIndexable:
        encoded += b"\x02"
    return encoded


def check_entry(
    proof: pb.InclusionProof, header: pb.TxHeader, key: bytes, value: bytes
) -> None:
    """Check that a transaction has written this value, without metadata, at this key."""
    what = "proof of the entry in its transaction"
    require(proof.width == header.nentries, f"{what}: the tree has the wrong size")
    digest = entry_digest(header.version, key, sha256(value))
    check_path(proof.terms, proof.leaf, proof.width, leaf(digest), header.eH, what)


def check_entries(tx: pb.Tx, header: pb.TxHeader) -> None:
    """Check that these are a transaction's entries, all of them, without their values."""
    what = "entries of the transaction"
    require(
        len(tx.entries) == header.nentries,
        f"{what}: the server sent another number of them",
    )
    found = tree_root(
        [
            entry_digest(
                header.version,
                entry.key,
                entry.hValue,
                entry_metadata(entry.metadata),
            )
            for entry in tx.entries
        ]
    )
    require(found == header.eH, f"{what}: their hash isn't that of the transaction")


def check_link(proof: pb.DualProof, source: State, target: State) -> None:
    """
    Check that history up to the source is the beginning of that up to the target.

    Neither is trusted by itself: whoever trusts one of them may trust the other now.
    """
    old, new = proof.sourceTxHeader, proof.targetTxHeader
    require(
        0 < source.tx <= target.tx, "the source transaction is later than the target"
    )
    require(state_of(old) == source, "another source transaction")
    require(state_of(new) == target, "another target transaction")
    # A tree has transactions of before only.
    require(
        old.blTxId < old.id and new.blTxId < new.id,
        "a tree that includes the target itself",
    )
    covered = source.tx < new.blTxId
    if covered:
        check_path(
            proof.inclusionProof,
            source.tx - 1,
            new.blTxId,
            leaf(source.hash),
            new.blRoot,
            "proof of the source in the target's tree",
        )
    if old.blTxId > 0:
        check_growth(
            proof.consistencyProof, old.blTxId, old.blRoot, new.blTxId, new.blRoot
        )
    if new.blTxId > 0:
        digests((proof.targetBlTxAlh,))
        check_path(
            proof.lastInclusionProof,
            new.blTxId - 1,
            new.blTxId,
            leaf(proof.targetBlTxAlh),
            new.blRoot,
            "proof of the last transaction in the target's tree",
        )
    last = State(new.blTxId, proof.targetBlTxAlh)
    _check_chain(proof.linearProof, last if covered else source, target)
    # What the chain had beyond the old tree has to be in the new one.
    _check_advance(proof, old.blTxId, source if covered else last, new)


def _check_chain(proof: pb.LinearProof, source: State, target: State) -> None:
    """Check that the target's hash is made of the source's, step by step."""
    what = "chain of transactions to the target"
    require(
        proof.sourceTxId == source.tx and proof.TargetTxId == target.tx,
        f"{what}: it links other transactions",
    )
    terms = digests(proof.terms)
    require(len(terms) == target.tx - source.tx + 1, f"{what}: it has the wrong length")
    require(terms[0] == source.hash, f"{what}: it begins with another transaction")
    found = source.hash
    for tx, inner in enumerate(terms[1:], source.tx + 1):
        found = chain(tx, found, inner)
    require(found == target.hash, f"{what}: it ends with another transaction")


def _check_advance(
    proof: pb.DualProof, start: int, end: State, new: pb.TxHeader
) -> None:
    """Check that the chain between two transactions is what the new tree has there."""
    what = "chain of the transactions that the tree doesn't include"
    steps = end.tx - start
    if steps <= 1:
        require(steps >= 0, f"{what}: it goes backwards")
        return
    terms = digests(proof.LinearAdvanceProof.linearProofTerms)
    paths = proof.LinearAdvanceProof.inclusionProofs
    require(
        len(terms) == steps and len(paths) == steps - 1,
        f"{what}: it has the wrong length",
    )
    found = terms[0]
    for tx, (path, inner) in enumerate(zip(paths, terms[1:], strict=True), start + 1):
        check_path(path.terms, tx - 1, new.blTxId, leaf(found), new.blRoot, what)
        found = chain(tx + 1, found, inner)
    require(found == end.hash, f"{what}: it ends with another transaction")
