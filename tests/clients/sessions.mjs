// Sessions over REST against a stand-in that answers what it is told to.

import assert from "node:assert/strict";
import test from "node:test";
import { Ended, Problem, Sessions, Unreachable } from "../../clients/js/index.js";
import { World } from "./standing.mjs";

const PROBLEM = { "Content-Type": "application/problem+json" };
const MADE = { id: "clock-1", kind: "rfb", state: "ready", token: "t", tunnel_url: "ws://x/tunnel?token=t", url: null };

async function answering(...answers) {
  const world = new World();
  await world.do("answer", { answers });
  return [world, new Sessions({ url: world.url, token: "k" })];
}

test("calls each path as the reference has it", async () => {
  const ok = [200, {}, { id: "a", services: ["x"], sessions: ["y"], lines: ["z"] }];
  const [world, sessions] = await answering(ok, ok, ok, ok, ok, ok, ok, ok, [201, {}, MADE]);
  assert.deepEqual(await sessions.services(), ["x"]);
  assert.deepEqual(await sessions.list(), ["y"]);
  assert.equal((await sessions.get("a b")).id, "a");
  assert.equal((await sessions.release("a")).id, "a");
  await sessions.extend("a", "lifetime", 60);
  assert.deepEqual(await sessions.log("a", { lines: 3 }), ["z"]);
  await sessions.ticket({ scopes: ["read"], lifetime_s: 9 });
  await sessions.sessionTicket("a");
  const options = { owner: "ada", idempotencyKey: "once", queue: false };
  assert.deepEqual(await sessions.reserve("clock", { size: "1x1" }, options), MADE);
  const { calls } = await world.told();
  assert.deepEqual(
    calls.map(({ method, path, body }) => [method, path, body]),
    [
      ["GET", "services", null],
      ["GET", "sessions", null],
      ["GET", "sessions/a%20b", null],
      ["DELETE", "sessions/a", null],
      ["POST", "sessions/a/extend", { deadline: "lifetime", by_s: 60 }],
      ["GET", "sessions/a/log?lines=3", null],
      ["POST", "tickets", { scopes: ["read"], lifetime_s: 9 }],
      ["POST", "sessions/a/tickets", null],
      ["POST", "sessions", { service: "clock", options: { size: "1x1" }, wait: "none", owner: "ada" }],
    ],
  );
  assert.deepEqual([calls[8]["Idempotency-Key"], calls[8].Prefer], ["once", "wait=0"]);
  assert.ok(calls.every(({ Authorization }) => Authorization === "Bearer k"));
});

test("a problem is an error with all that it says", async () => {
  const document = {
    type: "urn:x",
    title: "All taken",
    status: 503,
    code: "full",
    detail: "later",
    retry_after_s: 2.5,
  };
  const [, sessions] = await answering([503, { ...PROBLEM, "Retry-After": "3" }, document]);
  const error = await sessions.reserve("clock").catch((found) => found);
  assert.ok(error instanceof Problem && error instanceof Error);
  const { message, status, code, title, detail, retryAfter_s } = error;
  assert.deepEqual(
    [message, status, code, title, detail, retryAfter_s],
    ["later", 503, "full", "All taken", "later", 2.5],
  );
  assert.deepEqual(error.document, document);
});

test("what answers in the daemon's place is a problem too", async () => {
  const [, sessions] = await answering(
    [502, { "Content-Type": "text/html", "Retry-After": "7" }, "<h1>Bad gateway"],
    [503, { ...PROBLEM, "Retry-After": new Date(Date.now() + 60000).toUTCString() }, "[1]"],
    [429, { ...PROBLEM, "Retry-After": "soon" }, "{"],
    [200, { "Content-Type": "text/html" }, "<h1>Sign in"],
  );
  const found = [];
  for (let n = 0; n < 4; n += 1) found.push(await sessions.list().catch((error) => error));
  assert.deepEqual(
    found.map(({ name, status, code }) => [name, status, code]),
    [502, 503, 429, 200].map((status) => ["Problem", status, null]),
  );
  assert.equal(found[0].retryAfter_s, 7);
  assert.ok(found[1].retryAfter_s > 50 && found[1].retryAfter_s <= 60);
  assert.equal(found[2].retryAfter_s, null);
});

test("nobody there is an error of its own", async () => {
  const sessions = new Sessions({
    url: "http://127.0.0.1:9/",
    fetch: () => Promise.reject(new TypeError("fetch failed")),
  });
  const error = await sessions.list().catch((found) => found);
  assert.ok(error instanceof Unreachable);
  assert.match(error.cause.message, /fetch failed/);
});

test("comes again when Retry-After has passed, where that is wanted, and no longer than that", async () => {
  const full = [503, PROBLEM, { code: "full", retry_after_s: 0.01 }];
  const [world, sessions] = await answering(
    full,
    full,
    [201, {}, MADE],
    full,
    [503, PROBLEM, { code: "full", retry_after_s: 90 }],
    [500, PROBLEM, { code: "internal" }],
  );
  assert.equal((await sessions.reserve("clock", {}, { retry_s: 20 })).id, "clock-1");
  await assert.rejects(sessions.reserve("clock", {}, { retry_s: 20 }), { retryAfter_s: 90 });
  await assert.rejects(sessions.reserve("clock", {}, { retry_s: 20 }), { code: "internal" });
  assert.equal((await world.told()).calls.length, 6);
});

test("waits until it is ready, also past the server's own patience", async () => {
  const [world, sessions] = await answering(
    [202, {}, { ...MADE, state: "queued" }],
    [200, {}, { id: "clock-1", state: "launching" }],
    [200, {}, { id: "clock-1", state: "ready", slot: 1 }],
  );
  const found = await sessions.reserve("clock", {}, { wait: "ready" });
  assert.deepEqual([found.state, found.slot, found.tunnel_url], ["ready", 1, MADE.tunnel_url]);
  const { calls } = await world.told();
  assert.deepEqual(
    calls.map(({ method, path }) => [method, path]),
    [
      ["POST", "sessions"],
      ["GET", "sessions/clock-1"],
      ["GET", "sessions/clock-1"],
    ],
  );
});

test("a session that ends before it is ready says why", async () => {
  const [, sessions] = await answering(
    [202, {}, { ...MADE, state: "queued" }],
    [200, {}, { id: "clock-1", state: "ended", reason: "queue-timeout", cause: null }],
  );
  const error = await sessions.reserve("clock", {}, { wait: "ready" }).catch((found) => found);
  assert.ok(error instanceof Ended);
  assert.deepEqual([error.reason, error.session.id], ["queue-timeout", "clock-1"]);
});

test("who no longer wants it gives it up", async () => {
  const [world, sessions] = await answering(
    [202, {}, { ...MADE, state: "queued" }],
    [200, {}, { ...MADE, state: "queued" }],
  );
  const giving = new AbortController();
  const waiting = sessions.reserve("clock", {}, { wait: "ready", signal: giving.signal });
  await world.until(({ calls }) => calls.length === 2);
  giving.abort();
  await assert.rejects(waiting, { name: "AbortError" });
  await world.until(({ calls }) => calls.at(-1).method === "DELETE" && calls.at(-1).path === "sessions/clock-1");
});
