from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.errors import InvalidArgument, Unsupported
from casemate.linux.seccomp import ALLOW, ENOSYS, ERRNO, KILL_PROCESS, TRACE, strictness
from casemate.linux.seccomp_assembler import AUDIT_ARCH
from casemate.linux.syscalls import X32_BIT, numbers
from casemate.oci.runtime import Seccomp, SyscallArg, SyscallRule
from casemate.walls import seccomp
from casemate.walls.capabilities import DEFAULT
from casemate.walls.seccomp_filter import build, cache_key
from casemate.walls.seccomp_profile import parse
from unit.linux import bpf
from unit.walls import libseccomp

EPERM = ERRNO | 1
FACTS = seccomp.Facts(frozenset(DEFAULT), ("amd64",), (6, 18))
ADMIN = FACTS._replace(capabilities=frozenset({"CAP_SYS_ADMIN"}))
ARM = FACTS._replace(architectures=("arm64",))
WORDS = (
    *(0, 1, 2, 8, 9, 37, 38, 39, 40, 41, 45, 46, 0x5412, 0x541C, 0x20000, 0x20008, 0x40000),
    *(0x10000000, 0x7E020000, 0xFFFFFFFF, 1 << 32, (1 << 32) + 38, (1 << 32) + 0x5412),
    (1 << 64) - 1,
)
NUMBERS = (*range(0, 480), 1000, 0xF_0001, 0xF_0002, 0xF_0005)


def code_of(spec: Seccomp, architecture: str = "amd64") -> list[tuple[int, int, int, int]]:
    return bpf.decoded(build(spec, architecture).program)


