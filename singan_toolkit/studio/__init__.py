"""The studio: a local page over a folder of pictures and bundles, on which tasks are painted, placed and chosen."""
