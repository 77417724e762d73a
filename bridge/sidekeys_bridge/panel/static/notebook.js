// What the user keeps: favorites, and presets by project; on the bridge's machine, in one file.

import { byId, element, icon, notice } from "./page.js";
import { ask, call } from "./link.js";

const ASK_AGAIN_MS = 3000;
const CONFLICT = 409;
const MOST_TRIES = 10;
const NEVER = -1;

export class Notebook {
  constructor() {
    this.told = { favourites: [], project: "", projects: {}, revision: NEVER };
    this.isRead = false;
    this.changes = []; // on their way: functions from what is kept to what shall be
    this.listeners = [];
    this.written = Promise.resolve();
    this.values = () => ({});
    byId("presets").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#save();
    });
    byId("project").addEventListener("change", (event) => {
      const project = event.target.value.trim();
      this.#change((kept) => ({ ...kept, project }));
    });
  }

  onChange(listener) {
    this.listeners.push(listener);
  }

  /** What is kept, with the changes that are on their way. */
  get kept() {
    return this.changes.reduce((kept, apply) => apply(kept), this.told);
  }

  get favorites() {
    return this.kept.favourites;
  }

  async read() {
    try {
      this.take(await (await call("/api/notebook")).json());
    } catch (failure) {
      notice(failure.message);
    }
  }

  /** What is kept there now, unless something newer is known here. */
  take(kept) {
    if (kept.revision < this.told.revision) return;
    this.told = kept;
    this.isRead = true;
    this.#show();
  }

  /** The connection is lost: the next panel counts anew. */
  lose() {
    this.told = { ...this.told, revision: NEVER };
  }

  toggleFavorite(composer) {
    const isNew = !this.favorites.includes(composer);
    this.#change((kept) => {
      const others = kept.favourites.filter((name) => name !== composer);
      return { ...kept, favourites: isNew ? [...others, composer] : others };
    });
  }

  get #presets() {
    const { project, projects } = this.kept;
    return projects[project] ?? {};
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
    const values = this.values();
    this.#changePresets((presets) => ({ ...presets, [name]: values }));
  }

  /** Changes the presets of the project that is shown. */
  #changePresets(apply) {
    const { project } = this.kept;
    this.#change((kept) => {
      const projects = { ...kept.projects, [project]: apply(kept.projects[project] ?? {}) };
      if (Object.keys(projects[project]).length === 0) delete projects[project];
      return { ...kept, projects };
    });
  }

  /** Makes one change to whatever is kept by then; what was changed first is written first. */
  #change(apply) {
    if (!this.isRead) {
      notice("Your favorites and presets could not be read yet. Try again.");
      this.#show();
      this.read();
      return;
    }
    this.changes.push(apply);
    this.#show();
    this.written = this.written
      .then(() => this.#write(apply))
      .catch((failure) => notice(failure.message))
      .finally(() => {
        this.changes = this.changes.filter((other) => other !== apply);
        this.#show();
      });
  }

  /** Another page may have written since: then the change is made to that, and tried again. */
  async #write(apply) {
    for (let tries = 1; ; tries++) {
      try {
        const response = await call("/api/notebook", { method: "PUT", json: apply(this.told) });
        const kept = await response.json();
        this.changes = this.changes.filter((other) => other !== apply);
        this.take(kept);
        return;
      } catch (failure) {
        if (failure.status !== CONFLICT || tries === MOST_TRIES) throw failure;
        this.lose(); // whatever is there now counts
        this.take(failure.content.notebook);
      }
    }
  }

  #show() {
    const { project, projects } = this.kept;
    if (document.activeElement !== byId("project")) byId("project").value = project;
    const names = Object.keys(projects).filter((name) => name);
    const presets = this.#presets;
    const shown = JSON.stringify([names, presets]);
    if (shown !== this.shown) {
      this.shown = shown;
      this.#list(names, presets);
    }
    for (const listener of this.listeners) listener();
  }

  #list(names, presets) {
    byId("projects").replaceChildren(...names.map((value) => element("option", { value })));
    byId("preset-list").replaceChildren(
      ...Object.entries(presets).map(([name, values]) => this.#preset(name, values)),
    );
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
      this.#changePresets(({ [name]: _, ...others }) => others);
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
