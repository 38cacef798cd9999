// Timeline: a lane for each agent, what it holds and waits for as bars, and each wait drawn to whoever holds.
//
// Only the lanes that are seen are drawn, anew once a second and with every change.

import { badge, fill, h, s, say } from "./dom.js";
import { clock, hue, listing, moment, number, shown, span } from "./text.js";
import { lanes, open, ticks } from "./spans.js";

export const view = { name: "timeline", title: "Timeline", icon: "lanes", mount };

const WINDOWS = [["5 min", 300], ["15 min", 900], ["1 h", 3600], ["6 h", 21600]];
const ROW = 20;
const PAD = 7;
const MOST_ROWS = 3;
const LINKS_MAX = 300;
const KEPT = "latchboard.window";

function mount(section, app) {
  const parts = skeleton(section);
  const state = { app, parts, window: read(), lane: -1, span: -1, laid: { lanes: [], tops: [], height: 0 }, hover: null };
  const choices = WINDOWS.map(([label, seconds]) => {
    const input = h("input", { type: "radio", name: "window", value: seconds, checked: seconds === state.window });
    input.addEventListener("change", () => {
      state.window = seconds;
      try {
        localStorage.setItem(KEPT, seconds);
      } catch {
        // a browser that keeps nothing: for as long as the page is open
      }
      redraw(state);
    });
    return h("label", {}, input, h("span", {}, label));
  });
  section.querySelector("header").append(h("fieldset", { class: "tools choice" }, h("legend", { class: "unseen" }, "How far back"), choices));
  parts.scroller.addEventListener("scroll", () => soon(state), { passive: true });
  parts.scroller.addEventListener("keydown", (event) => onKey(state, event));
  parts.scroller.addEventListener("focus", () => state.lane < 0 && choose(state, 0, -1));
  parts.svg.addEventListener("pointermove", (event) => hover(state, event.target.closest("[data-at]")));
  parts.svg.addEventListener("pointerleave", () => hover(state, null));
  parts.scroller.addEventListener("click", (event) => onClick(state, event));
  new ResizeObserver(() => redraw(state)).observe(parts.scroller);
  return {
    draw(board) {
      if (!board.shown) return;
      // Where only time has passed, nothing moves before it has passed by a pixel.
      const moved = ((board.now() - (state.laid.until ?? 0)) / (state.window * 1000)) * parts.scroller.clientWidth;
      if (state.version === board.version && moved < 1) return;
      state.version = board.version;
      redraw(state);
    },
  };
}

function skeleton(section) {
  const svg = s("svg", { class: "lanes", "aria-hidden": "true" });
  const labels = h("div", { class: "lane-labels", role: "presentation" });
  const port = h("div", { class: "lane-port", role: "presentation" }, labels, svg);
  const space = h("div", { class: "lane-space", role: "presentation" }, port);
  const scroller = h("div", { class: "lane-list", role: "listbox", tabindex: "0", "aria-label": "Timeline, a lane for each agent; left and right go from bar to bar" }, space);
  const axis = s("svg", { class: "axis", "aria-hidden": "true" });
  const caption = h("p", { class: "caption" });
  const spoken = h("p", { class: "unseen", "aria-live": "polite" });
  section.querySelector(".body").append(axis, scroller, h("p", { class: "empty", hidden: true }, "Nobody has held anything yet."), caption, spoken);
  return { svg, labels, port, space, scroller, axis, caption, spoken, empty: section.querySelector(".empty"), meta: section.querySelector(".meta") };
}

function read() {
  try {
    const kept = Number(localStorage.getItem(KEPT));
    return WINDOWS.some(([, seconds]) => seconds === kept) ? kept : 900;
  } catch {
    return 900;
  }
}

function soon(state) {
  state.frame ??= requestAnimationFrame(() => {
    state.frame = null;
    paint(state);
  });
}

