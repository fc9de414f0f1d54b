import { Cause, Clock, Deferred, Duration, Effect, Exit, Fiber, Logger, References, Schema } from "effect"
import { SqlClient, SqlError } from "effect/sql"
import { expect } from "vitest"
import { makeConsumer } from "../consumer.ts"
import { type Event, define } from "../../events/Event.ts"
import { EventBus, type Handle, type Received } from "../../events/EventBus.ts"
import { all, each, Postpone, type Reaction, Reject } from "../../module/Reaction.ts"
import { Database, DatabaseUnavailable } from "../../sql/Database.ts"
import { until } from "../../test/harness/bus.ts"
import type { Check } from "../../test/harness/suite.ts"
import type { inbox } from "../inbox.ts"

/** What may be wrong: the consumer's statements, and when its `handle` answers the bus. */
export interface Subject {
  readonly inbox?: typeof inbox
  readonly answer?: (handle: Handle) => Handle
}

export type Behaviour = Effect.Effect<void, Reject | Postpone>

let scenes = 0

/** A log of one partition. Its records are found again by their names: `a1`, or `a1'` for a copy of it. */
const makeLog = (topic: string) => {
  const log = new Map<string, Received>()
  const append = (name: string, what: Partial<Received>): Received => {
    const record = { topic, partition: 0, offset: log.size, time: 0, key: null, value: null, headers: {} }
    log.set(name, { ...record, ...what })
    return log.get(name)!
  }
  const ours = (name: string): Received => {
    const id = name.replace(/'+$/u, "")
    return append(name, {
      key: id.replace(/\d+$/u, ""),
      value: Buffer.from(JSON.stringify({ n: log.size })),
      headers: {
        ce_specversion: "1.0",
        ce_id: id,
        ce_source: "/suite",
        ce_type: topic,
        ce_dataschema: `/schemas/${topic}/1`,
      },
    })
  }
  const records = (...names: ReadonlyArray<string>) => names.map((name) => log.get(name) ?? ours(name))
  /** A record of a foreign producer: without headers, unless `what` has some. */
  const foreign = (value: string | Uint8Array | null, what: Partial<Received> = {}) =>
    append(`foreign ${log.size}`, { value: value === null ? null : Buffer.from(value), ...what })
  return { records, foreign }
}

/**
 * A module with a reaction that notes each event in a table, and records for it: `a1` is the first event of key `a`,
 * `a1'` a copy of it further on in the log. `plan` says what else the reaction does about an event, after its note.
 */
export const scene = (subject: Subject) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const database = yield* Database
    yield* sql`create table note (
      pos bigint generated always as identity, reaction text, event_id text, slot int unique deferrable initially deferred)`
    const type = define(`happened_${process.pid}_${++scenes}`, {
      data: Schema.Struct({ n: Schema.Int, text: Schema.optionalKey(Schema.String) }),
      key: "n",
      subject: "n",
    })
    const plan = new Map<string, Behaviour>()
    const note = (reaction: string, { id }: Event) =>
      Effect.orDie(sql`insert into note (reaction, event_id) values (${reaction}, ${id})`)

    /** A reaction that does as planned, for all or for itself: `plan` knows the event by `a1` or by `name a1`. */
    const reaction = (name: string) =>
      each({
        name,
        event: type,
        handle: (event) =>
          Effect.andThen(note(name, event), plan.get(`${name} ${event.id}`) ?? plan.get(event.id) ?? Effect.void),
      })

    const { records, foreign } = makeLog(type.type)

    const consumer = (reactions: ReadonlyArray<Reaction<never>>, on = database) =>
      Effect.map(
        makeConsumer({ module: "suite", reactions, ...(subject.inbox && { inbox: subject.inbox }) }).pipe(
          Effect.provideService(Database, on),
        ),
        (handle) => {
          const answer = subject.answer?.(handle) ?? handle
          return (batch: ReadonlyArray<Received>) => {
            const [first, ...rest] = batch
            return first === undefined ? Effect.void : answer([first, ...rest])
          }
        },
      )
    const handle = yield* consumer([reaction("note")])

    const rows = (names: string) => sql<{ reaction: string; event_id: string }>`
      select reaction, event_id from ${sql(names)} order by ${sql(names === "inbox" ? "event_id" : "pos")}`
    /** What took effect, in order. */
    const noted = (of = "note") =>
      Effect.map(rows("note"), (all) => all.flatMap((row) => (row.reaction === of ? [row.event_id] : [])))
    const deadLetters = (of = "note") =>
      Effect.map(
        sql<StoredDeadLetter>`select reaction, key, event_id, status, attempts, reason, error, due, topic, partition,
          "offset"::int, event from held order by pos`,
        (all) => all.filter((row) => row.reaction === of),
      )
    const statuses = (of = "note") =>
      Effect.map(deadLetters(of), (all) => all.map((row) => `${row.event_id} ${row.status}`))
    const leaves = Effect.fnUntraced(function* (expected: Leftover) {
      expect({ noted: yield* noted(), deadLetters: yield* statuses() }).toEqual({
        noted: [],
        deadLetters: [],
        ...expected,
      })
    })
    const nothing = Effect.gen(function* () {
      for (const table of ["note", "inbox", "held"]) expect(yield* rows(table)).toEqual([])
    })

    return {
      sql,
      database,
      type,
      plan,
      note,
      reaction,
      records,
      foreign,
      consumer,
      handle,
      /** Handles those records. */
      take: (...names: ReadonlyArray<string>) => handle(records(...names)),
      noted,
      deadLetters,
      statuses,
      leaves,
      nothing,
    }
  })

