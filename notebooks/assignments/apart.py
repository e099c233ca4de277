"""Two processes for one notebook: students' cells run in one, given cells and checks in the other.

The kernel of the checks never runs a student's code. Where a check calls a student's function, it
calls a stand-in, which sends the arguments over and takes back numbers, text and tensors as JSON.
So nothing that a student rebinds or replaces is there when a check runs.
"""

from __future__ import annotations

import base64
import builtins
import io
import json
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from itertools import islice
from numbers import Real
from typing import TYPE_CHECKING, Any

import cloudpickle
import numpy as np
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import publish_display_data
from IPython.utils.capture import capture_output
from traitlets.config import Config

if TYPE_CHECKING:
    from torch import Tensor

MOST_TEXT = 100_000  # characters that one cell may print
MOST_BYTES = 2**28  # that one cell may show or one call may return


# ------------------------------------------------------------------ values, as JSON


def _torch() -> Any:
    """PyTorch where a cell has imported it; it takes seconds."""
    return getattr(sys.modules.get("torch"), "nn", None) and sys.modules["torch"]


def _is_tensor(value: Any) -> bool:
    return bool(_torch()) and isinstance(value, _torch().Tensor)


def _is_module(value: Any) -> bool:
    return bool(_torch()) and isinstance(value, _torch().nn.Module)


def _random_state() -> Tensor | None:
    return _torch() and _torch().get_rng_state()


def _set_random_state(state: Tensor | None) -> None:
    if state is not None:
        import torch

        torch.set_rng_state(state)


def pack(value: Any, keep: Callable[[Any], int | str]) -> list:
    """A value as lists, numbers and text; a function as what `keep` calls it."""
    if _is_tensor(value):
        flat = value.detach().cpu().to_dense().contiguous().reshape(-1)
        raw = flat.view(_torch().uint8).numpy().tobytes()
        name = str(value.dtype).removeprefix("torch.")
        return ["tensor", name, list(value.shape), base64.b64encode(raw).decode()]
    match value:
        case None | bool() | str():
            return ["plain", value]
        case int() | float():
            return ["plain", (int if isinstance(value, int) else float)(value)]
        case complex():
            return ["complex", value.real, value.imag]
        case np.generic():
            return pack(value.item(), keep)
        case Real():  # a Fraction
            return ["plain", float(value)]
        case range():
            return pack(list(value), keep)
        case np.ndarray():
            raw = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
            return ["array", value.dtype.str, list(value.shape), raw]
        case list() | tuple() | set():
            kind = next(k for k in (list, tuple, set) if isinstance(value, k))
            return [kind.__name__, [pack(v, keep) for v in value]]
        case dict():
            return ["dict", [[pack(k, keep), pack(v, keep)] for k, v in value.items()]]
        case Iterator():
            return ["iterator", [pack(v, keep) for v in islice(value, 10_000)]]
    if value is Ellipsis or value is NotImplemented:
        return ["stub"]
    if callable(value):
        return ["function", keep(value)]
    return ["other", type(value).__name__]


def unpack(packed: Any) -> Any:
    """The value; raises whatever it likes where somebody sent something else."""
    match packed:
        case ["plain", None | bool() | int() | float() | str() as value]:
            return value
        case ["complex", float(real), float(imaginary)]:
            return complex(real, imaginary)
        case ["tensor", str(name), list(shape), str(text)]:
            import torch

            dtype, raw = getattr(torch, name), bytearray(base64.b64decode(text))
            flat = torch.frombuffer(raw, dtype=torch.uint8) if raw else torch.empty(0).byte()
            return flat.view(dtype).reshape(shape).clone()
        case ["array", str(name), list(shape), str(text)]:
            dtype = np.dtype(name)
            if dtype.hasobject:
                raise ValueError("an array of objects")
            return np.frombuffer(base64.b64decode(text), dtype).reshape(shape).copy()
        case [("list" | "tuple" | "set" | "iterator") as kind, list(values)]:
            made = {"list": list, "tuple": tuple, "set": set, "iterator": iter}[kind]
            return made([unpack(v) for v in values])
        case ["dict", list(pairs)]:
            return {unpack(k): unpack(v) for k, v in pairs}
        case ["stub"]:
            return NotImplemented
        case ["function", (int() | str()) as handle]:
            return StandIn(handle)
        case ["other", str(name)]:
            return Other(name)
    raise ValueError("the answer came in another form")


class Other:
    """A value that does not travel; named where a check meets it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, attribute: str) -> Any:
        raise AttributeError(f"a check cannot look into an object of type {self.name}")


class StandIn:
    """A student's function, called in their process."""

    def __init__(self, handle: int | str) -> None:
        self.handle = handle
        self.__name__ = str(handle)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        reply = _other_side.ask("call", self.handle, args, kwargs, _random_state())
        for argument, changes in zip([*args, *kwargs.values()], reply["changed"], strict=True):
            _apply(argument, [unpack(change) for change in changes])
        _set_random_state(unpack(reply["random"]))
        if reply["error"]:
            raise _their_error(reply["error"])
        return unpack(reply["result"])

    def __reduce__(self) -> tuple:
        return _kept, (self.handle,)


