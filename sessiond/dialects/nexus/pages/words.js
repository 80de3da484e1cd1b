// How a session ended or why there is none, in words for the person in front of the page.

// By the close code of the WebSocket. What could be connected before is "ended"; the rest has "failed".
// `again` is for what another try with the same address may mend, `all` for what the server's own text adds nothing to.
const CLOSES = {
  1000: { title: "The program has ended.", all: true },
  1001: { title: "The server is stopping.", again: true, all: true },
  1005: { title: "The viewer has closed the connection.", again: true },
  1006: { title: "The connection was lost.", again: true },
  1011: { title: "Something failed inside the server." },
  4400: { title: "This address names no session.", all: true },
  4404: { title: "The session is no longer open.", all: true },
  4408: { title: "The connection was silent for too long.", again: true },
  4409: { title: "The session is open somewhere else.", again: true, all: true },
  4410: { title: "The session was released.", all: true },
  4500: { title: "The program has ended." },
  4502: { title: "The program cannot be reached." },
  4503: { title: "The program could not be started." },
  4504: { title: "The program took too long to start." },
};

const HINTS = {
  4400: "Ask the portal for a new session.",
  4404: "The reservation has run out, was released, or its connection has ended.",
  4409: "Close it there, or ask the portal for a new session.",
};

// Gives {title, cause, hint, again} for a close; `cause` is the server's own text where it says more than the title.
export function closeInWords({ code, reason }, shown) {
  const known = CLOSES[code] ?? { title: `The connection was closed (code ${code}).`, again: true };
  const title = code === 1006 && !shown ? "The server cannot be reached." : known.title;
  return { title, cause: known.all ? "" : sentence(reason), hint: HINTS[code] ?? "", again: known.again ?? false };
}

// Gives a cause as a sentence: first letter large, a full stop at its end.
export function sentence(text) {
  const trimmed = text.trim();
  if (!trimmed) return "";
  const begun = trimmed[0].toUpperCase() + trimmed.slice(1);
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}

// The clock's time, with seconds where minutes tell nothing.
export function clockTime(ms, now) {
  const seconds = ms - now < 120000 ? { second: "2-digit" } : {};
  return new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", ...seconds });
}
