// Past: the slider that shows the board as it was at any revision that is kept.

import { get } from "./api.js";
import { button, h, s, fill, say } from "./dom.js";
import { at, clock, moment, number, span } from "./text.js";

const BARS = 120;

/** The scrubber; drawn with the views. */
export function mount(footer, app) {
  const slider = h("input", { type: "range", min: 0, max: 1, value: 1, id: "slider", "aria-label": "The board as it was: earlier to the left, now at the right end" });
  const density = s("svg", { class: "density", "aria-hidden": "true", preserveAspectRatio: "none", viewBox: `0 0 ${BARS} 16` });
  const back = button("Earlier commit", { class: "quiet step", title: "One commit back", onclick: () => step(-1) }, "back");
  const on = button("Later commit", { class: "quiet step", title: "One commit on", onclick: () => step(1) }, "on");
  const first = h("span", { class: "past-first" });
  const where = h("output", { class: "past-where", for: "slider" });
  const live = button("Now", { class: "quiet past-live", onclick: () => look(null) });
  fill(footer, h("span", { class: "past-title" }, "History"), back, h("span", { class: "past-rail" }, density, slider), on, first, where, live);
  for (const one of [back, on]) one.querySelector("span").className = "unseen";
  for (const one of [slider, back, on, live]) one.disabled = true; // until there is a board
  let marks = [];
  let drawn = null; // those of the density
  let isDragging = false;
  slider.addEventListener("input", () => {
    isDragging = true;
    const mark = marks[Number(slider.value)];
    look(Number(slider.value) >= marks.length - 1 ? null : mark.revision);
  });
  slider.addEventListener("change", () => (isDragging = false));

  function look(revision) {
    app.board.look(revision);
  }

  /** One commit on or back from what is looked at: marks may lie many commits apart. */
  async function step(by) {
    const board = app.board;
    const here = board.was?.revision ?? board.live?.revision;
    if (here === undefined || !marks.length) return;
    try {
      if (by > 0) {
        if (!board.was) return;
        const { commits } = await get("history", { after: here, limit: 1 });
        look(commits.length && commits[0].revision < board.live.revision ? commits[0].revision : null);
        return;
      }
      const before = marks.filter((mark) => mark.revision < here);
      let found = before.at(-1)?.revision ?? null;
      for (let after = found ?? 0, more = true; more;) {
        const { commits } = await get("history", { after, limit: 1000 });
        const earlier = commits.filter((commit) => commit.revision < here);
        found = earlier.at(-1)?.revision ?? found;
        more = commits.length === 1000 && earlier.length === 1000;
        after = commits.at(-1)?.revision ?? after;
      }
      if (found !== null) look(found);
    } catch (error) {
      app.say(`The commit cannot be found: ${error.message}`);
    }
  }

  return {
    trouble: (error) => app.say(`The board of then is not known: ${error.message}`),
    draw(board) {
      if (!board.live) return;
      marks = board.marks;
      const isKnown = marks.length > 1;
      for (const one of [slider, back]) one.disabled = !isKnown;
      on.disabled = !board.was;
      const last = Math.max(1, marks.length - 1);
      if (Number(slider.max) !== last) slider.max = last;
      const asked = board.wanted ?? board.was?.asked ?? board.was?.revision; // wanted: the next key goes on from there
      const place = asked !== undefined && isKnown ? placeOf(marks, asked) : last;
      if (!isDragging && Number(slider.value) !== place) slider.value = place;
      const now = Date.now() + board.offset;
      const then = board.was ? at(board.was.at) : null;
      const text = !isKnown ? (board.pastWhy || (board.isPastRead ? "The past begins here" : "Reading the past"))
        : then === null ? "now" : `${moment(then, now)}, ${span((now - then) / 1000)} ago`;
      fill(where, then === null || !isKnown ? text : [h("span", {}, moment(then, now)), h("span", { class: "past-ago" }, `, ${span((now - then) / 1000)} ago`)]);
      slider.setAttribute("aria-valuetext", then === null ? "now, live" : text);
      slider.style.setProperty("--at", place / last);
      say(first, isKnown ? `since ${moment(marks[0].at, now)}` : "");
      live.disabled = !board.was;
      drawDensity(density, marks);
      document.body.toggleAttribute("data-past", Boolean(board.was));
      footer.title = board.was ? `revision ${number(board.was.revision)}, ${clock(then, true)}` : "";
    },
  };

  function drawDensity(svg, all) {
    const key = `${all.length}:${all.at(-1)?.revision}`;
    if (svg.dataset.key === key && drawn === all) return;
    svg.dataset.key = key;
    drawn = all;
    // How long ago each stretch of the slider is: tall where much happened in little time.
    const heights = [];
    const bars = Math.min(BARS, all.length - 1); // each as wide as its stretch of the slider
    const per = (all.length - 1) / bars;
    svg.setAttribute("viewBox", `0 0 ${Math.max(1, bars)} 16`);
    for (let i = 0; i < bars && all.length > 2; i++) {
      const from = all[Math.floor(i * per)];
      const to = all[Math.min(all.length - 1, Math.floor((i + 1) * per))];
      if (from && to && to !== from) heights.push([i, 1 / Math.max(2, (to.at - from.at) / 1000)]);
    }
    const most = Math.max(...heights.map(([, height]) => Math.sqrt(height)), 1e-9);
    fill(svg, ...heights.map(([i, height]) => {
      const tall = Math.max(1, (Math.sqrt(height) / most) * 15);
      return s("rect", { x: i + 0.15, y: 16 - tall, width: 0.7, height: tall });
    }));
  }
}

function placeOf(marks, revision) {
  let low = 0;
  let high = marks.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (marks[middle].revision <= revision) low = middle;
    else high = middle - 1;
  }
  return low;
}
