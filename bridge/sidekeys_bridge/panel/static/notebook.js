// What the user keeps: favorites, and presets by project; on the bridge's machine, in one file.

import { byId, element, icon, notice } from "./page.js";
import { ask, call } from "./link.js";

const ASK_AGAIN_MS = 3000;

export class Notebook {
  constructor() {
    this.kept = { favourites: [], project: "", projects: {} };
    this.listeners = [];
    this.written = Promise.resolve();
    this.values = () => ({});
    byId("presets").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#save();
    });
    byId("project").addEventListener("change", (event) => {
      this.#write({ project: event.target.value.trim() });
    });
  }

  onChange(listener) {
    this.listeners.push(listener);
  }

  get favorites() {
    return this.kept.favourites;
  }

  async read() {
    try {
      const kept = await (await call("/api/notebook")).json();
      this.kept = { favourites: [], project: "", projects: {}, ...kept };
      this.#show();
    } catch (failure) {
      notice(failure.message);
    }
  }

  toggleFavorite(composer) {
    const others = this.favorites.filter((name) => name !== composer);
    const isNew = others.length === this.favorites.length;
    this.#write({ favourites: isNew ? [...others, composer] : others });
  }

  get #presets() {
    return this.kept.projects[this.kept.project] ?? {};
  }

  #save() {
    const field = byId("preset-name");
    const name = field.value.trim();
    if (!name) {
      field.focus();
      notice("Give the preset a name first.");
      return;
    }
    field.value = "";
    this.#writePresets({ ...this.#presets, [name]: this.values() });
  }

  #writePresets(presets) {
    const projects = { ...this.kept.projects, [this.kept.project]: presets };
    if (Object.keys(presets).length === 0) delete projects[this.kept.project];
    this.#write({ projects });
  }

  /** Changes a part; what was changed first is written first. */
  #write(part) {
    this.kept = { ...this.kept, ...part };
    this.#show();
    const { kept } = this;
    this.written = this.written
      .then(() => call("/api/notebook", { method: "PUT", json: kept }))
      .catch(async (failure) => {
        await this.read();
        notice(failure.message);
      });
  }

  #show() {
    const { project, projects } = this.kept;
    if (document.activeElement !== byId("project")) byId("project").value = project;
    const names = Object.keys(projects).filter((name) => name);
    byId("projects").replaceChildren(...names.map((value) => element("option", { value })));
    byId("preset-list").replaceChildren(
      ...Object.entries(this.#presets).map(([name, values]) => this.#preset(name, values)),
    );
    for (const listener of this.listeners) listener();
  }

  #preset(name, values) {
    const apply = async () => {
      try {
        await ask("set", values);
      } catch (failure) {
        notice(failure.message);
      }
    };
    const remove = element(
      "button",
      { type: "button", class: "icon-button", "aria-label": `Delete ${name}`, title: "Delete" },
      icon("cross"),
    );
    const removeNow = () => {
      const { [name]: _, ...others } = this.#presets;
      this.#writePresets(others);
    };
    remove.addEventListener("click", () => {
      // A second click deletes: a preset cannot be brought back.
      const sure = element("button", { type: "button", class: "button panic", click: removeNow }, "Delete");
      remove.replaceWith(sure);
      sure.focus();
      setTimeout(() => sure.isConnected && sure.replaceWith(remove), ASK_AGAIN_MS);
    });
    const use = element("button", { type: "button", class: "button", click: apply }, name);
    return element("li", {}, use, remove);
  }
}