def _parts(argument: Any) -> list[Tensor | None]:
    """What a call may leave changed in an argument."""
    if _is_tensor(argument):
        return [argument.detach()]
    if _is_module(argument):
        parameters = list(argument.parameters())
        return [
            *(p.detach() for p in parameters),
            *argument.buffers(),
            *(p.grad for p in parameters),
            *(_torch().tensor(module.training) for module in argument.modules()),
        ]
    return []


def _apply(argument: Any, changes: list) -> None:
    """Writes what a call changed; changes are [place, new value or None]."""
    if not changes:
        return
    parts = _parts(argument)
    for place, new in changes:
        old = parts[place]
        if _is_module(argument):
            modules = list(argument.modules())
            parameters = list(argument.parameters())
            first_grad = len(parts) - len(modules) - len(parameters)
            if place >= len(parts) - len(modules):
                modules[place - len(parts)].training = bool(new)
                continue
            if place >= first_grad:
                parameters[place - first_grad].grad = new
                continue
        if old is not None and new is not None:
            old.data.copy_(new)


# ------------------------------------------------------------------ the students' side

_functions: list[Callable] = []
_shell: Any = None


def _kept(handle: int | str) -> Callable:
    return _shell.user_ns[handle] if isinstance(handle, str) else _functions[handle]


def _keep(function: Callable) -> int:
    _functions.append(function)
    return len(_functions) - 1


class _Limited(io.StringIO):
    """Text up to a limit, and no further, so that endless printing fills no memory."""

    def write(self, text: str) -> int:
        room = MOST_TEXT - self.tell()
        super().write(text[: max(0, room)])
        return len(text)


class _Shell(InteractiveShell):
    told = ""

    def ask_exit(self) -> None:
        raise RuntimeError("exit() and quit() end Python: leave them out")

    def enable_gui(self, gui: Any = None) -> None:
        pass  # figures are shown in the notebook; there are no windows

    def _showtraceback(self, etype: Any, evalue: Any, stb: Any) -> None:
        self.told = "\n".join(stb)[-MOST_TEXT:]


def _error(error: BaseException) -> list:
    frames = error.__traceback__ and error.__traceback__.tb_next
    text = "".join(traceback.format_exception(type(error), error, frames)).rstrip()
    return [type(error).__name__, str(error)[:MOST_TEXT], text[-MOST_TEXT:]]


def _run(source: str, wanted: set[str]) -> dict:
    """Runs a cell; what it printed and showed, and the values of the wanted names."""
    namespace = _shell.user_ns
    out, err = _Limited(), _Limited()
    with capture_output(stdout=False, stderr=False) as shown:
        _shell.display_trap.hook = sys.displayhook  # else the last value is only printed
        with redirect_stdout(out), redirect_stderr(err):
            result = _shell.run_cell(source, store_history=True)
    error = result.error_before_exec or result.error_in_exec
    bound = {}
    for name, value in list(namespace.items()):
        if name in wanted:  # whether bound or not: a cell may change a value in place
            try:
                if isinstance(value, Iterator):
                    raise TypeError("packing would use it up")
                bound[name] = pack(value, lambda _, name=name: name)
            except Exception:  # nested too deeply, too large, or made to fail
                bound[name] = ["other", type(value).__name__]
    return {
        "out": out.getvalue(),
        "err": err.getvalue(),
        "shown": [{"data": o.data, "metadata": o.metadata} for o in shown.outputs],
        "error": error and [type(error).__name__, str(error)[:MOST_TEXT], _shell.told],
        "bound": bound,
    }


def _call(handle: int | str, args: tuple, kwargs: dict, random: Tensor | None) -> dict:
    """Calls one of their functions; the result, and what changed in its arguments."""
    everything = [*args, *kwargs.values()]
    before = [[None if p is None else p.clone() for p in _parts(a)] for a in everything]
    reply: dict = {"error": None, "result": ["plain", None]}
    mine = _random_state()
    _set_random_state(random)
    try:
        with redirect_stdout(_Limited()), redirect_stderr(_Limited()):
            reply["result"] = pack(_kept(handle)(*args, **kwargs), _keep)
    except BaseException as error:  # SystemExit too
        reply["error"] = _error(error)
    reply["random"] = pack(_random_state(), _keep)
    _set_random_state(mine)
    reply["changed"] = [
        [
            pack([place, new], _keep)
            for place, (old, new) in enumerate(zip(olds, _parts(argument), strict=True))
            if (old is None) != (new is None)
            or (old is not None and new is not None and not _same(old, new))
        ]
        for olds, argument in zip(before, everything, strict=True)
    ]
    return reply


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and _torch().equal(a.nan_to_num(), b.nan_to_num())


def _as_text(value: Any) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()  # type: ignore[union-attr]
    os._exit(1)


