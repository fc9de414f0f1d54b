import { Cause, Deferred, Effect, Exit, Fiber, Latch, Schema, type Scope } from "effect"
import { SqlClient, type Statement } from "effect/sql"
import { expect } from "vitest"
import { define, fact } from "../../events/Event.ts"
import { EventBus, EventBusError, type Outgoing } from "../../events/EventBus.ts"
import { Loops, makeLoops } from "../../loop/loop.ts"
import { Database } from "../../sql/Database.ts"
import { until } from "../../test/harness/bus.ts"
import type { Check } from "../../test/harness/suite.ts"
import { maxBytes, notPublished } from "../Outbox.ts"
import type { outboxTable } from "../outboxTable.ts"
import { relay, type relayTurn } from "../relay.ts"

/** What may be wrong: how events are written, and how they are carried to the bus. */
export interface Subject {
  readonly outbox: typeof outboxTable
  /** A relay, with what it remembers between its turns. */
  readonly relay: () => typeof relayTurn
}

/** What a send meets: `keep` keeps the first `n` of its records, or all. */
type Fault = (
  keep: (n?: number) => Effect.Effect<void>,
  records: ReadonlyArray<Outgoing>,
) => Effect.Effect<void, EventBusError>

const failure = Effect.fail(new EventBusError({ operation: "send", cause: new Error("away") }))
const refuses: Fault = () => failure
const losesTheAnswer: Fault = (keep) => Effect.andThen(keep(), failure)
const keepsAPart: Fault = (keep, { length }) => Effect.andThen(keep(length >> 1), failure)

/** A bus that remembers what it kept, and whether two sends were ever under way at once. Each send meets the next fault. */
const recordingBus = () => {
  const kept: Array<Outgoing> = []
  const faults: Array<Fault | undefined> = []
  let sending = 0
  let atOnce = 0
  const send = (records: ReadonlyArray<Outgoing>) =>
    Effect.suspend(() => {
      atOnce = Math.max(atOnce, ++sending)
      const keep = (n?: number) => Effect.sync(() => void kept.push(...records.slice(0, n)))
      return Effect.andThen(Effect.yieldNow, faults.shift()?.(keep, records) ?? keep())
    }).pipe(Effect.ensuring(Effect.sync(() => sending--)))
  return { bus: { send }, kept, faults, atOnce: () => atOnce }
}

const Data = Schema.Struct({
  group: Schema.String,
  thing: Schema.String,
  n: Schema.Int,
  text: Schema.optionalKey(Schema.String),
})
type Data = typeof Data.Type

let scenes = 0

/** An aggregate that publishes its changes: thing `a1` has the key `a`. */
const changed = () =>
  define(`thing_changed_${process.pid}_${++scenes}`, {
    version: 3,
    data: Data,
    key: "group",
    subject: "thing",
  })

/** The data of a thing's change; its group is the first letter of its name. */
const changeOf = (thing: string, n: number) => ({ group: thing.slice(0, 1), thing, n })

const dataOf = ({ value }: Outgoing): Data => JSON.parse(Buffer.from(value!).toString())
const labelOf = ({ thing, n }: Data) => `${thing} ${n}`

/** Labels by key, in their order. */
const byKey = (labels: ReadonlyArray<string>) => Object.groupBy(labels, (label) => label.slice(0, 1))

