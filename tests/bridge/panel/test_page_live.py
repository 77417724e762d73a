"""The panel's page with everything behind it: a bridge that hears a song, its engine, its port."""

from __future__ import annotations

import base64
import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import NARROW, opened, running_chromium
from playwright.sync_api import Browser, Download, Page, expect
from real_session import Session, bridge_over, running_session, write_stem

from live_session import EXAMPLE_BPM
from panel_session import running_panel
from sidekeys_bridge.client import ControlClient
from sidekeys_bridge.connection import find_bridge
from sidekeys_engine.notes import Score, read_midi

SLOW_MS = 60_000
DELAY_BEATS = 8
SPARSE, DENSE = "ballad", "virtuoso"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with running_session(tmp_path_factory.mktemp("session")) as running:
        yield running


@pytest.fixture
def page(browser: Browser, session: Session) -> Iterator[Page]:
    with opened(browser, session.url) as open_page:
        expect(open_page.locator(".composer")).to_have_count(8, timeout=SLOW_MS)
        yield open_page


def test_a_composer_that_is_picked_is_heard_from_the_next_window_on(page: Page, session: Session):
    page.locator(f"[name=composer][value={SPARSE}]").check()
    session.bridge.wait_for(lambda status: status["composer"] == SPARSE)
    session.play()
    expect(page.locator("#state")).to_contain_text("Playing")
    sparse = page.locator(f"[data-composer={SPARSE}]")
    expect(sparse.locator(".badge")).to_have_text("Playing", timeout=SLOW_MS)
    with (
        ControlClient(find_bridge(session.folder)) as client,
        client.events("window") as windows,
    ):
        page.locator(f"[name=composer][value={DENSE}]").check()
        dense = page.locator(f"[data-composer={DENSE}]")
        expect(dense.locator(".badge")).to_have_text("Next")
        first = next(event for event in windows if event.content["composer"] == DENSE).content
    assert first["result"] == "done"
    change_beats = first["start_beats"] + DELAY_BEATS
    expect(dense.locator(".badge")).to_have_text("Playing", timeout=SLOW_MS)
    position = session.bridge.status()["transport"]["beat"]
    assert position == pytest.approx(change_beats, abs=2.0)
    session.bridge.wait_for(lambda status: status["transport"]["beat"] > change_beats + 5)
    transport, now = session.bridge.status()["transport"], time.monotonic()
    recorded = session.recorder.recorded()
    change_seconds = now + (change_beats - transport["beat"]) * 60 / EXAMPLE_BPM
    onsets = [
        (recorded.start_seconds + note.onset_seconds - change_seconds) * EXAMPLE_BPM / 60
        for note in recorded.ended_notes()
    ]
    before = sum(-4 <= onset < -0.1 for onset in onsets)
    after = sum(-0.1 <= onset < 4 for onset in onsets)
    assert after > 2 * before > 0


def test_start_stop_and_panic_reach_the_piano(page: Page, session: Session):
    session.play()
    session.recorder.wait_for(lambda recorded: bool(recorded.sounding()))
    page.locator("#panic").click()
    session.recorder.wait_for(lambda recorded: not recorded.sounding(), 5.0)
    page.locator("#play").click()
    session.bridge.wait_for(lambda status: not status["transport"]["playing"], 5.0)
    expect(page.locator("#state")).to_contain_text("Ready")
    page.locator("#play").click()
    session.bridge.wait_for(lambda status: status["transport"]["playing"], 5.0)


def test_a_stem_that_is_dropped_becomes_a_mid_to_download(
    page: Page, session: Session, tmp_path: Path
):
    drop(page, write_stem(tmp_path))
    expect(page.locator("#drop-title")).to_have_text("paper lanterns.wav")
    choose(page, "ballad", "stride")
    page.get_by_role("button", name="Make the piano part").click()
    for composer in ("ballad", "stride"):
        link = page.get_by_role("link", name=f"paper lanterns-{composer}.mid")
        expect(link).to_be_visible(timeout=SLOW_MS)
        with page.expect_download() as download:
            link.click()
        assert download.value.suggested_filename == f"paper lanterns-{composer}.mid"
        assert len(score_of(download.value, tmp_path).notes) > 10
    # Side by side: one is heard, then the other, on the same bars.
    page.get_by_role("radio", name="Hear stride").check()
    page.locator("#repeat").check()
    page.locator("#repeat-from").fill("3")
    page.locator("#listen").click()
    expect(page.locator("#listen-at")).to_have_text(re.compile("0:0[4-9]"))
    page.get_by_role("radio", name="Hear ballad").check()
    page.locator("#listen").click()
    # What is dropped on the page stays, whatever else is done there.
    page.locator("#tab-live").click()
    page.locator("#tab-file").click()
    expect(page.locator(".file-link")).to_have_count(2)
    page.get_by_role("button", name="Remove stride").click()
    expect(page.locator(".file-link")).to_have_count(1)


