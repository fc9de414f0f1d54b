import { Clock, Context, Effect, Option } from "effect"
import { SqlClient } from "effect/sql"
import { recordOf } from "../../delivery/deadLetterTable.ts"
import { type LookedUp, lookUpDeliveries, openOfKeys } from "../../delivery/deliveryLookup.ts"
import { decode } from "../../events/cloudEvents.ts"
import type { EventType } from "../../events/Event.ts"
import type { Received } from "../../events/EventBus.ts"
import type { Journey, JourneyStep, OrderPart, OrderStep } from "../../module/Journey.ts"
import { heldKey, type Reaction } from "../../module/Reaction.ts"
import { unsentOfOrder, type UnsentRow } from "../../outbox/outboxTable.ts"
import { findTasks, type TaskRow } from "../../tasks/taskTable.ts"
import { placeOf } from "../../telemetry/trace.ts"
import type { AskedEvent, FoundDelivery, JourneyPart, SeenEvent } from "./JourneyPart.ts"

/** A module that runs in this process, as journeys read it. */
export interface Journeying {
  readonly name: string
  readonly publishes: ReadonlyArray<EventType>
  readonly reactions: ReadonlyArray<Reaction<never>>
  readonly journey: Journey | undefined
  readonly ports: Context.Context<SqlClient.SqlClient>
}

/** The time for each question of a part; what is not answered in time is a gap. */
const within = "500 millis"

/** The member of events' data that names an order. */
const member = "order_id"

/** Whether events of this type name an order. */
export const namesOrder = ({ data }: EventType): boolean =>
  "fields" in data && typeof data.fields === "object" && data.fields !== null && member in data.fields

/** Whether the data of an event name this order. */
export const isAbout = (data: unknown, order_id: number): boolean =>
  typeof data === "object" && data !== null && Number((data as Readonly<Record<string, unknown>>)[member]) === order_id

/** A record as an event of the order; undefined when it is not one. */
export const seenOf = (record: Received, order_id: number): SeenEvent | undefined => {
  const decoded = decode(record)
  if (decoded._tag !== "Event" || !isAbout(decoded.envelope.data, order_id)) return undefined
  const { topic, partition, offset, headers, time } = record
  const { id, source, key, data } = decoded.envelope
  return {
    topic,
    partition,
    offset,
    time: new Date(time),
    id,
    source,
    subject: headers["ce_subject"] ?? null,
    key,
    data,
    trace_id: placeOf(headers["traceparent"])?.traceId ?? null,
  }
}

/** A step, and what the row of its task says about it. */
export const stepOf = ({ task, ...step }: OrderStep, rows: ReadonlyArray<TaskRow>): JourneyStep => {
  const row = task && rows.find(({ name, id }) => name === task.name && id === task.id)
  if (row === undefined) return { ...step, attempts: 0 }
  // The task of a hold ends it when it expires.
  if (step.kind === "hold") return { ...step, until: row.due, attempts: row.attempts }
  return {
    ...step,
    state: row.state,
    attempts: row.attempts,
    ...(row.state === "called" ? {} : { next_attempt_at: row.due }),
    ...(row.error === null ? {} : { why: row.error }),
  }
}

const unsentOf = (module: string, now: number, { type, time, traceparent }: UnsentRow) => ({
  module,
  type,
  age_seconds: Math.max(0, now - time.getTime()) / 1_000,
  trace_id: placeOf(traceparent)?.traceId ?? null,
})

/** The keys under which dead letters of an order are held. */
const keysOf = (reactions: ReadonlyArray<Reaction<never>>, order_id: number, user_id: number | undefined) =>
  reactions.flatMap(({ name: reaction, heldBy }) => {
    if (heldBy === member) return [{ reaction, key: heldKey(member, order_id) }]
    return heldBy === undefined && user_id !== undefined ? [{ reaction, key: String(user_id) }] : []
  })

/** What a module of this process has about an order. Never fails: what cannot be read in time is a gap. */
export const partOf = (own: Journeying, order_id: number): Effect.Effect<JourneyPart> =>
  Effect.gen(function* () {
    const sql = Context.get(own.ports, SqlClient.SqlClient)
    const now = yield* Clock.currentTimeMillis
    const gaps: Array<string> = []
    const reading = <A, E>(what: string, question: Effect.Effect<A, E>, nothing: A) =>
      Effect.map(Effect.option(Effect.timeout(Effect.sandbox(question), within)), (found) => {
        if (Option.isNone(found)) gaps.push(`${what} could not be read in time`)
        return Option.getOrElse(found, () => nothing)
      })
    const reactions = own.reactions.filter(({ event }) => namesOrder(event))

    const none: OrderPart | undefined = undefined
    const part = yield* reading("its tables", own.journey?.of?.(order_id) ?? Effect.succeed(none), none)
    const { user_id, order, history = [], steps = [] } = part ?? {}
    const tasks = steps.flatMap(({ task }) => task ?? [])
    const [rows, unsent, open] = yield* Effect.all(
      [
        tasks.length === 0 ? Effect.succeed([]) : reading("its tasks", findTasks(sql, tasks, new Date(now)), []),
        reading("its outbox", unsentOfOrder(sql, order_id), []),
        reading("its dead letters", openOfKeys(sql, keysOf(reactions, order_id, user_id)), []),
      ],
      { concurrency: "unbounded" },
    )
    return {
      module: own.name,
      publishes: own.publishes.filter(namesOrder).map(({ type }) => type),
      reactions: reactions.map(({ name, event }) => ({ reaction: name, type: event.type })),
      user_id: user_id ?? null,
      order: order ?? null,
      history,
      steps: steps.map((step) => stepOf(step, rows)),
      unsent: unsent.map((row) => unsentOf(own.name, now, row)),
      seen: open.flatMap((row) => seenOf(recordOf(row), order_id) ?? []),
      gaps,
    }
  })

/** The delivery that a row says; undefined when the reaction never gets the event. */
const deliveryOf = (module: string, row: LookedUp): FoundDelivery | undefined => {
  const { reaction, event_id, taken_at, id, status, attempts, created_at, last_failed_at, passed } = row
  const delivery = { event_id, module, reaction, attempts: attempts ?? 0 }
  if (status !== null && id !== null)
    return { ...delivery, status, at: last_failed_at ?? created_at, dead_letter_id: id }
  if (taken_at !== null) return { ...delivery, status: "applied", at: taken_at }
  return passed === false ? { ...delivery, status: "pending", at: null } : undefined
}

/** What the reactions of a module made of these events. An event may be asked for with several sources. */
export const foundDeliveries = (own: Journeying, events: ReadonlyArray<AskedEvent>) =>
  Effect.gen(function* () {
    const sought = own.reactions.flatMap(({ name: reaction, event }) =>
      events
        .filter(({ type }) => type === event.type)
        .flatMap(({ id: event_id, type: topic, sources, partition, offset }) =>
          sources.map((source) => ({ reaction, source, event_id, topic, partition, offset })),
        ),
    )
    if (sought.length === 0) return []
    const rows = yield* lookUpDeliveries(Context.get(own.ports, SqlClient.SqlClient), sought)
    const found = rows.flatMap((row) => deliveryOf(own.name, row) ?? [])
    // Of several sources at most one is the event's.
    const best = new Map<string, FoundDelivery>()
    for (const one of found) {
      const name = `${one.reaction} ${one.event_id}`
      if (best.get(name) === undefined || best.get(name)!.status === "pending") best.set(name, one)
    }
    return [...best.values()]
  })
