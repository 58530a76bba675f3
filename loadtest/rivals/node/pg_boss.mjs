// pg-boss with batches of 1,000 and two workers a process. batchSize makes it fast, and so does
// burstWhenBatchFull: without it a worker that found a full batch sleeps before it fetches the next.
// useListenNotify and the queue's notify are for the latency; completed jobs stay in the table.

import { PgBoss } from "pg-boss";
import { databaseUrl, noop, run } from "./protocol.mjs";

const QUEUE = "noop";
let boss;

async function start(options) {
  boss = new PgBoss({ connectionString: databaseUrl, ...options });
  boss.on("error", console.error);
  await boss.start();
}

await run({
  async install() {
    await start({});
    await boss.createQueue(QUEUE, { notify: true });
    await boss.stop();
  },
  connect: () => start({ supervise: false, schedule: false }),
  enqueue: (payloads) => boss.insert(QUEUE, payloads.map((data) => ({ data }))),
  enqueueOne: (payload) => boss.send(QUEUE, payload),
  async cycle(payloads) {
    await this.enqueue(payloads);
    const jobs = await boss.fetch(QUEUE, { batchSize: payloads.length });
    if (jobs.length) await boss.complete(QUEUE, jobs.map((job) => job.id));
    return jobs.length;
  },
  async work() {
    await start({ useListenNotify: true, schedule: false });
    const options = { batchSize: 1000, localConcurrency: 2, burstWhenBatchFull: true };
    await boss.work(QUEUE, options, async (jobs) => {
      for (const job of jobs) noop(job.data);
    });
    return () => boss.stop({ graceful: false });
  },
});
