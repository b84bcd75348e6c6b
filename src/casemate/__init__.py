"""casemate: one engine, one image, one command; the wall is a dial, and it is measured."""

__version__ = "0.1.0"
