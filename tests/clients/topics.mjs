// The feed against a stand-in of the daemon: what is followed, and how that changes.

import assert from "node:assert/strict";
import test from "node:test";
import { Heard, World } from "./standing.mjs";

test("subscribes and unsubscribes while it is open, each with its own filter", async (t) => {
  const world = new World();
  const heard = new Heard(t, { url: world.url, topics: [] });
  const got = { clock: [], orders: [] };
  const stopClock = heard.feed.subscribe("sessions", { service: "clock" }, ({ offset }) => got.clock.push(offset));
  await heard.until("open");
  const stopOrders = heard.feed.subscribe("orders", ({ id }) => got.orders.push(id));
  assert.equal((await heard.until("subscribed")).topic, "orders");
  await world.facts(1, { data: { service: "other" } });
  await world.facts(1);
  await world.do("tell", { topic: "orders", event: { id: "o1", data: { n: 1 } } });
  await world.do("tell", { topic: "orders", event: { id: "o1", data: { n: 1 } } });
  await world.do("tell", { topic: "news", event: { id: "n1" } });
  await world.do("tell", { topic: "orders", event: { id: "o2" } });
  await heard.until("*", 3);
  assert.deepEqual(got, { clock: [2], orders: ["o1", "o2"] });
  const stopAll = heard.feed.subscribe("sessions", {}, () => {});
  stopOrders();
  stopOrders();
  await heard.until("unsubscribed");
  await heard.until("subscribed", 2);
  await world.facts(1, { data: { service: "other" } });
  await heard.until("*", 4);
  assert.deepEqual(got.clock, [2]); // the wider filter of another changes nothing for it
  stopAll();
  stopClock();
  await heard.until("unsubscribed", 2);
  const { commands, seen } = await world.told();
  assert.deepEqual(seen[0].query, { topics: "sessions", service: "clock" });
  assert.deepEqual(commands, [
    { command: "subscribe", topic: "orders", filter: {} },
    { command: "unsubscribe", topic: "orders" },
    { command: "subscribe", topic: "sessions", filter: {} },
    { command: "unsubscribe", topic: "sessions" },
  ]);
});

test("after a cut the query asks for all that is wanted by now", async (t) => {
  const world = new World();
  const heard = new Heard(t, { url: world.url, types: ["session.ready"], session: "s-1" });
  await heard.until("open");
  heard.feed.subscribe("orders", { types: "com.example.*" }, () => {});
  await heard.until("subscribed");
  await world.do("cut");
  const gap = await heard.until("gap");
  assert.equal(gap.reason, "not-replayable");
  const { commands } = await world.until(({ commands: found }) => found.length === 3);
  const { seen } = await world.told();
  assert.deepEqual(seen[0].query, { topics: "sessions", types: "sessiond.session.ready", session: "s-1" });
  assert.deepEqual(seen[1].query, {
    topics: "orders,sessions",
    types: "com.example.*,sessiond.session.ready",
    epoch: "e1",
    after: "0",
  });
  assert.deepEqual(commands.slice(1), [
    { command: "subscribe", topic: "orders", filter: { types: ["com.example.*"] } },
    { command: "subscribe", topic: "sessions", filter: { types: ["sessiond.session.ready"], session: "s-1" } },
  ]);
});

test("a stream changes its subscriptions without a break", async (t) => {
  const world = new World();
  const heard = new Heard(t, { url: world.url, transport: "sse", service: "clock" });
  await heard.until("open");
  await world.facts(1);
  await heard.until("*");
  const orders = [];
  await world.do("plan", { sse: ["late"] });
  const stop = heard.feed.subscribe("orders", ({ id }) => orders.push(id));
  await world.until(({ held }) => held === 1);
  await world.facts(2);
  await heard.until("*", 3); // the one that is there still tells
  await world.do("go");
  await world.until(({ open }) => open === 1);
  await world.do("tell", { topic: "orders", event: { id: "o1" } });
  await heard.until("*", 4);
  assert.deepEqual(orders, ["o1"]);
  assert.deepEqual(heard.offsets, [1, 2, 3, undefined]);
  assert.deepEqual([heard.of("open").length, heard.of("close").length, heard.of("gap").length], [1, 0, 0]);
  stop();
  await world.until(({ seen, open }) => seen.length === 3 && open === 1);
});

test("what has no topic any more is closed, and opened again for the next", async (t) => {
  const world = new World();
  const heard = new Heard(t, { url: world.url, transport: "sse", topics: [] });
  const stop = heard.feed.subscribe("news", () => {});
  await heard.until("open");
  stop();
  assert.equal((await heard.until("close")).reason, "nothing is wanted");
  await world.until(({ open }) => open === 0);
  heard.feed.subscribe("news", () => {});
  await heard.until("open", 2);
});

for (const transport of ["auto", "websocket", "sse"]) {
  test(`a topic that there is not is told on a ${transport}, and the others do not suffer`, async (t) => {
    const world = new World();
    const heard = new Heard(t, { url: world.url, transport });
    await heard.until("open");
    for (const topic of ["nothing", "orders", "never", "news"]) heard.feed.subscribe(topic, () => {});
    await heard.until("refused", 2);
    assert.deepEqual(
      heard
        .of("refused")
        .map(({ topic, code }) => [topic, code !== null])
        .sort(),
      [
        ["never", true],
        ["nothing", true],
      ],
    );
    if (transport === "sse")
      await world.until(({ seen, open }) => open === 1 && seen.at(-1).query.topics === "news,orders,sessions");
    else await heard.until("subscribed", 2);
    assert.equal(heard.of("close").length, 0);
    await world.do("cut");
    await heard.until("open", 2);
    assert.deepEqual(heard.of("open")[1].topics, ["news", "orders", "sessions"]);
    assert.equal((await heard.until("gap")).reason, "not-replayable");
    await world.do("lose", { topic: "orders" });
    await world.do("cut");
    await heard.until("open", 3);
    assert.deepEqual((await heard.until("refused", 3)).topic, "orders");
    assert.equal((await heard.until("gap", 2)).reason, "not-replayable");
  });
}

test("a feed whose only topic there is not says so and rests, until it is wanted again", async (t) => {
  const world = new World();
  const heard = new Heard(t, { url: world.url, topics: ["nothing"] });
  assert.equal((await heard.until("refused")).topic, "nothing");
  await heard.until("close", 3);
  assert.deepEqual(
    heard.of("close").map(({ retryIn_s }) => retryIn_s === null),
    [false, false, true],
  );
  heard.feed.subscribe("orders", () => {});
  assert.equal((await heard.until("open")).transport, "websocket"); // it was no proxy that refused
});

test("goes on behind what did not concern it, where the server says how far it has come", async (t) => {
  const world = new World();
  const times = { base_s: 0.01, cap_s: 0.02, quiet_s: 0.05, open_s: 10 };
  const socket = new Heard(t, { url: world.url, service: "other", transport: "websocket", times });
  const stream = new Heard(t, { url: world.url, service: "other", transport: "sse" });
  await Promise.all([socket.until("open"), stream.until("open")]);
  await world.facts(5);
  await world.do("beat");
  const reached = ({ feed }) => feed.position.offset === 5;
  await world.until(() => reached(socket) && reached(stream));
  await world.do("cut");
  await Promise.all([socket.until("open", 2), stream.until("open", 2)]);
  const { seen } = await world.told();
  assert.deepEqual(
    seen.slice(2).map(({ query }) => query.after),
    ["5", "5"],
  );
  assert.equal(socket.of("*").length + stream.of("*").length + socket.of("gap").length + stream.of("gap").length, 0);
});
