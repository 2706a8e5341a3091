"""Windows job objects: what they hold ends with them, and they end with whoever holds them open."""

from __future__ import annotations

import ctypes
from typing import Any, Protocol

_EXTENDED_LIMIT_INFORMATION = 9  # JOBOBJECTINFOCLASS
_KILL_ON_JOB_CLOSE = 0x2000


class Kernel32(Protocol):
    """The four calls used, so that tests on other platforms can stand in for the kernel."""

    def CreateJobObjectW(self, attributes: None, name: None) -> int: ...  # noqa: N802 - the kernel's own names
    def SetInformationJobObject(self, job: int, kind: int, limits: Any, size: int) -> int: ...  # noqa: N802
    def AssignProcessToJobObject(self, job: int, process: int) -> int: ...  # noqa: N802
    def TerminateJobObject(self, job: int, code: int) -> int: ...  # noqa: N802
    def CloseHandle(self, handle: int) -> int: ...  # noqa: N802


class _BasicLimits(ctypes.Structure):
    _fields_ = (
        ("PerProcessUserTimeLimit", ctypes.c_int64),
        ("PerJobUserTimeLimit", ctypes.c_int64),
        ("LimitFlags", ctypes.c_uint32),
        ("MinimumWorkingSetSize", ctypes.c_size_t),
        ("MaximumWorkingSetSize", ctypes.c_size_t),
        ("ActiveProcessLimit", ctypes.c_uint32),
        ("Affinity", ctypes.c_size_t),
        ("PriorityClass", ctypes.c_uint32),
        ("SchedulingClass", ctypes.c_uint32),
    )


class _ExtendedLimits(ctypes.Structure):
    _fields_ = (
        ("BasicLimitInformation", _BasicLimits),
        ("IoInfo", ctypes.c_uint64 * 6),
        ("ProcessMemoryLimit", ctypes.c_size_t),
        ("JobMemoryLimit", ctypes.c_size_t),
        ("PeakProcessMemoryUsed", ctypes.c_size_t),
        ("PeakJobMemoryUsed", ctypes.c_size_t),
    )


def kernel32() -> Kernel32:
    """The real one; Windows only."""
    library: Any = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined,unused-ignore] # Windows
    library.CreateJobObjectW.restype = ctypes.c_void_p
    for call in (library.SetInformationJobObject, library.AssignProcessToJobObject, library.TerminateJobObject):
        call.argtypes = None  # handles are passed as c_void_p below, which is what 64-bit Windows needs
    return library  # type: ignore[no-any-return] # ctypes builds its functions on access


class Job:
    """A process and everything it starts, as one thing that can be ended."""

    def __init__(self, process: int, kernel: Kernel32 | None = None) -> None:
        """Take the process whose handle is `process` into a new job; raises OSError where the kernel refuses."""
        self._kernel = kernel or kernel32()
        self._job = self._kernel.CreateJobObjectW(None, None)
        limits = _ExtendedLimits()
        limits.BasicLimitInformation.LimitFlags = _KILL_ON_JOB_CLOSE
        done = self._kernel.SetInformationJobObject(
            _handle(self._job), _EXTENDED_LIMIT_INFORMATION, ctypes.byref(limits), ctypes.sizeof(limits)
        ) and self._kernel.AssignProcessToJobObject(_handle(self._job), _handle(process))
        if not done:
            self.close()
            raise OSError("Windows refused a job object for the process")

    def kill(self) -> None:
        """End the process and everything it started, now."""
        self._kernel.TerminateJobObject(_handle(self._job), 1)

    def close(self) -> None:
        """Give the job up, which also ends what is left in it."""
        self._kernel.CloseHandle(_handle(self._job))


def _handle(value: int) -> Any:
    return ctypes.c_void_p(value)
