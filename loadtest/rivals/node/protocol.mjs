// The verbs that every contestant's program knows; the same as in ../programs/protocol.py.
//
//   install | enqueue JOBS BATCH | trickle RATE SECONDS | work | loop BATCH SECONDS SLICE
//
// enqueue connects, says "ready", waits for a line, enqueues and says "done". loop does likewise: it enqueues,
// claims and finishes a batch again and again, and at the end says how many in each slice of time. trickle says
// at the end how many it has enqueued.

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
  const [verb, ...numbers] = process.argv.slice(2);
  await verbs[verb](program, ...numbers.map(Number));
  if (verb !== "work") process.exit(0);
}

const payloads = (size) => Array.from({ length: size }, (_, number) => ({ order: 1_000_000 + number }));

async function beReady() {
  console.log("ready");
  await createInterface({ input: process.stdin })[Symbol.asyncIterator]().next();
}

const verbs = {
  install: (program) => program.install(),

  async enqueue(program, jobs, batch) {
    await program.connect();
    await beReady();
    for (let done = 0; done < jobs; done += batch) await program.enqueue(payloads(Math.min(batch, jobs - done)));
    console.log("done");
  },

  async trickle(program, rate, seconds) {
    await program.connect();
    const started = now();
    let due = started;
    let sent = 0;
    while (due < started + seconds * 1000) {
      due += (-Math.log(1 - Math.random()) / rate) * 1000;
      await sleep(Math.max(0, due - now()));
      await program.enqueueOne({ order: 1_000_000, sent: now() });
      sent += 1;
    }
    console.log(sent);
  },

  async loop(program, batch, seconds, slice) {
    await program.connect();
    const done = Array(Math.round(seconds / slice)).fill(0);
    await beReady();
    const started = now();
    for (;;) {
      const finished = await program.cycle(payloads(batch));
      const number = Math.floor((now() - started) / 1000 / slice);
      if (number >= done.length) break;
      done[number] += finished;
    }
    console.log(JSON.stringify(done));
  },

  async work(program) {
    const stop = await program.work();
    for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => stop().then(() => process.exit(0)));
  },
};
