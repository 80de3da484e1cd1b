// The calls of /api/v1 that the page makes. Addresses are relative, so that the page works below any path.

const BASE = new URL("api/v1/", document.baseURI);

// An answer that is not a success: a problem document, or what came in its place.
export class Problem extends Error {
  constructor(status, document) {
    super(document.detail ?? document.title ?? `status ${status}`);
    this.name = "Problem";
    this.status = status;
    this.code = document.code ?? null;
    this.title = document.title ?? "";
    this.detail = document.detail ?? "";
    this.log = Array.isArray(document.log) ? document.log : [];
    this.retryAfter = document.retry_after_s ?? null;
  }
}

export class Api {
  #token = null; // in memory only: neither storage nor address ever holds it

  useToken(token) {
    this.#token = token;
  }

  services() {
    return this.#call("GET", "services").then((answer) => answer.services);
  }

  create(service, options, signal) {
    return this.#call("POST", "sessions", { signal, body: { service, options, wait: "ready" } });
  }

  session(id, signal) {
    return this.#call("GET", sessionPath(id), { signal });
  }

  // A URL that opens the session's tunnel once: addresses end up in histories and logs, and the token never should.
  tunnelUrl(id, signal) {
    return this.#call("POST", `${sessionPath(id)}/tickets`, { signal }).then((answer) => answer.tunnel_url);
  }

  end(id) {
    return this.#call("DELETE", sessionPath(id));
  }

  // For a page that is going away: nobody is left to hear the answer.
  endBehind(id) {
    const request = { method: "DELETE", keepalive: true, headers: this.#headers() };
    fetch(new URL(sessionPath(id), BASE), request).catch(() => {});
  }

  #headers() {
    return this.#token ? { Authorization: `Bearer ${this.#token}` } : {};
  }

  async #call(method, path, { signal, body } = {}) {
    const headers = { Accept: "application/json, application/problem+json", ...this.#headers() };
    const request = { method, headers, signal, cache: "no-store" };
    if (body !== undefined) {
      headers["Content-Type"] = "application/json";
      request.body = JSON.stringify(body);
    }
    let response;
    try {
      response = await fetch(new URL(path, BASE), request);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Error("The server cannot be reached.");
    }
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) throw new Problem(response.status, answer);
    return answer;
  }
}

function sessionPath(id) {
  return `sessions/${encodeURIComponent(id)}`;
}
