"""The seccomp filter: no process, no thread, no network, no other process's business.

A list of what is refused, not of what is allowed: a numerical library may need any of the rest,
and the file system, where the rest could do harm, is confined by other means. A refused call fails
with EPERM, which Python shows as PermissionError.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

from xtune.tools.sandbox.kernel import libc

__all__ = ["MACHINES", "install", "program"]

# The numbers of x86-64, and those of the kernel's generic list, which aarch64 has; None: it has not
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    # processes
    "fork": (57, None),
    "vfork": (58, None),
    "clone": (56, 220),  # threads too
    "clone3": (435, 435),
    "execve": (59, 221),
    "execveat": (322, 281),
    "setsid": (112, 157),
    "setpgid": (109, 154),
    "kill": (62, 129),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
    "sched_setaffinity": (203, 122),
    # network; `socketpair`, which asyncio needs, reaches nobody
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    # memory that no limit counts, and what several processes share
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    # the file system as a whole
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    # doors into the kernel
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "syslog": (103, 116),
    "acct": (163, 89),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "personality": (135, 92),
    "vhangup": (153, 58),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
}
# What Landlock does not confine: of files outside, owner, mode, times, attributes
_ATTRIBUTES: dict[str, tuple[int | None, int | None]] = {
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "lchown": (94, None),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "setxattrat": (463, 463),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
}
_OF_ONE_PROCESS = {"tgkill": (234, 131), "prlimit64": (302, 261)}  # allowed on oneself only
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column, AUDIT_ARCH_…

_LOAD, _EQUAL, _NOT_BELOW, _RETURN = 0x20, 0x15, 0x35, 0x06  # BPF instructions
_NUMBER, _ARCH, _ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_ALLOW, _EPERM, _KILL = 0x7FFF0000, 0x00050001, 0x80000000
_X32 = 0x40000000  # numbers of x86-64's other interface
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2


def program(machine: str, pid: int, *, attributes: bool) -> bytes:
    """Return the filter as the kernel takes it: 8 bytes an instruction.

    Args:
        machine: a key of `MACHINES`.
        pid: of the process itself.
        attributes: refuse changes of owner, mode, times and attributes of files too.
    """
    column, arch = MACHINES[machine]
    refused = _REFUSED | (_ATTRIBUTES if attributes else {})
    numbers = [number for both in refused.values() if (number := both[column]) is not None]
    # code, where to go if true and if false (as labels, None: the next), operand
    steps: list[tuple[int, str | None, str | None, int]] = [
        (_LOAD, None, None, _ARCH),
        (_EQUAL, None, "kill", arch),
        (_LOAD, None, None, _NUMBER),
    ]
    if machine == "x86_64":
        steps.append((_NOT_BELOW, "refuse", None, _X32))
    steps += [(_EQUAL, "refuse", None, number) for number in numbers]
    steps += [(_EQUAL, name, None, both[column]) for name, both in _OF_ONE_PROCESS.items()]
    labels = {"allow": len(steps)}
    steps.append((_RETURN, None, None, _ALLOW))
    labels["tgkill"] = len(steps)
    steps += [(_LOAD, None, None, _ARGUMENT), (_EQUAL, "allow2", "refuse", pid)]
    labels["prlimit64"] = len(steps)
    steps += [(_LOAD, None, None, _ARGUMENT), (_EQUAL, "allow2", "refuse", 0)]
    for label, verdict in {"refuse": _EPERM, "allow2": _ALLOW, "kill": _KILL}.items():
        labels[label] = len(steps)
        steps.append((_RETURN, None, None, verdict))
    compiled = b""
    for at, (code, true, false, operand) in enumerate(steps):
        jumps = [labels[to] - at - 1 if to else 0 for to in (true, false)]
        compiled += struct.pack("=HBBI", code, *jumps, operand)
    return compiled


def install(*, attributes: bool) -> None:
    """Put the filter on this process, for good.

    Args:
        attributes: as for `program`.

    Raises:
        OSError: the kernel has no seccomp, or the machine is neither x86-64 nor aarch64.
    """
    machine = platform.machine()
    if machine not in MACHINES:
        raise OSError(f"the system call filter is not written for {machine}")
    compiled = program(machine, os.getpid(), attributes=attributes)
    held = ctypes.create_string_buffer(compiled, len(compiled))
    # struct sock_fprog: number of instructions, pointer to them
    described = struct.pack("@HP", len(compiled) // 8, ctypes.addressof(held))
    libc("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc("prctl", _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, described, 0, 0)
