// Stream: every commit as it happens, by server-sent events read with fetch (EventSource could not show the token).
//
// Law 1. It goes on from the last revision that was heard; a gap is never passed over in silence: `onGap` is told.
// Law 2. Who fails waits longer each time, at most MAX_MS; a page that is looked at again tries at once.
// Law 3. A line that stays silent for SILENCE_MS is dead, whatever the system says: the daemon sends a sign every 15 s.

import { Refusal, headers } from "./api.js";

const FIRST_MS = 250;
const MAX_MS = 8000;
const SILENCE_MS = 40000;

export class Stream {
  /** `onCommit(commit)`, `onGap(revision)`, `onState("live" | "lost" | "refused" | "trouble", why)`. */
  constructor({ onCommit, onGap, onState }) {
    this.on = { onCommit, onGap, onState };
    this.revision = null;
    this.failures = 0;
    this.isClosed = true;
    addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.hurry());
  }

  /** Listen behind a revision, for as long as the page is open. */
  async run(revision) {
    this.revision = revision;
    if (!this.isClosed) return;
    this.isClosed = false;
    while (!this.isClosed) {
      try {
        await this.listen();
        this.lost("the daemon ended the stream");
      } catch (error) {
        if (error instanceof Refusal && [401, 403, 421].includes(error.status)) {
          this.isClosed = true;
          this.on.onState("refused", error);
          return;
        }
        this.lost(error instanceof Refusal ? error.message : "the daemon does not answer");
      }
      if (!this.isClosed) await this.pause();
    }
  }

  lost(why) {
    this.failures++;
    this.on.onState("lost", why);
  }

  async pause() {
    const ms = Math.min(MAX_MS, FIRST_MS * 2 ** (this.failures - 1)) * (0.75 + Math.random() / 2);
    await new Promise((resolve) => {
      this.wake = resolve;
      this.timer = setTimeout(resolve, ms);
    });
    clearTimeout(this.timer);
    this.wake = null;
  }

  hurry() {
    this.wake?.();
  }

  async listen() {
    const silence = new AbortController();
    let timer = null;
    const heard = () => {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
    };
    heard();
    try {
      const response = await fetch(`/api/events?after=${this.revision}`, { headers: headers(), signal: silence.signal, cache: "no-store" });
      if (!response.ok) throw new Refusal(response.status, await response.json().catch(() => ({})));
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        heard();
        const blocks = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
        rest = blocks.pop();
        for (const block of blocks) this.take(block);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  take(block) {
    let event = "message";
    const data = [];
    for (const line of block.split("\n")) {
      if (line.startsWith("event:")) event = line.slice(6).trim();
      else if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
    }
    if (!data.length) return;
    const facts = JSON.parse(data.join("\n"));
    if (event === "ready") {
      this.failures = 0;
      this.on.onState("live", "");
    } else if (event === "commit") {
      this.revision = Math.max(this.revision, facts.revision);
      this.on.onCommit(facts);
    } else if (event === "skipped" || event === "compacted") {
      this.failures = 0;
      this.revision = facts.revision;
      this.on.onState("live", "");
      this.on.onGap(facts.revision);
    } else if (event === "trouble") {
      this.on.onState("trouble", facts.message ?? "the store cannot be read just now");
    }
  }
}
