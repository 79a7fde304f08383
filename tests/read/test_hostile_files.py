"""Damaged, odd and hostile files: one clear error, in little time and memory."""

import json
import os
import shutil
import tracemalloc
import zlib

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import argen

# anndata warns of elements without encoding, and of changes of the format of zarr.
pytestmark = pytest.mark.filterwarnings("ignore")

LABELS = {"target": "perturbation", "control": "non-targeting", "library_size": "total_umi"}
TABLE = {"target": "guides", "target_names": ["A", "B"]}


def written(screen, path, as_matrix=sparse.csr_matrix, **options):
    screen.X = as_matrix(screen.X)
    (screen.write_zarr if path.suffix == ".zarr" else screen.write_h5ad)(path, **options)
    return path


def put(group, name, value, **options):
    """Replace a dataset, with its attributes."""
    attributes = dict(group[name].attrs)
    del group[name]
    dataset = group.create_dataset(name, data=value, **options)
    for key, item in attributes.items():
        dataset.attrs[key] = item


def names_of(table):
    """Where the names of the rows are: anndata 0.13 writes their values beside a mask."""
    return "_index/values" if isinstance(table["_index"], h5py.Group) else "_index"


def longer_names(file):
    table = file["obs"]
    names = np.append(table[names_of(table)][...], b"x")
    put(table, names_of(table), names, dtype=h5py.string_dtype())


def huge(group, name, size):
    """Say that a dataset is very long, without writing any of it."""
    attributes, dtype = dict(group[name].attrs), group[name].dtype
    del group[name]
    dataset = group.create_dataset(name, (size,), dtype=dtype, chunks=(10**6,))
    for key, item in attributes.items():
        dataset.attrs[key] = item


def replaced(name, value):
    def change(file):
        del file[name]
        file[name] = value

    return change


def attribute(key, value):
    return lambda file: file["X"].attrs.__setitem__(key, value)


def part(name, change):
    return lambda file: put(file["X"], name, change(file["X"][name][...]))


def as_group(name):
    def change(file):
        del file[name]
        file.create_group(name)

    return change


