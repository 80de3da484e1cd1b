// The types of sessiond's client. What facts and refusals there are is held against the daemon's own lists by a test.

/** The names of facts; the type of the event is "sessiond." and the name. */
export type FactName =
  | "session.queued"
  | "session.reserved"
  | "session.claimed"
  | "session.launching"
  | "session.ready"
  | "session.suspect"
  | "session.recovered"
  | "session.warning"
  | "session.extended"
  | "session.stopping"
  | "session.stuck"
  | "session.ended"
  | "session.forgotten"
  | "tunnel.opened"
  | "tunnel.closed"
  | "port.taken";

/** What stands in every fact. */
export interface FactData {
  service: string;
  owner: string | null;
  /** Counts the changes of its session. */
  version: number;
}

interface DeadlineData {
  deadline: DeadlineName;
  /** Seconds since 1970. */
  at: number;
}

/** What stands in a fact beside that, by its name. */
export interface FactDetails {
  "session.reserved": { slot: number };
  "session.warning": DeadlineData;
  "session.extended": DeadlineData;
  "session.stopping": { reason: Reason; cause: string | null };
  "session.ended": {
    reason: Reason | null;
    cause: string | null;
    exit_code: number | null;
    signal: number | null;
  };
  "tunnel.opened": { tunnel: number };
  "tunnel.closed": { tunnel: number; end: string; detail: string };
  "port.taken": { port: number };
}

/** A CloudEvent (1.0, in JSON). */
export interface CloudEvent<Data = unknown> {
  specversion: "1.0";
  id: string;
  source: string;
  type: string;
  subject?: string;
  /** RFC 3339. */
  time?: string;
  datacontenttype?: string;
  data?: Data;
  /** Of events of a configured feed: its name. */
  topic?: string;
  [extension: string]: unknown;
}

/** A fact; `subject` is the id of its session. */
export interface FactEvent<Name extends FactName = FactName> extends CloudEvent<
  FactData & (Name extends keyof FactDetails ? FactDetails[Name] : unknown)
> {
  type: `sessiond.${Name}`;
  subject: string;
  time: string;
  data: FactData & (Name extends keyof FactDetails ? FactDetails[Name] : unknown);
  epoch: string;
  offset: number;
}

export interface Position {
  epoch: string;
  offset: number;
}

export interface Filter {
  /** Types of events; a star at the end stands for any rest. Names of facts may be written short. */
  types?: string | readonly string[];
  /** The id of a session. */
  session?: string;
  service?: string;
}

export interface Opened extends Position {
  transport: "websocket" | "sse";
  /** False where something was lost; "gap" tells of it. */
  recovered: boolean;
  topics: string[];
}

export interface Closed {
  transport: "websocket" | "sse" | null;
  /** The close code of a WebSocket. */
  code: number | null;
  reason: string;
  error: Error | null;
  /** Nothing is tried again. */
  isFinal: boolean;
  /** Seconds until the next connection. */
  retryIn_s: number | null;
}

export interface Gap {
  reason: "epoch-changed" | "too-old" | "ahead" | "not-replayable" | "unknown";
  before: Position;
  after: Position;
}

export interface Refused {
  topic: string;
  code: ProblemCode;
  detail: string;
}

/** What a feed tells beside events. */
export interface Lifecycle {
  open: Opened;
  close: Closed;
  gap: Gap;
  error: Error;
  subscribed: { topic: string };
  unsubscribed: { topic: string };
  refused: Refused;
  /** An event that nobody else listens to. */
  other: CloudEvent;
}

/** Seconds. */
export interface Times {
  base_s: number;
  cap_s: number;
  steady_s: number;
  open_s: number;
  quiet_s: number;
  again_s: number;
  again_cap_s: number;
}