def calls(abi: str, wanted: Sequence[int] = NUMBERS) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Every number with every interesting word in each of the arguments that rules look at."""
    for number in wanted:
        for place in (0, 1):
            for word in WORDS:
                if word < 1 << 32 or abi in ("x86_64", "aarch64"):
                    yield number, (0,) * place + (word,)


def default_verdict(abi: str, name: str, *args: int, facts: seccomp.Facts = FACTS) -> int:
    code = code_of(seccomp.resolve(seccomp.own("default"), facts), facts.architectures[0])
    return bpf.run(code, AUDIT_ARCH[abi], numbers(abi)[name], args)


@pytest.mark.parametrize("abi", ["x86_64", "i386"])
def test_the_default_refuses_what_reaches_deep_into_the_kernel(abi: str) -> None:
    for name in (
        "io_uring_setup io_uring_enter io_uring_register userfaultfd keyctl add_key request_key"
        " bpf perf_event_open mount umount2 unshare setns pivot_root open_by_handle_at kexec_load"
        " init_module finit_module delete_module swapon reboot settimeofday move_pages mbind"
        " process_madvise pidfd_getfd fsopen fsconfig fsmount open_tree move_mount mount_setattr"
        " kcmp acct quotactl sethostname setdomainname syslog iopl ioperm"
    ).split():
        assert default_verdict(abi, name) == EPERM, name
    assert default_verdict(abi, "clone3") == ENOSYS
    assert default_verdict(abi, "chroot") == ALLOW
    assert default_verdict(abi, "clone", 0x01200011) == ALLOW
    for namespace in (0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x40000000):
        verdict = default_verdict(abi, "clone", namespace | 17)
        assert verdict == (ALLOW if namespace == 0x80 else EPERM), hex(namespace)


@pytest.mark.parametrize("abi", ["x86_64", "i386"])
def test_the_default_allows_only_known_socket_families(abi: str) -> None:
    for family in range(60):
        allowed = family <= 45 and family not in (38, 40)
        assert default_verdict(abi, "socket", family, 5, 0) == (ALLOW if allowed else EPERM)


def test_the_kernel_cuts_the_family_to_32_bits_so_high_bits_are_refused() -> None:
    assert default_verdict("x86_64", "socket", (1 << 32) + 38) == EPERM
    assert default_verdict("x86_64", "socket", (1 << 32) + 40) == EPERM


def test_socketcall_makes_no_socket_unless_the_image_is_for_32_bit_x86() -> None:
    assert default_verdict("i386", "socketcall", 1) == EPERM
    for operation in range(2, 21):
        assert default_verdict("i386", "socketcall", operation) == ALLOW
    assert default_verdict("i386", "socketcall", 21) == EPERM
    image = FACTS._replace(architectures=("amd64", "386"))
    assert default_verdict("i386", "socketcall", 1, facts=image) == ALLOW


@pytest.mark.parametrize("abi", ["x86_64", "i386"])
def test_nobody_types_into_a_terminal(abi: str) -> None:
    for request in (0x5412, 0x541C):
        assert default_verdict(abi, "ioctl", 0, request) == EPERM
        assert default_verdict(abi, "ioctl", 0, request + 1) == ALLOW
    assert default_verdict("x86_64", "ioctl", 0, (1 << 32) | 0x5412) == EPERM


def test_address_randomisation_cannot_be_switched_off() -> None:
    for bit in range(64):
        allowed = 1 << bit in (8, 0x20000)
        assert default_verdict("x86_64", "personality", 1 << bit) == (ALLOW if allowed else EPERM)
    assert default_verdict("x86_64", "personality", 0xFFFF_FFFF) == ALLOW


def test_newer_calls_and_x32_look_unimplemented() -> None:
    code = code_of(seccomp.resolve(seccomp.own("default"), FACTS))
    for arch in (AUDIT_ARCH["x86_64"], AUDIT_ARCH["i386"]):
        for number in (467, 471, 500, 1000, 0x3FFF_FFFF):
            assert bpf.run(code, arch, number) == ENOSYS
    assert bpf.run(code, AUDIT_ARCH["x86_64"], X32_BIT | 1) == ENOSYS
    assert bpf.run(code, AUDIT_ARCH["aarch64"], 64) == KILL_PROCESS


def test_private_calls_of_arm_are_reached_beyond_the_unknown_ones() -> None:
    assert default_verdict("arm", "set_tls", facts=ARM) == ALLOW
    assert default_verdict("arm", "usr26", facts=ARM) == ENOSYS
    code = code_of(seccomp.resolve(seccomp.own("default"), ARM), "arm64")
    assert bpf.run(code, AUDIT_ARCH["arm"], 480) == ENOSYS


def same_as_libseccomp(
    spec: Seccomp, architecture: str, abis: tuple[str, ...], wanted: Sequence[int] = NUMBERS
) -> set[str]:
    """Return the calls on which libseccomp allows what we refuse; fail on any other difference."""
    lib = libseccomp.library()
    ours = code_of(spec, architecture)
    theirs = bpf.decoded(libseccomp.build(lib, spec, abis))
    stricter = set()
    for abi in abis:
        table = {number: name for name, number in numbers(abi).items()}
        highest = max(
            (numbers(abi).get(n, 0) for rule in spec.syscalls for n in rule.names), default=0
        )
        for number, args in calls(abi, wanted):
            name = table.get(number, "")
            if name and libseccomp.resolves(lib, abi, name) != number:
                if libseccomp.resolves(lib, abi, name) >= -1:
                    continue  # newer than the library
            mine = bpf.run(ours, AUDIT_ARCH[abi], number, args)
            other = bpf.run(theirs, AUDIT_ARCH[abi], number, args)
            if mine != other and not (mine == ENOSYS and not name) and number <= highest:
                assert strictness(mine) < strictness(other), (abi, name or number, args)
                stricter.add(f"{abi} {name}")
    return stricter


@pytest.mark.parametrize("facts", [FACTS, ADMIN, FACTS._replace(capabilities=frozenset())])
def test_libseccomp_makes_the_same_of_the_default_on_x86(facts: seccomp.Facts) -> None:
    spec = seccomp.resolve(seccomp.own("default"), facts)
    stricter = same_as_libseccomp(spec, "amd64", ("x86_64", "i386"))
    # It lets an unconditional rule win, and lets conditions reach through socketcall.
    assert stricter == {"x86_64 ioctl", "i386 ioctl", "i386 socketcall"}


def test_libseccomp_makes_the_same_of_the_default_on_arm() -> None:
    spec = seccomp.resolve(seccomp.own("default"), ARM)
    assert same_as_libseccomp(spec, "arm64", ("aarch64", "arm")) == {"aarch64 ioctl", "arm ioctl"}


# One rule for a call: of overlapping ranges libseccomp 2.5 loses some.
names = st.sampled_from(("read", "socket", "clone", "ioctl", "futex", "semop", "fchmodat", "nope"))
args = st.lists(
    st.builds(
        SyscallArg,
        st.integers(0, 1),
        st.sampled_from(WORDS),
        st.sampled_from([f"SCMP_CMP_{op}" for op in ("NE", "LT", "LE", "EQ", "GE", "GT")]),
    )
    | st.builds(
        SyscallArg,
        st.integers(0, 1),
        st.sampled_from((0xFF, 0xFFFF_FFFF, 0x7E020000)),
        st.just("SCMP_CMP_MASKED_EQ"),
        st.sampled_from((0, 8, 38)),
    ),
    max_size=2,
    unique_by=lambda arg: arg.index,
).map(tuple)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(names, args), max_size=5, unique_by=lambda rule: rule[0]))
def test_libseccomp_makes_the_same_of_any_list_of_allowed_calls(
    allowed: list[tuple[str, tuple[SyscallArg, ...]]],
) -> None:
    rules = tuple(SyscallRule((name,), "SCMP_ACT_ALLOW", None, cond) for name, cond in allowed)
    spec = Seccomp("SCMP_ACT_ERRNO", architectures=("SCMP_ARCH_X86_64",), syscalls=rules)
    wanted = sorted({n for name, _ in allowed for n in (numbers("x86_64").get(name, 0),)} | {1})
    assert same_as_libseccomp(spec, "amd64", ("x86_64",), wanted) == set()


@pytest.mark.parametrize("capabilities", ["DEFAULT", "", "CAP_SYS_ADMIN", "ALL"])
def test_the_default_is_as_strict_as_the_profile_it_is_measured_by(capabilities: str) -> None:
    path = os.environ.get("CASEMATE_PEER_SECCOMP_PROFILE")
    if not path:
        pytest.skip("CASEMATE_PEER_SECCOMP_PROFILE does not name a profile to compare with")
    peer = seccomp.load(path)
    held = {
        "DEFAULT": frozenset(DEFAULT),
        "ALL": frozenset(
            c for r in peer.syscalls or () for c in (r.includes and r.includes.caps) or ()
        ),
    }.get(capabilities, frozenset(capabilities.split()))
    facts = FACTS._replace(capabilities=held)
    ours = code_of(seccomp.resolve(seccomp.own("default"), facts))
    theirs = code_of(seccomp.resolve(peer, facts))
    differences = set()
    for abi in ("x86_64", "i386"):
        table = {number: name for name, number in numbers(abi).items()}
        for number, args in calls(abi):
            mine = bpf.run(ours, AUDIT_ARCH[abi], number, args)
            other = bpf.run(theirs, AUDIT_ARCH[abi], number, args)
            if mine != other:
                assert (mine, other) == (EPERM, ALLOW), (table.get(number, number), args)
                differences.add(table[number])
    assert differences == {"ioctl", "socket", "socketcall"}


def test_of_overlapping_rules_the_strictest_decides_whatever_the_order() -> None:
    rules = (
        SyscallRule(("ioctl",), "SCMP_ACT_ALLOW"),
        SyscallRule(("ioctl",), "SCMP_ACT_ERRNO", 5, (SyscallArg(1, 7, "SCMP_CMP_EQ"),)),
        SyscallRule(("ioctl",), "SCMP_ACT_TRACE", 9, (SyscallArg(1, 3, "SCMP_CMP_LE"),)),
    )
    for order in (rules, rules[::-1]):
        code = code_of(Seccomp("SCMP_ACT_KILL_PROCESS", syscalls=order))
        assert bpf.run(code, AUDIT_ARCH["x86_64"], 16, (0, 7)) == ERRNO | 5
        assert bpf.run(code, AUDIT_ARCH["x86_64"], 16, (0, 3)) == TRACE | 9
        assert bpf.run(code, AUDIT_ARCH["x86_64"], 16, (0, 4)) == ALLOW


def test_of_rules_without_conditions_the_first_counts() -> None:
    allow = SyscallRule(("setns",), "SCMP_ACT_ALLOW")
    deny = SyscallRule(("setns",), "SCMP_ACT_ERRNO", 1)
    for rules, verdict in (((allow, deny), ALLOW), ((deny, allow), EPERM)):
        code = code_of(Seccomp("SCMP_ACT_ERRNO", 38, syscalls=rules))
        assert bpf.run(code, AUDIT_ARCH["x86_64"], numbers("x86_64")["setns"]) == verdict


def test_a_denied_call_is_denied_through_the_multiplexers_too() -> None:
    deny = SyscallRule(
        ("socket", "semop"), "SCMP_ACT_ERRNO", 13, (SyscallArg(0, 16, "SCMP_CMP_EQ"),)
    )
    code = code_of(Seccomp("SCMP_ACT_ALLOW", None, ("SCMP_ARCH_X86",), (), (deny,)))
    table = numbers("i386")
    assert bpf.run(code, AUDIT_ARCH["i386"], table["socketcall"], (1,)) == ERRNO | 13
    assert bpf.run(code, AUDIT_ARCH["i386"], table["socketcall"], (2,)) == ALLOW
    assert bpf.run(code, AUDIT_ARCH["i386"], table["ipc"], (0x10001,)) == ERRNO | 13
    assert bpf.run(code, AUDIT_ARCH["i386"], 5000) == ALLOW


def test_two_conditions_on_one_argument_are_alternatives() -> None:
    args = (SyscallArg(0, 2, "SCMP_CMP_EQ"), SyscallArg(0, 10, "SCMP_CMP_EQ"))
    code = code_of(
        Seccomp(
            "SCMP_ACT_ERRNO", syscalls=(SyscallRule(("socket",), "SCMP_ACT_ALLOW", None, args),)
        )
    )
    verdicts = [bpf.run(code, AUDIT_ARCH["x86_64"], 41, (family,)) for family in (2, 10, 3)]
    assert verdicts == [ALLOW, ALLOW, EPERM]


@pytest.mark.parametrize(
    ("spec", "architecture", "kind"),
    [
        (Seccomp("ALLOW"), "amd64", InvalidArgument),
        (Seccomp("SCMP_ACT_NOTIFY"), "amd64", Unsupported),
        (Seccomp("SCMP_ACT_ERRNO", 5000), "amd64", InvalidArgument),
        (Seccomp("SCMP_ACT_ALLOW", architectures=("X86",)), "amd64", InvalidArgument),
        (Seccomp("SCMP_ACT_ALLOW", flags=("FAST",)), "amd64", InvalidArgument),
        (Seccomp("SCMP_ACT_ALLOW"), "s390x", Unsupported),
        *(
            (
                Seccomp("SCMP_ACT_ERRNO", syscalls=(SyscallRule(("read",), action, None, args),)),
                "amd64",
                InvalidArgument,
            )
            for action, args in (
                ("allow", ()),
                ("SCMP_ACT_ALLOW", (SyscallArg(6, 0, "SCMP_CMP_EQ"),)),
                ("SCMP_ACT_ALLOW", (SyscallArg(0, 1 << 64, "SCMP_CMP_EQ"),)),
                ("SCMP_ACT_ALLOW", (SyscallArg(0, 0, "EQ"),)),
                ("SCMP_ACT_ALLOW", (SyscallArg(0, 0, "SCMP_CMP_XX"),)),
            )
        ),
    ],
)
def test_values_outside_the_runtime_spec_are_refused(
    spec: Seccomp, architecture: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        build(spec, architecture)


def test_a_filter_too_long_for_the_kernel_is_refused() -> None:
    rules = tuple(
        SyscallRule(("read", "write"), "SCMP_ACT_ALLOW", None, (SyscallArg(0, n, "SCMP_CMP_GT"),))
        for n in range(900)
    )
    with pytest.raises(InvalidArgument, match="the kernel takes 4096"):
        build(Seccomp("SCMP_ACT_ERRNO", syscalls=rules), "amd64")


def test_the_default_is_short_and_flags_are_kept() -> None:
    built = build(seccomp.resolve(seccomp.own("default"), FACTS), "amd64")
    assert len(built.program) // 8 <= 220
    assert built.flags == 4


def test_the_cache_key_changes_with_every_input_and_only_then() -> None:
    spec = seccomp.resolve(seccomp.own("default"), FACTS)
    same = seccomp.resolve(parse_again(), FACTS)
    assert cache_key(spec, "amd64") == cache_key(same, "amd64")
    others = {
        cache_key(spec, "386"),
        cache_key(seccomp.resolve(seccomp.own("default"), ADMIN), "amd64"),
        cache_key(Seccomp("SCMP_ACT_ALLOW"), "amd64"),
        cache_key(Seccomp("SCMP_ACT_ALLOW", flags=("SECCOMP_FILTER_FLAG_LOG",)), "amd64"),
    }
    assert len(others) == 4 and cache_key(spec, "amd64") not in others


def parse_again() -> seccomp.Profile:
    path = os.path.join(os.path.dirname(seccomp.__file__), "data", "seccomp-default.json")
    with open(path, "rb") as file:
        return parse(file.read(), "default")
