// List: rows of one height of which only those that are seen are drawn; ten thousand cost as much as forty.
//
// The list itself has the focus; which of its rows is meant is said by aria-activedescendant.

import { h } from "./dom.js";

const MARGIN_ROWS = 6;
let lists = 0;

/**
 * A list in `host`.
 *
 * `draw(row, element, index)` fills a row's element; `id(row)` tells rows apart; `open(row, element)` is a click or
 * Enter; `attributes(row)` are those of ARIA that the role asks for; `turn(row, isOpen, list)` opens and closes one.
 */
export class List {
  constructor(host, { role, itemRole, label, draw, id, open, attributes = () => ({}), turn = null, empty = "" }) {
    this.options = { draw, id, open, attributes, turn, itemRole };
    this.name = `list${++lists}`;
    this.rows = [];
    this.active = -1;
    this.activeId = null;
    this.version = 0;
    this.drawn = new Map();
    this.spare = [];
    this.space = h("div", { class: "list-space", role: "presentation" });
    this.scroller = h("div", { class: "list", role, "aria-label": label, tabindex: "0" }, this.space);
    this.empty = h("p", { class: "empty", hidden: true }, empty);
    host.append(this.scroller, this.empty);
    this.scroller.addEventListener("scroll", () => this.soon(), { passive: true });
    this.scroller.addEventListener("keydown", (event) => this.onKey(event));
    this.scroller.addEventListener("click", (event) => this.onClick(event));
    this.scroller.addEventListener("focus", () => this.active < 0 && this.rows.length && this.go(this.first()));
    new ResizeObserver(() => this.measure()).observe(this.scroller);
  }

  /** Show these rows; the row that was meant stays meant, wherever it is now. */
  set(rows, { empty = null } = {}) {
    this.rows = rows;
    this.version++;
    if (this.activeId !== null) {
      if (this.active >= rows.length || this.options.id(rows[this.active] ?? {}) !== this.activeId) {
        this.active = rows.findIndex((row) => this.options.id(row) === this.activeId);
        if (this.active < 0) this.activeId = null;
      }
    }
    if (empty !== null) this.empty.textContent = empty;
    this.empty.hidden = rows.length > 0;
    this.scroller.hidden = rows.length === 0;
    this.space.style.height = `${rows.length * this.height()}px`;
    this.draw();
  }

  /** Draw what is seen anew, though the rows are the same: time has passed. */
  refresh() {
    this.version++;
    this.draw();
  }

  height() {
    this.rowHeight ??= parseFloat(getComputedStyle(this.scroller).getPropertyValue("--row")) || 28;
    return this.rowHeight;
  }

  measure() {
    const before = this.rowHeight;
    this.rowHeight = null;
    if (this.height() !== before) this.space.style.height = `${this.rows.length * this.height()}px`;
    this.version++;
    this.seen = this.scroller.clientHeight;
    this.draw();
  }

  soon() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.draw();
    });
  }

  first() {
    return Math.min(this.rows.length - 1, Math.ceil(this.scroller.scrollTop / this.height()));
  }

  /** Draw what is seen, and the row that is meant. */
  draw() {
    const height = this.height();
    const seen = this.seen ?? (this.seen = this.scroller.clientHeight);
    if (!seen) return;
    const top = this.scroller.scrollTop;
    const from = Math.max(0, Math.floor(top / height) - MARGIN_ROWS);
    const until = Math.min(this.rows.length, Math.ceil((top + seen) / height) + MARGIN_ROWS);
    for (const [index, element] of this.drawn) {
      if ((index < from || index >= until) && index !== this.active) {
        this.drawn.delete(index);
        this.spare.push(element);
      }
    }
    for (let index = from; index < until; index++) this.place(index, height);
    if (this.active >= 0) this.place(this.active, height);
    for (const element of this.spare) element.remove();
    this.spare.length = 0;
    const active = this.drawn.get(this.active);
    if (active) this.scroller.setAttribute("aria-activedescendant", active.id);
    else this.scroller.removeAttribute("aria-activedescendant");
  }

  place(index, height) {
    const row = this.rows[index];
    let element = this.drawn.get(index);
    if (element && element.version === this.version && element.isActive === (index === this.active)) return;
    if (!element) {
      element = this.spare.pop() ?? h("div", { class: "row", role: this.options.itemRole });
      this.drawn.set(index, element);
    }
    element.version = this.version;
    element.isActive = index === this.active;
    element.index = index;
    element.id = `${this.name}-${index}`;
    element.style.transform = `translateY(${index * height}px)`;
    for (const [name, value] of Object.entries(this.options.attributes(row, index))) {
      if (value === null) element.removeAttribute(name);
      else element.setAttribute(name, value);
    }
    element.classList.toggle("active", element.isActive);
    this.options.draw(row, element, index);
    if (!element.isConnected) this.space.append(element);
  }

  /** Mean a row, and bring it into view. */
  go(index) {
    if (!this.rows.length) return;
    this.active = Math.max(0, Math.min(this.rows.length - 1, index));
    this.activeId = this.options.id(this.rows[this.active]);
    const height = this.height();
    const top = this.active * height;
    if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
    else if (top + height > this.scroller.scrollTop + this.scroller.clientHeight) {
      this.scroller.scrollTop = top + height - this.scroller.clientHeight;
    }
    this.draw();
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / this.height()) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    const row = this.rows[this.active];
    if (event.key in steps) this.go(Math.max(0, Math.min(this.rows.length - 1, this.active + steps[event.key])));
    else if ((event.key === "Enter" || event.key === " ") && row) this.options.open(row, this.drawn.get(this.active));
    else if (this.options.turn && row && event.key === "ArrowRight") this.options.turn(row, true, this);
    else if (this.options.turn && row && event.key === "ArrowLeft") this.options.turn(row, false, this);
    else return;
    event.preventDefault();
  }

  onClick(event) {
    const element = event.target.closest(".row");
    if (!element) return;
    this.active = element.index;
    this.activeId = this.options.id(this.rows[element.index]);
    this.draw();
    const row = this.rows[element.index];
    if (this.options.turn && event.target.closest("[data-turn]")) this.options.turn(row, null, this);
    else this.options.open(row, element);
  }
}