STRUCTURES = {
    "no shape": (lambda file: file["X"].attrs.__delitem__("shape"), "its shape is None"),
    "a shape of text": (attribute("shape", "ab"), "its shape is 'ab' in place of two whole"),
    "a shape with NaN": (attribute("shape", np.array([np.nan, 6])), "in place of two whole"),
    "a negative shape": (attribute("shape", np.array([300, -6])), "in place of two whole numbers"),
    "another shape": (attribute("shape", np.array([300, 7])), "tables list 300|pointers are not"),
    "X is a dictionary": (attribute("encoding-type", "dict"), r"X is no matrix \(dict\)"),
    "X is an array": (attribute("encoding-type", "array"), "X is no matrix|cannot be read as"),
    "X is an empty group": (as_group("X"), r"X is no matrix \(dict\)"),
    "X is text": (replaced("X", "text"), r"X is no matrix \(str\)"),
    "X is null": (replaced("X", h5py.Empty("f4")), r"X is no matrix \(Empty\)"),
    "X has one dimension": (replaced("X", np.arange(300)), "X is no matrix"),
    "var is a number": (replaced("var", 3), "var is not a table"),
    "var is null": (replaced("var", h5py.Empty("f4")), "var is not a table"),
    "obs is a number": (replaced("obs", 3), "cannot be read as AnnData"),
    "obs is a group": (as_group("obs"), "obs is not a table|cannot be read as AnnData"),
    "layers is a number": (replaced("layers", 3), "layers is int64 in place of a group"),
    "obsm is a number": (replaced("obsm", 3), "obsm is int64 in place of a group"),
    "obsm is text": (replaced("obsm", "text"), "obsm is object in place of a group"),
    "obsm is null": (replaced("obsm", h5py.Empty("f4")), "obsm is float32 in place of a group"),
    "uns is null": (replaced("uns", h5py.Empty("f4")), "uns is float32 in place of a group"),
    "indptr is a group": (as_group("X/indptr"), "it has no array 'indptr'"),
    "indices is a group": (as_group("X/indices"), "it has no array 'indices'"),
    "indptr is a number": (part("indptr", lambda v: np.int64(3)), "'indptr' has 0 dimensions"),
    "indices is a number": (part("indices", lambda v: np.int64(3)), "'indices' has 0 dimensions"),
    "data is a number": (part("data", lambda v: np.float32(3)), "'data' has 0 dimensions"),
    "indptr has two dimensions": (part("indptr", lambda v: v[:, None]), "'indptr' has 2 dim"),
    "indptr is empty": (part("indptr", lambda v: v[:0]), "its row pointers are not those of its"),
    "indptr is too short": (part("indptr", lambda v: v[:-1]), "row pointers are not those of its"),
    "indptr has fractions": (part("indptr", lambda v: v + 0.5), "'indptr' holds float64"),
    "indptr falls": (part("indptr", lambda v: v[::-1].copy()), "row pointers are not those of its"),
    "indptr ends early": (
        part("indptr", lambda v: np.minimum(v, v[-1] - 1)), "and pointers to",
    ),
    "indices are fractions": (part("indices", lambda v: v + 0.5), "'indices' holds float64"),
    "indices are text": (part("indices", lambda v: v.astype("S4")), r"'indices' holds \|S4"),
    "indices are too few": (part("indices", lambda v: v[:-1]), r"values and [\d,]+ indices"),
    "indices are negative": (part("indices", lambda v: v - 1), "X is not a valid sparse matrix"),
    "indices are too large": (part("indices", lambda v: v + 1), "X is not a valid sparse matrix"),
    "indices repeat": (part("indices", lambda v: v * 0), "entries twice: expected one count"),
    "data is too short": (part("data", lambda v: v[:-1]), r"values and [\d,]+ indices"),
    "data is text": (part("data", lambda v: v.astype("S4")), r"X has values of type \|S4"),
    "an index too long": (
        longer_names, "obs is not a table: its column .* has 300 rows, and '_index.*' has 301",
    ),
    "categories have two dimensions": (
        lambda file: put(file["obs/perturbation"], "categories",
                         file["obs/perturbation/categories"][...][:, None],
                         dtype=h5py.string_dtype()),
        "obs is not a table: its column 'perturbation' is no list of values",
    ),
    "a name has a line break": (
        lambda file: file.move("obs", "obs\n"), r"but not AnnData: .* found .*obs\\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("as_matrix", [sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("case", STRUCTURES)
def test_elements_that_are_something_else(screen, read, tmp_path, case, as_matrix):
    screen.layers["counts"] = screen.X
    path = written(screen, tmp_path / "screen.h5ad", as_matrix)
    change, words = STRUCTURES[case]
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(argen.InputError, match=words):
        read(path)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.zeros(300, np.int8), r"obsm\['guides'\] has the shape \(300,\): expected a table with"),
        (np.zeros((300, 2, 2), np.int8), r"has the shape \(300, 2, 2\): expected a table with a"),
        (np.zeros((299, 2), np.int8), r"has the shape \(299, 2\): expected a table with a row for"),
        (np.zeros((301, 2), np.int8), r"has the shape \(301, 2\): expected a table with a row for"),
    ],
)
def test_tables_of_another_shape(screen, tmp_path, value, words):
    screen.obsm["guides"] = np.zeros((300, 2), np.int8)
    path = written(screen, tmp_path / "screen.h5ad")
    with h5py.File(path, "r+") as file:
        put(file["obsm"], "guides", value)
    with pytest.raises(argen.InputError, match=words):
        argen.read_perturbseq(path, argen.ReadOptions(**TABLE))