interface StoredDeadLetter {
  readonly reaction: string
  readonly key: string | null
  readonly event_id: string
  readonly status: string
  readonly attempts: number
  readonly reason: string | null
  readonly error: string | null
  readonly due: Date | null
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly event: unknown
}

interface Leftover {
  readonly noted?: ReadonlyArray<string>
  readonly deadLetters?: ReadonlyArray<string>
}

export type Scene = Effect.Success<ReturnType<typeof scene>>

export const bad = Effect.die(new Error("it cannot be done"))

/** Fails the first `times` runs, then succeeds. */
export const faltering = (times: number, fault: Behaviour): Behaviour => {
  let run = 0
  return Effect.suspend(() => (++run <= times ? fault : Effect.void))
}

export const connectionLost = Effect.die(
  new SqlError.SqlError({ reason: new SqlError.ConnectionError({ cause: new Error("gone"), message: "gone" }) }),
)

const fails = <E>(work: Effect.Effect<void, E>) =>
  Effect.map(Effect.exit(work), (exit) => expect(Exit.isFailure(exit)).toBe(true))

/** Makes a check of a scene. */
const on =
  (play: (scene: Scene) => Effect.Effect<void, unknown, EventBus | Database | SqlClient.SqlClient>) =>
  (subject: Subject) =>
    Effect.flatMap(scene(subject), play)

const once: ReadonlyArray<Check<Subject>> = [
  {
    name: "applies the events of a batch in their order",
    check: on(({ take, leaves }) => Effect.andThen(take("a1", "b1", "a2"), leaves({ noted: ["a1", "b1", "a2"] }))),
  },
  {
    name: "takes no second effect from a batch that comes again, as after a crash before the offset was committed",
    check: on(
      Effect.fnUntraced(function* ({ take, consumer, reaction, records, leaves }) {
        yield* take("a1", "b1", "a2")
        const restarted = yield* consumer([reaction("note")])
        yield* restarted(records("a1", "b1", "a2", "a3"))
        yield* leaves({ noted: ["a1", "b1", "a2", "a3"] })
      }),
    ),
  },
  {
    name: "takes no second effect from a copy in the same batch",
    check: on(({ take, leaves }) => Effect.andThen(take("a1", "a1'", "a2"), leaves({ noted: ["a1", "a2"] }))),
  },
  {
    name: "takes no second effect from a copy in a later batch",
    check: on(
      Effect.fnUntraced(function* ({ take, leaves }) {
        yield* take("a1", "a2")
        yield* take("a1'", "a2'", "a3", "b1")
        yield* leaves({ noted: ["a1", "a2", "a3", "b1"] })
      }),
    ),
  },
  {
    name: "takes no second effect from a copy of a dead letter",
    check: on(
      Effect.fnUntraced(function* ({ take, plan, leaves }) {
        plan.set("a1", bad)
        yield* take("a1", "a1'", "a2")
        plan.clear()
        yield* take("a1''", "a2'")
        yield* leaves({ deadLetters: ["a1 retrying", "a2 waiting"] })
      }),
    ),
  },
  {
    name: "takes no effect from a copy of an event that was discarded, and lets its key go on",
    check: on(
      Effect.fnUntraced(function* ({ sql, take, plan, leaves }) {
        plan.set("a1", bad)
        yield* take("a1")
        plan.clear()
        yield* sql`update held set status = 'discarded'`
        yield* take("a1", "a1'", "a2")
        yield* leaves({ noted: ["a2"], deadLetters: ["a1 discarded"] })
      }),
    ),
  },
  {
    name: "keeps order and applies once over a batch of many transactions",
    check: on(
      Effect.fnUntraced(function* ({ take, noted, plan }) {
        const names = Array.from({ length: 700 }, (_, n) => `${"abcdefg"[n % 7]}${Math.floor(n / 7)}`)
        plan.set("c50", bad)
        yield* take(...names)
        yield* take(...names)
        expect(yield* noted()).toEqual(names.filter((name) => !(name.startsWith("c") && Number(name.slice(1)) >= 50)))
      }),
    ),
  },
  {
    name: "is asked again by the bus until its transaction was committed",
    check: (subject) =>
      Effect.gen(function* () {
        const { type, plan, handle, leaves } = yield* scene(subject)
        const bus = yield* EventBus
        const group = `${type.type}_group`
        plan.set("a1", faltering(2, connectionLost))
        yield* bus.ensure([{ name: type.type, partitions: 1, retention: undefined }])
        yield* bus.consume({ group, topics: [type.type], handle })
        const headers = { ce_specversion: "1.0", ce_source: "/suite", ce_type: type.type }
        const send = (id: string) => ({
          topic: type.type,
          key: "a",
          value: Buffer.from(`{"n":1}`),
          headers: { ...headers, ce_id: id },
        })
        yield* bus.send([send("a1"), send("a2")])
        yield* until(
          "the group has read all",
          Effect.map(bus.lag(group), (lag) => lag.length > 0 && lag.every(({ records }) => records === 0)),
        )
        yield* leaves({ noted: ["a1", "a2"] })
      }),
  },
]

