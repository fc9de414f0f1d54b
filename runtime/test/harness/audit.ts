import { PGlite } from "@electric-sql/pglite"
import { Effect } from "effect"
import type { Order, OrderStatus } from "../../../modules/order/contract/api.ts"
import type { OrderSummary, UserOrder } from "../../../modules/user/contract/api.ts"
import { modules } from "../../modules.ts"
import { takeFolder } from "../../sql/embedded/folder.ts"
import type { Log } from "./kafkaLog.ts"
import { connectTo } from "./postgresServer.ts"
import type { Callable } from "./process.ts"
import type { Ledger } from "./shoppers.ts"
import { spine } from "./spine.ts"

/** All pages of a list. */
export const pagesOf = async <Item>(galleria: Callable, path: string): Promise<ReadonlyArray<Item>> => {
  const items: Array<Item> = []
  let cursor: string | null = null
  do {
    const more: string = cursor === null ? "" : `&cursor=${cursor}`
    const page = await galleria.call<{ items: ReadonlyArray<Item>; next_cursor: string | null }>(
      "GET",
      `${path}${path.includes("?") ? "&" : "?"}limit=200${more}`,
    )
    if (page.status !== 200) throw new Error(`GET ${path} was answered ${page.status}`)
    items.push(...page.body.items)
    cursor = page.body.next_cursor
  } while (cursor !== null)
  return items
}

const cents = (money: string) => BigInt(money.replace(".", ""))
const asUsersSee = (status: OrderStatus) => (status === "paid" ? "created" : status)
const over: ReadonlyArray<string> = ["failed", "cancelled"]

/** Faults over HTTP in the orders of one user: in both modules, and compared with the answers that shoppers got. */
const auditUser = async (galleria: Callable, ledger: Ledger, user: number): Promise<ReadonlyArray<string>> => {
  const orders = await pagesOf<typeof Order.Encoded>(galleria, `/orders?user_id=${user}`)
  const listed = await pagesOf<typeof UserOrder.Encoded>(galleria, `/users/${user}/orders`)
  const summary = (await galleria.call<typeof OrderSummary.Encoded>("GET", `/users/${user}/order-summary`)).body
  const faults: Array<string> = []

  const expected = orders.map(({ id, amount, status, created_at }) => ({
    order_id: id,
    amount,
    status: asUsersSee(status),
    created_at,
  }))
  if (JSON.stringify(expected) !== JSON.stringify(listed)) {
    faults.push(`user ${user} has orders ${show(expected)} and is shown ${show(listed)}`)
  }
  const counted = orders.filter(({ status }) => !over.includes(status))
  const total = counted.reduce((sum, { amount }) => sum + cents(amount), 0n)
  if (summary.orders_count !== counted.length || cents(summary.total_amount) !== total) {
    faults.push(`the orders of user ${user} come to ${counted.length} and ${total} cents, not to ${show(summary)}`)
  }
  const made = orders.map(({ id, items, status }) => ({ id, status, tag: items[0]?.product_id ?? "" }))
  const wishes = ledger.wishes.filter(({ body }) => "user_id" in body && body.user_id === user)
  return [...faults, ...compare(wishes, made), ...compareEndings(ledger, made)]
}

/** What was wished for and what was made must agree: once what was answered, at most once what was not, and no more. */
const compare = (
  wishes: Ledger["wishes"],
  made: ReadonlyArray<{ readonly id: number; readonly tag: string }>,
): ReadonlyArray<string> => {
  const ids = new Map<string, Array<number>>()
  for (const { tag, id } of made) ids.set(tag, [...(ids.get(tag) ?? []), id])
  const faults = wishes.flatMap(({ path, tag, id }) => {
    const found = ids.get(tag) ?? []
    ids.delete(tag)
    if (id === undefined ? found.length <= 1 : found.length === 1 && found[0] === id) return []
    return [`POST ${path} for ${tag} was answered ${id ?? "nothing"} and made ${show(found)}`]
  })
  return [...faults, ...[...ids].map(([tag, found]) => `no shopper ordered ${tag}, which is ${show(found)}`)]
}

