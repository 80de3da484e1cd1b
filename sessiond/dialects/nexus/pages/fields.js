// What the page's address says: exactly the fields that the websocketserver's manual names.

const TRUE = ["true", "1", "yes", "on"];

// The token may stand in a field of its own ("path=websockify&token=T"), or in the path's own query, encoded or not.
export function readFields(address) {
  const { hostname, port, protocol, search } = new URL(address);
  const fields = new URLSearchParams(search);
  const [way, query = ""] = split(fields.get("path") ?? "websockify", "?");
  const inPath = new URLSearchParams(query);
  const token = inPath.get("token") || fields.get("token") || "";
  inPath.delete("token");
  const host = fields.get("host");
  return {
    autoconnect: TRUE.includes((fields.get("autoconnect") ?? "").toLowerCase()),
    name: (fields.get("session_name") ?? "").trim(),
    password: fields.get("password") ?? "",
    token,
    secure: protocol === "https:",
    host: host || hostname,
    // Another host's port is not known here; without one it is that of the scheme.
    port: fields.get("port") || (host ? "" : port),
    path: way.replace(/^\/+/, ""),
    rest: inPath.toString(),
  };
}

// Gives null where host, port and path are no address.
export function socketAddress({ secure, host, port, path, rest }, token) {
  if (/[/\\?#@]/.test(host + port)) return null; // or a path would go on in what is a host
  const bare = host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
  const query = [rest, token && `token=${encodeURIComponent(token)}`].filter(Boolean).join("&");
  const text = `${secure ? "wss" : "ws"}://${bare}${port && `:${port}`}/${path}${query && `?${query}`}`;
  try {
    return new URL(text).href;
  } catch {
    return null;
  }
}

function split(text, mark) {
  const at = text.indexOf(mark);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
