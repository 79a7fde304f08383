"""Blocks: the same bits in any sequence, from any copy of the prepared engine."""

import pickle

import numpy as np
import pytest

import argen
from argen.engine import ExactEngine, Fitted, ParentJob, SharedEngine
from argen.run.blocks import SerialExecutor
from argen.steps.parents import MOST_JOBS, blocks_of_jobs
from tests.screens import assert_same_network, dense_screen

both_engines = pytest.mark.parametrize(
    "engine", [ExactEngine(), SharedEngine()], ids=["exact", "shared"]
)


class BackwardsInCopies:
    """Sends what all blocks share, and what each piece needs, and computes the last block first."""

    def run(self, stage, numbers):
        worker = stage.worker
        bare = pickle.dumps(worker.bare())
        for number in reversed(numbers):
            parts = []
            for piece in worker.pieces(stage.blocks[number]):
                packed = pickle.loads(pickle.dumps(worker.packed(piece)))
                elsewhere = pickle.loads(bare).unpacked(packed)
                found = stage.compute(elsewhere, pickle.loads(pickle.dumps(piece)))
                parts.append(worker.completed(piece, found))
            yield number, Fitted.joined(parts)


@pytest.fixture
def small_blocks(monkeypatch):
    """Several blocks in either stage of a small screen."""
    monkeypatch.setattr("argen.steps.descendants.BLOCK_OF_TARGETS", 3)
    monkeypatch.setattr("argen.steps.parents.MOST_PAIRS_OF_CANDIDATES", 20)


@both_engines
def test_neither_cuts_nor_copies_nor_sequence_change_a_bit(engine, monkeypatch):
    data = dense_screen()
    whole = argen.infer_network(data, engine=engine, executor=SerialExecutor())
    monkeypatch.setattr("argen.steps.descendants.BLOCK_OF_TARGETS", 3)
    monkeypatch.setattr("argen.steps.parents.MOST_PAIRS_OF_CANDIDATES", 20)
    in_blocks = argen.infer_network(data, engine=engine, executor=BackwardsInCopies())
    assert len(whole.candidates) > 20
    assert_same_network(in_blocks, whole)


@pytest.mark.parametrize("n_controls", [400, 3000], ids=["most cells perturbed", "few"])
def test_pieces_change_no_bit(n_controls, monkeypatch):
    """Where most cells are controls, only the counts of perturbed cells are sent."""
    data = dense_screen(n_controls)
    whole = argen.infer_network(data)
    monkeypatch.setattr("argen.engine.grouped.PAIRS_OF_A_PIECE", 20)
    assert_same_network(argen.infer_network(data, executor=BackwardsInCopies()), whole)


@both_engines
def test_threads_change_no_bit(engine):
    one, two = (
        argen.infer_network(dense_screen(), argen.InferenceConfig(threads=threads), engine=engine)
        for threads in (1, 2)
    )
    assert_same_network(one, two)


@pytest.mark.usefixtures("small_blocks")
def test_progress_counts_tests():
    seen = []
    network = argen.infer_network(dense_screen(), progress=lambda *report: seen.append(report))
    n_nodes, n_candidates = len(network.nodes), len(network.candidates)
    for stage, total in (("screen", n_nodes**2), ("parents", n_candidates)):
        done = [report[1] for report in seen if report[0] == stage]
        assert {report[2] for report in seen if report[0] == stage} == {total}
        assert len(done) > 3
        assert (done[0], done[-1]) == (0, total)
        assert (np.diff(done) > 0).all()


@pytest.mark.parametrize(
    ("n_candidates", "sizes"),
    [
        ([], []),
        ([5], [1]),
        ([2] * (MOST_JOBS + 1), [MOST_JOBS, 1]),
        # The job that fills a block still belongs to it.
        ([3000, 3001, 3002, 3003], [3, 1]),
        ([4471, 4472, 1, 3000, 1], [2, 3]),
        # A set of candidates counts once.
        ([4000, 4000, 4000], [3]),
    ],
)
def test_blocks_of_jobs(n_candidates, sizes):
    jobs = [ParentJob(target, np.arange(n)) for target, n in enumerate(n_candidates)]
    blocks = blocks_of_jobs(jobs, 20_000_000)
    assert [len(block) for block in blocks] == sizes
    assert [job.target for block in blocks for job in block] == list(range(len(jobs)))
