// When to connect again: full jitter, so that those whose connections broke together do not come back together.

export class Backoff {
  #random;
  #times;
  #failed = 0;
  #openedAt = null;

  // `random` gives numbers from 0 to 1; `times` has base_s, cap_s and steady_s.
  constructor(random, times) {
    this.#random = random;
    this.#times = times;
  }

  opened(now) {
    this.#openedAt = now;
  }

  // A connection has ended, or never came to be: gives the seconds to wait. `now` is in seconds; `least` is what a
  // server has asked for, on top of which the jitter comes.
  ended(now, least = 0) {
    if (this.#openedAt !== null && now - this.#openedAt >= this.#times.steady_s) this.#failed = 0;
    this.#openedAt = null;
    const { base_s, cap_s } = this.#times;
    const most = Math.min(cap_s, base_s * 2 ** Math.min(this.#failed, 32));
    this.#failed += 1;
    return least + this.#random() * most;
  }
}
