import { describe, expect, it } from "@effect/vitest"
import { mostWaiting } from "../../module/Journey.ts"
import { type Look, type ModuleLook, shownOf, stateOf, waitsOf } from "./look.ts"

const at = Date.UTC(2026, 0, 2)

const own = (given: Partial<ModuleLook> = {}): ModuleLook => ({
  module: "payment",
  publishes: ["payment_failed"],
  reacts: ["order_created"],
  checks: [],
  outbox: { pending: 0, oldest: null },
  deadLetters: { retrying: 0, parked: 0, waiting: 0 },
  positions: [],
  stuck: [],
  waiting: [],
  ...given,
})

const look = (given: Partial<Look> = {}): Look => ({ at, state: "running", ends: [], modules: [own()], ...given })

const check = (name: string, needed: boolean, fault?: string) => ({ name, needed, fault })
const end = (topic: string, partition: number, next: number) => ({ topic, partition, first: 0, next })
const position = (reaction: string, partition: number, next: number) => ({
  reaction,
  topic: "order_created",
  partition,
  next,
  epoch: 0,
})

describe("the state of a module", () => {
  it("is that of its worst check, and of the process while it starts and stops", () => {
    expect(stateOf("running", [check("database.payment", true)])).toBe("ready")
    expect(stateOf("running", [check("events", false, "away"), check("database.payment", true)])).toBe("degraded")
    expect(stateOf("running", [check("database.payment", true, "gone")])).toBe("unavailable")
    expect(stateOf("starting", [check("database.payment", true, "gone")])).toBe("starting")
    expect(stateOf("stopping", [])).toBe("stopping")
  })
})

describe("a module of the overview", () => {
  const ends = [end("order_created", 0, 100), end("order_created", 1, 50), end("payment_failed", 0, 40)]
  const positions = [
    position("payment.open", 0, 90),
    position("payment.count", 0, 70),
    position("payment.open", 1, 50),
    position("payment.count", 1, 50),
  ]

  it("lags behind by the records that one of its reactions has not taken", () => {
    const now = look({ ends, modules: [own({ positions })] })
    expect(shownOf(now.modules[0]!, now, undefined).consumers).toEqual([
      { topic: "order_created", lag: 30, applied_per_s: null },
    ])
  })

  it("has rates from the growth of log and positions since an earlier look", () => {
    const now = look({ ends, modules: [own({ positions })] })
    const before = look({
      at: at - 2_000,
      ends: [end("payment_failed", 0, 30)],
      modules: [own({ positions: positions.map((one) => ({ ...one, next: one.next - 10 })) })],
    })
    const { rates, consumers } = shownOf(now.modules[0]!, now, before)
    expect(rates).toEqual({
      published_per_s: 5,
      applied_per_s: 10,
      topics: [{ topic: "payment_failed", published_per_s: 5 }],
    })
    expect(consumers).toEqual([{ topic: "order_created", lag: 30, applied_per_s: 10 }])
  })

  it("has no negative rate when positions were moved back", () => {
    const now = look({ ends, modules: [own({ positions: [position("payment.open", 0, 0)] })] })
    const before = look({ at: at - 1_000, modules: [own({ positions })] })
    expect(shownOf(now.modules[0]!, now, before).rates.applied_per_s).toBe(0)
  })

  it("lacks what could not be read, instead of 0", () => {
    const now = look({
      ends: undefined,
      modules: [own({ outbox: undefined, deadLetters: undefined, positions: undefined })],
    })
    expect(shownOf(now.modules[0]!, now, look({ at: at - 1_000 }))).toMatchObject({
      outbox: null,
      consumers: null,
      dead_letters: null,
      rates: { published_per_s: null, applied_per_s: null },
    })
  })
})

describe("what waits", () => {
  const ago = (seconds: number) => new Date(at - seconds * 1_000)
  const stuck = {
    kind: "charge",
    ofOrder: true,
    task: "payment.charge",
    rows: 3,
    oldest: ago(90),
    error: "the circuit of the provider is open",
    ids: ["7", "8"],
  } as const
  const orders = { module: "payment", count: 4, oldest_at: ago(100), why: "they are not processed", sample: ["7"] }

  it("is nothing when all is well", () => {
    expect(waitsOf(look())).toEqual([])
    const fresh = own({ outbox: { pending: 5, oldest: ago(1) } })
    expect(waitsOf(look({ modules: [fresh] }))).toEqual([])
  })

  it("is unsent events, and why they are", () => {
    const outbox = { pending: 214, oldest: ago(60) }
    const wait = { kind: "unsent", module: "payment", count: 214, capped: false, oldest_at: ago(60), sample: [] }
    const away = own({ outbox, checks: [check("events", false, "the log is away")] })
    expect(waitsOf(look({ modules: [away] }))).toEqual([{ ...wait, why: "the log is away" }])
    expect(waitsOf(look({ modules: [own({ outbox })] }))).toEqual([{ ...wait, why: "the relay has not sent them yet" }])
  })

  it("is records that a consumer has not taken: many, or any when it fails", () => {
    const positions = [position("payment.open", 0, 0)]
    const behind = (records: number, fault?: string) =>
      waitsOf(
        look({
          ends: [end("order_created", 0, records)],
          modules: [own({ positions, checks: [check("consumer.payment", false, fault)] })],
        }),
      ).map(({ kind, count, why }) => [kind, count, why])
    expect(behind(99)).toEqual([])
    expect(behind(1_204)).toEqual([["lag", 1_204, "it has not taken charge of these records yet"]])
    expect(behind(1, "payment.open fails")).toEqual([["lag", 1, "payment.open fails"]])
  })

  it("is calls, the longest waiting first, with the orders that they are for", () => {
    const mails = { ...stuck, kind: "mail", ofOrder: false, rows: mostWaiting, oldest: ago(200), error: null } as const
    expect(waitsOf(look({ modules: [own({ stuck: [stuck, mails] })] }))).toEqual([
      {
        kind: "mail",
        module: "payment",
        count: mostWaiting,
        capped: true,
        oldest_at: ago(200),
        why: "they have been due for more than 5 s",
        sample: [],
      },
      {
        kind: "charge",
        module: "payment",
        count: 3,
        capped: false,
        oldest_at: ago(90),
        why: "the circuit of the provider is open",
        sample: ["7", "8"],
      },
    ])
  })

  it("is orders, unless a call of the module that they wait for is named", () => {
    const order = own({ module: "order", waiting: [orders] })
    expect(waitsOf(look({ modules: [order] }))).toEqual([{ kind: "order", ...orders, capped: false }])
    expect(waitsOf(look({ modules: [order, own({ stuck: [stuck] })] })).map(({ kind }) => kind)).toEqual(["charge"])
  })
})
