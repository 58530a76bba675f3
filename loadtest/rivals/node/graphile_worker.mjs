// graphile-worker in the configuration of its page on performance, which is the one that it publishes its
// figures for: the local queue fetches 500 jobs at once, and completions go out in batches. That is what makes
// it fast: job by job it is more than twenty times slower. Notifications are on by default.

import { Logger, makeWorkerUtils, run as runWorker } from "graphile-worker";
import { databaseUrl, noop, run } from "./protocol.mjs";

const logger = new Logger(() => () => {});
let utils;

await run({
  async install() {
    await (await makeWorkerUtils({ connectionString: databaseUrl, logger })).migrate();
  },
  async connect() {
    utils = await makeWorkerUtils({ connectionString: databaseUrl, logger });
    await utils.withPgClient((client) => client.query("select"));
  },
  enqueue: (payloads) => utils.addJobs(payloads.map((payload) => ({ identifier: "noop", payload }))),
  enqueueOne: (payload) => utils.addJob("noop", payload),
  async work() {
    const runner = await runWorker({
      taskList: { noop },
      noHandleSignals: true,
      preset: {
        worker: {
          connectionString: databaseUrl,
          concurrentJobs: 24,
          maxPoolSize: 25,
          localQueue: { size: 500 },
          completeJobBatchDelay: 0,
          failJobBatchDelay: 0,
          logger,
        },
      },
    });
    return () => runner.stop();
  },
});