@pytest.mark.parametrize("place", ["uns/names", "obsm/guides"])
def test_a_store_with_a_part_that_zarr_does_not_know(screen, tmp_path, place):
    screen.obsm["guides"] = np.tile(np.eye(3, 2, dtype=np.int8), (100, 1))
    screen.uns["names"] = np.array(["STAT1", "STAT2"])
    path = written(screen, tmp_path / "screen.zarr")
    options = argen.ReadOptions(target="guides", target_names="names")
    assert argen.read_perturbseq(path, options).n_nodes == 2
    file = path / place / (".zarray" if (path / place / ".zarray").exists() else "zarr.json")
    description = json.loads(file.read_text("utf-8"))
    changed = {"order": "../.."} if "order" in description else {"data_type": "../.."}
    file.write_text(json.dumps(description | changed), "utf-8")
    # What zarr keeps of all parts in one place is believed first.
    (path / ".zmetadata").unlink(missing_ok=True)
    if (root := path / "zarr.json").exists():
        whole = json.loads(root.read_text("utf-8"))
        whole.pop("consolidated_metadata", None)
        root.write_text(json.dumps(whole), "utf-8")
    with pytest.raises(argen.InputError, match=r"cannot be read as AnnData: .*\.\./\.\."):
        argen.read_perturbseq(path, options)


