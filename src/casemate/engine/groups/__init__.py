"""Groups: named parts of the machine, each with a budget, for containers and groups inside.

In: what a group may use, and of which group it is a part. Out: the cgroup that containers are
started below, made anew when it is missing. May import what ``engine`` may.
"""
