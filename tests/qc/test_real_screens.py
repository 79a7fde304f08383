"""Published screens: which perturbations were seen to work, and which not."""

import pytest

import argen
from tests.read.test_real_screens import screen_path

COLUMNS = {"target": "perturbation", "control": "non-targeting", "library_size": "total_umi"}


def quality_of(file, **options):
    """Quality control with the default rules."""
    read = argen.ReadOptions(**COLUMNS | options)
    return argen.quality_control(argen.read_perturbseq(screen_path(file), read))


def test_every_gene_of_papalexi_2021_is_lowered_and_few_guides_are_idle():
    found = quality_of(
        "papalexi2021_thp1_eccite.h5ad",
        covariates=["p_mito", "bio_rep"], cells="confident_single", guide="guide",
    )  # fmt: skip
    assert len(found.nodes) == 9
    assert len(found.candidates) == 25
    assert found.diagnostics.tables["guides"]["works"].sum() == 29
    assert "2 of 33 guides are not seen to change the gene" in found.summary()
    assert found.candidates["percent_remaining"].head(9).between(15, 75).all()
    assert "by more than its own gene, beyond doubt: IFNGR2 (" in found.summary()


@pytest.mark.filterwarnings("ignore::argen.ArgenWarning")  # of genes without counts
def test_no_knock_out_of_hill_2018_lowers_its_transcript():
    found = quality_of("hill2018_mcf10a_cropseq.h5ad", covariates=["p_mito"])
    assert found.nodes == ()
    assert "by more than its own gene, beyond doubt: TP53 (87 % left; 4 genes)" in found.summary()
    assert "3 change others: ARID1B (1), BAP1 (1), RB1 (1)" in found.summary()
    assert "PTPN22 (0.2), RAD51 (2.6)" in found.summary()
    reasons = found.candidates.set_index("candidate")["reason"]
    assert reasons["CDKN2A"] == "no count in any cell that is used"


def test_two_of_dixit_2016_are_not_seen_to_work():
    cells = "not likely_multi_guide and total_umi > 0"
    found = quality_of("dixit2016_bmdc_24tf.h5ad", cells=cells)
    assert set(found.candidates.query("not chosen")["candidate"]) == {"Rela", "Spi1"}
    assert "836 control cells, fewer than a perturbation has" in found.summary()
