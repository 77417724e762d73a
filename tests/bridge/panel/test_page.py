"""The panel's page by itself: what it shows, what it sends, and that everybody can use it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from chromium import NARROW, WIDE, opened, running_chromium
from fake_panel import STATIC, FakePanel, fake_panel
from playwright.sync_api import Browser, Page, expect

from sidekeys_bridge.controls import CONTROLS

LARGEST_PAGE = 200_000
TOUCHED = (
    "button, select, summary, .switch, .chip, .segments label, "
    "input[type=text], input[type=number], input[type=range]"
)
EVERYTHING = "button, input, select, summary, a[href], [role=tab]"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium() as chromium:
        yield chromium


@pytest.fixture
def panel() -> Iterator[FakePanel]:
    with fake_panel() as fake:
        yield fake


@pytest.fixture
def page(browser: Browser, panel: FakePanel) -> Iterator[Page]:
    with opened(browser, panel.url) as open_page:
        expect(open_page.locator(".composer")).to_have_count(3)
        yield open_page


def wait_until(page: Page, is_so: Callable[[], bool]) -> None:
    """Let the page go on until that is so."""
    for _ in range(100):
        if is_so():
            return
        page.wait_for_timeout(50)
    raise AssertionError("not within 5 s")


def play(panel: FakePanel, beat: float = 0.0, composer: str = "full") -> None:
    """The song runs, eight beats of piano with it."""
    bar = int(beat // 4)
    panel.tell_status(
        state="playing",
        delay_beats=4,
        delay_reason="a window takes 0.42 s, a beat 0.50 s: 4 beats are the least that holds",
        transport={
            "playing": True,
            "stretch": 1,
            "beat": beat,
            "bar": bar + 1,
            "bar_start": 4.0 * bar,
        },
    )
    panel.tell("run", mode="echo", delay_beats=4, reason="so it is")
    rows = [[beat - 4 + at / 2, 0.5, 55 + at, 90] for at in range(16)]
    panel.tell(
        "window", start_beats=beat - 4.0, result="done", composer=composer, notes=16, rows=rows
    )
    panel.tell("notes", notes=[[row[0] + 4, 0.5, row[2], 90, 1] for row in rows[:6]])
    panel.tell(
        "heard", start_beats=beat - 4, beats_per_column=0.1, lowest_pitch=36,
        columns=["00a3ff10" * 12] * 40,
    )  # fmt: skip


# --- what it says


def test_it_says_that_a_key_is_missing_and_where_to_get_it(browser: Browser, panel: FakePanel):
    with opened(browser, panel.url.replace("#", "#not-")) as page:
        expect(page.locator("#locked")).to_be_visible()
        expect(page.locator("#locked")).to_contain_text("sidekeys start")
        expect(page.locator("#panic")).to_be_disabled()
        # The right address, typed into the same page.
        page.goto(panel.url)
        expect(page.locator("#locked")).to_be_hidden()
        expect(page.locator("#state")).to_contain_text("Ready")


def test_the_key_leaves_the_address_bar_and_lasts(page: Page, panel: FakePanel):
    assert "#" not in page.url
    page.reload()
    expect(page.locator("#state")).to_contain_text("Ready")
    other = page.context.new_page()
    other.goto(f"http://127.0.0.1:{panel.port}/")
    expect(other.locator("#state")).to_contain_text("Ready")


def test_the_way_past_the_bar_is_no_key(page: Page, panel: FakePanel):
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    for end in ("#main", "#%", "#short"):
        page.evaluate("end => { location.hash = end }", end)
        page.wait_for_timeout(100)
        expect(page.locator("#locked")).to_be_hidden()
        expect(page.locator("#state")).to_contain_text("Ready")
    page.reload()
    expect(page.locator("#state")).to_contain_text("Ready")


def test_what_is_said_twice_is_read_twice(page: Page, panel: FakePanel):
    page.evaluate(
        """() => {
            window.read = [];
            const aloud = document.getElementById("aloud");
            new MutationObserver(() => read.push(aloud.textContent))
                .observe(aloud, {childList: true});
        }"""
    )
    for count in (1, 2):
        page.locator("#panic").click()
        page.wait_for_function(f"read.filter((text) => text).length === {count}")


def test_a_loud_input_lights_the_clip_light_and_three_silent_seconds_are_told(
    page: Page, panel: FakePanel
):
    level = {"level_db": -3.0, "peak_db": 0.0, "clipped": True, "silent_seconds": 0.0}
    panel.tell("level", **level)
    expect(page.locator("#clip")).to_be_visible()
    silent = {"level_db": -120.0, "peak_db": -120.0, "clipped": False}
    panel.tell("level", **silent, silent_seconds=2.9)
    expect(page.locator("#clip")).to_be_hidden()
    expect(page.locator("#no-signal")).to_be_hidden()
    panel.tell("level", **silent, silent_seconds=3.0)
    expect(page.locator("#no-signal")).to_have_text("No signal on this bus.")
    panel.tell("level", **level)
    expect(page.locator("#no-signal")).to_be_hidden()


def test_what_is_wrong_stands_above_everything_until_it_is_well(page: Page, panel: FakePanel):
    expect(page.locator("#problems")).to_be_hidden()
    wrong = "the engine died; another one is started"
    panel.tell_status(state="no-engine", problems=[wrong], engine={"state": "down"})
    expect(page.locator("#problems")).to_have_text("The engine died; another one is started.")
    expect(page.locator("#state")).to_contain_text("Engine is down")
    panel.tell_status(state="waiting", problems=[], engine={"state": "ready"})
    expect(page.locator("#problems")).to_be_hidden()


def test_windows_that_were_missed_are_counted(page: Page, panel: FakePanel):
    panel.tell_status(counters={"windows_done": 7, "windows_missed": 2})
    facts = page.locator("#engine-facts")
    expect(facts).to_contain_text("Windows played7")
    expect(facts).to_contain_text("Windows missed2")
    expect(page.locator("#budget-words")).to_have_text("A window takes 0.40 s; a bar lasts 2.00 s")


def test_words_of_a_refusal_reach_the_user(page: Page, panel: FakePanel):
    panel.refusals["set"] = "there is no composer 'stride'; there are full, ballad."
    page.locator("[value=stride][name=composer]").check()
    expect(page.locator("#notice")).to_have_text(
        "There is no composer 'stride'; there are full, ballad."
    )
    expect(page.locator("[value=full][name=composer]")).to_be_checked()


def test_the_composer_that_sounds_and_the_one_that_comes_are_told_apart(
    page: Page, panel: FakePanel
):
    play(panel, beat=8.0)
    sounding = page.locator("[data-composer=full]")
    expect(sounding.locator(".badge")).to_have_text("Playing")
    page.keyboard.press("2")
    chosen = page.locator("[data-composer=ballad]")
    expect(chosen.locator(".badge")).to_have_text("Next")
    expect(sounding.locator(".badge")).to_have_text("Playing")
    expect(page.locator("#composers-note")).to_have_text("Ballad starts with the next window.")
    beat = 12.0
    panel.tell("window", start_beats=beat - 4, result="done", composer="ballad", rows=[])
    panel.tell_status(transport={"beat": beat, "bar": 4, "bar_start": 12.0})
    expect(chosen.locator(".badge")).to_have_text("Playing")
    expect(sounding.locator(".badge")).to_be_hidden()


def test_the_beat_goes_on_between_messages_and_is_shown_by_bar(page: Page, panel: FakePanel):
    play(panel, beat=9.0)
    expect(page.locator("#bar")).to_have_text("3")
    expect(page.locator("#beat")).to_have_text("4")  # two beats a second, and nothing was told
    expect(page.locator(".beat-light")).to_have_count(4)
    expect(page.locator(".beat-light").nth(0)).to_have_class(re.compile("is-lit"))
    panel.tell_status(transport={"meter": "3/4", "beat": 30.0, "bar": 11, "bar_start": 30.0})
    expect(page.locator(".beat-light")).to_have_count(3)
    panel.tell_status(state="waiting", transport={"playing": False, "beat": 31.0, "bar": 11})
    expect(page.locator("#position, .position")).to_have_text("11|2")
    expect(page.locator(".is-lit")).to_have_count(0)


def test_the_roll_draws_notes_and_what_was_heard(page: Page, panel: FakePanel):
    def pixels() -> tuple[int, int]:
        """How many have the color of notes, and of what is heard."""
        amber, teal = page.evaluate(
            """() => {
                const roll = document.getElementById("roll");
                const {data} = roll.getContext("2d").getImageData(0, 0, roll.width, roll.height);
                let [amber, teal] = [0, 0];
                for (let at = 0; at < data.length; at += 4) {
                    amber += data[at] > data[at + 2] + 60;
                    teal += data[at + 2] > data[at] + 40;
                }
                return [amber, teal];
            }"""
        )
        return amber, teal

    wait_until(page, lambda: pixels() == (0, 0))
    play(panel, beat=8.0)
    panel.tell("notes", notes=[[8.0, 40.0, 60, 90, 1]])
    wait_until(page, lambda: min(pixels()) > 500)
    page.locator("#show-heard").uncheck()
    wait_until(page, lambda: pixels()[0] > 500 and pixels()[1] == 0)
    expect(page.locator("#roll")).to_have_attribute(
        "aria-label", re.compile("bar .* The piano sounds: .*C4"), timeout=8_000
    )


def in_the_page(page: Page, script: str) -> object:
    """What a script answers that is given a clock, a roll's memory, and a transport to tell it."""
    return page.evaluate(
        f"""async () => {{
            const {{SongClock}} = await import("/static/song_clock.js");
            const {{RollMemory}} = await import("/static/roll_memory.js");
            const clock = new SongClock();
            const told = {{playing: true, bpm: 120, meter: "4/4", loop: null, stretch: 1}};
            return ({script})(clock, new RollMemory(clock), told);
        }}"""
    )


