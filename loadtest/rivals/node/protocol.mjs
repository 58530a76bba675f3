// The verbs that every contestant's program knows; the same as in ../programs/protocol.py.
//
//   install | enqueue JOBS BATCH | trickle RATE SECONDS | work
//
// enqueue connects, says "ready", waits for a line, enqueues and says "done".

import { appendFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

export const databaseUrl = process.env.DATABASE_URL;
const waitedPath = process.env.RIVALS_WAITED;

// The wall clock, finer than the milliseconds of Date.now().
const now = () => performance.timeOrigin + performance.now();

// What a job does: nothing. The trickle's jobs also note how many milliseconds they waited.
export function noop(payload) {
  if (payload.sent !== undefined) appendFileSync(waitedPath, `${now() - payload.sent}\n`);
}

export async function run(program) {
  const [verb, first, second] = process.argv.slice(2);
  await verbs[verb](program, Number(first), Number(second));
  if (verb !== "work") process.exit(0);
}

const verbs = {
  install: (program) => program.install(),

  async enqueue(program, jobs, batch) {
    await program.connect();
    console.log("ready");
    const lines = createInterface({ input: process.stdin });
    await lines[Symbol.asyncIterator]().next();
    for (let done = 0; done < jobs; done += batch) {
      const size = Math.min(batch, jobs - done);
      await program.enqueue(Array.from({ length: size }, (_, number) => ({ order: 1_000_000 + number })));
    }
    console.log("done");
  },

  async trickle(program, rate, seconds) {
    await program.connect();
    const started = now();
    let due = started;
    while (due < started + seconds * 1000) {
      due += (-Math.log(1 - Math.random()) / rate) * 1000;
      await sleep(Math.max(0, due - now()));
      await program.enqueueOne({ order: 1_000_000, sent: now() });
    }
  },

  async work(program) {
    const stop = await program.work();
    for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => stop().then(() => process.exit(0)));
  },
};
