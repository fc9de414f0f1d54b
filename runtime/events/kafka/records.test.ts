import type { KafkaMessage } from "kafkajs"
import { describe, expect, it } from "vitest"
import { messageOf, receivedOf, requestsOf, slicesOf } from "./records.ts"

const outgoing = (bytes: number) => ({ topic: "t", key: "k", value: new Uint8Array(bytes), headers: {} })

/** A message of a batch, as kafkajs has it. */
const message = (
  offset: number,
  change: { readonly key?: null; readonly value?: null; readonly headers?: NonNullable<KafkaMessage["headers"]> } = {},
): KafkaMessage => ({
  offset: String(offset),
  timestamp: "1700000000000",
  key: Buffer.from("k"),
  value: Buffer.from("v"),
  attributes: 0,
  headers: {},
  ...change,
})

const batchOf = (offsets: ReadonlyArray<number>, last = offsets.at(-1)!) => ({
  topic: "t",
  partition: 3,
  messages: offsets.map((offset) => message(offset)),
  lastOffset: () => String(last),
})

/** The offsets from `from` up to, and without, `to`. */
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => from + n)

/** The offsets and the span of each slice. */
const shapes = (...asked: Parameters<typeof slicesOf>) =>
  Array.from(slicesOf(...asked), ({ records, span }) => [records.map(({ offset }) => offset), [span.from, span.next]])

describe("A batch in slices", () => {
  it("keeps the order, and has no gap between spans", () => {
    expect(shapes(batchOf(range(0, 1_001)), 0)).toEqual([
      [range(0, 500), [0, 500]],
      [range(500, 1_000), [500, 1_000]],
      [[1_000], [1_000, 1_001]],
    ])
  })

  it("begins at the offset that was asked for, and covers the holes before, between and after its records", () => {
    expect(shapes(batchOf([2, 5, 8], 11), 4)).toEqual([
      [
        [5, 8],
        [4, 12],
      ],
    ])
    const withHole = [...range(0, 500), ...range(700, 702)]
    expect(shapes(batchOf(withHole), 0)).toEqual([
      [range(0, 500), [0, 500]],
      [range(700, 702), [500, 702]],
    ])
  })

  it("is empty when all records are before that offset", () => {
    expect(shapes(batchOf([0, 1]), 2)).toEqual([])
  })
})

describe("A received record", () => {
  it("has numbers for offset and time, and text for the key", () => {
    expect(receivedOf("t", 3, message(7))).toEqual({
      topic: "t",
      partition: 3,
      offset: 7,
      time: 1_700_000_000_000,
      key: "k",
      value: Buffer.from("v"),
      headers: {},
    })
    expect(receivedOf("t", 3, message(7, { key: null, value: null }))).toMatchObject({ key: null, value: null })
  })

  it("has header names in lower case, the last of repeated values, and no header without a value", () => {
    const headers = { CE_Id: Buffer.from("1"), twice: [Buffer.from("a"), "b"], none: undefined }
    expect(receivedOf("t", 3, message(7, { headers })).headers).toEqual({ ce_id: "1", twice: "b" })
  })
})

describe("Records to send", () => {
  it("share a request while they fit into it, in order", () => {
    const records = [outgoing(300_000), outgoing(300_000), outgoing(300_000)]
    expect(requestsOf(records)).toEqual([records.slice(0, 2), records.slice(2)])
  })

  it("have a request of their own when they are larger than one may be", () => {
    const [small, large] = [outgoing(1), outgoing(2_000_000)]
    expect(requestsOf([small, large, small])).toEqual([[small], [large], [small]])
    expect(requestsOf([])).toEqual([])
  })

  it("are sent byte by byte, a part of a buffer too", () => {
    const value = new Uint8Array([1, 2, 3, 4]).subarray(1, 3)
    expect(messageOf({ topic: "t", key: null, value, headers: { a: "b" } })).toEqual({
      key: null,
      value: Buffer.from([2, 3]),
      headers: { a: "b" },
    })
    expect(messageOf({ topic: "t", key: "k", value: null, headers: {} }).value).toBeNull()
  })
})
