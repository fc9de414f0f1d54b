import { Effect } from "effect"
import { audit } from "../../admin/audit/audit.ts"
import type { Log } from "./Log.ts"
import type { Simulation } from "./Simulation.ts"
import { holdMinutes, stock, type World } from "./World.ts"

interface Order {
  readonly id: number
  readonly status: string
  readonly reason: string | null
  readonly amount: number
  readonly user_id: number
  readonly payment_method: string
  readonly items: ReadonlyArray<{ readonly product_id: string; readonly quantity: number }>
}

interface Payment {
  readonly order_id: number
  readonly status: string
  readonly reason: string | null
  readonly key: string | null
}

interface Charge {
  readonly key: string
  readonly amount: number
  readonly refund_key: string | null
}

interface End {
  readonly orders: ReadonlyArray<Order>
  readonly history: ReadonlyArray<{ readonly order_id: number; readonly event_id: string; readonly type: string }>
  readonly payments: ReadonlyArray<Payment>
  readonly charges: ReadonlyArray<Charge>
  readonly products: ReadonlyArray<{ readonly product_id: string; readonly stock: number; readonly reserved: number }>
  readonly ledger: ReadonlyArray<{ readonly product_id: string; readonly stock: number; readonly reserved: number }>
  readonly holds: ReadonlyArray<{ readonly order_id: number; readonly status: string }>
  readonly listed: ReadonlyArray<{
    readonly order_id: number
    readonly status: string
    readonly created_at: string | null
  }>
  readonly summaries: ReadonlyArray<{
    readonly user_id: number
    readonly orders_count: number
    readonly total_amount: number
  }>
  readonly notifications: ReadonlyArray<{
    readonly order_id: number | null
    readonly user_id: number
    readonly kind: string
    readonly status: string
  }>
  readonly held: ReadonlyArray<{ readonly reaction: string; readonly status: string; readonly error: string }>
  readonly tasks: ReadonlyArray<{ readonly name: string; readonly id: string; readonly error: string | null }>
}

const endings = { order_processed: "processed", order_failed: "failed", order_cancelled: "cancelled" } as const

/** The kind of the notification that each event of an order makes. */
const kinds: Readonly<Record<string, string>> = {
  order_created: "order_created",
  payment_successful: "order_paid",
  payment_failed: "payment_declined",
  payment_refunded: "payment_refunded",
  order_processed: "order_processed",
  order_failed: "order_failed",
  order_cancelled: "order_cancelled",
}

/** The cards that the sandbox declines. */
const declining = ["card_declined", "card_expired", "card_unknown"]

const modules = ["user", "order", "payment", "inventory", "notification"]

const readEnd = ({ sql }: World) => {
  const all = (table: string, columns = "*") =>
    `(select coalesce(json_agg(x), '[]') from (select ${columns} from ${table}) x)`
  const held = modules.map(
    (name) => `select reaction, status, error from "${name}".held where status in ('waiting', 'retrying', 'parked')`,
  )
  const tasks = modules.map((name) => `select name, id, error from "${name}".task`)
  return Effect.map(
    sql.unsafe<{ end: End }>(`select json_build_object(
      'orders', ${all(`"order".orders order by id`)},
      'history', ${all(`"order".order_history order by pos`, "order_id, event_id, type")},
      'payments', ${all("payment.payments")},
      'charges', ${all("payment_sandbox.charges")},
      'products', ${all("inventory.products")},
      'ledger', ${all("inventory.ledger group by product_id", "product_id, sum(stock_change) as stock, sum(reserved_change) as reserved")},
      'holds', ${all("inventory.holds")},
      'listed', ${all(`"user".user_orders`)},
      'summaries', ${all(`"user".user_order_summaries`)},
      'notifications', ${all("notification.notifications order by id", "order_id, user_id, kind, status")},
      'held', ${all(`(${held.join(" union all ")}) h`)},
      'tasks', ${all(`(${tasks.join(" union all ")}) t`)}) as "end"`),
    ([row]) => row!.end,
  )
}

/**
 * The rules that do not hold at the end of a run, a sentence each. It reads the tables of the modules and the events in
 * the log, and checks the invariants of `npm run audit` too.
 */
export const faultsIn = (simulation: Simulation) =>
  Effect.gen(function* () {
    const { world } = simulation
    const end = yield* readEnd(world)
    return [
      ...end.orders.flatMap((order) => faultsOfOrder(order, end, simulation)),
      ...faultsOfMoney(end),
      ...faultsOfStock(end),
      ...faultsOfSummaries(end),
      ...faultsOfWelcomes(end),
      ...end.held.map(({ reaction, status, error }) => `${reaction} has a dead letter that is ${status}: ${error}`),
      ...end.tasks.map(({ name, id, error }) => `task ${name} ${id} is left: ${error}`),
      ...(yield* violations(simulation)),
    ]
  })

