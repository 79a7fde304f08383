"""Covariates given by a formula."""

import subprocess
import sys

import numpy as np
import pytest

import argen
from argen.data.design import build_design
from argen.read.formula import formula_columns


def regressors(data):
    return build_design(data).covariates


def test_a_formula_and_its_names_agree(screen, read):
    named = regressors(read(screen, covariates=["p_mito", "lane"]))
    data = read(screen, covariates="~ p_mito + C(lane)")
    assert data.formula == "~ p_mito + C(lane)"
    assert data.covariates.columns.tolist() == ["p_mito", "lane"]
    written = regressors(data)
    order = [written.names.index(name) for name in ("p_mito", "C(lane)[T.L2]", "C(lane)[T.L3]")]
    np.testing.assert_allclose(written.matrix[:, order], named.matrix, atol=1e-12)


@pytest.mark.parametrize(
    ("formula", "columns"),
    [
        ("~ p_mito", ["p_mito"]),
        ("  ~p_mito  ", ["p_mito"]),
        ("~ lane + p_mito", ["lane", "p_mito"]),
        ("~ lane * p_mito", ["lane", "p_mito"]),
        ("~ 0 + p_mito", ["p_mito"]),
        ("~ log(p_mito) + np.sqrt(total_umi)", ["p_mito", "total_umi"]),
        ("~ poly(p_mito, 2)", ["p_mito"]),
        ("~ bs(p_mito, df=4) + scale(total_umi)", ["p_mito", "total_umi"]),
        ("~ {p_mito ** 2} + I(p_mito)", ["p_mito"]),
        ("~ C(lane, contr.treatment(base='L2'))", ["lane"]),
        ("~ lane.str.lower()", ["lane"]),
        ("~ {p_mito if True else None}", ["p_mito"]),
    ],
)
def test_columns_of_a_formula(screen, read, formula, columns):
    data = read(screen, covariates=formula)
    assert data.covariates.columns.tolist() == columns
    assert len(regressors(data).names) > 0


def test_names_with_spaces_and_dots(screen, read):
    screen.obs["percent mito"] = screen.obs["p_mito"]
    screen.obs["seq.lane"] = screen.obs["lane"]
    expected = regressors(read(screen, covariates=["p_mito", "lane"]))
    for covariates in (
        ["percent mito", "seq.lane"],
        "~ `percent mito` + `seq.lane`",
        "~ `percent mito` + seq.lane",
        "~ `percent mito` + C(`seq.lane`)",
    ):
        data = read(screen, covariates=covariates)
        assert data.covariates.columns.tolist() == ["percent mito", "seq.lane"]
        np.testing.assert_array_equal(
            np.sort(regressors(data).matrix.sum(axis=0)), np.sort(expected.matrix.sum(axis=0))
        )


def test_columns_called_like_functions(screen, read):
    expected = read(screen, covariates="~ C(lane) + np.log(p_mito) + scale(total_umi)")
    screen.obs[["C", "np", "scale"]] = 1.0
    data = read(screen, covariates="~ C(lane) + np.log(p_mito) + scale(total_umi)")
    assert data.checksum() == expected.checksum()


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("~", "names no column"),
        ("~ 1", "names no column"),
        ("~ {1 / 0}", "names no column"),
        ("~ p_mito - p_mito", "leaves no regressor"),
        ("~ p_mito +", r"'~ p_mito \+' cannot be read: .*misplaced\. Write, for example, '~ p"),
        ("~ C(lane", "cannot be read: Formula ended before"),
        ("~ p_mito ~ lane", "cannot be read: Operator `~` is incorrectly used"),
        ("~ p_mito @ lane", "cannot be read: Unknown operator '@'"),
        ("~ p_mito + 'lane'", "cannot be read: String literals"),
        ("~ percent mito", "cannot be read: .* names with spaces between backticks"),
        ("~ .", "cannot be read"),
        ("~ p_mito | lane", "has several parts: expected one"),
        ("~ p_mito + lan", r"no column 'lan' in obs for the covariate formula .*mean 'lane'\?"),
        ("~ `p mito`", r"no column 'p mito' .* Did you mean 'p_mito'\?"),
        ("~ table", "no column 'table'"),
        ("~ logg(p_mito)", "calls 'logg', which is not a function of formulas: expected one of C,"),
        ("~ Q('p_mito')", "calls 'Q', which is not a function of formulas"),
        ("~ {open('notes.txt')}", "calls 'open', which is not a function of formulas"),
        ("~ log(p_mito - p_mito)", "gives missing or infinite values. Filter those cells"),
        ("~ {p_mito / 0}", "gives missing or infinite values"),
        ("~ log(p_mito - 0.1)", "gives missing or infinite values"),
        # Formulaic before 1.1 has no such function.
        ("~ lag(p_mito)", "gives missing or infinite values|calls 'lag', which is not a function"),
        ("~ p_mito.nope", r"cannot be used: .*backticks\.$"),
        ("~ lane.nope()", "cannot be used: .*'Series' object has no attribute 'nope'"),
        ("~ log(lane)", "cannot be used: Unable to evaluate factor `log.lane.`"),
        ("~ C(lane, levels=['L1', 'L2'])", "cannot be used: Data has categories outside"),
        ("~ p_mito + I(2 * p_mito)", r"'I\(2 \* p_mito\)' is collinear with the covariates before"),
        ("~ C(lane) + lane", r"'lane\[T.L2\]', 'lane\[T.L3\]' is collinear with the covariates"),
        ("~ {0 * p_mito}", "'0 . p_mito' is constant"),
        ("~ C(p_mito > 2)", "leaves no regressor"),
        ("~ C(perturbation)", "is collinear with the perturbations"),
        ("~ lane:perturbation", "is collinear with the perturbations"),
        ("~ C(p_mito)", "There are 100 control cells for 271 coefficients"),
    ],
)
def test_formulas_that_are_refused(screen, read, formula, words):
    with pytest.raises(argen.InputError, match=words) as caught:
        read(screen, covariates=formula)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.process
def test_the_order_of_columns_is_that_of_the_formula_in_every_process():
    # Sets of texts are ordered by a hash that changes from process to process.
    script = (
        "from argen.read.formula import formula_columns;"
        "print(formula_columns('~ `b b` + `a a` + C(`c c`)', ['a a', 'b b', 'c c']))"
    )
    for _ in range(3):
        answer = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        assert answer.stdout.strip() == "['b b', 'a a', 'c c']"


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("~ {a == 'b'}", ["a"]),
        ("~ a.b + a", ["a.b", "a"]),
        ("~ a.clip(lower=0)", ["a"]),
        ("~ log(a.b)", ["a.b"]),
        ("~ é + 1e3:a", ["é", "a"]),
    ],
)
def test_names_in_a_formula(formula, expected):
    assert formula_columns(formula, ["b", "a", "a.b", "é", "lower", "e3"]) == expected
