"""A database whose first process was killed with its first steps can be used."""

from fedtailor.server.database import FILE, connect
from fedtailor.server.registry import open_registry
from fedtailor.server.rows import RunRow


def test_a_file_without_a_byte_is_a_database_not_yet_begun(tmp_path):
    (tmp_path / FILE).touch()
    with open_registry(tmp_path) as registry:
        assert registry.last_committed() is None


def test_tables_that_are_missing_beside_the_first_are_made(tmp_path):
    engine = connect(tmp_path, None, create=True)
    RunRow.metadata.tables[RunRow.__tablename__].create(engine)
    engine.dispose()
    with open_registry(tmp_path) as registry:
        assert registry.check() == ()
