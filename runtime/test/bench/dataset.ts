import { PGlite } from "@electric-sql/pglite"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { startServer } from "./server.ts"

/** The users of a data set; what they ordered is shared out evenly. */
export const datasetUsers = 1_000

/** What that many processed orders leave behind, without their events on the log: those are pruned by age. */
const fill = (orders: number) => `
  insert into "user".users (email, email_key, name, created_at)
    select n || '@example.org', n || '@example.org', n::text, '2026-01-01' from generate_series(1, ${datasetUsers}) n;
  insert into "order".users_cache select id from "user".users;
  insert into "order".orders (user_id, amount, status, items, payment_method, steps, created_at)
    select 1 + n % ${datasetUsers}, 100.50, 'processed', '[]', 'card_ok', '[]', timestamptz '2026-01-01' + n * interval '1 second'
    from generate_series(1, ${orders}) n;
  insert into "order".order_history (order_id, event_id, type, occurred_at, status, data)
    select id, 'created-' || id, 'order_created', created_at, 'created', json_build_object('order_id', id) from "order".orders;
  insert into "order".order_history (order_id, event_id, type, occurred_at, status, data)
    select id, 'processed-' || id, 'order_processed', created_at, 'processed', json_build_object('order_id', id) from "order".orders;
  insert into "user".user_orders (order_id, user_id, amount, status, created_at)
    select id, user_id, amount, status, created_at from "order".orders;
  insert into "user".user_order_summaries select user_id, count(*), sum(amount) from "user".user_orders group by 1;
  vacuum analyze`

/** A data folder with that many orders, to be removed by the caller. */
export const makeDataset = async (orders: number): Promise<string> => {
  const dataDir = await mkdtemp(join(tmpdir(), "galleria-bench-"))
  try {
    await (await startServer({ modules: ["user", "order"], dataDir }))[Symbol.asyncDispose]()
    const db = await PGlite.create({ dataDir: join(dataDir, "postgres") })
    for (const statement of fill(orders).split(";")) await db.exec(statement)
    await db.exec("checkpoint")
    await db.close()
    return dataDir
  } catch (error) {
    await rm(dataDir, { recursive: true, force: true })
    throw error
  }
}
