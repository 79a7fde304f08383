"""Covariates given by a formula."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

import argen
from argen.data import encode_covariates, formula_columns


def test_a_formula_and_its_names_agree(screen, read):
    named = read(screen, covariates=["p_mito", "lane"]).regressors
    data = read(screen, covariates="~ p_mito + C(lane)")
    assert data.formula == "~ p_mito + C(lane)"
    assert data.covariates.columns.tolist() == ["p_mito", "lane"]
    written = data.regressors
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
        ("~ log1p(total_umi) + abs(p_mito) + np.maximum(p_mito, 0.1)", ["total_umi", "p_mito"]),
        ("~ C(lane == 'L1') + {(p_mito > 0.1) & ~cycling}", ["lane", "p_mito", "cycling"]),
        (
            "~ cr(total_umi, knots=[60, 80], constraints='center') + C(lane, Sum())",
            ["total_umi", "lane"],
        ),
    ],
)
def test_columns_of_a_formula(screen, read, formula, columns):
    data = read(screen, covariates=formula)
    assert data.covariates.columns.tolist() == columns
    assert len(data.regressors.names) > 0


def test_names_with_spaces_and_dots(screen, read):
    screen.obs["percent mito"] = screen.obs["p_mito"]
    screen.obs["seq.lane"] = screen.obs["lane"]
    expected = read(screen, covariates=["p_mito", "lane"]).regressors
    for covariates in (
        ["percent mito", "seq.lane"],
        "~ `percent mito` + `seq.lane`",
        "~ `percent mito` + seq.lane",
        "~ `percent mito` + C(`seq.lane`)",
    ):
        data = read(screen, covariates=covariates)
        assert data.covariates.columns.tolist() == ["percent mito", "seq.lane"]
        np.testing.assert_array_equal(
            np.sort(data.regressors.matrix.sum(axis=0)), np.sort(expected.matrix.sum(axis=0))
        )


def test_columns_called_like_functions(screen, read):
    expected = read(screen, covariates="~ C(lane) + np.log(p_mito) + scale(total_umi)")
    screen.obs[["C", "np", "scale"]] = 1.0
    data = read(screen, covariates="~ C(lane) + np.log(p_mito) + scale(total_umi)")
    assert data.sha256 == expected.sha256


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
        ("~ p_mito.nope", r"no column 'p_mito.nope' in obs .*backticks\.$"),
        ("~ log(lane.nope)", r"has 'lane.nope', in 'log\(lane.nope\)', which no .*backticks\.$"),
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


@pytest.mark.parametrize(
    "formula",
    [
        "~ p_mito + I(np.load('EVIL', allow_pickle=True))",
        "~ p_mito + I(np.testing.os.system('touch MARKER'))",
        "~ p_mito + I(np.f2py.os.system('touch MARKER'))",
        "~ p_mito + I(p_mito.to_csv('MARKER'))",
        "~ p_mito + I(p_mito.to_pickle('MARKER'))",
        "~ p_mito + I(np.asarray(p_mito).tofile('MARKER'))",
        "~ p_mito + I([].__class__.__base__.__subclasses__())",
        "~ p_mito + `__import__('os').system('touch MARKER')`",
        "~ p_mito + I(__import__('os').system('touch MARKER'))",
        "~ p_mito + I(`__import__`('os').system('touch MARKER'))",
        '~ p_mito + I(f\'{open("MARKER", "w")}\')',
        "~ p_mito + I((lambda: open('MARKER', 'w'))())",
        "~ p_mito + I((open)('MARKER', 'w'))",
        "~ p_mito + open('MARKER', 'w')",
        "~ p_mito + {[open(x, 'w') for x in ['MARKER']]}",
        "~ p_mito + I(p_mito.__class__.__init__.__globals__['os'].system('touch MARKER'))",
        "~ p_mito + I('{0.__class__}'.format(p_mito))",
        "~ p_mito + hashed(lane, levels=3, hash_func=print)",
        "~ p_mito + C(lane, contr.custom(np.fromfile('EVIL')))",
        "~ p_mito + C(lane, contr.__init__.__globals__)",
        "~ p_mito + C(lane, _state=open('MARKER', 'w'))",
        "~ p_mito + C(lane, **{'levels': open('MARKER', 'w')})",
        "~ p_mito + I('`' + open('MARKER', 'w') + '`')",
        "~ p_mito + C(lane, levels=['`', open('MARKER', 'w'), '`'])",
        "~ p_mito + {(p_mito := open('MARKER', 'w'))}",
        "~ p_mito + {p_mito[open('MARKER', 'w')]}",
        "~ p_mito - I(open('MARKER', 'w'))",
        "~ p_mito | I(open('MARKER', 'w'))",
        "I(open('MARKER', 'w')) ~ p_mito",
    ],
)
def test_a_formula_runs_nothing_and_writes_nothing(screen, read, tmp_path, formula):
    marker, evil = tmp_path / "marker", tmp_path / "evil.npy"
    with evil.open("wb") as file:
        header = {"descr": "|O", "fortran_order": False, "shape": (1,)}
        np.lib.format.write_array_header_1_0(file, header)
        pickle.dump(Touches(marker), file)
    written = formula.replace("MARKER", str(marker)).replace("EVIL", str(evil))
    with pytest.raises(argen.InputError, match="covariate"):
        read(screen, covariates=written if written.startswith("~") else f"~ p_mito + {written}")
    assert not marker.exists()
    # Nor where a formula comes with data that are made by hand, or from a file of a profile.
    with pytest.raises(argen.InputError, match="covariate"):
        encode_covariates(screen.obs, written)
    assert not marker.exists()


class Touches:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("~ (p_mito + total_umi)**100000", "more than 1,000 terms"),
        ("~ " + " * ".join(f"{{p_mito > {k}}}" for k in range(40)), "more than 1,000 terms"),
        ("~ I(9**9**9**9)", "a power of numbers alone"),
        ("~ I((p_mito * 10**9**9) > 1)", "a power of numbers alone"),
        ("~ I(('L' * 1000000000) == lane)", "computes with .'L'.*: expected columns or numbers"),
        ("~ I([1] * 1000000000)", "computes with .*expected columns or numbers"),
        ("~ I('%1000000000d' % 1)", "computes with .*expected columns or numbers"),
        ("~ I(I('L') * 1000000000)", "computes with .*expected columns or numbers"),
        ("~ poly(p_mito, 1000000000)", "asks 'poly' for '1000000000': expected a number up to 100"),
        ("~ bs(p_mito, df=10**6)", "asks 'bs' for"),
        ("~ I(" + "-" * 5000 + "p_mito)", "formula"),
    ],
)
def test_a_formula_takes_little_time_and_memory(screen, read, formula, words):
    with pytest.raises(argen.InputError, match=words):
        read(screen, covariates=formula)


@pytest.mark.process
def test_the_order_of_columns_is_that_of_the_formula_in_every_process():
    # Sets of texts are ordered by a hash that changes from process to process.
    script = (
        "from argen.data import encode_covariates, formula_columns;"
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
        ("~ log(`a.b`)", ["a.b"]),
        ("~ é + 3:a", ["é", "a"]),
    ],
)
def test_names_in_a_formula(formula, expected):
    assert formula_columns(formula, ["b", "a", "a.b", "é", "lower", "e3"]) == expected
