import { describe, expect, it } from "@effect/vitest"
import { Schema } from "effect"
import { type Decision, type Entry, type Hold, learn, type News, type Shelf, type Stock, sumOfLines } from "./Hold.ts"

const expected = (given: Partial<Hold> = {}): Hold => ({
  order_id: 7,
  user_id: 3,
  status: "expected",
  isPaid: false,
  isDead: false,
  lines: [],
  ...given,
})

const shelf = (stocks: Readonly<Record<string, readonly [stock: number, reserved: number]>>): Shelf =>
  new Map(
    Object.entries(stocks).map(([product_id, [stock, reserved]]) => [product_id, { product_id, stock, reserved }]),
  )

const lines = [
  { product_id: "LAPTOP001", quantity: 2 },
  { product_id: "MOUSE001", quantity: 3 },
]
const before = shelf({ LAPTOP001: [5, 1], MOUSE001: [10, 4] })

const created: News = { _tag: "Created", lines, needsPayment: true }
const paid: News = { _tag: "Paid" }
const dead: News = { _tag: "Dead" }
const expiry: News = { _tag: "Expired" }

const factsOf = ({ facts }: Decision) => facts.map(({ event, data }) => [event.type, data])
const stocksOf = ({ products }: Decision) =>
  Object.fromEntries(products.map(({ product_id, stock, reserved }) => [product_id, [stock, reserved]]))
const movesOf = ({ entries }: Decision) =>
  entries.map(({ product_id, change, stock_change, reserved_change }) => [
    product_id,
    change,
    stock_change,
    reserved_change,
  ])

const updated = (change: string, ...lines: ReadonlyArray<readonly [string, number, number, number]>) => [
  "inventory_updated",
  {
    order_id: 7,
    user_id: 3,
    change,
    lines: lines.map(([product_id, quantity, stock, available]) => ({ product_id, quantity, stock, available })),
  },
]

