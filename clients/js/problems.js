// What a server says where it does not do what was asked (RFC 9457).

const LONGEST = 65536; // characters of a document that are read

export class Problem extends Error {
  constructor(status, document, retryAfter_s = null) {
    super(document.detail ?? document.title ?? `status ${status}`);
    this.name = "Problem";
    this.status = status;
    this.code = document.code ?? null;
    this.title = document.title ?? "";
    this.detail = document.detail ?? "";
    this.retryAfter_s = retryAfter_s;
    this.document = document;
  }
}

// No answer came at all; `cause` is what fetch said.
export class Unreachable extends Error {
  constructor(cause) {
    super("the server can't be reached", { cause });
    this.name = "Unreachable";
  }
}

// Makes a problem of an answer that is none of those that were hoped for.
export async function problemOf(response) {
  let document = {};
  if (/\bjson\b/i.test(response.headers.get("Content-Type") ?? "")) {
    const text = await response.text().catch(() => "");
    document = text.length <= LONGEST ? objectOf(text) : {};
  } else {
    response.body?.cancel().catch(() => {});
  }
  return new Problem(response.status, document, retryAfter(response, document));
}

function objectOf(text) {
  try {
    const found = JSON.parse(text);
    return found !== null && typeof found === "object" && !Array.isArray(found) ? found : {};
  } catch {
    return {};
  }
}

// Seconds, as the document has them or the header (RFC 9110 section 10.2.3).
function retryAfter(response, document) {
  if (Number.isFinite(document.retry_after_s)) return Math.max(0, document.retry_after_s);
  const said = response.headers.get("Retry-After");
  if (said === null) return null;
  if (/^\d{1,9}$/.test(said.trim())) return Number(said);
  const at = Date.parse(said);
  return Number.isNaN(at) ? null : Math.max(0, (at - Date.now()) / 1000);
}
