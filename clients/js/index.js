// sessiond in JavaScript, for browsers and for Node 20 or newer. docs/javascript.rst tells how it is used.

export { connect, Feed } from "./feed.js";
export { Ended, Problem, Sessions, Unreachable } from "./sessions.js";
export { embed } from "./embed.js";
export { watch } from "./watching.js";
