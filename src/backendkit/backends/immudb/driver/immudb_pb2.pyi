from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TxMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ReadOnly: _ClassVar[TxMode]
    WriteOnly: _ClassVar[TxMode]
    ReadWrite: _ClassVar[TxMode]

class EntryTypeAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXCLUDE: _ClassVar[EntryTypeAction]
    ONLY_DIGEST: _ClassVar[EntryTypeAction]
    RAW_VALUE: _ClassVar[EntryTypeAction]
    RESOLVE: _ClassVar[EntryTypeAction]
ReadOnly: TxMode
WriteOnly: TxMode
ReadWrite: TxMode
EXCLUDE: EntryTypeAction
ONLY_DIGEST: EntryTypeAction
RAW_VALUE: EntryTypeAction
RESOLVE: EntryTypeAction

class Empty(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class OpenSessionRequest(_message.Message):
    __slots__ = ("username", "password", "databaseName")
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    DATABASENAME_FIELD_NUMBER: _ClassVar[int]
    username: bytes
    password: bytes
    databaseName: str
    def __init__(self, username: _Optional[bytes] = ..., password: _Optional[bytes] = ..., databaseName: _Optional[str] = ...) -> None: ...

class OpenSessionResponse(_message.Message):
    __slots__ = ("sessionID", "serverUUID")
    SESSIONID_FIELD_NUMBER: _ClassVar[int]
    SERVERUUID_FIELD_NUMBER: _ClassVar[int]
    sessionID: str
    serverUUID: str
    def __init__(self, sessionID: _Optional[str] = ..., serverUUID: _Optional[str] = ...) -> None: ...

class NewTxRequest(_message.Message):
    __slots__ = ("mode", "snapshotMustIncludeTxID", "snapshotRenewalPeriod", "unsafeMVCC")
    MODE_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOTMUSTINCLUDETXID_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOTRENEWALPERIOD_FIELD_NUMBER: _ClassVar[int]
    UNSAFEMVCC_FIELD_NUMBER: _ClassVar[int]
    mode: TxMode
    snapshotMustIncludeTxID: NullableUint64
    snapshotRenewalPeriod: NullableMilliseconds
    unsafeMVCC: bool
    def __init__(self, mode: _Optional[_Union[TxMode, str]] = ..., snapshotMustIncludeTxID: _Optional[_Union[NullableUint64, _Mapping]] = ..., snapshotRenewalPeriod: _Optional[_Union[NullableMilliseconds, _Mapping]] = ..., unsafeMVCC: bool = ...) -> None: ...

class NewTxResponse(_message.Message):
    __slots__ = ("transactionID",)
    TRANSACTIONID_FIELD_NUMBER: _ClassVar[int]
    transactionID: str
    def __init__(self, transactionID: _Optional[str] = ...) -> None: ...

class Status(_message.Message):
    __slots__ = ("code", "message", "details")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    details: _containers.RepeatedCompositeFieldContainer[Any]
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ..., details: _Optional[_Iterable[_Union[Any, _Mapping]]] = ...) -> None: ...