const violations = ({ audits }: Simulation) => {
  const local = Effect.forEach(audits, ({ module, audit }) =>
    Effect.map(audit?.violations ?? Effect.succeed([]), (found) => found.map((one) => ({ ...one, module }))),
  )
  const sources = audits.flatMap(({ module, audit }) => (audit === undefined ? [] : [{ module, facts: audit.facts }]))
  return Effect.map(
    audit({ sources, local: Effect.map(local, (found) => found.flat()), looks: 1, pause: 0 }),
    (found) =>
      found.map(({ invariant, module, subject, details }) => `${invariant} (${module}), ${subject}: ${details}`),
  )
}

const count = <Item>(items: ReadonlyArray<Item>) => {
  const counts = new Map<Item, number>()
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1)
  return counts
}

type Check = (isRight: boolean, what: string) => void

const faultsOfOrder = (order: Order, end: End, simulation: Simulation): ReadonlyArray<string> => {
  const { id, status } = order
  const { log } = simulation.world
  const faults: Array<string> = []
  const check: Check = (isRight, what) => void (isRight || faults.push(`order ${id}, ${status}: ${what}`))
  const published = publishedFor(id, log)
  checkEnding(check, order, published, simulation.cancelled)
  if (simulation.plan.steps.includes("payment")) checkPayment(check, order, end, published)
  else checkNoPayment(check, order, end)
  if (simulation.plan.steps.includes("inventory")) checkHold(check, order, end, log)
  else checkNoHold(check, order, end)
  checkDone(check, order, simulation.plan.steps, end, log)
  checkNotifications(check, order, end, published)
  const listed = end.listed.find(({ order_id }) => order_id === id)
  check(listed?.status === status && listed.created_at !== null, `its user's list has it as ${listed?.status}`)
  return [...faults, ...faultsOfHistory(order, end, log)]
}

const dataOf = (event: { readonly data: unknown }) =>
  event.data as { readonly order_id: number; readonly change?: string; readonly reason?: string }

/** The events of an order in a topic. */
const eventsFor = (order_id: number, topic: string, log: Log) =>
  log.events(topic).filter((event) => dataOf(event).order_id === order_id)

/** The topics of all events of an order, with repetitions. */
const publishedFor = (order_id: number, log: Log) =>
  Object.keys(kinds).flatMap((topic) => eventsFor(order_id, topic, log).map(() => topic))

const checkEnding = (
  check: Check,
  { id, status }: Order,
  published: ReadonlyArray<string>,
  cancelled: ReadonlySet<number>,
) => {
  const ended = published.filter((topic) => topic in endings)
  check(Object.values(endings).includes(status as never), "it hangs")
  check(ended.length === 1 && endings[ended[0] as keyof typeof endings] === status, `its endings are ${ended.join()}`)
  check(!cancelled.has(id) || status === "cancelled", "its cancellation was acknowledged")
}

const chargesFor = (order_id: number, { payments, charges }: End) => {
  const payment = payments.find((payment) => payment.order_id === order_id)
  return { payment, charges: charges.filter(({ key }) => key === payment?.key) }
}

const checkNoPayment = (check: Check, { id }: Order, end: End) => {
  const { payment, charges } = chargesFor(id, end)
  check(charges.length === 0, "it was charged, although payment is no step")
  check(payment === undefined || payment.status === "none", `its payment is ${payment?.status}, which is no step`)
}

/** Charged once or not at all, and paid back unless it is processed; declined only by the provider or the time. */
const checkPayment = (check: Check, order: Order, end: End, published: ReadonlyArray<string>) => {
  const { payment, charges } = chargesFor(order.id, end)
  const isProcessed = order.status === "processed"
  const isCharged = charges.length > 0
  const net = charges.reduce((sum, { amount, refund_key }) => sum + (refund_key === null ? amount : 0), 0)
  check(net === (isProcessed ? order.amount : 0), `${net} of ${order.amount} is kept`)
  const expected = !isCharged ? "failed" : net > 0 ? "successful" : "refunded"
  check(payment?.status === expected, `its payment is ${payment?.status}, and is ${expected} by the provider`)

  const events = published.filter((topic) => topic.startsWith("payment_")).sort()
  const allowed = isProcessed
    ? ["payment_successful"]
    : isCharged
      ? ["payment_refunded", "payment_refunded,payment_successful", "payment_failed,payment_refunded"]
      : ["", "payment_failed"]
  check(allowed.includes(events.join()), `payment published ${events.join() || "nothing"}`)
  const mayDecline = declining.includes(order.payment_method)
  const reason = payment?.reason ?? ""
  check(
    !events.includes("payment_failed") || mayDecline || isCharged || reason === "provider_unavailable",
    `payment_failed says ${reason}, and the provider did not decline it`,
  )
}

const checkNoHold = (check: Check, { id }: Order, { holds }: End) => {
  const hold = holds.find(({ order_id }) => order_id === id)?.status
  check(hold === undefined || hold === "expected", `its hold is ${hold}, although inventory is no step`)
}

