"""One module per kernel interface: mechanism only, no policy, no logging.

Takes and returns Python values; raises OSError untouched. May import ``errors`` and nothing else
of casemate.
"""
