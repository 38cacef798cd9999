// Acting: release, break, ask for, hand over, decline, write. Each says first what will happen; nothing is done by one click.

import { Refusal, post } from "./api.js";
import { button, h } from "./dom.js";
import { listing, shown } from "./text.js";

const KEPT = "latchboard.operator";

/** Under which name this person acts. */
export function operator() {
  try {
    return localStorage.getItem(KEPT) || "operator";
  } catch {
    return "operator";
  }
}

function keepOperator(name) {
  try {
    localStorage.setItem(KEPT, name);
  } catch {
    // a browser that keeps nothing: asked again next time
  }
}

function field(label, input, hint = "") {
  const id = `field-${input.name}`;
  input.id = id;
  if (hint) input.setAttribute("aria-describedby", `${id}-hint`);
  return h("div", { class: "field" }, h("label", { class: "field-name", for: id }, label), input, hint ? h("span", { class: "hint", id: `${id}-hint` }, hint) : null);
}

function text(name, value = "", more = {}) {
  return h("input", { name, value, maxlength: 200, autocomplete: "off", ...more });
}

const asField = () => field("Your name on the board", text("agent", operator(), { required: true }), "The one you act under; agents see it.");

/** A form that tells what it will do, does it once, and says how it went. */
function form(app, { what, fields, confirm, danger = false, act, done }) {
  const wrong = h("p", { class: "wrong", role: "alert" });
  const go = h("button", { type: "submit", class: danger ? "danger" : "primary" }, confirm);
  const made = h("form", {}, h("p", { class: "what" }, what), ...fields, wrong,
    h("div", { class: "buttons" }, go, button("Cancel", { class: "quiet", onclick: () => app.drawer.ask(null) })));
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(made));
    if (given.agent !== undefined) keepOperator(given.agent.trim() || operator());
    go.disabled = true;
    wrong.textContent = "";
    try {
      const answer = await act(given);
      app.say(done(answer, given));
      app.drawer.ask(null);
      app.board.settle();
    } catch (error) {
      wrong.textContent = error instanceof Refusal ? [error.message, error.hint].filter(Boolean).map(shown).join(". ") : "The daemon does not answer; nothing is known to have changed.";
    } finally {
      go.disabled = false;
    }
  });
  return made;
}

export function release(app, lock) {
  app.drawer.ask(form(app, {
    what: [`${shown(lock.agent)} gives up ${shown(lock.name)}, as if it had done so itself. Whoever waits for it gets it at once. `, "Do this when the agent has finished and forgot; what it still writes will be refused."],
    fields: [],
    confirm: `Release for ${shown(lock.agent)}`,
    act: () => post("release", { agent: lock.agent, paths: [lock.name], token: lock.token }),
    done: (answer) => (answer.released.length ? `Released ${shown(lock.name)}` : `${shown(lock.agent)} did not hold ${shown(lock.name)} any more`),
  }));
}

export function breakHold(app, lock) {
  app.drawer.ask(form(app, {
    what: `The hold of ${shown(lock.agent)} on ${shown(lock.name)} ends now, against its will. It is told, with your reason. What it has begun may be left half-done.`,
    fields: [asField(), field("Reason", h("textarea", { name: "reason", required: true, rows: 2, maxlength: 2000 }), "Kept in the history, and sent to the holder.")],
    confirm: `Break the hold of ${shown(lock.agent)}`, danger: true,
    act: (given) => post("break", { agent: given.agent.trim(), path: lock.name, reason: given.reason, token: lock.token }),
    done: () => `Broke the hold of ${shown(lock.agent)} on ${shown(lock.name)}`,
  }));
}

export function askFor(app, name, holders) {
  app.drawer.ask(form(app, {
    what: `${listing(holders, 2)} ${holders.length === 1 ? "is" : "are"} asked to hand ${shown(name)} over to you. You are in line until it is granted or declined.`,
    fields: [asField(), field("Reason", h("textarea", { name: "reason", rows: 2, maxlength: 2000 })), field("Ask for at most", h("select", { name: "wait" }, ...[["5 minutes", 300], ["30 minutes", 1800], ["2 hours", 7200]].map(([label, value]) => h("option", { value }, label))))],
    confirm: "Ask",
    act: (given) => post("handoff", { action: "request", agent: given.agent.trim(), paths: [name], reason: given.reason, wait_s_max: Number(given.wait) }),
    done: (answer) => (answer.granted ? `You hold ${shown(name)}: it was free` : `Asked for ${shown(name)}`),
  }));
}

export function answerRequest(app, waiter, holder, isGrant) {
  const names = listing(waiter.names, 2);
  app.drawer.ask(form(app, {
    what: isGrant ? `${shown(holder)} hands ${names} over to ${shown(waiter.agent)}: the hold moves in one step, and both are told.`
      : `${shown(holder)} keeps ${names}; ${shown(waiter.agent)} is told, and stays in line.`,
    fields: isGrant ? [] : [field("Reason", h("textarea", { name: "reason", rows: 2, maxlength: 2000 }))],
    confirm: isGrant ? `Hand over to ${shown(waiter.agent)}` : "Decline",
    act: (given) => post("handoff", isGrant ? { action: "grant", agent: holder, request: waiter.request } : { action: "decline", agent: holder, request: waiter.request, reason: given.reason }),
    done: () => (isGrant ? `${names} went to ${shown(waiter.agent)}` : `Declined the request of ${shown(waiter.agent)}`),
  }));
}

/** Write to an agent, to everybody, or on in a thread. */
export function compose(app, { to = "", thread = null, subject = "", known = [] } = {}) {
  const EVERYBODY = "\u0000";
  const choices = [...new Set([...(to ? [to] : []), ...known])];
  const whom = h("select", { name: "to", required: true }, ...choices.map((id) => h("option", { value: id, selected: id === to }, shown(id))), thread ? null : h("option", { value: EVERYBODY, selected: !to }, "everybody"));
  app.drawer.ask(form(app, {
    what: thread ? "Goes to the mailbox of the agent, in this conversation." : "Goes to the agent's mailbox; it reads it at its next look.",
    fields: [asField(), field("To", whom), ...(thread ? [] : [field("Subject", text("subject", subject))]),
      field("Message", h("textarea", { name: "body", required: true, rows: 4 })),
      h("label", { class: "check" }, h("input", { type: "checkbox", name: "ack" }), h("span", {}, "Ask for an acknowledgement")),
      h("label", { class: "check" }, h("input", { type: "checkbox", name: "urgent" }), h("span", {}, "Urgent"))],
    confirm: "Send",
    act: (given) => post("send", {
      agent: given.agent.trim(), body: given.body, ...(given.to === EVERYBODY ? { all: true } : { to: given.to }),
      ...(given.subject ? { subject: given.subject } : {}), ...(thread ? { thread } : {}), ...(given.ack ? { ack: true } : {}), ...(given.urgent ? { urgency: "urgent" } : {}),
    }),
    done: (_, given) => `Sent to ${given.to === EVERYBODY ? "everybody" : shown(given.to)}`,
  }));
}
