// The feed against a stand-in of the daemon: what happens on the wire, and what is told of it.

import assert from "node:assert/strict";
import test from "node:test";
import { Heard, World } from "./standing.mjs";

test("opens, hears facts in order, and tells them by type, session and service", async (t) => {
  const world = new World();
  const heard = new Heard(t, { url: world.url });
  const byType = [];
  heard.feed.on("session.ready", (event) => byType.push(event.subject));
  heard.feed.on("session.*", (event) => byType.push(event.type));
  const opened = await heard.until("open");
  assert.deepEqual(opened, { transport: "websocket", epoch: "e1", offset: 0, recovered: false, topics: ["sessions"] });
  assert.equal(heard.feed.isConnected, true);
  assert.equal(heard.feed.transport, "websocket");
  assert.equal(heard.feed.bufferedAmount, 0);
  await world.facts(3, {}, { skip: 4 });
  await heard.until("*", 3);
  assert.deepEqual(heard.offsets, [5, 10, 15]);
  assert.deepEqual(byType.slice(0, 2), ["s-1", "sessiond.session.ready"]);
  assert.deepEqual(heard.feed.position, { epoch: "e1", offset: 15 });
  heard.feed.close();
  assert.equal(heard.feed.isConnected, false);
  const closed = await heard.until("close");
  assert.deepEqual([closed.code, closed.isFinal, closed.retryIn_s], [1000, true, null]);
  await world.until(({ open }) => open === 0);
});

for (const transport of ["websocket", "sse"]) {
  test(`goes on behind what it had when a ${transport} is cut`, async (t) => {
    const world = new World();
    const heard = new Heard(t, { url: world.url, transport });
    await heard.until("open");
    await world.facts(3);
    await heard.until("*", 3);
    await world.do("plan", { [transport]: ["late"] });
    await world.do("cut");
    const closed = await heard.until("close");
    assert.equal(closed.isFinal, false);
    assert.ok(closed.retryIn_s <= 0.05);
    await world.facts(2);
    await world.until(({ held }) => held === 1);
    await world.facts(1);
    await world.do("go");
    await heard.until("*", 6);
    assert.deepEqual(heard.offsets, [1, 2, 3, 4, 5, 6]);
    assert.equal(heard.of("gap").length, 0);
    const { seen } = await world.told();
    assert.deepEqual(seen[1].query, { topics: "sessions", epoch: "e1", after: "3" });
    assert.equal((await heard.until("open", 2)).recovered, true);
    await world.do("repeat");
    await world.facts(1);
    await heard.until("*", 7);
    assert.deepEqual(heard.offsets, [1, 2, 3, 4, 5, 6, 7]);
  });
}

test("backs off with full jitter, and asks for a fresh ticket each time", async (t) => {
  const world = new World();
  await world.do("plan", { websocket: ["cut", "cut", "serve", "serve"], sse: ["cut*"] });
  let tickets = 0;
  const ticket = async () => `t${(tickets += 1)}`;
  const heard = new Heard(t, {
    url: world.url,
    ticket,
    transport: "websocket",
    random: () => 1,
    times: { base_s: 0.01, cap_s: 0.03 },
  });
  await heard.until("open");
  await world.do("cut");
  await heard.until("open", 2);
  assert.deepEqual(
    heard.of("close").map(({ retryIn_s }) => retryIn_s),
    [0.01, 0.02, 0.03],
  );
  const { seen } = await world.told();
  assert.deepEqual(
    seen.map(({ query }) => query.ticket),
    ["t1", "t2", "t3", "t4"],
  );
});

test("takes a ticket for itself where it has a token, which never stands in an address", async (t) => {
  const world = new World();
  const heard = new Heard(t, { url: world.url, token: "secret-token" });
  await heard.until("open");
  const streamed = new Heard(t, { url: world.url, token: "secret-token", transport: "sse" });
  await streamed.until("open");
  const { seen, calls } = await world.told();
  assert.deepEqual([seen[0].query.ticket, seen[0].authorization], ["ticket-1", null]);
  assert.deepEqual(
    calls.map(({ method, path, Authorization }) => [method, path, Authorization]),
    [["POST", "tickets", "Bearer secret-token"]],
  );
  assert.deepEqual([seen[1].query.ticket, seen[1].authorization], [undefined, "Bearer secret-token"]);
  assert.doesNotMatch(JSON.stringify(seen.map(({ query }) => query)), /secret-token/);
});

