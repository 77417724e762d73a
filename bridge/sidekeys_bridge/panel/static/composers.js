// Who plays: a card for each composer, with a picture, a preview to hear, and a star.

import { byId, color, element, icon, later, notice, say, sayAloud, showIcon, titled } from "./page.js";
import { ask, call } from "./link.js";
import { areLettersKeys, isWriting } from "./topbar.js";
import { drawNotes } from "./small_roll.js";
import { PartPlayer, audioContext, heldNotes } from "./part_player.js";
import { PianoSound, prepareTones } from "./piano_sound.js";

export class Composers {
  constructor(notebook) {
    this.notebook = notebook;
    this.lines = {};
    this.cards = new Map();
    this.auditions = new Map();
    this.chosen = null;
    this.sounding = null;
    this.heard = null; // whose preview plays
    this.choose = later(120, (name) => this.#send(name));
    notebook.onChange(() => this.#order());
    addEventListener("themechange", () => this.#draw());
    new ResizeObserver(() => this.#draw()).observe(byId("composers"));
    addEventListener("keydown", (event) => this.#key(event));
  }

  /** Those of the checkpoint: an object of name and line. */
  setComposers(lines) {
    if (JSON.stringify(lines) === JSON.stringify(this.lines)) return;
    this.lines = lines;
    this.stop();
    this.cards = new Map(Object.keys(lines).map((name) => [name, this.#card(name, lines[name])]));
    this.auditions.clear();
    this.#order();
    this.show(this.chosen, this.sounding, true);
    for (const name of this.cards.keys()) this.#loadAudition(name);
  }

  /** Marks who plays now, and who will from the next window on. */
  show(chosen, sounding, isAnew = false) {
    if (chosen === this.chosen && sounding === this.sounding && !isAnew) return;
    if (sounding && sounding !== this.sounding && !isAnew) sayAloud(`${titled(sounding)} plays now.`);
    this.chosen = chosen;
    this.sounding = sounding;
    for (const [name, card] of this.cards) {
      const isNext = name === chosen && sounding !== null && sounding !== chosen;
      card.classList.toggle("is-chosen", name === chosen);
      card.classList.toggle("is-sounding", name === sounding);
      card.classList.toggle("is-next", isNext);
      say(card.querySelector(".badge"), name === sounding ? "Playing" : isNext ? "Next" : "");
      card.querySelector("input").checked = name === chosen;
    }
    const waits = chosen && sounding && sounding !== chosen;
    say(byId("composers-note"), waits ? `${titled(chosen)} starts with the next window.` : "");
  }

  /** Ends the preview that plays. */
  stop() {
    if (this.heard === null) return;
    this.player.stop();
    clearInterval(this.timer);
    const card = this.cards.get(this.heard);
    this.heard = null;
    if (!card) return;
    const button = card.querySelector(".audition");
    button.classList.remove("is-on");
    showIcon(button, "play");
    button.setAttribute("aria-label", `Hear ${card.dataset.composer}`);
    this.#draw();
  }

  #card(name, line) {
    const id = `composer-${name.replace(/\W/g, "-")}`;
    const card = element("div", { class: "composer", "data-composer": name });
    const star = element(
      "button",
      {
        type: "button", class: "icon-button star", "aria-pressed": "false",
        "aria-label": `${name} is a favorite`, title: "Favorites come first",
        click: () => this.notebook.toggleFavorite(name),
      },
      icon("star"),
    );
    const audition = element(
      "button",
      {
        type: "button", class: "icon-button audition", "aria-label": `Hear ${name}`,
        title: "Hear some bars", click: () => this.#audition(name),
      },
      icon("play"),
    );
    audition.hidden = true;
    card.append(
      element("input", {
        type: "radio", name: "composer", value: name, id, "aria-label": name,
        "aria-describedby": `${id}-line`, change: () => this.choose(name),
      }),
      element(
        "div",
        { class: "composer-head" },
        element("span", { class: "composer-key", "aria-hidden": "true" }),
        element("span", { class: "composer-name", "aria-hidden": "true" }, titled(name)),
        element("span", { class: "badge" }),
      ),
      element("canvas", { class: "composer-roll", "aria-hidden": "true", hidden: true }),
      element("p", { class: "composer-line", id: `${id}-line` }, line),
      element("div", { class: "composer-hands" }, audition, star),
    );
    return card;
  }

  #order() {
    const { favorites } = this.notebook;
    const names = [...this.cards.keys()];
    names.sort((one, other) => favorites.includes(other) - favorites.includes(one));
    const cards = names.map((name) => this.cards.get(name));
    const place = byId("composers");
    const isSame = cards.length === place.children.length && cards.every((card, at) => place.children[at] === card);
    const focused = document.activeElement;
    if (!isSame) {
      place.replaceChildren(...cards);
      if (place.contains(focused)) focused.focus({ preventScroll: true });
    }
    names.forEach((name, at) => {
      const card = this.cards.get(name);
      say(card.querySelector(".composer-key"), at < 9 ? String(at + 1) : "");
      card.querySelector(".star").setAttribute("aria-pressed", String(favorites.includes(name)));
    });
    this.#draw();
  }

  async #send(name) {
    try {
      await ask("set", { composer: name });
    } catch (failure) {
      notice(failure.message);
      this.show(this.chosen, this.sounding, true);
    }
  }

  async #loadAudition(name) {
    try {
      const response = await call(`/api/auditions/${encodeURIComponent(name)}`);
      const { bpm, beats, notes } = await response.json();
      const beatSeconds = 60 / bpm;
      const rows = notes.map(([onset, duration, ...key]) => [onset * beatSeconds, duration * beatSeconds, ...key]);
      this.auditions.set(name, { seconds: beats * beatSeconds, bar: 4 * beatSeconds, notes: heldNotes(rows) });
      for (const part of this.cards.get(name).querySelectorAll("[hidden]")) part.hidden = false;
      this.#draw();
    } catch {
      // No preview of this checkpoint: the card has no picture, and no button.
    }
  }

  async #audition(name) {
    const again = this.heard === name;
    this.stop();
    if (again) return;
    const { notes, seconds } = this.auditions.get(name);
    const context = audioContext(); // here, since a browser wants a click for it
    await prepareTones(notes.map((note) => note.pitch));
    this.stop();
    this.player ??= new PartPlayer(new PianoSound(context, context.destination));
    this.player.setNotes(notes);
    this.player.play(0, context.currentTime + 0.08);
    this.heard = name;
    const button = this.cards.get(name).querySelector(".audition");
    button.classList.add("is-on");
    button.setAttribute("aria-label", `Stop ${name}`);
    showIcon(button, "stop");
    this.timer = setInterval(() => {
      if (this.player.position > seconds + 1.5) this.stop();
      else this.#drawOne(name, this.player.position);
    }, 50);
  }

  #draw() {
    for (const name of this.cards.keys()) this.#drawOne(name, null);
  }

  #drawOne(name, at) {
    const audition = this.auditions.get(name);
    const canvas = this.cards.get(name)?.querySelector("canvas");
    if (!audition || !canvas) return;
    const { notes, seconds } = audition;
    drawNotes(canvas, notes, 0, seconds);
    if (at === null || at < 0) return;
    const context = canvas.getContext("2d");
    context.fillStyle = color("ink");
    context.fillRect((at / seconds) * canvas.clientWidth, 0, 1.5, canvas.clientHeight);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || isWriting(event.target)) return;
    if (!/^[1-9]$/.test(event.key) || !areLettersKeys() || byId("live").hidden) return;
    const card = byId("composers").children[Number(event.key) - 1];
    if (!card) return;
    event.preventDefault();
    card.querySelector("input").checked = true;
    this.choose(card.dataset.composer);
  }
}