const failures: ReadonlyArray<Check<Subject>> = [
  {
    name: "makes a failing event a dead letter, with the later ones of its key behind it, while other keys go on",
    check: on(
      Effect.fnUntraced(function* ({ take, plan, leaves }) {
        plan.set("a1", bad)
        yield* take("a1", "b1", "a2", "b2")
        yield* take("a3", "b3")
        yield* leaves({ noted: ["b1", "b2", "b3"], deadLetters: ["a1 retrying", "a2 waiting", "a3 waiting"] })
      }),
    ),
  },
  {
    name: "makes dead letters of only the failing events of a batch",
    check: on(
      Effect.fnUntraced(function* ({ take, plan, leaves }) {
        plan.set("b1", bad).set("d1", bad)
        yield* take("a1", "b1", "c1", "d1", "e1", "a2")
        yield* leaves({ noted: ["a1", "c1", "e1", "a2"], deadLetters: ["b1 retrying", "d1 retrying"] })
      }),
    ),
  },
  {
    name: "keeps of a dead letter all that it takes to retry it",
    check: on(
      Effect.fnUntraced(function* ({ take, plan, deadLetters, records, type }) {
        plan.set("a1", bad)
        const before = yield* Clock.currentTimeMillis
        yield* take("b1", "a1", "a2")
        const [first, second] = yield* deadLetters()
        const { key, topic, partition, offset, headers, value } = records("a1")[0]!
        expect(first).toMatchObject({ attempts: 1, reason: "failed", error: "it cannot be done" })
        expect(first).toMatchObject({ key, topic, partition, offset })
        const text = Buffer.from(value!).toString()
        expect(first?.event).toMatchObject({ id: "a1", source: "/suite", type: type.type, key, headers, value: text })
        expect(first!.due!.getTime()).toBeGreaterThanOrEqual(before + 790)
        expect(second).toMatchObject({ key, attempts: 0, reason: null, error: null, offset: 2 })
        expect(second!.due).not.toBeNull()
      }),
    ),
  },
  {
    name: "lets a key go on when nothing of it is open any more",
    check: on(
      Effect.fnUntraced(function* ({ sql, take, plan, leaves }) {
        plan.set("a1", bad)
        yield* take("a1", "a2")
        yield* sql`update held set status = 'resolved' where event_id = 'a1'`
        yield* take("a3")
        yield* sql`update held set status = 'redriven' where event_id <> 'a1'`
        yield* take("a4")
        yield* leaves({ noted: ["a4"], deadLetters: ["a1 resolved", "a2 redriven", "a3 redriven"] })
      }),
    ),
  },
  {
    name: "parks an event at once that its reaction rejects",
    check: on(
      Effect.fnUntraced(function* ({ take, plan, deadLetters, leaves }) {
        plan.set("a1", Effect.fail(new Reject({ reason: "it is of another shop" })))
        yield* take("a1", "a2", "b1")
        yield* leaves({ noted: ["b1"], deadLetters: ["a1 parked", "a2 waiting"] })
        const error = "it is of another shop"
        expect((yield* deadLetters())[0]).toMatchObject({ attempts: 1, reason: "rejected", error, due: null })
      }),
    ),
  },
  {
    name: "counts a postponed event as no attempt, and tries it when it asks to be",
    check: on(
      Effect.fnUntraced(function* ({ take, plan, deadLetters, leaves }) {
        plan.set("a1", Effect.fail(new Postpone({ for: Duration.hours(2) })))
        const before = yield* Clock.currentTimeMillis
        yield* take("a1", "a2", "b1")
        const after = yield* Clock.currentTimeMillis
        yield* leaves({ noted: ["b1"], deadLetters: ["a1 retrying", "a2 waiting"] })
        const [deadLetter] = yield* deadLetters()
        expect(deadLetter).toMatchObject({ attempts: 0, reason: "postponed" })
        expect(deadLetter!.due!.getTime()).toBeGreaterThanOrEqual(before + 7_200_000)
        expect(deadLetter!.due!.getTime()).toBeLessThanOrEqual(after + 7_200_000)
      }),
    ),
  },
  {
    name: "keeps two reactions to one type apart",
    check: on(
      Effect.fnUntraced(function* ({ consumer, reaction, plan, records, noted, statuses }) {
        const handle = yield* consumer([reaction("one"), reaction("two")])
        plan.set("one a1", bad)
        yield* handle(records("a1", "a2", "b1"))
        yield* handle(records("a1", "a3"))
        expect(yield* noted("one")).toEqual(["b1"])
        expect(yield* statuses("one")).toEqual(["a1 retrying", "a2 waiting", "a3 waiting"])
        expect(yield* noted("two")).toEqual(["a1", "a2", "b1", "a3"])
        expect(yield* statuses("two")).toEqual([])
      }),
    ),
  },
  {
    name: "holds no key for an event without one",
    check: on(
      Effect.fnUntraced(function* ({ handle, foreign, records, noted, deadLetters, plan }) {
        plan.set("a1", bad).set("a2", bad)
        const keyless = records("a1", "a2", "a3").map((record) => ({ ...record, key: null }))
        yield* handle([...keyless, foreign(`{"n":1}`)])
        expect((yield* noted()).length).toBe(2)
        expect(yield* noted()).toContain("a3")
        expect((yield* deadLetters()).map(({ key, status }) => ({ key, status }))).toEqual([
          { key: null, status: "retrying" },
          { key: null, status: "retrying" },
        ])
      }),
    ),
  },
  {
    name: "calls only the reactions to a record's type",
    check: on(
      Effect.fnUntraced(function* ({ consumer, reaction, records, nothing, type }) {
        const elsewhere = define("elsewhere", {
          data: type.data,
          key: "n",
          subject: "n",
        })
        const handle = yield* consumer([{ ...reaction("note"), event: elsewhere }])
        yield* handle(records("a1"))
        yield* nothing
      }),
    ),
  },
]

