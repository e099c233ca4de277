"""Kernels for nbval that do not import PyTorch again: forked from a process that has it.

Only libraries of others are there before a lesson begins, as modules it has still to import.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from functools import cache

from jupyter_client.provisioning import local_provisioner

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["torch", "torchvision", "ipykernel.kernelapp", "ipywidgets"])


@cache
def _fresh_path() -> list[str]:
    """Where a new Python looks for modules, without what tests have added here."""
    code = [sys.executable, "-c", "import sys; print(*sys.path[1:], sep='\\n')"]
    return subprocess.run(code, capture_output=True, text=True, check=True).stdout.splitlines()


def _serve(command: list[str], env: dict[str, str], folder: str, path: list[str]) -> None:
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env, JPY_PARENT_PID=str(os.getppid()))  # a kernel ends with its parent
    sys.path[:], sys.argv = path, command[2:]
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()


class _Kernel:
    """What jupyter_client wants of a Popen."""

    stdin = stdout = stderr = None

    def __init__(self, process) -> None:
        self.process, self.pid = process, process.pid
        self.kill, self.terminate = process.kill, process.terminate

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self, timeout: float | None = None) -> int | None:
        self.process.join(timeout)
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def _launch(command, *, env=None, cwd=None, **_) -> _Kernel:
    arguments = (command, dict(os.environ if env is None else env), cwd or ".", _fresh_path())
    process = _FORKS.Process(target=_serve, args=arguments)
    process.start()
    # Signals go to the group of a kernel, which must not be that of the tests any more.
    while process.exitcode is None and os.getpgid(process.pid) != process.pid:
        time.sleep(0.005)
    return _Kernel(process)


def forked(start):
    """The same function, whose kernels are forked."""

    def started(*args, **kwargs):
        launch, local_provisioner.launch_kernel = local_provisioner.launch_kernel, _launch
        try:
            return start(*args, **kwargs)
        finally:
            local_provisioner.launch_kernel = launch

    return started
