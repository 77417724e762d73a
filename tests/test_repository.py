"""Rules that hold the house up: who may import whom, what a file may say, what is pinned."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
ENGINE = sorted((ROOT / "engine").rglob("*.py"))
BRIDGE = sorted((ROOT / "bridge").rglob("*.py"))
SOURCES = [*ENGINE, *BRIDGE, *sorted((ROOT / "examples").glob("*.py"))]
OURS = ("sidekeys_engine", "sidekeys_bridge")
# Rooms without torch: messages, and the arithmetic of beats and notes that live and offline share.
BRIDGE_MAY_IMPORT = {
    f"sidekeys_engine.{room}"
    for room in (
        "atomic_file", "bars", "beat_grid", "connection", "dynamics", "errors", "expression",
        "joining", "loudness", "note_tokens", "notes", "pedaling", "protocol", "silence",
        "tempo_map", "timeline",
    )
}  # fmt: skip
FREE_OF_TORCH = (
    "sidekeys_bridge", "sidekeys_bridge.cli", "sidekeys_bridge.bridge", "sidekeys_engine.notes",
    "sidekeys_engine.server",
)  # fmt: skip
HEAVY = {
    "av", "essentia", "huggingface_hub", "librosa", "matplotlib", "pretty_midi", "scipy",
    "transformers", "aalink", "rtmidi", "sounddevice", "soundcard",
}  # fmt: skip


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    """`engine/sidekeys_engine/audio.py` is the module `sidekeys_engine.audio`."""
    parts = path.relative_to(ROOT).with_suffix("").parts[1:]
    return ".".join(part for part in parts if part != "__init__")


def imports_of(path: Path, *, at_the_top: bool = False) -> Iterator[str]:
    """Full names of all that a file imports, relative imports included."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if at_the_top else ast.walk(tree)
    package = module_of(path) if path.name == "__init__.py" else module_of(path).rpartition(".")[0]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def tracked_files() -> list[Path]:
    """Files under version control, or about to be."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode == 0:
        paths = [ROOT / line for line in listed.stdout.splitlines()]
    else:  # an unpacked archive: what is hidden or built is not ours
        skipped = {"demo", "dist", "build", "__pycache__"}
        paths = [
            path
            for path in ROOT.rglob("*")
            if not any(
                part in skipped or (part.startswith(".") and part != ".ci")
                for part in path.relative_to(ROOT).parts
            )
        ]
    return [path for path in paths if path.is_file()]


def texts() -> Iterator[tuple[Path, str]]:
    for path in tracked_files():
        data = path.read_bytes()
        if b"\0" not in data:
            yield path, data.decode("utf-8")


# --- who may import whom ---


def test_the_source_is_found():
    assert len(ENGINE) > 10
    assert BRIDGE


@pytest.mark.parametrize("path", BRIDGE, ids=name_of)
def test_the_bridge_imports_only_light_rooms_of_the_engine(path: Path):
    engine = [name for name in imports_of(path) if name.split(".")[0] == "sidekeys_engine"]
    allowed = [".".join(name.split(".")[:2]) in BRIDGE_MAY_IMPORT for name in engine]
    # `from sidekeys_engine import notes` names the package first; what it takes is what counts.
    assert all(ok or name == "sidekeys_engine" for name, ok in zip(engine, allowed, strict=True)), (
        engine
    )
    assert "sidekeys_engine" not in engine or any(allowed), engine
    assert "torch" not in {name.split(".")[0] for name in imports_of(path)}


@pytest.mark.parametrize("path", ENGINE, ids=name_of)
def test_the_engine_never_imports_the_bridge(path: Path):
    assert "sidekeys_bridge" not in {name.split(".")[0] for name in imports_of(path)}


def test_the_rule_sees_relative_and_nested_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "engine" / "sidekeys_engine" / "room.py"
    file.parent.mkdir(parents=True)
    file.write_text("def f():\n    from .model import x\n    import a.b\n", encoding="utf-8")
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    assert list(imports_of(file)) == ["sidekeys_engine.model", "sidekeys_engine.model.x", "a.b"]
    assert list(imports_of(file, at_the_top=True)) == []


@pytest.mark.parametrize("module", FREE_OF_TORCH)
def test_what_must_start_fast_leaves_torch_out(module: str):
    program = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    path = f"{ROOT / 'engine'}:{ROOT / 'bridge'}"
    result = subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": path}, check=False)
    assert result.returncode == 0


@pytest.mark.parametrize("path", [*ENGINE, *BRIDGE], ids=name_of)
def test_heavy_libraries_are_imported_where_they_are_used(path: Path):
    top = {name.split(".")[0] for name in imports_of(path, at_the_top=True)}
    assert top.isdisjoint(HEAVY)


def test_imports_between_rooms_have_no_circle():
    inside = {
        module_of(path): {
            name for name in imports_of(path, at_the_top=True) if name.split(".")[0] in OURS
        }
        for path in [*ENGINE, *BRIDGE]
    }
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join([*above, module])
        if module in done:
            return
        for name in inside[module]:
            if name in inside and name not in OURS:
                visit(name, (*above, module))
        done.add(module)

    for module in inside:
        visit(module, ())


# --- what a file may say ---


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_every_module_says_what_it_is_for(path: Path):
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring
    assert docstring.splitlines()[0].endswith((".", ":"))


def test_no_file_names_a_place_on_somebodys_machine():
    # Where Debian keeps a soundfont and what a shell script calls are places on every machine.
    place = re.compile(r"(?<![\w.:/])/(?:home|root|Users|work|tmp|opt|mnt|data)/[\w.-]+")
    found = [
        f"{name_of(path)}: {match[0]}"
        for path, text in texts()
        if path != Path(__file__).resolve()
        for match in place.finditer(text)
    ]
    assert found == []


def test_no_file_names_a_package_registry():
    host = re.compile(r"(?:files\.pythonhosted|pypi|download\.pytorch)\.org|--(?:extra-)?index-url")
    found = [name_of(path) for path, text in texts() if host.search(text)]
    assert found == []


def test_text_files_end_with_one_newline_and_have_no_trailing_spaces():
    def is_tidy(text: str) -> bool:
        return not text or (text.endswith("\n") and not text.endswith("\n\n"))

    written = [(name_of(path), text) for path, text in texts() if path.suffix != ".json"]
    assert [name for name, text in written if not is_tidy(text)] == []
    assert [name for name, text in written if re.search(r"[ \t]\n", text)] == []


def test_no_file_is_too_large_for_the_repository():
    # The embedded checkpoint is the one large thing.
    large = [path for path in tracked_files() if path.stat().st_size > 2_000_000]
    assert all("weights" in path.parts for path in large), large


@pytest.mark.parametrize("path", [*ENGINE, *BRIDGE], ids=name_of)
def test_a_room_fits_a_few_screens(path: Path):
    # Most are under 400 lines; what the reference's documentation demands may be longer.
    assert len(path.read_text(encoding="utf-8").splitlines()) < 700


def test_the_readme_names_every_room():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rooms = [path for path in [*ENGINE, *BRIDGE] if not path.name.startswith("__")]
    missing = [name_of(path) for path in rooms if path.name not in readme]
    assert missing == []


def test_what_the_readme_links_to_exists():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", readme)
    local = [link for link in links if "://" not in link]
    assert local
    assert [link for link in local if not (ROOT / link).exists()] == []


def test_the_changelog_knows_this_version():
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert f"## {version[1]}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


# --- what is pinned ---


def pins() -> dict[str, list[Requirement]]:
    found: dict[str, list[Requirement]] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            pin = Requirement(line)
            found.setdefault(canonicalize_name(pin.name), []).append(pin)
    return found


def requirements() -> list[Requirement]:
    """What pyproject.toml asks for, extras included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    return [Requirement(line) for line in sum(extras, project["dependencies"])]