/** A processed order had learned before that every step is done. */
const checkDone = (check: Check, { id, status }: Order, steps: string, { history }: End, log: Log) => {
  if (status !== "processed") return
  const own = history.filter(({ order_id }) => order_id === id)
  const known = own
    .slice(
      0,
      own.findIndex(({ type }) => type === "order_processed"),
    )
    .map(({ event_id }) => event_id)
  const isKnown = (event: { readonly id: string }) => known.includes(event.id)
  const isPaid = eventsFor(id, "payment_successful", log).some(isKnown)
  const isTaken = eventsFor(id, "inventory_updated", log).some(
    (event) => dataOf(event).change === "taken" && isKnown(event),
  )
  check(!steps.includes("payment") || isPaid, "it was processed before it was paid")
  check(!steps.includes("inventory") || isTaken, "it was processed before its stock was taken")
}

/** Taken for a processed order only; and no hold expires after its payment was published in time. */
const checkHold = (check: Check, { id, status }: Order, { holds }: End, log: Log) => {
  const hold = holds.find(({ order_id }) => order_id === id)?.status
  const ends = status === "processed" ? ["taken"] : ["released", "rejected"]
  check(hold !== undefined && ends.includes(hold), `its hold is ${hold}`)
  const dataOf = (event: { readonly data: unknown }) =>
    event.data as { readonly change?: string; readonly reason?: string }
  const held = eventsFor(id, "inventory_updated", log).find((event) => dataOf(event).change === "held")
  const isExpired = eventsFor(id, "inventory_rejected", log).some((event) => dataOf(event).reason === "hold_expired")
  const [paid] = eventsFor(id, "payment_successful", log)
  const expiresAt = (held?.time.getTime() ?? 0) + holdMinutes * 60_000
  check(
    !isExpired || paid === undefined || paid.loggedAt >= expiresAt,
    "its hold expired, although it was paid in time",
  )
}

const checkNotifications = (check: Check, { id }: Order, { notifications }: End, published: ReadonlyArray<string>) => {
  const notified = notifications.filter(({ order_id }) => order_id === id)
  const found = notified.map(({ kind }) => kind).sort()
  const expected = published.map((topic) => kinds[topic]!).sort()
  check(found.join() === expected.join(), `its notifications are ${found.join()} instead of ${expected.join()}`)
  check(
    notified.every(({ status }) => status === "sent"),
    "a notification is not sent",
  )
}

/** The history has each event once, those of a topic in the order of the log. */
const faultsOfHistory = ({ id }: Order, { history }: End, log: Log): ReadonlyArray<string> => {
  const own = history.filter(({ order_id }) => order_id === id)
  const topics = [...Object.keys(kinds), "inventory_updated", "inventory_rejected"]
  return topics.flatMap((topic) => {
    const known = own.filter(({ type }) => type === topic).map(({ event_id }) => event_id)
    const published = eventsFor(id, topic, log).map(({ id }) => id)
    return known.join() === published.join()
      ? []
      : [`order ${id}: its history has ${known.length} ${topic} of ${published.length}, or in another order`]
  })
}

const faultsOfMoney = ({ payments, charges }: End) => {
  const keys = new Set(payments.map(({ key }) => key))
  return charges.filter(({ key }) => !keys.has(key)).map(({ key }) => `charge ${key} belongs to no payment`)
}

const faultsOfStock = ({ orders, holds, products, ledger }: End) =>
  products.flatMap(({ product_id, stock: left, reserved }) => {
    const put = stock[product_id as keyof typeof stock]
    const taken = orders
      .filter(
        ({ id, status }) =>
          status === "processed" && holds.some((hold) => hold.order_id === id && hold.status === "taken"),
      )
      .flatMap(({ items }) => items.filter((item) => item.product_id === product_id))
      .reduce((sum, { quantity }) => sum + quantity, 0)
    const entry = ledger.find((entry) => entry.product_id === product_id)
    return [
      ...(left + taken === put ? [] : [`of ${product_id} ${put} were put in, ${taken} taken, and ${left} are left`]),
      ...(reserved === 0 ? [] : [`of ${product_id} ${reserved} stay held`]),
      ...(entry?.stock === left && entry.reserved === reserved ? [] : [`the ledger of ${product_id} does not add up`]),
    ]
  })

const faultsOfSummaries = ({ orders, summaries }: End) =>
  summaries.flatMap(({ user_id, orders_count, total_amount }) => {
    const own = orders.filter((order) => order.user_id === user_id && order.status === "processed")
    const total = own.reduce((sum, { amount }) => sum + amount, 0)
    return orders_count === own.length && total_amount === total
      ? []
      : [
          `user ${user_id}: the summary says ${orders_count} orders of ${total_amount}, and there are ${own.length} of ${total}`,
        ]
  })

const faultsOfWelcomes = ({ notifications }: End) => {
  const welcomes = count(notifications.filter(({ kind }) => kind === "welcome").map(({ user_id }) => user_id))
  return [1, 2]
    .filter((id) => welcomes.get(id) !== 1)
    .map((id) => `user ${id} has ${welcomes.get(id) ?? 0} welcome notifications`)
}
