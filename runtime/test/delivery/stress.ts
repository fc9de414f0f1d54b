import { Clock, Context, Duration, Effect, Exit, Layer, References, Schema } from "effect"
import { SqlClient, Statement } from "effect/sql"
import { setTimeout as sleep } from "node:timers/promises"
import { define } from "../../events/Event.ts"
import type { Received } from "../../events/EventBus.ts"
import { type Behaviour, connectionLost } from "../../delivery/suite/InboxSuite.ts"
import { atMost, each, Postpone, Reject } from "../../module/Reaction.ts"
import { type Random, randomOf } from "../harness/shoppers.ts"
import { makeConsumer } from "../../delivery/consumer.ts"
import type { Subject } from "../../admin/suite/DeadLettersSuite.ts"
import * as DeadLetters from "../../admin/DeadLetters.ts"
import { makeRetryTurn } from "../../delivery/retry.ts"

const keys = ["a", "b", "c"]
const events = 24

/** Minutes of schedules pass in milliseconds; what sleeps, sleeps as ever. */
const fastClock = (live: Clock.Clock): Clock.Clock => {
  const start = live.currentTimeMillisUnsafe()
  const millis = () => start + (live.currentTimeMillisUnsafe() - start) * 1_000
  return Object.assign(Object.create(live) as Clock.Clock, {
    currentTimeMillisUnsafe: millis,
    currentTimeMillis: Effect.sync(millis),
    monotonicTimeNanosUnsafe: () => BigInt(Math.round(millis())) * 1_000_000n,
    monotonicTimeNanos: Effect.sync(() => BigInt(Math.round(millis())) * 1_000_000n),
  })
}

const type = define("stressed", { data: Schema.Struct({ n: Schema.optionalKey(Schema.Int) }), key: "n", subject: "n" })

const upTo = (random: Random, most: number) => Math.floor(random() * most)
const pick = <Item>(random: Random, items: ReadonlyArray<Item>) => items[upTo(random, items.length)]
const pause = (millis: number) => Effect.promise(() => sleep(millis))

/** A partition: events of some keys in turns, each once and some again further on. */
const logOf = (random: Random): ReadonlyArray<Received> => {
  const ids: Array<string> = []
  for (let n = 0; n < events; n++) {
    ids.push(`${keys[n % keys.length]}${n}`)
    if (random() < 0.2) ids.push(pick(random, ids)!)
  }
  return ids.map((id, offset) => ({
    topic: type.type,
    partition: 0,
    offset,
    time: 0,
    key: id.slice(0, 1),
    value: Buffer.from("{}"),
    headers: { ce_specversion: "1.0", ce_id: id, ce_source: "/stress", ce_type: type.type },
  }))
}

/** What a reaction does about an event each time it is run, until everything is mended. */
const planOf = (log: ReadonlyArray<Received>, random: Random) => {
  const timesOf = () => (random() < 0.7 ? 0 : random() < 0.2 ? Number.POSITIVE_INFINITY : 1 + upTo(random, 3))
  const failures = new Map(log.map(({ headers }) => [headers["ce_id"]!, timesOf()]))
  const runs = new Map<string, number>()
  let mended = false
  const fail = (id: string) =>
    Effect.suspend((): Behaviour => {
      if (mended) return Effect.void
      const run = (runs.get(id) ?? 0) + 1
      runs.set(id, run)
      if (random() < 0.02) return connectionLost
      if (run > failures.get(id)!) return Effect.void
      const kind = random()
      if (kind < 0.1) return Effect.fail(new Reject({ reason: "not now" }))
      if (kind < 0.2) return Effect.fail(new Postpone({ for: Duration.seconds(1 + upTo(random, 9)) }))
      return Effect.die(new Error("it cannot be done"))
    })
  const linger = Effect.suspend(() => (random() < 0.3 ? pause(random() * 4) : Effect.void))
  return { fail, linger, mend: () => void (mended = true) }
}

/** Tables for `stress`, in a database that has those of the runtime. */
export const prepare = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql`create table note (pos bigint generated always as identity, event_id text)`,
)

/**
 * Lets three members of a group, of which some are zombies at times, two workers and a person who redrives and discards
 * work on one log with copies, side by side, while reactions fail; then mends everything, waits until nothing is held,
 * and says what is not as it must be. The log and what fails come from `seed`; who is
 * faster is up to the machine.
 */