const scene = (subject: Subject) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const database = yield* Database
    yield* sql`create table thing (name text primary key, version int not null)`
    const Changed = changed()
    const latch = Latch.makeUnsafe(false)
    const outbox = subject.outbox(sql, Effect.asVoid(latch.open), { name: "suite", publishes: [Changed] })
    const { bus, kept, faults, atOnce } = recordingBus()
    const newRelay = (client = sql, turnMillis?: number) => subject.relay()(client, bus, "/galleria/suite", turnMillis)
    const turn = newRelay()

    /** Changes a thing: its row is locked first, then the event is appended. */
    const change = (thing: string) =>
      Effect.gen(function* () {
        const [row] = yield* Effect.orDie(sql<{ version: number }>`
          insert into thing values (${thing}, 1) on conflict (name) do update set version = thing.version + 1
          returning version`)
        return yield* outbox.append([fact(Changed, changeOf(thing, row!.version))])
      })
    const commit = (...things: ReadonlyArray<string>) =>
      Effect.forEach(things, (thing) => database.transaction(change(thing)), { discard: true })

    /** That many changes of seven things with three keys, committed; returns their labels. */
    const backlog = (count: number) =>
      Effect.gen(function* () {
        const things = ["a1", "a2", "a3", "b1", "b2", "b3", "c1"]
        const changes = Array.from({ length: count }, (_, i) => changeOf(things[i % 7]!, Math.floor(i / 7) + 1))
        yield* database.transaction(outbox.append(changes.map((data) => fact(Changed, data))))
        return changes.map(labelOf)
      })

    /** Turns until there is no more, as the loop does: a turn that fails is followed by another one. Counts them. */
    const drain = (relay = turn) =>
      Effect.gen(function* () {
        for (let turns = 1; turns <= 100; turns++) {
          const more = yield* Effect.exit(relay)
          if (Exit.isSuccess(more) && !more.value) return turns
          if (Exit.hasInterrupts(more)) return yield* more
        }
        throw new Error("it does not come to an end")
      })

    const labels = () => kept.map((record) => labelOf(dataOf(record)))
    const left = Effect.map(sql<{ n: number }>`select count(*)::int as n from outbox`, ([row]) => row!.n)
    return {
      sql,
      database,
      latch,
      outbox,
      Changed,
      kept,
      faults,
      atOnce,
      turn,
      newRelay,
      change,
      commit,
      backlog,
      drain,
      labels,
      /** Nothing is lost, and all arrived in order within their keys, each for the first time; copies may follow. */
      arrived: Effect.fnUntraced(function* (expected: ReadonlyArray<string>) {
        expect(byKey([...new Set(labels())])).toEqual(byKey(expected))
        expect(yield* left).toBe(0)
      }),
      /** The same, and no copies. */
      arrivedOnce: Effect.fnUntraced(function* (expected: ReadonlyArray<string>) {
        expect(byKey(labels())).toEqual(byKey(expected))
        expect(yield* left).toBe(0)
      }),
      left,
    }
  })

type Scene = Effect.Success<ReturnType<typeof scene>>

const on = (play: (scene: Scene) => Effect.Effect<void, unknown, Scope.Scope>) => (subject: Subject) =>
  Effect.flatMap(scene(subject), play)

