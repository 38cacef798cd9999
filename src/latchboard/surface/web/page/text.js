// Text: what others wrote, made safe to look at, and times in words. Nothing here touches the page.

// Signs that are not seen, or that move what stands beside them; but for what makes a picture of a sign: ⚠️, 1️⃣.
const HIDDEN = /(?<!\p{Extended_Pictographic})[\ufe00-\ufe0f](?!\u20e3)|(?![\ufe00-\ufe0f])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]/gu;

/** A text with every character spelt out that would hide, reorder or break what stands beside it. */
export function shown(text) {
  return String(text ?? "").replace(HIDDEN, (one) => `\\u{${one.codePointAt(0).toString(16)}}`);
}

/** The same, with its lines kept. */
export function shownBlock(text) {
  return String(text ?? "").split(/\r?\n/).map((line) => shown(line).replaceAll("\\u{9}", "\t")).join("\n");
}

/** A span of time in words, two units at most: `48 s`, `12 min`, `1 h 20 min`, `3 d`. */
export function span(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return s % 3600 < 60 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d`;
}

/** How long ago something was, seen from `now` (both milliseconds). */
export function ago(at, now) {
  const s = (now - at) / 1000;
  return s < 2 ? "now" : `${span(s)} ago`;
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const SHORT = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** The same in a list, where that it is past is plain. */
export function age(at, now) {
  const s = (now - at) / 1000;
  return s < 2 ? "now" : span(s);
}

/** A moment on the clock of whoever looks; with the day, if it is not that of `now`. */
export function moment(at, now) {
  if (!Number.isFinite(at)) return "?";
  const day = DAY.format(at);
  return day === DAY.format(now) ? CLOCK.format(at) : `${day}, ${CLOCK.format(at)}`;
}

/** Hours and minutes; with seconds where `fine`. */
export function clock(at, fine = false) {
  return (fine ? CLOCK : SHORT).format(at);
}

/** `1 lock`, `2 locks`, `10 000 locks`. */
export function count(n, one, many = `${one}s`) {
  return `${number(n)} ${n === 1 ? one : many}`;
}

/** A number, in groups of three. */
export function number(n) {
  return n < 10000 ? String(n) : String(n).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** Up to `most` of some words, and how many more there are. */
export function listing(words, most = 3) {
  const said = words.slice(0, most).map(shown).join(", ");
  return words.length > most ? `${said} and ${number(words.length - most)} more` : said;
}

/** Two letters that stand for an agent beside its colour: `builder-2` is B2, `code_developer` CD, `planner` PL. */
export function monogram(agent) {
  const parts = shown(agent).split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  if (!parts.length) return "?";
  const last = parts[parts.length - 1];
  const letters = parts.length === 1
    ? [...parts[0]].slice(0, 2).join("")
    : [...parts[0]][0] + (/^\d+$/.test(last) ? last.slice(-2) : [...parts[1]][0]);
  return letters.toUpperCase();
}

const HUES = 8;
const hues = new Map();
const taken = new Array(HUES).fill(0);

/** Which of the colours is an agent's: its own by its name, or, where that is taken, one that fewer have. */
export function hue(agent) {
  let found = hues.get(agent);
  if (found === undefined) {
    let sum = 2166136261;
    for (let i = 0; i < agent.length; i++) sum = Math.imul(sum ^ agent.charCodeAt(i), 16777619);
    const first = (sum >>> 4) % HUES;
    const least = Math.min(...taken);
    found = first;
    while (taken[found] > least) found = (found + 1) % HUES;
    taken[found]++;
    hues.set(agent, found);
  }
  return found;
}

/** Milliseconds of a time of the protocol; NaN where there is none. */
export function at(text) {
  return text ? Date.parse(text) : NaN;
}
