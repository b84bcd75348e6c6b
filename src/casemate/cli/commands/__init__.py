"""A module for each command, with its ``COMMAND``. What several of them share is beside here."""
