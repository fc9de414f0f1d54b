import { Effect } from "effect"
import type { Log } from "./Log.ts"
import { stock, type World } from "./World.ts"

interface Order {
  readonly id: number
  readonly status: string
  readonly reason: string | null
  readonly amount: number
  readonly user_id: number
  readonly items: ReadonlyArray<{ readonly product_id: string; readonly quantity: number }>
}

interface Payment {
  readonly order_id: number
  readonly status: string
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

/** Which events of an order its user is told of, and how. */
const kinds: Readonly<Record<string, string>> = {
  order_created: "order_created",
  payment_successful: "order_paid",
  payment_failed: "payment_declined",
  payment_refunded: "payment_refunded",
  order_processed: "order_processed",
  order_failed: "order_failed",
  order_cancelled: "order_cancelled",
}

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

/** What is not as it must be once everything has ended: sentences, none when all is well. */
export const faultsIn = (world: World, told: { readonly steps: string; readonly cancelled: ReadonlySet<number> }) =>
  Effect.map(readEnd(world), (end) => [
    ...end.orders.flatMap((order) => faultsOfOrder(order, end, world.log, told)),
    ...faultsOfMoney(end),
    ...faultsOfStock(end),
    ...faultsOfSummaries(end),
    ...faultsOfWelcomes(end),
    ...end.held.map(({ reaction, status, error }) => `${reaction} has a dead letter that is ${status}: ${error}`),
    ...end.tasks.map(({ name, id, error }) => `task ${name} ${id} is left: ${error}`),
  ])

const count = <Item>(items: ReadonlyArray<Item>) => {
  const counts = new Map<Item, number>()
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1)
  return counts
}

const same = (a: ReadonlyArray<string>, b: ReadonlyArray<string>) => [...a].sort().join() === [...b].sort().join()

const faultsOfOrder = (
  order: Order,
  end: End,
  log: Log,
  { steps, cancelled }: { readonly steps: string; readonly cancelled: ReadonlySet<number> },
): ReadonlyArray<string> => {
  const { id, status } = order
  const faults: Array<string> = []
  const check = (isRight: boolean, what: string) => void (isRight || faults.push(`order ${id}, ${status}: ${what}`))
  const needsPayment = steps.includes("payment")
  const needsInventory = steps.includes("inventory")

  const told = Object.keys(kinds).flatMap((topic) =>
    log.events(topic).flatMap(({ data }) => ((data as { order_id: number }).order_id === id ? [topic] : [])),
  )
  const ended = told.filter((topic) => topic in endings)
  check(Object.values(endings).includes(status as never), "it hangs")
  check(ended.length === 1 && endings[ended[0] as keyof typeof endings] === status, `its endings are ${ended.join()}`)
  check(!cancelled.has(id) || status === "cancelled", "its cancellation was acknowledged")

  const payment = end.payments.find(({ order_id }) => order_id === id)
  const charges = end.charges.filter(({ key }) => key === payment?.key)
  const net = charges.reduce((sum, { amount, refund_key }) => sum + (refund_key === null ? amount : 0), 0)
  const isCharged = charges.length > 0
  check(net === (status === "processed" && needsPayment ? order.amount : 0), `${net} of ${order.amount} is kept`)
  check(needsPayment || !isCharged, "it was charged, which is no step")
  const paymentEnds = !needsPayment
    ? ["none", undefined]
    : isCharged
      ? [net > 0 ? "successful" : "refunded"]
      : ["failed"]
  check(paymentEnds.includes(payment?.status), `its payment is ${payment?.status}`)

  const told2 = told.filter((topic) => topic.startsWith("payment_"))
  const allowed =
    status === "processed"
      ? [needsPayment ? "payment_successful" : ""]
      : isCharged
        ? ["payment_refunded", "payment_refunded,payment_successful", "payment_failed,payment_refunded"]
        : ["", "payment_failed"]
  check(allowed.includes([...told2].sort().join()), `payment published ${told2.join() || "nothing"}`)

  const hold = end.holds.find(({ order_id }) => order_id === id)?.status
  if (needsInventory) {
    const ends = status === "processed" ? ["taken"] : ["released", "rejected"]
    check(ends.includes(hold!), `its hold is ${hold}`)
  } else check(hold === undefined || hold === "expected", `its hold is ${hold}, which is no step`)

  const notified = end.notifications.filter(({ order_id }) => order_id === id)
  const heard = notified.map(({ kind }) => kind)
  check(
    same(
      heard,
      told.map((topic) => kinds[topic]!),
    ),
    `its user is told ${heard.join()} of ${told.join()}`,
  )
  check(
    notified.every(({ status }) => status === "sent"),
    "a notification is not sent",
  )

  const listed = end.listed.find(({ order_id }) => order_id === id)
  check(listed?.status === status && listed.created_at !== null, `its user's list has it as ${listed?.status}`)
  faults.push(...faultsOfHistory(order, end, log))
  return faults
}

/** Each event once, those of a topic in the order of the log, and none missing. */
const faultsOfHistory = ({ id }: Order, { history }: End, log: Log): ReadonlyArray<string> => {
  const own = history.filter(({ order_id }) => order_id === id)
  const topics = [...Object.keys(kinds), "inventory_updated", "inventory_rejected"]
  return topics.flatMap((topic) => {
    const known = own.filter(({ type }) => type === topic).map(({ event_id }) => event_id)
    const told = log
      .events(topic)
      .filter(({ data }) => (data as { order_id: number }).order_id === id)
      .map(({ id }) => id)
    return known.join() === told.join()
      ? []
      : [`order ${id}: its history has ${known.length} ${topic} of ${told.length}, or in another order`]
  })
}

const faultsOfMoney = ({ payments, charges }: End) => {
  const keys = new Set(payments.map(({ key }) => key))
  return charges.filter(({ key }) => !keys.has(key)).map(({ key }) => `charge ${key} is of no payment`)
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
      ...(reserved === 0 ? [] : [`of ${product_id} ${reserved} are held for ever`]),
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
          `user ${user_id}: ${orders_count} orders of ${total_amount} are summed up, there are ${own.length} of ${total}`,
        ]
  })

const faultsOfWelcomes = ({ notifications }: End) => {
  const welcomes = count(notifications.filter(({ kind }) => kind === "welcome").map(({ user_id }) => user_id))
  return [1, 2]
    .filter((id) => welcomes.get(id) !== 1)
    .map((id) => `user ${id} is welcomed ${welcomes.get(id) ?? 0} times`)
}