class Any(_message.Message):
    __slots__ = ("type_url", "value")
    TYPE_URL_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    type_url: str
    value: bytes
    def __init__(self, type_url: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...

class ErrorInfo(_message.Message):
    __slots__ = ("code", "cause")
    CODE_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    code: str
    cause: str
    def __init__(self, code: _Optional[str] = ..., cause: _Optional[str] = ...) -> None: ...

class RetryInfo(_message.Message):
    __slots__ = ("retry_delay",)
    RETRY_DELAY_FIELD_NUMBER: _ClassVar[int]
    retry_delay: int
    def __init__(self, retry_delay: _Optional[int] = ...) -> None: ...

class SQLValue(_message.Message):
    __slots__ = ("null", "n", "s", "b", "bs", "ts", "f")
    NULL_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    S_FIELD_NUMBER: _ClassVar[int]
    B_FIELD_NUMBER: _ClassVar[int]
    BS_FIELD_NUMBER: _ClassVar[int]
    TS_FIELD_NUMBER: _ClassVar[int]
    F_FIELD_NUMBER: _ClassVar[int]
    null: int
    n: int
    s: str
    b: bool
    bs: bytes
    ts: int
    f: float
    def __init__(self, null: _Optional[int] = ..., n: _Optional[int] = ..., s: _Optional[str] = ..., b: bool = ..., bs: _Optional[bytes] = ..., ts: _Optional[int] = ..., f: _Optional[float] = ...) -> None: ...

class NamedParam(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: SQLValue
    def __init__(self, name: _Optional[str] = ..., value: _Optional[_Union[SQLValue, _Mapping]] = ...) -> None: ...

class SQLExecRequest(_message.Message):
    __slots__ = ("sql", "params", "noWait")
    SQL_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    NOWAIT_FIELD_NUMBER: _ClassVar[int]
    sql: str
    params: _containers.RepeatedCompositeFieldContainer[NamedParam]
    noWait: bool
    def __init__(self, sql: _Optional[str] = ..., params: _Optional[_Iterable[_Union[NamedParam, _Mapping]]] = ..., noWait: bool = ...) -> None: ...

class SQLQueryRequest(_message.Message):
    __slots__ = ("sql", "params", "acceptStream")
    SQL_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    ACCEPTSTREAM_FIELD_NUMBER: _ClassVar[int]
    sql: str
    params: _containers.RepeatedCompositeFieldContainer[NamedParam]
    acceptStream: bool
    def __init__(self, sql: _Optional[str] = ..., params: _Optional[_Iterable[_Union[NamedParam, _Mapping]]] = ..., acceptStream: bool = ...) -> None: ...

class SQLExecResult(_message.Message):
    __slots__ = ("txs", "ongoingTx")
    TXS_FIELD_NUMBER: _ClassVar[int]
    ONGOINGTX_FIELD_NUMBER: _ClassVar[int]
    txs: _containers.RepeatedCompositeFieldContainer[CommittedSQLTx]
    ongoingTx: bool
    def __init__(self, txs: _Optional[_Iterable[_Union[CommittedSQLTx, _Mapping]]] = ..., ongoingTx: bool = ...) -> None: ...

class CommittedSQLTx(_message.Message):
    __slots__ = ("header", "updatedRows", "lastInsertedPKs", "firstInsertedPKs")
    class LastInsertedPKsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: SQLValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[SQLValue, _Mapping]] = ...) -> None: ...
    class FirstInsertedPKsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: SQLValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[SQLValue, _Mapping]] = ...) -> None: ...
    HEADER_FIELD_NUMBER: _ClassVar[int]
    UPDATEDROWS_FIELD_NUMBER: _ClassVar[int]
    LASTINSERTEDPKS_FIELD_NUMBER: _ClassVar[int]
    FIRSTINSERTEDPKS_FIELD_NUMBER: _ClassVar[int]
    header: TxHeader
    updatedRows: int
    lastInsertedPKs: _containers.MessageMap[str, SQLValue]
    firstInsertedPKs: _containers.MessageMap[str, SQLValue]
    def __init__(self, header: _Optional[_Union[TxHeader, _Mapping]] = ..., updatedRows: _Optional[int] = ..., lastInsertedPKs: _Optional[_Mapping[str, SQLValue]] = ..., firstInsertedPKs: _Optional[_Mapping[str, SQLValue]] = ...) -> None: ...

class SQLQueryResult(_message.Message):
    __slots__ = ("rows", "columns")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedScalarFieldContainer[bytes]
    columns: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, rows: _Optional[_Iterable[bytes]] = ..., columns: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Row(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, values: _Optional[_Iterable[bytes]] = ...) -> None: ...

class SQLValues(_message.Message):
    __slots__ = ("null", "n", "s", "b", "bs", "ts", "f")
    NULL_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    S_FIELD_NUMBER: _ClassVar[int]
    B_FIELD_NUMBER: _ClassVar[int]
    BS_FIELD_NUMBER: _ClassVar[int]
    TS_FIELD_NUMBER: _ClassVar[int]
    F_FIELD_NUMBER: _ClassVar[int]
    null: _containers.RepeatedScalarFieldContainer[int]
    n: _containers.RepeatedScalarFieldContainer[int]
    s: _containers.RepeatedScalarFieldContainer[str]
    b: _containers.RepeatedScalarFieldContainer[bool]
    bs: _containers.RepeatedScalarFieldContainer[bytes]
    ts: _containers.RepeatedScalarFieldContainer[int]
    f: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, null: _Optional[_Iterable[int]] = ..., n: _Optional[_Iterable[int]] = ..., s: _Optional[_Iterable[str]] = ..., b: _Optional[_Iterable[bool]] = ..., bs: _Optional[_Iterable[bytes]] = ..., ts: _Optional[_Iterable[int]] = ..., f: _Optional[_Iterable[float]] = ...) -> None: ...

