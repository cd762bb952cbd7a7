"""From points to charts: nodes and their graph, cells, codes, kernel fits."""
