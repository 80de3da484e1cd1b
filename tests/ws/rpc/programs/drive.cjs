// Drives one of wslink's own clients: drive.cjs PACKAGE URL SECRET prints what each step came to, as JSON.
"use strict";

const [, , folder, url, secret, exits] = process.argv;
require("./browser.cjs")(folder).browse("http://localhost/");
// A client that was destroyed fails at what still comes; a browser would only write that down.
let over = false;
process.on("unhandledRejection", () => {});
process.on("uncaughtException", (error) => {
  if (!over) {
    process.stdout.write(JSON.stringify({ step: "failed", error: String(error) }) + "\n");
    process.exit(1);
  }
});
console.log = console.info = console.error = console.warn = () => {};

const loaded = require(process.argv[2] + "/node_modules/" + process.argv[6]);
const { WebsocketConnection } = loaded.default && loaded.default.WebsocketConnection ? loaded.default : loaded;

function connected(said) {
  return new Promise((resolve, reject) => {
    const connection = (WebsocketConnection.default || WebsocketConnection).newInstance({ urls: url, secret: said });
    connection.onConnectionReady(() => resolve(connection));
    connection.onConnectionError((error) => reject(error));
    connection.onConnectionClose((event) => reject(new Error(`closed ${event && event.code}`)));
    connection.connect();
  });
}

async function plain(value) {
  if (value instanceof Blob) return { bytes: Buffer.from(await value.arrayBuffer()).toString("hex").slice(0, 20), size: value.size };
  if (value instanceof Uint8Array || value instanceof ArrayBuffer) {
    const bytes = Buffer.from(value);
    return { bytes: bytes.toString("hex").slice(0, 20), size: bytes.length };
  }
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  if (Array.isArray(value)) return Promise.all(value.map(plain));
  if (value && typeof value === "object") {
    const found = {};
    for (const key of Object.keys(value)) found[key] = await plain(value[key]);
    return found;
  }
  return value === undefined ? null : value;
}

const told = (result) => process.stdout.write(JSON.stringify(result) + "\n");

async function step(name, action) {
  try {
    told({ step: name, result: await plain(await action()) });
  } catch (error) {
    told({ step: name, error: { code: error && error.code, message: error && error.message, data: error && error.data } });
  }
}

async function main() {
  await step("wrong", () => Promise.race([connected("wrong"), new Promise((_, no) => setTimeout(no, 20000, new Error("late")))]));
  const connection = await connected(secret);
  const session = connection.getSession();
  await step("add", () => session.call("t.add", [[1, 2, 3, 4, 5]]));
  await step("echo", () => session.call("t.echo", ["ü", null, 1.5], { k: { deep: [true] } }));
  await step("odd numbers", () => session.call("t.numbers", []));
  await step("nothing", () => session.call("t.nothing", []));
  await step("unknown", () => session.call("myprotocol.mistake.TYPO", []));
  await step("throw", () => session.call("t.throw", []));
  await step("notser", () => session.call("t.notser", []));
  for (const size of [0, 1, 5000000]) await step(`blob ${size}`, () => session.call("t.blob", [size]));
  for (const size of [0, 1, 5000000]) {
    const bytes = new Uint8Array(size).fill(7);
    await step(`upload ${size}`, () => session.call("t.length", [session.addAttachment(process.argv[6] === "wslink-2" ? bytes : new Blob([bytes]))]));
  }
  const topic = "some." + process.argv[6].replace("-", "_"); // all clients hear all topics
  const heard = [];
  let done;
  const enough = new Promise((resolve) => { done = resolve; });
  session.subscribe(topic, (args) => { heard.push(args); if (heard.length === 2) done(); });
  await step("publish", () => session.call("t.publish", [topic, { v: 1 }]));
  await step("publish bytes", () => session.call("t.publish_bytes", [topic, 3]));
  await step("heard", async () => { await enough; return heard; });
  await step("order", async () => {
    const order = [];
    const slow = session.call("t.later", [0.2]).then(() => order.push("slow"));
    const quick = session.call("t.add", [[1]]).then(() => order.push("quick"));
    await Promise.all([slow, quick]);
    return order;
  });
  await step("overtake", async () => {
    const order = [];
    const slow = session.call("t.later.concurrent", [0.2]).then(() => order.push("slow"));
    const quick = session.call("t.add", [[1]]).then(() => order.push("quick"));
    await Promise.all([slow, quick]);
    return order;
  });
  connection.destroy(0);
  const again = await connected(secret);
  await step("again", () => again.getSession().call("t.add", [[2]]));
  over = true;
  again.destroy(exits === "exit" ? 0.1 : 0);
  told({ step: "done" });
}

main().then(() => setTimeout(() => process.exit(0), 300), (error) => { told({ step: "failed", error: String((error && error.stack) || JSON.stringify(error, Object.getOwnPropertyNames(error || {}))) }); process.exit(1); });
