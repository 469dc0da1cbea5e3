"""The few system calls that Python has no function for."""

from __future__ import annotations

import ctypes
import os

__all__ = ["call", "libc"]

# For system calls that are younger than the split, one number for every architecture
NUMBERS = {
    "mount_setattr": 442,
    "landlock_create_ruleset": 444,
    "landlock_add_rule": 445,
    "landlock_restrict_self": 446,
}


def libc(function: str, *arguments: int | bytes | None | ctypes.Array[ctypes.c_char]) -> int:
    """Call a function of the C library that returns -1 on failure.

    Raises:
        OSError: it failed; names the function.
    """
    library = ctypes.CDLL(None, use_errno=True)
    passed = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result = getattr(library, function)(*passed)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")
    return result


def call(name: str, *arguments: int | bytes | None | ctypes.Array[ctypes.c_char]) -> int:
    """Make one of `NUMBERS`' system calls.

    Raises:
        OSError: it failed; names the call.
    """
    try:
        return libc("syscall", NUMBERS[name], *arguments)
    except OSError as error:
        raise OSError(error.errno, f"{name}: {os.strerror(error.errno or 0)}") from None
