import { describe, expect, it } from "vitest"
import type { CauseGroupJson, OverviewJson, ReachedModuleJson, WaitJson } from "../answers.ts"
import { zone } from "./time.js"
import * as words from "./words.js"

zone.set("utc")
const now = Date.parse("2026-01-02T12:12:10Z")

const group = (change: Partial<CauseGroupJson> = {}): CauseGroupJson => ({
  cause: "c1",
  module: "inventory",
  reaction: "inventory.hold-order",
  type: "order_created",
  status: "parked",
  reason: "failed",
  error: `no shelf for kind "bulky"\n    at line 2`,
  count: 38,
  capped: false,
  keys: 12,
  waiting: 112,
  first_failed_at: "2026-01-02T12:01:44Z",
  last_failed_at: "2026-01-02T12:12:08Z",
  ...change,
})

const reached = (change: Partial<ReachedModuleJson> = {}): ReachedModuleJson => ({
  module: "inventory",
  state: "ready",
  release: "0.3.1",
  started_at: "2026-01-02T12:01:40Z",
  publishes: [],
  reacts: [],
  checks: { events: "ok" },
  outbox: { pending: 0, oldest_age_seconds: 0 },
  consumers: [],
  dead_letters: { retrying: 0, parked: 0, waiting: 0 },
  rates: { published_per_s: null, applied_per_s: null, topics: [] },
  ...change,
})

const wait = (change: Partial<WaitJson> = {}): WaitJson => ({
  kind: "charge",
  module: "payment",
  count: 3,
  capped: false,
  oldest_at: "2026-01-02T12:10:10Z",
  why: "the provider's circuit is open",
  sample: ["4711"],
  ...change,
})

const away = {
  module: "payment",
  state: "unreachable" as const,
  since: "2026-01-02T12:10:10Z",
  why: "no answer within 1 s",
}

const overview = (change: Partial<OverviewJson> = {}): OverviewJson => ({
  checked_at: "2026-01-02T12:12:10Z",
  modules: [reached()],
  waits: [],
  ...change,
})

describe("What is stuck", () => {
  const sentences = (whole: OverviewJson, groups: ReadonlyArray<CauseGroupJson>) =>
    words.stuckOf(whole, groups, [], now).map(({ mark, text }) => `${mark} ${text}`)

  it("stands the worst first", () => {
    const whole = overview({
      modules: [away, reached({ checks: { events: "no broker answers", "database.inventory": "ok" } })],
      waits: [
        wait({ kind: "lag", module: "inventory", count: 1204 }),
        wait(),
        wait({ kind: "unsent", module: "order" }),
      ],
    })
    const retrying = group({ status: "retrying", reaction: "user.record-order", count: 1, waiting: 0, error: null })
    expect(sentences(whole, [retrying, group()])).toEqual([
      "▲ payment is unreachable since 12:10:10 (2 min): no answer within 1 s. What it holds is not counted below.",
      "▲ The event log is away: no broker answers.",
      `■ 38 events are parked in inventory.hold-order: no shelf for kind "bulky". 112 events wait behind.`,
      "◇ 3 events of order are unsent since 12:10:10 (2 min): the provider's circuit is open.",
      "◔ 3 charges wait for payment since 12:10:10 (2 min): the provider's circuit is open.",
      "◔ inventory is 1,204 records behind since 12:10:10 (2 min): the provider's circuit is open.",
      "↻ 1 event is retried in user.record-order: failed.",
    ])
  })

  it("says how long after the start of which release it began", () => {
    expect(words.beganOf(group(), [reached()], [], now)).toBe(
      "first 12:01:44, 4.0 s after inventory started (release 0.3.1)",
    )
    expect(words.beganOf(group(), [reached({ started_at: "2026-01-02T09:00:00Z" })], [], now)).toBe("first 12:01:44")
    expect(words.beganOf(group(), [reached({ started_at: "2026-01-02T12:02:00Z" })], [], now)).toBe("first 12:01:44")
  })

  it("says after what an operator did it began", () => {
    const action = (at: string, action: string) => ({
      id: at,
      at,
      actor: "ops",
      action,
      target: "payment.open",
      details: {},
    })
    const actions = [
      action("2026-01-02T12:01:50Z", "discard"),
      action("2026-01-02T12:01:43Z", "show personal data"),
      action("2026-01-02T12:01:42.500Z", "sign in"),
      action("2026-01-02T12:01:42Z", "redrive"),
      action("2026-01-02T12:01:41Z", "discard"),
    ]
    expect(words.beganOf(group(), [], actions, now)).toBe("first 12:01:44, 2.0 s after ops did: redrive payment.open")
    expect(words.beganOf(group(), [], [action("2026-01-02T09:00:00Z", "redrive")], now)).toBe("first 12:01:44")
  })

  it("has a date when it began on another day", () => {
    expect(words.sinceOf("2026-01-01T12:00:00Z", now)).toBe("since 2026-01-01 12:00:00 (24 h)")
  })

  it("is counted with separators, and with a plus where the count ends", () => {
    expect(words.countOf(1, "event")).toBe("1 event")
    expect(words.countOf(4000, "event")).toBe("4,000 events")
    expect(words.countOf(100_000, "event", true)).toBe("100,000+ events")
  })
})

