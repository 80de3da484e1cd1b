// noVNC in the page. It is loaded on first use: the list of services works without it.

const LARGEST_SCALE = 1.5; // a small screen blown up further is only blurred
const CONNECT_LIMIT_MS = 30000;

export async function loadViewer() {
  try {
    return (await import("../novnc/core/rfb.js")).default;
  } catch {
    throw new Error("The viewer (noVNC) is not installed on the server.");
  }
}

export class Viewer {
  #screen;
  #rfb = null;

  constructor(screen) {
    this.#screen = screen;
  }

  // Shows what is behind the tunnel until either side closes it.
  // Gives {connected, code, reason}: whether a picture came at all, and the close that the tunnel's WebSocket saw.
  async show(url, onConnect) {
    const RFB = await loadViewer();
    const address = new URL(url, document.baseURI);
    address.protocol = address.protocol.replace(/^http/, "ws");
    // The WebSocket is made here and not by noVNC, which does not pass on the code and the reason of a close.
    const socket = new WebSocket(address, ["binary"]);
    const end = { connected: false, code: 1006, reason: "" };
    socket.addEventListener("close", ({ code, reason }) => {
      end.code = code;
      end.reason ||= reason;
    });
    const rfb = new RFB(this.#screen, socket);
    this.#rfb = rfb;
    rfb.scaleViewport = true;
    rfb.showDotCursor = true;
    rfb.background = "transparent";
    const giveUp = (why) => {
      end.reason = why;
      end.code = 1000;
      rfb.disconnect();
    };
    const late = setTimeout(giveUp, CONNECT_LIMIT_MS, "The program did not answer in time");
    rfb.addEventListener("connect", () => {
      clearTimeout(late);
      end.connected = true;
      this.#limitSize();
      rfb.focus();
      onConnect();
    });
    rfb.addEventListener("credentialsrequired", () => giveUp("The program asks for a password"));
    await new Promise((resolve) => rfb.addEventListener("disconnect", resolve));
    clearTimeout(late);
    this.#rfb = null;
    this.#screen.replaceChildren();
    this.#screen.removeAttribute("style");
    return end;
  }

  focus() {
    this.#rfb?.focus();
  }

  close() {
    this.#rfb?.disconnect();
  }

  #limitSize() {
    const canvas = this.#screen.querySelector("canvas");
    this.#screen.style.maxWidth = `${canvas.width * LARGEST_SCALE}px`;
    this.#screen.style.maxHeight = `${canvas.height * LARGEST_SCALE}px`;
  }
}
