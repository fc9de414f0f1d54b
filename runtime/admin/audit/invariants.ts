import type { Facts, Violation } from "../../module/Audit.ts"

/** What the modules know of one order, as far as they were asked. */
export interface Snapshot {
  readonly order_id: number
  /** The modules that were asked; one that is not in `facts` does not know the order. */
  readonly asked: ReadonlySet<string>
  readonly facts: ReadonlyMap<string, Facts>
}

const day = 24 * 60 * 60 * 1_000

/** Events wait at most this long (ms) in an outbox. */
export const mostOutboxMillis = 60_000

const isOver = (status: string) => status === "processed" || status === "failed" || status === "cancelled"
const needs = ({ steps = [] }: Facts, step: string) => steps.includes(step)

type Found = Pick<Violation, "invariant" | "module" | "details">
const found = (invariant: string, module: string, details: string): Found => ({ invariant, module, details })

/** The payment agrees with what the provider charged. */
const chargedAsRecorded = ({ status, call, provider }: Facts): ReadonlyArray<Found> => {
  // A call without an answer is looked up later: both are right until then.
  if (provider === undefined || call === "out" || call === "unknown") return []
  const expected = call === "charged" ? (status === "refunded" ? "refunded" : "charged") : "none"
  // The provider records a refund before the module does.
  const isOnItsWay = call === "charged" && provider === "refunded"
  if (provider === expected || isOnItsWay) return []
  return [found("paid-once-or-refunded", "payment", `the payment is ${status}, and at the provider: ${provider}`)]
}

/** The ledger's changes for an order are those of its hold. */
const movedAsHeld = ({ status, units }: Facts): ReadonlyArray<Found> => {
  if (units === undefined) return []
  const stock = status === "taken" ? -units.lines : 0
  const reserved = status === "held" ? units.lines : 0
  if (units.stock === stock && units.reserved === reserved) return []
  const details = `the hold is ${status} with ${units.lines} units, and the ledger changed stock by ${units.stock} and reserved units by ${units.reserved}`
  return [found("stock-adds-up", "inventory", details)]
}

/** What an order has cost its user is right for its status. */
const paidAsOrdered = (order: Facts, payment: Facts | undefined): ReadonlyArray<Found> => {
  if (!needs(order, "payment")) return []
  const { status, keeps = false, stopped = false } = payment ?? { status: "unknown" }
  const wrong = (details: string) => [found("paid-once-or-refunded", "payment", details)]
  const said = `the order is ${order.status}, and its payment ${status}`
  if (order.status === "processed" || order.status === "paid") {
    if (status === "refunded" && order.status === "paid") return []
    if (status !== "successful") return wrong(said)
    return payment?.amount === order.amount ? [] : wrong(`${payment?.amount} were charged instead of ${order.amount}`)
  }
  if (!isOver(order.status)) return []
  if (keeps) return wrong(`${said}: the money was not given back`)
  return status === "pending" && !stopped ? wrong(`${said}: it may still be charged`) : []
}

/** Stock is taken for processed orders alone, and held for open ones alone. */
const heldAsOrdered = (order: Facts, hold: Facts | undefined): ReadonlyArray<Found> => {
  if (!needs(order, "inventory") || !isOver(order.status)) return []
  const status = hold?.status ?? "unknown"
  const isRight = order.status === "processed" ? status === "taken" : hold?.keeps !== true
  return isRight
    ? []
    : [found("no-hold-outlives-its-order", "inventory", `the order is ${order.status}, and its hold ${status}`)]
}

/** An open order has a step that is still to be done. */
const endedWithItsSteps = (order: Facts, payment: Facts | undefined, hold: Facts | undefined): ReadonlyArray<Found> => {
  if (isOver(order.status)) return []
  const states = [
    ...(needs(order, "payment") ? [payment?.status] : []),
    ...(needs(order, "inventory") ? [hold?.status] : []),
  ]
  const isRefused = states.some((state) => state === "failed" || state === "refunded" || state === "rejected")
  const isDone = states.every((state) => state === "successful" || state === "taken")
  if (!isRefused && !isDone) return []
  const steps = states.length === 0 ? "it needs no step" : `its steps are ${states.map(String).join(" and ")}`
  return [found("order-ends-with-its-steps", "order", `the order is ${order.status}, and ${steps}`)]
}

