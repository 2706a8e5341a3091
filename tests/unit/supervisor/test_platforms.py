"""What would be done on each platform, decided here and carried out there."""

import signal
import sys

import pytest

from intelli_ops.supervisor.platforms import Platform
from intelli_ops.supervisor.winjob import Job

LINUX, MACOS, WINDOWS = Platform("linux"), Platform("darwin"), Platform("win32")


@pytest.mark.parametrize("platform", [LINUX, MACOS])
def test_posix_children_get_a_session_of_their_own_and_three_signals(platform):
    assert platform.popen_options() == {"start_new_session": True}
    assert [platform.signal_for(step) for step in ("warm", "cold", "kill")] == [signal.SIGTERM, 3, None]


def test_windows_has_one_soft_signal_and_then_the_end():
    assert WINDOWS.popen_options() == {"creationflags": 0x200}
    assert [WINDOWS.signal_for(step) for step in ("warm", "cold", "kill")] == [1, None, None]


def test_windows_detaches_without_a_console():
    assert WINDOWS.detach_options() == {"creationflags": 0x208}


def test_only_linux_wraps_and_only_posix_is_guarded():
    assert LINUX.wrap(["prog", "a b"], 42)[-3:] == ["42", "prog", "a b"]
    assert MACOS.wrap(["prog"], 42) == ["prog"] == WINDOWS.wrap(["prog"], 42)
    assert MACOS.guard()[0] == sys.executable
    assert WINDOWS.guard() is None


def test_a_signal_this_machine_does_not_have_is_not_listened_to():
    assert set(LINUX.stop_signals()) == {signal.SIGINT, signal.SIGTERM}
    assert signal.SIGINT in WINDOWS.stop_signals()
    assert signal.SIGTERM not in WINDOWS.stop_signals()


class Kernel:
    """Writes down what Windows was asked to do."""

    def __init__(self, refuse=""):
        self.refuse, self.asked = refuse, []

    def __getattr__(self, name):
        def call(*arguments):
            self.asked.append((name, *[getattr(argument, "value", argument) for argument in arguments]))
            if name == "SetInformationJobObject":
                self.flags = arguments[2]._obj.BasicLimitInformation.LimitFlags
            return 0 if name == self.refuse else 77

        return call


def test_a_job_ends_with_its_holder_and_kills_the_whole_family():
    kernel = Kernel()
    job = Job(5, kernel)
    job.kill()
    job.close()
    assert kernel.flags == 0x2000  # JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
    assert ("AssignProcessToJobObject", 77, 5) in kernel.asked
    assert kernel.asked[-2:] == [("TerminateJobObject", 77, 1), ("CloseHandle", 77)]


@pytest.mark.parametrize("refused", ["SetInformationJobObject", "AssignProcessToJobObject"])
def test_a_refused_job_leaves_no_handle_open(refused):
    kernel = Kernel(refused)
    with pytest.raises(OSError, match="refused"):
        Job(5, kernel)
    assert kernel.asked[-1] == ("CloseHandle", 77)
