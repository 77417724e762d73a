// A file becomes piano parts: dropped or chosen, sent, covered by some composers, kept here.

import { byId, element, midiLink, minutes, notice, say, sayAloud, titled } from "./page.js";
import { call, on, sentence, upload } from "./link.js";
import { heldNotes } from "./part_player.js";

const STAGES = { listening: "Finds the beats", playing: "Plays" };
const GONE = 404;
const RESUME_MS = 800; // a panel tells a page that comes of all covers that it knows

export class Covers {
  /** `compare` shows what is made; `showFile` brings its view to the front. */
  constructor(compare, showFile) {
    this.compare = compare;
    this.showFile = showFile;
    this.file = null;
    this.stem = null; // its id, once it is there; a promise until then
    this.covers = new Map(); // by our own number
    this.lastNumber = 0;
    this.onHeard = () => {};
    this.early = new Map(); // what was told of covers before their ids were known here
    byId("stem").addEventListener("change", (event) => {
      if (event.target.files[0]) this.take(event.target.files[0]);
      event.target.value = "";
    });
    byId("cover-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#make();
    });
    compare.onRemove = (number) => this.#remove(number);
    this.#wireDrop();
    on("cover", (event) => this.#hear(event));
  }

  /** Those who may be chosen. */
  setComposers(names, chosen) {
    const place = byId("cover-composers");
    const before = [...place.querySelectorAll("input")].map((box) => box.value);
    if (before.join() === names.join()) return;
    const marked = [...place.querySelectorAll(":checked")].map((box) => box.value);
    place.replaceChildren(
      ...names.map((name) =>
        element(
          "label",
          { class: "chip" },
          element("input", {
            type: "checkbox", name: "cover-composer", value: name,
            checked: marked.length ? marked.includes(name) : name === chosen,
          }),
          element("span", {}, titled(name)),
        ),
      ),
    );
  }

  /** A file: the song to cover. */
  async take(file) {
    this.showFile();
    this.#forget();
    this.file = file;
    byId("drop").classList.add("has-file");
    say(byId("drop-title"), file.name);
    say(byId("drop-note"), "Is sent …");
    say(byId("stem-button"), "Choose another");
    const decoding = this.compare.setSource(file);
    this.stem = this.#send();
    try {
      await this.stem;
      if (this.file !== file) return;
      byId("cover-form").hidden = false;
      this.compare.show();
      if (!(await decoding)) notice("This browser cannot play the file. The piano is heard alone.");
    } catch (failure) {
      if (this.file !== file) return;
      say(byId("drop-note"), failure.message);
      notice(failure.message);
    }
  }

  /** The connection is back: what was being made and is not known there any more is made again. */
  resume() {
    const known = new Set();
    this.onHeard = (id) => known.add(id);
    setTimeout(() => {
      this.onHeard = () => {};
      for (const [key, cover] of this.covers) {
        // Without an id it has only just been asked for, and the answer is on its way.
        if (cover.state !== "running" || cover.id === null || known.has(cover.id)) continue;
        cover.id = null;
        this.#ask(key, cover.wishes);
      }
    }, RESUME_MS);
  }

