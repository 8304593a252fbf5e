"""The command line, one file a command; `main` turns every ending into an exit code.

0 done, 1 finished without reaching what was asked, 2 bad input or a missing solver, 3 an internal error, 130 Ctrl-C,
143 SIGTERM. The commands are imported when signals are heard and streams are open.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from prillm_or.cli.signals import Ears

_HINTS = {
    "EMFILE": "; raise the limit, `ulimit -n`, or lower --jobs",
    "ENOSPC": ": a disk is full, or /dev/shm, which --jobs needs",
}

_LIBRARIES = (".so", ".pyd", ".dylib")


def main() -> None:
    """Entry point of the executable `prillm-or`."""
    ears = Ears()
    ears.open()  # before anything that takes long to load
    from prillm_or.cli.streams import close_streams, open_streams

    open_streams()
    ears.pass_on()
    code = ears.close(run(sys.argv[1:], ears.answer))
    close_streams()
    sys.exit(code)


def run(arguments: Sequence[str], begin: Callable[[], None] = lambda: None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    begin
        Called as soon as Ctrl-C has a place to end in.
    """
    from prillm_or.cli.streams import report
    from prillm_or.errors import OUT_OF_MEMORY, PrillmError

    try:
        begin()
        _check_folder()
        from prillm_or.cli.app import invoke

        return invoke(arguments)
    except PrillmError as error:
        report(error)
        return 2
    except KeyboardInterrupt:
        report("interrupted: nothing was found yet")
        return 130
    except BrokenPipeError:
        return 0  # nobody has to read what is printed
    except OSError as failure:
        report(_system_fault(failure))
        return 2
    except MemoryError:
        report(OUT_OF_MEMORY)
        return 2
    except ImportError as error:
        if not str(error.path).endswith(_LIBRARIES):
            return _internal(error, arguments)
        report(f"{error}: a library cannot be loaded: its package is broken, or memory is short")
        return 2
    except Exception as error:  # the last line of defence: a user sees no traceback
        return _internal(error, arguments)


def _internal(error: Exception, arguments: Sequence[str]) -> int:
    from prillm_or.cli.streams import report

    report(f"internal error: {type(error).__name__}: {error}; run with --verbose and report it")
    if "--verbose" in arguments:
        import traceback

        traceback.print_exc()
    return 3


def _check_folder() -> None:
    """Libraries end the process where the working folder was deleted, before we could say why."""
    from prillm_or.errors import PrillmError

    try:
        os.getcwd()
    except FileNotFoundError:
        raise PrillmError("the working folder is gone; change to one that is there") from None


def _system_fault(failure: OSError) -> str:
    """What a disk, a folder or a limit of the system does not give, and the way out."""
    import errno

    named = ": ".join(str(part) for part in (failure.filename, failure.strerror or failure) if part)
    return named + _HINTS.get(errno.errorcode.get(failure.errno or 0, ""), "")