def test_the_roll_moves_evenly_though_messages_come_late_now_and_then(page: Page):
    steps = in_the_page(
        page,
        """(clock, memory, told) => {
            const shown = [];
            for (let frame = 0; frame < 600; frame++) {
                const seconds = frame / 60;
                if (frame % 6 === 0) {
                    const late = frame % 18 === 0 ? 0.06 : 0.002;
                    const beat = 2 * (seconds - late) + 10;
                    clock.hear({...told, beat, bar: 1 + Math.floor(beat / 4)}, seconds);
                }
                shown.push(clock.position(seconds));
            }
            return shown.slice(61).map((beat, at) => beat - shown[at + 60]);
        }""",
    )
    assert isinstance(steps, list)
    assert all(1 / 30 * 0.8 < step < 1 / 30 * 1.2 for step in steps), (min(steps), max(steps))


def test_a_loop_wraps_without_a_break_in_the_roll_and_its_notes_come_again(page: Page):
    before, after, ghosts, bars = in_the_page(
        page,
        """(clock, memory, told) => {
            memory.mode = "loop";
            const hear = (beat, stretch, seconds) => {
                const bar = 1 + Math.floor(beat / 4);
                const bar_start = 4 * (bar - 1);
                clock.hear({...told, beat, stretch, bar, bar_start, loop: [8, 16]}, seconds);
            };
            hear(15.0, 1, 10.0);
            const rows = [[9, 1, 60, 80]];
            memory.addWindow({start_beats: 8, composer: "full", result: "done", rows});
            memory.addPlayed([[15.2, 2, 62, 80, 1], [8.5, 1, 64, 80, 1]]);
            clock.position(10.45);
            const before = clock.shown + clock.offset;
            const coming = memory.ghosts(1000).map((note) => note.tape - before);
            const told_early = [...memory.played.values()].map((note) => note.tape - before);
            hear(8.0, 2, 10.5);
            clock.onSeam();
            clock.position(10.51);
            const after = clock.shown + clock.offset;
            return [before, after, [...coming, ...told_early], clock.barAndBeat(8.1)];
        }""",
    )
    assert 0 < after - before < 0.2
    # At 15.9: a ghost of the next pass, a note of this one, and one that was told for the next.
    assert ghosts == pytest.approx([1.1, -0.7, 0.6], abs=0.05)
    assert bars == [3, 1]


