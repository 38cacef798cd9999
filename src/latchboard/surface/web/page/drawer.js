// Drawer: one thing looked at closely, at the side (on a phone: from below). It follows the board while it is open.

import { button, fill, h } from "./dom.js";

export class Drawer {
  constructor(dialog, app) {
    this.dialog = dialog;
    this.app = app;
    this.shown = null;
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    dialog.addEventListener("close", () => {
      this.shown = null;
      this.asker?.isConnected && this.asker.focus();
    });
  }

  /** Show `content`: `{title(), draw(), act}`; `draw` is called again whenever the board has changed. */
  open(content) {
    if (!this.dialog.open) this.asker = document.activeElement;
    this.shown = content;
    this.title = h("h2", { id: "drawer-title", tabindex: "-1" });
    this.body = h("div", { class: "drawer-body" });
    this.acts = h("div", { class: "drawer-acts" });
    const close = button("Close", { class: "quiet close", onclick: () => this.dialog.close() }, "close");
    close.querySelector("span").className = "unseen";
    fill(this.dialog, h("header", {}, this.title, close), h("div", { class: "drawer-scroll" }, this.body, this.acts));
    this.draw();
    if (!this.dialog.open) this.dialog.showModal();
    this.title.focus();
  }

  close() {
    this.dialog.close();
  }

  draw() {
    if (!this.shown) return;
    const key = this.shown.key?.();
    if (key !== undefined && key === this.shown.drawnKey) return;
    this.shown.drawnKey = key;
    fill(this.title, this.shown.title());
    const body = h("div", {}, this.shown.draw());
    const acts = h("div", {}, this.shown.acts?.() ?? []);
    const isAsking = Boolean(this.acts.querySelector("form"));
    // What is the same stays: whoever is on one of its buttons stays there, on a board that changes all the time.
    if (body.innerHTML === this.body.innerHTML && (isAsking || acts.innerHTML === this.acts.innerHTML)) return;
    const chosen = [this.body, this.acts].some((part) => part.contains(document.activeElement)) ? document.activeElement.textContent : null;
    fill(this.body, [...body.childNodes]);
    if (isAsking) return;
    fill(this.acts, [...acts.childNodes]);
    if (chosen !== null) ([...this.dialog.querySelectorAll("button")].find((one) => one.textContent === chosen) ?? this.title).focus();
  }

  /** Put a form in the place of what can be done; `null`: back to that. */
  ask(form) {
    fill(this.acts, form ?? (this.shown?.acts?.() ?? []));
    (this.acts.querySelector("textarea, input:not([readonly]), select") ?? this.acts.querySelector("button"))?.focus();
  }
}
