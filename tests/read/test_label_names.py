"""What labels say by themselves: controls, guides, several perturbations."""

import re
import time

import pytest

from argen.read.choice.labels import (
    close_names,
    control_labels,
    guide_rule,
    joined_labels,
    kind_of_label,
    shell_patterns,
)

GENES = {"STAT1", "STAT2", "JAK2", "NKX2-1", "G0", "G1", "GFP"}
CONTROLS = [
    "NT",
    "NT-1",
    "NTC_5",
    "NTg7",
    "sgNTC-1",
    "non-targeting",
    "non_targeting_00012",
    "safe-targeting",
    "SAFE_12",
    "neg_3",
    "NegCtrl0",
    "neg_control",
    "AAVS1",
    "scramble",
    "scrambled_2",
    "luciferase",
    "LacZ",
    "INTERGENIC1216",
    "NO_SITE_3",
    "NonTargetingControlGuideForHuman_sg_179",
    "ONE_NON-GENE_SITE_12",
]


@pytest.mark.parametrize(
    "label",
    [*CONTROLS, "Negative control 5", "GFP", "NT-1_2", "p_INTERGENIC393453", "62(mod)_pBA581"],
)
def test_labels_of_controls(label):
    assert kind_of_label(label) == "control"


@pytest.mark.parametrize("label", ["control", "ctrl", "CTRL00498", "Control_3", "WT", "untreated"])
def test_labels_of_what_may_be_controls(label):
    assert kind_of_label(label) == "perhaps"


@pytest.mark.parametrize(
    "label",
    ["unassigned", "none", "no guide", "negative", "no_gRNA", "NA", "", "--", "none_recorded",
     "No confident call", "No guide molecules"],
)  # fmt: skip
def test_labels_of_cells_without_a_guide(label):
    assert kind_of_label(label) == "no guide"


@pytest.mark.parametrize(
    "label", ["STAT1", "NTS", "NT5E", "NEGR1", "SAFB", "SCRT1", "LUC7L", "WTAP", "NONO", "1", "sg1"]
)
def test_names_of_genes_are_no_controls(label):
    assert kind_of_label(label) is None


def test_control_is_asked_about_beside_guides_that_target_nothing():
    found = control_labels(["STAT1", "NT-1", "control", "unassigned", "safe-targeting"])
    assert found.found == ("NT-1", "safe-targeting")
    assert found.no_guide == ("control", "unassigned")
    alone = control_labels(["STAT1", "control", "WT"])
    assert (alone.found, alone.no_guide) == (("control",), ("WT",))
    assert control_labels(["GFP", "NT"], GENES).found == ("NT",)


def test_patterns_match_the_controls_and_nothing_else():
    controls = ["NT-1", "NT-2", "NT-10", "NTC_5", "neg_3", "AAVS1"]
    assert shell_patterns(controls, [*controls, "STAT1"]) == ("AAVS1", "NT-*", "NTC_5", "neg_3")
    assert "NT-*" not in shell_patterns(controls, [*controls, "NT-STAT1"])
    assert shell_patterns(["N*1", "N*2"], ["N*1", "N*2", "NEW"]) == ("N*1", "N*2")


@pytest.mark.parametrize(
    ("labels", "of"),
    [
        (["STAT1g1", "STAT1g2", "JAK2g1", "NTg1"], {"STAT1g2": "STAT1", "JAK2g1": "JAK2"}),
        (["G0g1", "G1g1", "NT"], {"G0g1": "G0"}),
        (["STAT1_1", "JAK2_2"], {"JAK2_2": "JAK2"}),
        (["STAT1-3", "NKX2-1-2"], {"NKX2-1-2": "NKX2-1"}),
        (["STAT1.1", "JAK2.2"], {"STAT1.1": "STAT1"}),
        (["sgSTAT1", "sgJAK2"], {"sgSTAT1": "STAT1"}),
        (["sgSTAT1-3", "sgJAK2-1"], {"sgSTAT1-3": "STAT1"}),
        (["STAT1_sg_40", "JAK2_sg_6"], {"STAT1_sg_40": "STAT1"}),
        (["STAT1_P1P2", "JAK2_P1P2"], {"STAT1_P1P2": "STAT1"}),
        (["12_STAT1_P1P2_ENSG3", "7_JAK2_P1_ENSG4"], {"7_JAK2_P1_ENSG4": "JAK2"}),
        (["STAT1_+_16.23-P1P2", "NKX2-1_-_1.23-P1"], {"NKX2-1_-_1.23-P1": "NKX2-1"}),
        (["STAT1_GATTACAGATTACAGAT", "JAK2_GATTACAGATTACAGAT"], {}),
        (["STAT1_chr2:190-209_-", "JAK2_chr9:4-5_+"], {"JAK2_chr9:4-5_+": "JAK2"}),
        (["sg1_STAT1", "sg2_JAK2", "3_STAT2"], {"sg1_STAT1": "STAT1", "3_STAT2": "STAT2"}),
        (["STAT1_pDS255", "JAK2_pDS269"], {"STAT1_pDS255": "STAT1"}),  # Adamson et al. 2016
        (["STAT1_ENSG00000115415_1", "JAK2_ENSG00000096968_2"], {}),
        (["p_sgSTAT1_2", "m_Rela_3", "p_sgJAK2_1"], {"p_sgJAK2_1": "JAK2"}),
        (["STAT1_TSS", "JAK2_TSS", "chr1.1_top_two"], {"STAT1_TSS": "STAT1"}),
        (["STAT1 KO", "STAT1 NP", "JAK2 NP", "NT"], {"STAT1 NP": "STAT1", "STAT1 KO": "STAT1"}),
    ],
)
def test_labels_of_guides(labels, of):
    rule = guide_rule(labels, GENES)
    for label in labels:
        if label in of:
            assert re.fullmatch(rule.pattern, label)["target"] == of[label]
    assert rule.n_measured >= 2
    shuffled = [*labels[1::2], *labels[::2]]
    assert guide_rule(shuffled, GENES) == rule