  #wireDrop() {
    let depth = 0;
    const isFile = (event) => event.dataTransfer?.types.includes("Files");
    const show = (isShown) => (byId("drop-here").hidden = !isShown);
    addEventListener("dragenter", (event) => isFile(event) && show(++depth > 0));
    addEventListener("dragleave", (event) => isFile(event) && show(--depth > 0));
    addEventListener("dragover", (event) => isFile(event) && event.preventDefault());
    addEventListener("drop", (event) => {
      if (!isFile(event)) return;
      event.preventDefault();
      depth = 0;
      show(false);
      if (event.dataTransfer.files[0]) this.take(event.dataTransfer.files[0]);
    });
  }

  async #send() {
    const { file } = this;
    const progress = byId("upload");
    progress.hidden = false;
    try {
      const path = `/api/stems?name=${encodeURIComponent(file.name)}`;
      const { stem, seconds } = await upload(path, file, (share) => (progress.value = share));
      const length = seconds === null ? "" : `${minutes(seconds)} long. `;
      if (this.file === file) say(byId("drop-note"), `${length}It goes no further than the computer that runs Sidekeys.`);
      return stem;
    } finally {
      progress.hidden = true;
    }
  }

  #forget() {
    this.stem?.then((stem) => call(`/api/stems/${stem}`, { method: "DELETE" })).catch(() => {});
    this.covers.clear();
    this.compare.clear();
    byId("cover-form").hidden = true;
  }

  #make() {
    const composers = [...document.querySelectorAll("[name=cover-composer]:checked")].map((box) => box.value);
    if (composers.length === 0) {
      notice("Choose who plays first.");
      return;
    }
    const number = (id) => (byId(id).value === "" ? undefined : Number(byId(id).value));
    const bar = (id, more) => (byId(id).value === "" ? undefined : `bar${Number(byId(id).value) + more}`);
    const wishes = {
      bpm: number("cover-bpm"),
      meter: byId("cover-meter").value.trim() || undefined,
      temperature: number("cover-temperature"),
      seed: number("cover-seed"),
      start: bar("cover-start", 0),
      end: bar("cover-end", 1), // up to the end of that bar
    };
    for (const composer of composers) {
      const same = [...this.covers].find(([, cover]) => cover.wishes.composer === composer);
      if (same) this.#remove(same[0]);
      const key = ++this.lastNumber;
      this.covers.set(key, { wishes: { composer, ...wishes }, state: "running", id: null });
      this.compare.addTrack(key, composer);
      this.#ask(key, { composer, ...wishes });
    }
  }

  /** Asks for a cover; sends the file again where the panel has forgotten it. */
  async #ask(key, wishes, isAgain = false) {
    const { file } = this;
    const cover = this.covers.get(key);
    try {
      const path = `/api/stems/${await this.stem}/covers`;
      const { cover: id } = await (await call(path, { method: "POST", json: wishes })).json();
      cover.id = id;
      const early = this.early.get(id);
      if (early) this.#follow(key, cover, early);
    } catch (failure) {
      if (this.file !== file || !this.covers.has(key)) return;
      if (failure.status === GONE && !isAgain) {
        this.#sendAgain();
        this.#ask(key, wishes, true);
      } else this.#fail(key, failure.message);
    }
  }

  /** One upload for all covers that find the file gone. */
  #sendAgain() {
    if (this.sending) return;
    this.stem = this.sending = this.#send();
    const done = () => (this.sending = null);
    this.sending.then(done, done);
  }

  #hear(event) {
    this.onHeard(event.cover);
    const found = [...this.covers].find(([, cover]) => cover.id === event.cover);
    if (found) this.#follow(...found, event);
    else this.early.set(event.cover, event);
    if (this.early.size > 200) this.early.delete(this.early.keys().next().value);
  }

  async #follow(key, cover, { state, stage, done, total, message }) {
    if (cover.state !== "running") return;
    if (state === "running") {
      const words = total ? `${STAGES[stage] ?? "Works"}: ${done} of ${total}` : `${STAGES[stage] ?? "Waits for the engine"} …`;
      this.compare.showProgress(key, words, total ? done / total : null);
      return;
    }
    if (state !== "done") {
      this.#fail(key, message ? sentence(message) : "It was cancelled.");
      return;
    }
    cover.state = "reading";
    try {
      const path = `/api/covers/${cover.id}`;
      const [content, midi] = await Promise.all([
        call(path).then((response) => response.json()),
        call(`${path}.mid`).then((response) => response.blob()),
      ]);
      if (!this.covers.has(key)) return;
      cover.state = "done";
      const name = `${this.file.name.replace(/\.[^.]*$/, "")}-${cover.wishes.composer}.mid`;
      const notes = heldNotes(content.notes, content.pedals);
      this.compare.showCover(key, notes, content.bars, await midiLink(midi, name));
      sayAloud(`${titled(cover.wishes.composer)}: the piano part is there, ${notes.length} notes.`);
    } catch (failure) {
      cover.state = "running";
      this.#fail(key, failure.message);
    }
  }

  #fail(key, words) {
    const cover = this.covers.get(key);
    if (!cover) return;
    cover.state = "failed";
    this.compare.showFailure(key, words);
  }

  #remove(key) {
    const cover = this.covers.get(key);
    this.covers.delete(key);
    this.compare.removeTrack(key);
    if (cover?.id) call(`/api/covers/${cover.id}`, { method: "DELETE" }).catch(() => {});
  }
}
