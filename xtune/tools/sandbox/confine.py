"""Two ways to take the file system from a process, and the limits that both get.

namespaces   its own users, processes, network and mounts: it sees a root with the Python
             installation and the system's libraries, read-only, and a small working folder in
             memory; nothing else exists there, neither /etc nor /home nor /proc
landlock     for systems that keep namespaces from users: the kernel refuses to open any file but
             the same ones; that a file exists can be seen
"""

from __future__ import annotations

import os
import resource
import struct
import sys
from pathlib import Path

from xtune.tools.sandbox.kernel import call, libc

__all__ = ["enter_landlock", "enter_namespaces", "enter_root", "limit"]

_NEW_NAMESPACES = {
    "mount": 0x00020000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
}
_NOSUID, _NODEV, _NOEXEC, _BIND, _RECURSIVE, _PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
_DETACH = 2
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_READ_ONLY = 1 | 2 | 4  # mount_setattr's read-only, no set-uid, no devices
_CAPABILITY_VERSION = 0x20080522
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
_SYSTEM = ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin")

# Landlock's rights, and the version of it that first knows the later ones
_READ, _READ_FOLDER, _WRITE = 1 << 2, 1 << 3, 1 << 1
_FIRST_RIGHTS = (1 << 13) - 1
_LATER_RIGHTS = {2: 1 << 13, 3: 1 << 14, 5: 1 << 15}  # refer, truncate, ioctl of devices
_NO_MAKING = 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12  # devices, sockets, pipes, links
_NO_RUNNING = 1 << 0
_OLDEST_LANDLOCK = 3  # an older one lets files outside be emptied


def enter_namespaces() -> None:
    """Leave the host's users, network, processes and mounts; the next child is process 1.

    Raises:
        OSError: this system does not let a user do so.
    """
    uid, gid = os.getuid(), os.getgid()
    libc("unshare", sum(_NEW_NAMESPACES.values()))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"1000 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"1000 {gid} 1")


def enter_root(folder: str, disk_mb: int) -> str:
    """Change into a root of what Python needs and an empty working folder; give up all rights.

    Args:
        folder: an empty one, where the root is put together.
        disk_mb: what fits into the working folder.

    Returns:
        The working folder's path in the new root.

    Raises:
        OSError: a mount is refused.
    """
    libc("mount", b"none", b"/", None, _RECURSIVE | _PRIVATE, None)
    root = Path(folder)
    flags = _NOSUID | _NODEV | _NOEXEC
    libc("mount", b"tmpfs", folder.encode(), b"tmpfs", flags, b"size=1m,mode=755")
    for path in _readable():
        inside = root / path.lstrip("/")
        if os.path.islink(path):  # /lib -> usr/lib
            inside.symlink_to(os.readlink(path))
        elif not inside.exists():
            inside.mkdir(parents=True)
            _bind(path, inside)
    (root / "dev").mkdir()
    for path in _DEVICES:
        (root / path.lstrip("/")).touch()
        libc("mount", path.encode(), str(root / path.lstrip("/")).encode(), None, _BIND, None)
    (root / "work").mkdir()
    size = f"size={disk_mb}m,nr_inodes=4096,mode=700".encode()
    libc("mount", b"tmpfs", str(root / "work").encode(), b"tmpfs", flags, size)
    os.chdir(root)
    libc("pivot_root", b".", b".")
    libc("umount2", b".", _DETACH)
    os.chdir("/work")
    _make_read_only("/", recursively=False)
    nothing = struct.pack("=6I", *[0] * 6)
    libc("capset", struct.pack("=Ii", _CAPABILITY_VERSION, 0), nothing)
    return "/work"


def enter_landlock(folder: str) -> str:
    """Let this process open only what Python needs, to read, and `folder`; change into that.

    Returns:
        `folder`.

    Raises:
        OSError: the kernel has no Landlock, or one too old.
    """
    version = call("landlock_create_ruleset", None, 0, 1)
    if version < _OLDEST_LANDLOCK:
        raise OSError(f"Landlock {version} is too old, {_OLDEST_LANDLOCK} is needed (Linux 6.2)")
    rights = _FIRST_RIGHTS
    for since, right in _LATER_RIGHTS.items():
        rights |= right if version >= since else 0
    libc("prctl", 38, 1, 0, 0, 0)  # no_new_privs, without which a user may not
    rules = call("landlock_create_ruleset", struct.pack("=Q", rights), 8, 0)
    allowed = dict.fromkeys(_readable(), _READ | _READ_FOLDER)
    allowed |= dict.fromkeys(_DEVICES, _READ | _WRITE)
    allowed[folder] = rights & ~_NO_MAKING & ~_NO_RUNNING & ~_LATER_RIGHTS[5]
    for path, may in allowed.items():
        try:
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        call("landlock_add_rule", rules, 1, struct.pack("=Qi", may, opened), 0)
        os.close(opened)
    call("landlock_restrict_self", rules, 0)
    os.close(rules)
    os.chdir(folder)
    return folder


def limit(*, memory_mb: int, file_mb: int, cpu_seconds: int) -> None:
    """Limit what this process may use, for good.

    Args:
        memory_mb: of address space, which is more than what is used of it.
        file_mb: of one file.
        cpu_seconds: of all calls together.
    """
    mega = 1 << 20
    for what, most in {
        resource.RLIMIT_AS: memory_mb * mega,
        resource.RLIMIT_FSIZE: file_mb * mega,
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_CORE: 0,
    }.items():
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


def _readable() -> list[str]:
    """What Python needs to run: itself, its packages, the system's libraries."""
    paths = [*_SYSTEM, sys.base_prefix, sys.prefix]
    return [path for path in dict.fromkeys(paths) if os.path.exists(path)]


def _bind(path: str, inside: Path) -> None:
    libc("mount", path.encode(), str(inside).encode(), None, _BIND | _RECURSIVE, None)
    _make_read_only(str(inside), recursively=True)


def _make_read_only(path: str, *, recursively: bool) -> None:
    attributes = struct.pack("=4Q", _READ_ONLY, 0, 0, 0)
    flags = _AT_RECURSIVE if recursively else 0
    call("mount_setattr", _AT_FDCWD, path.encode(), flags, attributes, len(attributes))