def test_a_table_of_other_cells(screen, tmp_path):
    screen.obsm["guides"] = pd.DataFrame(
        {"STAT1": np.arange(300) % 2, "STAT2": (np.arange(300) % 3) // 2}, index=screen.obs_names
    )
    path = written(screen, tmp_path / "screen.h5ad")
    options = argen.ReadOptions(target="guides")
    assert argen.read_perturbseq(path, options).n_nodes == 2
    with h5py.File(path, "r+") as file:
        table = file["obsm/guides"]
        names = table[names_of(table)][...]
        put(table, names_of(table), names[::-1], dtype=h5py.string_dtype())
    words = (
        r"obsm\['guides'\] names other cells than obs, or in another order: row 1 is 'cell299', "
        r"where obs has 'cell0' \(300 rows differ\)\. Give it the index of obs"
    )
    with pytest.raises(argen.InputError, match=words):
        argen.read_perturbseq(path, options)
    with h5py.File(path, "r+") as file:
        table = file["obsm/guides"]
        parts = [f"obsm/guides/{name}" for name in table]
        if isinstance(table["_index"], h5py.Group):
            parts += [f"obsm/guides/_index/{name}" for name in table["_index"]]
        for part in (part for part in parts if isinstance(file[part], h5py.Dataset)):
            values = file[part][...]
            text = {"dtype": h5py.string_dtype()} if values.dtype.kind == "O" else {}
            put(file, part, np.append(values, values[-1:]), **text)
    with pytest.raises(argen.InputError, match=r"has the shape \(301, 2\): expected a table with"):
        argen.read_perturbseq(path, options)


@pytest.mark.parametrize("change", [lambda v: v + 0.5, lambda v: v.astype("S4"), lambda v: v + 2])
def test_a_sparse_table_with_indices_that_are_none(screen, tmp_path, change):
    carried = np.arange(600).reshape(300, 2) % 3 == 0
    screen.obsm["guides"] = sparse.csr_matrix(carried.astype(np.int8))
    path = written(screen, tmp_path / "screen.h5ad")
    with h5py.File(path, "r+") as file:
        put(file["obsm/guides"], "indices", change(file["obsm/guides/indices"][...]))
    with pytest.raises(argen.InputError, match=r"'indices' holds|cannot be read as AnnData"):
        argen.read_perturbseq(path, argen.ReadOptions(**TABLE))


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
@pytest.mark.parametrize("dtype", ["<f2", ">f4", ">f8", ">i2", ">i4", ">u8", "<i8", "bool"])
@pytest.mark.parametrize("as_matrix", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
def test_any_type_of_number(screen, read, tmp_path, as_matrix, dtype, suffix):
    if dtype == "bool":
        screen.X = (screen.X > 0).astype(np.float32)
    expected = read(screen, library_size="total_umi")
    path = written(screen, tmp_path / f"screen.{suffix}", lambda x: as_matrix(x.toarray()))
    is_dense = as_matrix is np.asarray
    if suffix == "h5ad":
        with h5py.File(path, "r+") as file:
            group, name = (file, "X") if is_dense else (file["X"], "data")
            put(group, name, group[name][...].astype(dtype))
    else:
        import zarr

        group, name = zarr.open_group(str(path)), "X" if is_dense else "X/data"
        old = group[name]
        values, attributes = old[...].astype(dtype), dict(old.attrs)
        new = group.create_array(name, shape=values.shape, dtype=dtype, overwrite=True)
        new[...] = values
        new.attrs.update(attributes)
        zarr.consolidate_metadata(group.store)
    assert read(path, library_size="total_umi").sha256 == expected.sha256


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint64])
@pytest.mark.parametrize("as_matrix", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
def test_a_count_that_no_counter_holds(screen, read, as_matrix, dtype):
    counts = screen.X.toarray().astype(dtype)
    counts[7, 2] = 2**32
    words = r"X holds values above 4,294,967,295 in 1 entries \(first: 4294967296 in cell 'cell7'"
    with pytest.raises(argen.InputError, match=words):
        read(AnnData(X=as_matrix(counts), obs=screen.obs, var=screen.var))
    if dtype != np.float32:
        counts[7, 2] = 2**32 - 1
        assert read(AnnData(X=as_matrix(counts), obs=screen.obs, var=screen.var)).n_nodes == 3


def row_of_a_billion(file):
    huge(file["X"], "data", 10**9)
    huge(file["X"], "indices", 10**9)
    starts = file["X/indptr"][...]
    starts[-1] = 10**9
    file["X/indptr"][...] = starts


@pytest.mark.parametrize(
    ("change", "words", "options"),
    [
        (lambda file: huge(file["obs"], "p_mito", 10**11), "'p_mito' has 100,000,000,000", LABELS),
        (lambda file: huge(file["X"], "indptr", 10**12), "its row pointers are not those", LABELS),
        (row_of_a_billion, "says that it holds 4 GB, but the file has 0 bytes of it", LABELS),
        (
            lambda file: huge(file["uns"], "names", 10**11),
            "says that it holds 800 GB, but the file has 0 bytes of it",
            {"target": "guides", "target_names": "names"},
        ),
    ],
)
def test_what_says_that_it_is_huge(screen, tmp_path, change, words, options):
    screen.uns["names"] = np.arange(2)
    screen.obsm["guides"] = np.zeros((300, 2), np.int8)
    path = written(screen, tmp_path / "screen.h5ad")
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(argen.InputError, match=words):
        argen.read_perturbseq(path, argen.ReadOptions(**options))


def test_a_table_that_does_not_fit_in_memory(screen, read, tmp_path, monkeypatch):
    path = written(screen, tmp_path / "screen.h5ad")
    monkeypatch.setattr("argen.read.stored.guard.free_memory", lambda: 20_000)
    with pytest.raises(argen.InputError, match=r"obs takes .* kB of memory, which this machine"):
        read(path)


def test_a_chunk_that_becomes_more_than_it_may(screen, read, tmp_path):
    path = written(screen, tmp_path / "screen.h5ad", compression="gzip")
    with h5py.File(path, "r+") as file:
        data = file["X/data"]
        bomb = zlib.compress(bytes(2**28), 9)
        data.id.write_direct_chunk((0,), bomb, 0)
    with pytest.raises(argen.InputError, match="holds more than it may"):
        read(path)


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_texts_that_hdf5_would_read_for_ever(screen, read, tmp_path, compression):
    path = written(screen, tmp_path / "screen.h5ad", compression=compression)
    content = bytearray(path.read_bytes())
    places = [n for n in range(len(content)) if content[n : n + 4] == b"GCOL"]
    assert len(places) > 1
    for place in places:
        damaged = content.copy()
        damaged[place + 16 : place + 4096] = bytes(4080)
        path.write_bytes(damaged)
        with pytest.raises(argen.InputError, match=f"the texts at byte {place:,} are damaged"):
            read(path)


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_a_text_that_says_that_it_is_long(screen, read, tmp_path, compression):
    path = written(screen, tmp_path / "screen.h5ad", compression=compression)
    with h5py.File(path, "r+") as file:
        names = file["obs"][names_of(file["obs"])]
        if compression is None:
            place = names.id.get_offset()
        else:
            mask, stored = names.id.read_direct_chunk((0,))
            references = bytearray(zlib.decompress(stored))
            references[16:20] = b"\0\0\0\xf0"
            names.id.write_direct_chunk((0,), zlib.compress(bytes(references)), mask)
    if compression is None:
        with path.open("r+b") as file:
            file.seek(place + 16)
            file.write(b"\0\0\0\xf0")
    words = r"'/obs/_index.*' has a text of 4,026,531,840 bytes, where 4,096 are the most"
    with pytest.raises(argen.InputError, match=words):
        read(path)


@pytest.fixture
def outside(screen, tmp_path):
    other = tmp_path / "other.h5ad"
    screen.write_h5ad(other)
    return other


@pytest.mark.parametrize("name", ["X", "obs/total_umi", "obs", "uns/x", "layers/counts"])
def test_links_to_another_file(screen, read, tmp_path, outside, name):
    screen.uns["x"] = 1
    screen.layers["counts"] = screen.X
    path = written(screen, tmp_path / "screen.h5ad")
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = h5py.ExternalLink(str(outside), name)
    with pytest.raises(
        argen.InputError, match=f"takes '/{name}' from another file, '.*other.h5ad'"
    ):
        read(path)


def test_arrays_in_another_file(screen, read, tmp_path, outside):
    path = written(screen, tmp_path / "screen.h5ad", lambda x: x.toarray())
    with h5py.File(path, "r+") as file:
        attributes = dict(file["X"].attrs)
        del file["X"]
        layout = h5py.VirtualLayout((300, 6), "f4")
        layout[...] = h5py.VirtualSource(str(outside), "X/data", shape=(300, 6))
        file.create_virtual_dataset("X", layout).attrs.update(attributes)
    with pytest.raises(argen.InputError, match="takes '/X' from another file"):
        read(path)
    with h5py.File(path, "r+") as file:
        del file["X"]
        external = [(str(outside), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset("X", (300, 6), "f4", external=external).attrs.update(attributes)
    with pytest.raises(argen.InputError, match="takes '/X' from another file"):
        read(path)


def test_links_within_a_file(screen, read, tmp_path):
    screen.layers["counts"] = screen.X
    path = written(screen, tmp_path / "screen.h5ad")
    expected = read(path)
    with h5py.File(path, "r+") as file:
        del file["layers/counts"]
        file["layers/counts"] = h5py.SoftLink("/X")
        file["uns/circle"] = file["/"]
    assert read(path, layer="counts").sha256 == expected.sha256
    with h5py.File(path, "r+") as file:
        file["uns/names"] = file["/"]
        file["obs/within"] = file["/"]
    with pytest.raises(
        argen.InputError, match=r"has parts within parts without end|no list of val"
    ):
        read(path)
    with h5py.File(path, "r+") as file:
        del file["obs/within"]
        del file["obs/total_umi"]
        file["obs/total_umi"] = h5py.SoftLink("/obs/total_umi")
    with pytest.raises(argen.InputError, match="cannot be read"):
        read(path)


def test_pointers_of_a_table_that_end_in_zeros(read, screen, tmp_path):
    screen.obsm["guides"] = sparse.csr_matrix(np.eye(screen.n_obs, 2))
    path = written(screen, tmp_path / "screen.h5ad")
    with h5py.File(path, "r+") as file:
        file["obsm/guides/indptr"][-3:] = 0
    with pytest.raises(argen.InputError, match=r"guides.* its row pointers are not those"):
        read(path, **TABLE)


class TestZarr:
    """Stores that lead out of themselves, or would run something."""

    @pytest.fixture(params=[2, 3])
    def store(self, screen, tmp_path, request):
        with anndata.settings.override(zarr_write_format=request.param):
            return written(screen, tmp_path / "screen.zarr")

    def test_links_out_of_a_store(self, read, store, tmp_path):
        shutil.move(store / "X", tmp_path / "elsewhere")
        (store / "X").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(argen.InputError, match="takes 'X' from another file"):
            read(store)

    def test_links_within_a_store(self, read, store):
        expected = read(store)
        shutil.move(store / "X", store / "Y")
        (store / "X").symlink_to("Y")
        assert read(store).sha256 == expected.sha256

    def test_a_pipe_in_a_store(self, read, store):
        file = next(file for file in (store / "obs").rglob("*") if file.is_file())
        file.unlink()
        os.mkfifo(file)
        with pytest.raises(argen.InputError, match="is neither a file nor a folder"):
            read(store)

    def test_pickled_objects(self, read, store):
        array = store / "obs" / "total_umi"
        is_old = (array / ".zarray").exists()
        file = array / (".zarray" if is_old else "zarr.json")
        description = json.loads(file.read_text())
        if is_old:
            description |= {"dtype": "|O", "filters": [{"id": "pickle"}], "compressor": None}
            (store / ".zmetadata").unlink()
        else:
            description["codecs"] = [{"name": "numcodecs.pickle", "configuration": {}}]
        file.write_text(json.dumps(description))
        with pytest.raises(argen.InputError, match="holds pickled objects in 'obs/total_umi/"):
            read(store)

    def test_a_description_that_is_no_json(self, read, store):
        file = next(f for f in store.rglob("*") if f.name in (".zarray", "zarr.json"))
        file.write_text("{")
        with pytest.raises(argen.InputError, match="is not JSON"):
            read(store)

    @pytest.mark.parametrize(("version", "shards"), [(2, None), (3, None), (3, (64,))])
    def test_a_chunk_with_more_texts_than_it_has_values(
        self, read, screen, tmp_path, version, shards
    ):
        with anndata.settings.override(zarr_write_format=version):
            store = written(screen, tmp_path / "screen.zarr")
        chunk = chunk_of_names(store, shards)
        read(store)  # which is sound until here
        number, damaged = ((n).to_bytes(4, "little") for n in (16, 10**7))
        content = chunk.read_bytes()
        assert content.startswith(number)
        chunk.write_bytes(damaged + content[4:])
        tracemalloc.start()
        try:
            with pytest.raises(argen.InputError, match="has 10,000,000 texts, where 16 are"):
                read(store)
            assert tracemalloc.get_traced_memory()[1] < 2**24
        finally:
            tracemalloc.stop()

    def test_a_chunk_with_more_texts_than_bytes(self, read, store):
        chunk = chunk_of_names(store)
        chunk.write_bytes(chunk.read_bytes()[:11])
        with pytest.raises(argen.InputError, match="has 16 texts, where 1 are"):
            read(store)

    def test_numbers_that_are_stored_as_texts(self, read, screen, tmp_path):
        screen.obs["total_umi"] += 1000  # read as a number of texts, more than there are values
        with anndata.settings.override(zarr_write_format=3):
            store = written(screen, tmp_path / "screen.zarr")
        # What zarr keeps of all parts in one place is believed first.
        root = json.loads((store / "zarr.json").read_text())
        del root["consolidated_metadata"]
        (store / "zarr.json").write_text(json.dumps(root))
        file = store / "obs" / "total_umi" / "zarr.json"
        description = json.loads(file.read_text())
        description["codecs"][0] = {"name": "vlen-utf8"}
        file.write_text(json.dumps(description))
        with pytest.raises(argen.InputError, match=r"^obs/total_umi .* texts, where 300 are"):
            read(store)


def chunk_of_names(store, shards=None):
    """Store the names of the cells uncompressed; returns the first chunk, of 16 names."""
    import zarr

    table = zarr.open_group(str(store))["obs"]
    name = "_index/values" if hasattr(table["_index"], "keys") else "_index"
    values, attributes = table[name][...], dict(table[name].attrs)
    how = {"chunks": (16,), "shards": shards, "compressors": None}
    new = table.create_array(name, shape=values.shape, dtype=str, **how, overwrite=True)
    new[...] = values
    new.attrs.update(attributes)
    zarr.consolidate_metadata(table.store)
    chunks = (store / "obs" / name / part for part in ("0", "c/0"))
    return next(chunk for chunk in chunks if chunk.is_file())


def test_a_pipe(read, tmp_path):
    os.mkfifo(tmp_path / "screen.h5ad")
    with pytest.raises(argen.InputError, match="is neither a file nor a folder"):
        read(tmp_path / "screen.h5ad")