/** Endings that shoppers were shown hold for ever, and paid orders have ended. */
const compareEndings = (
  { cancels, paid }: Ledger,
  orders: ReadonlyArray<{ readonly id: number; readonly status: string }>,
): ReadonlyArray<string> =>
  orders.flatMap(({ id, status }) => {
    const answer = cancels.get(id)
    const right =
      (answer === undefined || (answer === 200) === (status === "cancelled")) &&
      (!paid.has(id) || status === "processed" || status === "cancelled")
    return right ? [] : [`order ${id} is ${status}; its cancellation was answered ${answer}, paid: ${paid.has(id)}`]
  })

/**
 * What is not so of the users whom shoppers touched since the last audit that found nothing. While events are on
 * their way something is always not so: ask until nothing is.
 */
export const auditOverHttp = async (galleria: Callable, ledger: Ledger): Promise<ReadonlyArray<string>> => {
  const faults: Array<string> = [...ledger.faults]
  for (const user of ledger.touched) {
    const found = await auditUser(galleria, ledger, user)
    if (found.length === 0) ledger.touched.delete(user)
    faults.push(...found)
  }
  return faults
}

/** The events on the log, each once: where it came first. */
const events = `
  select topic, part, headers->>'ce_source' as source, headers->>'ce_id' as id, headers->>'ce_subject' as subject,
    min("offset") as "offset", min(convert_from(value, 'utf8')) as data
  from events.record group by 1, 2, 3, 4, 5`

/** Statements that find what must not be; each says what it means to find something. */
const found: Readonly<Record<string, string>> = {
  "an order and what the user module knows of it differ": `
    select o.id, u.order_id, o.status, u.status as shown, o.amount, u.amount as listed
    from "order".orders o full join "user".user_orders u on u.order_id = o.id
    where o.id is null or u.order_id is null or (o.user_id, o.amount, o.created_at) <> (u.user_id, u.amount, u.created_at)
      or u.created_at is null or u.status <> case o.status when 'paid' then 'created' else o.status end`,

  "a summary is not what the orders come to": `
    select user_id, n, total, s.orders_count, s.total_amount
    from (select user_id, count(*) as n, sum(amount) as total from "order".orders
      where status not in ('failed', 'cancelled') group by user_id) o
    full join "user".user_order_summaries s using (user_id)
    where coalesce(n, 0) <> coalesce(s.orders_count, 0) or coalesce(total, 0) <> coalesce(s.total_amount, 0)`,

  "a history does not hold its order's own events once, from the creation to the ending": `
    select o.id, o.status, h.types from "order".orders o left join (
      select order_id, array_agg(type order by pos) as types, (array_agg(status order by pos desc))[1] as status,
        count(*) - count(distinct event_id) as copies
      from "order".order_history group by order_id) h on h.order_id = o.id
    where h.order_id is null or h.copies > 0 or h.status <> o.status or h.types[1] <> 'order_created'
      or (select count(*) from unnest(h.types) t where t = 'order_created') <> 1
      or (select count(*) from unnest(h.types) t where t = 'payment_successful') > 1
      or (select coalesce(string_agg(t, ' '), '') from unnest(h.types) t where t in ('order_processed', 'order_failed', 'order_cancelled'))
        <> case when o.status in ('processed', 'failed', 'cancelled') then 'order_' || o.status else '' end`,

  "a history is of no order": `
    select * from "order".order_history h where not exists (select from "order".orders o where o.id = h.order_id)`,

  "an order's own events and those on the log are not the same": `
    select h.order_id, h.type, h.event_id, l.id, l.topic
    from (select * from "order".order_history
      where type in ('order_created', 'order_processed', 'order_failed', 'order_cancelled')) h
    full join (select * from (${events}) l where source = '/galleria/order') l
      on l.topic = h.type and l.id = h.event_id and l.subject = h.order_id::text
    where h.event_id is null or l.id is null`,

  "a user was not published exactly once": `
    select u.id, l.subject, l.n from "user".users u
    full join (select subject, count(*) as n from (${events}) l where topic = 'user_created' group by subject) l
      on l.subject = u.id::text
    where u.id is null or l.n is distinct from 1`,

  "the order module knows other users than there are": `
    select u.id, c.user_id from "user".users u full join "order".users_cache c on c.user_id = u.id
    where u.id is null or c.user_id is null`,

  "the last published summary differs from the summary": `
    select s.user_id, s.orders_count, s.total_amount, l.data from "user".user_order_summaries s
    full join (select distinct on (subject) subject, data::json as data from (${events}) l
      where topic = 'user_order_summary_updated' order by subject, "offset" desc) l on l.subject = s.user_id::text
    where l.data is null or s.user_id is null
      or (l.data->>'orders_count', l.data->>'total_amount') <> (s.orders_count::text, s.total_amount::text)`,

  // Ids are UUIDv7, made under the lock of their aggregate: those of one subject rise in the order of the commits.
  "events of one subject are not in the order of their commits": `
    select * from (select topic, part, subject, "offset", id, lag(id) over same as earlier, lag(part) over same as before
      from (${events}) l where source <> '/galleria/payment'
      window same as (partition by topic, subject order by "offset")) l
    where id < earlier or part <> before`,

  "a group has not finished": `
    select p.*, e.next as "end" from events.position p join events.partition e using (topic, part) where p.next <> e.next`,

  "an idempotency key gave nothing, or two of them the same": `
    select i.scope, i.key, i.location from (
      select *, count(*) over (partition by location) as n from (
        select * from "order".idempotency union all select * from "user".idempotency) i) i
    where n > 1 or location is null
      or (scope = 'POST /orders' and not exists (select from "order".orders o where location = '/orders/' || o.id))
      or (scope = 'POST /users' and not exists (select from "user".users u where location = '/users/' || u.id))`,
}

