// Light or dark, before anything is drawn: as the system has it, or as was chosen here.
"use strict";
(() => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => {
    try {
      return localStorage.getItem("sidekeys-theme") || "auto";
    } catch {
      return "auto";
    }
  };
  const apply = () => {
    const choice = chosen();
    const theme = choice === "auto" ? (system.matches ? "dark" : "light") : choice;
    document.documentElement.dataset.theme = theme;
    dispatchEvent(new CustomEvent("themechange"));
  };
  system.addEventListener("change", apply);
  addEventListener("storage", (event) => event.key === "sidekeys-theme" && apply());
  addEventListener("DOMContentLoaded", () => {
    const radios = document.getElementById("themes");
    radios.querySelector(`[value="${chosen()}"]`).checked = true;
    radios.addEventListener("change", (event) => {
      try {
        localStorage.setItem("sidekeys-theme", event.target.value);
      } catch {
        document.documentElement.dataset.theme = event.target.value;
        return;
      }
      apply();
    });
  });
  apply();
})();
