"""From counts to network and report: a screen whose two common causes nobody measured.

Simulates the eight-gene screen of the ARGEN paper, hides two genes, infers the network of the
other six, checks what it rests on, and prints true beside estimated effects, with the naive
regression for comparison.
"""

from pathlib import Path

import argen

RESULTS = Path("demo_results")


def main() -> None:
    """Run the demonstration and write the results folder."""
    RESULTS.mkdir(exist_ok=True)
    simulated, truth = argen.simulate_paper_screen(rng=1, hidden=("X7", "X8"))
    path = RESULTS / "screen.h5ad"
    argen.simulated_anndata(simulated, truth).write_h5ad(path)

    options = argen.ReadOptions(
        target="perturbation",
        control="non-targeting",
        library_size="library_size",
        covariates=["L"],
    )
    data = argen.read_perturbseq(path, options)
    print(f"{data.summary()}\n", flush=True)
    network = argen.infer_network(data)
    print(f"{network.summary()}\n", flush=True)

    naive = argen.method.infer_naive(data)
    found = argen.check(network, data, n_null_tests=5000)
    argen.write_results(network, RESULTS)
    report = argen.write_report(network, RESULTS / "report.html", diagnostics=found)
    print("True and estimated direct effects (two common causes of these genes are hidden):")
    print(compare(truth, network, naive).to_string(index=False, na_rep="-"))
    print(f"\nThe results are in {RESULTS}/; look again with: .venv/bin/argen show {RESULTS}")
    print(f"The report, to open in a browser: {report}")


def compare(truth: argen.Truth, network: argen.CausalNetwork, naive: argen.CausalNetwork):
    """Return one row per edge that is true or that either method selects."""
    pair = ["source", "target"]
    argen_edges = network.edges[[*pair, "effect", "std_error"]]
    naive_edges = naive.edges[[*pair, "effect"]].rename(columns={"effect": "naive"})
    table = truth.to_frame().rename(columns={"effect": "true"})
    table = table.merge(argen_edges.rename(columns={"effect": "argen"}), "outer", on=pair)
    return table.merge(naive_edges, "outer", on=pair).round(3)


if __name__ == "__main__":
    main()
