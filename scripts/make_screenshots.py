"""Makes docs/panel: the control panel as it looks while the example song plays, light and dark.

.venv/bin/python scripts/make_screenshots.py

It starts a bridge of its own over the song, with its engine, and opens its panel in Chromium. It
needs a MIDI system; where jackd is installed, it starts a server of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import soundfile
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from sidekeys_bridge.client import ControlClient
from sidekeys_bridge.connection import RUNTIME_VARIABLE, find_bridge
from sidekeys_engine.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
SONG = ROOT / "examples" / "paper_lanterns.ogg"
FOLDER = ROOT / "docs" / "panel"
BPM = 104.0
FIRST_BAR_SECONDS = 1.673846  # what comes before is a pickup
STEM_SECONDS = 24
PLAYED_SECONDS = 13.0
MEASURED_SECONDS = 5.0
SIZES = {"wide": (1280, 1000), "narrow": (360, 800)}
COLORS = 112
BAR_PIXELS, BAR_WEIGHT = 100, 20
DELAY_BEATS = 8  # the machine draws the panel and plays at once, perhaps without a GPU
READY_SECONDS = 90.0


def main() -> None:
    """Take all pictures; say how fast the roll was drawn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where to put the pictures")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as running:
        work = Path(scratch)
        samples, rate = soundfile.read(SONG, always_2d=True)
        first = round(FIRST_BAR_SECONDS * rate)
        song, stem = work / "song.wav", work / "Paper Lanterns.wav"
        soundfile.write(song, samples[first:], rate, subtype="PCM_16")
        soundfile.write(stem, samples[: STEM_SECONDS * rate], rate, subtype="PCM_16")
        environment = {**os.environ, RUNTIME_VARIABLE: str(work)}
        running.enter_context(midi_system(environment))
        running.enter_context(bridge(song, environment))
        url = running.enter_context(panel(environment))
        wait_until_ready(work)
        browser = running.enter_context(chromium())
        for theme in ("light", "dark"):
            for name, size in SIZES.items():
                play_along(browser, url, work, song, theme, size, folder / f"{theme}-{name}.png")
        for theme in ("light", "dark"):
            cover_a_file(browser, url, stem, theme, folder / f"{theme}-file.png")


def play_along(
    browser: Browser,
    url: str,
    work: Path,
    song: Path,
    theme: str,
    size: tuple[int, int],
    picture: Path,
) -> None:
    """The live view, some bars into the song."""
    with opened(browser, url, theme, size) as page:
        page.locator(".composer").first.wait_for()
        with ControlClient(find_bridge(work)) as client:
            client.request("pause")
            client.request("set", {"input": f"file:{song}", "composer": "full"})
            time.sleep(1)
            client.request("play", {"from_beats": 0.0})
        page.wait_for_timeout(1000 * PLAYED_SECONDS)
        frames = frames_a_second(browser, page)
        save(page, picture)
        print(f"{picture.name}: {frames:.1f} frames a second")


def cover_a_file(browser: Browser, url: str, stem: Path, theme: str, picture: Path) -> None:
    """The other view, with three covers of the song's beginning."""
    with opened(browser, url, theme, SIZES["wide"]) as page:
        page.locator("#tab-file").click()
        page.locator("#stem").set_input_files(stem)
        page.locator("#cover-form").wait_for()
        for composer in ("full", "arpeggio", "stride"):
            page.locator(f"[name=cover-composer][value={composer}]").check()
        page.locator("#make").click()
        page.locator(".file-link").nth(2).wait_for(timeout=1000 * READY_SECONDS)
        page.locator("#seek").fill("9")
        page.locator("#drop-title").click()
        save(page, picture)