const transactions: ReadonlyArray<Check<Subject>> = [
  {
    name: "leaves no trace of a reaction that failed",
    check: on(
      Effect.fnUntraced(function* ({ sql, take, plan, leaves, database }) {
        yield* sql`create table trace (id int)`
        const inserts = Effect.orDie(database.transaction(sql`insert into trace values (1)`))
        plan.set("a1", Effect.andThen(inserts, bad)).set("b1", Effect.asVoid(inserts))
        yield* take("a1", "b1")
        yield* leaves({ noted: ["b1"], deadLetters: ["a1 retrying"] })
        expect(yield* sql`select id from trace`).toHaveLength(1)
      }),
    ),
  },
  {
    name: "makes an event a dead letter whose reaction hides that a statement failed",
    check: on(
      Effect.fnUntraced(function* ({ sql, take, plan, leaves }) {
        plan.set("a1", Effect.ignore(sql`select 1 / 0`))
        yield* take("a1", "b1", "a2")
        yield* leaves({ noted: ["b1"], deadLetters: ["a1 retrying", "a2 waiting"] })
      }),
    ),
  },
  {
    name: "makes an event a dead letter that breaks a deferred constraint",
    check: on(
      Effect.fnUntraced(function* ({ sql, take, plan, leaves }) {
        const slot = Effect.asVoid(Effect.orDie(sql`insert into note (reaction, slot) values ('slot', 7)`))
        plan.set("a1", slot).set("b1", slot)
        yield* take("a1", "b1", "a2", "b2")
        yield* leaves({ noted: ["a1", "a2"], deadLetters: ["b1 retrying", "b2 waiting"] })
      }),
    ),
  },
  {
    name: "fails by a lost connection, with nothing left behind, and goes on with the same batch later",
    check: on(
      Effect.fnUntraced(function* ({ take, plan, leaves, nothing }) {
        plan.set("b1", connectionLost)
        yield* fails(take("a1", "b1", "a2"))
        yield* nothing
        plan.clear()
        yield* take("a1", "b1", "a2")
        yield* leaves({ noted: ["a1", "b1", "a2"] })
      }),
    ),
  },
  {
    name: "makes no dead letter for a lost connection, not even beside an event that fails",
    check: on(
      Effect.fnUntraced(function* ({ take, plan, leaves, deadLetters }) {
        plan.set("a1", bad).set("b1", connectionLost)
        yield* fails(take("a1", "b1", "a2"))
        yield* fails(take("a1", "b1", "a2"))
        plan.delete("b1")
        yield* take("a1", "b1", "a2")
        yield* leaves({ noted: ["b1"], deadLetters: ["a1 retrying", "a2 waiting"] })
        expect((yield* deadLetters())[0]).toMatchObject({ attempts: 1 })
      }),
    ),
  },
  {
    name: "makes an event a dead letter whose statement cannot be done, at its fifth call, uncounted, and no other",
    check: on(
      Effect.fnUntraced(function* ({ sql, take, plan, nothing, leaves, deadLetters }) {
        const canceled = Effect.asVoid(Effect.orDie(sql`do $$ begin raise exception using errcode = '57014'; end $$`))
        plan.set("a1", canceled)
        for (let call = 1; call < 5; call++) {
          yield* fails(take("a1", "b1", "a2"))
          yield* nothing
        }
        yield* take("a1", "b1", "a2")
        yield* leaves({ noted: ["b1"], deadLetters: ["a1 retrying", "a2 waiting"] })
        expect((yield* deadLetters())[0]).toMatchObject({ attempts: 0, reason: "unavailable" })
      }),
    ),
  },
  {
    name: "forgets a suspicion of an event that took effect",
    check: on(
      Effect.fnUntraced(function* ({ sql, take, plan, nothing }) {
        for (let n = 0; n < 3; n++) {
          plan.set("a1", connectionLost)
          for (let call = 0; call < 4; call++) yield* fails(take("a1", "b1"))
          yield* nothing
          plan.clear()
          yield* take("a1", "b1")
          // As a database does that went back.
          for (const table of ["note", "inbox"]) yield* sql`delete from ${sql(table)}`
        }
      }),
    ),
  },
  {
    name: "fails, and adds no dead letter, however often, while the database does not answer",
    check: on(
      Effect.fnUntraced(function* ({ consumer, reaction, records, database, plan, nothing, leaves }) {
        let isAway = true
        const away = new DatabaseUnavailable({ reason: "away" })
        const probe = Effect.suspend(() => (isAway ? Effect.fail(away) : Effect.void))
        const handle = yield* consumer([reaction("note")], { ...database, probe })
        plan.set("a1", connectionLost)
        for (let call = 0; call < 12; call++) {
          yield* fails(handle(records("a1", "b1")))
          yield* nothing
        }
        isAway = false
        plan.clear()
        yield* handle(records("a1", "b1"))
        yield* leaves({ noted: ["a1", "b1"] })
      }),
    ),
  },
  {
    name: "fails while a reaction finds the database unavailable, with nothing left behind",
    check: on(
      Effect.fnUntraced(function* ({ take, plan, nothing, leaves }) {
        plan.set("a1", faltering(1, Effect.die(new DatabaseUnavailable({ reason: "full" }))))
        yield* fails(take("a1", "b1"))
        yield* nothing
        yield* take("a1", "b1")
        yield* leaves({ noted: ["a1", "b1"] })
      }),
    ),
  },
  {
    name: "fails while nothing may be written, before it tries",
    check: on(
      Effect.fnUntraced(function* ({ consumer, reaction, records, database, nothing }) {
        const writable = Effect.fail(new DatabaseUnavailable({ reason: "the disk is nearly full" }))
        const handle = yield* consumer([reaction("note")], { ...database, writable })
        yield* fails(handle(records("a1")))
        yield* nothing
      }),
    ),
  },
  {
    name: "tries again at once when its transaction stood in another's way",
    check: on(
      Effect.fnUntraced(function* ({ sql, take, plan, leaves }) {
        const conflict = (code: string) =>
          Effect.asVoid(Effect.orDie(sql.unsafe(`do $$ begin raise exception using errcode = '${code}'; end $$`)))
        plan.set("a1", faltering(1, conflict("40001"))).set("b1", faltering(1, conflict("40P01")))
        yield* take("a1", "b1")
        yield* leaves({ noted: ["a1", "b1"] })
      }),
    ),
  },
  {
    name: "makes an event a dead letter whose reaction is stuck, and applies the 200 before and the 200 behind it",
    check: on(
      Effect.fnUntraced(function* ({ take, plan, noted, statuses }) {
        const names = [...Array(401).keys()].map((n) => `k${n}x1`)
        let tries = 0
        const stuck = Effect.suspend(() => {
          tries++
          return Effect.never
        })
        plan.set(names[200]!, stuck)
        yield* take(...names)
        // Each takes 4 s of the 30 s that the bus allows a call: a few such events in a row are found too.
        expect(tries).toBeLessThanOrEqual(2)
        expect(yield* noted()).toEqual(names.filter((_, n) => n !== 200))
        expect(yield* statuses()).toEqual([`${names[200]} retrying`])
      }),
    ),
  },
  {
    name: "waits for a reaction whose statements together take longer than one that is stuck may",
    check: on(
      Effect.fnUntraced(function* ({ sql, take, plan, leaves }) {
        const slow = Effect.orDie(sql`select pg_sleep(1.1)`)
        plan.set("a1", Effect.asVoid(Effect.all([slow, slow, slow, slow, slow])))
        yield* take("a1")
        yield* leaves({ noted: ["a1"] })
      }),
    ),
  },
  {
    name: "fails, and adds no dead letter, while a reaction fails alike for all of eight keys",
    check: on(
      Effect.fnUntraced(function* ({ sql, take, plan, nothing, noted, leaves }) {
        const names = ["a", "b", "c", "d", "e", "f", "g", "h"].map((key) => `${key}1`)
        const missing = (name: string) => Effect.asVoid(Effect.orDie(sql`select ${name}::text from not_there`))
        for (const name of names) plan.set(name, missing(name))
        expect(String(yield* Effect.flip(take(...names)))).toContain("fails for all of 8 keys")
        yield* nothing
        // Also where the error names the order.
        for (const [n, name] of names.entries()) plan.set(name, Effect.die(new Error(`order ${n * 7} has no kind`)))
        expect(String(yield* Effect.flip(take(...names)))).toContain("order # has no kind")
        yield* nothing
        plan.clear()
        yield* take(...names)
        yield* leaves({ noted: names })
        expect(yield* noted()).toEqual(names)
      }),
    ),
  },
  {
    name: "makes dead letters of events that fail alike while the reaction works for another key",
    check: on(
      Effect.fnUntraced(function* ({ take, plan, leaves }) {
        const names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"].map((key) => `${key}1`)
        for (const name of names.slice(1)) plan.set(name, bad)
        yield* take(...names)
        yield* leaves({ noted: ["a1"], deadLetters: names.slice(1).map((name) => `${name} retrying`) })
      }),
    ),
  },
  {
    name: "makes dead letters of events that a reaction rejects, or that match no schema, of however many keys",
    check: on(
      Effect.fnUntraced(function* ({ take, plan, leaves }) {
        const names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"].map((key) => `${key}1`)
        for (const name of names) plan.set(name, new Reject({ reason: "no" }))
        yield* take(...names)
        yield* leaves({ deadLetters: names.map((name) => `${name} parked`) })
      }),
    ),
  },
  {
    name: "goes on past a copy of a dead letter when its inbox row is gone",
    check: on(
      Effect.fnUntraced(function* ({ sql, take, plan, leaves }) {
        plan.set("a1", bad)
        yield* take("a1")
        yield* sql`delete from inbox`
        yield* take("a1'", "b1")
        yield* leaves({ noted: ["b1"], deadLetters: ["a1 retrying"] })
      }),
    ),
  },
  {
    name: "leaves nothing behind when it is interrupted",
    check: on(
      Effect.fnUntraced(function* ({ take, plan, nothing, leaves }) {
        const reached = yield* Deferred.make<void>()
        plan.set("b1", Effect.andThen(Deferred.succeed(reached, undefined), Effect.never))
        const running = yield* Effect.forkChild(take("a1", "b1"))
        yield* Deferred.await(reached)
        yield* Fiber.interrupt(running)
        yield* nothing
        plan.clear()
        yield* take("a1", "b1")
        yield* leaves({ noted: ["a1", "b1"] })
      }),
    ),
  },
  {
    name: "gives a reaction to many what is new and not held, together and in order",
    check: on(
      Effect.fnUntraced(function* ({ consumer, type, records, plan, take }) {
        plan.set("b1", bad)
        yield* take("a1", "b1")
        const calls: Array<ReadonlyArray<string>> = []
        const gather = all({
          name: "note",
          event: type,
          handle: (events) => Effect.sync(() => void calls.push(events.map(({ id }) => id))),
        })
        const handle = yield* consumer([gather])
        yield* handle(records("a1", "c2", "c1", "b2", "c2'", "d1"))
        expect(calls).toEqual([["c2", "c1", "d1"]])
      }),
    ),
  },
]

