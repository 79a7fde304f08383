"""Files: every way in which one can be wrong is one error that says so."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

import argen


@pytest.fixture
def path(screen, tmp_path):
    path = tmp_path / "screen.h5ad"
    screen.write_h5ad(path)
    return path


def test_missing(read, tmp_path):
    with pytest.raises(argen.InputError, match=r"There is no file '.*nowhere\.h5ad'"):
        read(tmp_path / "nowhere.h5ad")


@pytest.mark.parametrize("name", ["a\0b", "n" * 5000, "https://example.org/screen.h5ad"])
def test_names_that_no_file_has(read, name):
    with pytest.raises(argen.InputError, match="There is no file"):
        read(name)


@pytest.mark.parametrize("as_path", [str, Path])
def test_directory(read, tmp_path, as_path):
    with pytest.raises(argen.InputError, match="is a directory: expected a file, AnnData saved"):
        read(as_path(tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_unreadable(read, path):
    path.chmod(0)
    with pytest.raises(argen.InputError, match="may not be read: ask for permission"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"gene;cell\nSTAT1;3\n", b"\x1f\x8b\x08" + b"\0" * 50])
def test_not_hdf5(read, tmp_path, content):
    path = tmp_path / "screen.h5ad"
    path.write_bytes(content)
    words = r"screen\.h5ad' is not an HDF5 file: expected AnnData saved as \.h5ad\. Write it with"
    with pytest.raises(argen.InputError, match=words):
        read(path)


def test_truncated_anywhere(read, path):
    content = path.read_bytes()
    cuts = np.linspace(9, len(content) - 1, 60, dtype=int)
    for length in [100, len(content) // 2, len(content) - 200, *cuts]:
        path.write_bytes(content[:length])
        with pytest.raises(argen.InputError, match=r"cannot be read: .* probably truncated or dam"):
            read(path)


@pytest.mark.parametrize("signature", [b"HEAP", b"SNOD", b"TREE"])
@pytest.mark.parametrize("which", ["first", "all"])
def test_damaged_groups(read, path, signature, which):
    # h5py raises errors of several types for these structures of its groups.
    content = path.read_bytes()
    path.write_bytes(content.replace(signature, b"\0\0\0\0", 1 if which == "first" else -1))
    with pytest.raises(argen.InputError, match=r"screen\.h5ad' (cannot be read|is HDF5 but)"):
        read(path)


def test_hdf5_of_another_kind(read, tmp_path):
    path = tmp_path / "loom.h5"
    with h5py.File(path, "w") as file:
        file["row_attrs/Gene"] = np.arange(3)
    words = "is HDF5 but not AnnData: expected obs and var, found row_attrs. Load it with scanpy"
    with pytest.raises(argen.InputError, match=words):
        read(path)


def test_empty_hdf5(read, tmp_path):
    h5py.File(tmp_path / "empty.h5ad", "w").close()
    with pytest.raises(argen.InputError, match="expected obs and var, found nothing"):
        read(tmp_path / "empty.h5ad")


def test_groups_of_the_right_names_with_other_content(read, tmp_path):
    with h5py.File(tmp_path / "odd.h5ad", "w") as file:
        file["obs/a"] = np.arange(3)
        file["var/b"] = np.arange(2)
    with pytest.raises(argen.InputError, match=r"cannot be read as AnnData: .* without encoding"):
        read(tmp_path / "odd.h5ad")


@pytest.mark.parametrize("part", ["obs/_index", "obs/perturbation/codes", "X/indptr", "var"])
def test_parts_that_are_gone(read, path, part):
    with h5py.File(path, "a") as file:
        del file[part]
    words = r"screen\.h5ad' (cannot be read as|is HDF5 but not)|X is not a valid sparse matrix: it"
    with pytest.raises(argen.InputError, match=words):
        read(path)


def test_a_newer_encoding(read, path):
    with h5py.File(path, "a") as file:
        file["X"].attrs["encoding-version"] = "99.0"
    with pytest.raises(argen.InputError, match=r"cannot be read as AnnData: .*write it again\.$"):
        read(path)


def test_mudata_object(read):
    with pytest.raises(argen.InputError, match=r"not MuData\. Pass the modality with the gene"):
        read(type("MuData", (), {})())


def test_an_input_error_is_a_value_error():
    assert issubclass(argen.InputError, ValueError)
    assert issubclass(argen.InputError, argen.ArgenError)
