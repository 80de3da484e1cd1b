// Sessions over REST (docs/rest.rst), as promises.

import { clock } from "./clock.js";
import { Problem, Unreachable, problemOf } from "./problems.js";

export { Problem, Unreachable };

const POLL_S = 1;
const STARTING = ["queued", "reserved", "launching"];

// A session that was waited for has ended, or is ending, before it was ready.
export class Ended extends Error {
  constructor(session) {
    super(session.cause ?? session.reason ?? "the session has ended");
    this.name = "Ended";
    this.session = session;
    this.reason = session.reason;
  }
}

// Gives the address that all paths are below, as a URL that ends with a slash.
export function baseOf(url) {
  const given = url ?? globalThis.document?.baseURI;
  if (!given) throw new TypeError("url is needed: the address of the daemon");
  const base = new URL(given, globalThis.document?.baseURI);
  base.protocol = base.protocol.replace(/^ws/, "http");
  if (!/^https?:$/.test(base.protocol)) throw new TypeError("url is an address of http or https");
  base.search = base.hash = "";
  // The document of a page is no folder; an address that was given is.
  if (url && !base.pathname.endsWith("/")) base.pathname += "/";
  return base;
}

export class Sessions {
  #base;
  #token;
  #ticket;
  #retry_s;

  // `token`, or `ticket`, an async function that gives one for each GET; nothing else can be done by ticket.
  // `retry_s`: for how long in all a call that was refused is made again when the answer's Retry-After has passed.
  constructor({ url, token = null, ticket = null, fetch, retry_s = 0 } = {}) {
    if (token && ticket) throw new TypeError("a token or a ticket, not both");
    if (ticket && typeof ticket !== "function") throw new TypeError("ticket is a function: each is good for once");
    this.#ticket = ticket;
    this.#base = new URL("api/v1/", baseOf(url));
    this.#token = token;
    this.#retry_s = retry_s;
    this.fetch = fetch ?? ((...how) => globalThis.fetch(...how));
  }

  get hasToken() {
    return Boolean(this.#token);
  }

  get hasTicket() {
    return this.#ticket !== null;
  }

  headers() {
    return this.#token ? { Authorization: `Bearer ${this.#token}` } : {};
  }

  async services(how) {
    return (await this.call("GET", "services", how)).services;
  }

  // Makes a session. With `wait: "ready"` it comes once it is ready, however long its queue and its launch take: the
  // server's own limits end both. A signal that aborts meanwhile gives the session up.
  async reserve(service, options = {}, how = {}) {
    const { wait = "none", owner, idempotencyKey, queue = true, ...rest } = how;
    const headers = {};
    if (idempotencyKey) headers["Idempotency-Key"] = idempotencyKey;
    if (!queue) headers.Prefer = "wait=0";
    const body = { service, options, wait, ...(owner === undefined ? {} : { owner }) };
    const made = await this.call("POST", "sessions", { ...rest, headers, body });
    return wait === "ready" ? this.#ready(made, rest.signal) : made;
  }

  get(id, how) {
    return this.call("GET", path(id), how);
  }

  async list(how) {
    return (await this.call("GET", "sessions", how)).sessions;
  }

  release(id, how) {
    return this.call("DELETE", path(id), how);
  }

  // Pushes a deadline on by seconds from where it stands.
  extend(id, deadline, by_s, how) {
    return this.call("POST", `${path(id)}/extend`, { ...how, body: { deadline, by_s } });
  }

  async log(id, { lines = 100, ...how } = {}) {
    return (await this.call("GET", `${path(id)}/log?lines=${encodeURIComponent(lines)}`, how)).lines;
  }

  // A ticket for this caller: good for one GET, such as the opening of a feed.
  ticket({ scopes, lifetime_s, ...how } = {}) {
    const body = { ...(scopes ? { scopes } : {}), ...(lifetime_s ? { lifetime_s } : {}) };
    return this.call("POST", "tickets", { ...how, body });
  }

  // A ticket for a session, with the addresses that open it once.
  sessionTicket(id, how) {
    return this.call("POST", `${path(id)}/tickets`, how);
  }

  // One call. Gives what the answer's JSON says, null for nothing; throws a Problem, or Unreachable.
  async call(method, where, { body, headers = {}, signal, retry_s = this.#retry_s, keepalive } = {}) {
    const request = { method, signal, keepalive, cache: "no-store" };
    request.headers = { Accept: "application/json, application/problem+json", ...this.headers(), ...headers };
    if (body !== undefined) {
      request.headers["Content-Type"] = "application/json";
      request.body = JSON.stringify(body);
    }
    const begun = clock.now();
    for (;;) {
      const answer = await this.#once(where, request);
      if (!(answer instanceof Problem)) return answer;
      const wait_s = answer.retryAfter_s;
      // What is refused with a time has changed nothing, so any method may come again.
      if (wait_s === null || clock.now() - begun + wait_s > retry_s) throw answer;
      await pause(wait_s, signal);
    }
  }

  // Gives a fresh ticket as text.
  async freshTicket(signal) {
    const given = this.#ticket === null ? await this.ticket({ signal }) : await this.#ticket({ signal });
    const ticket = typeof given === "string" ? given : given?.ticket;
    if (!ticket) throw new TypeError("ticket gave none");
    return ticket;
  }

  async #once(where, request) {
    const address = new URL(where, this.#base);
    if (this.#ticket !== null) {
      if (request.method !== "GET") throw new TypeError("a ticket is good for GET only: a token is needed");
      address.searchParams.set("ticket", await this.freshTicket(request.signal));
    }
    let response;
    try {
      response = await this.fetch(address.href, request);
    } catch (error) {
      if (request.signal?.aborted) throw error;
      throw new Unreachable(error);
    }
    if (!response.ok) return problemOf(response);
    return response.text().then(read, (error) => {
      if (request.signal?.aborted) throw error;
      throw new Unreachable(error);
    });

    function read(text) {
      try {
        return text ? JSON.parse(text) : null;
      } catch {
        throw new Problem(response.status, { title: "The answer is no JSON: something else answers there" });
      }
    }
  }

  async #ready(made, signal) {
    let session = made;
    try {
      while (STARTING.includes(session.state)) {
        await pause(POLL_S, signal);
        session = await this.get(made.id, { signal });
      }
    } catch (error) {
      if (signal?.aborted) this.release(made.id, { keepalive: true }).catch(() => {});
      throw error;
    }
    if (!["ready", "connected"].includes(session.state)) throw new Ended(session);
    return { ...made, ...session };
  }
}

function path(id) {
  return `sessions/${encodeURIComponent(id)}`;
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = () => {
      cancel();
      reject(signal.reason);
    };
    const cancel = clock.after(seconds, () => {
      signal?.removeEventListener("abort", stop);
      resolve();
    });
    signal?.addEventListener("abort", stop, { once: true });
  });
}
