// The server's REST interface, as far as it lets a page without a security token.

const LIMIT_MS = 15000;
const USUAL_WAIT_S = 30;

// Reserves a place. Gives {token}, or {cause, retryMs} where there is none, retryMs only where all places are taken.
export async function reserve(name) {
  let answer;
  try {
    answer = await get(`/v1/reserve/${encodeURIComponent(name)}`);
  } catch {
    return { cause: "The server does not answer.", retryMs: 0 };
  }
  const said = await answer.json().catch(() => ({}));
  if (answer.ok && said.token) return { token: said.token };
  const wait = Number(answer.headers.get("Retry-After"));
  // The reason phrase is for people; HTTP/2 in front of the server has none, so the body repeats it.
  const cause = said.message || answer.statusText || `The server answered with status ${answer.status}.`;
  return { cause, retryMs: said.error === "no_free_slot" ? (wait || USUAL_WAIT_S) * 1000 : 0 };
}

// Says whether this page may reserve a service: whether there is one of this name, and the server does not keep its
// services to those who know the security token.
export async function offers(name) {
  if (!name) return false;
  try {
    const answer = await get("/v1/status");
    return answer.ok && (await answer.json()).some((one) => one.name === name);
  } catch {
    return false;
  }
}

// Ends a session; the token is enough. What comes of it is of no use to a page that is done with it.
export function release(token) {
  fetch(`/v1/release/${encodeURIComponent(token)}`, { cache: "no-store", keepalive: true }).catch(() => {});
}

function get(path) {
  return fetch(path, { cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(LIMIT_MS) });
}
