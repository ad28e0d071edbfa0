"""Files that are whole or absent: written beside their place, flushed to the disk, then renamed.

A sealed folder carries SHA-256 sums of its files, so that a flipped byte is noticed when it is
read.
"""

import errno
import hashlib
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO, TextIO, TypeVar

from safetensors import SafetensorError

from stellar.errors import UserError, first_line

Result = TypeVar("Result")
UTF8, ESCAPED = "utf-8", "backslashreplace"
"""Of texts, on every system; a name that is no UTF-8 becomes escapes."""
UMASK = os.umask(0)
os.umask(UMASK)
SUMS = "SHA256SUMS"


class NotWritten(UserError, OSError):
    """A place where nothing can be written, as on a full disk; what was there before is whole."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(
            f"{path} cannot be written ({reason}); make room or the right to write there, or "
            "choose another place, and give the same command again"
        )
        self.path, self.strerror = Path(path), reason


def at_home(named: str | Path) -> str:
    """A path or an address as a user names it, where ~ is their home folder, as in a shell. Raises
    UserError for what is no text, an empty one or one with a NUL, which no system takes in a name,
    for a path with a name that is too long, and where there is no such home.
    """
    if not isinstance(named, str | Path) or not str(named) or "\0" in str(named):
        raise UserError(f"expected a path or an address, got {named!r}")
    try:
        path = str(Path(named).expanduser()) if str(named).startswith("~") else str(named)
    except RuntimeError as error:
        raise UserError(
            f"the home folder of {named} is not known; name the place in full"
        ) from error
    if not is_address(path) and _is_too_long(path):
        raise UserError(f"{path} cannot be a path here, as one of its names is too long")
    return path


def is_address(named: str) -> bool:
    """Whether it is no local path, as in s3://bucket/shards."""
    return "://" in named


def _is_too_long(path: str) -> bool:
    """Whether this system has no room for such a name: nothing can be asked of it, not even whether
    it is there.
    """
    try:
        os.lstat(path)
    except OSError as error:
        return error.errno == errno.ENAMETOOLONG
    except ValueError:  # what no disk can write, as half of a character, is nowhere
        pass
    return False


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raises NotWritten where the disk refuses."""
    try:
        yield
    except NotWritten:
        raise
    except (OSError, SafetensorError) as error:
        raise NotWritten(path, reason_of(error)) from error


def reason_of(error: BaseException) -> str:
    """Why a disk refuses, without what the library that met it says around it."""
    said = getattr(error, "strerror", None) or first_line(error)
    reasons = map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES))
    return next((reason for reason in reasons if reason in said), said)


def refusal(path: Path | str, error: BaseException) -> str | None:
    """The sentence about a place that the system does not let be read, whatever is in it; None for
    an error of what is in it.
    """
    if (number := getattr(error, "errno", None)) is not None:
        return unreadable(path, os.strerror(number))
    denied = os.strerror(errno.EACCES)
    return unreadable(path, denied) if reason_of(error) == denied else None


def unreadable(path: Path | str, reason: str) -> str:
    """The sentence about a place that cannot be read, which names the folder above it where that is
    what lets nobody in.
    """
    return f"{closed_at(Path(path))} cannot be read ({reason}); make it readable, or name another"


def closed_at(path: Path) -> Path:
    """What keeps a path from being looked at: the folder above it that lets nobody in; where there
    is none, the path.
    """
    return next((place for place in (path, *path.parents) if not _is_out_of_reach(place)), path)


def _is_out_of_reach(path: Path) -> bool:
    try:
        path.stat()
    except PermissionError:
        return True
    except OSError:
        pass
    return False


@contextmanager
def permitted(place: Path | str, kind: type[UserError]) -> Iterator[None]:
    """Raises this kind of error, with one sentence, where the system refuses to let a place, or
    what is below it, be looked at.
    """
    try:
        yield
    except PermissionError as error:
        raise kind(unreadable(error.filename or place, reason_of(error))) from error


@contextmanager
def stopping_later() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait until what is done here is over."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: list[int] = []
    stops = (signal.SIGINT, signal.SIGTERM)
    before = {stop: signal.signal(stop, lambda number, _: asked.append(number)) for stop in stops}
    try:
        yield
    finally:
        for stop, handler in before.items():
            signal.signal(stop, signal.SIG_DFL if handler is None else handler)
    if asked:
        signal.raise_signal(asked[0])


@contextmanager
def torch_file(path: Path) -> Iterator[BinaryIO]:
    """A file that torch writes, which hides the disk's own error behind one of its own, and ends
    the process where Python is interrupted while it writes: signals wait.
    """
    with stopping_later(), path.open("wb") as file:
        try:
            yield file
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):
                raise error.__context__ from error
            raise


def one_line(text: str) -> str:
    """A text with escapes for line breaks, tabs and what else has no place in a line of a list."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def append(path: Path, text: str) -> None:
    """Add to the end of a text. Raises NotWritten."""
    with writing(path), path.open("a", encoding=UTF8, errors=ESCAPED) as file:
        file.write(text)


