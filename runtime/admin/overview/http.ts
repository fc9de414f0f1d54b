import { Clock, Context, Effect, Option } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { SqlClient } from "effect/sql"
import manifest from "../../../package.json" with { type: "json" }
import { countOpenDeadLetters } from "../../delivery/deadLetterTable.ts"
import type { StoredPosition } from "../../delivery/positionTable.ts"
import type { EventType } from "../../events/Event.ts"
import { EventBus, type Partition } from "../../events/EventBus.ts"
import type { Check, Health } from "../../health/health.ts"
import type { Journey } from "../../module/Journey.ts"
import type { Reaction } from "../../module/Reaction.ts"
import { countPending } from "../../outbox/outboxTable.ts"
import { stuckTasks } from "../../tasks/taskTable.ts"
import { api } from "../api.ts"
import { memo } from "./memo.ts"
import type { Overview } from "./Overview.ts"
import { type Look, type ModuleLook, shownOf, waitsOf } from "./look.ts"

/** A module that runs in this process, as the overview reads it. */
export interface Overseen {
  readonly name: string
  readonly publishes: ReadonlyArray<EventType>
  readonly reactions: ReadonlyArray<Reaction<never>>
  readonly checks: ReadonlyArray<Check>
  readonly journey: Journey | undefined
  readonly ports: Context.Context<SqlClient.SqlClient>
  readonly standing: (partitions: ReadonlyArray<Partition>) => Effect.Effect<ReadonlyArray<StoredPosition>, unknown>
}

interface Options {
  readonly modules: ReadonlyArray<Overseen>
  readonly health: Health
  /** The check of the event log, which is shown with every module. */
  readonly events: Check
}

/** One overview is shared by all who ask within this time (ms). */
const sharedMillis = 1_000

/** The time for each question of a look; without an answer the overview lacks it. */
const within = "500 millis"

/** What could be read in time; undefined: nothing. */
const inTime = <A, E, R>(question: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.option(Effect.timeout(Effect.sandbox(question), within)), Option.getOrUndefined)

const topicsOf = (types: ReadonlyArray<EventType>) => [...new Set(types.map(({ type }) => type))]

const looksAt = (own: Overseen, ends: Look["ends"], at: number, events: Check) =>
  Effect.gen(function* () {
    const sql = Context.get(own.ports, SqlClient.SqlClient)
    const { name: module, journey } = own
    const reacts = topicsOf(own.reactions.map(({ event }) => event))
    const calls = journey?.calls ?? {}
    const read = yield* Effect.all(
      {
        checks: Effect.forEach([events, ...own.checks], ({ name, needed, fault }) =>
          Effect.map(fault, (found) => ({ name, needed, fault: found })),
        ),
        outbox: inTime(Effect.map(countPending(sql), ([row]) => row!)),
        counts: inTime(countOpenDeadLetters(sql)),
        positions: inTime(own.standing((ends ?? []).filter(({ topic }) => reacts.includes(topic)))),
        stuck: inTime(stuckTasks(sql, Object.keys(calls), new Date(at))),
        waiting: inTime(journey?.waits?.(new Date(at)) ?? Effect.succeed([])),
      },
      { concurrency: "unbounded" },
    )
    const { counts, stuck = [], waiting = [] } = read
    const countOf = (status: string) => counts?.find((row) => row.status === status)?.events ?? 0
    return {
      ...read,
      module,
      publishes: topicsOf(own.publishes),
      reacts,
      deadLetters:
        counts === undefined
          ? undefined
          : { retrying: countOf("retrying"), parked: countOf("parked"), waiting: countOf("waiting") },
      stuck: stuck.map((row) => ({ ...row, ...calls[row.task]! })),
      waiting,
    } satisfies ModuleLook
  })

/** Looks at all modules at once; a module whose database does not answer delays it by `within`. */
const look = ({ modules, health, events }: Options) =>
  Effect.gen(function* () {
    const at = yield* Clock.currentTimeMillis
    const topics = topicsOf(modules.flatMap((own) => [...own.publishes, ...own.reactions.map(({ event }) => event)]))
    const ends = yield* inTime((yield* EventBus).ends(topics))
    const looked = yield* Effect.forEach(modules, (own) => looksAt(own, ends, at, events), {
      concurrency: "unbounded",
    })
    return { at, state: health.state, ends, modules: looked } satisfies Look
  })

/** `/admin/overview` over all modules of the process. */
export const overviewHttp = (options: Options) =>
  HttpApiBuilder.group(
    api,
    "overview",
    Effect.fnUntraced(function* (handlers) {
      const started_at = new Date(performance.timeOrigin)
      let before: Look | undefined
      const bus = yield* EventBus
      const overview = yield* memo(
        Effect.gen(function* () {
          const now = yield* Effect.provideService(look(options), EventBus, bus)
          const earlier = before
          before = now
          return {
            checked_at: new Date(now.at),
            modules: now.modules.map((own) => ({
              ...shownOf(own, now, earlier),
              release: manifest.version,
              started_at,
            })),
            waits: waitsOf(now),
          } satisfies Overview
        }),
        sharedMillis,
      )
      return handlers.handleAll({ overview: () => overview })
    }),
  )
