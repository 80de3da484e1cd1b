// What a browser gives wslink's clients and Node does not. Takes the folder in which npm has installed `ws`.
"use strict";

module.exports = (folder) => {
  const { WebSocket: Inner } = require(require.resolve("ws", { paths: [folder] }));
  // What a browser gives the client and Node does not.
  class BrowserSocket {
    constructor(address, protocols) {
      this.inner = new Inner(address, protocols);
      this.inner.binaryType = "nodebuffer";
      this.inner.on("open", () => this.onopen && this.onopen({}));
      this.inner.on("message", (data, isBinary) => {
        const held = isBinary ? new Blob([data]) : data.toString("utf8");
        if (this.onmessage) this.onmessage({ data: held });
      });
      this.inner.on("close", (code, reason) => this.onclose && this.onclose({ code, reason: reason.toString() }));
      this.inner.on("error", (error) => this.onerror && this.onerror(error));
    }
    get readyState() { return this.inner.readyState; }
    // In the order of the calls, as browsers do, though a Blob is read in its own time.
    send(data) {
      this.sent = (this.sent || Promise.resolve()).then(async () => {
        this.inner.send(data instanceof Blob ? Buffer.from(await data.arrayBuffer()) : data);
      });
    }
    close() {
      this.sent = (this.sent || Promise.resolve()).then(() => this.inner.close());
    }
  }
  for (const state of ["CONNECTING", "OPEN", "CLOSING", "CLOSED"]) BrowserSocket[state] = Inner[state];

  // Every exchange, since some clients fail at any answer, after it was there.
  const exchanges = [];

  class BrowserRequest {
    open(method, url) {
      Object.assign(this, { method, url, headers: {}, status: 0, response: null, _type: "" });
    }
    get responseType() { return this._type; }
    set responseType(kind) { this._type = kind; }
    setRequestHeader(name, value) { this.headers[name] = value; }
    // A browser names the type of a text that is sent.
    send(body) {
      const headers = body === undefined ? this.headers : { "Content-Type": "text/plain;charset=UTF-8", ...this.headers };
      fetch(this.url, { method: this.method, body, headers }).then(
        async (answer) => {
          const text = await answer.text();
          this.status = answer.status;
          try { this.response = this._type === "json" ? JSON.parse(text) : text; } catch { this.response = null; }
          exchanges.push({ method: this.method, url: new URL(this.url).pathname, status: this.status, body: this.response });
          if (this.onload) this.onload({});
        },
        (error) => { if (this.onerror) this.onerror(error); },
      );
    }
  }

  // Gives Node what a page has that was loaded from an address.
  function browse(base) {
    const page = new URL(base);
    Object.assign(globalThis, { self: globalThis, window: globalThis, WebSocket: BrowserSocket, XMLHttpRequest: BrowserRequest });
    const { protocol, hostname, port, host, pathname } = page;
    globalThis.location = { protocol, hostname, port, host, pathname };
    globalThis.document = { baseURI: base };
  }
  return { browse, exchanges };
};
