// Follows the feed of a real daemon until its input ends: follow.mjs URL TRANSPORT WS_FOLDER prints each thing that it
// is told as a line of JSON.

import { createRequire } from "node:module";
import { connect } from "../../../clients/js/index.js";

const [, , url, transport, folder] = process.argv;
const { WebSocket } = createRequire(folder)("ws");
const tell = (name) => (value) => process.stdout.write(`${JSON.stringify({ name, value })}\n`);

const feed = connect({ url, transport, WebSocket, times: { base_s: 0.05, cap_s: 0.5 } });
for (const name of ["open", "close", "gap", "error"]) feed.on(name, tell(name));
feed.on("session.*", tell("fact"));
process.stdin.resume();
process.stdin.on("end", () => feed.close());