test("a ticket that can't be had is told, and asked for again", async (t) => {
  const world = new World();
  const given = [() => Promise.reject(new Error("no portal")), () => undefined, () => ({ ticket: "t" })];
  const heard = new Heard(t, { url: world.url, ticket: async () => given.shift()() });
  await heard.until("open");
  assert.deepEqual(
    heard.of("error").map(({ message }) => message),
    ["no portal", "ticket gave none"],
  );
  assert.equal(heard.feed.transport, "websocket"); // it was no WebSocket that failed
});

for (const [reason, change] of [
  ["epoch-changed", async (world) => world.do("epoch", { epoch: "e2" })],
  [
    "too-old",
    async (world) => {
      await world.facts(4);
      await world.do("forget");
    },
  ],
]) {
  test(`tells of a gap: ${reason}`, async (t) => {
    const world = new World();
    const heard = new Heard(t, { url: world.url });
    await heard.until("open");
    await world.facts(2);
    await heard.until("*", 2);
    await world.do("plan", { websocket: ["late"] });
    await world.do("cut");
    await world.until(({ held }) => held === 1);
    await change(world);
    await world.do("go");
    const gap = await heard.until("gap");
    assert.equal(gap.reason, reason);
    assert.deepEqual(gap.before, { epoch: "e1", offset: 2 });
    assert.deepEqual(heard.feed.position, gap.after);
    const opened = await heard.until("open", 2);
    assert.equal(opened.recovered, false);
    await world.facts(2);
    await heard.until("*", 4);
    const first = gap.after.offset;
    assert.deepEqual(heard.offsets, [1, 2, first + 1, first + 2]);
  });
}

test("a history that was set back is told, and its events are not taken for those that had the same ids", async (t) => {
  const world = new World();
  const heard = new Heard(t, { url: world.url });
  await heard.until("open");
  await world.facts(3);
  await heard.until("*", 3);
  await world.do("plan", { websocket: ["late"] });
  await world.do("cut");
  await world.until(({ held }) => held === 1);
  await world.do("epoch", { epoch: "e1" });
  await world.do("go");
  assert.deepEqual((await heard.until("gap")).reason, "ahead");
  await world.facts(2);
  await heard.until("*", 5);
  assert.deepEqual(heard.offsets, [1, 2, 3, 1, 2]);
});

test("begins where an earlier feed stood", async (t) => {
  const world = new World();
  await world.facts(5);
  const heard = new Heard(t, { url: world.url, after: { epoch: "e1", offset: 2 } });
  await heard.until("*", 3);
  assert.deepEqual(heard.offsets, [3, 4, 5]);
  assert.equal(heard.of("gap").length, 0);
});

test("falls back to a stream where WebSockets are refused, and takes to one again once they are not", async (t) => {
  const world = new World();
  await world.do("plan", { websocket: ["502", "502", "502", "serve"] });
  const heard = new Heard(t, { url: world.url, times: { base_s: 0.01, cap_s: 0.02, again_s: 0.05 } });
  assert.equal((await heard.until("open")).transport, "sse");
  await world.facts(2);
  await heard.until("*", 2);
  await world.until(({ seen, open }) => seen.length === 5 && open === 1);
  await world.facts(2);
  await heard.until("*", 4);
  assert.equal(heard.feed.transport, "websocket");
  assert.deepEqual(heard.offsets, [1, 2, 3, 4]);
  assert.equal(heard.of("open").length, 1); // it never was away
  const { seen } = await world.told();
  assert.deepEqual(
    seen.map(({ transport }) => transport),
    ["websocket", "websocket", "sse", "websocket", "websocket"],
  );
});

test("falls back where WebSockets hang, or open and say nothing", async (t) => {
  const world = new World();
  await world.do("plan", { websocket: ["hang", "mute*"] });
  const heard = new Heard(t, { url: world.url, times: { base_s: 0.01, cap_s: 0.02, open_s: 0.5 } });
  assert.equal((await heard.until("open")).transport, "sse");
  assert.match(heard.of("error")[0].message, /not open in time/);
});

test("a server that is away is no reason to fall back", async (t) => {
  const world = new World();
  await world.do("plan", { websocket: ["cut", "cut", "cut", "serve"], sse: ["cut", "cut*"] });
  const heard = new Heard(t, { url: world.url });
  assert.equal((await heard.until("open")).transport, "websocket");
  const { seen } = await world.told();
  assert.deepEqual(
    seen.map(({ transport }) => transport),
    ["websocket", "websocket", "sse", "websocket", "websocket"],
  );
});

