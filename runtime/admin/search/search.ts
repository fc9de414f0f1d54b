import { Context, Effect, Exit, Option } from "effect"
import { SqlClient } from "effect/sql"
import { lookUpDeliveries } from "../../delivery/deliveryLookup.ts"
import { eventsAround, timeIn } from "../events/around.ts"
import { matching, orderOf } from "../events/logged.ts"
import type { Journeying } from "../journey/part.ts"
import type { DeadLetters } from "../DeadLetters.ts"
import type { Match } from "../LoggedEvent.ts"

/** A module that runs in this process, as it is searched. */
export interface Searched extends Pick<Journeying, "name" | "reactions" | "journey" | "ports"> {
  readonly deadLetters: DeadLetters["Service"]
}

/** What has an id, and what was not searched. */
export interface Found {
  readonly items: ReadonlyArray<Match>
  readonly gaps: ReadonlyArray<string>
}

/** The time that each module has. */
const within = "500 millis"

/** The id of an order or a user. */
const numberIn = (text: string): number | undefined =>
  /^[1-9]\d{0,15}$/u.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : undefined

/** Ids as they are made: UUIDs in lower case. */
const written = (text: string) => (timeIn(text) === undefined ? text : text.toLowerCase())

const matchOf = (kind: Match["kind"], id: string, order_id?: number): Match => ({
  kind,
  id,
  ...(order_id === undefined ? {} : { order_id: String(order_id) }),
})

/** What a module has under an id, each by a unique key, so the time does not depend on how much it has. */
const searchModule = (own: Searched, id: string, sourcesOf: (type: string) => ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const number = numberIn(id)
    const owned = number === undefined ? [] : yield* own.journey?.find?.(number) ?? Effect.succeed([])
    const place = { event_id: id, partition: null, offset: null }
    const sought = own.reactions.flatMap(({ name: reaction, event: { type: topic } }) =>
      sourcesOf(topic).map((source) => ({ ...place, reaction, source, topic })),
    )
    const rows = sought.length === 0 ? [] : yield* lookUpDeliveries(Context.get(own.ports, SqlClient.SqlClient), sought)
    const letter = yield* own.deadLetters.find(id)
    return [
      ...owned.map((kind) => matchOf(kind, id)),
      ...(rows.some((row) => row.taken_at !== null || row.id !== null) ? [matchOf("event", id)] : []),
      ...rows.flatMap((row) => (row.id === null || row.status === "waiting" ? [] : [matchOf("dead-letter", row.id)])),
      ...(letter === undefined ? [] : [matchOf("dead-letter", id, letter.order_id)]),
    ]
  })

const searchModules = (
  modules: ReadonlyArray<Searched>,
  id: string,
  sourcesOf: (type: string) => ReadonlyArray<string>,
): Effect.Effect<Found> =>
  Effect.map(
    Effect.forEach(
      modules,
      (own) =>
        Effect.map(
          Effect.option(Effect.timeout(Effect.sandbox(searchModule(own, id, sourcesOf)), within)),
          Option.match({
            onSome: (items) => ({ items, gaps: [] }),
            onNone: () => ({ items: [], gaps: [`${own.name} could not be searched in time`] }),
          }),
        ),
      { concurrency: "unbounded" },
    ),
    (parts) => ({ items: parts.flatMap(({ items }) => items), gaps: parts.flatMap(({ gaps }) => gaps) }),
  )

const gap = (why: string): Found => ({ items: [], gaps: [why] })

/** The event on the log around the time in its id. */
const searchLog = (topics: ReadonlyArray<string>, id: string) =>
  Effect.gen(function* () {
    const time = timeIn(id)
    if (time === undefined) return gap("the event log is searched only for ids with a time in them (UUIDv7)")
    const exit = yield* Effect.exit(eventsAround(topics, time, matching({ event_id: id })))
    if (Exit.isFailure(exit)) return gap("the event log does not answer")
    const [record] = exit.value.records
    if (record !== undefined) return { items: [matchOf("event", id, orderOf(record))], gaps: [] }
    return exit.value.isWhole
      ? { items: [], gaps: [] }
      : gap("there was not enough time to search all of the event log")
  })

const kinds: ReadonlyArray<Match["kind"]> = ["order", "user", "event", "dead-letter"]

/** What several searches for one id have found: each thing once, orders first. */
export const mergeFound = (parts: ReadonlyArray<Found>): Found => {
  const items = new Map<string, Match>()
  for (const item of parts.flatMap(({ items }) => items)) {
    const name = `${item.kind} ${item.id}`
    items.set(name, { ...items.get(name), ...item })
  }
  return {
    items: [...items.values()].sort((a, b) => kinds.indexOf(a.kind) - kinds.indexOf(b.kind)),
    gaps: [...new Set(parts.flatMap(({ gaps }) => gaps))],
  }
}

interface Options {
  readonly modules: ReadonlyArray<Searched>
  /** The topics on the log. */
  readonly topics: ReadonlyArray<string>
  /** The sources that events of a type may have. */
  readonly sourcesOf: (type: string) => ReadonlyArray<string>
}

/** What has this id, in the databases of the modules and, without `isOwn`, on the event log. */
export const search = ({ modules, topics, sourcesOf }: Options, text: string, isOwn: boolean) =>
  Effect.gen(function* () {
    const id = written(text)
    const none: Found = { items: [], gaps: [] }
    const isLogged = !isOwn && numberIn(id) === undefined
    const parts = yield* Effect.all(
      [searchModules(modules, id, sourcesOf), isLogged ? searchLog(topics, id) : Effect.succeed(none)],
      { concurrency: "unbounded" },
    )
    return mergeFound(parts)
  })
