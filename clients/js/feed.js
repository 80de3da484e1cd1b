// The event feed: one connection at a time, made again whenever it breaks, and what comes over it told once.

import { Backoff } from "./backoff.js";
import { clock as realClock } from "./clock.js";
import { Ears } from "./ears.js";
import { SESSIONS } from "./filters.js";
import { Line, SSE, WEBSOCKET } from "./line.js";
import { Place } from "./place.js";
import { Problem, Sessions, baseOf } from "./sessions.js";
import { Wishes } from "./wishes.js";

// Seconds. Back-off: base_s doubles up to cap_s, and begins anew after a connection that held for steady_s. A
// connection is given up when it is not open after open_s; a peer that is silent for quiet_s is asked for a word. Where
// WebSockets are blocked, they are tried again after again_s, then after twice that, up to again_cap_s.
const TIMES = { base_s: 0.5, cap_s: 30, steady_s: 60, open_s: 15, quiet_s: 30, again_s: 60, again_cap_s: 3600 };
const BLOCKED = 2; // WebSockets that never opened, one after the other, before the stream is tried
const FORMER_S = 1; // for how long a line that was replaced is still heard
const MOST = 1048576; // characters of one event
const FINAL_CLOSE = 4400; // the request can't be understood: it will not be the next time either
const FINAL_STATUS = 400;
const HARMLESS = ["not-replayable", "too-old"];
const MOST_PATIENCE_S = 300; // of what a server asks to wait
const NO_TOPIC_STATUS = 404;
const TRANSPORTS = ["auto", WEBSOCKET, SSE];

export function connect(options) {
  return new Feed(options);
}

export class Feed {
  #address;
  #sessions;
  #given;
  #transport;
  #times;
  #clock;
  #backoff;
  #place;
  #ears = new Ears();
  #wishes = new Wishes();
  #line = null; // what is open, or on its way
  #next = null; // what is on its way to take the place of a line that is open
  #former = null; // what was replaced, and may have something on its way yet
  #has = new Map(); // topic → filter, as the line's server knows them, or the last one's did
  #answers = new Map(); // topic → how many answers to commands of ours are on their way
  #blocked = 0;
  #proven = false; // that WebSockets are blocked: a stream opened where they had not
  #again_s;
  #cancelWait = () => {};
  #cancelAgain = () => {};
  #cancelFormer = () => {};
  #forgetOnline = () => {};
  #waits = false;
  #changing = false;
  #posting = 0;
  #closed = false;

  constructor(options = {}) {
    const { url, token, ticket, topics = [SESSIONS], types, session, service, after, transport = "auto" } = options;
    if (!TRANSPORTS.includes(transport)) throw new TypeError(`transport is one of ${TRANSPORTS.join(", ")}`);
    const WebSocket = options.WebSocket ?? globalThis.WebSocket;
    if (transport === WEBSOCKET && !WebSocket) throw new TypeError("WebSocket is needed: here is none by itself");
    this.#sessions = new Sessions({ url, token, ticket, fetch: options.fetch });
    this.#address = new URL("api/v1/events", baseOf(url));
    this.#transport = WebSocket ? transport : SSE;
    this.#times = { ...TIMES, ...options.times };
    this.#clock = options.clock ?? realClock;
    this.#again_s = this.#times.again_s;
    this.#backoff = new Backoff(options.random ?? Math.random, this.#times);
    this.#place = new Place(after);
    this.#given = { WebSocket, fetch: this.#sessions.fetch, most: options.most ?? MOST };
    for (const topic of topics) this.#wishes.add(topic, { types, session, service });
    this.#hearOnline();
    this.#change(); // not at once: whoever called is still to say what is to be heard
  }

  get isConnected() {
    return this.#line?.isOpen ?? false;
  }

  // "websocket" or "sse"; null while nothing is open.
  get transport() {
    return this.isConnected ? this.#line.kind : null;
  }