test("where the daemon refuses both, no proxy is to blame", async (t) => {
  const world = new World();
  await world.do("plan", { websocket: ["401", "401", "serve"], sse: ["401"] });
  const heard = new Heard(t, { url: world.url });
  assert.equal((await heard.until("open")).transport, "websocket");
  assert.deepEqual(
    heard.of("error").map(({ status }) => status),
    [401],
  );
});

test("once a stream has shown that WebSockets are blocked, a server that is away changes nothing", async (t) => {
  const world = new World();
  await world.do("plan", { websocket: ["502*"], sse: ["serve", "cut", "cut", "serve"] });
  const heard = new Heard(t, { url: world.url });
  await heard.until("open");
  await world.do("cut");
  await heard.until("open", 2);
  const { seen } = await world.told();
  assert.deepEqual(
    seen.map(({ transport }) => transport),
    ["websocket", "websocket", "sse", "sse", "sse", "sse"],
  );
});

test("a page that is online again waits no longer", async (t) => {
  const page = new EventTarget();
  for (const name of ["addEventListener", "removeEventListener"]) globalThis[name] = page[name].bind(page);
  const world = new World();
  await world.do("plan", { websocket: ["cut", "serve"] });
  const heard = new Heard(t, { url: world.url, random: () => 1, times: { base_s: 1000, cap_s: 1000 } });
  t.after(() => ["addEventListener", "removeEventListener"].forEach((name) => delete globalThis[name]));
  await heard.until("close");
  page.dispatchEvent(new Event("online"));
  await heard.until("open");
});

test("without a WebSocket it is a stream at once, and one that was asked for can't be", async (t) => {
  const world = new World();
  assert.equal(globalThis.WebSocket, undefined);
  const heard = new Heard(t, { url: world.url, WebSocket: undefined });
  assert.equal((await heard.until("open")).transport, "sse");
  assert.throws(
    () => new Heard(t, { url: world.url, WebSocket: undefined, transport: "websocket" }),
    /WebSocket is needed/,
  );
});

test("a refusal says when to come again, and one that no time mends is the end", async (t) => {
  const world = new World();
  await world.do("plan", { sse: ["503 1", "401", "400"] });
  const heard = new Heard(t, {
    url: world.url,
    transport: "sse",
    times: { base_s: 0.01, cap_s: 0.02 },
    clock: hasty(),
  });
  const [, , last] = [await heard.until("close"), await heard.until("close", 2), await heard.until("close", 3)];
  const waits = heard.of("close").map(({ retryIn_s }) => retryIn_s);
  assert.ok(waits[0] >= 1 && waits[1] <= 0.02, waits.join());
  assert.equal(last.isFinal, true);
  assert.deepEqual(
    heard.of("error").map(({ status, code }) => [status, code]),
    [
      [503, "made-up"],
      [401, "made-up"],
      [400, "made-up"],
    ],
  );
});

// A clock whose seconds are over at once; connections are given their time.
function hasty() {
  let now = 0;
  return {
    now: () => (now += 0.001),
    after(seconds, call) {
      const timer = setTimeout(call, seconds > 5 ? 20000 : 1);
      return () => clearTimeout(timer);
    },
  };
}

test("a close is told with its code; 4400 is the end", async (t) => {
  const world = new World();
  const heard = new Heard(t, { url: world.url });
  await heard.until("open");
  await world.do("close", { code: 4008, reason: "too slow" });
  const closed = await heard.until("close");
  assert.deepEqual(
    [closed.code, closed.reason, closed.isFinal, closed.transport],
    [4008, "too slow", false, "websocket"],
  );
  await heard.until("open", 2);
  await world.do("close", { code: 4400, reason: "bad" });
  assert.equal((await heard.until("close", 2)).isFinal, true);
});

for (const transport of ["websocket", "sse"]) {
  test(`a peer that is gone without a word is seen on a ${transport}`, async (t) => {
    const world = new World();
    const times = { base_s: 0.01, cap_s: 0.02, quiet_s: 0.1, open_s: 1 };
    const heard = new Heard(t, { url: world.url, transport, times });
    await heard.until("open");
    await world.facts(1);
    await heard.until("*");
    await world.do("freeze");
    await heard.until("close");
    assert.ok(heard.of("error").some(({ message }) => /silent/.test(message)));
    await heard.until("open", 2);
    await world.facts(1);
    await heard.until("*", 2);
    assert.deepEqual(heard.offsets, [1, 2]);
    if (transport === "websocket") {
      const { commands } = await world.told();
      assert.deepEqual(commands[0], { command: "subscribe", topic: "sessions", filter: {} });
      assert.equal(heard.of("subscribed").length, 0); // nobody asked
    }
  });
}

