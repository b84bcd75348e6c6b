"""A tiny base image: this machine's static busybox with a link for each of its applets."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile

from casemate.cli.bootstrap.importing import import_image, is_here
from casemate.cli.failure import Exit
from casemate.cli.reference import tagged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session

_CHANGES = ['CMD ["sh"]', "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
_PASSWD = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
_GROUP = b"root:x:0:\nnobody:x:65534:\n"
_DIRECTORIES = {
    **dict.fromkeys(("bin", "dev", "etc", "proc", "sys", "usr", "usr/bin", "var"), 0o755),
    "root": 0o700,
    "tmp": 0o1777,
}
_PT_INTERP = 3
_MAX_BYTES = 64 << 20


def make(session: Session, arguments: Arguments) -> int:
    """Make the image ``--tag``, else ``busybox``. Raises Exit."""
    image = tagged(arguments.text("tag") or "busybox")
    if is_here(session, arguments, [image]):
        return 0
    return import_image(session, archive(*find()), [image], _CHANGES, arguments)


def find() -> tuple[bytes, list[str]]:
    """Return this machine's static busybox and the names of its applets. Raises Exit."""
    hint = "install the package busybox-static"
    path = shutil.which("busybox")
    if path is None:
        raise Exit(1, "cannot bootstrap busybox: it is not installed", hint=hint)
    try:
        with open(path, "rb") as file:
            program = file.read(_MAX_BYTES + 1)
        listed = subprocess.run([path, "--list"], capture_output=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        raise Exit(1, f"cannot bootstrap busybox: {error}") from error
    if not is_static(program):
        raise Exit(1, f"cannot bootstrap busybox: {path} needs shared libraries", hint=hint)
    names = listed.stdout.decode("ascii", "replace").split()
    return program, sorted(n for n in names if "/" not in n and n not in (".", "..", "busybox"))


def is_static(program: bytes) -> bool:
    """Return whether ``program`` is an ELF file that asks for no interpreter. Source: elf(5)."""
    if program[:4] != b"\x7fELF" or len(program) < 64 or len(program) > _MAX_BYTES:
        return False
    wide = program[4] == 2
    order = "little" if program[5] == 1 else "big"

    def number(at: int, size: int) -> int:
        return int.from_bytes(program[at : at + size], order)  # type: ignore[arg-type]

    table = number(32, 8) if wide else number(28, 4)
    size, count = (number(54, 2), number(56, 2)) if wide else (number(42, 2), number(44, 2))
    return all(number(table + index * size, 4) != _PT_INTERP for index in range(count))


def archive(program: bytes, applets: list[str]) -> Iterator[bytes]:
    """Yield the tar of the image. It is the same for the same busybox, whenever it is made."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, mode in _DIRECTORIES.items():
            _add(tar, name, mode, tarfile.DIRTYPE)
        _add(tar, "bin/busybox", 0o755, content=program)
        for applet in applets:
            _add(tar, f"bin/{applet}", 0o777, tarfile.SYMTYPE, target="busybox")
        _add(tar, "etc/passwd", 0o644, content=_PASSWD)
        _add(tar, "etc/group", 0o644, content=_GROUP)
    yield buffer.getvalue()


def _add(
    tar: tarfile.TarFile,
    name: str,
    mode: int,
    kind: bytes = tarfile.REGTYPE,
    *,
    content: bytes = b"",
    target: str = "",
) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode = mode
    entry.type = kind
    entry.size = len(content)
    entry.linkname = target
    tar.addfile(entry, io.BytesIO(content))