def test_bars_follow_a_pickup(page: Page):
    told = in_the_page(
        page,
        """(clock, memory, told) => {
            const bars = [];
            for (let beat = 0; beat < 12; beat += 0.25) {
                const bar = beat < 3 ? 1 : 2 + Math.floor((beat - 3) / 4); // the first has three
                const bar_start = bar < 2 ? 0 : 3 + 4 * (bar - 2);
                clock.hear({...told, beat, bar, bar_start}, beat / 2);
                bars.push(clock.barAndBeat(beat + 0.01).join("|"));
            }
            return bars.filter((bar, at) => bar !== bars[at - 1]);
        }""",
    )
    assert told == [
        *("1|1", "1|2", "1|3"), *("2|1", "2|2", "2|3", "2|4"), *("3|1", "3|2", "3|3", "3|4"),
        "4|1",
    ]  # fmt: skip


# --- what it sends


def test_every_control_of_the_bridge_is_there_with_its_bounds(page: Page, panel: FakePanel):
    panel.tell_status(controls={"velocity_curve": "fixed", "split": True})
    for control in CONTROLS:
        if control.kind in ("integer", "number"):
            field = page.locator(f"#control-{control.name}")
            expect(field).to_be_visible()
            expect(field).to_have_attribute("min", f"{control.low:.0f}")
            expect(field).to_have_attribute("max", f"{control.high:.0f}")
        if control.kind == "choice":
            values = page.locator(f"#controls [name={control.name}]")
            told = values.evaluate_all("fields => fields.map(field => field.value)")
            assert tuple(told) == control.choices
    switches = [control for control in CONTROLS if control.kind == "switch"]
    expect(page.locator("#controls [role=switch]")).to_have_count(len(switches) - 1)
    expect(page.locator("#mute")).to_be_visible()


