// The viewer page: noVNC, and around it what it does not say itself.

import { readFields, socketAddress } from "./fields.js";
import { offers, release, reserve } from "./server.js";
import { clockTime, closeInWords, sentence } from "./words.js";

const PATIENCE_MS = 15000; // after that the page says that starting takes long
const MOST_TRIES = 120;

const fields = readFields(document.baseURI);
const label = fields.name || "Session";
const at = (id) => document.getElementById(id);

let token = fields.token;
let RFB = null; // noVNC's class
let rfb = null;
let tries = 0;
let left = false; // whether the person has ended it

// noVNC keeps the code and the reason of a close to itself, and its old versions take no socket that was made for them.
// So the sockets that this page opens, all of them noVNC's, note how they were closed. They stay plain ones, no subclass
// of them: new versions look at what the prototype itself has.
const end = { code: 1006, reason: "" };
globalThis.WebSocket = new Proxy(WebSocket, {
  construct(Socket, given) {
    const socket = new Socket(...given);
    Object.assign(end, { code: 1006, reason: "" });
    socket.addEventListener("open", () => show("starting", `Starting ${label}…`));
    socket.addEventListener("close", ({ code, reason }) => Object.assign(end, { code, reason }));
    return socket;
  },
});

// -- what is seen ------------------------------------------------------------------------------------------------------

// state: idle, starting, connected, waiting, asking, failed, ended
function show(state, title, { cause = "", hint = "", action = null } = {}) {
  document.body.dataset.state = state;
  document.title = state === "connected" ? label : `${label}: ${title}`;
  at("title").textContent = title;
  say("cause", cause);
  say("hint", hint);
  at("brief").textContent = state === "connected" ? title : "";
  at("credentials").hidden = state !== "asking";
  at("end").hidden = state !== "connected";
  at("act").hidden = action === null;
  if (action !== null) {
    [at("act").textContent, at("act").onclick] = action;
    // The picture has gone, and with it what the keyboard was for.
    at("act").focus();
  }
}

function say(id, text) {
  at(id).textContent = text;
  at(id).hidden = text === "";
}

// -- getting there -----------------------------------------------------------------------------------------------------

async function begin() {
  show("starting", "Connecting to the server…");
  left = false;
  if (socketAddress(fields, "") === null) {
    return show("failed", "This address names no server.", { cause: "Host or port are wrong." });
  }
  try {
    RFB = (await import("./novnc/core/rfb.js")).default;
  } catch {
    // Before anything is reserved: a place must not go to a page that can show nothing.
    return show("failed", "The viewer is missing.", { cause: "noVNC is not installed on the server." });
  }
  if (!token && (await offers(fields.name))) await take();
  else await connect();
}

// Reserves a place, since the address brought none, or one that is used up.
async function take() {
  show("starting", `Reserving ${label}…`);
  const got = await reserve(fields.name);
  if (got.token) {
    token = got.token;
    await connect();
  } else if (got.retryMs && tries < MOST_TRIES) {
    tries += 1;
    const next = Date.now() + got.retryMs;
    const title = sentence(got.cause);
    const hint = `Next try at ${clockTime(next, Date.now())}, as long as this page is in front.`;
    show("waiting", title, { hint, action: ["Try now", now] });
    const timer = setTimeout(later, got.retryMs);
    function later() {
      // A place must not go to a page that nobody looks at.
      if (document.visibilityState === "visible") now();
      else document.addEventListener("visibilitychange", now, { once: true });
    }
    function now() {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", now);
      take();
    }
  } else {
    show("failed", `${label} cannot be opened.`, { cause: sentence(got.cause), action: ["Try again", take] });
  }
}

async function connect() {
  const address = socketAddress(fields, token);
  let shown = false;
  let refusal = "";
  const long = setTimeout(() => say("hint", "This takes longer than usual; it is still being started."), PATIENCE_MS);
  try {
    rfb = new RFB(at("screen"), address, fields.password ? { credentials: { password: fields.password } } : {});
  } catch (error) {
    clearTimeout(long);
    return show("failed", "The viewer does not work here.", { cause: sentence(error.message) });
  }
  rfb.scaleViewport = true;
  rfb.addEventListener("connect", () => {
    clearTimeout(long);
    shown = true;
    tries = 0;
    show("connected", "Connected");
    rfb.focus?.();
  });
  rfb.addEventListener("credentialsrequired", () => {
    clearTimeout(long);
    show("asking", `${label} asks for a password.`);
    at("password").focus();
  });
  rfb.addEventListener("securityfailure", ({ detail }) => {
    refusal = detail.reason || "It gave no reason.";
  });
  await new Promise((resolve) => rfb.addEventListener("disconnect", resolve));
  clearTimeout(long);
  rfb = null;
  at("screen").replaceChildren();
  await tell(shown, refusal);
}

// Says how it ended, and offers what may go on from there.
async function tell(shown, refusal) {
  let words = closeInWords(end, shown);
  if (left) words = { title: "You have ended the session.", cause: "", hint: "", again: false };
  if (refusal) {
    words = { title: `${label} refused the password.`, cause: sentence(refusal), hint: "", again: !token };
    fields.password = ""; // the next try asks
  }
  const state = shown ? "ended" : "failed";
  const action = words.again ? ["Connect again", begin] : null;
  show(state, words.title, { ...words, action });
  // One token is one session: for another one there must be another place.
  if (action !== null || !token || !(await offers(fields.name))) return;
  show(state, words.title, { ...words, action: ["Start a new session", anew] });
}

function anew() {
  token = "";
  begin();
}

// -- what the person does ----------------------------------------------------------------------------------------------

at("end").addEventListener("click", () => {
  left = true;
  rfb?.disconnect();
  if (token) release(token);
});

at("credentials").addEventListener("submit", (event) => {
  event.preventDefault();
  rfb?.sendCredentials({ password: at("password").value });
  at("password").value = "";
  show("starting", `Starting ${label}…`);
});

at("name").textContent = label;
if (fields.autoconnect) begin();
else show("idle", `${label} is not connected.`, { action: ["Connect", begin] });
