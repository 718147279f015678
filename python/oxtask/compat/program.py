"""Running a program as ``python`` would, with oxtask in the place of Prefect.

The program finds ``sys.argv``, ``sys.path`` and ``__main__`` as if it had been started without us,
and its tracebacks begin with its own code.
"""

from __future__ import annotations

import builtins
import io
import os
import pkgutil
import runpy
import sys
from importlib.machinery import SourceFileLoader
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn

from oxtask.compat.modules import install

if TYPE_CHECKING:
    from types import TracebackType

_USAGE = """\
usage: python -m oxtask.compat script.py [arguments]
       python -m oxtask.compat -m module [arguments]
       python -m oxtask.compat -c code [arguments]

Runs a program written for Prefect on oxtask, unchanged.
"""


def main(arguments: list[str]) -> None:
    """Run the program that the arguments of the command line name.

    Args:
        arguments: The command line after ``python -m oxtask.compat``.

    Raises:
        SystemExit: If the program exits, if there is no such program, or if none is named.
    """
    if len(arguments) > 1 and arguments[0] in _WAYS:
        run, program, argv = _WAYS[arguments[0]], arguments[1], [arguments[0], *arguments[2:]]
    elif arguments and not arguments[0].startswith("-"):
        run, program, argv = _run_file, arguments[0], arguments
    else:
        _leave_with_usage(arguments)

    install()
    sys.argv = argv
    module = ModuleType("__main__")
    vars(module).update(__builtins__=builtins, __annotations__={})
    sys.modules["__main__"] = module
    try:
        run(program, module)
    except SystemExit:
        raise
    except BaseException as error:
        _show_only_the_program(error)
        raise


def _run_file(path: str, module: ModuleType) -> None:
    full = os.path.join(os.getcwd(), path)  # noqa: PTH109, PTH118 - as `python` does, dots stay
    if pkgutil.get_importer(full) is not None:  # a folder or a zip file with a __main__.py
        _put_first(full)
        vars(runpy)["_run_module_as_main"]("__main__", alter_argv=False)
        return
    try:
        with io.open_code(full) as file:
            source = file.read()
    except OSError as error:
        number, reason = error.errno, error.strerror
        _leave(f"{sys.executable}: can't open file {full!r}: [Errno {number}] {reason}")
    _put_first(os.path.dirname(os.path.realpath(full)))  # noqa: PTH120 - takes text
    loader = SourceFileLoader("__main__", full)
    vars(module).update(__file__=full, __cached__=None, __loader__=loader)
    exec(compile(source, full, "exec", dont_inherit=True), vars(module))  # noqa: S102


def _run_module(name: str, _module: ModuleType) -> None:
    # What `python -m` itself calls: it fills the `__main__` that is in place.
    vars(runpy)["_run_module_as_main"](name)


def _run_code(code: str, module: ModuleType) -> None:
    _put_first("")
    exec(compile(code, "<string>", "exec", dont_inherit=True), vars(module))  # noqa: S102


_WAYS = {"-m": _run_module, "-c": _run_code}


def _put_first(folder: str) -> None:
    """Put ``folder`` where ``python -m`` has put the working directory."""
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        sys.path[0] = folder


def _show_only_the_program(error: BaseException) -> None:
    """Leave our frames out when the interpreter shows ``error``, which is about to end it.

    The interpreter adds frames while the error leaves them, so they are taken away at the end.
    """
    traceback = _without_launcher(error.__traceback__)
    show = sys.excepthook

    def excepthook(
        kind: type[BaseException], value: BaseException, _: TracebackType | None
    ) -> None:
        show(kind, value.with_traceback(traceback), traceback)

    sys.excepthook = excepthook


def _without_launcher(traceback: TracebackType | None) -> TracebackType | None:
    launcher = {code.co_filename for code in (main.__code__, runpy.run_module.__code__)}
    while traceback is not None and traceback.tb_frame.f_code.co_filename in launcher:
        traceback = traceback.tb_next
    return traceback


def _leave_with_usage(arguments: list[str]) -> NoReturn:
    if arguments[:1] in (["-h"], ["--help"]):
        sys.stdout.write(_USAGE)
        raise SystemExit(0)
    if len(arguments) == 1 and arguments[0] in _WAYS:
        problem = f"{arguments[0]} needs {'a module' if arguments[0] == '-m' else 'code'} after it"
    else:
        problem = f"there is no option {arguments[0]!r}" if arguments else "name a program"
    _leave(f"{_USAGE}\nerror: {problem}")


def _leave(message: str) -> NoReturn:
    sys.stderr.write(message + "\n")
    raise SystemExit(2)  # as `python` does
