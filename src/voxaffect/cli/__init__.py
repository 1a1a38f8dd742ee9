"""The `voxaffect` command: one file per sub-command, imported only when that sub-command runs."""
