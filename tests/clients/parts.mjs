// The parts of the client that need no server.

import assert from "node:assert/strict";
import test from "node:test";
import { Backoff } from "../../clients/js/backoff.js";
import { filterOf, fullType, matches, matchesType, widest } from "../../clients/js/filters.js";
import { Place } from "../../clients/js/place.js";
import { EventReader } from "../../clients/js/sse.js";
import { baseOf } from "../../clients/js/sessions.js";
import { Wishes } from "../../clients/js/wishes.js";

const TIMES = { base_s: 0.5, cap_s: 30, steady_s: 60 };

test("waits longer each time, up to the cap, and anew after a connection that held", () => {
  const most = new Backoff(() => 1, TIMES);
  const waits = Array.from({ length: 9 }, (_, at) => most.ended(at));
  assert.deepEqual(waits, [0.5, 1, 2, 4, 8, 16, 30, 30, 30]);
  most.opened(100);
  assert.equal(most.ended(159.9), 30);
  most.opened(200);
  assert.equal(most.ended(260), 0.5);
  for (let n = 0; n < 2000; n += 1) assert.ok(most.ended(300) <= 30);
});

test("the jitter is full: anything from nothing to the most, on top of what the server asks", () => {
  assert.equal(new Backoff(() => 0, TIMES).ended(0), 0);
  assert.equal(new Backoff(() => 0.25, TIMES).ended(0, 7), 7.125);
});

// A small source of numbers that are the same each time.
function numbers(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state % below;
  };
}

test("a stream is read the same however it is cut", () => {
  for (const end of ["\n", "\r\n", "\r"]) {
    const lines = [
      ": hello",
      "",
      "id: e:1",
      "data: one",
      "",
      "id: e:2",
      "",
      "data:two",
      "data:  three",
      "event: x",
      "",
      "",
      "data",
      "",
      "retry: 5",
      "",
      "data: é😀",
      "",
      "data: not whole",
    ];
    const text = `\uFEFF${lines.join(end)}`;
    const wanted = [
      ["e:1", "one"],
      ["e:2", null],
      [null, "two\n three"],
      [null, ""],
      [null, "é😀"],
    ];
    for (let seed = 1; seed < 200; seed += 1) {
      const reader = new EventReader(1000);
      const next = numbers(seed);
      const found = [];
      for (let at = 0; at < text.length;) {
        const size = 1 + next((seed % 9) + 1);
        found.push(...reader.push(text.slice(at, at + size)));
        at += size;
      }
      assert.deepEqual(
        found.map(({ id, data }) => [id, data]),
        wanted,
        JSON.stringify([end, seed]),
      );
    }
  }
});

test("an event of a stream may be as long as it is said, in one line or in many", () => {
  assert.deepEqual(new EventReader(5).push("data: 12345\n\n"), [{ id: null, data: "12345" }]);
  assert.throws(() => new EventReader(5).push("data: 123456\n\n"), RangeError);
  assert.throws(() => new EventReader(100).push(`data: ${"x".repeat(200)}`), RangeError);
  const many = new EventReader(100);
  assert.throws(() => {
    for (let n = 0; n < 60; n += 1) many.push("data: xx\n");
  }, RangeError);
});

test("types have short names and patterns", () => {
  assert.equal(fullType("session.ready"), "sessiond.session.ready");
  assert.equal(fullType("session.*"), "sessiond.session.*");
  assert.equal(fullType("com.example.session.ready"), "com.example.session.ready");
  assert.ok(matchesType("*", "anything"));
  assert.ok(matchesType("sessiond.session.*", "sessiond.session.ready"));
  assert.ok(!matchesType("sessiond.session.*", "sessiond.sessions"));
  assert.ok(!matchesType("sessiond.session", "sessiond.session.ready"));
});