def test_a_slider_is_sent_once_it_rests_and_shows_what_the_bridge_has(page: Page, panel: FakePanel):
    slider = page.locator("#control-transpose")
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(page.locator("output[for=control-transpose]")).to_have_text("+3 semitones")
    wait_until(page, lambda: ("set", {"transpose": 3}) in panel.asked)
    panel.tell_status(controls={"transpose": -2})  # a controller of the DAW moved it
    expect(page.locator("output[for=control-transpose]")).to_have_text("\u22122 semitones")
    expect(slider).to_have_value("-2")


def test_favorites_come_first_and_number_keys_follow_them(page: Page, panel: FakePanel):
    page.get_by_role("button", name="stride is a favorite").click()
    expect(page.locator(".composer").first).to_have_attribute("data-composer", "stride")
    wait_until(page, lambda: panel.notebook["favourites"] == ["stride"])
    page.keyboard.press("1")
    wait_until(page, lambda: ("set", {"composer": "stride"}) in panel.asked)
    page.locator("#preset-name").press("2")
    page.wait_for_timeout(300)
    assert ("set", {"composer": "full"}) not in panel.asked  # it was typed into a field


def test_a_preset_is_saved_for_its_project_applied_and_deleted(page: Page, panel: FakePanel):
    page.locator("#project").fill("Night songs")
    page.locator("#project").blur()
    page.locator("#control-transpose").fill("5")
    wait_until(page, lambda: panel.status["controls"]["transpose"] == 5)
    page.locator("#preset-name").fill("bridge")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#preset-list li")).to_have_count(1)
    wait_until(page, lambda: "Night songs" in panel.notebook["projects"])
    kept = panel.notebook["projects"]["Night songs"]["bridge"]
    assert (kept["transpose"], kept["composer"], "mute" in kept) == (5, "full", False)
    page.locator("#control-transpose").fill("0")
    wait_until(page, lambda: panel.status["controls"]["transpose"] == 0)
    page.get_by_role("button", name="bridge", exact=True).click()
    wait_until(page, lambda: panel.status["controls"]["transpose"] == 5)
    page.get_by_role("button", name="Delete bridge").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator("#preset-list li")).to_have_count(0)
    wait_until(page, lambda: panel.notebook["projects"] == {})


