// Dom: making elements. Texts go in as text nodes alone: what others wrote is never read as markup.

import { hue, monogram, shown } from "./text.js";

/** `h("button", { class: "x", onclick: f }, "text", child)`; an attribute that is null or false is left out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An element of SVG. */
export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter(Boolean));
  return element;
}

/** One of the icons in index.html. */
export function icon(name) {
  return s("svg", { class: "icon", "aria-hidden": "true", viewBox: "0 0 16 16" }, s("use", { href: `#i-${name}` }));
}

/** An agent's two letters on its colour: never the only thing that says who it is. */
export function badge(agent) {
  return h("span", { class: "badge", "aria-hidden": "true", data: { hue: hue(agent) } }, monogram(agent));
}

/** An agent by badge and name. */
export function who(agent) {
  return h("span", { class: "who" }, badge(agent), h("span", { class: "who-name" }, shown(agent)));
}

/** A name of a lock: the folders dimmed, the last part not. */
export function path(name) {
  const text = shown(name);
  const cut = text.lastIndexOf("/", text.length - 2) + 1;
  return h("span", { class: "path", title: text }, h("span", { class: "path-folders" }, text.slice(0, cut)), h("span", { class: "path-name" }, text.slice(cut)));
}

export function button(label, attributes = {}, iconName = null) {
  return h("button", { type: "button", ...attributes }, iconName ? icon(iconName) : null, h("span", {}, label));
}

/** Put `children` in the place of what is there. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
}

/** Set a text only where it is another one: nothing is laid out anew for a text that stays. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
