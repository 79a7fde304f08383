"""One file a method: ``REQUIREMENTS``, and ``fit(expression, node_of_cell)``.

``expression`` (n_cells, n_genes) is log-normalised, with covariates regressed out, in units of the
controls; ``node_of_cell`` (n_cells,) is the perturbed gene, -1 for controls. ``fit`` returns
(n_genes, n_genes), [source, target], 0 where no edge; both directions for an undirected edge.
"""