def test_the_input_and_the_beat_are_chosen_here(page: Page, panel: FakePanel):
    page.locator("#input").select_option("Interface")
    page.locator("#transport").select_option("clock")
    page.locator("#bpm").fill("98.5")
    page.locator("#bpm").press("Enter")
    page.locator("#tap").click()
    page.get_by_role("button", name="Earlier").click()
    page.get_by_role("button", name="Here is one").click()
    page.locator("#mode [value=loop]").check()
    page.locator("#mode [value=echo]").check()
    page.locator("#delay").select_option("6")
    sent = {
        ("set", "input", "Interface"), ("set", "transport", "clock"), ("set", "bpm", 98.5),
        ("set", "mode", "echo"), ("set", "delay", "6"), ("nudge", "milliseconds", -10),
    }  # fmt: skip

    def asked() -> set[tuple[str, str, object]]:
        return {
            (command, name, value)
            for command, content in panel.asked
            for name, value in content.items()
        }

    wait_until(page, lambda: sent <= asked())
    assert [command for command, _ in panel.asked].count("tap") == 1
    assert ("downbeat", {}) in panel.asked
    page.locator("#input").select_option("other")
    page.locator("#input-other").fill("reastream:band")
    page.locator("#input-other").press("Enter")
    wait_until(page, lambda: ("set", {"input": "reastream:band", "channels": "all"}) in panel.asked)


def test_the_channels_that_are_heard_are_shown_and_another_input_has_all(
    page: Page, panel: FakePanel
):
    channels = page.locator("#channels")
    for told, words in (("1-2", "1 and 2"), ("7-8", "7 and 8"), ("2", "Only 2"), ("all", "All")):
        panel.tell_status(input={"channels": told})
        expect(channels).to_have_value(told)
        expect(channels.locator(":checked")).to_have_text(words)
    channels.select_option("1-2")
    wait_until(page, lambda: ("set", {"channels": "1-2"}) in panel.asked)
    panel.tell_status(input={"channels": "1-2"})
    page.locator("#input").select_option("Interface")
    wait_until(page, lambda: ("set", {"input": "Interface", "channels": "all"}) in panel.asked)
    panel.tell_status(input={"choice": "Interface", "channels": "all"})
    expect(channels).to_have_value("all")


def test_a_preview_is_heard_and_stops(page: Page):
    page.get_by_role("button", name="Hear full").click()
    stop = page.get_by_role("button", name="Stop full")
    expect(stop).to_be_visible()
    page.get_by_role("button", name="Hear ballad").click()
    expect(stop).to_be_hidden()
    page.get_by_role("button", name="Stop ballad").click()
    expect(page.get_by_role("button", name=re.compile("^Stop "))).to_have_count(0)


# --- everybody can use it