/** Lay out all lanes, then draw those that are seen. */
function redraw(state) {
  const { app, parts } = state;
  const board = app.board;
  const known = board.shown;
  if (!known || !board.grouped || !parts.scroller.parentElement.checkVisibility()) return;
  const until = board.now();
  const since = until - state.window * 1000;
  const filter = board.filter;
  const wanted = (one) => filter.isEmpty || (filter.wants(one.agent) && filter.has(one.name, one.agent, one.lock?.reason ?? ""));
  const closed = board.past.closed.filter((one) => one.end >= since && one.start <= until && (!board.was || one.end <= until));
  const spans = [...open(known), ...closed].filter(wanted);
  const inSight = new Set(spans.map((one) => one.agent));
  const order = board.grouped.order.filter((id) => inSight.has(id) || (filter.isEmpty && !known.agents.get(id)?.quiet));
  const found = lanes(order, spans, since, until, MOST_ROWS);
  const tops = [];
  let height = 0;
  for (const lane of found) {
    tops.push(height);
    height += lane.count * ROW + PAD * 2;
  }
  state.laid = { lanes: found, tops, height, since, until };
  parts.space.style.height = `${height}px`;
  parts.empty.hidden = found.length > 0;
  parts.axis.style.display = found.length ? "" : "none";
  parts.scroller.hidden = !found.length;
  state.lane = Math.min(state.lane, found.length - 1);
  paint(state);
}

function paint(state) {
  const { parts, laid } = state;
  const port = parts.scroller.clientHeight;
  if (!port || !laid.lanes.length) return;
  const left = parts.labels.clientWidth;
  const width = parts.scroller.clientWidth - left;
  const room = Math.max(40, width - 14); // the last bit is the future
  const x = (time) => left + ((Math.max(time, laid.since) - laid.since) / (laid.until - laid.since)) * room;
  const top = parts.scroller.scrollTop;
  const seen = laid.lanes.map((lane, i) => ({ lane, i, y: laid.tops[i] - top, height: lane.count * ROW + PAD * 2 }))
    .filter((one) => one.y < port && one.y + one.height > 0);
  parts.port.style.height = `${port}px`;
  const size = { width: parts.scroller.clientWidth, height: port };
  parts.svg.setAttribute("viewBox", `0 0 ${size.width} ${size.height}`);
  const marks = ticks(laid.since, laid.until, Math.max(2, Math.floor(width / 90)));
  fill(parts.svg, defs(),
    ...seen.map((one) => s("line", { class: "lane-edge", x1: 0, x2: size.width, y1: one.y + one.height - 0.5, y2: one.y + one.height - 0.5 })),
    ...marks.at.map((t) => s("line", { class: "grid", x1: x(t), x2: x(t), y1: 0, y2: port })),
    s("line", { class: "now", x1: x(laid.until), x2: x(laid.until), y1: 0, y2: port }),
    ...seen.flatMap((one) => bars(state, one, x)), ...links(state, seen, x, port));
  labels(state, seen);
  axis(parts, marks, x, size.width, laid);
}

