// Api: asking the daemon. The token comes in the address's fragment, which no server sees, and is kept in this tab alone.

const KEPT = "latchboard.token";

export class Refusal extends Error {
  constructor(status, facts) {
    super(facts.message || `the daemon answered ${status}`);
    this.status = status;
    this.code = facts.code ?? "";
    this.hint = facts.hint ?? "";
  }
}

/** Take the token out of the address, so that it is in no history and no picture of the screen. */
export function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    keepToken(given);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return token();
}

export function token() {
  try {
    return sessionStorage.getItem(KEPT) ?? "";
  } catch {
    return kept; // a browser that keeps nothing: for as long as the page is open
  }
}

let kept = "";

export function keepToken(given) {
  kept = given;
  try {
    sessionStorage.setItem(KEPT, given);
  } catch {
    // as above
  }
}

export function headers() {
  return { authorization: `Bearer ${token()}` };
}

/** Read an address; throws a Refusal, or a TypeError where nobody answers. */
export async function get(path, parameters = {}, signal = undefined) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined);
  const query = given.length ? `?${new URLSearchParams(given)}` : "";
  return answered(await fetch(`/api/${path}${query}`, { headers: headers(), signal, cache: "no-store" }));
}

/** Have something done. */
export async function post(path, body) {
  const asked = { method: "POST", headers: { ...headers(), "content-type": "application/json" }, body: JSON.stringify(body) };
  return answered(await fetch(`/api/${path}`, asked));
}

async function answered(response) {
  let facts;
  try {
    facts = await response.json();
  } catch (error) {
    if (response.ok) throw error;
    facts = {};
  }
  if (!response.ok) throw new Refusal(response.status, facts);
  return facts;
}
