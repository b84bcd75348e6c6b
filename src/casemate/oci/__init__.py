"""Pure values of the OCI and Docker formats: no file, no socket, no kernel.

In: bytes and strings from outside, every one hostile. Out: validated, immutable values, or an Error
that names the input and the rule. A document is kept beside its bytes wherever its digest matters.
May import ``errors``.
"""
