"""Direction: pairs that affect each other both ways, and edges that could point the other way."""

from __future__ import annotations

import numpy as np
import pandas as pd

from argen.errors import counted, listed
from argen.network import CausalNetwork, Finding, beyond_doubt, loops_of
from argen.pvalues import NEAR_TIE, deviates

_DIRECTION = "direction (the screen tells source from target)"


def feedback_table(network: CausalNetwork) -> pd.DataFrame:
    """Return one row a pair that is significant both ways: the total effects of both directions.

    ``sure``: both directions are significant by Holm's method over all pairs of nodes, at the
    level of the screen, so that without any feedback a pair is sure in at most that share of
    screens. ``edge``: ``"forward"`` when first acts on second in the network, ``"reverse"``, or
    ``""``.
    """
    screen, pairs = network.screen, network.feedback_pairs()
    at = _places(network, pairs["first"], pairs["second"])
    back = at[::-1]
    sure = beyond_doubt(network.screen, network.config)
    edges = network.edges
    known = set(zip(edges["source"], edges["target"], strict=True))
    names = list(zip(pairs["first"], pairs["second"], strict=True))
    return pairs.assign(
        effect=screen.effect[at],
        std_error=screen.std_error[at],
        p_value=screen.p_value[at],
        log10_p=screen.log10_p[at],
        reverse_effect=screen.effect[back],
        reverse_std_error=screen.std_error[back],
        reverse_p_value=screen.p_value[back],
        reverse_log10_p=screen.log10_p[back],
        sure=sure[at] & sure[back],
        edge=[
            "forward" if (a, b) in known else "reverse" if (b, a) in known else "" for a, b in names
        ],
    )


def direction_table(network: CausalNetwork) -> pd.DataFrame:
    """Return one row an edge between nodes: what in the screen speaks for its direction.

    ``effect`` is what the source's perturbation did to the target, ``reverse_effect`` what the
    target's did to the source. ``z`` and ``reverse_z`` are the sizes of a normal deviate with
    these p-values, ``lead`` is their difference. A direction is ``in_doubt`` when both are
    significant in the screen and the lead is below 2.77, 1.96 standard errors of a difference of
    independent deviates; ``by_others`` says that the reverse is the stronger of two significant
    effects, so that pairs with other genes have settled the direction.
    """
    edges = network.edges
    edges = edges[~edges["sink"]]
    at = _places(network, edges["source"], edges["target"])
    back, screen = at[::-1], network.screen
    z, reverse_z = deviates(screen.log10_p[at]), deviates(screen.log10_p[back])
    both = screen.is_descendant[at] & screen.is_descendant[back]
    table = pd.DataFrame(
        {
            "source": edges["source"].to_numpy(),
            "target": edges["target"].to_numpy(),
            "effect": screen.effect[at],
            "log10_p": screen.log10_p[at],
            "reverse_effect": screen.effect[back],
            "reverse_log10_p": screen.log10_p[back],
            "z": z,
            "reverse_z": reverse_z,
            "lead": z - reverse_z,
            "both_ways": both,
        }
    )
    table["in_doubt"] = both & (table["lead"] < NEAR_TIE)
    table["by_others"] = both & (table["lead"] < 0)
    return table


def groups_table(network: CausalNetwork) -> pd.DataFrame:
    """Return the strongly connected groups of the screen, the largest first: one row a gene.

    In a group every gene is reached from every other by significant total effects, so that the
    screen alone gives them no order. ``sure``: this holds with the pairs that are significant by
    Holm's method alone; ``loop`` numbers the groups of these, 0 where a gene is in none.
    ``n_edges`` counts the edges of the network within the group.
    """
    groups = loops_of(network.screen.is_descendant[:, : len(network.nodes)])
    strict = loops_of(beyond_doubt(network.screen, network.config))
    loop = {network.nodes[k]: number for number, each in enumerate(strict, 1) for k in each}
    edges, rows = network.edges, []
    for number, group in enumerate(groups):
        names = [network.nodes[k] for k in group]
        n_edges = int((edges["source"].isin(names) & edges["target"].isin(names)).sum())
        for name in names:
            in_loop = loop.get(name, 0)
            rows.append((number + 1, name, len(group), n_edges, in_loop > 0, in_loop))
    return pd.DataFrame(rows, columns=["group", "gene", "size", "n_edges", "sure", "loop"])


def _places(
    network: CausalNetwork, source: pd.Series, target: pd.Series
) -> tuple[np.ndarray, np.ndarray]:
    number = {gene: k for k, gene in enumerate(network.nodes)}
    first, second = (ends.map(number).to_numpy(dtype=np.int64) for ends in (source, target))
    return first, second


def direction_findings(direction: pd.DataFrame) -> list[Finding]:
    """Name the edges that might point the other way; of pairs both ways the network speaks."""
    doubt = direction[direction["in_doubt"]].sort_values("lead")
    if not len(doubt):
        return []
    shown = [
        f"{r.source} to {r.target} (|z| {r.z:.1f}, reverse {r.reverse_z:.1f})"
        for r in doubt.itertuples()
    ]
    return [
        Finding(
            _DIRECTION,
            f"The direction of {len(doubt)} of {len(direction)} edges rests on a near-tie: the "
            "screen is significant both ways, and the evidence differs by less than "
            f"{NEAR_TIE:.2f} in |z|: {listed(shown)}.",
            "Take these edges as undirected until stability over resampled cells "
            "(argen stability), more cells, or another experiment tells them apart.",
            "warning",
        )
    ]


def direction_line(feedback: pd.DataFrame, direction: pd.DataFrame, groups: pd.DataFrame) -> str:
    """Return in words how much of the screen goes both ways."""
    sizes = groups.drop_duplicates("group")["size"].tolist()
    n_sure, n_in_doubt = int(feedback["sure"].sum()), int(direction["in_doubt"].sum())
    return (
        f"direction: {counted(len(feedback), 'pair')} significant both ways, {n_sure} of them "
        f"beyond doubt; {n_in_doubt} of {counted(len(direction), 'edge')} on a near-tie, "
        f"{int(direction['by_others'].sum())} against the stronger direction; strongly "
        f"connected groups: {listed(sizes) if sizes else 'none'}"
    )
