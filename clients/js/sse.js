// Server-sent events by fetch: EventSource can send no header, and reconnects by rules of its own.

import { problemOf } from "./problems.js";

const LINE_END = /\r\n|\r|\n/g;

const PLACE = /^([0-9A-Za-z]+):(\d{1,15})$/;

// Cuts a stream of text into its events (HTML standard 9.2.6), each {id, data}; data is null where there was an id
// alone. The other fields are of no use to a feed: what an event is stands in its data.
export class EventReader {
  #rest = "";
  #data = null;
  #id = null;
  #most;
  #begun = false;

  // `most` is how many characters one event may have.
  constructor(most) {
    this.#most = most;
  }

  // Gives the events that are whole now; throws RangeError for one that is too long.
  push(text) {
    this.#rest += text;
    if (!this.#begun && this.#rest) {
      this.#begun = true;
      if (this.#rest.startsWith("\uFEFF")) this.#rest = this.#rest.slice(1);
    }
    const found = [];
    let start = 0;
    LINE_END.lastIndex = 0;
    for (let end = LINE_END.exec(this.#rest); end; end = LINE_END.exec(this.#rest)) {
      // The other half of this line end may be on its way.
      if (end[0] === "\r" && LINE_END.lastIndex === this.#rest.length) break;
      this.#line(this.#rest.slice(start, end.index), found);
      start = LINE_END.lastIndex;
    }
    this.#rest = this.#rest.slice(start);
    this.#check(this.#rest.length);
    return found;
  }

  #line(line, found) {
    if (line === "") {
      if (this.#data !== null || this.#id !== null) found.push({ id: this.#id, data: this.#data });
      [this.#id, this.#data] = [null, null];
      return;
    }
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (name === "id") this.#id = value;
    if (name !== "data") return;
    this.#check(value.length);
    this.#data = this.#data === null ? value : `${this.#data}\n${value}`;
  }

  #check(more) {
    if (more + (this.#data?.length ?? 0) > this.#most) throw new RangeError("an event is too long");
  }
}

// Opens a stream. `ears` has alive(), text(data), reached(epoch, offset) and ended({code, reason, error, reached}),
// which comes once at most.
export function openStream({ address, headers, fetch, most }, ears) {
  const gone = new AbortController();
  let over = false;
  const end = (error, reached) => {
    if (over) return;
    over = true;
    gone.abort();
    ears.ended({ code: null, reason: "", error, reached });
  };
  read().catch((error) => end(error, false));
  return {
    bufferedAmount: 0,
    send: () => false,
    close() {
      over = true;
      gone.abort();
    },
  };

  async function read() {
    const request = { headers: { Accept: "text/event-stream", ...headers }, cache: "no-store", signal: gone.signal };
    const response = await fetch(address, request);
    const kind = response.headers.get("Content-Type") ?? "";
    if (response.status !== 200 || !/^text\/event-stream\b/i.test(kind)) {
      return end(await problemOf(response), true);
    }
    try {
      await events(response.body.getReader());
    } catch (error) {
      return end(error, true);
    }
    return end(null, true);
  }

  async function events(reader) {
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    const found = new EventReader(most);
    for (let part = await reader.read(); !part.done && !over; part = await reader.read()) {
      ears.alive();
      for (const { id, data } of found.push(decoder.decode(part.value, { stream: true }))) {
        if (over) return;
        const place = data === null ? PLACE.exec(id) : null;
        if (data !== null) ears.text(data);
        else if (place !== null) ears.reached(place[1], Number(place[2]));
      }
    }
  }
}