def serve(channel: Any) -> None:
    """The students' process: answers until the channel closes."""
    global _shell
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other side ends this one
    sys.path.insert(0, "")  # as in a notebook; the other side does without
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _shell = _Shell.instance(config=Config({"HistoryManager": {"hist_file": ":memory:"}}))
    channel.send_bytes(b"ready")
    while True:
        try:
            verb, *rest = pickle.loads(channel.recv_bytes())
        except EOFError:
            return
        try:
            reply = {"run": _run, "call": _call}[verb](*rest)
            text = json.dumps(reply, default=_as_text)
        except Exception as error:
            text = json.dumps({"error": _error(error), "changed": []})
        channel.send_bytes(text.encode("utf-8", "replace"))


# ------------------------------------------------------------------ the checks' side


class Gone(Exception):
    """The students' process ended, or was ended since it took too long."""


class _OtherSide:
    """The students' process; started again without the cell that ended it."""

    def __init__(self, seconds: float, wanted: set[str]) -> None:
        self.seconds = seconds
        self.wanted = wanted
        self.sources: list[str] = []
        self.begun: str | None = None
        self.reply: dict = {"error": None}
        self.start()

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.channel, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs,))
        self.process.start()
        theirs.close()
        if not self.channel.poll(600) or self.channel.recv_bytes() != b"ready":
            raise RuntimeError("a second process cannot be started")

    def send(self, *message: Any) -> None:
        try:
            self.channel.send_bytes(cloudpickle.dumps(message))
        except OSError:
            pass  # receive says so

    def receive(self) -> dict:
        try:
            if not self.channel.poll(self.seconds):
                raise Gone(f"this took more than {self.seconds:g} seconds and was stopped")
            received = self.channel.recv_bytes(MOST_BYTES)
        except (EOFError, OSError):
            raise Gone("this ended Python (exit, a crash, or no memory left)") from None
        reply = json.loads(received)
        if not isinstance(reply, dict):
            raise ValueError("the answer came in another form")
        return reply

    def begin(self, source: str, known: set[str]) -> None:
        self.begun = source
        self.send("run", source, self.wanted - known)

    def end(self) -> dict:
        """What the cell did that was begun; a call from a given cell may have waited for it."""
        if self.begun is not None:
            source, self.begun = self.begun, None
            try:
                self.reply = self.answer()
                self.sources.append(source)
            except Gone as gone:
                self.reply = {"error": ["Ended", str(gone), str(gone)]}
        return self.reply

    def ask(self, *message: Any) -> dict:
        self.end()
        self.send(*message)
        reply = self.answer()
        if "result" not in reply:
            raise _their_error(reply["error"])
        return reply

    def answer(self) -> dict:
        try:
            return self.receive()
        except Gone:
            self.again()
            raise

    def again(self) -> None:
        """A new process with every cell before; one that ends it now is left out as well."""
        while True:
            self.process.kill()
            self.process.join()
            self.start()
            for place, source in enumerate(self.sources):
                self.send("run", source, set())
                try:
                    self.receive()
                except Gone:
                    del self.sources[place]
                    break
            else:
                return


_other_side: Any = None
_bound: dict[str, Any] = {}  # the names here that hold a student's value


def start(seconds: float, wanted: set[str]) -> None:
    """Starts the students' process.

    Args:
        seconds: a cell or a call may take.
        wanted: names that the given cells and the checks use.
    """
    global _other_side
    _other_side = _OtherSide(seconds, wanted)


def stop() -> None:
    """Ends the students' process."""
    _other_side.process.kill()
    _other_side.process.join()


def _their_error(error: Any) -> Exception:
    name, message, text = map(str, error)

    class Theirs(Exception):
        as_told = text  # dga.lessons.checks shows this instead of frames of this file

        def _render_traceback_(self) -> list[str]:
            return text.splitlines()

    Theirs.__name__ = Theirs.__qualname__ = name
    return Theirs(message)


def _namespace() -> dict:
    from IPython import get_ipython

    return get_ipython().user_ns


def _take(reply: dict, shows: bool) -> None:
    """Shows what a cell showed and binds its names, but none that a given cell bound."""
    namespace = _namespace()
    for name in [n for n, value in _bound.items() if namespace.get(n) is not value]:
        del _bound[name]  # a given cell or a check has bound it since
    for name, packed in reply.get("bound", {}).items():
        taken = name in namespace and name not in _bound
        if not taken and not hasattr(builtins, name) and not name.startswith("_"):
            namespace[name] = _bound[name] = unpack(packed)
    if not shows:
        return
    print(reply.get("out", ""), end="")
    for output in reply.get("shown", []):
        publish_display_data(output["data"], output["metadata"])
    if reply["error"]:
        raise _their_error(reply["error"])


def begin(source: str, same: bool) -> None:
    """Sends a cell to the students' process, without waiting.

    Args:
        source: the cell.
        same: whether it runs here as well, and binds its names here.
    """
    known = {name for name in _namespace() if name not in _bound}
    _other_side.begin(source, _other_side.wanted if same else known)


def finish(shows: bool) -> None:
    """Waits for it, shows what it showed and binds its names here."""
    _take(_other_side.end(), shows)