def frames_a_second(browser: Browser, page: Page) -> float:
    """How many frames Chromium drew, by its own trace."""
    browser.start_tracing(page=page, categories=["disabled-by-default-devtools.timeline.frame",
                                                 "devtools.timeline.frame"])  # fmt: skip
    page.wait_for_timeout(1000 * MEASURED_SECONDS)
    events = json.loads(browser.stop_tracing())["traceEvents"]
    moments = sorted(event["ts"] for event in events if event["name"] == "DrawFrame")
    if len(moments) < 2:
        return 0.0
    return float((len(moments) - 1) / (moments[-1] - moments[0]) * 1e6)


def save(page: Page, picture: Path) -> None:
    """Keep what the page looks like, in few colors."""
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    # The bar on top has colors that are rare elsewhere, and would be lost: it counts many times.
    bar = image.crop((0, 0, image.width, BAR_PIXELS))
    weighed = Image.new("RGB", (image.width, image.height + BAR_WEIGHT * BAR_PIXELS))
    weighed.paste(image)
    for copy in range(BAR_WEIGHT):
        weighed.paste(bar, (0, image.height + copy * BAR_PIXELS))
    palette = weighed.quantize(COLORS, kmeans=2, dither=Image.Dither.NONE)
    small = image.quantize(palette=palette, dither=Image.Dither.NONE)
    small.save(picture, optimize=True)
    print(f"{picture.name}: {picture.stat().st_size / 1000:.0f} kB")


@contextlib.contextmanager
def opened(browser: Browser, url: str, theme: str, size: tuple[int, int]) -> Iterator[Page]:
    """A page of a browser that has never been there."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if theme == "dark" else "light",
    )
    try:
        page = context.new_page()
        page.goto(url)
        yield page
    finally:
        context.close()


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The system's own, without a window."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        raise SystemExit("There is no Chromium; type: sudo apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextlib.contextmanager
def midi_system(environment: dict[str, str]) -> Iterator[None]:
    """A JACK server without sound, where there is JACK."""
    jackd = shutil.which("jackd")
    if jackd is None:
        yield
        return
    name = f"screenshots-{os.getpid()}"
    environment.update(JACK_DEFAULT_SERVER=name, JACK_NO_START_SERVER="1")
    server = [jackd, "-n", name, "--port-max", "128", "-r", "-d", "dummy", "-p", "1024"]
    with process(server, environment, quiet=True):
        time.sleep(2)
        yield


@contextlib.contextmanager
def bridge(song: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """`sidekeys start` over the song, to beats by hand."""
    options = ["--input", f"file:{song}", "--transport", "manual", "--bpm", str(BPM)]
    options += ["--delay", str(DELAY_BEATS)]
    command = [sys.executable, "-m", "sidekeys_bridge", "start", "--no-panel", *options]
    with process(command, environment):
        yield


@contextlib.contextmanager
def panel(environment: Mapping[str, str]) -> Iterator[str]:
    """Its panel; the address."""
    command = [sys.executable, "-m", "sidekeys_bridge.panel", "--port", "0"]
    with process([*command, "--until-stdin-closes"], environment, talks=True) as server:
        assert server.stdout is not None
        yield str(json.loads(server.stdout.readline())["url"])


@contextlib.contextmanager
def process(
    command: list[str],
    environment: Mapping[str, str],
    *,
    talks: bool = False,
    quiet: bool = False,
) -> Iterator[subprocess.Popen[bytes]]:
    """A program, as long as the block lasts."""
    said = subprocess.DEVNULL if quiet else None
    with subprocess.Popen(
        command,
        env=dict(environment),
        stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
        stdout=subprocess.PIPE if talks else said,
        stderr=said,
    ) as started:
        try:
            yield started
        finally:
            started.terminate()


def wait_until_ready(folder: Path) -> None:
    """Until the engine can play."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(InputError), ControlClient(find_bridge(folder)) as client:
            if client.request("status")["engine"]["state"] == "ready":
                return
        time.sleep(0.3)
    raise SystemExit("The engine was not ready in time.")


if __name__ == "__main__":
    main()