describe("A hold", () => {
  it("has one line for each product, with the sum of its quantities", () => {
    const items = [
      { product_id: "b", quantity: 1 },
      { product_id: "B", quantity: 2 },
      { product_id: "b", quantity: 3 },
    ]
    expect(sumOfLines(items)).toEqual([
      { product_id: "B", quantity: 2 },
      { product_id: "b", quantity: 4 },
    ])
  })

  describe("of a new order", () => {
    it("covers all lines when they are available", () => {
      const decision = learn(expected(), created, before)
      expect(decision.hold).toEqual(expected({ status: "held", lines }))
      expect(stocksOf(decision)).toEqual({ LAPTOP001: [5, 3], MOUSE001: [10, 7] })
      expect(movesOf(decision)).toEqual([
        ["LAPTOP001", "held", 0, 2],
        ["MOUSE001", "held", 0, 3],
      ])
      expect(factsOf(decision)).toEqual([updated("held", ["LAPTOP001", 2, 5, 2], ["MOUSE001", 3, 10, 3])])
    })

    it.each([
      ["it was paid before", expected({ isPaid: true }), created],
      ["it needs no payment", expected(), { ...created, needsPayment: false }],
    ] as const)("takes all lines at once when %s", (_, hold, news) => {
      const decision = learn(hold, news, before)
      expect(decision.hold).toEqual({ ...hold, status: "taken", lines })
      expect(stocksOf(decision)).toEqual({ LAPTOP001: [3, 1], MOUSE001: [7, 4] })
      expect(factsOf(decision)).toEqual([updated("taken", ["LAPTOP001", 2, 3, 2], ["MOUSE001", 3, 7, 3])])
    })

    it("takes the last unit, and not more", () => {
      const last = shelf({ LAPTOP001: [2, 0], MOUSE001: [3, 0] })
      expect(learn(expected(), created, last).hold.status).toBe("held")
      const one = shelf({ LAPTOP001: [2, 1], MOUSE001: [3, 0] })
      expect(learn(expected(), created, one).hold.status).toBe("rejected")
    })

    it.each([
      [
        "a line is short",
        shelf({ LAPTOP001: [5, 4], MOUSE001: [10, 4] }),
        "out_of_stock",
        [{ product_id: "LAPTOP001", requested: 2, available: 1 }],
      ],
      [
        "a product is unknown",
        shelf({ LAPTOP001: [5, 1] }),
        "unknown_product",
        [{ product_id: "MOUSE001", requested: 3, available: 0 }],
      ],
      [
        "one is short and one unknown",
        shelf({ LAPTOP001: [0, 0] }),
        "unknown_product",
        [
          { product_id: "LAPTOP001", requested: 2, available: 0 },
          { product_id: "MOUSE001", requested: 3, available: 0 },
        ],
      ],
    ])("is rejected when %s, and holds nothing", (_, shelf, reason, shortages) => {
      const decision = learn(expected(), created, shelf)
      expect(decision).toMatchObject({ hold: { status: "rejected", lines: [] }, products: [], entries: [] })
      expect(factsOf(decision)).toEqual([["inventory_rejected", { order_id: 7, user_id: 3, reason, shortages }]])
    })

    it("has no lines when the order has none, even without any stock", () => {
      const decision = learn(expected(), { ...created, lines: [] }, new Map())
      expect(decision.hold).toEqual(expected({ status: "held" }))
      expect(factsOf(decision)).toEqual([updated("held")])
      expect(factsOf(learn(expected({ isPaid: true }), { ...created, lines: [] }, new Map()))).toEqual([
        updated("taken"),
      ])
    })

    it.each([false, true])(
      "ends as released, without an event, when the order was dead before (paid: %s)",
      (isPaid) => {
        const decision = learn(expected({ isDead: true, isPaid }), created, before)
        expect(decision.hold.status).toBe("released")
        expect(decision).toMatchObject({ products: [], entries: [], facts: [] })
      },
    )
  })

  it.each([
    ["Paid", paid, { isPaid: true }],
    ["Dead", dead, { isDead: true }],
  ] as const)("records %s before the order was created", (_, news, remembered) => {
    const decision = learn(expected(), news, before)
    expect(decision).toEqual({ hold: expected(remembered), products: [], entries: [], facts: [] })
    expect(learn(decision.hold, news, before).hold).toBe(decision.hold)
  })

  it("is taken when the order is paid", () => {
    const decision = learn(expected({ status: "held", lines }), paid, shelf({ LAPTOP001: [5, 3], MOUSE001: [10, 7] }))
    expect(decision.hold.status).toBe("taken")
    expect(stocksOf(decision)).toEqual({ LAPTOP001: [3, 1], MOUSE001: [7, 4] })
    expect(factsOf(decision)).toEqual([updated("taken", ["LAPTOP001", 2, 3, 2], ["MOUSE001", 3, 7, 3])])
  })

  it.each([
    ["held", shelf({ LAPTOP001: [5, 3], MOUSE001: [10, 7] })],
    ["taken", shelf({ LAPTOP001: [3, 1], MOUSE001: [7, 4] })],
  ] as const)("releases %s stock when the order is dead", (status, shelf) => {
    const decision = learn(expected({ status, lines }), dead, shelf)
    expect(decision.hold.status).toBe("released")
    expect(stocksOf(decision)).toEqual({ LAPTOP001: [5, 1], MOUSE001: [10, 4] })
    expect(factsOf(decision)).toEqual([updated("released", ["LAPTOP001", 2, 5, 4], ["MOUSE001", 3, 10, 6])])
  })

  it("is rejected when it expires, without shortages, and its stock is released", () => {
    const decision = learn(expected({ status: "held", lines }), expiry, shelf({ LAPTOP001: [5, 3], MOUSE001: [10, 7] }))
    expect(decision.hold.status).toBe("rejected")
    expect(stocksOf(decision)).toEqual({ LAPTOP001: [5, 1], MOUSE001: [10, 4] })
    expect(factsOf(decision)).toEqual([["inventory_rejected", { order_id: 7, user_id: 3, reason: "hold_expired" }]])
  })

  it.each(["taken", "rejected", "released", "held"] as const)("that is %s ignores every other event", (status) => {
    const others: Record<string, ReadonlyArray<News>> = {
      taken: [created, paid, expiry],
      rejected: [created, paid, dead, expiry],
      released: [created, paid, dead, expiry],
      held: [created],
    }
    const hold = expected({ status, lines: status === "rejected" ? [] : lines })
    for (const news of others[status]!) {
      const decision = learn(hold, news, before)
      expect(decision.hold).toBe(hold)
      expect(decision).toMatchObject({ products: [], entries: [], facts: [] })
    }
  })
})

