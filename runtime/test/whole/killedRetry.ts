import { Clock, Effect, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { define } from "../../events/Event.ts"
import type { Received } from "../../events/EventBus.ts"
import { atMost, each } from "../../module/Reaction.ts"
import { migrate } from "../../sql/migrate.ts"
import { makeConsumer } from "../../delivery/consumer.ts"
import { makeRetryTurn } from "../../delivery/retry.ts"
import { beforeEachRequest, runLife } from "../harness/life.ts"

/**
 * One life of a process that kills itself: `node killedRetry.ts FOLDER N`.
 *
 * It first audits what the life before left in the folder, and brings that to its end; then it sets the events of a
 * new key aside and lets the worker turn, until just before the N-th request to the database, where it dies by kill -9.
 * When the turn ends earlier, as for 0, it says so and ends with 0; with 1 and what is wrong when something is.
 */
const [folder = "", life = "0"] = process.argv.slice(2)

let requestsLeft = Number.POSITIVE_INFINITY
beforeEachRequest(() => {
  if (--requestsLeft === 0) process.kill(process.pid, "SIGKILL")
})

const type = define("lived", { data: Schema.Struct({ n: Schema.optionalKey(Schema.Int) }), key: "n", subject: "n" })

/** Of each key: the first steps aside with the others behind it; the worker applies two, and the third fails then. */
const numbers = [1, 2, 3, 4]

const recordsOf = (key: string): ReadonlyArray<Received> =>
  numbers.map((n, offset) => ({
    topic: type.type,
    partition: 0,
    offset,
    time: 0,
    key,
    value: Buffer.from("{}"),
    headers: { ce_specversion: "1.0", ce_id: `${key}.${n}`, ce_source: "/lives", ce_type: type.type },
  }))

const program = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* migrate({})
  yield* sql`create table if not exists note (pos bigint generated always as identity, event_id text)`
  const bad = new Set<string>()
  const reaction = each({
    name: "lives.note",
    event: type,
    handle: ({ id }) =>
      Effect.andThen(
        Effect.orDie(sql`insert into note (event_id) values (${id})`),
        Effect.suspend(() => (bad.has(id) ? Effect.die(new Error("it cannot be done")) : Effect.void)),
      ),
  })
  const options = { module: "lives", reactions: [reaction].map(atMost(10)) }
  const handle = yield* makeConsumer(options)
  const turn = yield* makeRetryTurn(options)

  const clock = yield* Clock.Clock
  const then = clock.currentTimeMillisUnsafe() + (Number(life) + 1) * 3_600_000
  /** Later than in any life before, so that whatever waits is due; time stands still, so that no turn takes long. */
  const later = Effect.provideService(
    Clock.Clock,
    Object.assign(Object.create(clock) as Clock.Clock, {
      currentTimeMillis: Effect.succeed(then),
    }),
  )

  const ids = (rows: ReadonlyArray<{ readonly event_id: string }>) => rows.map(({ event_id }) => event_id)
  const audit = (key: string) =>
    Effect.gen(function* () {
      const noted = ids(
        yield* sql<{ event_id: string }>`
        select event_id from note where event_id like ${`${key}.%`} order by pos`,
      )
      const open = ids(
        yield* sql<{ event_id: string }>`
        select event_id from held where key = ${key} and status in ('waiting', 'retrying', 'parked') order by pos`,
      )
      const all = [...noted, ...open].join(" ")
      if (
        all !==
        recordsOf(key)
          .map(({ headers }) => headers["ce_id"])
          .join(" ")
      ) {
        return yield* Effect.die(new Error(`of ${key}, ${noted.join()} took effect and ${open.join()} is held`))
      }
      return open
    })

  const before = `k${Number(life) - 1}`
  if (Number(life) > 0) {
    yield* audit(before)
    // The log brings it again, for its offset may not have been committed.
    const [first, ...rest] = recordsOf(before)
    yield* handle([first!, ...rest])
    yield* later(Effect.repeat(turn, { while: (more) => more === true }))
    const open = yield* audit(before)
    if (open.length > 0) return yield* Effect.die(new Error(`${open.join()} is held for ever`))
  }

  const key = `k${life}`
  bad.add(`${key}.1`)
  const [first, ...rest] = recordsOf(key)
  yield* handle([first!, ...rest])
  bad.clear()
  bad.add(`${key}.3`)
  requestsLeft = Number(life)
  yield* later(turn)
  requestsLeft = Number.POSITIVE_INFINITY
  const open = yield* audit(key)
  return `${numbers.length - open.length} took effect in a turn`
})

if (import.meta.main) await runLife(folder, program)
