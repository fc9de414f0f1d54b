import { describe, expect, it } from "@effect/vitest"
import { encode } from "../../events/cloudEvents.ts"
import type { Received } from "../../events/EventBus.ts"
import { loggedOf, matching } from "./logged.ts"

const id = "019b7f4e-5b02-7c11-8f0a-1d2c3b4a5968"

const appended = (record: Partial<Received>): Received => ({
  topic: "order_created",
  partition: 2,
  offset: 17,
  time: Date.UTC(2026, 0, 2),
  key: "7",
  value: null,
  headers: {},
  ...record,
})

const own = appended(
  encode({
    id,
    source: "/galleria/order",
    type: "order_created",
    version: 1,
    key: "7",
    subject: "4711",
    time: "2026-01-01T00:00:00.000Z",
    traceparent: null,
    data: '{"order_id":4711,"user_id":7}',
  }),
)
const bytes = (value: unknown) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value))
const bare = appended({ key: null, value: bytes({ order_id: 4711, user_id: 8 }) })
const structured = appended({
  headers: { "content-type": "application/cloudevents+json", ce_id: "of another" },
  value: bytes({
    specversion: "1.0",
    id: "e1",
    source: "/shop",
    type: "order_created",
    subject: "4712",
    time: "2026-01-01T00:00:00Z",
    data: { order_id: 4712 },
  }),
})
const broken = appended({ value: bytes("not JSON, order 4711") })
const empty = appended({ headers: { ce_id: "e2" } })

describe("loggedOf", () => {
  it("shows an event by its headers", () => {
    expect(loggedOf(own)).toEqual({
      topic: "order_created",
      partition: 2,
      offset: 17,
      time: new Date("2026-01-02T00:00:00Z"),
      event: {
        id,
        source: "/galleria/order",
        type: "order_created",
        time: "2026-01-01T00:00:00.000Z",
        subject: "4711",
        key: "7",
        data: { order_id: 4711, user_id: 7 },
        headers: own.headers,
      },
    })
  })

  it("shows a structured event, bare JSON, a record that cannot be read, and one without a value", () => {
    expect(loggedOf(structured).event).toMatchObject({ id: "e1", source: "/shop", subject: "4712", key: "7" })
    expect(loggedOf(structured).event.data).toEqual({ order_id: 4712 })
    expect(loggedOf(bare).event).toMatchObject({ source: "/foreign/order_created", key: "8", subject: null })
    expect(loggedOf(broken).event).toMatchObject({ type: "order_created", data: "not JSON, order 4711" })
    expect(loggedOf(empty).event).toMatchObject({ id: "e2", data: null, time: null })
  })
})

describe("matching", () => {
  const found = (wanted: Parameters<typeof matching>[0]) =>
    [own, bare, structured, broken, empty].filter(matching(wanted))

  it("finds records by the order that their data names", () => {
    expect(found({ order_id: 4711 })).toEqual([own, bare])
    expect(found({ order_id: 471 })).toEqual([])
  })

  it("finds records by their key, or by the user that their data names where they have none", () => {
    expect(found({ key: "7" })).toEqual([own, structured, broken, empty])
    expect(found({ key: "8" })).toEqual([bare])
  })

  it("finds records by the id of their event, also one that is derived", () => {
    expect(found({ event_id: id })).toEqual([own])
    expect(found({ event_id: "e1" })).toEqual([structured])
    expect(found({ event_id: loggedOf(bare).event.id })).toEqual([bare])
    expect(found({ event_id: "of another" })).toEqual([])
  })

  it("finds records by all at once, and all by nothing", () => {
    expect(found({ key: "7", order_id: 4711, event_id: id })).toEqual([own])
    expect(found({ key: "8", event_id: id })).toEqual([])
    expect(found({})).toHaveLength(5)
  })
})