def test_all_of_it_is_in_reach_of_the_keyboard(page: Page, panel: FakePanel):
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.locator("#preset-name").fill("one")
    page.locator("#preset-name").press("Enter")
    expect(page.locator("#preset-list li")).to_have_count(1)
    page.evaluate("document.activeElement.blur()")
    reached = set()
    for _ in range(200):
        page.keyboard.press("Tab")
        name = page.evaluate(
            """(all) => {
                const at = document.activeElement;
                const style = getComputedStyle(at);
                const drawn = at.matches("[type=radio]") && style.opacity === "0"
                    ? getComputedStyle(at.nextElementSibling) : style;
                if (at.matches(all) && drawn.outlineStyle === "none") throw at.outerHTML;
                return [...document.querySelectorAll(all)].indexOf(at);
            }""",
            EVERYTHING,
        )
        if name in reached and name >= 0:
            break
        reached.add(name)
    missing = page.evaluate(
        """([all, reached]) => [...document.querySelectorAll(all)].filter((one, at) =>
            one.checkVisibility() && !one.disabled && !reached.includes(at) && one.tabIndex >= 0
            && !(one.type === "radio" && !one.checked)
            && !one.classList.contains("hidden")).map((one) => one.outerHTML)""",
        [EVERYTHING, sorted(reached)],
    )
    assert missing == []


def test_a_musician_without_a_mouse_starts_picks_mutes_and_panics(page: Page, panel: FakePanel):
    page.locator("#main").focus()
    page.keyboard.press("Space")
    page.keyboard.press("3")
    page.keyboard.press("m")
    page.keyboard.press("t")
    wait_until(page, lambda: ("set", {"composer": "stride"}) in panel.asked)
    page.keyboard.press("Escape")
    page.wait_for_timeout(100)
    commands = [command for command, _ in panel.asked]
    assert "panic" not in commands
    assert {"play", "tap"} <= set(commands)
    assert ("set", {"mute": True}) in panel.asked
    page.keyboard.press("Escape")
    wait_until(page, lambda: ("panic", {}) in panel.asked)
    page.keyboard.press("Shift+P")
    wait_until(page, lambda: panel.asked.count(("panic", {})) == 2)
    page.locator("#tab-live").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#file")).to_be_visible()
    expect(page.locator("#tab-file")).to_be_focused()


def test_letters_and_numbers_can_be_switched_off_for_who_speaks_to_the_computer(
    page: Page, panel: FakePanel
):
    page.locator(".keys summary").click()
    page.locator("#letters").uncheck()
    page.reload()
    expect(page.locator(".composer")).to_have_count(3)
    expect(page.locator("#mute")).to_be_enabled()
    page.locator("#main").focus()
    for key in ("3", "m", "t", "Shift+P"):
        page.keyboard.press(key)
    page.keyboard.press("Space")
    wait_until(page, lambda: ("play", {}) in panel.asked)
    page.wait_for_timeout(300)
    assert not {"set", "tap", "panic"} & {command for command, _ in panel.asked}
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    wait_until(page, lambda: ("panic", {}) in panel.asked)
    page.locator(".keys summary").click()
    page.locator("#letters").check()
    page.keyboard.press("t")
    wait_until(page, lambda: ("tap", {}) in panel.asked)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_axe_finds_nothing_that_shuts_anybody_out(
    browser: Browser, panel: FakePanel, theme: str, size: tuple[int, int]
):
    panel.notebook["projects"] = {"": {"one": {"transpose": 3}}}
    with opened(browser, panel.url, size=size, theme=theme) as page:
        expect(page.locator(".composer")).to_have_count(3)
        play(panel, beat=8.0)
        panel.tell_status(problems=["something is wrong; mend it."], controls={"split": True})
        panel.tell("level", level_db=-120.0, peak_db=-120.0, clipped=True, silent_seconds=9.0)
        expect(page.locator(".is-sounding")).to_have_count(1)
        page.keyboard.press("2")
        expect(page.locator(".is-next")).to_have_count(1)
        for opens in page.locator("#live details, .footer details").all():
            opens.locator("summary").click()
        assert violations(page) == []
        page.locator("#tab-file").click()
        page.evaluate("document.getElementById('cover-form').hidden = false")
        page.evaluate("document.getElementById('compare').hidden = false")
        page.locator(".cover-more summary").click()
        assert violations(page) == []
        page.locator("#tab-live").click()
        panel.tell("bridge", connected=False, version="1")
        expect(page.locator("#state")).to_contain_text("Not connected")
        expect(page.locator(".is-sounding")).to_have_count(0)
        assert violations(page) == []


