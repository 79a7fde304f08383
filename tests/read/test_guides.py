"""Guides of the cells: a column of them beside the genes."""

import numpy as np
import pytest

import argen


def with_guides(screen):
    """Give each gene two guides, the controls three."""
    numbers = np.arange(len(screen.obs)) % 2
    genes = screen.obs["perturbation"].astype(str)
    is_control = (genes == "non-targeting").to_numpy()
    names = genes + "-" + numbers.astype(str)
    screen.obs["guide"] = np.where(is_control, [f"NT{k % 3}" for k in range(len(genes))], names)
    return screen


def test_the_column_of_guides(screen, read):
    data = read(with_guides(screen), guide="guide")
    genes = screen.obs.loc[data.cells, "guide"]
    assert data.guides.labels().tolist() == genes.tolist()
    assert data.guides.names[:3] == ("NT0", "NT1", "NT2")
    assert data.guides.node.tolist() == [-1, -1, -1, 0, 0, 1, 1, 2, 2]
    assert [data.nodes[k] for k in data.guides.node if k >= 0] == [
        name.rpartition("-")[0] for name in data.guides.names[3:]
    ]
    assert "6 guides of nodes, 3 of controls or others" in data.summary()
    assert data.sha256 != read(screen).sha256
    assert read(screen).guides is None


def test_guides_may_be_missing_in_controls_alone(screen, read):
    with_guides(screen)
    is_control = screen.obs["perturbation"] == "non-targeting"
    screen.obs["guide"] = screen.obs["guide"].where(~is_control)
    data = read(screen, guide="guide")
    assert (data.guides.labels() == "").sum() == data.n_controls
    screen.obs["guide"] = screen.obs["guide"].where(screen.obs["perturbation"] != "JAK2")
    words = r"obs\['guide'\] names no guide in 50 perturbed cells \(first: .*guide\.notna\(\)\"\.$"
    with pytest.raises(argen.InputError, match=words):
        read(screen, guide="guide")
    with pytest.raises(argen.InputError, match=r"no column 'guides' in obs for the guides\. Did"):
        read(screen, guide="guides")


def test_one_guide_a_cell_where_cells_carry_several(screen, read):
    with_guides(screen)
    labels = screen.obs["perturbation"].astype(object)
    labels.iloc[:20] = "STAT1+STAT2"
    screen.obs["perturbation"] = labels
    with pytest.raises(argen.InputError, match=r"guide='guide' names one guide a cell, but cells"):
        read(screen, guide="guide", separator="+")