def test_every_pin_is_one_version():
    for same in pins().values():
        for pin in same:
            assert [spec.operator for spec in pin.specifier] == ["=="], str(pin)


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_every_dependency_is_pinned_once_on_every_python(python: str):
    here = {"python_version": python, "sys_platform": "linux", "platform_machine": "x86_64"}
    for need in requirements():
        if need.marker and not need.marker.evaluate(here):
            continue
        holding = [
            pin
            for pin in pins().get(canonicalize_name(need.name), [])
            if pin.marker is None or pin.marker.evaluate(here)
        ]
        assert len(holding) == 1, f"{need} on {python}: {[str(pin) for pin in holding]}"
        version = next(iter(holding[0].specifier)).version
        assert need.specifier.contains(version, prereleases=True), f"{need}: {version}"


# --- the example song ---


def test_the_beats_of_the_example_song_are_those_of_its_score():
    sys.path.insert(0, str(ROOT / "examples"))
    try:
        import make_example_song as song
    finally:
        sys.path.pop(0)
    written = (ROOT / "examples" / f"{song.STEM}.beats").read_text(encoding="utf-8")
    assert written == "".join(song.beat_lines())
    assert written.splitlines()[2].endswith("\t1")


def test_the_example_song_is_a_clean_recording():
    import numpy as np
    import soundfile

    samples, rate = soundfile.read(ROOT / "examples" / "paper_lanterns.ogg", always_2d=True)
    assert (rate, samples.shape[1]) == (44100, 2)
    assert 55 < len(samples) / rate < 65
    assert 0.7 < np.abs(samples).max() < 1.0
    assert np.abs(samples.mean(axis=0)).max() < 1e-3
    assert np.abs(samples[: round(0.5 * rate)]).max() < 1e-2
    assert np.abs(samples[-200:]).max() < 1e-2
