from backendkit.toolbox import (
    NonrelDatabaseClient,
    NonrelDatabaseCreation,
    NonrelDatabaseFeatures,
    NonrelDatabaseIntrospection,
    NonrelDatabaseOperations,
    NonrelDatabaseValidation,
    NonrelDatabaseWrapper,
)

from .lowlevel import connect


class DatabaseCreation(NonrelDatabaseCreation):
    data_types = {
        **NonrelDatabaseCreation.data_types,
        "BinaryField": "hex",
        "DateTimeField": "timestamp",
    }


class DatabaseFeatures(NonrelDatabaseFeatures):
    pass


class DatabaseOperations(NonrelDatabaseOperations):
    compiler_module = __name__.rsplit(".", 1)[0] + ".compiler"


class DatabaseClient(NonrelDatabaseClient):
    pass


class DatabaseValidation(NonrelDatabaseValidation):
    pass


class DatabaseIntrospection(NonrelDatabaseIntrospection):
    pass


class DatabaseWrapper(NonrelDatabaseWrapper):
    def __init__(self, *args, **kwds):
        super(DatabaseWrapper, self).__init__(*args, **kwds)
        self.features = DatabaseFeatures(self)
        self.ops = DatabaseOperations(self)
        self.client = DatabaseClient(self)
        self.creation = DatabaseCreation(self)
        self.validation = DatabaseValidation(self)
        self.introspection = DatabaseIntrospection(self)
        self.db_connection = connect(
            self.settings_dict["HOST"],
            self.settings_dict["PORT"],
            self.settings_dict["USER"],
            self.settings_dict["PASSWORD"],
        )
