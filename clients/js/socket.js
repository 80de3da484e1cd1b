// A WebSocket as a line has it: text in and out, and one end.

const BROKEN = 1006; // "no close frame came" (RFC 6455 section 7.4.1)

// Opens one. `ears` as those of a stream; may throw what the constructor does.
export function openSocket({ address, WebSocket, most }, ears) {
  const socket = new WebSocket(address);
  let over = false;
  let isOpen = false;
  const end = (found) => {
    if (over) return;
    over = true;
    ears.ended(found);
  };
  socket.addEventListener("open", () => {
    isOpen = true;
    if (!over) ears.alive();
  });
  socket.addEventListener("message", ({ data }) => {
    if (over) return;
    if (typeof data !== "string" || data.length > most) {
      socket.close(4000, "not an event");
      return end({ code: null, reason: "", error: new RangeError("a message is no event"), reached: true });
    }
    ears.alive();
    ears.text(data);
  });
  // Says nothing that the close behind it does not, but Node's ws throws what nobody listens to.
  socket.addEventListener("error", () => {});
  socket.addEventListener("close", ({ code, reason }) => {
    end({ code, reason: String(reason ?? ""), error: null, reached: isOpen && code !== BROKEN });
  });
  return {
    get bufferedAmount() {
      return socket.bufferedAmount ?? 0;
    },
    send(text) {
      if (over || !isOpen) return false;
      socket.send(text);
      return true;
    },
    // `hard` for a peer that answers nothing: Node's ws would wait for its farewell.
    close(hard) {
      over = true;
      if (hard && socket.terminate) socket.terminate();
      else socket.close(1000);
    },
  };
}