describe("Holds, with any events in any order", () => {
  const products = ["a", "b", "c"]
  /** What each of the orders needs. */
  const needs: ReadonlyArray<{ readonly lines: Hold["lines"]; readonly needsPayment: boolean }> = [
    { lines: [{ product_id: "a", quantity: 2 }], needsPayment: true },
    { lines: products.map((product_id) => ({ product_id, quantity: 1 })), needsPayment: true },
    {
      lines: [
        { product_id: "a", quantity: 3 },
        { product_id: "c", quantity: 4 },
      ],
      needsPayment: false,
    },
    { lines: [{ product_id: "nothing", quantity: 1 }], needsPayment: true },
    { lines: [], needsPayment: true },
  ]

  const Happening = Schema.Struct({
    order: Schema.Literals([0, 1, 2, 3, 4]),
    news: Schema.Literals(["Created", "Paid", "Dead", "Expired"]),
  })
  const Happenings = Schema.Array(Happening).check(Schema.isMaxLength(24))
  const Supply = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 8 }))

  interface World {
    readonly shelf: Map<string, Stock>
    readonly holds: Map<number, Hold>
    readonly entries: Array<Entry>
    readonly published: Map<number, Array<string>>
  }

  const newsOf = (order: number, tag: typeof Happening.Type.news): News =>
    tag === "Created" ? { _tag: tag, ...needs[order]! } : { _tag: tag }

  const live = (supply: number, happenings: typeof Happenings.Type): World => {
    const world: World = {
      shelf: new Map(products.map((product_id) => [product_id, { product_id, stock: supply, reserved: 0 }])),
      holds: new Map(needs.map((_, order_id) => [order_id, expected({ order_id })])),
      entries: [],
      published: new Map(needs.map((_, order_id) => [order_id, []])),
    }
    for (const { order, news } of happenings) {
      const decision = learn(world.holds.get(order)!, newsOf(order, news), world.shelf)
      world.holds.set(order, decision.hold)
      for (const product of decision.products) world.shelf.set(product.product_id, product)
      world.entries.push(...decision.entries)
      world.published
        .get(order)!
        .push(...decision.facts.map(({ data }) => (data as { change?: string }).change ?? "rejected"))
      expectConserved(supply, world)
    }
    return world
  }

  const sum = (quantities: ReadonlyArray<number>) => quantities.reduce((total, quantity) => total + quantity, 0)

  /** On hand and taken are what was put in, what is held is the sum of the holds, and the ledger says the same. */
  const expectConserved = (supply: number, { shelf, holds, entries }: World) => {
    for (const { product_id, stock, reserved } of shelf.values()) {
      const quantityOf = (status: Hold["status"]) =>
        sum(
          [...holds.values()]
            .filter((hold) => hold.status === status)
            .flatMap(({ lines }) => lines.filter((line) => line.product_id === product_id))
            .map(({ quantity }) => quantity),
        )
      const own = entries.filter((entry) => entry.product_id === product_id)
      expect(reserved).toBeGreaterThanOrEqual(0)
      expect(reserved).toBeLessThanOrEqual(stock)
      expect(stock + quantityOf("taken")).toBe(supply)
      expect(reserved).toBe(quantityOf("held"))
      expect(supply + sum(own.map(({ stock_change }) => stock_change))).toBe(stock)
      expect(sum(own.map(({ reserved_change }) => reserved_change))).toBe(reserved)
    }
  }

  const often = { arbitrary: { runs: 1_000 } }

  it.prop(
    "neither lose nor create units",
    [Supply, Happenings],
    ([supply, happenings]) => void live(supply, happenings),
    often,
  )

  it.prop(
    "publish a possible sequence: held, taken and released each at most once, in this order, or rejected",
    [Supply, Happenings],
    ([supply, happenings]) => {
      for (const story of live(supply, happenings).published.values()) {
        expect([
          "",
          "held",
          "taken",
          "rejected",
          "held,taken",
          "held,released",
          "taken,released",
          "held,taken,released",
          "held,rejected",
        ]).toContain(story.join())
      }
    },
    often,
  )

  it.prop(
    "ignore repeated events, whenever they repeat",
    [Supply, Happenings, Schema.Array(Schema.Struct({ at: Schema.Natural, of: Schema.Natural }))],
    ([supply, happenings, repeats]) => {
      // An expiry is no event: it may come to nothing at first and to something later.
      const facts = happenings.filter(({ news }) => news !== "Expired")
      const again = [...facts]
      for (const { at, of } of facts.length === 0 ? [] : repeats) {
        const later = at % again.length
        again.splice(later + 1, 0, again[of % (later + 1)]!)
      }
      const [once, twice] = [live(supply, facts), live(supply, again)]
      expect([...twice.shelf]).toEqual([...once.shelf])
      expect([...twice.holds]).toEqual([...once.holds])
    },
    often,
  )

  it.prop(
    "do not depend on the order of the events of one order, while stock suffices",
    [
      Schema.Array(Schema.Struct({ news: Schema.Literals(["Created", "Paid", "Dead"]), rank: Schema.Int })).check(
        Schema.isMaxLength(8),
      ),
    ],
    ([ranked]) => {
      const of = (those: typeof ranked) =>
        live(
          8,
          those.map(({ news }) => ({ order: 1 as const, news })),
        )
      const [listed, sorted] = [of(ranked), of(ranked.toSorted((a, b) => a.rank - b.rank))]
      expect([...sorted.shelf]).toEqual([...listed.shelf])
      expect(sorted.holds.get(1)!.status).toBe(listed.holds.get(1)!.status)
    },
    often,
  )
})
