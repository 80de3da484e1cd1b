// One connection of a feed, from its ticket to its end.

import { openSocket } from "./socket.js";
import { openStream } from "./sse.js";

export const WEBSOCKET = "websocket";
export const SSE = "sse";
const OPENED = "sessiond.feed.opened";

export class Line {
  #given;
  #ears;
  #gone = new AbortController();
  #link = null;
  #timer = () => {};
  #heardAt;
  #asked = false; // whether a silent peer was asked for a word
  #over = false;

  // `given`: {kind, query, prepare, most, times, clock, fetch, WebSocket}. `prepare(kind, signal)` gives the address
  // and the headers. `ears`: opened(line, data), event(line, event), reached(line, epoch, offset), ended(line, end),
  // probe() → text.
  constructor(given, ears) {
    this.#given = given;
    this.#ears = ears;
    this.kind = given.kind;
    this.query = given.query;
    this.isOpen = false;
    this.dialled = false;
    this.#timer = given.clock.after(given.times.open_s, () => this.#fail(new Error("not open in time")));
    this.#dial();
  }

  get bufferedAmount() {
    return this.#link?.bufferedAmount ?? 0;
  }

  send(text) {
    return this.#link?.send(text) ?? false;
  }

  // Ends it without a word to whoever listens.
  close(hard = false) {
    this.#over = true;
    this.isOpen = false;
    this.#timer();
    this.#gone.abort();
    this.#link?.close(hard);
  }

  async #dial() {
    const { kind, prepare, most, fetch, WebSocket } = this.#given;
    try {
      const { address, headers } = await prepare(kind, this.#gone.signal);
      if (this.#over) return;
      this.dialled = true;
      const ears = {
        alive: () => this.#alive(),
        text: (text) => this.#text(text),
        reached: (...place) => this.isOpen && this.#ears.reached(this, ...place),
        ended: (end) => this.#end(end),
      };
      const open = kind === SSE ? openStream : openSocket;
      this.#link = open({ address, headers, fetch, WebSocket, most }, ears);
    } catch (error) {
      this.#fail(error);
    }
  }

  #alive() {
    this.#heardAt = this.#given.clock.now();
    this.#asked = false;
  }

  #text(text) {
    if (this.#over) return;
    let event = null;
    try {
      event = JSON.parse(text);
    } catch {
      // what follows says so
    }
    if (event === null || typeof event?.type !== "string") return this.#fail(new Error("what came is no event"), true);
    if (this.isOpen) return this.#ears.event(this, event);
    if (event.type !== OPENED || typeof event.data?.epoch !== "string") {
      return this.#fail(new Error("this is no feed of sessiond"), true);
    }
    this.isOpen = true;
    this.#timer();
    this.#watch(this.#given.times.quiet_s);
    return this.#ears.opened(this, event.data);
  }

  // A peer that is gone without a word is seen by its silence. A stream can't ask: it is opened anew, at no loss.
  #watch(seconds) {
    this.#timer = this.#given.clock.after(seconds, () => {
      const { quiet_s, open_s } = this.#given.times;
      const silent = this.#given.clock.now() - this.#heardAt;
      const limit = this.#asked ? quiet_s + open_s : this.kind === SSE ? 3 * quiet_s : quiet_s;
      if (silent < limit) return this.#watch(limit - silent);
      if (this.kind === SSE || this.#asked) return this.#fail(new Error("the server is silent"));
      this.#asked = true;
      this.send(this.#ears.probe());
      return this.#watch(open_s);
    });
  }

  #fail(error, reached = this.isOpen) {
    this.#end({ code: null, reason: "", error, reached });
    this.#link?.close(true);
  }

  #end(end) {
    if (this.#over) return;
    const wasOpen = this.isOpen;
    this.#over = true;
    this.isOpen = false;
    this.#timer();
    this.#gone.abort();
    this.#ears.ended(this, { ...end, wasOpen });
  }
}