const endings = ["order_processed", "order_failed", "order_cancelled"]

/** A finished order has one notification of its ending, and none of another. */
const notifiedOfItsEnding = (order: Facts, kinds: ReadonlyArray<string>, now: number): ReadonlyArray<Found> => {
  // Older facts make no notification: a module that was added later has none of such an order.
  if (kinds.length === 0 && now - Date.parse(order.created_at ?? "") > day) return []
  const expected = isOver(order.status) ? [`order_${order.status}`] : []
  const seen = kinds.filter((kind) => endings.includes(kind))
  if (seen.join() === expected.join()) return []
  const details = `the order is ${order.status}, and its final notifications are: ${seen.join(", ") || "none"}`
  return [found("final-notification", "notification", details)]
}

/** The user sees the order as it is. */
const listedAsOrdered = (order: Facts, listed: Facts | undefined): ReadonlyArray<Found> => {
  const shown = order.status === "paid" ? "created" : order.status
  if (listed?.listed === true && listed.status === shown && listed.amount === order.amount) return []
  const seen = listed?.listed === true ? `${listed.status} ${listed.amount}` : "not listed"
  return [
    found("listed-as-ordered", "user", `the order is ${order.status} ${order.amount}, and its user sees: ${seen}`),
  ]
}

/** No module keeps money or stock of an order that does not exist. */
const keptForNoOrder = ({ facts }: Snapshot): ReadonlyArray<Found> =>
  [...facts].flatMap(([module, { keeps, status }]) => {
    if (keeps !== true) return []
    const invariant = module === "payment" ? "paid-once-or-refunded" : "no-hold-outlives-its-order"
    return [found(invariant, module, `there is no such order, and what ${module} has of it is ${status}`)]
  })

/** The violations of one order. `now` is in milliseconds. Modules that were not asked are not compared. */
export const judge = (snapshot: Snapshot, now: number): ReadonlyArray<Violation> => {
  const { order_id, asked, facts } = snapshot
  const [order, payment, hold] = ["order", "payment", "inventory"].map((module) => facts.get(module))
  const compare = (module: string, compared: () => ReadonlyArray<Found>) =>
    order !== undefined && asked.has(module) ? compared() : []
  const isWhole = ["payment", "inventory"].every(
    (step) => order === undefined || !needs(order, step) || asked.has(step),
  )
  const all = [
    ...(payment === undefined ? [] : chargedAsRecorded(payment)),
    ...(hold === undefined ? [] : movedAsHeld(hold)),
    ...compare("payment", () => paidAsOrdered(order!, payment)),
    ...compare("inventory", () => heldAsOrdered(order!, hold)),
    ...compare("notification", () => notifiedOfItsEnding(order!, facts.get("notification")?.kinds ?? [], now)),
    ...compare("user", () => listedAsOrdered(order!, facts.get("user"))),
    ...(order !== undefined && isWhole ? endedWithItsSteps(order, payment, hold) : []),
    ...(order === undefined && asked.has("order") ? keptForNoOrder(snapshot) : []),
  ]
  return all.map((one) => ({ ...one, subject: `order ${order_id}` }))
}

/** A parked event whose order still has money or stock in that module. */
export const judgeParkedStop = (
  module: string,
  parked: { readonly id: string; readonly reaction: string; readonly order_id: number },
  facts: Facts | undefined,
): ReadonlyArray<Violation> => {
  // A payment that is pending may still be charged.
  if (facts === undefined || !(facts.keeps === true || facts.status === "pending")) return []
  const { id, reaction, order_id } = parked
  const details = `dead letter ${id} of ${reaction} is parked, and what ${module} has of order ${order_id} is ${facts.status}`
  return [{ invariant: "parked-stop", module, subject: `order ${order_id}`, details }]
}

/** The oldest event of an outbox, written at `oldest`, is not too old. */
export const judgeOutbox = (
  module: string,
  oldest: { readonly event_id: string; readonly type: string; readonly time: Date } | undefined,
  now: number,
): ReadonlyArray<Violation> => {
  const age = oldest === undefined ? 0 : now - oldest.time.getTime()
  if (oldest === undefined || age <= mostOutboxMillis) return []
  const details = `${oldest.type} waits in the outbox for ${Math.round(age / 1_000)} s`
  return [{ invariant: "outbox-is-relayed", module, subject: `event ${oldest.event_id}`, details }]
}
