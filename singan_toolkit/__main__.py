"""``python -m singan_toolkit`` is ``singan-tk``."""

from singan_toolkit.cli import main

main()
