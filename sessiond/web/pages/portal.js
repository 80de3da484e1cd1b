// The page: lists the services, opens one in the page, and gives it back when it is no longer wanted.

import { Api } from "./api.js";
import { Cards } from "./cards.js";
import { Viewer, loadViewer } from "./viewer.js";
import { closeInWords, problemInWords, progressInWords, reasonInWords } from "./words.js";

const REFRESH_MS = 5000;
const POLL_MS = 500;
const REASON_POLLS = 20; // the record names the reason once the program is really gone
const BROKEN = [1006, 4008, 4408]; // closes that only the way between is to blame for: worth another try
const RECONNECTS = 3;
const STEADY_MS = 30000; // after a connection this long, reconnecting starts to count anew

const byId = (id) => document.getElementById(id);
const api = new Api();
const viewer = new Viewer(byId("screen"));
const cards = new Cards(byId("cards"), openSession);

// The session that this page is opening or showing: {service, title, id, abort, givenUp}; null while the list is shown.
let current = null;

function showStatus(state, text) {
  const status = byId("status");
  status.dataset.state = state;
  status.textContent = text;
  byId("screen").dataset.state = state;
  byId("full-screen").hidden = state !== "connected" || !document.fullscreenEnabled;
}

function showView(view) {
  document.body.dataset.view = view;
  byId("services").hidden = view !== "services";
  byId("session").hidden = view !== "session";
  byId("end").hidden = view !== "session";
}

// `log` is the last lines of a program that could not be started; they stay folded.
function showNotice(state, text, log = []) {
  const notice = byId("notice");
  notice.hidden = !text;
  notice.dataset.state = state;
  notice.textContent = text;
  if (!log.length) return;
  const [details, summary, lines] = ["details", "summary", "pre"].map((tag) => document.createElement(tag));
  summary.textContent = "What the program said";
  lines.textContent = log.join("\n");
  details.append(summary, lines);
  notice.append(details);
}

async function refresh() {
  if (current || document.hidden) return;
  try {
    const services = await api.services();
    cards.show(services);
    byId("access").hidden = true;
    byId("hint").hidden = services.length > 0;
    byId("hint").textContent = "There is no service that you may open.";
  } catch (error) {
    showListProblem(error);
  }
}

function showListProblem(error) {
  const hint = byId("hint");
  hint.hidden = false;
  const unauthorized = error.status === 401;
  hint.textContent = unauthorized ? "This server asks who you are." : problemInWords(error);
  const form = byId("access");
  if (unauthorized && form.hidden) {
    cards.clear();
    form.hidden = false;
    byId("api-token").focus();
  } else if (unauthorized && form.dataset.tried) {
    hint.textContent = "The server does not know this token.";
  }
}

async function openSession(service, options) {
  if (current) return;
  const session = { service: service.name, title: service.title ?? service.name, id: null, abort: new AbortController(), givenUp: false };
  current = session;
  showNotice("", "");
  showView("session");
  showStatus("starting", progressInWords(null, session.title));
  document.title = `${session.title} – sessiond`;
  try {
    await loadViewer();
    const record = await api.create(service.name, options, session.abort.signal);
    session.id = record.id;
    const last = await started(session, record);
    if (last.state === "stopping" || last.state === "ended") {
      finish(session, "failed", (await reason(session)) ?? "The session has ended.");
    } else {
      await show(session);
    }
  } catch (error) {
    if (session.givenUp) return;
    const why = error.code === "not-accepting" && session.id ? await reason(session) : null; // it ended meanwhile
    finish(session, "failed", why ?? problemInWords(error), error.log);
    if (session.id) api.endBehind(session.id);
  }
}

// Waits until a session is ready, or will never be.
async function started(session, record) {
  while (["queued", "reserved", "launching"].includes(record.state)) {
    showStatus("starting", progressInWords(record, session.title));
    await pause(POLL_MS, session.abort.signal);
    record = await api.session(session.id, session.abort.signal);
  }
  return record;
}

// Shows the session until it ends. A tunnel that breaks while the session lives on is opened again.
async function show(session) {
  for (let tries = 0; ; tries += 1) {
    let since = Infinity;
    const url = await api.tunnelUrl(session.id, session.abort.signal);
    const end = await viewer.show(url, () => {
      since = performance.now();
      showStatus("connected", `${session.title}: connected`);
    });
    if (session.givenUp) return;
    if (performance.now() - since > STEADY_MS) tries = 0;
    if (!BROKEN.includes(end.code) || tries >= RECONNECTS || !(await lives(session))) {
      const why = (await reason(session)) ?? closeInWords(end);
      finish(session, since === Infinity ? "failed" : "ended", why);
      api.endBehind(session.id); // harmless where it has ended
      return;
    }
    showStatus("starting", `${session.title}: the connection broke, connecting again…`);
    await pause(POLL_MS * 2 ** tries, session.abort.signal);
  }
}

async function lives(session) {
  const record = await api.session(session.id, session.abort.signal);
  return record.state === "ready" || record.state === "connected";
}

// Why the session ended; null where its record does not say so within some seconds after the tunnel closed.
async function reason(session) {
  for (let poll = 0; poll < REASON_POLLS; poll += 1) {
    const record = await api.session(session.id, session.abort.signal).catch(() => null);
    if (record === null || session.givenUp) break;
    const words = reasonInWords(record);
    if (words) return words;
    await pause(POLL_MS, session.abort.signal);
  }
  return null;
}

function finish(session, state, text, log) {
  if (current !== session) return;
  current = null;
  document.title = "sessiond";
  if (document.fullscreenElement) document.exitFullscreen();
  showView("services");
  showStatus(state, state === "failed" ? `${session.title}: failed` : `${session.title}: ended`);
  showNotice(state, text, log);
  byId(`open-${session.service}`)?.focus({ preventScroll: true });
  refresh();
}

async function endSession() {
  const session = current;
  if (!session || session.givenUp) return;
  session.givenUp = true;
  session.abort.abort(); // a request that still waits for the session to be ready gives it up thereby
  viewer.close();
  try {
    if (session.id) await api.end(session.id);
    finish(session, "ended", "You ended the session.");
  } catch (error) {
    finish(session, "failed", `The session may still be running. ${problemInWords(error)}`);
  }
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}

byId("end").addEventListener("click", endSession);
byId("full-screen").addEventListener("click", async () => {
  await byId("session").requestFullscreen().catch(() => {});
  viewer.focus();
});
byId("access").addEventListener("submit", (event) => {
  event.preventDefault();
  event.target.dataset.tried = "yes";
  api.useToken(byId("api-token").value.trim());
  refresh();
});
addEventListener("pagehide", () => {
  const session = current;
  if (!session) return;
  session.givenUp = true;
  session.abort.abort();
  if (session.id) api.endBehind(session.id);
});
addEventListener("pageshow", (event) => {
  if (event.persisted && current) finish(current, "ended", "The session ended when you left the page.");
});
document.addEventListener("visibilitychange", refresh);
setInterval(refresh, REFRESH_MS);
showStatus("idle", "");
refresh();
