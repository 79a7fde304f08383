"""Runs that are ended go on with the same bits, and never with those of another run."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import argen
from argen.engine import Effects, ExactEngine, Fitted
from argen.run import checkpoint as checkpoint_module
from argen.run.checkpoint import Checkpoint, StageCheckpoint
from tests.screens import assert_same_network, dense_screen, screen_of


class EndedError(Exception):
    """Stands for whatever ends a run."""


def end_with(n_blocks: int, data: argen.PerturbSeqData, folder: Path) -> None:
    """Run until so many blocks are finished, and no further."""

    def progress(stage: str, done: int, total: int) -> None:
        if len(finished(folder)) == n_blocks:
            raise EndedError

    with pytest.raises(EndedError):
        argen.infer_network(data, checkpoint=folder, progress=progress)


def finished(folder: Path) -> dict[str, int]:
    """When each finished block was written."""
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.npz")}


@pytest.fixture
def data(monkeypatch):
    """A small screen of four blocks, and several of its parent search."""
    monkeypatch.setattr("argen.steps.descendants.BLOCK_OF_TARGETS", 3)
    monkeypatch.setattr("argen.steps.parents.MOST_PAIRS_OF_CANDIDATES", 20)
    return dense_screen()


@pytest.fixture
def ended(data, tmp_path):
    """The folder of a run that was ended in its second block of parents."""
    end_with(6, data, tmp_path / "kept")
    return tmp_path / "kept"


@pytest.mark.parametrize("n_blocks", [1, 3, 4, 5, 6])
def test_a_run_goes_on_where_it_was_ended(n_blocks, data, tmp_path):
    whole = argen.infer_network(data)
    folder = tmp_path / "kept"
    end_with(n_blocks, data, folder)
    before = finished(folder)
    end_with(n_blocks + 1, data, folder)
    assert before.items() <= finished(folder).items()
    assert_same_network(argen.infer_network(data, checkpoint=str(folder)), whole)
    assert not folder.exists()


def test_threads_may_change_in_between(data, ended):
    network = argen.infer_network(data, argen.InferenceConfig(threads=1), checkpoint=ended)
    assert_same_network(network, argen.infer_network(data))


def test_another_input_is_refused(data, ended):
    other = replace(data, library_size=data.library_size * 2.0)
    with pytest.raises(argen.InputError, match=r"the input .* has changed. Give what it was given"):
        argen.infer_network(other, checkpoint=ended)


def test_other_options_are_refused(data, ended):
    config = argen.InferenceConfig(alpha=0.01, family="nb")
    before = finished(ended)
    with pytest.raises(
        argen.InputError,
        match=r"option alpha was 0\.05 and is 0\.01; option family was poisson and is nb",
    ):
        argen.infer_network(data, config, checkpoint=ended)
    assert finished(ended) == before


def test_another_engine_is_refused(data, ended):
    with pytest.raises(argen.InputError, match="engine was SharedEngine and is ExactEngine"):
        argen.infer_network(data, engine=ExactEngine(), checkpoint=ended)


def test_another_version_is_refused(data, ended, monkeypatch):
    monkeypatch.setattr(checkpoint_module, "version", lambda name: f"{name}-9")
    with pytest.raises(argen.InputError, match=r"version of argen was 0.* and is argen-9"):
        argen.infer_network(data, checkpoint=ended)


def test_other_candidates_are_refused(data, ended):
    screen = argen.screen_descendants(data)
    order = argen.causal_order(~np.eye(10, dtype=bool), screen.p_value)
    kept = Checkpoint(ended, data.sha256)
    with pytest.raises(argen.InputError, match="or what the screen found for them, have changed"):
        argen.search_parents(data, order, checkpoint=kept)


def test_a_folder_without_finished_blocks_is_free(data, tmp_path):
    end_with(1, data, tmp_path)
    for block in tmp_path.glob("*.npz"):
        block.unlink()
    config = argen.InferenceConfig(alpha=0.01)
    network = argen.infer_network(data, config, checkpoint=tmp_path)
    assert_same_network(network, argen.infer_network(data, config))


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_block_is_computed_again(share, data, ended):
    block = sorted(ended.glob("*.npz"))[0]
    os.truncate(block, int(share * block.stat().st_size))
    with pytest.warns(argen.ArgenWarning, match=f"{block.name}' cannot be read .* computed again"):
        network = argen.infer_network(data, checkpoint=ended)
    assert_same_network(network, argen.infer_network(data))


def test_a_damaged_record_is_refused(data, ended):
    (ended / "argen-screen.json").write_text("{")
    with pytest.raises(argen.InputError, match=r"cannot be read \(.* Delete the folder"):
        argen.infer_network(data, checkpoint=ended)


def test_files_of_others_are_left_alone(data, tmp_path):
    (tmp_path / "package.json").write_text("{}")
    argen.infer_network(data, checkpoint=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["package.json"]


def test_a_place_that_cannot_be_written_is_named(data, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(argen.InputError, match="cannot be written: Not a directory"):
        argen.infer_network(data, checkpoint=tmp_path / "file" / "kept")


COLUMNS = ["--target", "perturbation", "--control", "non-targeting"]
COLUMNS += ["--library-size", "library_size", "--covariates", "x", "--screen-alpha", "1e-6"]


@pytest.fixture(scope="module")
def many_genes(tmp_path_factory):
    """A file with 264 genes, one of which moves all others: several blocks in either stage."""
    rng = np.random.default_rng(3)
    n_nodes = 264
    node_of_cell = np.repeat(np.arange(-1, n_nodes), [400, 150, *[10] * (n_nodes - 1)])
    log_mean = np.full((len(node_of_cell), n_nodes), 1.0)
    log_mean[node_of_cell == 0] -= 1.0
    covariates = pd.DataFrame({"x": rng.normal(size=len(node_of_cell))})
    data = screen_of(rng.poisson(np.exp(log_mean)), node_of_cell, covariates)
    no_truth = argen.Truth(data.nodes, np.zeros((n_nodes, n_nodes)))
    path = tmp_path_factory.mktemp("many") / "screen.h5ad"
    argen.simulated_anndata(data, no_truth).write_h5ad(path)
    return path


def start(file: Path, out: Path, *options: str) -> subprocess.Popen:
    """Begin to fit in a process of its own."""
    command = [sys.executable, "-m", "argen", "fit", str(file), *COLUMNS, "--out", str(out)]
    return subprocess.Popen([*command, *options], stdout=-1, stderr=-1, text=True)


def wait_for(block: str, folder: Path, process: subprocess.Popen) -> None:
    """Wait until a run has finished a block."""
    while not (folder / block).exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)


@pytest.fixture(scope="module")
def result_of_many_genes(many_genes, tmp_path_factory):
    """The result of a run that nobody disturbs."""
    out = tmp_path_factory.mktemp("undisturbed")
    said = start(many_genes, out).communicate()
    assert (out / "network.npz").exists(), said
    return argen.load(out)


@pytest.mark.process
def test_a_second_run_is_refused_and_told_of_the_first(many_genes, result_of_many_genes, tmp_path):
    first = start(many_genes, tmp_path)
    wait_for("argen-screen-000000.npz", tmp_path / "checkpoint", first)
    second = start(many_genes, tmp_path, "--screen-test", "wald", "--resume")
    said = second.communicate()[1]
    if first.poll() is None:
        assert second.returncode == 2
        assert f"is in use: process {first.pid} on " in said
    said = first.communicate()
    assert first.returncode == 0, said
    if second.returncode == 2:  # else the first had ended, and the second took its place
        assert_same_network(argen.load(tmp_path), result_of_many_genes)
    assert not (tmp_path / ".argen-lock").exists()


def test_a_second_run_of_a_library_is_refused(data, tmp_path):
    def begin_again(stage, done, total):
        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()

    def attempt():
        try:
            argen.infer_network(data, checkpoint=tmp_path / "kept")
        except argen.InputError as error:
            said.append(str(error))

    said: list[str] = []
    network = argen.infer_network(data, checkpoint=tmp_path / "kept", progress=begin_again)
    assert said
    assert all("is in use: another thread of this process" in text for text in said)
    assert_same_network(network, argen.infer_network(data))


@pytest.mark.parametrize("text", ["null", "[]", "[" * 100_000, "3", '{"input": []}'])
def test_a_record_that_is_none_is_refused(text, data, ended):
    (ended / "argen-screen.json").write_text(text)
    with pytest.raises(argen.InputError, match=r"Delete the folder|delete the folder"):
        argen.infer_network(data, checkpoint=ended)


@pytest.mark.parametrize(
    "change", ["short", "other statuses", "of another block", "of another run"]
)
def test_a_block_that_is_not_as_it_was_written_is_computed_again(change, data, ended):
    first, second = sorted(ended.glob("argen-screen-*.npz"))[:2]
    with np.load(first) as archive:
        arrays = dict(archive)
    if change == "of another block":
        first.write_bytes(second.read_bytes())
    elif change == "of another run":
        record = ended / "argen-screen.json"
        stage = StageCheckpoint(ended, "screen", record.read_text().replace("0.05", "0.01"))
        effects = Effects(**{name: arrays[name] for name in Effects.__slots__})
        stage.keep(0, Fitted(effects, {}))
    else:
        status = arrays["status"]
        arrays["status"] = status[:-1] if change == "short" else np.full_like(status, 77)
        np.savez(first, **arrays)
    with pytest.warns(argen.ArgenWarning, match=r"cannot be read .* Its block is computed again"):
        network = argen.infer_network(data, checkpoint=ended)
    assert_same_network(network, argen.infer_network(data))


@pytest.mark.process
def test_ended_again_and_again(many_genes, result_of_many_genes, tmp_path):
    folder = tmp_path / "checkpoint"
    written: dict[str, int] = {}
    for block, ending in (
        ("argen-screen-000000.npz", signal.SIGKILL),
        ("argen-screen-000002.npz", signal.SIGTERM),
        ("argen-parents-000000.npz", signal.SIGKILL),
    ):
        process = start(many_genes, tmp_path, "--resume")
        wait_for(block, folder, process)
        process.send_signal(ending)
        said = process.communicate()[1]
        assert written.items() <= finished(folder).items()
        written = finished(folder)
        if ending == signal.SIGTERM:
            assert process.returncode == 1
            assert f"{len(written)} finished blocks are kept in {folder}. To go on:" in said
            assert said.endswith("--resume\ninterrupted\n")
        else:
            assert process.returncode == -ending
    refused = start(many_genes, tmp_path).communicate()[1]
    assert f"has {len(written)} finished blocks of a run that was ended. Add --resume" in refused
    assert finished(folder) == written
    said = start(many_genes, tmp_path, "--resume").communicate()
    assert_same_network(argen.load(tmp_path), result_of_many_genes)
    assert not folder.exists(), said
