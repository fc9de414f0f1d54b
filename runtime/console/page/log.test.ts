import { describe, expect, it } from "vitest"
import type { LoggedEventJson, LoggedEventsJson } from "../answers.ts"
import { mergedOf, readSince } from "./log.js"

const at = (second: number) => new Date(Date.UTC(2026, 0, 2, 3, 4, second)).toISOString()

const record = (partition: number, offset: number, second: number): LoggedEventJson => ({
  topic: "order_created",
  partition,
  offset,
  time: at(second),
  event: {
    id: `${partition} ${offset}`,
    source: "/x",
    type: "t",
    time: null,
    subject: null,
    key: null,
    data: {},
    headers: {},
  },
})

const placesOf = (items: ReadonlyArray<LoggedEventJson>) => items.map(({ event }) => event.id)

describe("Records that are read at several times", () => {
  it("are each there once, the newest first", () => {
    const before = [record(1, 5, 8), record(0, 7, 6), record(0, 6, 6)]
    const found = [record(0, 8, 9), record(1, 5, 8), record(2, 0, 7)]
    expect(placesOf(mergedOf(found, before))).toEqual(["0 8", "1 5", "2 0", "0 7", "0 6"])
  })
})

describe("A look at the tail", () => {
  const pages = (most: number) => {
    const asked: Array<Readonly<Record<string, string>>> = []
    const read = async (query: Readonly<Record<string, string>>): Promise<LoggedEventsJson> => {
      asked.push(query)
      const n = asked.length
      return { items: [record(0, 100 - n, 30)], next_cursor: n < most ? `after ${n}` : null, scanned_to: null }
    }
    return { asked, read }
  }

  it("reads all pages since a time", async () => {
    const { asked, read } = pages(2)
    const { items, rest } = await readSince(read, at(1), [])
    expect(placesOf(items)).toEqual(["0 99", "0 98"])
    expect(rest).toBe(undefined)
    expect(asked).toEqual([
      { since: at(1), limit: "200" },
      { since: at(1), limit: "200", cursor: "after 1" },
    ])
  })

  it("ends after 600 records, and says where the rest begins", async () => {
    const { asked, read } = pages(10)
    const { items, rest } = await readSince(read, at(1), [])
    expect(items).toHaveLength(3)
    expect(asked).toHaveLength(3)
    expect(rest).toEqual({ since: at(1), limit: "200", cursor: "after 3" })
  })

  it("has no rest where it joins what is known", async () => {
    const known = [record(0, 97, 30)]
    expect(await readSince(pages(10).read, at(1), known)).toMatchObject({ rest: undefined })
    expect(await readSince(pages(10).read, at(1), [record(1, 97, 30)])).not.toMatchObject({ rest: undefined })
  })
})
