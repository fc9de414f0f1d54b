import { describe, expect, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import { type Decoded, decode, encode, type Envelope } from "./cloudEvents.ts"
import type { Received } from "./EventBus.ts"

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
const json = (value: unknown): Uint8Array => utf8(JSON.stringify(value))

/** A record of a foreign producer, as bare as can be, but for what is given. */
const record = (given: Partial<Received> = {}): Received => ({
  topic: "user_created",
  partition: 1,
  offset: 42,
  time: Date.UTC(2026, 0, 2),
  key: "7",
  value: json({ user_id: 7 }),
  headers: {},
  ...given,
})

const attributes = { specversion: "1.0", id: "e-1", source: "/shop", type: "user_created" }

const binary = (said: Readonly<Record<string, string | undefined>> = {}, given: Partial<Received> = {}) => {
  const entries = Object.entries({ ...attributes, ...said })
  const headers = Object.fromEntries(
    entries.flatMap(([name, text]) => (text === undefined ? [] : [[`ce_${name}`, text]])),
  )
  return record({ headers, ...given })
}

const structured = (said: Readonly<Record<string, unknown>> = {}, given: Partial<Received> = {}) =>
  record({
    headers: { "content-type": "application/cloudevents+json; charset=UTF-8" },
    value: json({ ...attributes, data: { user_id: 7 }, ...said }),
    ...given,
  })

const envelopeOf = (decoded: Decoded): Envelope => {
  if (decoded._tag !== "Event") throw new Error(`expected an event, not ${JSON.stringify(decoded)}`)
  return decoded.envelope
}

const read = (given: Received): Envelope => envelopeOf(decode(given))

const isStorable = (text: string) => /^[^\0]{1,200}$/u.test(text) && text.isWellFormed()

const Name = Schema.String.check(Schema.isMinLength(1), Schema.makeFilter(isStorable))
const Millis = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: Date.UTC(9999, 11, 31) }))
const Data = Schema.Record(Schema.String, Schema.Json)

describe("encode", () => {
  const ours = {
    id: "019b76da-a800-7000-8000-000000000001",
    source: "/galleria/user",
    type: "user_created",
    version: 3,
    key: "7",
    subject: "7",
    time: "2026-01-02T03:04:05.678Z",
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    data: '{"user_id":7}',
  }

  it("writes binary mode: the data alone as the value, the rest as headers", () => {
    expect(encode(ours)).toEqual({
      topic: "user_created",
      key: "7",
      value: Buffer.from('{"user_id":7}'),
      headers: {
        ce_specversion: "1.0",
        ce_id: ours.id,
        ce_source: "/galleria/user",
        ce_type: "user_created",
        ce_subject: "7",
        ce_time: ours.time,
        ce_dataschema: "/schemas/user_created/3",
        "content-type": "application/json",
        traceparent: ours.traceparent,
      },
    })
  })

  it("leaves traceparent out where there is none", () => {
    expect(Object.keys(encode({ ...ours, traceparent: null }).headers)).not.toContain("traceparent")
  })

  it.prop(
    "is undone by decode",
    { id: Name, source: Name, type: Name, key: Name, subject: Name, time: Millis, version: Schema.Natural, data: Data },
    ({ time, data, ...rest }) => {
      const text = JSON.stringify(data)
      const sent = encode({ ...rest, time: new Date(time).toISOString(), traceparent: null, data: text })
      const { subject: _, ...said } = rest
      const found = read({ ...sent, partition: 0, offset: 0, time: 0 })
      expect({ ...found, data: JSON.stringify(found.data) }).toEqual({ ...said, time: new Date(time), data: text })
    },
  )
})