describe("The verdict", () => {
  const dead = (parked: number, retrying: number) => reached({ dead_letters: { parked, retrying, waiting: 5 } })
  const verdict = (whole: OverviewJson) => words.verdictOf(words.summaryOf(whole))

  it("is one sentence", () => {
    expect(verdict(overview()).text).toBe("Nothing is stuck.")
    expect(verdict(overview({ waits: [wait()] })).text).toBe("Nothing is stuck; some orders wait.")
    expect(verdict(overview({ modules: [away, dead(38, 3)] }))).toEqual({
      mark: "■",
      tone: "dead",
      text: "41 events are stuck and 1 module is unreachable.",
    })
    expect(verdict(overview({ modules: [dead(0, 1)] }))).toMatchObject({ mark: "↻", text: "1 event is stuck." })
    expect(verdict(overview({ modules: [dead(100_000, 0)] })).text).toBe("100,000+ events are stuck.")
  })

  it("is the title of the tab", () => {
    const titleOf = (modules: OverviewJson["modules"]) => words.titleOf(words.summaryOf(overview({ modules })))
    expect(titleOf([dead(38, 0)])).toBe("■ 38 stuck · Galleria")
    expect(titleOf([away])).toBe("▲ 1 unreachable · Galleria")
    expect(titleOf([reached()])).toBe("Galleria")
  })

  it("holds before the causes are known", () => {
    expect(words.stuckOf(overview({ modules: [dead(38, 1)] }), undefined, [], now).map(({ text }) => text)).toEqual([
      "38 events are parked in inventory.",
      "1 event is retried in inventory.",
    ])
  })
})

describe("A dialog", () => {
  const letter = { reaction: "inventory.hold-order", waiting: 3, order_id: 4711 }

  it("says what a change of one will do", () => {
    expect(words.changeOneOf({ kind: "redrive", letter })).toBe(
      "Runs inventory.hold-order on this event now, with all its attempts. If it takes effect, the 3 events behind it follow in their order.",
    )
    expect(words.changeOneOf({ kind: "discard", letter })).toBe(
      "It will never take effect in inventory.hold-order. This cannot be undone. The 3 events behind it go on without it. Order 4711 may stay “created”: cancel it if nothing else comes.",
    )
    expect(words.changeOneOf({ kind: "redrive", letter: { ...letter, waiting: 0 } })).not.toContain("behind")
  })

  it("says which of many are included", () => {
    const many = { count: 38, capped: false, until: "2026-01-02T12:04:30Z", hasCause: true, now }
    expect(words.changeManyOf({ kind: "redrive", ...many })).toBe(
      "Runs 38 events again that failed until 12:04:30 with this cause. Events of one key keep their order. Later failures are not included.",
    )
    expect(words.changeManyOf({ kind: "discard", ...many })).toContain("This cannot be undone.")
    expect(words.changeManyOf({ kind: "redrive", count: 2, now })).toBe(
      "Runs 2 events again that you selected. Events of one key keep their order.",
    )
  })
})