const headers = (scene: Scene, what: Record<string, string> = {}) => ({
  headers: { ce_specversion: "1.0", ce_id: "m1", ce_source: "/m", ce_type: scene.type.type, ...what },
})
const structured = { headers: { "content-type": "application/cloudevents+json; charset=utf-8" } }

/** Records that cannot be read. */
const malformed: ReadonlyArray<readonly [string, (scene: Scene) => Received]> = [
  ["is empty", (scene) => scene.foreign("")],
  ["is not UTF-8", (scene) => scene.foreign(Uint8Array.of(0x7b, 0xff, 0x7d))],
  ["is not JSON", (scene) => scene.foreign(`{"n":1`)],
  ["has a raw NUL in it", (scene) => scene.foreign(`{"n":1,"text":"\0"}`)],
  ["is a list", (scene) => scene.foreign(`[1]`)],
  ["is null as JSON", (scene) => scene.foreign(`null`)],
  ["says another type", (scene) => scene.foreign(`{"n":1}`, headers(scene, { ce_type: "other" }))],
  [
    "says another type, of characters that a cut may split",
    (scene) => scene.foreign(`{"n":1}`, headers(scene, { ce_type: "🦜".repeat(99) })),
  ],
  ["has an unknown specversion", (scene) => scene.foreign(`{"n":1}`, headers(scene, { ce_specversion: "2.0" }))],
  ["has no id", (scene) => scene.foreign(`{"n":1}`, { headers: { ce_specversion: "1.0", ce_type: scene.type.type } })],
  ["has an id of 201 characters", (scene) => scene.foreign(`{"n":1}`, headers(scene, { ce_id: "x".repeat(201) }))],
  ["has NUL in its id", (scene) => scene.foreign(`{"n":1}`, headers(scene, { ce_id: "\0" }))],
  [
    "is structured without data",
    (scene) =>
      scene.foreign(JSON.stringify({ specversion: "1.0", id: "s1", source: "/m", type: scene.type.type }), structured),
  ],
]

