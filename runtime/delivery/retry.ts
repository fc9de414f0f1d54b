import { Cause, Clock, Effect, Exit } from "effect"
import { SqlClient } from "effect/sql"
import type { Reaction } from "../module/Reaction.ts"
import { monotonicMillis } from "../loop/monotonic.ts"
import { defaultRetry, delayAfter } from "../loop/schedule.ts"
import { Database } from "../sql/Database.ts"
import { placeOfRecord } from "../telemetry/messages.ts"
import * as metrics from "../telemetry/metrics.ts"
import { loggedAt } from "../telemetry/trace.ts"
import { attempt, takeAlone } from "./attempt.ts"
import { type DeadLetterRow, deadLetterWork, recordOf, type Walked } from "./deadLetterTable.ts"
import { deliveriesOf, type Delivery } from "./Delivery.ts"
import { inbox } from "./inbox.ts"
import { ofNoReaction } from "./outcome.ts"
import { resetTable } from "./resetTable.ts"
import { type Failure, verdictOn } from "./verdict.ts"

/** Events of one key in one turn: a busy key must drain faster than it fills, or it never leaves the slow path. */
const perTurn = 50

/** A turn that took this long ends, so that other work gets its turn: an embedded database has but one session. */
const longTurnMillis = 50

/** A record that cannot be read is retried after this while a reaction to its topic is reset. */
const resetMillis = 1_000

/** How often all keys are walked over for dead letters that are the first of their key and were not marked. */
const walkEveryMillis = 60_000

/** An event for a reaction that this release does not have is retried after this: the next release may have it. */
const unknownReactionMillis = 60_000

/** More delays are not kept; a dead letter that loses its own is retried sooner. */
const mostDelays = 1_000

/** Keys that one turn walks over. */
const keysPerWalk = 500

interface Options {
  readonly module: string
  readonly reactions: ReadonlyArray<Reaction<never>>
}

/**
 * The worker that retries dead letters (DELIVERY.md, *Taking charge*), in any number of instances. A turn locks the first
 * open dead letter of a key that is due, runs its reaction in a savepoint, and goes on with the next of the key while
 * that succeeds. The effects of the reactions and the results commit together. The turn returns whether there may be
 * more, or in how many milliseconds the next one is due.
 *
 * A fault of the infrastructure rolls the turn back. When the database answers all the same, the statement of that dead
 * letter cannot be done now: its next attempt is delayed, uncounted, and other keys go on.
 */
export const makeRetryTurn = (options: Options) =>
  Effect.gen(function* () {
    const { module } = options
    const sql = yield* SqlClient.SqlClient
    const database = yield* Database
    const deadLetters = deadLetterWork(sql)
    const walk = makeWalk(deadLetters)
    const lockDue = makeLockDue(deadLetters)
    const handle = makeHandle(options, sql)
    const delays = makeDelays()

    /** Handles what is due of one key. `current`: the dead letter that is handled, `applied`: those that took effect. */
    const drain = (progress: { current: DeadLetterRow | undefined; readonly applied: Array<DeadLetterRow> }) =>
      Effect.gen(function* () {
        const now = new Date(yield* Clock.currentTimeMillis)
        const [head] = yield* lockDue(now)
        progress.current = head
        for (let n = 0; n < perTurn && progress.current !== undefined; n++) {
          const deadLetter: DeadLetterRow = progress.current
          if (!(yield* handle(deadLetter))) break
          progress.applied.push(deadLetter)
          const [next] = deadLetter.key === null ? [] : yield* deadLetters.lockNext(deadLetter)
          if (next?.status === "waiting") yield* deadLetters.markReady(next)
          if ((yield* Clock.currentTimeMillis) - now.getTime() >= longTurnMillis) break
          progress.current = next !== undefined && next.due !== null && next.due <= now ? next : undefined
        }
        return head !== undefined
      })

    return Effect.gen(function* () {
      yield* database.writable
      yield* walk
      const next = yield* deadLetters.nextDue
      if (next === null) return false
      const early = next.getTime() - (yield* Clock.currentTimeMillis)
      if (early > 0) return early
      const progress = { current: undefined as DeadLetterRow | undefined, applied: new Array<DeadLetterRow>() }
      const exit = yield* Effect.exit(database.transaction(drain(progress)))
      const { current, applied } = progress
      if (Exit.isSuccess(exit)) {
        if (current !== undefined) delays.clear(current)
        for (const deadLetter of applied) {
          delays.clear(deadLetter)
          yield* metrics.applied({ module, reaction: deadLetter.reaction }, 1)
        }
        return exit.value
      }
      yield* Effect.mapError(database.probe, () => Cause.squash(exit.cause))
      if (current === undefined) return yield* Effect.failCause(exit.cause)
      const due = new Date((yield* Clock.currentTimeMillis) + (yield* delays.next(current)))
      yield* deadLetters.delay(current, due)
      return true
    })
  })

type Work = ReturnType<typeof deadLetterWork>