describe("decode", () => {
  const event = {
    id: "e-1",
    source: "/shop",
    type: "user_created",
    time: new Date("2026-03-04T05:06:07.890Z"),
    version: 2,
    key: "7",
    data: { user_id: 7 },
  }
  const said = { time: "2026-03-04T05:06:07.890Z", dataschema: "https://example.org/schemas/user_created/2" }

  it("reads binary mode", () => {
    expect(read(binary(said))).toEqual(event)
  })

  it("reads structured mode", () => {
    expect(read(structured(said))).toEqual(event)
  })

  it.each([
    "application/cloudevents+json",
    "Application/CloudEvents+JSON",
    "application/cloudevents+json;charset=utf-8",
  ])("takes content-type %j for structured mode", (type) => {
    expect(read(structured(said, { headers: { "content-type": type } }))).toEqual(event)
  })

  it.each([{}, { "content-type": "application/json" }, { "x-sent-by": "kcat" }])(
    "reads bare JSON with the headers %j, as of the topic's type and the record's time",
    (headers) => {
      const { id, ...rest } = read(record({ headers }))
      expect(rest).toEqual({
        source: "/foreign/user_created",
        type: "user_created",
        time: new Date(Date.UTC(2026, 0, 2)),
        version: 1,
        key: "7",
        data: { user_id: 7 },
      })
      expect(id).toMatch(uuidV5)
    },
  )

  it("takes a record without a value for a tombstone, whatever its headers say", () => {
    expect(decode(record({ value: null }))).toEqual({ _tag: "Tombstone" })
    expect(decode(binary({}, { value: null }))).toEqual({ _tag: "Tombstone" })
    expect(decode(structured({}, { value: null }))).toEqual({ _tag: "Tombstone" })
  })

  /** Valid JSON that overflows the stack of a recursive function. */
  const deep = (name: string) =>
    utf8(`{"id":"e-1","source":"/shop","type":"user_created","${name}":${"[".repeat(100_000)}${"]".repeat(100_000)}}`)

  it.each<readonly [what: string, record: Received, reason: RegExp]>([
    ["has an empty value", record({ value: new Uint8Array() }), /empty/u],
    ["has a value that is not UTF-8", record({ value: Uint8Array.from([0x22, 0xff, 0x22]) }), /UTF-8/u],
    [
      "has a value that encodes a surrogate",
      record({ value: Uint8Array.from([0x22, 0xed, 0xa0, 0x80, 0x22]) }),
      /UTF-8/u,
    ],
    ["has a value that is not JSON", record({ value: utf8('{"user_id":') }), /not JSON/u],
    ["has a list as its value", record({ value: json([{ user_id: 7 }]) }), /object/u],
    ["has a number as its value", record({ value: json(7) }), /object/u],
    ["has null as its value", record({ value: json(null) }), /object/u],
    ["is binary with a value that is not JSON", binary({}, { value: utf8("user 7") }), /not JSON/u],
    ["says a type other than its topic's", binary({ type: "order_created" }), /type "order_created"/u],
    ["says so in structured mode", structured({ type: "order_created" }), /type "order_created"/u],
    ["has an unknown specversion", binary({ specversion: "0.3" }), /specversion is "0.3"/u],
    ["has no specversion", binary({ specversion: undefined }), /specversion is missing/u],
    ["has a number as its specversion", structured({ specversion: 1 }), /specversion/u],
    ["has a specversion too deep to be shown", structured({}, { value: deep("specversion") }), /specversion/u],
    ["has CloudEvents' headers without id", binary({ id: undefined }), /id, source and type/u],
    ["has CloudEvents' headers without source", binary({ source: undefined }), /id, source and type/u],
    ["has CloudEvents' headers without type", binary({ type: undefined }), /id, source and type/u],
    ["has only CloudEvents' specversion", record({ headers: { ce_specversion: "1.0" } }), /id, source and type/u],
    ["has only CloudEvents' time", record({ headers: { ce_time: said.time } }), /id, source and type/u],
    ["has only a CloudEvents extension", record({ headers: { ce_tenant: "a" } }), /id, source and type/u],
    ["is structured without id", structured({ id: undefined }), /id, source and type/u],
    ["is structured with a number as its id", structured({ id: 1 }), /id, source and type/u],
    ["is structured without data", structured({ data: undefined }), /data/u],
    ["is structured with null as its data", structured({ data: null }), /data/u],
    ["is structured with text as its data", structured({ data: "user 7" }), /data/u],
    ["has an empty id", binary({ id: "" }), /id, source and type/u],
    ["has NUL in its id", binary({ id: "a\0b" }), /id, source and type/u],
    ["has a lone surrogate in its id", structured({ id: "a\ud800" }), /id, source and type/u],
    ["has an id of 201 characters", binary({ id: "x".repeat(201) }), /200 characters/u],
    ["has a source of 201 characters", binary({ source: "x".repeat(201) }), /200 characters/u],
  ])("finds malformed what %s", (_, given, reason) => {
    const found = decode(given)
    expect(found).toMatchObject({ _tag: "Malformed", source: "/foreign/user_created" })
    if (found._tag !== "Malformed") return
    expect(found.reason).toMatch(reason)
    expect(found.id).toMatch(uuidV5)
  })

  it("takes ids and sources of 200 characters, be they outside the basic plane", () => {
    const longest = "😀".repeat(200)
    expect(read(binary({ id: longest, source: longest }))).toMatchObject({ id: longest, source: longest })
  })

  it("reads data however deep", () => {
    expect(read(record({ value: deep("user_id"), key: null }))).toMatchObject({
      source: "/foreign/user_created",
      key: null,
    })
  })

  describe("the key", () => {
    const keyOf = (key: string | null, data: unknown) => read(record({ key, value: json(data) })).key

    it.each<readonly [given: string | null, data: unknown, key: string | null]>([
      ["9", { user_id: 7 }, "9"],
      [null, { user_id: 7 }, "7"],
      [null, { user_id: "u-7" }, "u-7"],
      [null, {}, null],
      [null, { user_id: "" }, null],
      [null, { user_id: null }, null],
      [null, { user_id: { id: 7 } }, null],
      [null, { user_id: true }, null],
    ])("of %j with the data %j is %j", (given, data, key) => {
      expect(keyOf(given, data)).toBe(key)
    })

    it("is taken from the data of a structured event too", () => {
      expect(read(structured({}, { key: null })).key).toBe("7")
    })

    it.each([
      ["with NUL", "a\0b"],
      ["with a lone surrogate", "a\ud800"],
      ["of 201 characters", "x".repeat(201)],
      ["that is empty", ""],
    ])("%s is kept as a hash that a database can store", (_, odd) => {
      const key = keyOf(odd, {})
      expect(key).toMatch(/^[0-9a-f]{64}$/u)
      expect(keyOf(odd, { other: 1 })).toBe(key)
      expect(keyOf(`${odd}.`, {})).not.toBe(key)
    })

    it("that is odd is hashed where it comes from the data", () => {
      expect(keyOf(null, { user_id: "a\0b" })).toBe(keyOf("a\0b", {}))
    })
  })

  describe("the version", () => {
    it.each<readonly [schema: string | undefined, version: number]>([
      [undefined, 1],
      ["/schemas/user_created/1", 1],
      ["/schemas/user_created/12", 12],
      ["https://example.org/user_created/3", 3],
      ["/schemas/user_created", 1],
      ["/schemas/user_created/v2", 1],
      ["https://example.org/schemas/2024", 1],
      ["https://example.org/schemas/2", 1],
      ["https://example.org/order_created/2", 1],
      ["https://example.org/user_created/2024", 1],
      ["", 1],
    ])("of dataschema %j is %d", (dataschema, version) => {
      expect(read(binary({ dataschema })).version).toBe(version)
      expect(read(structured({ dataschema })).version).toBe(version)
    })
  })

  describe("the time", () => {
    it.each([
      ["2026-03-04T05:06:07.890Z", "2026-03-04T05:06:07.890Z"],
      ["2026-03-04T05:06:07z", "2026-03-04T05:06:07.000Z"],
      ["2026-03-04T05:06:07.890123+05:45", "2026-03-03T23:21:07.890Z"],
      ["2026-03-04T05:06:07.890", "2026-03-04T05:06:07.890Z"],
      ["2026-03-04T05:06", "2026-03-04T05:06:00.000Z"],
      ["2026-03-04 05:06:07", "2026-03-04T05:06:07.000Z"],
    ])("%s is %s in any zone of this process, as RFC 3339 or UTC", (time, instant) => {
      const zone = process.env["TZ"]
      try {
        for (const here of ["UTC", "Asia/Kathmandu", "America/St_Johns"]) {
          process.env["TZ"] = here
          expect(read(binary({ time })).time.toISOString()).toBe(instant)
          expect(read(structured({ time })).time.toISOString()).toBe(instant)
        }
      } finally {
        if (zone === undefined) delete process.env["TZ"]
        else process.env["TZ"] = zone
      }
    })

    it.each([Number.NaN, -1, 1e300, Number.POSITIVE_INFINITY, 8_640_000_000_000_001])(
      "of a record that has none that is one (%d) is the event's own, else 1970",
      (time) => {
        expect(read(binary({ time: "2026-03-04T05:06:07Z" }, { time })).time.toISOString()).toBe(
          "2026-03-04T05:06:07.000Z",
        )
        expect(read(binary({ time: undefined }, { time })).time.getTime()).toBe(0)
        expect(read(record({ time, value: json({ user_id: 7 }) })).time.getTime()).toBe(0)
      },
    )

    it.each([
      undefined,
      "",
      "yesterday",
      "4 March 2026",
      "2026-03-04",
      "2026-13-04T00:00:00Z",
      "2026",
      "-000001-01-01T00:00:00Z",
      "+010000-01-01T00:00:00Z",
    ])("%j gives way to the record's", (time) => {
      expect(read(binary({ time })).time).toEqual(new Date(Date.UTC(2026, 0, 2)))
    })
  })

  describe("the id of a bare record", () => {
    const idOf = (given: Partial<Received> = {}) => read(record(given)).id

    it("is the same for the same place, time and value, whatever key and headers", () => {
      expect(idOf({ value: json({ user_id: 7 }) })).toBe(idOf())
      expect(idOf({ key: null, headers: { "x-sent-by": "kcat" } })).toBe(idOf())
    })

    it.each<readonly [what: string, given: Partial<Received>]>([
      ["topic", { topic: "order_created" }],
      ["partition", { partition: 2 }],
      ["offset", { offset: 43 }],
      ["time", { time: Date.UTC(2026, 0, 2) + 1 }],
      ["value", { value: json({ user_id: 8 }) }],
    ])("is another one for another %s", (_, given) => {
      expect(idOf(given)).not.toBe(idOf())
    })

    it("is the one it always was, for inboxes remember it", () => {
      expect(idOf()).toBe("76c513fc-92bd-50ee-8724-d7a7190d1fea")
    })

    it("does not run places together", () => {
      expect(idOf({ partition: 1, offset: 142 })).not.toBe(idOf({ partition: 11, offset: 42 }))
    })
  })

  it.prop(
    "never throws, and says nothing that a database could not store",
    [anyRecord()],
    ([given]) => {
      const found = decode(given)
      if (found._tag === "Tombstone") return expect(given.value).toBeNull()
      const { id, source } = found._tag === "Event" ? found.envelope : found
      expect(isStorable(id)).toBe(true)
      expect(isStorable(source)).toBe(true)
      if (found._tag === "Malformed") return expect(found.reason).not.toBe("")
      const { type, key, time, version, data } = found.envelope
      expect(type).toBe(given.topic)
      expect(key === null || isStorable(key)).toBe(true)
      expect(time.getTime()).not.toBeNaN()
      expect(version).toBeGreaterThanOrEqual(0)
      expect(data).toBeTypeOf("object")
    },
    { arbitrary: { runs: 2_000 } },
  )
})

