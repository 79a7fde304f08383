"""How files come to be whole: written all at once, one run at a time, and read with care."""

from argen.files.archive import digest, read_archive, write_archive
from argen.files.locks import locked
from argen.files.manifest import of_other_runs, read_manifest
from argen.files.reading import reading
from argen.files.tables import write_table
from argen.files.together import finish, where_it_is, writing, writing_file

__all__ = [
    "digest",
    "finish",
    "locked",
    "of_other_runs",
    "read_archive",
    "read_manifest",
    "reading",
    "where_it_is",
    "write_archive",
    "write_table",
    "writing",
    "writing_file",
]
