"""How fast the toolkit is on this machine: what ``singan-tk bench`` measures, each part in a process of its own."""