/** Foreign events whose text PostgreSQL cannot keep as it is. */
const strange: ReadonlyArray<readonly [string, (scene: Scene) => Received]> = [
  ["NUL in a field", (scene) => scene.foreign(`{"n":1,"user_id":"z","text":"\\u0000"}`)],
  ["NUL in the key", (scene) => scene.foreign(`{"n":1}`, { key: "\0" })],
  ["NUL in data.user_id", (scene) => scene.foreign(`{"n":1,"user_id":"\\u0000"}`)],
  ["a lone surrogate in a field", (scene) => scene.foreign(`{"n":1,"user_id":"z","text":"\\ud800"}`)],
  ["a lone surrogate in the key", (scene) => scene.foreign(`{"n":1}`, { key: "\ud800" })],
  ["a lone surrogate in data.user_id", (scene) => scene.foreign(`{"n":1,"user_id":"\\udfff"}`)],
  ["NUL and a lone surrogate in a header", (scene) => scene.foreign(`{"n":1}`, headers(scene, { x: "\0\ud800" }))],
]

const strangers: ReadonlyArray<Check<Subject>> = [
  ...malformed.map(([what, record]) => ({
    name: `parks a record alone that ${what}`,
    check: on(
      Effect.fnUntraced(function* (scene) {
        const { handle, records, deadLetters, leaves } = scene
        const broken = record(scene)
        yield* handle([{ ...broken, key: "a" }, ...records("a1")])
        yield* handle([{ ...broken, key: "a" }, ...records("a1")])
        yield* leaves({ noted: ["a1"] })
        const unreadable = yield* deadLetters("*")
        expect(unreadable).toHaveLength(1)
        expect(unreadable[0]).toMatchObject({ key: null, status: "parked", reason: "malformed", due: null })
        expect(unreadable[0]).toMatchObject({ topic: broken.topic, offset: broken.offset })
        expect(unreadable[0]!.error).toMatch(/\w/u)
      }),
    ),
  })),
  ...strange.map(([what, record]) => ({
    name: `goes on past ${what}`,
    check: on(
      Effect.fnUntraced(function* (scene) {
        const { handle, records, noted, deadLetters, note, consumer, type } = scene
        const keeps = each({
          name: "keep",
          event: type,
          handle: (event) =>
            Effect.andThen(note("keep", event), Effect.orDie(scene.sql`select ${event.data.text ?? ""}::text`)),
        })
        const keeping = yield* consumer([keeps])
        const batch = [record(scene), ...records("a1")]
        yield* handle(batch)
        yield* keeping(batch)
        expect(yield* noted()).toContain("a1")
        expect(yield* noted("keep")).toContain("a1")
        expect((yield* noted()).length + (yield* deadLetters()).length).toBe(2)
        expect((yield* noted("keep")).length + (yield* deadLetters("keep")).length).toBe(2)
      }),
    ),
  })),
  {
    name: "skips a record without a value",
    check: on(
      Effect.fnUntraced(function* ({ handle, foreign, records, leaves, deadLetters }) {
        yield* handle([foreign(null, { key: "a" }), ...records("a1")])
        yield* leaves({ noted: ["a1"] })
        expect(yield* deadLetters("*")).toEqual([])
      }),
    ),
  },
  {
    name: "takes the key of bare JSON from data.user_id, and knows it again",
    check: on(
      Effect.fnUntraced(function* ({ handle, foreign, noted, deadLetters, plan }) {
        const bare = [foreign(`{"n":1,"user_id":7}`), foreign(`{"n":2,"user_id":7}`), foreign(`{"n":3,"user_id":8}`)]
        yield* handle(bare.slice(0, 1))
        const [id] = yield* noted()
        plan.set(id!, bad)
        yield* handle(bare)
        expect(yield* noted()).toHaveLength(3)
        const broken = foreign(`{"n":"four","user_id":7}`)
        yield* handle([broken, foreign(`{"n":5,"user_id":7}`), foreign(`{"n":6,"user_id":8}`)])
        expect(yield* noted()).toHaveLength(4)
        expect((yield* deadLetters()).map(({ key, status }) => `${key} ${status}`)).toEqual(["7 retrying", "7 waiting"])
      }),
    ),
  },
  {
    name: "makes an event that does not match its schema a dead letter for each reaction to it, holding its key there",
    check: on(
      Effect.fnUntraced(function* ({ consumer, reaction, records, foreign, deadLetters, noted, type }) {
        const said = { ce_specversion: "1.0", ce_id: "a0", ce_source: "/suite", ce_type: type.type }
        const handle = yield* consumer([reaction("one"), reaction("two")])
        yield* handle([foreign(`{"n":"none"}`, { key: "a", headers: said }), ...records("a1", "b1")])
        for (const name of ["one", "two"]) {
          expect(yield* noted(name)).toEqual(["b1"])
          const [first, second, ...rest] = yield* deadLetters(name)
          expect(first).toMatchObject({ event_id: "a0", status: "retrying", attempts: 1, reason: "schema" })
          expect(second).toMatchObject({ event_id: "a1", status: "waiting" })
          expect(rest).toEqual([])
        }
      }),
    ),
  },
  {
    name: "keeps an event of a newer version for the next release, tried every minute without counting",
    check: on(
      Effect.fnUntraced(function* ({ handle, records, deadLetters, leaves, type }) {
        const [first, ...rest] = records("a1", "a2", "b1")
        const newer = { ...first!, headers: { ...first!.headers, ce_dataschema: `/schemas/${type.type}/2` } }
        const before = yield* Clock.currentTimeMillis
        yield* handle([newer, ...rest])
        const after = yield* Clock.currentTimeMillis
        yield* leaves({ noted: ["b1"], deadLetters: ["a1 retrying", "a2 waiting"] })
        const [deadLetter] = yield* deadLetters()
        expect(deadLetter).toMatchObject({ attempts: 0, reason: "newer-version" })
        expect(deadLetter!.due!.getTime()).toBeGreaterThanOrEqual(before + 60_000)
        expect(deadLetter!.due!.getTime()).toBeLessThanOrEqual(after + 60_000)
      }),
    ),
  },
  {
    name: "keeps an error as one clean line of at most 2,000 characters",
    check: on(
      Effect.fnUntraced(function* ({ take, plan, deadLetters }) {
        plan.set("a1", Effect.die(new Error(`\0\ud800 first\r\nsecond\u001b[31m ${"x🦜".repeat(2_000)}`)))
        plan.set("b1", Effect.fail(new Reject({ reason: `\0\udfff no\n${"🦜".repeat(2_000)}` })))
        yield* take("a1", "b1")
        const errors = (yield* deadLetters()).map(({ error }) => error!)
        expect(errors).toHaveLength(2)
        for (const error of errors) {
          expect(error.length).toBeLessThanOrEqual(2_000)
          expect(error.isWellFormed()).toBe(true)
          expect(error).not.toMatch(/\p{Cc}/u)
        }
        expect(errors[0]).toContain("first second")
        expect(errors[1]).toContain("no 🦜")
      }),
    ),
  },
  {
    name: "says of a statement that failed what the database said",
    check: on(
      Effect.fnUntraced(function* ({ sql, take, plan, deadLetters }) {
        plan.set("a1", Effect.asVoid(Effect.orDie(sql`select 1 / 0`)))
        yield* take("a1")
        expect((yield* deadLetters())[0]!.error).toContain("division by zero")
      }),
    ),
  },
  {
    name: "logs ids alone, never the data of an event",
    check: on(
      Effect.fnUntraced(function* ({ handle, records, foreign, plan, type }) {
        const lines: Array<unknown> = []
        const capture = Logger.layer([
          Logger.make(({ message, cause, fiber }) => {
            lines.push(message, Cause.pretty(cause), fiber.getRef(References.CurrentLogAnnotations))
          }),
        ])
        plan.set("a1", Effect.die(new Error("ada@example.org is known")))
        const said = { ce_specversion: "1.0", ce_id: "c1", ce_source: "/suite", ce_type: type.type }
        yield* handle([
          ...records("a1", "b1"),
          foreign(`{"n":1,"text":"ada@example.org"}`),
          foreign(`{"n":1,"text":{"email":"ada@example.org"}}`, { headers: said }),
          foreign(`{"n":"ada@example.org"}`, { headers: { ...said, ce_id: "c2" } }),
          foreign(`ada@example.org`),
          foreign(`{"n":1}`, { headers: { ...said, ce_type: "ada@example.org" } }),
        ]).pipe(Effect.provide(capture), Effect.provideService(References.MinimumLogLevel, "All"))
        const written = JSON.stringify(lines)
        expect(written).toContain("[SuiteService]")
        expect(written).toContain("c1")
        expect(written).not.toContain("ada@example.org")
      }),
    ),
  },
]

