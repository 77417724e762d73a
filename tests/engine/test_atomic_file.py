"""Outputs appear whole or not at all; what the file system refuses is said in one line."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from sidekeys_engine import atomic_file
from sidekeys_engine.atomic_file import atomic_output, check_readable, check_writable, shown_path
from sidekeys_engine.errors import InputError

ENGINE = Path(atomic_file.__file__).parents[1]
NOBODY = 65534


def run_python(code: str, *arguments: Path) -> str:
    """Run ``code`` in a process of its own, where limits and user ids may be changed."""
    prelude = f"import sys; sys.path.insert(0, {str(ENGINE)!r})\n"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", prelude + textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def one_line(error: pytest.ExceptionInfo[InputError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_output_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "song.mid"
    with atomic_output(target) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".mid"
        temporary.write_bytes(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["song.mid"]


@pytest.mark.parametrize("exception", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_existing_output_survives_any_exception(
    tmp_path: Path, exception: type[BaseException]
) -> None:
    target = tmp_path / "song.mid"
    target.write_bytes(b"old")

    def break_off() -> None:
        with atomic_output(target) as temporary:
            temporary.write_bytes(b"half of the n")
            raise exception

    with pytest.raises(exception):
        break_off()
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["song.mid"]


def test_an_error_about_another_file_is_not_blamed_on_the_output(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_output(tmp_path / "song.mid"):
        (tmp_path / "no such checkpoint").read_bytes()
    assert names(tmp_path) == []


def test_an_input_error_in_the_block_passes_unchanged(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match=r"^no such composer$"),
        atomic_output(tmp_path / "song.mid"),
    ):
        raise InputError("no such composer")


def test_replaced_file_keeps_its_permissions_and_a_new_one_follows_the_umask(
    tmp_path: Path,
) -> None:
    script = """
        import os, stat
        from sidekeys_engine.atomic_file import atomic_output
        os.umask(0o027)
        for name in sys.argv[1:]:
            with atomic_output(name) as temporary:
                temporary.write_bytes(b"x")
            print(oct(stat.S_IMODE(os.stat(name).st_mode)))
    """
    old, new = tmp_path / "old.mid", tmp_path / "new.mid"
    old.touch()
    old.chmod(0o664)
    assert run_python(script, old, new).split() == ["0o664", "0o640"]


def test_a_symbolic_link_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "take.mid").write_bytes(b"old")
    link = tmp_path / "latest.mid"
    link.symlink_to(folder / "take.mid")
    with atomic_output(link) as temporary:
        temporary.write_bytes(b"new")
    assert link.is_symlink()
    assert (folder / "take.mid").read_bytes() == b"new"


def refused(path: str | os.PathLike[str]) -> str:
    with pytest.raises(InputError) as error, atomic_output(path):
        pytest.fail("the block ran although nothing can be written")
    return one_line(error)


def test_a_missing_folder_is_told_before_the_work(tmp_path: Path) -> None:
    message = refused(tmp_path / "nowhere" / "song.mid")
    assert "there is no such folder" in message
    assert names(tmp_path) == []


def test_a_folder_as_output_is_refused(tmp_path: Path) -> None:
    assert "it is a folder" in refused(tmp_path)
    assert "it is a folder" in refused("")


def test_a_parent_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "is a file, not a folder" in refused(tmp_path / "file" / "song.mid")


def test_a_device_is_refused_and_not_replaced() -> None:
    before = Path("/dev/null").stat().st_mode
    assert "a device or a pipe" in refused("/dev/null")
    assert Path("/dev/null").stat().st_mode == before
    assert stat.S_ISCHR(before)


def test_impossible_names_are_refused_in_one_line(tmp_path: Path) -> None:
    assert "no valid file name" in refused(f"{tmp_path}/a\0b.mid")
    assert "the name is too long" in refused(tmp_path / ("x" * 300 + ".mid"))
    assert "\\n" in refused(tmp_path / "two\nlines" / "song.mid")


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    loop = tmp_path / "loop.mid"
    loop.symlink_to(loop)
    assert "circle" in refused(loop)
    assert loop.is_symlink()


# Everything is imported while the process is still root: the checkout may be root's alone.
AS_NOBODY = f"""
    import os
    from sidekeys_engine.atomic_file import atomic_output, check_readable
    from sidekeys_engine.errors import InputError
    if os.geteuid() == 0:  # permissions do not hold root back
        os.setgroups([])
        os.setgid({NOBODY})
        os.setuid({NOBODY})
    try:
        if sys.argv[1] == "read":
            check_readable(sys.argv[2])
        else:
            with atomic_output(sys.argv[2]) as temporary:
                temporary.write_bytes(b"new")
    except InputError as error:
        print(error)