def test_a_file_that_is_no_sound_is_refused_in_words(page: Page, tmp_path: Path):
    text = tmp_path / "notes.txt"
    text.write_text("la la la")
    page.locator("#stem").set_input_files(text)
    expect(page.locator("#drop-note")).to_contain_text("no sound file", timeout=SLOW_MS)
    expect(page.locator("#cover-form")).to_be_hidden()
    expect(page.locator("#compare")).to_be_hidden()


def test_what_was_played_is_kept(page: Page, session: Session, tmp_path: Path):
    session.play()
    session.bridge.wait_for(lambda status: status["transport"]["bar"] > 5)
    page.locator("#keep-bars").fill("2")
    with page.expect_download() as download:
        page.locator("#keep").click()
    assert score_of(download.value, tmp_path).notes
    expect(page.locator("#take-note")).to_contain_text("in 2 bars")
    with page.expect_download() as download:
        page.locator("#session").click()
    assert len(score_of(download.value, tmp_path).notes) > 10


def test_two_pages_keep_the_presets_of_both(browser: Browser, page: Page, session: Session):
    with opened(browser, session.url) as other:
        expect(other.locator(".composer")).to_have_count(8)
        page.get_by_role("button", name="stride is a favorite").click()
        other.get_by_role("button", name="ballad is a favorite").click()
        page.locator("#project").fill("Night songs")
        page.locator("#project").blur()
        expect(other.locator("#project")).to_have_value("Night songs")
        page.locator("#project").fill("")
        page.locator("#project").blur()
        expect(other.locator("#project")).to_have_value("")
        for one, name in ((page, "soft"), (other, "loud")):
            one.locator("#preset-name").fill(name)
            one.locator("#preset-name").press("Enter")
        for one in (page, other):
            expect(one.locator("#preset-list li")).to_have_count(2)
            expect(one.locator(".star[aria-pressed=true]")).to_have_count(2)


def test_a_narrow_screen_needs_no_sideways_scroll(browser: Browser, session: Session):
    with opened(browser, session.url, size=NARROW, theme="dark") as page:
        expect(page.locator(".composer")).to_have_count(8)
        session.play()
        expect(page.locator(".is-sounding")).to_have_count(1, timeout=SLOW_MS)
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW[0]
        page.evaluate("scrollTo(0, 2000)")
        expect(page.locator("#panic")).to_be_in_viewport()


def test_a_page_that_loses_its_bridge_finds_the_next_one_and_keeps_its_place(
    browser: Browser, session: Session, tmp_path: Path
):
    """Last: the session's own bridge ends here."""
    port = session.panel.port
    with opened(browser, session.url) as page:
        page.locator("#stem").set_input_files(write_stem(tmp_path))
        expect(page.locator("#cover-form")).to_be_visible(timeout=SLOW_MS)
        choose(page, "ballad")
        page.get_by_role("button", name="Make the piano part").click()
        expect(page.locator(".file-link").first).to_be_visible(timeout=SLOW_MS)
        made = page.locator(".file-link").count()

        session.bridge.process.kill()
        expect(page.locator("#state")).to_have_text("Not connected. Trying again…", timeout=SLOW_MS)
        session.panel.process.kill()
        session.panel.process.wait()
        page.wait_for_timeout(1500)
        expect(page.locator("#panic")).to_be_disabled()
        with contextlib.ExitStack() as running:
            running.enter_context(bridge_over(session.song, session.folder))
            running.enter_context(running_panel(session.folder, "--port", str(port)))
            expect(page.locator("#state")).to_have_text(
                re.compile("Ready|Engine starts"), timeout=SLOW_MS
            )
            expect(page.locator("#file")).to_be_visible()
            expect(page.locator("#drop-title")).to_have_text("paper lanterns.wav")
            expect(page.locator(".file-link")).to_have_count(made)
            # The new panel has never seen the file; the page sends it again.
            choose(page, "stride")
            page.get_by_role("button", name="Make the piano part").click()
            expect(page.get_by_role("link", name="paper lanterns-stride.mid")).to_be_visible(
                timeout=SLOW_MS
            )


def choose(page: Page, *composers: str) -> None:
    """Those are to make covers, and no others."""
    for box in page.locator("[name=cover-composer]").all():
        box.set_checked(box.get_attribute("value") in composers)


def drop(page: Page, file: Path) -> None:
    """Drop a file somewhere on the page."""
    page.evaluate(
        """([name, bytes]) => {
            const data = new DataTransfer();
            const content = Uint8Array.from(atob(bytes), (one) => one.charCodeAt());
            data.items.add(new File([content], name));
            for (const type of ["dragenter", "dragover", "drop"]) {
                document.getElementById("roll").dispatchEvent(
                    new DragEvent(type, {dataTransfer: data, bubbles: true, cancelable: true}));
            }
        }""",
        [file.name, base64.b64encode(file.read_bytes()).decode()],
    )


def score_of(download: Download, folder: Path) -> Score:
    path = folder / "downloaded.mid"
    download.save_as(path)
    return read_midi(path)
