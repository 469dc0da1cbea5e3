"""What is started for a sandbox: python -m xtune.tools.sandbox.launch SETTINGS

SETTINGS is JSON: means, folder, memory_mb, disk_mb, cpu_seconds, results (a file descriptor). Two
processes come of it: this one, which waits, and the confined one, the interpreter. Code comes in on
standard input, its output goes out on standard output, and its results on `results`.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys

from xtune.tools.sandbox import confine, interpreter, syscall_filter

__all__ = ["main"]

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4


def main(settings: dict[str, object]) -> int:
    """Confine a child and let it interpret; return its exit code, or less than 0 for a signal."""
    results, folder = int(str(settings["results"])), str(settings["folder"])
    namespaces = settings["means"] == "namespaces"
    try:
        if namespaces:
            confine.enter_namespaces()
        _end_with_the_parent()
        child = os.fork()
        if child:
            _let_go_of_everything()
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        _end_with_the_parent()
        if namespaces:
            home = confine.enter_root(folder, int(str(settings["disk_mb"])))
        else:
            home = confine.enter_landlock(folder)
        os.environ |= {"HOME": home, "TMPDIR": home, "MPLCONFIGDIR": f"{home}/.matplotlib"}
        confine.limit(
            memory_mb=int(str(settings["memory_mb"])),
            file_mb=int(str(settings["disk_mb"])),
            cpu_seconds=int(str(settings["cpu_seconds"])),
        )
        syscall_filter.install(attributes=not namespaces)
    except OSError as error:
        os.write(results, json.dumps({"off": str(error)}).encode() + b"\n")
        return 1
    with contextlib.suppress(BaseException):
        interpreter.serve(results)
    os._exit(0)


def _end_with_the_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _let_go_of_everything() -> None:
    # Else the pipes stay open when the confined process is gone
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0)
    os.closerange(0, 1024)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
