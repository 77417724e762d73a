// The page: puts the parts together, and hands them what the bridge tells.

import { byId, notice, sayAloud, say } from "./page.js";
import { on, start } from "./link.js";
import { SongClock } from "./song_clock.js";
import { RollMemory } from "./roll_memory.js";
import { Roll, hint } from "./roll.js";
import { TopBar } from "./topbar.js";
import { Composers } from "./composers.js";
import { Listening } from "./listening.js";
import { ControlPanel } from "./controls.js";
import { Notebook } from "./notebook.js";
import { EngineView, showProblems, wireTakes } from "./engine.js";
import { Compare } from "./compare.js";
import { Covers } from "./covers.js";
import { confirmWith, present } from "./changes.js";

const clock = new SongClock();
const memory = new RollMemory(clock);
const roll = new Roll(byId("roll"), clock, memory);
const bar = new TopBar(clock);
const notebook = new Notebook();
const composers = new Composers(notebook);
const listening = new Listening();
const controls = new ControlPanel();
const engine = new EngineView();
const covers = new Covers(new Compare(), () => showTab("file"));

let link = "lost";
let isBridgeThere = false;
let hasBeenThere = false;
let isSaidToBeThere = false; // each try to connect would be read aloud
let told = null; // the last status
let notebookProblem = null;

const seconds = () => performance.now() / 1000;

// --- the connection

function showLink() {
  const isThere = link === "open" && isBridgeThere;
  document.body.dataset.link = isThere ? "open" : link === "refused" ? "refused" : "lost";
  byId("locked").hidden = link !== "refused";
  if (!isThere) {
    bar.showState(link === "refused" ? "refused" : "lost");
    clock.stop(seconds());
    memory.cut();
    memory.composers = [];
    composers.show(told?.composer ?? null, null);
    showProblems([]);
    if (isSaidToBeThere) sayAloud("Not connected. Trying again.");
  } else if (told) bar.showState(told.state);
  isSaidToBeThere = isThere;
  roll.refresh();
  hint(told, !isThere);
}

on("link", (state) => {
  link = state;
  if (state !== "open") {
    isBridgeThere = false;
    notebook.lose();
  }
  showLink();
});

on("bridge", ({ connected }) => {
  const isBack = connected && !isBridgeThere;
  isBridgeThere = connected;
  showLink();
  if (!isBack) return;
  notebook.read();
  listening.listInputs();
  if (hasBeenThere) covers.resume();
  hasBeenThere = true;
});

// --- what the bridge tells

on("status", (status) => {
  const before = told?.state;
  told = status;
  const { choice: input, channels } = status.input;
  confirmWith({ ...status.controls, mode: status.mode, input, channels });
  memory.mode = status.mode;
  if (status.delay_beats !== null) memory.delayBeats = status.delay_beats;
  memory.controls = status.controls;
  clock.hear(status.transport, seconds());
  if (!status.transport.playing && memory.composers.length) {
    memory.cut();
    memory.composers = [];
  }
  if (link === "open" && isBridgeThere) bar.showState(status.state);
  if (before !== undefined && before !== status.state) hint(status, false);
  if (before === undefined) hint(status, false);
  bar.show(status);
  listening.show(status);
  controls.show(status.controls);
  engine.show(status, clock.beatsPerBar);
  showProblems([...status.problems, ...(notebookProblem ? [notebookProblem] : [])]);
  showComposers();
  if (!clock.isPlaying) roll.refresh();
});

on("transport", (transport) => {
  clock.hear(transport, seconds());
  roll.refresh();
});

on("composers", ({ composers: lines, composer_default: usual }) => {
  composers.setComposers(lines);
  covers.setComposers(Object.keys(lines), told?.composer ?? usual);
});

on("level", (level) => listening.showLevel(level));
on("notes", ({ notes }) => memory.addPlayed(notes));
on("window", (window) => memory.addWindow(window));
on("heard", (heard) => roll.hear(heard));
on("run", ({ mode, delay_beats: delay }) => {
  memory.cut();
  memory.composers = [];
  if (mode !== "loop") memory.windows.clear();
  memory.mode = mode;
  memory.delayBeats = delay;
});
on("problem", ({ about, message }) => {
  if (about === "notebook") notebookProblem = message;
  if (message) sayAloud(message);
});
on("error", ({ message }) => notice(message));
on("notebook", (kept) => notebook.take(kept));

clock.onSeam = () => memory.cut();

function showComposers() {
  composers.show(present("composer", told.composer), clock.isPlaying ? memory.soundingComposer() : null);
}

roll.onFrame = (beats) => {
  bar.frame(beats);
  if (told && clock.isPlaying) showComposers();
};

// --- views

const tabs = ["live", "file"];

function showTab(name) {
  for (const tab of tabs) {
    const isShown = tab === name;
    byId(tab).hidden = !isShown;
    byId(`tab-${tab}`).setAttribute("aria-selected", String(isShown));
    byId(`tab-${tab}`).tabIndex = isShown ? 0 : -1;
  }
  try {
    sessionStorage.setItem("sidekeys-tab", name);
  } catch {
    // A browser that keeps nothing.
  }
}

for (const tab of tabs) {
  byId(`tab-${tab}`).addEventListener("click", () => showTab(tab));
  byId(`tab-${tab}`).addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const other = tabs[1 - tabs.indexOf(tab)];
    showTab(other);
    byId(`tab-${other}`).focus();
  });
}

try {
  showTab(tabs.includes(sessionStorage.getItem("sidekeys-tab")) ? sessionStorage.getItem("sidekeys-tab") : "live");
} catch {
  showTab("live");
}
notebook.values = () => controls.values();
wireTakes();
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the end of the address is for the key
  byId("main").focus();
});
byId("show-heard").addEventListener("change", (event) => roll.showHeard(event.target.checked));
say(byId("state-words"), "Connecting…");
start();
