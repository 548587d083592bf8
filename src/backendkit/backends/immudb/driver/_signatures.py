"""
The server's signature over a state.

It is what a client can show to others: that the server itself had said so.
"""

from __future__ import annotations

import os
import struct
from typing import Any

from backendkit.stores import InterfaceError

from . import immudb_pb2 as pb
from ._proofs import ProofError, State, require, sha256

#: What a DER form of a key for ECDSA on P-256 begins with, before its point.
_POINT = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")


def fingerprint(signature: pb.Signature) -> str | None:
    """
    Return that of the key that a signature claims to be of; None if there is none.

    The key that comes with a signature is anybody's.
    """
    if not signature.signature:
        return None
    return sha256(_POINT + signature.publicKey).hex()


class PublicKey:
    """
    A server's public key, ECDSA on P-256.

    :param path: the file with it, PEM.
    :raises InterfaceError: it can't be read, is of another kind, or the package
        ``cryptography`` isn't there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            from cryptography.hazmat.primitives import serialization  # noqa: PLC0415  # optional
            from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415  # optional
        except ImportError as error:
            raise InterfaceError(
                "checking the server's signatures needs the package cryptography: pip"
                " install 'django-backendkit[immudb-signature]'"
            ) from error
        try:
            with open(path, "rb") as file:
                key: Any = serialization.load_pem_public_key(file.read())
        except (OSError, ValueError) as error:
            raise InterfaceError(
                f"unable to read the public key {path}: {error}"
            ) from error
        if not (
            isinstance(key, ec.EllipticCurvePublicKey)
            and isinstance(key.curve, ec.SECP256R1)
        ):
            raise InterfaceError(f"{path} isn't a public key for ECDSA on P-256")
        self._key = key

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the key's DER form, in hexadecimal."""
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415  # optional

        encoded: bytes = self._key.public_bytes(
            serialization.Encoding.DER,
            serialization.PublicFormat.SubjectPublicKeyInfo,
        )
        return sha256(encoded).hex()

    def check(self, signature: pb.Signature, database: str, state: State) -> None:
        """
        Check that the server has signed the state of a database.

        :raises ProofError: it hasn't.
        """
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  # optional
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415  # optional
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415  # optional

        require(bool(signature.signature), "the server hasn't signed the state")
        name = database.encode()
        signed = struct.pack(">I", len(name)) + name
        signed += struct.pack(">Q", state.tx) + state.hash
        try:
            # The key that comes with the signature is anybody's.
            self._key.verify(signature.signature, signed, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as error:
            raise ProofError(
                "the signature of the state doesn't fit the server's key"
            ) from error