/** Walks over a part of all keys in each turn while a walk is under way; a new one begins each minute. */
const makeWalk = ({ markMissed }: Work) => {
  let walked: Walked | undefined
  let walkAt = Number.NEGATIVE_INFINITY
  return Effect.gen(function* () {
    const now = yield* monotonicMillis
    if (now < walkAt) return
    const [last] = yield* markMissed(walked, keysPerWalk)
    walked = last?.n === keysPerWalk ? last : undefined
    if (walked === undefined) walkAt = now + walkEveryMillis
  })
}

/** Locks what is due: what failed first, and in each 16th turn what is ready, so that neither kind starves the other. */
const makeLockDue = ({ lockFailed, lockReady }: Work) => {
  let turns = 0
  return (now: Date) =>
    Effect.gen(function* () {
      const [one, other] = ++turns % 16 === 0 ? [lockReady, lockFailed] : [lockFailed, lockReady]
      const found = yield* one(now)
      return found.length > 0 ? found : yield* other(now)
    })
}

/** The delays of dead letters that could not be tried although the database answered, longer each time in a row. */
const makeDelays = () => {
  const failures = new Map<bigint, number>()
  return {
    clear: ({ pos }: DeadLetterRow) => void failures.delete(pos),
    /** The next delay, in ms. */
    next: ({ pos }: DeadLetterRow) =>
      Effect.suspend(() => {
        const times = (failures.get(pos) ?? 0) + 1
        if (failures.size >= mostDelays) failures.clear()
        failures.set(pos, times)
        return Effect.map(delayAfter(defaultRetry, times), (delay) => delay ?? unknownReactionMillis)
      }),
  }
}

/** Tries a dead letter and records the result, in the current transaction. Returns whether it took effect. */
const makeHandle = ({ module, reactions }: Options, sql: SqlClient.SqlClient) => {
  const deadLetters = deadLetterWork(sql)
  const { isTopicReset } = resetTable(sql)

  const log = (level: "info" | "warn", deadLetter: DeadLetterRow, what: string) =>
    (level === "warn" ? Effect.logWarning : Effect.logInfo)(`${deadLetter.reaction}: an event ${what}`).pipe(
      Effect.annotateLogs({ module, dead_letter: deadLetter.id, event_id: deadLetter.event_id }),
      loggedAt(placeOfRecord(deadLetter.event)),
    )

  const fail = (deadLetter: DeadLetterRow, outcome: Failure, millis: number) =>
    Effect.gen(function* () {
      const now = new Date(yield* Clock.currentTimeMillis)
      const schedule = reactions.find(({ name }) => name === deadLetter.reaction)?.retry ?? defaultRetry
      const verdict = yield* verdictOn(deadLetter, outcome, schedule, now)
      yield* deadLetters.fail(deadLetter, verdict, now, millis)
      if (verdict.status !== "parked") return
      yield* log("warn", deadLetter, `is parked after ${verdict.attempts} attempts (${outcome.reason})`)
    })

  /** A record that could not be read: it still cannot, or is an event for each of its reactions now. */
  const takeForAll = (deliveries: ReadonlyArray<Delivery>) =>
    Effect.gen(function* () {
      const [first] = deliveries
      if (first?.reaction === ofNoReaction) return yield* first.outcome
      for (const delivery of deliveries) yield* takeAlone(sql, inbox(sql), delivery)
      return undefined
    })

  /** Returns undefined when it took effect. */
  const tryAgain = (deadLetter: DeadLetterRow) =>
    Effect.gen(function* () {
      const deliveries = deliveriesOf(recordOf(deadLetter), reactions)
      if (deadLetter.reaction === ofNoReaction) {
        // Asked once the dead letter is locked: a reset of a reaction to its topic waits for that lock, or is seen here.
        if (!(yield* isTopicReset(deadLetter.topic))) return yield* takeForAll(deliveries)
        const due = new Date((yield* Clock.currentTimeMillis) + resetMillis)
        return { status: "retrying", attempts: 0, reason: "malformed", error: "", due } satisfies Failure
      }
      const delivery = deliveries.find(({ reaction }) => reaction === deadLetter.reaction)
      if (delivery !== undefined) return yield* attempt(sql, delivery)
      const due = new Date((yield* Clock.currentTimeMillis) + unknownReactionMillis)
      const error = `this release has no reaction ${deadLetter.reaction}`
      return { status: "retrying", attempts: 0, reason: "newer-version", error, due } satisfies Failure
    })

  return (deadLetter: DeadLetterRow) =>
    Effect.gen(function* () {
      const before = performance.now()
      const outcome = yield* tryAgain(deadLetter)
      if (outcome !== undefined && outcome.status !== "waiting") {
        yield* fail(deadLetter, outcome, performance.now() - before)
        return false
      }
      yield* deadLetters.succeed(deadLetter, new Date(yield* Clock.currentTimeMillis))
      if (deadLetter.status !== "waiting") {
        yield* log("info", deadLetter, `took effect after ${deadLetter.attempts} failed attempts`)
      }
      return true
    })
}
