"""Which measures are taken of what, and how they are told: a picture beside its samples, bundles, folders of many."""