class Column(_message.Message):
    __slots__ = ("name", "type")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ...) -> None: ...

class ServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ServerInfoResponse(_message.Message):
    __slots__ = ("version", "startedAt", "numTransactions", "numDatabases", "databasesDiskSize")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STARTEDAT_FIELD_NUMBER: _ClassVar[int]
    NUMTRANSACTIONS_FIELD_NUMBER: _ClassVar[int]
    NUMDATABASES_FIELD_NUMBER: _ClassVar[int]
    DATABASESDISKSIZE_FIELD_NUMBER: _ClassVar[int]
    version: str
    startedAt: int
    numTransactions: int
    numDatabases: int
    databasesDiskSize: int
    def __init__(self, version: _Optional[str] = ..., startedAt: _Optional[int] = ..., numTransactions: _Optional[int] = ..., numDatabases: _Optional[int] = ..., databasesDiskSize: _Optional[int] = ...) -> None: ...

class DatabaseHealthResponse(_message.Message):
    __slots__ = ("pendingRequests", "lastRequestCompletedAt")
    PENDINGREQUESTS_FIELD_NUMBER: _ClassVar[int]
    LASTREQUESTCOMPLETEDAT_FIELD_NUMBER: _ClassVar[int]
    pendingRequests: int
    lastRequestCompletedAt: int
    def __init__(self, pendingRequests: _Optional[int] = ..., lastRequestCompletedAt: _Optional[int] = ...) -> None: ...

class Database(_message.Message):
    __slots__ = ("databaseName",)
    DATABASENAME_FIELD_NUMBER: _ClassVar[int]
    databaseName: str
    def __init__(self, databaseName: _Optional[str] = ...) -> None: ...