const foundInModule = (name: string, reactions: string): Readonly<Record<string, string>> => ({
  [`${name}: an event was not taken charge of by each of its reactions, or something else was`]: `
    select x.reaction, x.topic, l.id, i.reaction as taken_by, i.event_id
    from (${reactions}) x join (${events}) l on l.topic = x.topic
    full join "${name}".inbox i on i.reaction = x.reaction and i.source = l.source and i.event_id = l.id
    where l.id is null or i.event_id is null`,
  [`${name}: a key is held`]: `select reaction, key, status, error from "${name}".held`,
  [`${name}: the outbox is not empty`]: `select seq, type, subject from "${name}".outbox`,
})

/**
 * What is not so in the database of a folder that no process uses, once everything was delivered: read by itself, by
 * nothing of what wrote it.
 */
export const auditFolder = (dataDir: string, ledger: Ledger): Promise<ReadonlyArray<string>> =>
  withFolder(dataDir, (db) => auditDatabase(db, ledger))

/** The same of several folders and the log that was between them. */
export const auditFolders = (dataDirs: ReadonlyArray<string>, log: Log, ledger: Ledger) =>
  auditParts(log, ledger, async (db) => {
    for (const dataDir of dataDirs) {
      await withFolder(dataDir, (from) =>
        copyModules(
          async <Row>(text: string, parameters: ReadonlyArray<unknown>) =>
            (await from.query<Row>(text, [...parameters])).rows,
          db,
        ),
      )
    }
  })

/** The same of databases of a server, at these URLs, and the log that was between them. */
export const auditServer = (urls: ReadonlyArray<string>, log: Log, ledger: Ledger) =>
  auditParts(log, ledger, async (db) => {
    for (const url of urls) {
      await using from = await connectTo(url)
      await copyModules(from.run, db)
    }
  })