function defs() {
  return s("defs", {},
    s("pattern", { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      s("rect", { width: 6, height: 6, class: "hatch-ground" }), s("rect", { width: 2.5, height: 6, class: "hatch-line" })));
}

function bars(state, { lane, i, y }, x) {
  const drawn = [];
  const lastAt = []; // of each row, the pixel up to which it is drawn: what would lie within it is not
  lane.placed.forEach((one, n) => {
    const from = x(one.start);
    const to = Math.max(from + 3, x(one.end ?? state.laid.until));
    const isChosen = state.lane === i && state.span === n;
    if (one.end !== null && to < (lastAt[one.row] ?? 0) + 1 && !isChosen) return;
    lastAt[one.row] = to;
    const top = y + PAD + one.row * ROW + 1;
    const width = to - from - (one.end === null ? 0 : 1);
    const group = s("g", { class: `bar ${one.kind}${one.end === null ? " open" : ""}${isChosen ? " chosen" : ""}`, "data-at": `${i}:${n}`, "data-hue": hue(lane.agent), "data-mode": one.mode },
      s("rect", { x: from, y: top, width: Math.max(2, width), height: ROW - 3, rx: 3 }));
    const label = shown(one.name).replace(/\/$/, "").split("/").at(-1) + (one.name.endsWith("/") ? "/" : "") + (one.more > 0 ? ` +${one.more}` : "");
    const fits = Math.floor((width - 10) / 6.7);
    if (fits >= 3) {
      const text = s("text", { x: from + 5, y: top + 12.5 });
      text.textContent = [...label].length > fits ? `${[...label].slice(0, fits - 1).join("")}…` : label;
      group.append(text);
    }
    if (["broken", "taken over", "in vain"].includes(one.how)) {
      group.append(s("path", { class: "cut", d: `M${to - 4} ${top + 4.5}l8 8m0-8l-8 8` }));
    }
    drawn.push(group);
  });
  return drawn;
}

/** From each wait to whoever was in the way: to the bar of that name, if it is there. */
function links(state, seen, x, port) {
  const { lanes: all, tops } = state.laid;
  const top = state.parts.scroller.scrollTop;
  const index = new Map(all.map((lane, i) => [lane.agent, i]));
  const drawn = [];
  for (const { lane, y } of seen) {
    for (const one of lane.placed) {
      if (one.kind !== "wait") continue;
      const ways = one.blockedBy.filter((agent) => index.has(agent)).map((agent) => ({ j: index.get(agent), target: inTheWay(all[index.get(agent)], one, state.laid.until) }));
      // Those before it in the line are in its way as well; whoever has the name is whom it waits for.
      const holders = ways.filter((way) => way.target);
      for (const { j, target } of (holders.length ? holders : ways).slice(0, 4)) {
        if (drawn.length >= LINKS_MAX) continue;
        const fromY = y + PAD + one.row * ROW + ROW / 2 - 0.5;
        const toY = tops[j] - top + PAD + (target ? target.row : 0) * ROW + ROW / 2 - 0.5;
        if ((fromY < 0 && toY < 0) || (fromY > port && toY > port)) continue;
        const at = x(one.start) + 0.5;
        const down = toY > fromY ? 1 : -1;
        drawn.push(s("path", { class: `link${one.end === null ? " open" : ""}`, d: `M${at + 5} ${fromY}h-1a4 4 0 0 ${down > 0 ? 0 : 1} -4 ${4 * down}V${toY - 3 * down}` }),
          s("circle", { class: `link-end${one.end === null ? " open" : ""}`, cx: at, cy: toY, r: 3 }));
      }
    }
  }
  return drawn;
}

function inTheWay(lane, wait, until) {
  const end = wait.end ?? until;
  return lane.placed.find((one) => one.kind === "hold" && one.name === wait.name && one.start <= end && (one.end ?? until) > wait.start);
}

function labels(state, seen) {
  const { parts } = state;
  const drawn = (parts.drawn ??= new Map());
  const kept = new Set();
  for (const { lane, i, y, height } of seen) {
    kept.add(lane.agent);
    let label = drawn.get(lane.agent);
    if (!label) {
      const name = h("span", { class: "lane-name" }, shown(lane.agent));
      label = h("div", { class: "lane-label", role: "option" }, badge(lane.agent), name, h("span", { class: "more" }));
      label.more = label.lastChild;
      drawn.set(lane.agent, label);
      parts.labels.append(label);
    }
    label.lane = i;
    label.id = `lane-${i}`;
    label.style.transform = `translateY(${y}px)`;
    label.style.height = `${height}px`;
    label.classList.toggle("active", state.lane === i);
    label.setAttribute("aria-selected", String(state.lane === i));
    label.setAttribute("aria-label", spokenLane(lane));
    say(label.more, lane.rest.length ? `+${number(lane.rest.length)}` : "");
    label.more.title = lane.rest.length ? `${number(lane.rest.length)} more at the same time` : "";
  }
  for (const [agent, label] of drawn) {
    if (!kept.has(agent)) {
      label.remove();
      drawn.delete(agent);
    }
  }
  const id = `lane-${state.lane}`;
  if (state.lane >= 0 && seen.some((one) => one.i === state.lane)) parts.scroller.setAttribute("aria-activedescendant", id);
  else parts.scroller.removeAttribute("aria-activedescendant");
}

function spokenLane(lane) {
  const going = [...lane.placed, ...lane.rest].filter((one) => one.end === null);
  const holds = going.filter((one) => one.kind === "hold").map((one) => one.name);
  const waits = going.filter((one) => one.kind === "wait");
  const parts = [shown(lane.agent), holds.length ? `holds ${listing(holds, 3)}` : "holds nothing"];
  for (const one of waits.slice(0, 2)) parts.push(`waits for ${shown(one.name)}${one.blockedBy.length ? ` behind ${listing(one.blockedBy, 2)}` : ""}`);
  return parts.join(", ");
}

function axis(parts, marks, x, width, laid) {
  parts.axis.style.width = `${width}px`; // as wide as the lanes, without their scroll bar
  const last = x(laid.until);
  fill(parts.axis, ...marks.at.filter((t) => x(t) < last - 70).map((t) => {
    const text = s("text", { x: x(t), y: 15, "text-anchor": "middle" });
    text.textContent = clock(t, marks.fine);
    return text;
  }));
  const now = s("text", { class: "axis-now", x: width - 6, y: 15, "text-anchor": "end" });
  now.textContent = clock(laid.until, true);
  parts.axis.append(now);
}

// -- choosing a bar -----------------------------------------------------------------------------------------------------

function described(lane, one, now) {
  const end = one.end ?? now;
  const when = `${moment(one.start, now)} to ${one.end === null ? "now" : moment(one.end, now)}, ${span((end - one.start) / 1000)}`;
  if (one.kind === "wait") {
    const behind = one.blockedBy?.length ? `, behind ${listing(one.blockedBy, 3)}` : "";
    return `${shown(lane.agent)} ${one.end === null ? "waits" : "waited"} for ${shown(one.name)}${behind}: ${when}${one.how === "in vain" ? ", in vain" : ""}`;
  }
  const how = one.how && one.how !== "released" ? `, ${one.how}${one.by ? ` by ${shown(one.by)}` : ""}` : "";
  return `${shown(lane.agent)} ${one.end === null ? "holds" : "held"} ${shown(one.name)}${one.mode === "shared" ? " (shared)" : ""}: ${when}${how}`;
}

function hover(state, element) {
  const key = element?.dataset.at ?? null;
  if (key === state.hover) return;
  state.hover = key;
  const found = key && pick(state, key);
  say(state.parts.caption, found ? described(found.lane, found.one, state.laid.until) : "");
}

function pick(state, key) {
  const [i, n] = key.split(":").map(Number);
  const lane = state.laid.lanes[i];
  return lane?.placed[n] ? { lane, one: lane.placed[n] } : null;
}

function choose(state, lane, span) {
  const { laid, parts } = state;
  if (!laid.lanes.length) return;
  state.lane = Math.max(0, Math.min(laid.lanes.length - 1, lane));
  const found = laid.lanes[state.lane];
  state.span = span < 0 ? -1 : Math.min(found.placed.length - 1, span);
  const top = laid.tops[state.lane];
  const height = found.count * ROW + PAD * 2;
  if (top < parts.scroller.scrollTop) parts.scroller.scrollTop = top;
  else if (top + height > parts.scroller.scrollTop + parts.scroller.clientHeight) parts.scroller.scrollTop = top + height - parts.scroller.clientHeight;
  const text = state.span < 0 ? "" : described(found, found.placed[state.span], laid.until);
  say(parts.caption, text);
  say(parts.spoken, text);
  paint(state);
}

function onKey(state, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { laid } = state;
  const lane = laid.lanes[state.lane];
  if (event.key === "ArrowDown") choose(state, state.lane + 1, -1);
  else if (event.key === "ArrowUp") choose(state, state.lane - 1, -1);
  else if (event.key === "Home") choose(state, 0, -1);
  else if (event.key === "End") choose(state, laid.lanes.length - 1, -1);
  else if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
    const step = event.key === "ArrowRight" ? 1 : -1;
    choose(state, state.lane, Math.max(0, state.span + step));
  } else if ((event.key === "Enter" || event.key === " ") && lane) openSpan(state, lane, lane.placed[state.span]);
  else return;
  event.preventDefault();
}

function onClick(state, event) {
  const bar = event.target.closest("[data-at]");
  const label = event.target.closest(".lane-label");
  if (bar) {
    const found = pick(state, bar.dataset.at);
    if (found) openSpan(state, found.lane, found.one);
  } else if (label) openSpan(state, state.laid.lanes[label.lane], null);
}

function openSpan(state, lane, one) {
  state.app.open(one && one.end === null ? { kind: "name", name: one.name } : one ? { kind: "span", agent: lane.agent, span: one } : { kind: "agent", agent: lane.agent });
}
