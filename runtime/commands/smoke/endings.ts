/** What an order may need before it is processed. */
export type StepName = "payment" | "inventory"

/** Kinds of notifications, in the order of the output. */
const kinds = [
  "order_created",
  "order_paid",
  "payment_declined",
  "order_processed",
  "order_failed",
  "order_cancelled",
  "payment_refunded",
] as const
export type EndingKind = (typeof kinds)[number]

/** A way an order can end, with the expected state of every module. */
export interface Ending {
  readonly name: string
  readonly card: string
  /** The steps that this ending requires. */
  readonly needs: ReadonlyArray<StepName>
  /**
   * The ordered lines: a product with `enough` stock; the same and a line of another that is `short` or `unknown`; or one
   * piece of a product that a new inventory has (`laptop`).
   */
  readonly lines: "enough" | "short" | "unknown" | "laptop"
  /** When the order is cancelled: right after it was placed, or while the provider charges the card. */
  readonly cancelled?: "at once" | "during the charge"
  readonly order: "processed" | "failed" | "cancelled"
  readonly reason?: string
  readonly payment: "successful" | "failed" | "refunded"
  readonly notifications: ReadonlyArray<EndingKind>
}

const processed = {
  needs: [],
  lines: "enough",
  order: "processed",
  payment: "successful",
  notifications: ["order_created", "order_paid", "order_processed"],
} as const satisfies Partial<Ending>

const declined = {
  needs: ["payment"],
  lines: "enough",
  order: "failed",
  payment: "failed",
  notifications: ["order_created", "payment_declined", "order_failed"],
} as const satisfies Partial<Ending>

const notInStock = {
  card: "card_ok",
  needs: ["inventory"],
  order: "failed",
  payment: "failed",
  notifications: ["order_created", "order_failed"],
} as const satisfies Partial<Ending>

export const endings: ReadonlyArray<Ending> = [
  { ...processed, name: "paid and in stock", card: "card_ok" },
  { ...processed, name: "the provider loses its answer", card: "card_timeout", needs: ["payment"] },
  { ...processed, name: "the provider fails twice", card: "card_flaky", needs: ["payment"] },
  { ...declined, name: "the card is declined", card: "card_declined", reason: "card_declined" },
  { ...declined, name: "the card is expired", card: "card_expired", reason: "card_expired" },
  { ...declined, name: "the card is of no known kind", card: "card_of_smoke", reason: "unknown_payment_method" },
  { ...notInStock, name: "one line is short", lines: "short", reason: "out_of_stock" },
  { ...notInStock, name: "one product is unknown", lines: "unknown", reason: "unknown_product" },
  {
    // The provider's first two answers are errors, so that no charge is made before the cancellation.
    name: "cancelled before the charge",
    card: "card_flaky",
    needs: ["payment"],
    lines: "enough",
    cancelled: "at once",
    order: "cancelled",
    reason: "smoke",
    payment: "failed",
    notifications: ["order_created", "order_cancelled"],
  },
  {
    // The provider takes three seconds.
    name: "cancelled during the charge",
    card: "card_slow",
    needs: ["payment", "inventory"],
    lines: "enough",
    cancelled: "during the charge",
    order: "cancelled",
    reason: "smoke",
    payment: "refunded",
    notifications: ["order_created", "order_paid", "order_cancelled", "payment_refunded"],
  },
]

/** Run only while stock is left: each run sells one. */
export const laptop: Ending = { ...processed, name: "a LAPTOP001", card: "card_ok", lines: "laptop" }

/** The expected state of an ending when orders need these steps. */
export const expectedOf = (ending: Ending, steps: ReadonlyArray<string>) => ({
  order: ending.reason === undefined ? ending.order : `${ending.order}: ${ending.reason}`,
  notifications: listOf(
    ending.notifications.filter(
      (kind) => steps.includes("payment") || (kind !== "order_paid" && kind !== "payment_refunded"),
    ),
  ),
})

/** The kinds of notifications as one text, in a fixed order, with duplicates. */
export const listOf = (seen: ReadonlyArray<string>): string =>
  seen.toSorted((a, b) => kinds.indexOf(a as EndingKind) - kinds.indexOf(b as EndingKind)).join(", ")

/** Why an ending cannot be tested here; undefined when it can. */
export const obstacleTo = (
  ending: Ending,
  steps: ReadonlyArray<string>,
  served: ReadonlySet<string>,
): string | undefined => {
  const missing = ending.needs.filter((step) => !steps.includes(step))
  if (missing.length > 0) return `orders here do not need ${missing.join(" and ")}`
  const away = steps.filter((step) => !served.has(step))
  return away.length > 0 ? `no address serves ${away.join(" and ")}` : undefined
}

/** The order's history in one line: its events, and its status where that changed. */
export const storyOf = (history: ReadonlyArray<{ type: string; status: string; data: any }>): string =>
  history
    .map(({ type, status, data }, index) => {
      const what = data?.change === undefined ? type : `${type} ${data.change}`
      return index > 0 && history[index - 1]!.status === status ? what : `${what} (${status})`
    })
    .join(" → ")

/** An amount of money times a whole number, exactly. */
export const times = (price: string, quantity: number): string => {
  const cents = BigInt(price.replace(".", "")) * BigInt(quantity)
  return `${cents / 100n}.${String(cents % 100n).padStart(2, "0")}`
}

/** The sum of amounts of money, exactly. */
export const sum = (amounts: ReadonlyArray<string>): string => {
  const cents = amounts.reduce((total, amount) => total + BigInt(amount.replace(".", "")), 0n)
  return `${cents / 100n}.${String(cents % 100n).padStart(2, "0")}`
}
