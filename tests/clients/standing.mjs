// What the tests of the client share: a world of the stand-in for each, and ways to wait.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { connect } from "../../clients/js/index.js";

export const STANDIN = process.env.STANDIN;
export const { WebSocket } = createRequire(process.env.WS_FOLDER)("ws");
export const QUICK = { base_s: 0.01, cap_s: 0.05, steady_s: 60, open_s: 20, quiet_s: 60, again_s: 600 };
const LIMIT_MS = 30000; // reached only where something hangs

let worlds = 0;

export class World {
  constructor() {
    worlds += 1;
    this.url = `${STANDIN}w/${process.pid}-${worlds}/`;
  }

  async do(what, order = {}) {
    const answer = await fetch(`${this.url}control`, { method: "POST", body: JSON.stringify({ do: what, ...order }) });
    assert.equal(answer.status, 200, await answer.clone().text());
    return answer.json();
  }

  async told() {
    return (await fetch(`${this.url}control`)).json();
  }

  facts(count, fact = {}, more = {}) {
    return this.do("facts", { facts: Array.from({ length: count }, () => fact), ...more });
  }

  // Waits until what the stand-in tells is so.
  async until(look) {
    const begun = Date.now();
    for (;;) {
      const told = await this.told();
      if (look(told)) return told;
      assert.ok(Date.now() - begun < LIMIT_MS, `not in time: ${look}\n${JSON.stringify(told)}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

// A feed, all that it told, and a way to wait for what it will tell.
export class Heard {
  constructor(test, options) {
    this.all = [];
    this.wanted = [];
    this.feed = connect({ WebSocket, times: QUICK, ...options });
    for (const name of ["open", "close", "gap", "error", "subscribed", "unsubscribed", "refused", "*"]) {
      this.feed.on(name, (value) => this.note(name, value));
    }
    test.after(() => this.feed.close());
  }

  note(name, value) {
    this.all.push([name, value]);
    this.wanted = this.wanted.filter((look) => !look());
  }

  of(name) {
    return this.all.filter(([found]) => found === name).map(([, value]) => value);
  }

  get offsets() {
    return this.of("*").map((event) => event.offset);
  }

  // Waits until so many of this name were told in all, and gives the last of them.
  until(name, count = 1) {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        reject(new Error(`${count} ${name} not in time: ${JSON.stringify(this.all)} ${this.of("error").join("; ")}`));
      }, LIMIT_MS);
      const look = () => {
        const found = this.of(name);
        if (found.length < count) return false;
        clearTimeout(late);
        resolve(found[count - 1]);
        return true;
      };
      if (!look()) this.wanted.push(look);
    });
  }
}