test("the widest of filters lets pass whatever one of them does", () => {
  const types = [undefined, ["session.ready"], ["session.*", "com.x"], []];
  const names = [undefined, "a", "b"];
  const next = numbers(7);
  const any = () => filterOf({ types: types[next(4)], session: names[next(3)], service: names[next(3)] });
  const eventTypes = ["sessiond.session.ready", "sessiond.session.ended", "com.x", "com.y"];
  for (let n = 0; n < 3000; n += 1) {
    const filters = Array.from({ length: 1 + next(3) }, any);
    const wide = widest(filters);
    const event = { type: eventTypes[next(4)], subject: names[next(3)], data: { service: names[next(3)] } };
    if (filters.some((filter) => matches(filter, event)))
      assert.ok(matches(wide, event), JSON.stringify([filters, event]));
  }
  assert.deepEqual(widest([filterOf({ types: "session.ready", session: "a" })]), {
    types: ["sessiond.session.ready"],
    session: "a",
  });
});

test("commands lead from what there is to what is wanted, whatever that was", () => {
  const next = numbers(11);
  const topics = ["sessions", "orders", "news"];
  for (let n = 0; n < 500; n += 1) {
    const wishes = new Wishes();
    const has = new Map();
    const undo = [];
    for (let step = 0; step < 12; step += 1) {
      if (undo.length && next(3) === 0) undo.splice(next(undo.length), 1)[0]();
      else undo.push(wishes.add(topics[next(3)], { service: ["a", "b", undefined][next(3)] }));
      if (next(8) === 0) wishes.refuse(topics[next(3)]);
      for (const { command, topic } of wishes.commands(has)) assert.equal(command === "subscribe", has.has(topic));
      assert.deepEqual([...has].sort(), [...wishes.filters].sort());
      assert.deepEqual(wishes.commands(has), []);
      assert.equal(wishes.query(false) === null, has.size === 0);
    }
  }
});

const event = (offset, more) => ({ source: "/d", id: `e-${offset}`, epoch: "e", offset, ...more });

test("a connection that takes over begins behind where it was asked to, and what both tell is told once", () => {
  const place = new Place();
  assert.equal(place.opened({ epoch: "e", offset: 7, recovered: true }, null), null);
  const asked = place.position;
  assert.ok(place.takes(event(8)));
  assert.ok(place.takes(event(10)));
  assert.equal(place.opened({ epoch: "e", offset: 10, recovered: true }, asked), null);
  assert.deepEqual(place.position, { epoch: "e", offset: 7 });
  assert.ok(place.takes(event(11), false)); // of the former one, which has told all before it
  assert.deepEqual(
    [8, 9, 10, 11, 12].map((offset) => place.takes(event(offset))),
    [false, true, false, false, true],
  );
  assert.deepEqual(place.position, { epoch: "e", offset: 12 });
});

test("where only feeds without a history are lost, facts go on", () => {
  const place = new Place({ epoch: "e", offset: 3 });
  const gap = place.opened({ epoch: "e", offset: 9, recovered: false, reason: "not-replayable" }, place.position);
  assert.deepEqual(gap.after, { epoch: "e", offset: 3 });
  assert.ok(place.takes(event(4)));
});

test("events without a place are known by their ids, each topic by itself, and only the last are remembered", () => {
  const place = new Place();
  const one = { source: "/s", id: "1", topic: "a" };
  assert.deepEqual([place.takes(one), place.takes(one), place.takes({ ...one, topic: "b" })], [true, false, true]);
  for (let n = 0; n < 5000; n += 1) assert.ok(place.takes({ ...one, id: `x${n}` }));
  assert.ok(place.takes(one));
  assert.ok(!place.takes({ ...one, id: "x4999" }));
});

test("an address is read as one of http, with all paths below it", () => {
  assert.equal(baseOf("http://h:1").href, "http://h:1/");
  assert.equal(baseOf("wss://h/below?x#y").href, "https://h/below/");
  assert.throws(() => baseOf("nonsense"), TypeError);
});
