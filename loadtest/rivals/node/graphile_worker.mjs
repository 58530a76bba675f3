// graphile-worker in the configuration of its page on performance, which is the one that it publishes its
// figures for: the local queue fetches 500 jobs at once, and completions go out in batches. That is what makes
// it fast: job by job it is more than twenty times slower. Notifications are on by default.

import { Logger, makeWorkerUtils, run as runWorker } from "graphile-worker";
import { databaseUrl, noop, run } from "./protocol.mjs";

// add_jobs() as the documentation shows it for SQL: half as fast again as the library's addJobs(), which also
// brings every job back.
const ENQUEUE = `
  select count(*) from graphile_worker.add_jobs(array(
    select row('noop', p, null, null, null, null, null, null)::graphile_worker.job_spec
    from json_array_elements($1::json) p))`;
// What its local queue and its batches of completions send (dist/sql/getJobs.js and completeJobs.js), for jobs
// without a queue name.
const CLAIM = `
  with j_raw as (
    select jobs.job_queue_id, jobs.priority, jobs.run_at, jobs.id
    from graphile_worker._private_jobs as jobs
    where jobs.is_available = true and run_at <= now() and task_id = any ($2::int[])
      and (jobs.job_queue_id is null or jobs.job_queue_id in (
        select id from graphile_worker._private_job_queues as job_queues
        where job_queues.is_available = true for update skip locked))
    order by priority asc, run_at asc
    limit $3
    for update skip locked
  ), j as (
    select distinct on (job_queue_id, case when job_queue_id is null then id end)
      job_queue_id, priority, run_at, id
    from j_raw
    order by job_queue_id, case when job_queue_id is null then id end, priority asc, run_at asc
  ), q as (
    update graphile_worker._private_job_queues as job_queues set locked_by = $1::text, locked_at = now()
    from j where job_queues.id = j.job_queue_id
  )
  update graphile_worker._private_jobs as jobs
  set attempts = jobs.attempts + 1, locked_by = $1::text, locked_at = now()
  from j where jobs.id = j.id returning *`;
const COMPLETE = `
  delete from graphile_worker._private_jobs as jobs using unnest($1::bigint[]) n(n) where id = n`;

const logger = new Logger(() => () => {});
let utils, taskIds;

await run({
  async install() {
    await (await makeWorkerUtils({ connectionString: databaseUrl, logger })).migrate();
  },
  async connect() {
    utils = await makeWorkerUtils({ connectionString: databaseUrl, logger });
    await utils.withPgClient((client) => client.query("select"));
  },
  enqueue: (payloads) =>
    utils.withPgClient((client) =>
      client.query({ name: "enqueue", text: ENQUEUE, values: [JSON.stringify(payloads)] }),
    ),
  enqueueOne: (payload) => utils.addJob("noop", payload),
  async cycle(payloads) {
    await this.enqueue(payloads);
    return utils.withPgClient(async (client) => {
      taskIds ??= (await client.query("select id from graphile_worker._private_tasks")).rows.map((row) => row.id);
      const values = [`loop_${process.pid}`, taskIds, payloads.length];
      const { rows } = await client.query({ name: "claim", text: CLAIM, values });
      await client.query({ name: "complete", text: COMPLETE, values: [rows.map((row) => row.id)] });
      return rows.length;
    });
  },
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
