"""Base images made on this machine: a tar is streamed into an import, as it is produced."""