  // Where the feed stands, {epoch, offset}: given as `after`, another goes on behind it. Null before the first opening.
  get position() {
    return this.#place.position;
  }

  // Bytes that were given to the feed and have not left yet.
  get bufferedAmount() {
    return (this.#line?.bufferedAmount ?? 0) + this.#posting;
  }

  // Listens: to "open", "close", "gap", "error", "subscribed", "unsubscribed", "refused", "other", to a type of events
  // such as "session.ready", to all that begin alike ("session.*"), or to every event ("*"). Gives what undoes it.
  on(name, listener) {
    return this.#ears.on(name, listener);
  }

  // Hears the events of a topic that a filter lets pass. Gives what undoes it.
  subscribe(topic, filter, listener) {
    if (typeof filter === "function") [filter, listener] = [{}, filter];
    if (typeof listener !== "function") throw new TypeError("a function is needed");
    const forget = this.#wishes.add(topic, filter, listener);
    this.#change();
    return () => {
      if (forget()) this.#change();
    };
  }

  // Sends an event to those who follow a feed, and gives its id. It takes the scope "operate"; throws a Problem.
  async publish(topic, event) {
    const size = new TextEncoder().encode(JSON.stringify(event)).length;
    this.#posting += size;
    try {
      const taken = await this.#sessions.call("POST", `feeds/${encodeURIComponent(topic)}`, { body: event });
      return taken?.id ?? null;
    } finally {
      this.#posting -= size;
    }
  }

  close() {
    this.#finish({ code: 1000, reason: "closed here", error: null });
  }

  // -- connecting ----------------------------------------------------------------------------------------------------

  #connect() {
    this.#cancelWait();
    this.#waits = false;
    if (this.#closed || this.#line !== null) return;
    this.#line = this.#dial(this.#kind());
  }

  #kind() {
    if (this.#transport !== "auto") return this.#transport;
    return this.#blocked >= BLOCKED ? SSE : WEBSOCKET;
  }

  // Gives a line on its way; null while nothing is wanted.
  #dial(kind) {
    const query = this.#wishes.query(kind === WEBSOCKET);
    if (query === null) return null;
    const start = { after: null };
    const prepare = (...how) => this.#prepare(query, start, ...how);
    const given = { ...this.#given, kind, query, prepare, times: this.#times, clock: this.#clock };
    const line = new Line(given, {
      opened: (...told) => this.#opened(...told),
      event: (from, event) => this.#event(from, event),
      reached: (from, ...place) => from === this.#line && this.#place.reached(...place),
      ended: (...told) => this.#ended(...told),
      probe: () => this.#probe(),
    });
    return Object.assign(line, { start, asked: this.#wishes.asked(kind === WEBSOCKET) });
  }

  // Tickets are good for once, so each connection has its own. A token never stands in an address: those are logged.
  async #prepare(query, start, kind, signal) {
    const address = new URL(this.#address);
    address.search = query;
    const headers = {};
    if (this.#sessions.hasToken && kind === SSE) Object.assign(headers, this.#sessions.headers());
    else if (this.#sessions.hasToken || this.#sessions.hasTicket) {
      address.searchParams.set("ticket", await this.#sessions.freshTicket(signal));
    }
    // Last of all, since another line may have gone on while a ticket was fetched.
    start.after = this.#place.position;
    if (start.after !== null) {
      address.searchParams.set("epoch", start.after.epoch);
      address.searchParams.set("after", String(start.after.offset));
    }
    if (kind === WEBSOCKET) address.protocol = address.protocol.replace("http", "ws");
    return { address: address.href, headers };
  }

  #opened(line, data) {
    const takesOver = line === this.#next;
    if (takesOver) this.#takeOver();
    const wanted = this.#wishes.filters;
    const left = [...this.#has.keys()].filter((topic) => wanted.has(topic) && !line.asked.has(topic));
    this.#has = line.asked;
    this.#answers.clear();
    this.#wishes.grant(line.asked.keys());
    this.#backoff.opened(this.#clock.now());
    if (line.kind === WEBSOCKET) {
      [this.#blocked, this.#proven, this.#again_s] = [0, false, this.#times.again_s];
      this.#cancelAgain();
    } else if (this.#blocked >= BLOCKED) {
      this.#proven = true;
      this.#tryAgain();
    }
    let gap = this.#place.opened(data, line.start.after);
    // Feeds that are asked for once it is open were followed before, and nothing of them is kept.
    const { position } = this;
    if (gap === null && left.length > 0) gap = { reason: "not-replayable", before: position, after: position };
    const { topics = [...this.#has.keys()], recovered } = data;
    if (!takesOver) this.#ears.tell("open", { transport: line.kind, ...this.position, recovered, topics });
    // Where one line takes over from another that one had all until now, unless the history itself is another.
    const isLoss = gap !== null && !(takesOver && HARMLESS.includes(gap.reason));
    if (isLoss && !this.#closed) this.#ears.tell("gap", gap);
    this.#sync();
  }

  #ended(line, end) {
    if (line === this.#next) return this.#stays(end);
    if (line !== this.#line) return undefined;
    this.#drop();
    this.#cancelAgain();
    this.#judge(line, end);
    this.#blame(line, end);
    const isFinal = end.code === FINAL_CLOSE || (end.error instanceof Problem && end.error.status === FINAL_STATUS);
    if (isFinal) return this.#finish(end);
    const least_s = Math.min(end.error?.retryAfter_s ?? 0, MOST_PATIENCE_S);
    const in_s = this.#backoff.ended(this.#clock.now(), least_s);
    this.#waits = this.#wishes.query(false) !== null;
    if (this.#waits) this.#cancelWait = this.#clock.after(in_s, () => this.#connect());
    if (end.error) this.#ears.fail(end.error);
    if (!this.#closed) this.#ears.tell("close", closing(line, end, { isFinal, in_s: this.#waits ? in_s : null }));
    return undefined;
  }

  // A connection that was refused since there is no such topic: told as a refusal, and the others need not suffer.
  #blame(line, { error }) {
    if (!(error instanceof Problem && error.status === NO_TOPIC_STATUS && error.code !== null)) return false;
    const topic = this.#wishes.blame(line.asked);
    if (topic !== null) this.#ears.tell("refused", { topic, code: error.code, detail: error.message });
    return true;
  }

  // Learns from an end whether WebSockets are blocked. One that never opened tells nothing where the stream can't be
  // reached either: then the server is away. Nor where the daemon refuses both.
  #judge(line, { reached, wasOpen, error }) {
    if (line.kind === WEBSOCKET) {
      if (wasOpen || reached) this.#blocked = 0;
      else if (line.dialled) this.#blocked += 1;
      // It may be a topic that is no more, of which a WebSocket can't tell.
      if (this.#blocked >= BLOCKED) this.#wishes.doubt();
    } else if (!wasOpen && !this.#proven && (!reached || (error instanceof Problem && error.code !== null))) {
      this.#blocked = 0;
    }
  }

  #finish(end) {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelWait();
    this.#cancelAgain();
    this.#forgetOnline();
    const line = this.#line;
    this.#drop();
    if (end.error) this.#ears.fail(end.error);
    this.#ears.tell("close", closing(line, end, { isFinal: true, in_s: null }));
  }

  // -- changing without a break --------------------------------------------------------------------------------------

  // A line that is open stays until the one that takes its place is: what comes on both is told once.
  #replace(kind) {
    this.#next?.close();
    this.#next = this.#dial(kind);
  }

  #takeOver() {
    this.#former?.close();
    const former = this.#line;
    [this.#line, this.#next, this.#former] = [this.#next, null, former];
    this.#cancelFormer();
    this.#cancelFormer = this.#clock.after(FORMER_S, () => former.close());
  }

  #drop() {
    this.#cancelFormer();
    for (const line of [this.#line, this.#next, this.#former]) line?.close();
    [this.#line, this.#next, this.#former] = [null, null, null];
  }

  // The line that was to take over did not.
  #stays(end) {
    const line = this.#next;
    this.#next = null;
    if (this.#blame(line, end)) return this.#sync();
    if (line.kind === WEBSOCKET && this.#line.query === this.#wishes.query(false)) return this.#tryAgain();
    return this.#ended(this.#line, end);
  }

  #tryAgain() {
    this.#cancelAgain();
    if (this.#transport !== "auto") return;
    this.#cancelAgain = this.#clock.after(this.#again_s, () => {
      this.#again_s = Math.min(this.#again_s * 2, this.#times.again_cap_s);
      if (this.isConnected && this.#next === null) this.#replace(WEBSOCKET);
    });
  }

  // Wishes have changed: seen to once, however many change at a time.
  #change() {
    if (this.#changing || this.#closed) return;
    this.#changing = true;
    queueMicrotask(() => {
      this.#changing = false;
      if (this.#closed) return;
      if (this.#line === null && !this.#waits) this.#connect();
      else this.#sync();
    });
  }

  #sync() {
    const line = this.#line;
    if (line === null || !line.isOpen || this.#closed) return;
    const query = this.#wishes.query(false);
    if (line.kind === WEBSOCKET) {
      for (const command of this.#wishes.commands(this.#has)) {
        this.#answers.set(command.topic, (this.#answers.get(command.topic) ?? 0) + 1);
        line.send(JSON.stringify(command));
      }
    } else if (query === null) {
      this.#drop();
      this.#ears.tell("close", closing(line, { code: null, reason: "nothing is wanted", error: null }, {}));
    } else if (query !== line.query && query !== this.#next?.query) {
      this.#replace(SSE);
    }
  }

  #hearOnline() {
    if (typeof globalThis.addEventListener !== "function") return;
    const hurry = () => {
      if (this.#waits) this.#connect();
    };
    globalThis.addEventListener("online", hurry);
    this.#forgetOnline = () => globalThis.removeEventListener("online", hurry);
  }

  // -- hearing -------------------------------------------------------------------------------------------------------

  // Asks for what is there already: the answer shows that somebody is.
  #probe() {
    const [first] = this.#has;
    if (first === undefined) return JSON.stringify({ command: "unsubscribe", topic: SESSIONS });
    const [topic, filter] = first;
    return JSON.stringify({ command: "subscribe", topic, filter });
  }

  #event(line, event) {
    const isCurrent = line === this.#line;
    if (this.#closed || !(isCurrent || line === this.#former)) return undefined;
    const answer = /^sessiond\.feed\.(subscribed|unsubscribed|refused)$/.exec(event.type);
    if (answer !== null) return isCurrent ? this.#answered(answer[1], event) : undefined;
    if (!this.#place.takes(event, isCurrent)) return undefined;
    const known = this.#wishes.hear(event, (listener, told) => this.#ears.call(listener, told));
    if (this.#ears.event(event) || known) return undefined;
    return this.#ears.tell("other", event);
  }

  #answered(what, event) {
    const topic = event.data?.topic;
    const awaited = this.#answers.get(topic) ?? 0;
    if (awaited > 0) this.#answers.set(topic, awaited - 1);
    if (what === "refused") {
      this.#wishes.refuse(topic);
      this.#has.delete(topic);
    } else {
      if (what === "subscribed") this.#wishes.grant([topic]);
      this.#place.reached(event.data?.epoch, event.data?.offset);
      if (awaited === 0) return; // to a word that was only asked for to hear one
    }
    this.#ears.tell(what, event.data);
  }
}

function closing(line, { code, reason, error }, { isFinal = false, in_s = null }) {
  return { transport: line?.kind ?? null, code, reason, error, isFinal, retryIn_s: in_s };
}
