import { Cause, Effect, Exit } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { type Handle, type Partition, partitionName, PositionMoved, type Received } from "../events/EventBus.ts"
import type { Reaction } from "../module/Reaction.ts"
import { Database } from "../sql/Database.ts"
import { placeOfRecord } from "../telemetry/messages.ts"
import * as metrics from "../telemetry/metrics.ts"
import { loggedAt } from "../telemetry/trace.ts"
import { ReactionStuck } from "./attempt.ts"
import { deliveriesOf, type Delivery } from "./Delivery.ts"
import { faultOf } from "../sql/fault.ts"
import { makePace } from "./pace.ts"
import { makeProgress, type Progress } from "./progress.ts"
import { byReaction, makeSlices, serviceOf, type SliceOptions, type Taken } from "./slice.ts"
import { makeSuspicions } from "./suspicion.ts"

interface Options extends SliceOptions {
  readonly reactions: ReadonlyArray<Reaction<never>>
}

/**
 * Takes charge of records for one module (DELIVERY.md, *Taking charge*): each event takes effect once for each of its
 * reactions, in order within a key. An event that fails becomes a dead letter, as do the later ones of its key; other
 * keys go on.
 *
 * A slice of a batch is one transaction, of more events while that is quick and of fewer while it is slow. When it fails
 * by an event's fault, it is taken again in halves, down to the event at fault. `Handle` fails only by the fault of the
 * infrastructure, or when a reaction fails for every key. It may then be called again with the same records.
 */
export const makeConsumer = (options: Options) =>
  Effect.gen(function* () {
    const database = yield* Database
    const { module, reactions, positions } = options
    const take = yield* makeTake(options)
    const pace = makePace()

    /** Without the reactions that have no position in the partition, as while they are reset. */
    const seatedOf = (partition: Partition) => {
      if (positions === undefined) return reactions
      const names = new Set(positions.seated(partition).map(({ reaction }) => reaction))
      return reactions.filter(({ name }) => names.has(name))
    }

    const deliveriesIn = (records: ReadonlyArray<Received>) => {
      const partitions = Map.groupBy(records, partitionName)
      const seated = new Map(Array.from(partitions, ([name, [first]]) => [name, seatedOf(first!)]))
      return records.flatMap((record) => deliveriesOf(record, seated.get(partitionName(record))!))
    }

    const handle: Handle = (records, spans = []) =>
      Effect.gen(function* () {
        yield* database.writable
        const progress = makeProgress(positions === undefined ? [] : spans)
        const deliveries = deliveriesIn(records)
        for (const [topic, those] of Map.groupBy(records, ({ topic }) => topic)) {
          yield* metrics.skipped({ module, topic }, those.filter(({ value }) => value === null).length)
        }
        for (let at = 0; at < deliveries.length;) {
          const slice = deliveries.slice(at, at + pace.size())
          yield* report(module, yield* pace.timed(take(slice, progress)))
          at += slice.length
        }
        const rest = progress.rest()
        if (positions !== undefined && rest.length > 0) yield* database.transaction(positions.moveAll(rest))
      }).pipe(Effect.annotateLogs({ module }), Effect.withTracerEnabled(false))

    return handle
  })

/** Takes charge of deliveries, in as few transactions as their failures allow. */
const makeTake = (options: SliceOptions) =>
  Effect.gen(function* () {
    const database = yield* Database
    const { together, oneByOne, findBroken } = yield* makeSlices(options)
    const suspicions = makeSuspicions()
    const isAway = Effect.match(database.probe, { onSuccess: () => false, onFailure: () => true })

    /** One bad event among many costs a few more transactions, not one for each. */
    const inHalves = (deliveries: ReadonlyArray<Delivery>, progress: Progress): Effect.Effect<Taken, unknown> =>
      Effect.gen(function* () {
        const middle = deliveries.length >> 1
        const first = yield* take(deliveries.slice(0, middle), progress, false)
        const second = yield* take(deliveries.slice(middle), progress, false)
        return { applied: [...first.applied, ...second.applied], known: first.known + second.known }
      })

    /** Finds the event by whose fault a slice failed. Of a half it is known that not every key fails. */
    const search = (
      deliveries: ReadonlyArray<Delivery>,
      progress: Progress,
      isWhole: boolean,
      cause: Cause.Cause<unknown>,
    ) =>
      Effect.gen(function* () {
        const broken = isWhole ? yield* findBroken(deliveries) : undefined
        if (broken !== undefined) return yield* broken
        // Halving would take the time limit of a stuck reaction at each step.
        const isStuck = Cause.squash(cause) instanceof ReactionStuck
        return yield* isStuck || deliveries.length === 1
          ? oneByOne(deliveries, progress)
          : inHalves(deliveries, progress)
      })

    const takeSuspect = (deliveries: ReadonlyArray<Delivery>, progress: Progress, first: Delivery) =>
      Effect.tap(oneByOne(deliveries, progress, isAway), () => Effect.sync(() => suspicions.clear(first)))

    const take = (
      deliveries: ReadonlyArray<Delivery>,
      progress: Progress,
      isWhole: boolean,
    ): Effect.Effect<Taken, unknown> =>
      Effect.gen(function* () {
        const [first] = deliveries as NonEmptyReadonlyArray<Delivery>
        if (suspicions.isSuspect(first)) return yield* takeSuspect(deliveries, progress, first)
        for (let tries = 1; ; tries++) {
          const exit = deliveries.some(({ run }) => run === undefined)
            ? Exit.fail(undefined)
            : yield* Effect.exit(together(deliveries, progress))
          if (Exit.isSuccess(exit)) {
            suspicions.clear(first)
            return exit.value
          }
          if (Cause.squash(exit.cause) instanceof PositionMoved) return yield* Effect.failCause(exit.cause)
          const fault = faultOf(exit.cause)
          if (fault === "event") return yield* search(deliveries, progress, isWhole, exit.cause)
          if (fault === "again" && tries < 3) continue
          if (yield* isAway) return yield* Effect.failCause(exit.cause)
          suspicions.add(first)
          return yield* suspicions.isSuspect(first)
            ? takeSuspect(deliveries, progress, first)
            : Effect.failCause(exit.cause)
        }
      })

    /** An interrupted call took too long: its first event comes again, and may be the reason. */
    return (deliveries: ReadonlyArray<Delivery>, progress: Progress) =>
      Effect.onInterrupt(take(deliveries, progress, true), () => Effect.sync(() => suspicions.add(deliveries[0]!)))
  })

const report = (module: string, { applied, known }: Taken) =>
  Effect.gen(function* () {
    yield* metrics.duplicates({ module }, known)
    for (const [reaction, runs] of byReaction(applied)) {
      yield* metrics.applied({ module, reaction: reaction.name }, runs.length)
    }
    for (const [topic, those] of Map.groupBy(applied, ({ record }) => record.topic)) {
      yield* those.length > 3
        ? Effect.logInfo(`${serviceOf(module)} Received ${those.length} ${topic} events`)
        : Effect.forEach(those, (delivery) => logged(module, delivery), { discard: true })
    }
  })

const logged = (module: string, { run, record }: Delivery) =>
  run === undefined
    ? Effect.void
    : Effect.logInfo(`${serviceOf(module)} Received ${run.event.type} event: ${idsIn(run.event.data)}`).pipe(
        loggedAt(placeOfRecord(record)),
      )

/** The ids of an event's data alone: no personal data, no payload. */
const idsIn = (data: unknown): string =>
  JSON.stringify(Object.fromEntries(Object.entries(data as object).filter(([name]) => name.endsWith("_id"))))