export interface FeedOptions extends Filter {
  /** The address of the daemon; in a page the page's own by default. */
  url?: string | URL;
  /** Gives a fresh ticket for each connection. */
  ticket?: (how: { signal: AbortSignal }) => Promise<string | { ticket: string }> | string | { ticket: string };
  /** An API token, for programs that may hold one. */
  token?: string;
  /** "sessions" by default. */
  topics?: readonly string[];
  /** Where an earlier feed stood. */
  after?: Position | null;
  /** "auto" by default: WebSockets, and a stream where they are blocked. */
  transport?: "auto" | "websocket" | "sse";
  /** Needed where there is none by itself: Node 20, with that of ws. */
  WebSocket?: new (address: string) => any;
  fetch?: typeof globalThis.fetch;
  /** Numbers from 0 to 1, for the jitter. */
  random?: () => number;
  times?: Partial<Times>;
  /** The most characters that one event may have, 1048576 by default. */
  most?: number;
  clock?: { now(): number; after(seconds: number, call: () => void): () => void };
}

/** What undoes a subscription; to call it twice does no harm. */
export type Undo = () => void;

export class Feed {
  constructor(options?: FeedOptions);
  readonly isConnected: boolean;
  readonly transport: "websocket" | "sse" | null;
  readonly position: Position | null;
  readonly bufferedAmount: number;
  on<Name extends keyof Lifecycle>(name: Name, listener: (value: Lifecycle[Name]) => void): Undo;
  on<Name extends FactName>(name: Name | `sessiond.${Name}`, listener: (event: FactEvent<Name>) => void): Undo;
  on(name: "session.*" | "tunnel.*" | "port.*", listener: (event: FactEvent) => void): Undo;
  on(name: string, listener: (event: CloudEvent<any>) => void): Undo;
  subscribe(topic: "sessions", filter: Filter, listener: (event: FactEvent) => void): Undo;
  subscribe(topic: "sessions", listener: (event: FactEvent) => void): Undo;
  subscribe(topic: string, filter: Filter, listener: (event: CloudEvent<any>) => void): Undo;
  subscribe(topic: string, listener: (event: CloudEvent<any>) => void): Undo;
  publish(topic: string, event: Partial<CloudEvent> & { type: string; owner?: string }): Promise<string | null>;
  close(): void;
}

export function connect(options?: FeedOptions): Feed;

export type State = "queued" | "reserved" | "launching" | "ready" | "connected" | "stopping" | "ended";

export type Kind = "rfb" | "tcp" | "http" | "websocket" | "messages" | "text";

export type Reason =
  | "released"
  | "caller-gone"
  | "finished"
  | "exited"
  | "crashed"
  | "launch-failed"
  | "no-port"
  | "launch-timeout"
  | "queue-timeout"
  | "reservation-expired"
  | "setup-timeout"
  | "unused"
  | "lingered"
  | "idle"
  | "lifetime"
  | "heartbeat-lost"
  | "lost"
  | "shutdown";

export type DeadlineName =
  | "queue"
  | "reservation"
  | "launch"
  | "connect"
  | "linger"
  | "warm"
  | "idle"
  | "step"
  | "retention"
  | "lifetime"
  | "liveliness"
  | "answer"
  | "setup"
  | "warning"
  | "exit";

export type ProblemCode =
  | "bad-request"
  | "bad-option"
  | "no-session-named"
  | "unauthenticated"
  | "expired"
  | "forbidden"
  | "not-found"
  | "unknown-service"
  | "unknown-session"
  | "method-not-allowed"
  | "already-connected"
  | "not-accepting"
  | "too-large"
  | "too-slow"
  | "unsupported"
  | "bad-range"
  | "quota"
  | "full"
  | "launch-failed"
  | "launch-timeout"
  | "unreachable"
  | "suspended"
  | "cannot-start"
  | "store-unavailable"
  | "shutting-down"
  | "internal";

export interface Service {
  name: string;
  title: string | null;
  kind: Kind;
  count: number;
  used: number;
  queued: number;
  cause: string | null;
  any_options: boolean;
  options: Record<string, { type: "choice" | "integer" | "file" | "folders" | "pattern"; [member: string]: unknown }>;
}