class UseDatabaseReply(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class NullableUint32(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: int
    def __init__(self, value: _Optional[int] = ...) -> None: ...

class NullableUint64(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: int
    def __init__(self, value: _Optional[int] = ...) -> None: ...

class NullableBool(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: bool
    def __init__(self, value: bool = ...) -> None: ...

class NullableMilliseconds(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: int
    def __init__(self, value: _Optional[int] = ...) -> None: ...

class DatabaseNullableSettings(_message.Message):
    __slots__ = ("fileSize", "maxKeyLen", "maxValueLen", "maxTxEntries", "maxConcurrency", "indexSettings", "readTxPoolSize", "syncFrequency", "maxActiveTransactions", "mvccReadSetLimit", "embeddedValues", "preallocFiles")
    FILESIZE_FIELD_NUMBER: _ClassVar[int]
    MAXKEYLEN_FIELD_NUMBER: _ClassVar[int]
    MAXVALUELEN_FIELD_NUMBER: _ClassVar[int]
    MAXTXENTRIES_FIELD_NUMBER: _ClassVar[int]
    MAXCONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    INDEXSETTINGS_FIELD_NUMBER: _ClassVar[int]
    READTXPOOLSIZE_FIELD_NUMBER: _ClassVar[int]
    SYNCFREQUENCY_FIELD_NUMBER: _ClassVar[int]
    MAXACTIVETRANSACTIONS_FIELD_NUMBER: _ClassVar[int]
    MVCCREADSETLIMIT_FIELD_NUMBER: _ClassVar[int]
    EMBEDDEDVALUES_FIELD_NUMBER: _ClassVar[int]
    PREALLOCFILES_FIELD_NUMBER: _ClassVar[int]
    fileSize: NullableUint32
    maxKeyLen: NullableUint32
    maxValueLen: NullableUint32
    maxTxEntries: NullableUint32
    maxConcurrency: NullableUint32
    indexSettings: IndexNullableSettings
    readTxPoolSize: NullableUint32
    syncFrequency: NullableMilliseconds
    maxActiveTransactions: NullableUint32
    mvccReadSetLimit: NullableUint32
    embeddedValues: NullableBool
    preallocFiles: NullableBool
    def __init__(self, fileSize: _Optional[_Union[NullableUint32, _Mapping]] = ..., maxKeyLen: _Optional[_Union[NullableUint32, _Mapping]] = ..., maxValueLen: _Optional[_Union[NullableUint32, _Mapping]] = ..., maxTxEntries: _Optional[_Union[NullableUint32, _Mapping]] = ..., maxConcurrency: _Optional[_Union[NullableUint32, _Mapping]] = ..., indexSettings: _Optional[_Union[IndexNullableSettings, _Mapping]] = ..., readTxPoolSize: _Optional[_Union[NullableUint32, _Mapping]] = ..., syncFrequency: _Optional[_Union[NullableMilliseconds, _Mapping]] = ..., maxActiveTransactions: _Optional[_Union[NullableUint32, _Mapping]] = ..., mvccReadSetLimit: _Optional[_Union[NullableUint32, _Mapping]] = ..., embeddedValues: _Optional[_Union[NullableBool, _Mapping]] = ..., preallocFiles: _Optional[_Union[NullableBool, _Mapping]] = ...) -> None: ...

class IndexNullableSettings(_message.Message):
    __slots__ = ("maxActiveSnapshots",)
    MAXACTIVESNAPSHOTS_FIELD_NUMBER: _ClassVar[int]
    maxActiveSnapshots: NullableUint32
    def __init__(self, maxActiveSnapshots: _Optional[_Union[NullableUint32, _Mapping]] = ...) -> None: ...

class CreateDatabaseRequest(_message.Message):
    __slots__ = ("name", "settings", "ifNotExists")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    IFNOTEXISTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    settings: DatabaseNullableSettings
    ifNotExists: bool
    def __init__(self, name: _Optional[str] = ..., settings: _Optional[_Union[DatabaseNullableSettings, _Mapping]] = ..., ifNotExists: bool = ...) -> None: ...

class CreateDatabaseResponse(_message.Message):
    __slots__ = ("name", "settings", "alreadyExisted")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    ALREADYEXISTED_FIELD_NUMBER: _ClassVar[int]
    name: str
    settings: DatabaseNullableSettings
    alreadyExisted: bool
    def __init__(self, name: _Optional[str] = ..., settings: _Optional[_Union[DatabaseNullableSettings, _Mapping]] = ..., alreadyExisted: bool = ...) -> None: ...

class UnloadDatabaseRequest(_message.Message):
    __slots__ = ("database",)
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    database: str
    def __init__(self, database: _Optional[str] = ...) -> None: ...

class UnloadDatabaseResponse(_message.Message):
    __slots__ = ("database",)
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    database: str
    def __init__(self, database: _Optional[str] = ...) -> None: ...

class DeleteDatabaseRequest(_message.Message):
    __slots__ = ("database",)
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    database: str
    def __init__(self, database: _Optional[str] = ...) -> None: ...

class DeleteDatabaseResponse(_message.Message):
    __slots__ = ("database",)
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    database: str
    def __init__(self, database: _Optional[str] = ...) -> None: ...

class DatabaseSettingsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DatabaseSettingsResponse(_message.Message):
    __slots__ = ("database", "settings")
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    database: str
    settings: DatabaseNullableSettings
    def __init__(self, database: _Optional[str] = ..., settings: _Optional[_Union[DatabaseNullableSettings, _Mapping]] = ...) -> None: ...

class DatabaseListRequestV2(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DatabaseListResponseV2(_message.Message):
    __slots__ = ("databases",)
    DATABASES_FIELD_NUMBER: _ClassVar[int]
    databases: _containers.RepeatedCompositeFieldContainer[DatabaseInfo]
    def __init__(self, databases: _Optional[_Iterable[_Union[DatabaseInfo, _Mapping]]] = ...) -> None: ...

class DatabaseInfo(_message.Message):
    __slots__ = ("name", "settings", "loaded", "diskSize", "numTransactions", "created_at", "created_by")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    LOADED_FIELD_NUMBER: _ClassVar[int]
    DISKSIZE_FIELD_NUMBER: _ClassVar[int]
    NUMTRANSACTIONS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    name: str
    settings: DatabaseNullableSettings
    loaded: bool
    diskSize: int
    numTransactions: int
    created_at: int
    created_by: str
    def __init__(self, name: _Optional[str] = ..., settings: _Optional[_Union[DatabaseNullableSettings, _Mapping]] = ..., loaded: bool = ..., diskSize: _Optional[int] = ..., numTransactions: _Optional[int] = ..., created_at: _Optional[int] = ..., created_by: _Optional[str] = ...) -> None: ...

class Signature(_message.Message):
    __slots__ = ("publicKey", "signature")
    PUBLICKEY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    publicKey: bytes
    signature: bytes
    def __init__(self, publicKey: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class ImmutableState(_message.Message):
    __slots__ = ("db", "txId", "txHash", "signature", "precommittedTxId", "precommittedTxHash")
    DB_FIELD_NUMBER: _ClassVar[int]
    TXID_FIELD_NUMBER: _ClassVar[int]
    TXHASH_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    PRECOMMITTEDTXID_FIELD_NUMBER: _ClassVar[int]
    PRECOMMITTEDTXHASH_FIELD_NUMBER: _ClassVar[int]
    db: str
    txId: int
    txHash: bytes
    signature: Signature
    precommittedTxId: int
    precommittedTxHash: bytes
    def __init__(self, db: _Optional[str] = ..., txId: _Optional[int] = ..., txHash: _Optional[bytes] = ..., signature: _Optional[_Union[Signature, _Mapping]] = ..., precommittedTxId: _Optional[int] = ..., precommittedTxHash: _Optional[bytes] = ...) -> None: ...

class TxHeader(_message.Message):
    __slots__ = ("id", "prevAlh", "ts", "nentries", "eH", "blTxId", "blRoot", "version", "metadata")
    ID_FIELD_NUMBER: _ClassVar[int]
    PREVALH_FIELD_NUMBER: _ClassVar[int]
    TS_FIELD_NUMBER: _ClassVar[int]
    NENTRIES_FIELD_NUMBER: _ClassVar[int]
    EH_FIELD_NUMBER: _ClassVar[int]
    BLTXID_FIELD_NUMBER: _ClassVar[int]
    BLROOT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    id: int
    prevAlh: bytes
    ts: int
    nentries: int
    eH: bytes
    blTxId: int
    blRoot: bytes
    version: int
    metadata: TxMetadata
    def __init__(self, id: _Optional[int] = ..., prevAlh: _Optional[bytes] = ..., ts: _Optional[int] = ..., nentries: _Optional[int] = ..., eH: _Optional[bytes] = ..., blTxId: _Optional[int] = ..., blRoot: _Optional[bytes] = ..., version: _Optional[int] = ..., metadata: _Optional[_Union[TxMetadata, _Mapping]] = ...) -> None: ...

class TxMetadata(_message.Message):
    __slots__ = ("truncatedTxID", "extra")
    TRUNCATEDTXID_FIELD_NUMBER: _ClassVar[int]
    EXTRA_FIELD_NUMBER: _ClassVar[int]
    truncatedTxID: int
    extra: bytes
    def __init__(self, truncatedTxID: _Optional[int] = ..., extra: _Optional[bytes] = ...) -> None: ...

class LinearProof(_message.Message):
    __slots__ = ("sourceTxId", "TargetTxId", "terms")
    SOURCETXID_FIELD_NUMBER: _ClassVar[int]
    TARGETTXID_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    sourceTxId: int
    TargetTxId: int
    terms: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, sourceTxId: _Optional[int] = ..., TargetTxId: _Optional[int] = ..., terms: _Optional[_Iterable[bytes]] = ...) -> None: ...

class LinearAdvanceProof(_message.Message):
    __slots__ = ("linearProofTerms", "inclusionProofs")
    LINEARPROOFTERMS_FIELD_NUMBER: _ClassVar[int]
    INCLUSIONPROOFS_FIELD_NUMBER: _ClassVar[int]
    linearProofTerms: _containers.RepeatedScalarFieldContainer[bytes]
    inclusionProofs: _containers.RepeatedCompositeFieldContainer[InclusionProof]
    def __init__(self, linearProofTerms: _Optional[_Iterable[bytes]] = ..., inclusionProofs: _Optional[_Iterable[_Union[InclusionProof, _Mapping]]] = ...) -> None: ...

class DualProof(_message.Message):
    __slots__ = ("sourceTxHeader", "targetTxHeader", "inclusionProof", "consistencyProof", "targetBlTxAlh", "lastInclusionProof", "linearProof", "LinearAdvanceProof")
    SOURCETXHEADER_FIELD_NUMBER: _ClassVar[int]
    TARGETTXHEADER_FIELD_NUMBER: _ClassVar[int]
    INCLUSIONPROOF_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCYPROOF_FIELD_NUMBER: _ClassVar[int]
    TARGETBLTXALH_FIELD_NUMBER: _ClassVar[int]
    LASTINCLUSIONPROOF_FIELD_NUMBER: _ClassVar[int]
    LINEARPROOF_FIELD_NUMBER: _ClassVar[int]
    LINEARADVANCEPROOF_FIELD_NUMBER: _ClassVar[int]
    sourceTxHeader: TxHeader
    targetTxHeader: TxHeader
    inclusionProof: _containers.RepeatedScalarFieldContainer[bytes]
    consistencyProof: _containers.RepeatedScalarFieldContainer[bytes]
    targetBlTxAlh: bytes
    lastInclusionProof: _containers.RepeatedScalarFieldContainer[bytes]
    linearProof: LinearProof
    LinearAdvanceProof: LinearAdvanceProof
    def __init__(self, sourceTxHeader: _Optional[_Union[TxHeader, _Mapping]] = ..., targetTxHeader: _Optional[_Union[TxHeader, _Mapping]] = ..., inclusionProof: _Optional[_Iterable[bytes]] = ..., consistencyProof: _Optional[_Iterable[bytes]] = ..., targetBlTxAlh: _Optional[bytes] = ..., lastInclusionProof: _Optional[_Iterable[bytes]] = ..., linearProof: _Optional[_Union[LinearProof, _Mapping]] = ..., LinearAdvanceProof: _Optional[_Union[LinearAdvanceProof, _Mapping]] = ...) -> None: ...

class InclusionProof(_message.Message):
    __slots__ = ("leaf", "width", "terms")
    LEAF_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    leaf: int
    width: int
    terms: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, leaf: _Optional[int] = ..., width: _Optional[int] = ..., terms: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Tx(_message.Message):
    __slots__ = ("header", "entries")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    header: TxHeader
    entries: _containers.RepeatedCompositeFieldContainer[TxEntry]
    def __init__(self, header: _Optional[_Union[TxHeader, _Mapping]] = ..., entries: _Optional[_Iterable[_Union[TxEntry, _Mapping]]] = ...) -> None: ...

class TxEntry(_message.Message):
    __slots__ = ("key", "hValue", "vLen", "metadata", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    HVALUE_FIELD_NUMBER: _ClassVar[int]
    VLEN_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: bytes
    hValue: bytes
    vLen: int
    metadata: KVMetadata
    value: bytes
    def __init__(self, key: _Optional[bytes] = ..., hValue: _Optional[bytes] = ..., vLen: _Optional[int] = ..., metadata: _Optional[_Union[KVMetadata, _Mapping]] = ..., value: _Optional[bytes] = ...) -> None: ...

class KVMetadata(_message.Message):
    __slots__ = ("deleted", "expiration", "nonIndexable")
    DELETED_FIELD_NUMBER: _ClassVar[int]
    EXPIRATION_FIELD_NUMBER: _ClassVar[int]
    NONINDEXABLE_FIELD_NUMBER: _ClassVar[int]
    deleted: bool
    expiration: Expiration
    nonIndexable: bool
    def __init__(self, deleted: bool = ..., expiration: _Optional[_Union[Expiration, _Mapping]] = ..., nonIndexable: bool = ...) -> None: ...

class Expiration(_message.Message):
    __slots__ = ("expiresAt",)
    EXPIRESAT_FIELD_NUMBER: _ClassVar[int]
    expiresAt: int
    def __init__(self, expiresAt: _Optional[int] = ...) -> None: ...

class VerifiableTx(_message.Message):
    __slots__ = ("tx", "dualProof", "signature")
    TX_FIELD_NUMBER: _ClassVar[int]
    DUALPROOF_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    tx: Tx
    dualProof: DualProof
    signature: Signature
    def __init__(self, tx: _Optional[_Union[Tx, _Mapping]] = ..., dualProof: _Optional[_Union[DualProof, _Mapping]] = ..., signature: _Optional[_Union[Signature, _Mapping]] = ...) -> None: ...

class VerifiableTxRequest(_message.Message):
    __slots__ = ("tx", "proveSinceTx", "entriesSpec", "sinceTx", "noWait", "keepReferencesUnresolved")
    TX_FIELD_NUMBER: _ClassVar[int]
    PROVESINCETX_FIELD_NUMBER: _ClassVar[int]
    ENTRIESSPEC_FIELD_NUMBER: _ClassVar[int]
    SINCETX_FIELD_NUMBER: _ClassVar[int]
    NOWAIT_FIELD_NUMBER: _ClassVar[int]
    KEEPREFERENCESUNRESOLVED_FIELD_NUMBER: _ClassVar[int]
    tx: int
    proveSinceTx: int
    entriesSpec: EntriesSpec
    sinceTx: int
    noWait: bool
    keepReferencesUnresolved: bool
    def __init__(self, tx: _Optional[int] = ..., proveSinceTx: _Optional[int] = ..., entriesSpec: _Optional[_Union[EntriesSpec, _Mapping]] = ..., sinceTx: _Optional[int] = ..., noWait: bool = ..., keepReferencesUnresolved: bool = ...) -> None: ...

class TxScanRequest(_message.Message):
    __slots__ = ("initialTx", "limit", "desc", "entriesSpec", "sinceTx", "noWait")
    INITIALTX_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    DESC_FIELD_NUMBER: _ClassVar[int]
    ENTRIESSPEC_FIELD_NUMBER: _ClassVar[int]
    SINCETX_FIELD_NUMBER: _ClassVar[int]
    NOWAIT_FIELD_NUMBER: _ClassVar[int]
    initialTx: int
    limit: int
    desc: bool
    entriesSpec: EntriesSpec
    sinceTx: int
    noWait: bool
    def __init__(self, initialTx: _Optional[int] = ..., limit: _Optional[int] = ..., desc: bool = ..., entriesSpec: _Optional[_Union[EntriesSpec, _Mapping]] = ..., sinceTx: _Optional[int] = ..., noWait: bool = ...) -> None: ...

class TxList(_message.Message):
    __slots__ = ("txs",)
    TXS_FIELD_NUMBER: _ClassVar[int]
    txs: _containers.RepeatedCompositeFieldContainer[Tx]
    def __init__(self, txs: _Optional[_Iterable[_Union[Tx, _Mapping]]] = ...) -> None: ...

class EntriesSpec(_message.Message):
    __slots__ = ("kvEntriesSpec", "zEntriesSpec", "sqlEntriesSpec")
    KVENTRIESSPEC_FIELD_NUMBER: _ClassVar[int]
    ZENTRIESSPEC_FIELD_NUMBER: _ClassVar[int]
    SQLENTRIESSPEC_FIELD_NUMBER: _ClassVar[int]
    kvEntriesSpec: EntryTypeSpec
    zEntriesSpec: EntryTypeSpec
    sqlEntriesSpec: EntryTypeSpec
    def __init__(self, kvEntriesSpec: _Optional[_Union[EntryTypeSpec, _Mapping]] = ..., zEntriesSpec: _Optional[_Union[EntryTypeSpec, _Mapping]] = ..., sqlEntriesSpec: _Optional[_Union[EntryTypeSpec, _Mapping]] = ...) -> None: ...

class EntryTypeSpec(_message.Message):
    __slots__ = ("action",)
    ACTION_FIELD_NUMBER: _ClassVar[int]
    action: EntryTypeAction
    def __init__(self, action: _Optional[_Union[EntryTypeAction, str]] = ...) -> None: ...

class SQLGetRequest(_message.Message):
    __slots__ = ("table", "pkValues", "atTx", "sinceTx")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    PKVALUES_FIELD_NUMBER: _ClassVar[int]
    ATTX_FIELD_NUMBER: _ClassVar[int]
    SINCETX_FIELD_NUMBER: _ClassVar[int]
    table: str
    pkValues: _containers.RepeatedCompositeFieldContainer[SQLValue]
    atTx: int
    sinceTx: int
    def __init__(self, table: _Optional[str] = ..., pkValues: _Optional[_Iterable[_Union[SQLValue, _Mapping]]] = ..., atTx: _Optional[int] = ..., sinceTx: _Optional[int] = ...) -> None: ...

class VerifiableSQLGetRequest(_message.Message):
    __slots__ = ("sqlGetRequest", "proveSinceTx")
    SQLGETREQUEST_FIELD_NUMBER: _ClassVar[int]
    PROVESINCETX_FIELD_NUMBER: _ClassVar[int]
    sqlGetRequest: SQLGetRequest
    proveSinceTx: int
    def __init__(self, sqlGetRequest: _Optional[_Union[SQLGetRequest, _Mapping]] = ..., proveSinceTx: _Optional[int] = ...) -> None: ...

class SQLEntry(_message.Message):
    __slots__ = ("tx", "key", "value", "metadata")
    TX_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    tx: int
    key: bytes
    value: bytes
    metadata: KVMetadata
    def __init__(self, tx: _Optional[int] = ..., key: _Optional[bytes] = ..., value: _Optional[bytes] = ..., metadata: _Optional[_Union[KVMetadata, _Mapping]] = ...) -> None: ...

class VerifiableSQLEntry(_message.Message):
    __slots__ = ("sqlEntry", "verifiableTx", "inclusionProof", "DatabaseId", "TableId", "ColNamesById", "ColIdsByName", "ColTypesById", "ColLenById", "MaxColId", "PKIDs")
    class ColNamesByIdEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: str
        def __init__(self, key: _Optional[int] = ..., value: _Optional[str] = ...) -> None: ...
    class ColIdsByNameEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class ColTypesByIdEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: str
        def __init__(self, key: _Optional[int] = ..., value: _Optional[str] = ...) -> None: ...
    class ColLenByIdEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: int
        def __init__(self, key: _Optional[int] = ..., value: _Optional[int] = ...) -> None: ...
    SQLENTRY_FIELD_NUMBER: _ClassVar[int]
    VERIFIABLETX_FIELD_NUMBER: _ClassVar[int]
    INCLUSIONPROOF_FIELD_NUMBER: _ClassVar[int]
    DATABASEID_FIELD_NUMBER: _ClassVar[int]
    TABLEID_FIELD_NUMBER: _ClassVar[int]
    COLNAMESBYID_FIELD_NUMBER: _ClassVar[int]
    COLIDSBYNAME_FIELD_NUMBER: _ClassVar[int]
    COLTYPESBYID_FIELD_NUMBER: _ClassVar[int]
    COLLENBYID_FIELD_NUMBER: _ClassVar[int]
    MAXCOLID_FIELD_NUMBER: _ClassVar[int]
    PKIDS_FIELD_NUMBER: _ClassVar[int]
    sqlEntry: SQLEntry
    verifiableTx: VerifiableTx
    inclusionProof: InclusionProof
    DatabaseId: int
    TableId: int
    ColNamesById: _containers.ScalarMap[int, str]
    ColIdsByName: _containers.ScalarMap[str, int]
    ColTypesById: _containers.ScalarMap[int, str]
    ColLenById: _containers.ScalarMap[int, int]
    MaxColId: int
    PKIDs: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, sqlEntry: _Optional[_Union[SQLEntry, _Mapping]] = ..., verifiableTx: _Optional[_Union[VerifiableTx, _Mapping]] = ..., inclusionProof: _Optional[_Union[InclusionProof, _Mapping]] = ..., DatabaseId: _Optional[int] = ..., TableId: _Optional[int] = ..., ColNamesById: _Optional[_Mapping[int, str]] = ..., ColIdsByName: _Optional[_Mapping[str, int]] = ..., ColTypesById: _Optional[_Mapping[int, str]] = ..., ColLenById: _Optional[_Mapping[int, int]] = ..., MaxColId: _Optional[int] = ..., PKIDs: _Optional[_Iterable[int]] = ...) -> None: ...
