"""The command line as a whole: its verbs, and how whatever goes wrong becomes one sentence and an exit code."""

import errno
import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from sameplace._version import __version__
from sameplace.cli.cut import cut
from sameplace.cli.evaluate import evaluate
from sameplace.cli.export import export
from sameplace.cli.fetch import fetch
from sameplace.cli.index import index
from sameplace.cli.locate import locate
from sameplace.cli.names import UsageError
from sameplace.cli.output import note, printable
from sameplace.cli.remove import remove
from sameplace.cli.serve import serve
from sameplace.cli.show import show
from sameplace.cli.toytown import toytown
from sameplace.cli.train import train
from sameplace.errors import SameplaceError

VERBS = {verb.__name__: verb for verb in (index, locate, serve, evaluate, train, export, fetch, show, remove, toytown, cut)}
FAILED, MISUSED, INTERRUPTED, PIPE_CLOSED = 1, 2, 130, 141

app = App(
    name="sameplace",
    help="Tells where a photo was taken by recognising the place.",
    help_epilogue="Data goes to stdout, progress and notes to stderr. Exit codes: 0 done, 1 failed, 2 misused, 130 interrupted.",
    version=__version__,
    help_format="plaintext",
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
for number, (name, verb) in enumerate(VERBS.items()):
    app.command(verb, name=name, sort_key=number, help_epilogue="")


def run(arguments: Sequence[str]) -> int:
    """Carry out one command line and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that lacks a letter shows its code instead of failing
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(arguments, print_error=False, exit_on_error=False)
        sys.stdout.flush()
        return int(code or 0)
    except CycloptsError as error:
        note(f"sameplace: {_one_line(str(error))} Try 'sameplace {_asked_verb(arguments)}--help'.")
        return MISUSED
    except UsageError as error:
        note(f"sameplace: {_one_line(str(error))}")
        return MISUSED
    except BrokenPipeError:
        _forget_stdout()
        return PIPE_CLOSED
    except SameplaceError as error:
        note(f"sameplace: {_one_line(str(error))}")
    except OSError as error:
        note(f"sameplace: {_one_line(_in_words(error))}")
    except KeyboardInterrupt as error:
        note(f"sameplace: {error or 'Interrupted; nothing was changed.'}")
        return INTERRUPTED
    return FAILED


def _asked_verb(arguments: Sequence[str]) -> str:
    return f"{arguments[0]} " if arguments and arguments[0] in VERBS else ""


def _one_line(sentence: str) -> str:
    return printable(" ".join(sentence.split()))


def _in_words(error: OSError) -> str:
    """What the system refused, and what helps."""
    about = f"{error.filename}: " if error.filename else ""
    reason = error.strerror or str(error)
    cures = {
        errno.ENOSPC: "make room and run the same command again, which goes on from what is committed",
        errno.EDQUOT: "make room and run the same command again, which goes on from what is committed",
        errno.EACCES: "choose another path, or ask for access to this one",
        errno.EPERM: "choose another path, or ask for access to this one",
        errno.EROFS: "choose a path that can be written",
        errno.ENOENT: "check the path",
        errno.ENOTDIR: "check the path",
        errno.EISDIR: "name a file, not a folder",
        errno.EMFILE: "allow more open files (ulimit -n) and run it again",
    }
    cure = cures.get(error.errno or 0)
    return f"{about}{reason}; {cure}." if cure else f"{about}{reason}."


def _forget_stdout() -> None:
    """Whoever read our output has gone; let the interpreter's last flush fall into the void instead of complaining."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
