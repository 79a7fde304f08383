"""What a file stores: looked at before anything is believed, and read by slices."""

from argen.read.stored.chunks import unlocked
from argen.read.stored.guard import (
    check_element,
    check_hdf5,
    check_kind,
    check_stored,
    check_zarr,
    damaged,
)
from argen.read.stored.matrices import (
    BlockMatrix,
    CompressedMatrix,
    SomeColumns,
    block_matrix,
    bytes_of_a_block,
    is_real,
    native,
    read_element,
    stored_matrix,
)

__all__ = [
    "BlockMatrix",
    "CompressedMatrix",
    "SomeColumns",
    "block_matrix",
    "bytes_of_a_block",
    "check_element",
    "check_hdf5",
    "check_kind",
    "check_stored",
    "check_zarr",
    "damaged",
    "is_real",
    "native",
    "read_element",
    "stored_matrix",
    "unlocked",
]