test("what comes and is no event, or no feed, ends the connection and is told", async (t) => {
  const world = new World();
  await world.do("plan", { websocket: ["other", "noise"] });
  const heard = new Heard(t, { url: world.url, most: 5000 });
  await heard.until("open");
  await world.do("raw", { text: "[1]" });
  await heard.until("open", 2);
  await world.do("raw", { text: "x".repeat(5001) });
  await heard.until("open", 3);
  assert.deepEqual(
    heard.of("error").map(({ message }) => message),
    ["this is no feed of sessiond", "what came is no event", "what came is no event", "a message is no event"],
  );
});

test("an event that is too long ends a stream, whose memory is bounded", async (t) => {
  const world = new World();
  const heard = new Heard(t, { url: world.url, transport: "sse", most: 5000 });
  await heard.until("open");
  await world.do("raw", { text: "x".repeat(5001) });
  await heard.until("close");
  assert.match(heard.of("error")[0].message, /too long/);
});

test("a listener that fails is told, and keeps nobody from hearing", async (t) => {
  const world = new World();
  const heard = new Heard(t, { url: world.url });
  heard.feed.on("session.ready", () => {
    throw new Error("mine");
  });
  const others = [];
  heard.feed.on("other", (event) => others.push(event.type));
  const stop = heard.feed.on("com.example.known", () => {});
  await heard.until("open");
  await world.facts(2);
  await world.facts(1, { type: "com.example.unknown" });
  await world.facts(1, { type: "com.example.known" });
  await heard.until("*", 4);
  assert.deepEqual(
    heard.of("error").map(({ message }) => message),
    ["mine", "mine"],
  );
  assert.deepEqual(others, ["com.example.unknown"]);
  stop();
  await world.facts(1, { type: "com.example.known" });
  await heard.until("*", 5);
  assert.deepEqual(others, ["com.example.unknown", "com.example.known"]);
});

test("publishes by POST, and counts what is on its way", async (t) => {
  const world = new World();
  await world.do("answer", {
    answers: [
      [202, {}, ""],
      [403, { "Content-Type": "application/problem+json" }, { code: "forbidden", title: "No" }],
    ],
  });
  const heard = new Heard(t, { url: world.url, token: "k", transport: "sse" });
  const sent = heard.feed.publish("orders", { type: "com.example.order", data: { n: 1 } });
  assert.ok(heard.feed.bufferedAmount > 20);
  await sent;
  assert.equal(heard.feed.bufferedAmount, 0);
  await assert.rejects(heard.feed.publish("orders", {}), { name: "Problem", status: 403, code: "forbidden" });
  const { calls } = await world.told();
  assert.deepEqual([calls[0].method, calls[0].path, calls[0].body.data], ["POST", "feeds/orders", { n: 1 }]);
});

test("refuses what it can't do where it is asked", (t) => {
  const make = (options) => () => new Heard(t, { url: "http://127.0.0.1:1/", ...options });
  assert.throws(make({ url: undefined }), /url is needed/);
  assert.throws(make({ url: "ftp://x/" }), /http or https/);
  assert.throws(make({ token: "a", ticket: () => "b" }), /not both/);
  assert.throws(make({ ticket: "b" }), /function/);
  assert.throws(make({ topics: ["a,b"] }), /without commas/);
  assert.throws(make({ types: "a,b" }), /comma/);
  assert.throws(make({ transport: "pigeon" }), /transport/);
});

test("closing while it is on its way ends it without a word more", async (t) => {
  const world = new World();
  await world.do("plan", { websocket: ["late*"] });
  const heard = new Heard(t, { url: world.url });
  await world.until(({ held }) => held === 1);
  heard.feed.close();
  heard.feed.close();
  assert.equal(heard.of("close").length, 1);
  heard.feed.subscribe("orders", () => {});
  await world.until(({ held }) => held === 0);
  assert.deepEqual([heard.of("open").length, heard.all.length], [0, 1]);
});