export interface Session {
  id: string;
  service: string;
  kind: Kind | null;
  slot: number | null;
  owner: string;
  state: State;
  step: string | null;
  since: string;
  created_at: string;
  position: number | null;
  eta_s: number | null;
  waiting_for: string | null;
  deadlines: { name: DeadlineName; at: string; in_s: number }[];
  reported_at: string | null;
  suspect: boolean;
  reason: Reason | null;
  cause: string | null;
  exit: { code: number | null; signal: number | null } | null;
}

/** Where a session is opened; the addresses hold the secret that does it. */
export interface Addresses {
  tunnel_url: string;
  url: string | null;
}

export interface Ticket {
  ticket: string;
  expires_at: string;
  expires_in_s: number;
}

/** A session as its maker is told. */
export interface Made extends Session, Partial<Addresses> {
  token?: string;
}

export interface CallOptions {
  signal?: AbortSignal;
  keepalive?: boolean;
  /** Seconds in all for which a refused call is made again, whenever its Retry-After has passed. */
  retry_s?: number;
}

export interface ReserveOptions extends CallOptions {
  /** "ready" waits for that, however long the service's limits let it take. */
  wait?: "none" | "ready";
  owner?: string;
  idempotencyKey?: string;
  /** False: rather a refusal than a place in the queue. */
  queue?: boolean;
}

export type Options = Record<string, string | number | readonly string[]>;

export interface SessionsOptions extends Pick<FeedOptions, "url" | "token" | "ticket" | "fetch"> {
  retry_s?: number;
}

export class Sessions {
  constructor(options?: SessionsOptions);
  services(how?: CallOptions): Promise<Service[]>;
  reserve(service: string, options?: Options, how?: ReserveOptions): Promise<Made>;
  get(id: string, how?: CallOptions): Promise<Session>;
  list(how?: CallOptions): Promise<Session[]>;
  release(id: string, how?: CallOptions): Promise<Session>;
  extend(id: string, deadline: DeadlineName, by_s: number, how?: CallOptions): Promise<Session>;
  log(id: string, how?: CallOptions & { lines?: number }): Promise<string[]>;
  ticket(
    how?: CallOptions & { scopes?: readonly ("read" | "launch" | "operate")[]; lifetime_s?: number },
  ): Promise<Ticket>;
  sessionTicket(id: string, how?: CallOptions): Promise<Ticket & Addresses>;
}

export interface Watching {
  /** By id; what is forgotten is no longer in it. */
  readonly sessions: Map<string, Session>;
  readonly feed: Feed;
  close(): void;
}

/** Keeps a list of sessions that stays true. */
export function watch(options: FeedOptions, show: (sessions: Map<string, Session>) => void): Watching;

/** An answer that is no success (RFC 9457). */
export class Problem extends Error {
  readonly status: number;
  /** Null where something else answered than the daemon. */
  readonly code: ProblemCode | null;
  readonly title: string;
  readonly detail: string;
  readonly retryAfter_s: number | null;
  /** All that the document says, `session`, `reason` and `log` of a failed launch too. */
  readonly document: Record<string, unknown>;
}

/** No answer came at all. */
export class Unreachable extends Error {}

/** A session that was waited for has ended before it was ready. */
export class Ended extends Error {
  readonly session: Session;
  readonly reason: Reason | null;
}

export interface EmbedOptions {
  url?: string | URL;
  token?: string;
  /** What the creating answer said, or a ticket's. */
  session?: (Partial<Session> & Partial<Addresses>) | Promise<Partial<Session> & Partial<Addresses>>;
  /** For a page that may call the daemon itself. */
  reserve?: string | ({ service: string; options?: Options } & ReserveOptions);
  /** The address of noVNC's folder, "/novnc/" by default. */
  novnc?: string;
  /** noVNC's class, where it is loaded already. */
  RFB?: new (element: HTMLElement, socket: WebSocket) => any;
  fetch?: typeof globalThis.fetch;
  WebSocket?: typeof globalThis.WebSocket;
}

export interface Embedded {
  session: Partial<Made>;
  element: HTMLElement;
  ended: Promise<{ code: number; reason: string }>;
  /** Takes it out of the page, and ends a session that was made for it. */
  close(): Promise<void>;
}

export function embed(element: HTMLElement, options: EmbedOptions): Promise<Embedded>;