@pytest.mark.parametrize(
    "labels",
    [
        ["STAT1", "JAK2", "NKX2-1"],  # genes as they stand
        ["TP53_1", "MYC_2"],  # not measured: nothing says that they are guides
        ["STAT1_1", "TP53_1"],  # one gene is no evidence
        ["STAT1_1", "JAK2_1", *(f"cluster{k}" for k in range(20))],  # two among many
        ["ENSG00000115415.12", "ENSG00000096968.3"],
        ["NT-1", "control", ""],
        [],
    ],
)
def test_labels_that_are_no_guides(labels):
    stable = {label.split(".")[0] for label in labels if label.startswith("ENSG")}
    assert guide_rule(labels, GENES | stable) is None


@pytest.mark.parametrize(
    ("labels", "separator", "n_explained"),
    [
        (["STAT1+ctrl", "ctrl+JAK2", "ctrl"], "+", 2),
        (["STAT1_JAK2", "STAT1", "control"], "_", 1),
        (["STAT1|JAK2", "STAT1|TP53", "TP53"], "|", 2),
        (["STAT1,JAK2", "NT"], ",", 1),
        (["STAT1;JAK2"], ";", 1),
        (["STAT1 || JAK2"], " || ", 1),
        (["STAT1-1|JAK2-2", "NT-1|STAT1-2"], "|", 2),
        (["STAT1_JAK2__STAT1_JAK2", "NegCtrl0_STAT2__NegCtrl0_STAT2"], "_", 2),
    ],
)
def test_labels_that_join(labels, separator, n_explained):
    found = joined_labels(labels, GENES)
    assert (found.separator, found.n_explained) == (separator, n_explained)
    assert joined_labels(labels[::-1], GENES) == found


@pytest.mark.parametrize(
    "labels",
    [
        ["STAT1", "NKX2-1", "NT_1"],
        ["STAT1_1", "JAK2_2"],
        ["non-targeting", "safe-targeting"],
        ["STAT1-like", "T-cell", "NK-cell"],
        ["x+y", "x+z", "x"],  # none is measured
    ],
)
def test_labels_that_do_not_join(labels):
    assert joined_labels(labels, GENES) is None


def test_names_that_differ_in_case_or_version():
    genes = ["Stat1", "ENSG00000096968", "JAK2", "Jak2"]
    found = close_names(["STAT1", "ENSG00000096968.12", "jak2", "NT", "TP53"], genes)
    assert found == {"STAT1": "Stat1", "ENSG00000096968.12": "ENSG00000096968"}


def test_hostile_labels_are_names_like_others_and_take_no_time():
    hostile = ["(", "[a", "a{1", "\\", "(?P<target>", "a\nb", "\x1b[31m", "*", "?", "_" * 10_000]
    hostile += ["1" * 100_000, "-1" * 50_000, "g" * 150, "a_" * 99 + "a", "1" * 199 + "x"]
    start = time.process_time()
    labels = [*hostile, "STAT1_1", "JAK2_1", *(f"STAT1_{k}" for k in range(100))]
    assert guide_rule(labels, GENES).pattern.startswith("^(?P<target>.+)_[0-9]")
    joined_labels([*hostile, "STAT1+JAK2"], GENES)
    control_labels(hostile)
    shell_patterns(hostile, hostile)
    close_names(hostile, GENES)
    assert time.process_time() - start < 2