const uuidV5 = /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/u

/** Anything that a topic may carry, mostly nearly right: plain noise gets no further than JSON. */
function anyRecord(): Arbitrary.Arbitrary<Received> {
  const attribute = Schema.Literals(["specversion", "id", "source", "type", "time", "dataschema", "__proto__"])
  const spoiled = Schema.Array(Schema.Tuple([attribute, Schema.UndefinedOr(Schema.String)])).check(
    Schema.isMaxLength(2),
  )
  const parts = Schema.Struct({
    mode: Schema.Literals(["bare", "binary", "structured", "noise"]),
    spoiled,
    key: Schema.NullOr(Schema.String),
    data: Schema.Union([Schema.Struct({ user_id: Schema.Json }), Schema.Json]),
    noise: Schema.NullOr(Schema.Uint8Array),
    time: Schema.Int,
  })
  return Arbitrary.map(Arbitrary.schema(parts), ({ mode, spoiled, key, data, noise, time }) => {
    const said = Object.fromEntries(spoiled)
    if (mode === "bare") return record({ key, time, value: json(data) })
    if (mode === "binary") return binary(said, { key, time, value: json(data) })
    if (mode === "structured") return structured({ data, ...said }, { key, time })
    return binary(said, { key, time, value: noise })
  })
}