def locked(path: Path) -> TextIO:
    """A file that this process alone holds until it closes it or ends. Raises BlockingIOError while
    another process has it.

    On POSIX it is a record lock, which forked loader workers do not inherit, and which this process
    gives up where it closes the same file opened a second time, as `sync` does.
    """
    file = path.open("a", encoding=UTF8)
    try:
        _lock(file)
    except OSError:
        file.close()
        raise
    return file


def _lock(file: TextIO) -> None:
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(*error.args) from error
    else:
        import fcntl

        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def sync(path: Path) -> None:
    """Flush a file or a folder's entries to the disk; Windows has no such thing for a folder."""
    if sys.platform == "win32" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _publish(file: Path) -> None:
    """A finished file with the permissions that a new file has here, on the disk; safetensors
    writes files that only their owner may read.
    """
    file.chmod(0o666 & ~UMASK)
    sync(file)


def hidden(path: Path) -> Path:
    """A name beside this one for what is not whole yet, or not wanted any more. No other process
    has it: not by its number, which a process of another machine may have too. It ends as the name
    does, and has room where that one is as long as can be.
    """
    return path.with_name(f".{token_hex(4)}.{path.name[-40:]}")


def sweep(place: Path) -> None:
    """Remove what killed processes left `hidden` beside a place, whose name may be a pattern, as
    `step-*`. Only for who alone may write there: what another process is writing would go too.
    """
    for left in place.parent.glob(f".{'[0-9a-f]' * 8}.{place.name}"):
        with suppress(OSError):  # it is in nobody's way
            remove(left)


def remove(path: Path) -> None:
    """A folder with all that is in it, or a file."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def make_folder(path: Path) -> None:
    """A folder for results, with those above it. Raises UserError when it cannot be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}); choose another --out"
        ) from error


@contextmanager
def results_folder(path: Path) -> Iterator[None]:
    """The same for as long as results are made; a new folder in which none was written, as where
    making them failed, goes again.
    """
    is_new = not path.exists()
    make_folder(path)
    try:
        yield
    finally:
        if is_new:
            with suppress(OSError):  # something is in it
                path.rmdir()


def write_file(path: Path, content: str | bytes) -> None:
    """Replace a file in one step: readers see the old content or the new. Raises NotWritten."""
    data = content.encode(UTF8, ESCAPED) if isinstance(content, str) else content
    place_file(path, lambda temporary: temporary.write_bytes(data))


def place_file(path: Path, write: Callable[[Path], Result], staging: Path | None = None) -> Result:
    """Like `write_file`, for a writer that takes the path; the suffix is kept. Nothing stays
    behind if it fails. Until it is whole the file lies in `staging`, by default beside its place.
    What the writer gives is given on. Raises NotWritten.
    """
    temporary = hidden((staging or path.parent) / path.name)
    with writing(path):
        try:
            result = write(temporary)
            _publish(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync(path.parent)
    return result


@contextmanager
def filled(temporary: Path, place: Path) -> Iterator[None]:
    """A new folder to be filled and moved to its place; what was not moved goes. Raises NotWritten,
    of the place.
    """
    with writing(place):
        try:
            temporary.mkdir()
            yield
        except NotWritten as error:
            if temporary in error.path.parents:
                raise NotWritten(place, reason_of(error)) from error
            raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def place_files(folder: Path, write: Callable[[Path], Result]) -> Result:
    """Let `write` fill a hidden folder in an existing one, then move its files there, each in one
    step, the last name first. Other files stay; when `write` fails, all do. Raises NotWritten.
    """
    temporary = hidden(folder / "new")
    with filled(temporary, folder):
        result = write(temporary)
        for file in sorted(temporary.iterdir(), reverse=True):
            _publish(file)
            file.replace(folder / file.name)
        sync(folder)
    return result


def place_folder(path: Path, write: Callable[[Path], object]) -> None:
    """Fill a new folder through `write`, seal it with checksums, and rename it to `path` in one
    step. Raises NotWritten.
    """
    temporary = hidden(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with filled(temporary, path):
        write(temporary)
        files = sorted(temporary.iterdir())
        sums = "".join(f"{checksum(file)}  {file.name}\n" for file in files)
        (temporary / SUMS).write_text(sums, UTF8, ESCAPED)
        for file in [*files, temporary / SUMS]:
            _publish(file)
        sync(temporary)
        if path.exists():
            remove(path)
        temporary.replace(path)
        sync(path.parent)


def remove_folder(folder: Path) -> None:
    """The folder goes in one step, whatever a late process may still do in it."""
    trash = hidden(folder)
    try:
        folder.rename(trash)
        shutil.rmtree(trash, ignore_errors=True)
    finally:  # where that was interrupted, once more
        shutil.rmtree(trash, ignore_errors=True)


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def damage(folder: Path) -> str | None:
    """What is wrong with a sealed folder, or None: a file that is missing, or not what was
    written.
    """
    try:
        lines = (folder / SUMS).read_text("utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        return f"{SUMS} is missing or unreadable"
    if not lines:
        return f"{SUMS} is empty"
    for line in lines:
        expected, _, name = line.partition("  ")
        file = folder / name
        if not name or not file.is_file():
            return f"{name or 'a file'} is missing"
        if checksum(file) != expected:
            return f"{name} is not what was written (its checksum differs)"
    return None
