import { useRef, useState } from "preact/hooks"
import { call, serverNow, usePoll } from "./net.js"

/** @import { LoggedEventJson as LoggedEvent, LoggedEventsJson as LoggedEvents } from "../answers.ts" */
/** @import { Polled } from "./net.js" */

/** Where a record is, and no other. @param {LoggedEvent} item */
export const placeOf = ({ topic, partition, offset }) => `${topic} ${partition} ${offset}`

/**
 * The records of both lists, each once, the newest first.
 *
 * @param {ReadonlyArray<LoggedEvent>} some
 * @param {ReadonlyArray<LoggedEvent>} others
 */
export const mergedOf = (some, others) =>
  [...new Map([...some, ...others].map((item) => [placeOf(item), item])).values()].sort((a, b) =>
    a.time === b.time ? b.offset - a.offset : a.time < b.time ? 1 : -1,
  )

/** The clocks of partitions differ: a tail reads again what is younger than this. */
const overlap = 2_000

/** How many records one look of a tail reads at most: `pages` calls of `records` each. */
const most = { pages: 3, records: 200 }

/** How many records a tail keeps on the page. */
const mostKept = 2_000

/**
 * Whether the oldest of these records of each partition is known: then none is missing in between.
 *
 * @param {ReadonlyArray<LoggedEvent>} items the newest first
 * @param {ReadonlyArray<LoggedEvent>} known
 */
const joins = (items, known) => {
  const places = new Set(known.map(placeOf))
  const oldest = new Map(items.map((item) => [`${item.topic} ${item.partition}`, item]))
  return [...oldest.values()].every((item) => places.has(placeOf(item)))
}

/**
 * Reads what was appended since a time, page by page. `rest` is where the next look begins when there is more than one look reads,
 * and does not join what is known.
 *
 * @param {(query: Readonly<Record<string, string>>) => Promise<LoggedEvents>} read
 * @param {string} since
 * @param {ReadonlyArray<LoggedEvent>} known
 */
export const readSince = async (read, since, known) => {
  /** @type {Array<LoggedEvent>} */
  const items = []
  const query = { since, limit: String(most.records) }
  /** @type {Query} */
  let rest = query
  for (let page = 0; page < most.pages; page++) {
    const { items: found, next_cursor } = await read(rest)
    items.push(...found)
    if (next_cursor === null) return { items, rest: undefined }
    rest = Object.assign({ cursor: next_cursor }, query)
  }
  return { items, rest: joins(items, known) ? undefined : rest }
}

/** @typedef {Readonly<Record<string, string>>} Query where a reading goes on, beside the filters */

/** @type {{ path: string, items: ReadonlyArray<LoggedEvent>, older: Query | null | undefined, scannedTo: string | null, skipped: ReadonlyArray<Query> }} */
const nothing = { path: "", items: [], older: undefined, scannedTo: null, skipped: [] }

/**
 * The log's newest records by the filters in `path`; the older ones that were asked for; with a tail also those that come,
 * of which none is lost: what one look could not read is `skipped`.
 *
 * @param {string} path
 * @param {boolean} isTail
 */
export const useLog = (path, isTail) => {
  /** @type {Polled<LoggedEvents>} */
  const polled = usePoll(path, () => undefined)
  const [read, setRead] = useState(nothing)
  const [isBusy, setBusy] = useState(false)
  const own = read.path === path ? read : nothing
  const first = polled.answer?.body
  const all = mergedOf(own.items, first?.items ?? [])
  const items = isTail ? all.slice(0, mostKept) : all
  const known = useRef(items)
  known.current = items

  /** @param {Query} query */
  const page = async (query) => {
    const { body } = await call("GET", `${path}&${new URLSearchParams(query)}`)
    return /** @type {LoggedEvents} */ (body)
  }
  /** @param {(before: typeof nothing) => Partial<typeof nothing>} change */
  const change = (change) =>
    setRead((before) => {
      const mine = before.path === path ? before : { ...nothing, path }
      return { ...mine, ...change(mine) }
    })

  usePoll(isTail && first !== undefined ? path : undefined, 1_000, async () => {
    const [newest] = known.current
    const since = (newest === undefined ? serverNow() : Date.parse(newest.time)) - overlap
    const { items: found, rest } = await readSince(page, new Date(since).toISOString(), known.current)
    change((before) => ({
      items: mergedOf(found, before.items).slice(0, mostKept),
      skipped: rest === undefined ? before.skipped : [...before.skipped, rest],
    }))
    return { body: found.length, text: "" }
  })

  /** @param {Query} query */
  const readOn = async (query) => {
    setBusy(true)
    try {
      const { items: found, next_cursor, scanned_to } = await page(query)
      const isEnd = next_cursor === null || ("since" in query && joins(found, known.current))
      const rest = isEnd ? null : { ...query, cursor: next_cursor }
      change((before) => ({
        items: mergedOf(before.items, found),
        ...("since" in query
          ? { skipped: before.skipped.flatMap((one) => (one !== query ? [one] : rest === null ? [] : [rest])) }
          : { older: rest, scannedTo: scanned_to }),
      }))
    } catch {
      // The button stays, to ask again.
    }
    setBusy(false)
  }

  const next = first?.next_cursor ?? null
  const isCut = items.length < all.length
  const older = own.older === undefined ? (next === null ? null : { cursor: next }) : own.older
  const scannedTo = own.older === undefined ? (first?.scanned_to ?? null) : own.scannedTo
  return {
    polled,
    items,
    older: isCut ? null : older,
    scannedTo: isCut ? (items.at(-1)?.time ?? null) : scannedTo,
    skipped: own.skipped.at(-1),
    isBusy,
    readOn,
  }
}
