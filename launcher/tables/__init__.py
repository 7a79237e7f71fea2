"""Published tables: their catalogue, plans, and runs here or on a cluster."""
