import { type Fact, fact } from "../../runtime/events/Event.ts"
import { InventoryRejected, InventoryUpdated } from "./contract/events.ts"

/** A number of units of one product. */
export interface Line {
  readonly product_id: string
  readonly quantity: number
}

/** A product as the rules use it: `stock` is the number of units on hand, `reserved` how many of them are held. */
export interface Stock {
  readonly product_id: string
  readonly stock: number
  readonly reserved: number
}

/** Products by id; a missing product is unknown. */
export type Shelf = ReadonlyMap<string, Stock>

/** `expected` until `order_created` arrives; `taken` units have left the stock, `released` units are back in it. */
export type HoldStatus = "expected" | "held" | "taken" | "rejected" | "released"

/** The state of one order in the inventory. */
export interface Hold {
  readonly order_id: number
  readonly user_id: number
  readonly status: HoldStatus
  /** The payment event arrived before `order_created`. */
  readonly isPaid: boolean
  /** The event of a failure, refund or cancellation arrived before `order_created`. */
  readonly isDead: boolean
  /** The held units, one line for each product, ordered by its id. */
  readonly lines: ReadonlyArray<Line>
}

/** An event about an order, as the rules use it. */
export type News =
  | { readonly _tag: "Created"; readonly lines: ReadonlyArray<Line>; readonly needsPayment: boolean }
  | { readonly _tag: "Paid" }
  /** The payment failed or was refunded, or the order was cancelled. */
  | { readonly _tag: "Dead" }
  /** The hold has expired, and no payment for it is under way. */
  | { readonly _tag: "Expired" }

/** A row of the ledger: the change of a product's stock and reserved units, and the order that caused it. */
export interface Entry {
  readonly product_id: string
  readonly order_id: number | null
  readonly change: "put" | "held" | "taken" | "released" | "expired"
  readonly stock_change: number
  readonly reserved_change: number
}

/** The hold after the event; the same object when nothing changed. */
export interface Decision {
  readonly hold: Hold
  /** The changed products, in their new state. */
  readonly products: ReadonlyArray<Stock>
  readonly entries: ReadonlyArray<Entry>
  readonly facts: ReadonlyArray<Fact>
}

/** One line for each product, ordered by its id, with the sum of its quantities. */
export const sumOfLines = (items: ReadonlyArray<Line>): ReadonlyArray<Line> => {
  const quantities = new Map<string, number>()
  for (const { product_id, quantity } of items) {
    quantities.set(product_id, (quantities.get(product_id) ?? 0) + quantity)
  }
  return Array.from(quantities, ([product_id, quantity]) => ({ product_id, quantity })).sort((a, b) =>
    a.product_id < b.product_id ? -1 : 1,
  )
}

const unchanged = (hold: Hold): Decision => ({ hold, products: [], entries: [], facts: [] })

const become = (hold: Hold, change: Partial<Hold>): Decision => unchanged({ ...hold, ...change })

/** The change of stock and reserved units for each unit of a hold. */
interface PerUnit {
  readonly stock: -1 | 0 | 1
  readonly reserved: -1 | 0 | 1
}

const move = (hold: Hold, shelf: Shelf, change: Entry["change"], by: PerUnit) => {
  const entries = hold.lines.map(({ product_id, quantity }) => ({
    product_id,
    order_id: hold.order_id,
    change,
    stock_change: by.stock * quantity,
    reserved_change: by.reserved * quantity,
  }))
  const products = entries.map(({ product_id, stock_change, reserved_change }) => {
    const { stock, reserved } = shelf.get(product_id)!
    return { product_id, stock: stock + stock_change, reserved: reserved + reserved_change }
  })
  return { products, entries }
}

type Moved = ReturnType<typeof move>

const updated = ({ order_id, user_id, lines }: Hold, change: "held" | "taken" | "released", { products }: Moved) =>
  fact(InventoryUpdated, {
    order_id,
    user_id,
    change,
    lines: products.map(({ product_id, stock, reserved }, n) => ({
      product_id,
      quantity: lines[n]!.quantity,
      stock,
      available: stock - reserved,
    })),
  })