def violations(page: Page) -> list[str]:
    page.wait_for_timeout(400)  # of what fades
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['html']} {node['failureSummary']}"
        for one in found
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_it_fits_the_width_of_the_screen(browser: Browser, panel: FakePanel, width: int):
    with opened(browser, panel.url, size=(width, 740)) as page:
        expect(page.locator(".composer")).to_have_count(3)
        play(panel, beat=800.0)
        panel.tell_status(problems=["x" * 200], controls={"split": True})
        for tab in ("live", "file"):
            page.locator(f"#tab-{tab}").click()
            page.evaluate("document.getElementById('cover-form').hidden = false")
            page.evaluate("document.getElementById('compare').hidden = false")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            small = page.evaluate(
                """(touched) => [...document.querySelectorAll(touched)]
                    .filter((one) => one.checkVisibility())
                    .filter((one) => one.getBoundingClientRect().height < 44)
                    .map((one) => one.outerHTML)""",
                TOUCHED,
            )
            assert small == []
        words, lights = page.locator("#state-words"), page.locator("#beat-lights")
        for state in ("playing", "no-engine"):
            panel.tell_status(state=state)
            said, lit = words.bounding_box(), lights.bounding_box()
            assert said is not None
            assert lit is not None
            assert said["x"] + said["width"] <= lit["x"] or said["y"] + said["height"] <= lit["y"]


def test_light_or_dark_follows_the_system_until_one_is_chosen(page: Page):
    root = page.locator("html")
    expect(root).to_have_attribute("data-theme", "light")
    page.emulate_media(color_scheme="dark")
    expect(root).to_have_attribute("data-theme", "dark")
    page.locator("#themes [value=light]").check()
    expect(root).to_have_attribute("data-theme", "light")
    page.reload()
    expect(root).to_have_attribute("data-theme", "light")
    page.locator("#themes [value=auto]").check()
    expect(root).to_have_attribute("data-theme", "dark")


# --- who else changes things


def test_two_pages_keep_the_changes_of_both(browser: Browser, page: Page, panel: FakePanel):
    # Neither is told what the other writes: a conflict is all that they see of it.
    with opened(browser, panel.url) as other:
        expect(other.locator(".composer")).to_have_count(3)
        page.get_by_role("button", name="stride is a favorite").click()
        wait_until(page, lambda: panel.notebook["favourites"] == ["stride"])
        other.get_by_role("button", name="ballad is a favorite").click()
        wait_until(other, lambda: panel.notebook["favourites"] == ["stride", "ballad"])
        expect(other.locator(".star[aria-pressed=true]")).to_have_count(2)
        page.locator("#preset-name").fill("one")
        page.locator("#preset-name").press("Enter")
        other.locator("#preset-name").fill("two")
        other.locator("#preset-name").press("Enter")
        wait_until(page, lambda: set(panel.notebook["projects"].get("", {})) == {"one", "two"})
        assert panel.notebook["favourites"] == ["stride", "ballad"]


def test_what_another_page_keeps_is_shown(page: Page, panel: FakePanel):
    kept = {"favourites": ["ballad"], "project": "", "projects": {"": {"one": {"transpose": 3}}}}
    panel.tell("notebook", **kept, revision=panel.revision + 1)
    expect(page.locator("#preset-list li")).to_have_count(1)
    expect(page.locator(".composer").first).to_have_attribute("data-composer", "ballad")
    panel.tell("notebook", **panel.notebook, revision=panel.revision)  # came late
    page.wait_for_timeout(200)
    expect(page.locator("#preset-list li")).to_have_count(1)


