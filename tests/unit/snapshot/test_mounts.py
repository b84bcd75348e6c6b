"""A root mount as options for the kernel."""

from __future__ import annotations

from casemate.snapshot.mounts import RootMount

_FEATURES = "redirect_dir=off,metacopy=off,index=off,xino=auto"


def test_a_writable_root_names_both_of_its_directories() -> None:
    root = RootMount(("/top", "/base"), "/upper", "/work")
    assert root.options() == f"lowerdir=/top:/base,upperdir=/upper,workdir=/work,{_FEATURES}"
    assert root._replace(volatile=True).options().endswith(f"workdir=/work,volatile,{_FEATURES}")


def test_a_read_only_root_has_lower_directories_only() -> None:
    assert RootMount(("/a", "/b")).options() == f"lowerdir=/a:/b,{_FEATURES}"


def test_what_would_end_an_option_is_escaped() -> None:
    root = RootMount(("/a:b", "/c,d"), "/e\\f", "/g")
    assert root.options().startswith(
        "lowerdir=/a\\:b:/c\\,d,upperdir=/e\\\\f,workdir=/g,",
    )
