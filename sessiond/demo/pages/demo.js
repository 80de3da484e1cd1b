// A client of the older form: text is JSON, and bytes come as messages of their own, each announced before.

const byId = (id) => document.getElementById(id);
const socket = new WebSocket(new URL("ws", location.href).href.replace(/^http/, "ws"));
const waiting = new Map();
const listening = new Map();
const keys = [];
const held = new Map();
let number = 0;

socket.binaryType = "arraybuffer";

function send(id, method, args) {
  socket.send(JSON.stringify({ wslink: "1.0", id, method, args, kwargs: {} }));
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
}

const call = (method, ...args) => send(`rpc:demo:${number++}`, method, args);
const subscribe = (topic, told) => listening.set(topic, told);

// Puts attachments into the places of their keys.
function filled(value) {
  if (typeof value === "string" && held.has(value)) {
    const bytes = held.get(value);
    held.delete(value);
    return bytes;
  }
  if (Array.isArray(value)) return value.map(filled);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, filled(v)]));
  return value;
}

socket.onmessage = ({ data }) => {
  if (data instanceof ArrayBuffer) {
    held.set(keys.shift(), data);
    return;
  }
  const { id, method, args, result, error } = JSON.parse(data);
  if (method === "wslink.binary.attachment") {
    keys.push(...args);
  } else if (id.startsWith("publish:")) {
    listening.get(id.split(":")[1])?.(filled(result));
  } else {
    const { resolve, reject } = waiting.get(id) ?? {};
    waiting.delete(id);
    if (error) reject?.(new Error(error.message));
    else resolve?.(filled(result));
  }
};

async function add() {
  byId("sum").textContent = await call("demo.add", [byId("a").valueAsNumber, byId("b").valueAsNumber]);
}

async function draw() {
  const { type, data } = await call("demo.picture", 256, Math.floor(Math.random() * 256));
  byId("picture").src = URL.createObjectURL(new Blob([data], { type }));
}

socket.onopen = async () => {
  await send("system:c0:0", "wslink.hello", [{ secret: "wslink-secret" }]);
  byId("state").textContent = "connected";
  subscribe("demo.time", ({ at }) => { byId("time").textContent = at; });
  byId("add").onclick = add;
  byId("draw").onclick = draw;
  await Promise.all([add(), draw()]);
};
socket.onclose = ({ code, reason }) => { byId("state").textContent = `closed: ${code} ${reason}`; };
