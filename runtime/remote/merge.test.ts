import { describe, expect, it } from "@effect/vitest"
import { type MergedPosition, mergeOverviews, mergePages } from "./merge.ts"

/** Ids from `from` down to 0 in steps. */
const idsOf = (from: number, step: number) =>
  Array.from({ length: Math.floor(from / step) + 1 }, (_, n) => ({ id: String(from - n * step).padStart(4, "0") }))

/** The lists of processes, each paged by itself: a cursor is the number of items before it. */
const lists: Readonly<Record<string, ReadonlyArray<{ readonly id: string }>>> = {
  "http://a": idsOf(100, 2),
  "http://b": idsOf(99, 10),
  "http://c": [],
}

const pageOf = (url: string, { cursor, skip }: MergedPosition[string], limit: number) => {
  const begin = Number(cursor ?? 0)
  const end = begin + limit
  return {
    url,
    cursor,
    skip,
    items: lists[url]!.slice(begin, end),
    next_cursor: end < lists[url]!.length ? String(end) : null,
  }
}

const merged = (limit: number) => {
  const pages: Array<ReadonlyArray<{ readonly id: string }>> = []
  const first = { cursor: null, skip: 0 }
  let position: MergedPosition | undefined = Object.fromEntries(Object.keys(lists).map((url) => [url, first]))
  while (position !== undefined) {
    const { items, next } = mergePages(
      Object.entries(position).map(([url, one]) => pageOf(url, one, limit)),
      limit,
    )
    pages.push(items)
    position = next
  }
  return pages
}

describe("mergePages", () => {
  it.each([1, 2, 7, 50, 200])("returns all items once, the greatest id first, in pages of at most %i", (limit) => {
    const pages = merged(limit)
    expect(pages.flat()).toEqual(
      Object.values(lists)
        .flat()
        .toSorted((a, b) => (a.id < b.id ? 1 : -1)),
    )
    expect(pages.every(({ length }) => length <= limit)).toBe(true)
    expect(pages.slice(0, -1).every(({ length }) => length > 0)).toBe(true)
  })

  it("returns nothing, and no position, of no list", () => {
    expect(mergePages([], 10)).toEqual({ items: [], next: undefined })
  })
})

describe("mergeOverviews", () => {
  it("shows the expected modules of each process, what waits, and who does not answer", () => {
    const user = { module: "user", state: "ready" }
    const looks = [
      { modules: ["user"], overview: { modules: [user, { module: "order" }], waits: [{ count: 3 }] } },
      { modules: ["payment", "order"], since: "2026-01-02T03:04:05.000Z", why: "no answer within 1 second" },
    ]
    expect(mergeOverviews(looks, "2026-01-02T03:04:06.000Z")).toEqual({
      checked_at: "2026-01-02T03:04:06.000Z",
      modules: [
        user,
        ...["payment", "order"].map((module) => ({
          module,
          state: "unreachable",
          since: "2026-01-02T03:04:05.000Z",
          why: "no answer within 1 second",
        })),
      ],
      waits: [{ count: 3 }],
    })
  })
})
