// A list of sessions that stays true, against a stand-in whose sessions change.

import assert from "node:assert/strict";
import test from "node:test";
import { Sessions, watch } from "../../clients/js/index.js";
import { QUICK, WebSocket, World } from "./standing.mjs";

function watched(t, options) {
  let look = () => {};
  const shown = [];
  const watching = watch({ WebSocket, times: QUICK, ...options }, (sessions) => {
    shown.push(Object.fromEntries([...sessions].map(([id, { state }]) => [id, state])));
    look();
  });
  t.after(() => watching.close());
  const until = (wanted) =>
    new Promise((resolve) => {
      look = () => JSON.stringify(shown.at(-1)) === JSON.stringify(wanted) && resolve();
      look();
    });
  return [watching, until, shown];
}

const says = (world, ...states) =>
  world.do("say", {
    sessions: [200, { sessions: states.map(([id, state]) => ({ id, state })) }],
    ...Object.fromEntries(states.map(([id, state]) => [`sessions/${id}`, [200, { id, state }]])),
  });

test("lists, follows, forgets, and lists anew after a gap; a ticket does for all", async (t) => {
  const world = new World();
  await says(world, ["a", "ready"]);
  let tickets = 0;
  const [watching, until, shown] = watched(t, { url: world.url, ticket: async () => `t${(tickets += 1)}` });
  await until({ a: "ready" });
  await says(world, ["a", "ready"], ["b", "queued"]);
  await world.facts(1, { subject: "b", type: "sessiond.session.queued" });
  await until({ a: "ready", b: "queued" });
  await says(world, ["a", "connected"], ["b", "queued"]);
  await world.facts(1, { subject: "a", type: "sessiond.tunnel.opened" });
  await until({ a: "connected", b: "queued" });
  await world.facts(1, { subject: "b", type: "sessiond.session.forgotten" });
  await until({ a: "connected" });
  await world.do("say", { "sessions/a": [404, {}] });
  await world.facts(1, { subject: "a", type: "sessiond.session.ended" });
  await until({});
  await says(world, ["c", "ready"]);
  await world.do("epoch", { epoch: "e2" });
  await world.do("cut");
  await until({ c: "ready" });
  assert.equal(watching.sessions.get("c").state, "ready");
  const { calls, seen } = await world.told();
  assert.ok([...calls.map(({ path }) => path), JSON.stringify(seen)].every((text) => /ticket/.test(text)));
  assert.ok(shown.length >= 6);
});

test("what happens while the list is on its way is not lost behind it", async (t) => {
  const world = new World();
  await says(world, ["a", "launching"]);
  let go;
  const held = new Promise((resolve) => {
    go = resolve;
  });
  const slow = async (address, request) => {
    const answer = await fetch(address, request);
    if (/sessions$/.test(address)) await held;
    return answer;
  };
  const [watching, until] = watched(t, { url: world.url, fetch: slow });
  await world.until(({ calls }) => calls.some(({ path }) => path === "sessions"));
  await says(world, ["a", "ready"]);
  await world.facts(1, { subject: "a" });
  await until({ a: "ready" });
  go();
  await world.until(({ calls }) => calls.filter(({ path }) => path === "sessions/a").length === 2);
  await until({ a: "ready" });
  watching.close();
});

test("a call that fails is made again", async (t) => {
  const world = new World();
  await world.do("say", { sessions: [503, {}] });
  const clock = {
    now: () => performance.now() / 1000,
    after(seconds, call) {
      const timer = setTimeout(call, seconds === 5 ? 10 : seconds * 1000);
      return () => clearTimeout(timer);
    },
  };
  const [, until] = watched(t, { url: world.url, clock });
  await world.until(({ calls }) => calls.length > 1);
  await says(world, ["a", "ready"]);
  await until({ a: "ready" });
});

test("by ticket nothing but GET is done", async () => {
  const sessions = new Sessions({ url: "http://127.0.0.1:9/", ticket: async () => "t" });
  await assert.rejects(sessions.release("a"), /GET only/);
});