/**
 * A member that was frozen and taken for dead still works on the first event of a key, and has its inbox row, while its
 * successor has got that event and the next one and waits. Only then the zombie comes to its `end`.
 */
const overtaken = (scene: Scene, key: string, before: ReadonlyArray<Behaviour>, end: Behaviour) =>
  Effect.gen(function* () {
    const { sql, plan, consumer, reaction, records, take } = scene
    const [first, second] = [`${key}1`, `${key}2`]
    const reached = yield* Deferred.make<void>()
    const go = yield* Deferred.make<void>()
    const wait = Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(go))
    const runs = [...before, Effect.andThen(wait, end)]
    plan.set(
      first,
      Effect.suspend(() => runs.shift() ?? Effect.void),
    )
    const handle = yield* consumer([reaction("note")])
    const zombie = yield* Effect.forkChild(Effect.exit(handle(records(first))))
    yield* Deferred.await(reached)
    const successor = yield* Effect.forkChild(take(first, second))
    yield* until(
      "the successor waits",
      Effect.map(
        sql`select 1 from pg_stat_activity
          where application_name = current_setting('application_name') and wait_event_type = 'Lock'`,
        (waiting) => waiting.length > 0,
      ),
    )
    yield* Deferred.succeed(go, undefined)
    yield* Fiber.join(zombie)
    yield* Fiber.join(successor)
  })

