"""The tasks that ship with the toolkit, loaded through entry points like anyone else's."""