const writing: ReadonlyArray<Check<Subject>> = [
  {
    name: "sends what a committed transaction appended, once and unchanged",
    check: on(
      Effect.fnUntraced(function* ({ database, outbox, Changed, drain, kept, left }) {
        const data = { ...changeOf("a1", 1), text: `"\\ \0 \n é 🦜 \ud800` }
        const append = Effect.withSpan(outbox.append([fact(Changed, data), fact(Changed, { ...data, n: 2 })]), "suite")
        const drafts = yield* database.transaction(append)
        yield* drain()
        yield* drain()
        expect(kept.map(dataOf)).toEqual([data, { ...data, n: 2 }])
        expect(kept).toEqual(
          drafts.map((written) => ({
            topic: Changed.type,
            key: "a",
            value: Buffer.from(written.data),
            headers: {
              ce_specversion: "1.0",
              ce_id: written.event_id,
              ce_source: "/galleria/suite",
              ce_type: Changed.type,
              ce_subject: "a1",
              ce_time: written.time,
              ce_dataschema: `/schemas/${Changed.type}/3`,
              "content-type": "application/json",
              traceparent: written.traceparent,
            },
          })),
        )
        expect(new Set(drafts.map((written) => written.event_id)).size).toBe(2)
        for (const written of drafts) {
          expect(written.event_id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/u)
          expect(written.traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/u)
          expect(new Date(written.time).toISOString()).toBe(written.time)
        }
        expect(yield* left).toBe(0)
      }),
    ),
  },
  {
    name: "has no traceparent when there is no trace",
    check: on(
      Effect.fnUntraced(function* ({ database, outbox, Changed, drain, kept }) {
        yield* Effect.withTracerEnabled(database.transaction(outbox.append([fact(Changed, changeOf("a1", 1))])), false)
        yield* drain()
        expect(kept).toHaveLength(1)
        expect(kept[0]!.headers).not.toHaveProperty("traceparent")
      }),
    ),
  },
  {
    name: "never sends an event that was rolled back",
    check: on(
      Effect.fnUntraced(function* ({ database, change, commit, drain, arrivedOnce }) {
        for (const end of [Effect.fail("no"), Effect.die(new Error("broken")), Effect.interrupt]) {
          yield* Effect.exit(database.transaction(Effect.andThen(change("a1"), end)))
          yield* drain()
        }
        yield* commit("b1")
        yield* drain()
        yield* arrivedOnce(["b1 1"])
      }),
    ),
  },
  {
    name: "wakes the relay once the transaction has committed, and not when it is rolled back",
    check: on(
      Effect.fnUntraced(function* ({ database, change, latch }) {
        const appended = Effect.gen(function* () {
          yield* change("a1")
          expect(Latch.isOpen(latch)).toBe(false)
        })
        yield* Effect.exit(database.transaction(Effect.andThen(appended, Effect.fail("no"))))
        expect(Latch.isOpen(latch)).toBe(false)
        yield* database.transaction(appended)
        expect(Latch.isOpen(latch)).toBe(true)
      }),
    ),
  },
  {
    name: "writes the same by insert as by append",
    check: on(
      Effect.fnUntraced(function* ({ sql, database, outbox, Changed, drain, kept }) {
        const data = { ...changeOf("a1", 7), text: `"\\ \0 \n é 🦜` }
        yield* database.transaction(
          Effect.gen(function* () {
            yield* outbox.append([fact(Changed, data)])
            const whole = yield* outbox.draft(Changed, data)
            const rest = yield* outbox.draft(Changed, { group: "a", thing: "a1", text: data.text }, ["n"])
            const nothing = yield* outbox.draft(Changed, {}, ["group", "thing", "n"])
            const rows = [
              { n: 1, draft: whole, assigned: null },
              { n: 2, draft: rest, assigned: `{"n":7}` },
              { n: 3, draft: nothing, assigned: JSON.stringify(changeOf("a1", 7)) },
            ]
            yield* sql`${outbox.insert(Changed, inserted(sql, rows))}`
          }),
        )
        yield* drain()
        expect(kept.map(dataOf)).toEqual([data, data, data, changeOf("a1", 7)])
        const alike = kept.map((record) => ({
          ...record,
          value: null,
          headers: { ...record.headers, ce_id: "", ce_time: "" },
        }))
        expect(alike).toEqual(alike.map(() => alike[0]))
        expect(new Set(kept.map(({ headers }) => headers["ce_id"])).size).toBe(4)
      }),
    ),
  },
  {
    name: "leaves an event that took the place of one that was being sent, as in a restored database, and relays it",
    check: on(
      Effect.fnUntraced(function* ({ sql, commit, drain, labels, left, faults }) {
        yield* commit("a1")
        const replaced = Effect.orDie(
          sql`update outbox set event_id = 'another', data = replace(data, '"n":1', '"n":2')`,
        )
        faults.push(
          (keep) => Effect.andThen(keep(), replaced),
          () => failure,
        )
        yield* drain()
        expect(labels()).toEqual(["a1 1", "a1 2"])
        expect(yield* left).toBe(0)
      }),
    ),
  },
  {
    name: "keeps the order that a statement gives its rows",
    check: on(
      Effect.fnUntraced(function* ({ sql, outbox, Changed, drain, labels }) {
        const rows = yield* Effect.forEach([3, 1, 4, 2, 5], (n) =>
          Effect.map(outbox.draft(Changed, changeOf("a1", n)), (draft) => ({ n, draft, assigned: null })),
        )
        yield* sql`${outbox.insert(Changed, inserted(sql, rows))}`
        yield* drain()
        expect(labels()).toEqual(["a1 1", "a1 2", "a1 3", "a1 4", "a1 5"])
      }),
    ),
  },
  {
    name: "dies of an event of more than 900,000 bytes, and undoes its transaction",
    check: on(
      Effect.fnUntraced(function* ({ sql, database, outbox, Changed, change, drain, labels }) {
        const sized = (bytes: number) => {
          const text = "é".repeat((bytes - JSON.stringify({ ...changeOf("b1", 1), text: "" }).length) / 2)
          return fact(Changed, { ...changeOf("b1", 1), text })
        }
        const append = (bytes: number) =>
          Effect.exit(database.transaction(Effect.andThen(change("a1"), outbox.append([sized(bytes)]))))
        const refused = yield* append(maxBytes + 2)
        expect(Exit.hasDies(refused)).toBe(true)
        expect(yield* sql`select name from thing`).toEqual([])
        expect(Exit.isSuccess(yield* append(maxBytes))).toBe(true)
        yield* drain()
        expect(labels()).toEqual(["a1 1", "b1 1"])
      }),
    ),
  },
  {
    name: "dies of an event that the module does not publish, and writes nothing",
    check: on(
      Effect.fnUntraced(function* ({ database, outbox, Changed, left }) {
        const Other = changed()
        const data = changeOf("a1", 1)
        const says = (exit: Exit.Exit<unknown>) => Exit.isFailure(exit) && Cause.pretty(exit.cause)
        const both = outbox.append([fact(Changed, data), fact(Other, data)])
        for (const work of [Effect.asVoid(database.transaction(both)), Effect.asVoid(outbox.draft(Other, data))]) {
          expect(says(yield* Effect.exit(work))).toContain(notPublished("suite", Other.type))
        }
        expect(yield* left).toBe(0)
      }),
    ),
  },
  {
    name: "dies of an event that is appended outside of a transaction, and writes nothing",
    check: on(
      Effect.fnUntraced(function* ({ outbox, Changed, left }) {
        const exit = yield* Effect.exit(outbox.append([fact(Changed, changeOf("a1", 1))]))
        expect(Exit.hasDies(exit)).toBe(true)
        expect(yield* left).toBe(0)
      }),
    ),
  },
  {
    name: "lets the events of one aggregate leave in the order of the commits",
    check: on(
      Effect.fnUntraced(function* ({ commit, drain, labels }) {
        const things = ["a1", "a2", "b1", "c1"]
        const writers = Array.from({ length: 80 }, (_, n) => commit(things[n % 4]!))
        yield* Effect.all([Effect.all(writers, { concurrency: 16 }), drain()], { concurrency: 2 })
        yield* drain()
        const of = (thing: string) => labels().filter((label) => label.startsWith(thing))
        for (const thing of things) expect(of(thing)).toEqual(Array.from({ length: 20 }, (_, n) => `${thing} ${n + 1}`))
      }),
    ),
  },
]

