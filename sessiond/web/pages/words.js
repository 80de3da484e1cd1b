// What codes of the API mean, in words for the person in front of the page.

const REASONS = {
  "released": "The session was ended.",
  "caller-gone": "The session was given up before it was ready.",
  "finished": "The program has finished.",
  "exited": "The program ended with an error.",
  "crashed": "The program crashed.",
  "launch-failed": "The program could not be started.",
  "no-port": "The server has no free port for another program.",
  "launch-timeout": "The program took too long to start.",
  "queue-timeout": "No place came free in time.",
  "reservation-expired": "The place was held for too long without being used.",
  "setup-timeout": "The program was not set up in time.",
  "unused": "Nobody connected in time, so the place was given back.",
  "lingered": "The connection was gone for too long, so the place was given back.",
  "idle": "Nothing happened for a long time, so the session was ended.",
  "lifetime": "The session has reached its time limit.",
  "heartbeat-lost": "The program no longer answered.",
  "lost": "The program was lost when the server started anew.",
  "shutdown": "The server is shutting down.",
};

// By the stable code of a problem document; a code that is not here is told by the server's own title.
const PROBLEMS = {
  "unauthenticated": "The server wants an API token, or does not know this one.",
  "expired": "The token is no longer valid.",
  "forbidden": "You may not open this service.",
  "unknown-service": "The server no longer offers this service.",
  "unknown-session": "The session is no longer known.",
  "already-connected": "The session is in use somewhere else.",
  "quota": "You have as many sessions as you may have.",
  "full": "All places are taken.",
  "launch-failed": "The program could not be started.",
  "launch-timeout": "The program took too long to start.",
  "unreachable": "The program cannot be reached.",
  "suspended": "This service has failed several times and is paused for a while.",
  "cannot-start": "This service cannot be started as it is set up.",
  "store-unavailable": "The server cannot record sessions at the moment.",
  "shutting-down": "The server is shutting down.",
  "internal": "Something failed inside the server.",
};

const WORTH_A_DETAIL = ["bad-option", "bad-request", "cannot-start", "launch-failed"];

const STATES = {
  queued: "Waiting for a free place",
  reserved: "A place is reserved",
  launching: "Starting",
  ready: "Connecting",
  connected: "Connecting",
};

// Why a session ended, from its record; null as long as the record does not say.
export function reasonInWords(session) {
  const reason = session?.reason;
  if (!reason) return null;
  if (reason === "exited" && session.exit?.code != null) return `The program ended with exit code ${session.exit.code}.`;
  return REASONS[reason] ?? `The session has ended (${reason}).`;
}

// What went wrong with a request: a Problem of api.js, or any other error.
export function problemInWords(error) {
  if (error.name !== "Problem") return error.message || "Something went wrong in this page.";
  const known = PROBLEMS[error.code] ?? (sentence(error.title) || `The server answered with status ${error.status}.`);
  const detail = WORTH_A_DETAIL.includes(error.code) ? ` ${sentence(error.detail)}` : "";
  const later = error.retryAfter ? ` Try again in ${seconds(error.retryAfter)}.` : "";
  return known + detail.trimEnd() + later;
}

// Why a tunnel closed, where nothing better is known.
export function closeInWords({ code, reason }) {
  return sentence(reason) || `The connection was closed (code ${code}).`;
}

// What is going on while a session starts.
export function progressInWords(session, title) {
  const doing = STATES[session?.state] ?? "Starting";
  const place = session?.state === "queued" && session.position ? `, number ${session.position} in line` : "";
  return `${title}: ${doing.toLowerCase()}${place}…`;
}

function sentence(text) {
  if (!text) return "";
  const start = text[0].toUpperCase() + text.slice(1);
  return /[.!?]$/.test(start) ? start : `${start}.`;
}

function seconds(number) {
  const whole = Math.max(1, Math.ceil(number));
  return whole === 1 ? "a second" : `${whole} seconds`;
}
