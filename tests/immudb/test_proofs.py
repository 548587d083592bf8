"""The hashes of proofs, against trees that are built here and against immudb-py."""

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

pb = pytest.importorskip(
    "backendkit.backends.immudb.driver.immudb_pb2",
    reason="needs the extra immudb",
    exc_type=ImportError,
)
from backendkit.backends.immudb.driver import _proofs as proofs  # noqa: E402  # after the skip


def sha256(data):
    return hashlib.sha256(data).digest()


class Tree:
    """RFC 9162's tree, by its definition: slow and plain."""

    def __init__(self, digests):
        self.digests = list(digests)

    def __len__(self):
        return len(self.digests)

    def root(self):
        if len(self) == 1:
            return sha256(b"\0" + self.digests[0])
        left, right = self.halves()
        return sha256(b"\1" + left.root() + right.root())

    def halves(self):
        half = 1
        while half * 2 < len(self):
            half *= 2
        return Tree(self.digests[:half]), Tree(self.digests[half:])

    def path(self, index):
        if len(self) == 1:
            return []
        left, right = self.halves()
        if index < len(left):
            return [*left.path(index), right.root()]
        return [*right.path(index - len(left)), left.root()]

    def growth(self, size):
        """From its own beginning; with the old root, as immudb has it."""
        if size == len(self):
            return [self.root()]
        left, right = self.halves()
        if size <= len(left):
            return [*left.growth(size), right.root()]
        return [*right.growth(size - len(left)), left.root()]


def tree_of(size):
    return Tree(sha256(b"%d" % number) for number in range(size))


def with_one_wrong(draw, path):
    place = draw(st.integers(0, len(path) - 1))
    return [*path[:place], sha256(path[place]), *path[place + 1 :]]


class TestTrees:
    @given(st.data())
    def test_a_leaf_is_found_by_its_path_and_no_other(self, data):
        size = data.draw(st.integers(1, 70))
        index = data.draw(st.integers(0, size - 1))
        tree = tree_of(size)
        path, start, root = (
            tree.path(index),
            sha256(b"\0" + tree.digests[index]),
            tree.root(),
        )
        proofs.check_path(path, index, size, start, root, "it")
        assert proofs.tree_root(tree.digests) == root
        wrong = [
            ([*path, root], index, size, start, root),
            (path, index, size, sha256(start), root),
            (path, index, size, start, sha256(root)),
            (path, size, size, start, root),
            (path, -1, size, start, root),
        ]
        if path:
            wrong += [
                (with_one_wrong(data.draw, path), index, size, start, root),
                (path[:-1], index, size, start, root),
                ([path[0] + path[-1], *path[1:]], index, size, start, root),
                (path, index ^ 1, size, start, root),
            ]
        for arguments in wrong:
            with pytest.raises(proofs.ProofError):
                proofs.check_path(*arguments, "it")

    @given(st.data())
    def test_a_tree_is_the_beginning_of_another(self, data):
        size = data.draw(st.integers(1, 70))
        new_size = data.draw(st.integers(size, 70))
        new = tree_of(new_size)
        root, new_root = tree_of(size).root(), new.root()
        path = new.growth(size)
        proofs.check_growth(path, size, root, new_size, new_root)
        wrong = [
            (path, size, sha256(root), new_size, new_root),
            (path, size, root, new_size, sha256(new_root)),
            (path, new_size + 1, root, new_size, new_root),
            (path, 0, root, new_size, new_root),
        ]
        if size < new_size:
            wrong += [
                (with_one_wrong(data.draw, path), size, root, new_size, new_root),
                ([*path, root], size, root, new_size, new_root),
                (path[:-1], size, root, new_size, new_root),
                ([], size, root, new_size, new_root),
            ]
        for arguments in wrong:
            with pytest.raises(proofs.ProofError):
                proofs.check_growth(*arguments)


class History:
    """
    A ledger of our own, whose tree may be behind by as much as one likes.

    :param lags: how many transactions the tree of each is behind, beside the one.
    :param forged: the transaction that has other entries.
    """

    def __init__(self, lags, forged=None):
        self.lags = lags
        self.headers = []
        self.inner = []
        self.hashes = []
        before = bytes(32)
        for number, lag in enumerate(lags, 1):
            size = max(number - 1 - lag, self.headers[-1].blTxId if self.headers else 0)
            header = pb.TxHeader(
                id=number,
                prevAlh=before,
                ts=1_700_000_000 + number,
                nentries=1,
                eH=sha256(b"entries %d" % (-number if number == forged else number)),
                blTxId=size,
                blRoot=Tree(self.hashes[:size]).root() if size else bytes(32),
                version=1,
            )
            state = proofs.state_of(header)
            self.headers.append(header)
            self.inner.append(proofs.inner_hash(header))
            self.hashes.append(state.hash)
            before = state.hash

    def state(self, tx):
        return proofs.State(tx, self.hashes[tx - 1])

    def proof(self, source, target):
        old, new = self.headers[source - 1], self.headers[target - 1]
        tree = Tree(self.hashes[: new.blTxId])
        proof = pb.DualProof(sourceTxHeader=old, targetTxHeader=new)
        covered = source < new.blTxId
        if covered:
            proof.inclusionProof.extend(tree.path(source - 1))
        if old.blTxId and new.blTxId:
            proof.consistencyProof.extend(tree.growth(old.blTxId))
        if new.blTxId:
            proof.targetBlTxAlh = self.hashes[new.blTxId - 1]
            proof.lastInclusionProof.extend(tree.path(new.blTxId - 1))
        start = new.blTxId if covered else source
        proof.linearProof.sourceTxId = start
        proof.linearProof.TargetTxId = target
        proof.linearProof.terms.append(self.hashes[start - 1])
        proof.linearProof.terms.extend(self.inner[start:target])
        end = source if covered else new.blTxId
        if end > old.blTxId + 1:
            advance = proof.LinearAdvanceProof
            advance.linearProofTerms.append(self.hashes[old.blTxId])
            advance.linearProofTerms.extend(self.inner[old.blTxId + 1 : end])
            for tx in range(old.blTxId + 1, end):
                advance.inclusionProofs.add(terms=tree.path(tx - 1))
        return proof


