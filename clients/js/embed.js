// A session in a page: its own pages in a frame, or its desktop by noVNC.

import { Sessions } from "./sessions.js";

// `session`: what the creating answer said, or that of a ticket with the session's kind. Or `reserve`: {service,
// options, …} for a page that may call the daemon itself; then close() ends the session.
export async function embed(element, { url, token, session, reserve, novnc = "/novnc/", RFB, fetch, WebSocket } = {}) {
  if (Boolean(session) === Boolean(reserve)) throw new TypeError("session or reserve is needed, and not both");
  let release = async () => {};
  let shown = await session;
  if (reserve) {
    const sessions = new Sessions({ url, token, fetch });
    const { service, options, ...how } = typeof reserve === "string" ? { service: reserve } : reserve;
    shown = await sessions.reserve(service, options, { wait: "ready", ...how });
    release = () => sessions.release(shown.id, { keepalive: true });
  }
  try {
    const view = /^https?:/.test(shown.url ?? "") ? framed(element, shown) : await desktop(element, shown);
    return {
      session: shown,
      element: view.element,
      ended: view.ended,
      async close() {
        view.close();
        await release();
      },
    };
  } catch (error) {
    release().catch(() => {});
    throw error;
  }

  async function desktop(place, { kind = "rfb", tunnel_url }) {
    if (kind !== "rfb" || !tunnel_url) throw new TypeError(`a session of kind ${kind} has nothing to show by itself`);
    const Viewer = RFB ?? (await import(new URL("core/rfb.js", new URL(novnc, document.baseURI)).href)).default;
    const Socket = WebSocket ?? globalThis.WebSocket;
    // Made here and not by noVNC, which tells neither the code nor the reason of a close.
    const socket = new Socket(tunnel_url, ["binary"]);
    const ended = new Promise((resolve) => {
      socket.addEventListener("close", ({ code, reason }) => resolve({ code, reason }));
    });
    const rfb = new Viewer(place, socket);
    rfb.scaleViewport = true;
    return { element: place, ended, close: () => rfb.disconnect() };
  }
}

function framed(place, { url, id, service }) {
  const frame = document.createElement("iframe");
  frame.title = service ?? id ?? "session";
  frame.allow = "fullscreen; clipboard-read; clipboard-write";
  frame.referrerPolicy = "no-referrer"; // the first address holds the secret
  frame.style.cssText = "width: 100%; height: 100%; border: 0";
  frame.src = url;
  place.replaceChildren(frame);
  let end;
  const ended = new Promise((resolve) => {
    end = resolve;
  });
  const close = () => {
    frame.remove();
    end({ code: 1000, reason: "closed here" });
  };
  return { element: frame, ended, close };
}