const take = (hold: Hold, shelf: Shelf): Decision => {
  const moved = move(hold, shelf, "taken", { stock: -1, reserved: hold.status === "held" ? -1 : 0 })
  return { hold: { ...hold, status: "taken" }, ...moved, facts: [updated(hold, "taken", moved)] }
}

const keep = (hold: Hold, shelf: Shelf): Decision => {
  const moved = move(hold, shelf, "held", { stock: 0, reserved: 1 })
  return { hold: { ...hold, status: "held" }, ...moved, facts: [updated(hold, "held", moved)] }
}

const release = (hold: Hold, shelf: Shelf): Decision => {
  const by: PerUnit = hold.status === "held" ? { stock: 0, reserved: -1 } : { stock: 1, reserved: 0 }
  const moved = move(hold, shelf, "released", by)
  return { hold: { ...hold, status: "released" }, ...moved, facts: [updated(hold, "released", moved)] }
}

const expire = (hold: Hold, shelf: Shelf): Decision => {
  const { order_id, user_id } = hold
  return {
    hold: { ...hold, status: "rejected" },
    ...move(hold, shelf, "expired", { stock: 0, reserved: -1 }),
    facts: [fact(InventoryRejected, { order_id, user_id, reason: "hold_expired" })],
  }
}

/** The lines that cannot be supplied, and the reason: `unknown_product` if any product is unknown, else `out_of_stock`. */
const reject = (hold: Hold, short: ReadonlyArray<Line>, shelf: Shelf): Decision => {
  const { order_id, user_id } = hold
  const reason = short.every(({ product_id }) => shelf.has(product_id)) ? "out_of_stock" : "unknown_product"
  const shortages = short.map(({ product_id, quantity }) => ({
    product_id,
    requested: quantity,
    available: availableOf(product_id, shelf),
  }))
  return {
    ...become(hold, { status: "rejected" }),
    facts: [fact(InventoryRejected, { order_id, user_id, reason, shortages })],
  }
}

const availableOf = (product_id: string, shelf: Shelf) => {
  const product = shelf.get(product_id)
  return product === undefined ? 0 : product.stock - product.reserved
}

/** Holds all lines or none. */
const create = (hold: Hold, lines: ReadonlyArray<Line>, needsPayment: boolean, shelf: Shelf): Decision => {
  if (hold.isDead) return become(hold, { status: "released" })
  const short = lines.filter(({ product_id, quantity }) => availableOf(product_id, shelf) < quantity)
  if (short.length > 0) return reject(hold, short, shelf)
  const wanted = { ...hold, lines }
  return hold.isPaid || !needsPayment ? take(wanted, shelf) : keep(wanted, shelf)
}

/** The products on which a decision depends. */
export const productsFor = (hold: Hold, news: News): ReadonlyArray<string> => {
  const lines = news._tag === "Created" ? news.lines : hold.lines
  const isOpen =
    news._tag === "Created" ? hold.status === "expected" : hold.status === "held" || hold.status === "taken"
  return isOpen ? lines.map(({ product_id }) => product_id) : []
}

/** Implements the table in README.md, row by row. */
export const learn = (hold: Hold, news: News, shelf: Shelf): Decision => {
  const { status } = hold
  switch (news._tag) {
    case "Created":
      return status === "expected" ? create(hold, news.lines, news.needsPayment, shelf) : unchanged(hold)
    case "Paid":
      if (status === "expected" && !hold.isPaid) return become(hold, { isPaid: true })
      return status === "held" ? take(hold, shelf) : unchanged(hold)
    case "Dead":
      if (status === "expected" && !hold.isDead) return become(hold, { isDead: true })
      return status === "held" || status === "taken" ? release(hold, shelf) : unchanged(hold)
    case "Expired":
      return status === "held" ? expire(hold, shelf) : unchanged(hold)
  }
}