def test_a_page_that_could_not_read_the_presets_never_writes_over_them(
    browser: Browser, panel: FakePanel
):
    panel.notebook = {"favourites": ["full"], "project": "", "projects": {"": {"one": {}}}}
    kept = dict(panel.notebook)
    panel.is_notebook_readable = False
    with opened(browser, panel.url) as page:
        expect(page.locator(".composer")).to_have_count(3)
        expect(page.locator("#notice")).to_have_text("It cannot be read.")
        panel.is_notebook_readable = True
        page.get_by_role("button", name="stride is a favorite").click()
        expect(page.locator("#notice")).to_contain_text("could not be read yet")
        expect(page.locator("#preset-list li")).to_have_count(1)  # it has read them now
        assert panel.notebook == kept
        page.get_by_role("button", name="stride is a favorite").click()
        wait_until(page, lambda: panel.notebook["favourites"] == ["full", "stride"])
        assert panel.notebook["projects"] == kept["projects"]


def test_the_next_panel_counts_anew_and_nothing_is_lost(page: Page, panel: FakePanel):
    page.get_by_role("button", name="stride is a favorite").click()
    wait_until(page, lambda: panel.notebook["favourites"] == ["stride"])
    panel.revision = 7
    panel.notebook["favourites"] = ["ballad"]
    panel.drop_pages()
    expect(page.locator("[data-composer=ballad] .star")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="full is a favorite").click()
    wait_until(page, lambda: panel.notebook["favourites"] == ["ballad", "full"])


# --- a file


def send_a_file(page: Page) -> None:
    page.locator("#tab-file").click()
    file = {"name": "song.mp3", "mimeType": "audio/mpeg", "buffer": b"no sound"}
    page.locator("#stem").set_input_files([file])
    expect(page.locator("#cover-form")).to_be_visible()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "It goes no further"), (75.0, "1:15 long. It goes no further")],
)
def test_a_length_that_nobody_knows_is_not_told(
    page: Page, panel: FakePanel, seconds: float | None, words: str
):
    panel.stem_seconds = seconds
    send_a_file(page)
    expect(page.locator("#drop-note")).to_have_text(
        f"{words} than the computer that runs Sidekeys."
    )


def test_a_pause_of_the_bridge_makes_no_cover_twice(page: Page, panel: FakePanel):
    def hiccup() -> None:
        panel.tell("bridge", connected=False, version="1")
        panel.tell("bridge", connected=True, version="1")

    send_a_file(page)
    panel.waits.set()
    page.locator("#make").click()
    wait_until(page, lambda: len(panel.covers) == 1)
    hiccup()  # before the panel has said what it is called
    page.wait_for_timeout(1200)
    assert len(panel.covers) == 1
    panel.waits.clear()
    page.wait_for_timeout(300)
    hiccup()
    panel.tell("cover", cover="cover-1", state="running", stage="playing", done=1, total=4)
    page.wait_for_timeout(1200)
    assert len(panel.covers) == 1
    hiccup()  # and now it is not known any more
    wait_until(page, lambda: len(panel.covers) == 2)


# --- what it is made of


def test_the_whole_page_weighs_less_than_a_picture():
    assert sum(file.stat().st_size for file in STATIC.iterdir()) < LARGEST_PAGE


def test_nothing_comes_from_elsewhere_and_nothing_is_inline(browser: Browser, panel: FakePanel):
    asked: list[str] = []
    context = browser.new_context()
    try:
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto(panel.url)
        expect(page.locator(".composer")).to_have_count(3)
        page.locator("#tab-file").click()
    finally:
        context.close()
    assert {urlsplit(url).netloc for url in asked} == {f"127.0.0.1:{panel.port}"}
    html = (STATIC / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?![^>]*\ssrc=)", html)
    for file in STATIC.iterdir():
        assert not re.search(r"https?://(?!www\.w3\.org)", file.read_text(encoding="utf-8")), file


def test_every_part_is_used_and_none_is_missing(page: Page):
    named = set(re.findall(r"static/([\w.]+)", (STATIC / "index.html").read_text()))
    for part in STATIC.glob("*.js"):
        named |= set(re.findall(r'from "\./([\w.]+)"', part.read_text(encoding="utf-8")))
    assert named | {"index.html"} == {Path(part).name for part in STATIC.iterdir()}