describe("The result of a change", () => {
  const counts = { applied: 31, waiting: 5, retrying: 1, parked: 1, discarded: 0 }
  const redrive = { kind: "redrive" as const, expected: 38, done: 38, ended: true }

  it("counts what took effect, what waits and what failed again", () => {
    expect(words.progressOf({ ...redrive, ended: false, done: 12 })).toBe("Redrive: 12 of 38 so far…")
    expect(words.progressOf({ ...redrive, counts })).toBe(
      "Redrive of 38: 31 took effect, 5 wait their turn, 2 failed again.",
    )
    expect(
      words.progressOf({
        ...redrive,
        done: 37,
        counts: { ...counts, applied: 37, waiting: 0, retrying: 0, parked: 0 },
      }),
    ).toBe("Redrive of 37: 37 took effect. 1 had already ended.")
    expect(words.progressOf({ kind: "discard", expected: 38, done: 38, ended: true })).toBe("Discarded 38 events.")
  })

  it("says when nothing changed, and when it stopped", () => {
    expect(words.progressOf({ ...redrive, done: 0 })).toBe("Redrive: nothing changed. They had already ended.")
    expect(
      words.progressOf({ ...redrive, done: 12_500, expected: 40_000, ended: false, stopped: "you stopped it" }),
    ).toBe("Redrive stopped after 12,500 of 40,000: you stopped it.")
  })

  it("of one entry that had ended is that nothing changed", () => {
    const ended = { status: "resolved" as const, ended_at: "2026-01-02T12:04:10Z" }
    expect(words.changedOneOf("redrive", ended, ended, now)).toBe(
      "Nothing changed: it had ended as resolved at 12:04:10.",
    )
    expect(words.changedOneOf("discard", { status: "parked" }, ended, now)).toContain("Nothing changed")
    expect(words.changedOneOf("redrive", { status: "parked" }, { status: "retrying" }, now)).toBe(
      "Redriven: it is tried now.",
    )
  })
})

describe("A delivery", () => {
  const delivery = {
    module: "inventory",
    reaction: "inventory.hold-order",
    at: "2026-01-02T12:01:44.012Z",
    attempts: 3,
  }
  const writtenAt = Date.parse("2026-01-02T12:01:44Z")
  const sentence = (status: Parameters<typeof words.deliverySentence>[0]["status"]) =>
    words.deliverySentence({ ...delivery, status }, { now, writtenAt })

  it("is explained in a sentence", () => {
    expect(sentence("applied")).toBe("Took effect here once, 12 ms after it was written.")
    expect(sentence("pending")).toBe("On the log; inventory has not taken charge of it.")
    expect(sentence("parked")).toBe("Waits for a person since 12:01:44.")
    expect(sentence("resolved")).toBe("Took effect by itself after 3 attempts.")
    expect(sentence("unknown")).toBe("inventory could not be asked.")
  })

  it("has a mark, a colour and a word in every state", () => {
    expect(words.stateOf("parked")).toEqual({ mark: "■", tone: "dead", word: "parked" })
    expect(words.stateOf("something new").word).toBe("something new")
  })
})

describe("A fault", () => {
  it("says what it does, for whom and since when", () => {
    const fault = { name: "reaction.inventory.hold-order", enabled: true, since: "2026-01-02T12:09:50Z", user_id: 7 }
    expect(words.faultSentence(fault, now)).toBe("Fault on: inventory.hold-order fails for user 7 since 12:09:50.")
    expect(words.faultWarning("provider")).toBe(
      "Until you switch it off or the process ends, the payment provider does not answer.",
    )
  })
})