/** Rows for `Outbox.insert`, as a statement of a module would have them. */
const inserted = (sql: SqlClient.SqlClient, rows: ReadonlyArray<object>): Statement.Fragment =>
  sql`select n, draft, assigned
    from json_to_recordset(${JSON.stringify(rows)}::json) as x (n int, draft json, assigned text)`

/** More than is read at once, so that there is a batch ahead of the one that is being sent. */
const batches = 1_200

const faults: ReadonlyArray<readonly [what: string, fault: Fault]> = [
  ["refuses", refuses],
  ["keeps a send but loses the answer", losesTheAnswer],
  ["keeps a part of a send", keepsAPart],
]

const interruptions: ReadonlyArray<readonly [when: string, keeps: boolean]> = [
  ["before the bus has kept anything", false],
  ["after the bus has kept it, before it is deleted", true],
]

const carrying: ReadonlyArray<Check<Subject>> = [
  {
    name: "drains a backlog in order and without copies, over several turns, with one send under way",
    check: on(
      Effect.fnUntraced(function* ({ backlog, drain, newRelay, arrivedOnce, atOnce }) {
        const labels = yield* backlog(12_000)
        expect(yield* drain(newRelay(undefined, 100))).toBeGreaterThan(1)
        yield* arrivedOnce(labels)
        expect(atOnce()).toBe(1)
      }),
    ),
  },
  ...faults.flatMap(([what, fault]) =>
    [0, 1, 2].map((nth) => ({
      name: `loses nothing and keeps the order when a bus ${what}, at send ${nth + 1}`,
      check: on(
        Effect.fnUntraced(function* ({ backlog, turn, faults, drain, arrived }) {
          const labels = yield* backlog(batches)
          faults.push(...Array.from({ length: nth }, () => undefined), fault)
          expect(Exit.isFailure(yield* Effect.exit(turn))).toBe(true)
          yield* drain()
          yield* arrived(labels)
        }),
      ),
    })),
  ),
  ...interruptions.map(([when, keeps]) => ({
    name: `loses nothing and keeps the order when it is interrupted ${when}`,
    check: on(
      Effect.fnUntraced(function* ({ backlog, turn, newRelay, faults, drain, arrived, left }) {
        const labels = yield* backlog(batches)
        const reached = yield* Deferred.make<void>()
        faults.push(undefined, (keep) =>
          Effect.gen(function* () {
            if (keeps) yield* keep()
            yield* Deferred.succeed(reached, undefined)
            return yield* Effect.never
          }),
        )
        const running = yield* Effect.forkChild(turn)
        yield* Deferred.await(reached)
        yield* Fiber.interrupt(running)
        expect(yield* left).toBeGreaterThan(0)
        yield* drain(newRelay())
        yield* arrived(labels)
      }),
    ),
  })),
  {
    name: "sends again what it could not delete",
    check: on(
      Effect.fnUntraced(function* ({ sql, backlog, turn, newRelay, faults, drain, arrived, labels }) {
        const expected = yield* backlog(10)
        const away = sql`alter table outbox rename to outbox_away`
        faults.push((keep) => Effect.andThen(Effect.orDie(away), keep()))
        expect(Exit.isFailure(yield* Effect.exit(turn))).toBe(true)
        expect(labels()).toEqual(expected)
        yield* sql`alter table outbox_away rename to outbox`
        yield* drain(newRelay())
        expect(labels()).toEqual([...expected, ...expected])
        yield* arrived(expected)
      }),
    ),
  },
  ...[0, 1].map((nth) => ({
    name: `only makes copies when a relay is overtaken by another, at send ${nth + 1}`,
    check: on(
      Effect.fnUntraced(function* ({ backlog, turn, newRelay, faults, drain, arrived }) {
        const labels = yield* backlog(batches)
        const [stuck, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        faults.push(...Array.from({ length: nth }, () => undefined), (keep) =>
          Effect.gen(function* () {
            yield* Deferred.succeed(stuck, undefined)
            yield* Deferred.await(go)
            yield* keep()
          }),
        )
        const frozen = yield* Effect.forkChild(turn)
        yield* Deferred.await(stuck)
        yield* drain(newRelay())
        yield* Deferred.succeed(go, undefined)
        yield* Fiber.join(frozen)
        yield* arrived(labels)
      }),
    ),
  })),
]

const buses: ReadonlyArray<readonly [what: string, faults: ReadonlyArray<Fault>]> = [
  ["a bus that is available", []],
  ["a bus that is unavailable for a while", [refuses, losesTheAnswer, refuses]],
]

const endToEnd: ReadonlyArray<Check<Subject>> = buses.map(([what, faults]) => ({
  name: `reaches a group through ${what}, by the relay's own loop`,
  check: (subject) =>
    Effect.gen(function* () {
      const { Changed, commit, backlog, latch, left } = yield* scene(subject)
      const bus = yield* EventBus
      const meets = [...faults]
      const send = (records: ReadonlyArray<Outgoing>) =>
        meets.shift()?.((n) => Effect.orDie(bus.send(records.slice(0, n))), records) ?? bus.send(records)
      const seen: Array<string> = []
      yield* bus.ensure([{ name: Changed.type, partitions: 3, retention: undefined }])
      yield* bus.consume({
        group: `${Changed.type}_group`,
        topics: [Changed.type],
        handle: (records) => Effect.sync(() => void seen.push(...records.map((record) => labelOf(dataOf(record))))),
      })
      const opens = (wake: Latch.Latch) =>
        latch.await.pipe(
          Effect.andThen(latch.close),
          Effect.andThen(wake.open),
          Effect.forever,
          Effect.forkScoped,
          Effect.asVoid,
        )
      yield* Effect.forkScoped(
        relay({ module: "suite", bell: { opens, claim: Effect.void } }).pipe(
          Effect.provideService(EventBus, { ...bus, send }),
          Effect.provideService(Loops, makeLoops()),
        ),
      )
      const expected = [...(yield* backlog(batches)), "z1 1", "z1 2"]
      yield* commit("z1", "z1")
      yield* until(
        "all has arrived",
        Effect.map(left, (rows) => rows === 0 && new Set(seen).size === expected.length),
      )
      expect(byKey([...new Set(seen)])).toEqual(byKey(expected))
      if (faults.length === 0) expect(seen).toHaveLength(expected.length)
    }),
}))

/** Changes a thing in a transaction that stays open until it is released to commit. */
const slowly = ({ database, change }: Scene, thing: string) =>
  Effect.gen(function* () {
    const [written, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
    const writer = yield* Effect.forkChild(
      database.transaction(
        Effect.gen(function* () {
          yield* change(thing)
          yield* Deferred.succeed(written, undefined)
          yield* Deferred.await(go)
        }),
      ),
    )
    yield* Deferred.await(written)
    return Effect.andThen(Deferred.succeed(go, undefined), Fiber.join(writer))
  })

/** Enough looks at an outbox for a floor to be raised. */
const looks = (drain: () => Effect.Effect<unknown, unknown>) => Effect.repeat(Effect.suspend(drain), { times: 4 })

const floor: ReadonlyArray<Check<Subject>> = [
  {
    name: "sends the first event of an outbox that was empty before",
    check: on(
      Effect.fnUntraced(function* ({ commit, drain, arrivedOnce }) {
        yield* looks(drain)
        yield* commit("a1")
        yield* drain()
        yield* arrivedOnce(["a1 1"])
      }),
    ),
  },
  ...["with what was in it", "in place"].map((how) => ({
    name: `carries what an outbox holds that was restored ${how}, whose rows are of lower numbers`,
    check: on(
      Effect.fnUntraced(function* ({ sql, database, commit, drain, arrivedOnce }: Scene) {
        yield* commit(...Array.from({ length: 20 }, () => "a1"))
        yield* looks(drain)
        yield* database.transaction(
          Effect.orDie(
            Effect.gen(function* () {
              if (how === "in place") yield* sql`delete from outbox`
              else yield* sql`truncate outbox`
              yield* sql`select setval('outbox_seq_seq', 5)`
              yield* commit("b1", "b1")
              // Others write on until the sequence is where it was: the restored rows must be seen all the same.
              if (how !== "in place") yield* sql`select setval('outbox_seq_seq', 100)`
            }),
          ),
        )
        yield* commit("b1")
        yield* looks(drain)
        const before = Array.from({ length: 20 }, (_, n) => `a1 ${n + 1}`)
        yield* arrivedOnce([...before, "b1 1", "b1 2", "b1 3"])
      }),
    ),
  })),
  {
    name: "sends an event whose transaction is the newest",
    sideBySide: true,
    check: on(
      Effect.fnUntraced(function* (scene) {
        const things = ["a1", "a2", "b1", "b2", "c1"]
        for (const thing of things) {
          const commitSlow = yield* slowly(scene, thing)
          yield* looks(scene.drain)
          yield* commitSlow
          yield* looks(scene.drain)
        }
        yield* scene.arrivedOnce(things.map((thing) => `${thing} 1`))
      }),
    ),
  },
  ...(["append", "insert"] as const).map((how) => ({
    name: `carries an event that has taken its seq and is not written yet, by ${how}`,
    sideBySide: true as const,
    check: on(
      Effect.fnUntraced(function* (scene: Scene) {
        const { sql, database, outbox, Changed, commit, drain } = scene
        // The sequence writes to the log, by which a transaction gets its id, at the first value and at every 32nd.
        yield* commit("a1")
        yield* sql`create function wait() returns trigger language plpgsql as $$
          begin if new.subject = 'b1' then perform pg_advisory_xact_lock(hashtext(current_schema())); end if; return new; end $$`
        yield* sql`create trigger wait before insert on outbox for each row execute function wait()`
        const [held, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        const holder = yield* Effect.forkScoped(
          database.transaction(
            Effect.gen(function* () {
              yield* Effect.orDie(sql`select pg_advisory_xact_lock(hashtext(current_schema()))`)
              yield* Deferred.succeed(held, undefined)
              yield* Deferred.await(go)
            }),
          ),
        )
        yield* Deferred.await(held)
        const draft = yield* outbox.draft(Changed, changeOf("b1", 1))
        const appended = Effect.gen(function* () {
          yield* Effect.orDie(sql`set local lock_timeout = '30s'`)
          if (how === "append") return void (yield* outbox.append([fact(Changed, changeOf("b1", 1))]))
          const rows = sql`select 1, ${JSON.stringify(draft)}::json, null::text`
          yield* Effect.orDie(sql`${outbox.insert(Changed, rows)}`)
        })
        const writer = yield* Effect.forkScoped(database.transaction(appended))
        yield* until(
          "the writer waits",
          Effect.map(
            sql`select 1 from pg_locks where locktype = 'advisory' and not granted and database =
              (select oid from pg_database where datname = current_database())`,
            (rows) => rows.length > 0,
          ),
        )
        yield* looks(drain)
        yield* Deferred.succeed(go, undefined)
        yield* Fiber.join(holder)
        yield* Fiber.join(writer)
        yield* looks(drain)
        yield* scene.arrivedOnce(["a1 1", "b1 1"])
      }),
    ),
  })),
  {
    name: "does not scan deleted rows while a transaction can still see them",
    sideBySide: true,
    check: on(
      Effect.fnUntraced(function* ({ sql, database, newRelay, backlog, commit, drain }) {
        const own = yield* database.exclusive
        const relay = newRelay(own)
        // Index entries that the relay's session has read; a session reports its statistics only on request, after a statement.
        const walked = Effect.gen(function* () {
          yield* own`select pg_stat_force_next_flush()`
          yield* own`select 1`
          const [row] = yield* sql<{ read: number }>`
            select idx_tup_read::int as read from pg_stat_user_indexes
            where indexrelname = 'outbox_pkey' and schemaname = current_schema()`
          return row!.read
        })
        const [seen, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        const dump = yield* Effect.forkScoped(
          database.transaction(
            Effect.gen(function* () {
              yield* Effect.orDie(sql`set local idle_in_transaction_session_timeout = 0`)
              yield* Effect.orDie(sql`set transaction isolation level repeatable read`)
              yield* Effect.orDie(sql`select 1 from outbox`)
              yield* Deferred.succeed(seen, undefined)
              yield* Deferred.await(go)
            }),
          ),
        )
        yield* Deferred.await(seen)
        const rows = 20_000
        yield* backlog(rows)
        yield* looks(() => drain(relay))
        const before = yield* walked
        for (let n = 0; n < 5; n++) {
          yield* commit("a1")
          yield* drain(relay)
        }
        expect((yield* walked) - before).toBeLessThan(rows)
        yield* Deferred.succeed(go, undefined)
        yield* Fiber.join(dump)
      }),
    ),
  },
]

const sideBySide: ReadonlyArray<Check<Subject>> = [
  {
    name: "sends an event that is committed after later ones were sent",
    sideBySide: true,
    check: on(
      Effect.fnUntraced(function* (scene) {
        const commitSlow = yield* slowly(scene, "a1")
        yield* scene.commit("b1", "b1")
        yield* scene.drain()
        expect(scene.labels()).toEqual(["b1 1", "b1 2"])
        yield* commitSlow
        yield* scene.commit("a1", "b1")
        yield* scene.drain()
        yield* scene.arrivedOnce(["b1 1", "b1 2", "a1 1", "a1 2", "b1 3"])
      }),
    ),
  },
  {
    name: "keeps the order of an aggregate whose first event is committed while a backlog drains",
    sideBySide: true,
    check: on(
      Effect.fnUntraced(function* (scene) {
        const { faults, backlog, commit, drain, labels } = scene
        const commitSlow = yield* slowly(scene, "z1")
        yield* backlog(2 * batches)
        faults.push(undefined, (keep) => Effect.andThen(Effect.andThen(commitSlow, commit("z1")), keep()))
        yield* drain()
        expect(labels().filter((label) => label.startsWith("z1"))).toEqual(["z1 1", "z1 2"])
      }),
    ),
  },
]

/**
 * What DELIVERY.md promises of writing and relaying: no event without its commit and no commit without its events;
 * nothing is lost, whatever the bus or the relay does; the events of one aggregate leave in the order of the commits.
 */
export const outboxSuite: ReadonlyArray<Check<Subject>> = [
  ...writing,
  ...carrying,
  ...endToEnd,
  ...floor,
  ...sideBySide,
]