/** Puts together what was apart. */
const auditParts = async (log: Log, ledger: Ledger, copyInto: (db: PGlite) => Promise<void>) => {
  await using db = await PGlite.create()
  await copyInto(db)
  await db.exec("create schema events")
  for (const [table, columns] of Object.entries(logColumns)) {
    await db.exec(`create table events.${table} (${columns})`)
    await fill(db, `events.${table}`, JSON.stringify(log[table as keyof Log]))
  }
  return await auditDatabase(db, ledger)
}

/** The tables of the embedded log, as far as they are asked. */
const logColumns: Readonly<Record<keyof Log, string>> = {
  record: `topic text, part int, "offset" bigint, value bytea, headers json`,
  partition: "topic text, part int, next bigint",
  position: "grp text, topic text, part int, next bigint",
}

/** Reads the database in a folder that no process uses. */
export const withFolder = <A>(dataDir: string, work: (db: PGlite) => Promise<A>): Promise<A> =>
  Effect.runPromise(
    Effect.scoped(
      Effect.flatMap(takeFolder(dataDir), ({ postgres }) =>
        Effect.promise(async () => {
          await using db = await PGlite.create({ dataDir: postgres })
          await db.exec("set default_transaction_read_only = on")
          return await work(db)
        }),
      ),
    ),
  )

type Ask = <Row extends object>(text: string, parameters: ReadonlyArray<unknown>) => Promise<ReadonlyArray<Row>>

/** Copies what the modules have there, rows and no rules. */
const copyModules = async (ask: Ask, to: PGlite) => {
  const tables = await ask<{ schema: string; name: string; columns: string }>(
    `select n.nspname as schema, format('%I.%I', n.nspname, c.relname) as name,
      string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' order by a.attnum) as columns
    from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid
    where c.relkind = 'r' and a.attnum > 0 and not a.attisdropped and n.nspname = any($1) group by 1, 2`,
    [spine],
  )
  for (const { schema, name, columns } of tables) {
    await to.exec(`create schema if not exists "${schema}"; create table ${name} (${columns})`)
    const [row] = await ask<{ all: string }>(`select coalesce(json_agg(t), '[]')::text as all from ${name} t`, [])
    await fill(to, name, row!.all)
  }
}

const fill = (db: PGlite, table: string, rows: string) =>
  db.query(`insert into ${table} select * from json_populate_recordset(null::${table}, $1::text::json)`, [rows])

const auditDatabase = async (db: PGlite, ledger: Ledger) => {
  const faults: Array<string> = [...ledger.faults]
  const statements = [modules.user, modules.order].flatMap(({ name, reactions }) => {
    const rows = reactions.map((reaction) => `('${reaction.name}', '${reaction.event.type}')`)
    return Object.entries(foundInModule(name, `select * from (values ${rows.join()}) x (reaction, topic)`))
  })
  for (const [what, statement] of [...Object.entries(found), ...statements]) {
    const { rows } = await db.query(statement)
    if (rows.length > 0) faults.push(`${what} (${rows.length}): ${show(rows.slice(0, 3))}`)
  }
  const users = await db.query<{ id: number; tag: string }>(`select id::int, email as tag from "user".users`)
  const orders = await db.query<{ id: number; tag: string; status: string }>(
    `select id::int, items->0->>'product_id' as tag, status from "order".orders`,
  )
  const wishes = (path: string) => ledger.wishes.filter((wish) => wish.path === path)
  return [
    ...faults,
    ...compare(wishes("/users"), users.rows),
    ...compare(wishes("/orders"), orders.rows),
    ...compareEndings(ledger, orders.rows),
  ]
}

const show = (value: unknown) =>
  JSON.stringify(value, (_, part: unknown) => (typeof part === "bigint" ? String(part) : part)).slice(0, 1_000)
