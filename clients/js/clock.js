// Time in seconds; tests give another.

const LONGEST_MS = 2 ** 31 - 1; // what setTimeout can take

export const clock = {
  now: () => performance.now() / 1000,
  // Calls later; gives a function that cancels.
  after(seconds, call) {
    const timer = setTimeout(call, Math.min(seconds * 1000, LONGEST_MS));
    return () => clearTimeout(timer);
  },
};