"""


@pytest.fixture
def open_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that any user may enter and write to; pytest's own are its user's alone."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    opened = []
    if os.geteuid() == 0:
        for parent in folder.parents:
            mode = stat.S_IMODE(parent.stat().st_mode)
            if not mode & stat.S_IXOTH:
                parent.chmod(mode | stat.S_IXOTH)
                opened.append((parent, mode))
    yield folder
    for parent, mode in opened:
        parent.chmod(mode)


def as_nobody(action: str, path: Path) -> str:
    return run_python(AS_NOBODY, Path(action), path)


def test_no_write_permission_in_the_folder_is_told(open_folder: Path) -> None:
    locked = open_folder / "locked"
    locked.mkdir()
    (locked / "song.mid").write_bytes(b"old")
    (locked / "song.mid").chmod(0o666)
    locked.chmod(0o555)
    message = as_nobody("write", locked / "song.mid")
    locked.chmod(0o755)
    assert "no permission" in message
    assert (locked / "song.mid").read_bytes() == b"old"
    assert names(locked) == ["song.mid"]


def test_a_write_protected_output_is_left_alone(open_folder: Path) -> None:
    target = open_folder / "song.mid"
    target.write_bytes(b"old")
    target.chmod(0o444)
    assert "write-protected" in as_nobody("write", target)
    assert target.read_bytes() == b"old"
    assert names(open_folder) == ["song.mid"]


def test_no_read_permission_is_told(open_folder: Path) -> None:
    source = open_folder / "song.wav"
    source.write_bytes(b"data")
    source.chmod(0o000)
    message = as_nobody("read", source)
    assert message.startswith("Cannot read")
    assert "no permission" in message


# A file-size limit makes write() fail as a full disk does, for root too; only errno differs.
LIMITED = """
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    from sidekeys_engine.atomic_file import atomic_output
    from sidekeys_engine.errors import InputError
    import numpy, soundfile
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    try:
        with atomic_output(sys.argv[1]) as temporary:
            WRITE
        print("written")
    except InputError as error:
        print(error)
"""


@pytest.mark.parametrize(
    "write",
    [
        "temporary.write_bytes(bytes(200_000))",
        "soundfile.write(temporary, numpy.zeros(200_000), 44100)",
        "raise RuntimeError('a library that does not say why it could not write')",
    ],
)
def test_a_disk_that_takes_no_more_is_told_and_the_old_output_stays(
    tmp_path: Path, write: str
) -> None:
    target = tmp_path / "mix.wav"
    target.write_bytes(b"old")
    message = run_python(LIMITED.replace("WRITE", write), target)
    assert message.startswith("Cannot write")
    assert "larger than this system allows" in message
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["mix.wav"]


def test_output_below_the_limit_is_written(tmp_path: Path) -> None:
    write = "soundfile.write(temporary, numpy.zeros(20_000), 44100)"
    target = tmp_path / "mix.wav"
    assert run_python(LIMITED.replace("WRITE", write), target) == "written"
    assert soundfile.info(target).frames == 20_000


def test_disk_full_is_said_as_such(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError) as error,
        atomic_output(tmp_path / "song.mid"),
        Path("/dev/full").open("wb") as full,
    ):
        full.write(b"x" * 100_000)  # the kernel's own "no space left on device"
    assert "the disk is full" in one_line(error)
    assert isinstance(error.value.__cause__, OSError)
    assert error.value.__cause__.errno == errno.ENOSPC
    assert names(tmp_path) == []


def test_a_programming_error_in_the_block_stays_one(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), atomic_output(tmp_path / "song.mid"):
        _ = 1 / 0
    assert names(tmp_path) == []


def test_two_outputs_at_once_do_not_meet(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        for index in range(20):
            temporary = stack.enter_context(atomic_output(tmp_path / "song.mid"))
            temporary.write_text(str(index))
        assert len(names(tmp_path)) == 20
    assert names(tmp_path) == ["song.mid"]


def test_check_readable_tells_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "good.wav").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe")
    cases = {
        tmp_path / "missing.wav": "there is no such file",
        tmp_path: "is a folder",
        tmp_path / "empty.wav": "is empty",
        tmp_path / "good.wav" / "x.wav": "a part of its path is a file",
        tmp_path / "pipe": "a device or a pipe",
        Path("a\0b"): "no valid file name",
    }
    for path, words in cases.items():
        with pytest.raises(InputError) as error:
            check_readable(path)
        assert words in one_line(error)
    check_readable(tmp_path / "good.wav")


def test_a_path_is_shown_in_one_printable_line() -> None:
    assert shown_path("Bjørk.wav") == "'Bjørk.wav'"
    assert shown_path("a\nb\x1b[31m\udc80.wav") == r"'a\nb\x1b[31m\udc80.wav'"


def test_a_writable_path_is_found_so_without_touching_it(tmp_path: Path) -> None:
    old = tmp_path / "old.mid"
    old.write_bytes(b"precious")
    check_writable(old)
    check_writable(tmp_path / "new.mid")
    assert [path.name for path in tmp_path.iterdir()] == ["old.mid"]
    assert old.read_bytes() == b"precious"
    for bad in (tmp_path / "no" / "a.mid", old / "a.mid", tmp_path):
        with pytest.raises(InputError, match="Cannot write"):
            check_writable(bad)