histories = st.lists(st.integers(0, 9), min_size=2, max_size=25).map(History)


def any_link(draw, history):
    """A proof and the states that it links."""
    target = draw(st.integers(1, len(history.hashes)))
    source = draw(st.integers(1, target))
    proof = history.proof(source, target)
    return proof, history.state(source), history.state(target)


def theirs_fits(proof, source, target):
    """What immudb-py says of a proof."""
    schema = pytest.importorskip("immudb.schema", reason="needs immudb-py")
    from immudb.embedded import store
    from immudb.grpc import schema_pb2

    message = schema_pb2.DualProof.FromString(proof.SerializeToString())
    return store.VerifyDualProof(
        schema.DualProofFromProto(message),
        source.tx,
        target.tx,
        source.hash,
        target.hash,
    )


def ours_fits(proof, source, target):
    try:
        proofs.check_link(proof, source, target)
    except proofs.ProofError:
        return False
    return True


def mutated(message, chance):
    """A message that parses and has a byte changed, added or lost; or None."""
    data = bytearray(message.SerializeToString())
    place = chance.randrange(len(data))
    kind = chance.randrange(6)
    if kind < 4:
        data[place] ^= 1 << chance.randrange(8)
    elif kind == 4:
        data[place] = chance.randrange(256)
    else:
        del data[place]
    try:
        changed = type(message).FromString(bytes(data))
    except Exception:  # noqa: BLE001  # each protobuf has another DecodeError
        return None
    return None if changed == message else changed


class TestLinks:
    @given(st.data(), histories)
    def test_all_of_history_is_linked(self, data, history):
        """Also where the tree is far behind."""
        proofs.check_link(*any_link(data.draw, history))

    @given(st.data(), histories)
    def test_immudb_py_says_the_same(self, data, history):
        assert theirs_fits(*any_link(data.draw, history))

    @given(st.data(), histories)
    def test_another_history_is_not(self, data, history):
        """One that has parted before the source, or between both."""
        target = data.draw(st.integers(2, len(history.hashes)))
        source = data.draw(st.integers(1, target - 1))
        at = data.draw(st.integers(1, target))
        other = History(history.lags, forged=at)
        proof = other.proof(source, target)
        proofs.check_link(proof, other.state(source), other.state(target))
        assert not ours_fits(proof, other.state(source), history.state(target))
        if at <= source:
            assert not ours_fits(proof, history.state(source), other.state(target))

    @given(st.data(), histories, st.randoms(use_true_random=False))
    def test_nothing_in_a_proof_can_be_changed(self, data, history, chance):
        """Except what isn't needed, such as a path between trees of one size."""
        target = data.draw(st.integers(1, len(history.hashes)))
        source = data.draw(st.integers(1, target))
        states = history.state(source), history.state(target)
        for _ in range(10):
            changed = mutated(history.proof(source, target), chance)
            if changed is not None and ours_fits(changed, *states):
                assert proofs.state_of(changed.sourceTxHeader) == states[0]
                assert proofs.state_of(changed.targetTxHeader) == states[1]


class TestHeaders:
    def test_unknown_versions_and_nonsense_are_refused(self):
        good = History([0, 0]).headers[1]
        for changes in (
            {"version": 2},
            {"version": -1},
            {"nentries": 0},
            {"nentries": -5},
            {"eH": b"short"},
            {"blRoot": bytes(33)},
            {"prevAlh": b""},
            {"version": 0, "nentries": 70_000},
        ):
            header = pb.TxHeader()
            header.CopyFrom(good)
            for name, value in changes.items():
                setattr(header, name, value)
            with pytest.raises(proofs.ProofError):
                proofs.state_of(header)

    @pytest.mark.parametrize("version", [0, 1])
    def test_the_hash_is_that_of_immudb_py(self, version):
        schema = pytest.importorskip("immudb.schema", reason="needs immudb-py")
        from immudb.grpc import schema_pb2

        header = pb.TxHeader()
        header.CopyFrom(History([0, 0, 1]).headers[2])
        header.version = version
        theirs = schema.TxHeaderFromProto(
            schema_pb2.TxHeader.FromString(header.SerializeToString())
        )
        assert proofs.state_of(header).hash == theirs.Alh()

    def test_metadata_are_part_of_the_hash(self):
        header = History([0, 0]).headers[1]
        seen = {proofs.state_of(header).hash}
        for metadata in ({"truncatedTxID": 7}, {"extra": b"more"}, {"extra": b"less"}):
            header.metadata.CopyFrom(pb.TxMetadata(**metadata))
            seen.add(proofs.state_of(header).hash)
        assert len(seen) == 4


def test_a_digest_of_an_entry_is_that_of_immudb_py():
    pytest.importorskip("immudb", reason="needs immudb-py")
    from immudb.embedded import store

    chance = random.Random(5)
    for version in (0, 1):
        for _ in range(20):
            key, value = chance.randbytes(chance.randrange(90)), chance.randbytes(9)
            spec = store.EntrySpec(key=key, value=value, md=None)
            theirs = store.EntrySpecDigestFor(version)(spec)
            assert proofs.entry_digest(version, key, sha256(value)) == theirs
