// A list of sessions that stays true: REST says how each stands, the feed says when to ask.

import { clock as realClock } from "./clock.js";
import { connect } from "./feed.js";
import { Problem, Sessions } from "./sessions.js";

const AGAIN_S = 5; // after a call that failed
const GONE_STATUS = 404;

// `options` are those of connect. `show` is called with the sessions, a Map by id, whenever they have changed.
export function watch(options, show) {
  return new Watching(options, show);
}

class Watching {
  #sessions;
  #show;
  #clock;
  #cancelAgain = () => {};
  #asking = new Map(); // id → whether something has happened since it was asked for
  #listing = null; // the ids of what has happened since all were asked for
  #closed = false;

  constructor(options, show) {
    this.sessions = new Map();
    this.#sessions = new Sessions(options);
    this.#show = show;
    this.#clock = options.clock ?? realClock;
    this.feed = connect({ ...options, topics: ["sessions"] });
    this.feed.on("open", ({ recovered }) => {
      if (!recovered) this.#list();
    });
    this.feed.subscribe("sessions", {}, ({ type, subject }) => this.#happened(type, subject));
  }

  close() {
    this.#closed = true;
    this.#cancelAgain();
    this.feed.close();
  }

  async #list() {
    this.#cancelAgain();
    const touched = new Set();
    this.#listing = touched;
    const found = await this.#asked(() => this.#sessions.list());
    if (this.#closed || this.#listing !== touched) return; // somebody has begun anew
    this.#listing = null;
    if (!found) return;
    this.sessions.clear();
    for (const session of found) this.sessions.set(session.id, session);
    this.#tell();
    // The list may be older than what was heard meanwhile, or newer.
    for (const id of touched) this.#get(id);
  }

  #happened(type, id) {
    this.#listing?.add(id);
    if (type !== "sessiond.session.forgotten") this.#get(id);
    else if (this.sessions.delete(id)) this.#tell();
  }

  // However much happens to a session, it is asked for once at a time.
  async #get(id) {
    if (this.#asking.has(id)) {
      this.#asking.set(id, true);
      return;
    }
    this.#asking.set(id, false);
    const found = await this.#asked(() => this.#sessions.get(id));
    const isOld = this.#asking.get(id);
    this.#asking.delete(id);
    if (this.#closed) return;
    if (found === undefined) this.sessions.delete(id);
    else if (found !== null) this.sessions.set(id, found);
    this.#tell();
    if (isOld) this.#get(id);
  }

  // Gives an answer; undefined for what is not there, null for none: then all are asked for anew, a little later.
  async #asked(call) {
    try {
      return await call();
    } catch (error) {
      if (error instanceof Problem && error.status === GONE_STATUS) return undefined;
      this.#cancelAgain();
      if (!this.#closed) this.#cancelAgain = this.#clock.after(AGAIN_S, () => this.#list());
      return null;
    }
  }

  #tell() {
    this.#show(this.sessions);
  }
}