export const stress = (seed: number, subject: Subject = {}) =>
  Effect.gen(function* () {
    const random = randomOf(seed)
    const sql = yield* SqlClient.SqlClient
    yield* sql`truncate note, inbox, held restart identity`
    const log = logOf(random)
    const { fail, linger, mend } = planOf(log, random)
    const reaction = each({
      name: "stress.note",
      event: type,
      handle: ({ id }) =>
        Effect.andThen(
          Effect.andThen(linger, Effect.orDie(sql`insert into note (event_id) values (${id})`)),
          Effect.andThen(linger, fail(id)),
        ),
    })
    const reactions = [reaction]
    const change: Statement.Transformer = (statement, own) => {
      const [text, params] = statement.compile()
      const changed = subject.statement?.(text) ?? text
      return Effect.succeed(changed === text ? statement : own.unsafe(changed, params))
    }
    const built = yield* Layer.build(DeadLetters.layer({ module: "stress", reactions, changed: Effect.void }))
    const letters = Context.get(built, DeadLetters.DeadLetters)

    let committed = 0
    let generation = 0
    let over = false

    const member = Effect.gen(function* () {
      while (committed < log.length) {
        const mine = ++generation
        const handle = yield* makeConsumer({
          module: "stress",
          reactions,
          ...(subject.inbox && { inbox: subject.inbox }),
        })
        for (let at = committed; at < log.length;) {
          const [first, ...rest] = log.slice(at, at + 1 + upTo(random, 7))
          const exit = yield* Effect.exit(handle([first!, ...rest]))
          if (Exit.isSuccess(exit)) at += 1 + rest.length
          // Once another has taken over, its commits are refused; it may not know yet.
          if (mine === generation) committed = Math.max(committed, at)
          else if (random() < 0.5) break
          if (random() < 0.25) break
        }
        yield* pause(random() * 3)
      }
    })

    const worker = Effect.gen(function* () {
      const turn = yield* makeRetryTurn({ module: "stress", reactions: reactions.map(atMost(3)) })
      while (!over) {
        const exit = yield* Effect.exit(turn)
        if (Exit.isFailure(exit) || exit.value !== true) yield* pause(2)
      }
    })

    const redriveAll = Effect.suspend(() =>
      letters.changeMany({
        action: "redrive",
        filter: {},
        operation: crypto.randomUUID(),
        limit: 500,
        actor: "stress",
      }),
    )

    const person = Effect.gen(function* () {
      while (committed < log.length) {
        yield* pause(random() * 6)
        const entry = pick(random, yield* letters.list({}, undefined, 10))
        const press = random()
        if (entry === undefined) continue
        if (press < 0.5) yield* letters.redrive(entry.id)
        else if (press < 0.7) yield* letters.discard(entry.id)
        else if (press < 0.8)
          yield* Effect.all([letters.discard(entry.id), letters.redrive(entry.id)], { concurrency: 2 })
        else if (press < 0.9) yield* redriveAll
      }
    })

    const openEntries = Effect.map(
      sql`select from held where status in ('waiting', 'retrying', 'parked') limit 1`,
      (rows) => rows.length > 0,
    )
    const drain = Effect.gen(function* () {
      mend()
      while (yield* openEntries) {
        yield* redriveAll
        yield* pause(2)
      }
    }).pipe(Effect.ensuring(Effect.sync(() => void (over = true))))

    const crowd = Effect.all([member, member, member, person], { concurrency: "unbounded", discard: true })
    const exit = yield* Effect.all([worker, worker, Effect.andThen(crowd, drain)], {
      concurrency: "unbounded",
      discard: true,
    }).pipe(
      Effect.timeout("20 seconds"),
      Effect.provideService(Statement.CurrentTransformer, change),
      Effect.provideService(Clock.Clock, fastClock(yield* Clock.Clock)),
      Effect.exit,
    )
    return Exit.isFailure(exit) ? [`it did not come to an end: ${String(exit.cause)}`] : yield* audit(sql)
  }).pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "None"))

/** Each event took effect once or was discarded, and what took effect of a key did so in its order. */
const audit = (sql: SqlClient.SqlClient) =>
  Effect.gen(function* () {
    const noted = (yield* sql<{ event_id: string }>`select event_id from note order by pos`).map((row) => row.event_id)
    const discarded = yield* sql<{ event_id: string }>`select event_id from held where status = 'discarded'`
    const ends = [...noted, ...discarded.map((row) => row.event_id)]
    const faults: Array<string> = []
    for (let n = 0; n < events; n++) {
      const id = `${keys[n % keys.length]}${n}`
      const times = ends.filter((end) => end === id).length
      if (times !== 1) faults.push(`${id} took effect or was discarded ${times} times`)
    }
    for (const key of keys) {
      const numbers = noted.flatMap((id) => (id.startsWith(key) ? [Number(id.slice(1))] : []))
      if (numbers.some((number, n) => n > 0 && number < numbers[n - 1]!)) faults.push(`${key}: ${numbers.join(" ")}`)
    }
    return faults
  })