const keys = "abcdefghijklmnopqrst".split("")

const sideBySide: ReadonlyArray<Check<Subject>> = [
  {
    name: "queues behind a dead letter that a zombie adds meanwhile",
    sideBySide: true,
    check: on(
      Effect.fnUntraced(function* (scene) {
        // The first failure undoes the batch; the second, of the event alone, makes it a dead letter.
        for (const key of keys) yield* overtaken(scene, key, [bad], bad)
        yield* scene.leaves({ deadLetters: keys.flatMap((key) => [`${key}1 retrying`, `${key}2 waiting`]) })
      }),
    ),
  },
  {
    name: "takes no second effect from an event that a zombie applies meanwhile",
    sideBySide: true,
    check: on(
      Effect.fnUntraced(function* (scene) {
        for (const key of keys) yield* overtaken(scene, key, [], Effect.void)
        yield* scene.leaves({ noted: keys.flatMap((key) => [`${key}1`, `${key}2`]) })
      }),
    ),
  },
  {
    name: "takes over what a zombie leaves undone when its session is ended",
    sideBySide: true,
    check: on(
      Effect.fnUntraced(function* (scene) {
        const ended = Effect.asVoid(Effect.orDie(scene.sql`select pg_terminate_backend(pg_backend_pid())`))
        for (const key of keys) yield* overtaken(scene, key, [], ended)
        yield* scene.leaves({ noted: keys.flatMap((key) => [`${key}1`, `${key}2`]) })
      }),
    ),
  },
]

/**
 * What DELIVERY.md promises of taking charge: each event takes effect once for each reaction, in order within a key;
 * what fails becomes a dead letter and holds back its own key alone; and a fault of the infrastructure leaves nothing behind.
 */
export const inboxSuite: ReadonlyArray<Check<Subject>> = [
  ...once,
  ...failures,
  ...transactions,
  ...strangers,
  ...sideBySide,
]
