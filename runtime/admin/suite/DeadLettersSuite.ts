import { Clock, Context, Deferred, Duration, Effect, Exit, Fiber, Layer, Schedule } from "effect"
import { type SqlClient, Statement } from "effect/sql"
import { expect } from "vitest"
import { define } from "../../events/Event.ts"
import type { EventBus, Received } from "../../events/EventBus.ts"
import { type Behaviour, bad, connectionLost, faltering, scene, type Scene } from "../../delivery/suite/InboxSuite.ts"
import type { Filter } from "../../delivery/deadLetterTable.ts"
import type { inbox } from "../../delivery/inbox.ts"
import { atMost, each, Postpone, type Reaction, Reject } from "../../module/Reaction.ts"
import { Database, DatabaseUnavailable } from "../../sql/Database.ts"
import { until } from "../../test/harness/bus.ts"
import type { Check } from "../../test/harness/suite.ts"
import * as DeadLetters from "../DeadLetters.ts"
import { makeRetryTurn } from "../../delivery/retry.ts"

/** What may be wrong: statements of the worker and of operators, by their text; the consumer's statements; the reactions. */
export interface Subject {
  readonly statement?: (text: string) => string
  readonly reaction?: (reaction: Reaction<never>) => Reaction<never>
  readonly inbox?: typeof inbox
}

/** `RETRY_ATTEMPTS`, unless a check says otherwise. */
const mostAttempts = 3

/** The clock of a scene, which stands still until it is set ahead; what sleeps wakes as ever, or earlier by `haste`. */
const clockOf = (live: Clock.Clock, haste = 1) => {
  let now = live.currentTimeMillisUnsafe()
  const millis = () => now
  const clock: Clock.Clock = Object.assign(Object.create(live) as Clock.Clock, {
    currentTimeMillisUnsafe: millis,
    currentTimeMillis: Effect.sync(millis),
    sleep: (duration: Duration.Duration) => live.sleep(Duration.millis(Duration.toMillis(duration) / haste)),
  })
  return { clock, advance: (by: Duration.Input) => Effect.sync(() => void (now += Duration.toMillis(by))) }
}

/** A scene of the inbox, with a retry worker, an operator, and time that can be set. */
const worked = (subject: Subject, haste?: number) =>
  Effect.gen(function* () {
    const base = yield* scene(subject.inbox === undefined ? {} : { inbox: subject.inbox })
    const { sql, database, type, plan, reaction, records, statuses, deadLetters } = base
    const { clock, advance } = clockOf(yield* Clock.Clock, haste)
    const timed = Effect.provideService(Clock.Clock, clock)
    const change: Statement.Transformer = (statement, own) => {
      const [text, params] = statement.compile()
      const changed = subject.statement?.(text) ?? text
      return Effect.succeed(changed === text ? statement : own.unsafe(changed, params))
    }
    const changed = Effect.provideService(Statement.CurrentTransformer, change)

    const own = subject.reaction ?? ((reaction) => reaction)
    const consumer = (reactions: ReadonlyArray<Reaction<never>>, on = database) =>
      Effect.map(
        base.consumer(reactions.map(own), on),
        (handle) => (batch: ReadonlyArray<Received>) => timed(handle(batch)),
      )
    const handle = yield* consumer([reaction("note")])

    const worker = (reactions: ReadonlyArray<Reaction<never>>, attempts = mostAttempts, on = database) =>
      Effect.map(
        Effect.provideService(
          makeRetryTurn({ module: "suite", reactions: reactions.map(own).map(atMost(attempts)) }),
          Database,
          on,
        ),
        (turn) => changed(timed(turn)),
      )
    const turn = yield* worker([reaction("note")])

    let wakes = 0
    const built = yield* Layer.build(
      DeadLetters.layer({
        module: "suite",
        reactions: [reaction("note")],
        changed: Effect.sync(() => void wakes++),
      }),
    )
    const { list, find, redrive, redriveWith, discard, changeMany, actions } = Context.get(
      built,
      DeadLetters.DeadLetters,
    )

    /** Redrives all that match, by calls of one operation, and returns how many. */
    const redriveAll = (filter: Filter) => {
      const change = { action: "redrive", filter, operation: crypto.randomUUID(), limit: 500, actor: "suite" } as const
      return Effect.gen(function* () {
        for (let sum = 0; ;) {
          const { changed, remaining } = yield* changeMany(change)
          sum += changed
          if (remaining === 0 || changed === 0) return sum
        }
      })
    }

    return {
      ...base,
      consumer,
      handle,
      take: (...names: ReadonlyArray<string>) => handle(records(...names)),
      advance,
      now: timed(Clock.currentTimeMillis),
      timed,
      worker,
      turn,
      /** Turns until nothing is due. */
      work: (of = turn) => Effect.repeat(of, { while: (more) => more === true, times: 2_000 }),
      operator: {
        list,
        find,
        redrive: (id: string) => changed(timed(redrive(id))),
        redriveWith: (id: string, data: string) => changed(timed(redriveWith(id, data))),
        actions: actions(undefined, 10),
        discard: (id: string) => changed(timed(discard(id))),
        redriveAll: (filter: Filter) => changed(timed(redriveAll(filter))),
        /** How often the worker was woken. */
        wakes: () => wakes,
      },
      /** The id of an event's dead letter. */
      idOf: (name: string, of = "note") =>
        Effect.map(
          sql<{ id: string }>`select id from held where event_id = ${name} and reaction = ${of}`,
          ([row]) => row!.id,
        ),
      deadLetter: (name: string) => Effect.map(deadLetters(), (all) => all.find(({ event_id }) => event_id === name)!),
      /** Makes those events dead letters, the first by its own fault, and clears the plan. */
      addDeadLetters: (...names: ReadonlyArray<string>) =>
        Effect.gen(function* () {
          plan.set(names[0]!, bad)
          yield* handle(records(...names))
          plan.clear()
          expect(yield* statuses()).toEqual(
            expect.arrayContaining(names.map((name, n) => `${name} ${n === 0 ? "retrying" : "waiting"}`)),
          )
        }),
      type,
    }
  })

type Worked = Effect.Success<ReturnType<typeof worked>>

const on =
  (
    play: (scene: Worked) => Effect.Effect<void, unknown, EventBus | Database | SqlClient.SqlClient>,
    options: { readonly haste?: number } = {},
  ) =>
  (subject: Subject) =>
    Effect.flatMap(worked(subject, options.haste), play)

const minute = Duration.minutes(1)
const day = Duration.hours(24)

/** Between which waits a schedule of `millis` may lie, jittered. */
const expectJittered = (wait: number, millis: number) => {
  expect(wait).toBeGreaterThanOrEqual(millis * 0.79)
  expect(wait).toBeLessThanOrEqual(millis * 1.21)
}

const postponed = (duration: Duration.Input) => Effect.fail(new Postpone({ for: Duration.fromInputUnsafe(duration) }))

const schedule: ReadonlyArray<Check<Subject>> = [
  {
    name: "tries an event again when its schedule says so, and not before",
    check: on(
      Effect.fnUntraced(function* ({ take, plan, turn, advance, deadLetter, now, leaves }) {
        plan.set("a1", bad)
        yield* take("a1")
        for (let attempts = 1; attempts < 3; attempts++) {
          const { due } = yield* deadLetter("a1")
          const wait = due!.getTime() - (yield* now)
          expectJittered(wait, 1_000 * 2 ** (attempts - 1))
          expect(yield* turn).toBe(wait)
          yield* advance(wait)
          expect(yield* turn).toBe(true)
          expect(yield* deadLetter("a1")).toMatchObject({ attempts: attempts + 1 })
        }
        plan.clear()
        yield* advance("1 hour")
        yield* leaves({ deadLetters: ["a1 parked"] })
        expect(yield* turn).toBe(false)
      }),
    ),
  },
  {
    name: "waits from 1 s, doubling, to 5 minutes",
    check: on(
      Effect.fnUntraced(function* ({ take, plan, worker, reaction, advance, deadLetter, now }) {
        const turn = yield* worker([reaction("note")], 15)
        plan.set("a1", bad)
        yield* take("a1")
        for (let attempts = 1; attempts < 15; attempts++) {
          const { due, status } = yield* deadLetter("a1")
          expect(status).toBe("retrying")
          const wait = due!.getTime() - (yield* now)
          expectJittered(wait, Math.min(1_000 * 2 ** (attempts - 1), 300_000))
          yield* advance(wait)
          yield* turn
        }
        expect(yield* deadLetter("a1")).toMatchObject({ status: "parked", attempts: 15, due: null })
      }),
    ),
  },
  {
    name: "follows the reaction's own schedule from the first wait on, and parks when that is done",
    check: on(
      Effect.fnUntraced(function* ({ consumer, worker, reaction, records, plan, advance, deadLetter, now, turn }) {
        const retry = Schedule.max([Schedule.spaced("7 seconds"), Schedule.recurs(2)])
        const own = { ...reaction("note"), retry }
        const [handle, turnOfOwn] = [yield* consumer([own]), yield* worker([own], 10)]
        plan.set("a1", bad)
        yield* handle(records("a1"))
        for (let attempts = 1; attempts < 3; attempts++) {
          const { due, status } = yield* deadLetter("a1")
          expect(status).toBe("retrying")
          const wait = due!.getTime() - (yield* now)
          expect(wait).toBeGreaterThan(6_000)
          expect(wait).toBeLessThanOrEqual(7_000)
          yield* advance(wait)
          yield* turnOfOwn
        }
        expect(yield* deadLetter("a1")).toMatchObject({ status: "parked", attempts: 3, due: null })
        expect(yield* turn).toBe(false)
      }),
    ),
  },
  {
    name: "parks at once an event that may be tried but once",
    check: on(
      Effect.fnUntraced(function* ({ consumer, reaction, records, plan, deadLetter }) {
        const handle = yield* consumer([atMost(1)(reaction("note"))])
        plan.set("a1", bad)
        yield* handle(records("a1"))
        expect(yield* deadLetter("a1")).toMatchObject({ status: "parked", attempts: 1, due: null })
      }),
    ),
  },
  {
    name: "shows of a structured event what it says, not its envelope",
    check: on(
      Effect.fnUntraced(function* ({ consumer, reaction, foreign, operator, type }) {
        const handle = yield* consumer([reaction("note")])
        const envelope = {
          specversion: "1.0",
          id: "s1",
          source: "/elsewhere",
          type: type.type,
          time: "2026-01-01T00:00:00Z",
        }
        const headers = { "content-type": "application/cloudevents+json" }
        yield* handle([foreign(JSON.stringify({ ...envelope, data: { n: "none" } }), { key: "s", headers })])
        expect(yield* operator.list({}, undefined, 10)).toMatchObject([
          { reason: "schema", event: { id: "s1", time: "2026-01-01T00:00:00Z", key: "s", data: { n: "none" } } },
        ])
      }),
    ),
  },
  {
    name: "parks at once an event that its reaction comes to reject",
    check: on(
      Effect.fnUntraced(function* ({ addDeadLetters, plan, work, advance, deadLetter }) {
        yield* addDeadLetters("a1", "a2")
        plan.set("a1", Effect.fail(new Reject({ reason: "it is of another shop" })))
        yield* advance("2 seconds")
        yield* work()
        const error = "it is of another shop"
        expect(yield* deadLetter("a1")).toMatchObject({
          status: "parked",
          attempts: 2,
          reason: "rejected",
          error,
          due: null,
        })
        expect(yield* deadLetter("a2")).toMatchObject({ status: "waiting" })
      }),
    ),
  },
  {
    name: "counts no attempt while an event is postponed, and parks it after 24 hours of that",
    check: on(
      Effect.fnUntraced(function* ({ take, plan, work, advance, deadLetter, operator, idOf, leaves }) {
        plan.set("a1", postponed("6 hours"))
        yield* take("a1", "a2")
        const hourly = Effect.andThen(advance("6 hours"), work())
        for (let hours = 6; hours < 24; hours += 6) {
          yield* hourly
          expect(yield* deadLetter("a1")).toMatchObject({ status: "retrying", attempts: 0, reason: "postponed" })
        }
        yield* hourly
        expect(yield* deadLetter("a1")).toMatchObject({ status: "parked", attempts: 0, due: null })
        // A redrive gives it another day.
        yield* operator.redrive(yield* idOf("a1"))
        yield* work()
        expect(yield* deadLetter("a1")).toMatchObject({ status: "retrying" })
        plan.clear()
        yield* hourly
        yield* leaves({ noted: ["a1", "a2"], deadLetters: ["a1 redriven"] })
      }),
    ),
  },
  {
    name: "counts the 24 hours from the first time of the last postponements in a row, not from an earlier failure",
    check: on(
      Effect.fnUntraced(function* ({ addDeadLetters, plan, work, advance, deadLetter }) {
        yield* addDeadLetters("a1")
        plan.set("a1", postponed("6 hours"))
        yield* advance("23 hours")
        yield* work()
        for (let hours = 6; hours < 24; hours += 6) {
          yield* advance("6 hours")
          yield* work()
          expect(yield* deadLetter("a1")).toMatchObject({ status: "retrying", attempts: 1, reason: "postponed" })
        }
        yield* advance("6 hours")
        yield* work()
        expect(yield* deadLetter("a1")).toMatchObject({ status: "parked", attempts: 1 })
      }),
    ),
  },
  {
    name: "postpones for no less than a second and no more than a day",
    check: on(
      Effect.fnUntraced(function* ({ take, plan, work, advance, deadLetter, now }) {
        for (const [name, asked, least] of [
          ["a1", 0, 1_000],
          ["b1", -5_000, 1_000],
          ["c1", Duration.infinity, Duration.toMillis(day)],
        ] as const) {
          plan.set(name, postponed(asked))
          const before = yield* now
          yield* take(name)
          const due = (yield* deadLetter(name)).due!.getTime()
          expect(due).toBeGreaterThanOrEqual(before + least)
          expect(due).toBeLessThanOrEqual((yield* now) + least)
          yield* advance(least)
          expect(yield* work()).not.toBe(true)
          const again = (yield* deadLetter(name)).due?.getTime() ?? Number.POSITIVE_INFINITY
          expect(again).toBeGreaterThanOrEqual(due + least)
        }
      }),
    ),
  },
  {
    name: "tries an event of a newer version every minute without counting, until a release knows it",
    check: on(
      Effect.fnUntraced(function* ({
        handle,
        records,
        worker,
        reaction,
        type,
        work,
        turn,
        advance,
        deadLetter,
        leaves,
      }) {
        const [first, ...rest] = records("a1", "a2", "b1")
        const newer = { ...first!, headers: { ...first!.headers, ce_dataschema: `/schemas/${type.type}/2` } }
        yield* handle([newer, ...rest])
        for (let n = 0; n < 2 * mostAttempts; n++) {
          yield* advance("59 seconds")
          expect(yield* turn).toBe(1_000)
          yield* advance("1 second")
          yield* work()
          expect(yield* deadLetter("a1")).toMatchObject({ status: "retrying", attempts: 0, reason: "newer-version" })
        }
        yield* leaves({ noted: ["b1"], deadLetters: ["a1 retrying", "a2 waiting"] })
        const nextRelease = { ...reaction("note"), event: { ...type, version: 2 } }
        yield* advance(minute)
        yield* work(yield* worker([nextRelease]))
        yield* leaves({ noted: ["b1", "a1", "a2"], deadLetters: ["a1 resolved"] })
      }),
    ),
  },
  {
    name: "keeps the dead letters of a reaction that is gone, until a release has it again",
    check: on(
      Effect.fnUntraced(function* ({ addDeadLetters, worker, work, advance, deadLetter, leaves }) {
        yield* addDeadLetters("a1", "a2")
        const without = yield* worker([])
        for (let n = 0; n < 2 * mostAttempts; n++) {
          yield* advance(minute)
          yield* work(without)
          expect(yield* deadLetter("a1")).toMatchObject({ status: "retrying", attempts: 1 })
        }
        yield* advance(minute)
        yield* work()
        yield* leaves({ noted: ["a1", "a2"], deadLetters: ["a1 resolved"] })
      }),
    ),
  },
]

const order: ReadonlyArray<Check<Subject>> = [
  {
    name: "tries only the first event of a key, however long the others wait",
    check: on(
      Effect.fnUntraced(function* ({ addDeadLetters, plan, take, work, advance, leaves }) {
        yield* addDeadLetters("a1", "a2", "a3")
        plan.set("a1", bad)
        yield* advance("500 millis")
        yield* work()
        yield* advance("1 hour")
        yield* work()
        yield* take("a4", "b1")
        yield* work()
        yield* leaves({ noted: ["b1"], deadLetters: ["a1 retrying", "a2 waiting", "a3 waiting", "a4 waiting"] })
      }),
    ),
  },
  {
    name: "drains a key in its order, in one turn, once its first event takes effect",
    check: on(
      Effect.fnUntraced(function* ({ addDeadLetters, take, turn, advance, leaves }) {
        yield* addDeadLetters("a1", "a2", "a3")
        yield* take("a4", "b1")
        yield* advance("2 seconds")
        expect(yield* turn).toBe(true)
        yield* leaves({ noted: ["b1", "a1", "a2", "a3", "a4"], deadLetters: ["a1 resolved"] })
        yield* take("a1", "a2", "a3", "a4", "a5")
        yield* leaves({ noted: ["b1", "a1", "a2", "a3", "a4", "a5"], deadLetters: ["a1 resolved"] })
      }),
    ),
  },
  {
    name: "drains more of a key than one turn takes, while others get their turn",
    check: on(
      Effect.fnUntraced(function* ({ addDeadLetters, turn, work, advance, noted }) {
        const names = Array.from({ length: 120 }, (_, n) => `a${n}`)
        yield* addDeadLetters(...names)
        yield* addDeadLetters("b0", "b1")
        yield* advance("2 seconds")
        yield* turn
        yield* turn
        expect((yield* noted()).length).toBeLessThan(names.length)
        yield* work()
        const all = yield* noted()
        expect(all.filter((name) => name.startsWith("a"))).toEqual(names)
        expect(all.filter((name) => name.startsWith("b"))).toEqual(["b0", "b1"])
      }),
    ),
  },
  {
    name: "ends a turn that takes long, and goes on with the key in the next",
    check: on(
      Effect.fnUntraced(function* ({ addDeadLetters, plan, turn, advance, noted }) {
        yield* addDeadLetters("a1", "a2", "a3")
        for (const name of ["a1", "a2", "a3"]) plan.set(name, advance("100 millis"))
        yield* advance("2 seconds")
        for (const so of [["a1"], ["a1", "a2"], ["a1", "a2", "a3"]]) {
          expect(yield* turn).toBe(true)
          expect(yield* noted()).toEqual(so)
        }
      }),
    ),
  },
  {
    name: "stops draining at the next event of the key that fails, and goes on with that by its schedule",
    check: on(
      Effect.fnUntraced(function* ({ addDeadLetters, plan, work, advance, leaves, deadLetter }) {
        yield* addDeadLetters("a1", "a2", "a3", "a4")
        plan.set("a3", bad)
        yield* advance("2 seconds")
        yield* work()
        yield* leaves({ noted: ["a1", "a2"], deadLetters: ["a1 resolved", "a3 retrying", "a4 waiting"] })
        expect(yield* deadLetter("a3")).toMatchObject({ attempts: 1, reason: "failed", error: "it cannot be done" })
        plan.clear()
        yield* advance("2 seconds")
        yield* work()
        yield* leaves({ noted: ["a1", "a2", "a3", "a4"], deadLetters: ["a1 resolved", "a3 resolved"] })
      }),
    ),
  },
  {
    name: "lets no key wait for another, nor one reaction for another",
    check: on(
      Effect.fnUntraced(function* ({ consumer, worker, reaction, plan, records, work, advance, noted, statuses }) {
        const reactions = [reaction("one"), reaction("two")]
        const [handle, turn] = [yield* consumer(reactions), yield* worker(reactions)]
        plan.set("one a1", bad).set("b1", bad)
        yield* handle(records("a1", "b1", "a2", "b2", "c1"))
        plan.delete("b1")
        yield* advance("2 seconds")
        yield* work(turn)
        expect(yield* noted("one")).toEqual(["c1", "b1", "b2"])
        expect(yield* statuses("one")).toEqual(["a1 retrying", "b1 resolved", "a2 waiting"])
        expect(yield* noted("two")).toEqual(["a1", "a2", "c1", "b1", "b2"])
      }),
    ),
  },
  {
    name: "queues what comes behind an event that waits for an operator, and takes it after that",
    check: on(
      Effect.fnUntraced(function* ({ take, plan, work, operator, idOf, leaves }) {
        plan.set("a1", Effect.fail(new Reject({ reason: "no" })))
        yield* take("a1", "a2")
        plan.clear()
        yield* work()
        yield* take("a3", "b1", "a2'")
        yield* leaves({ noted: ["b1"], deadLetters: ["a1 parked", "a2 waiting", "a3 waiting"] })
        yield* operator.discard(yield* idOf("a1"))
        yield* take("a4", "a1'")
        yield* work()
        yield* leaves({ noted: ["b1", "a2", "a3", "a4"], deadLetters: ["a1 discarded"] })
      }),
    ),
  },
  {
    name: "tries events without a key each by itself",
    check: on(
      Effect.fnUntraced(function* ({ handle, records, plan, turn, work, advance, leaves }) {
        plan.set("a1", bad).set("a2", bad)
        yield* handle(records("a1", "a2", "a3").map((record) => ({ ...record, key: null })))
        plan.delete("a2")
        yield* advance("2 seconds")
        expect(yield* turn).toBe(true)
        yield* work()
        yield* leaves({ noted: ["a3", "a2"], deadLetters: ["a1 retrying", "a2 resolved"] })
      }),
    ),
  },
  {
    name: "is stuck for ever with one reaction to two types that postpones the one until the other came",
    check: on(
      Effect.fnUntraced(function* ({ sql, consumer, worker, type, note, records, work, advance, leaves, statuses }) {
        const other = define(`${type.type}_too`, { data: type.data, key: "n", subject: "n" })
        const cameBefore = Effect.map(
          Effect.orDie(sql`select from note where event_id = 'a2'`),
          (rows) => rows.length > 0,
        )
        const reactions = [
          each({
            name: "note",
            event: type,
            handle: (event) =>
              Effect.flatMap(cameBefore, (came) => (came ? note("note", event) : postponed("10 minutes"))),
          }),
          each({ name: "note", event: other, handle: (event) => note("note", event) }),
        ]
        const [handle, turn] = [yield* consumer(reactions), yield* worker(reactions)]
        const [first, second] = records("a1", "a2")
        const headers = { ...second!.headers, ce_type: other.type, ce_dataschema: `/schemas/${other.type}/1` }
        yield* handle([first!])
        yield* handle([{ ...second!, topic: other.type, headers }])
        for (let minutes = 0; minutes < 48 * 60; minutes += 30) {
          yield* advance("30 minutes")
          yield* work(turn)
          expect((yield* statuses()).at(-1)).toBe("a2 waiting")
        }
        // What it waits for has come long ago, and queues behind it.
        yield* leaves({ deadLetters: ["a1 parked", "a2 waiting"] })
      }),
    ),
  },
]

/** What a reaction may do that is no plain failure. */
const troubles: ReadonlyArray<readonly [what: string, behaviour: Behaviour, error: RegExp, haste?: number]> = [
  ["throws", Effect.sync(() => JSON.parse("{")), /JSON/u],
  ["dies of nothing", Effect.die(undefined), /undefined/u],
  ["dies of what has no text", Effect.die(Object.create(null)), /\w/u],
  ["dies of an error whose message is no text", Effect.die(Object.assign(new Error(), { message: 5 })), /5/u],
  ["dies of an error whose message throws", Effect.die(thrower()), /\w/u],
  ["interrupts itself", Effect.interrupt, /interrupt/u],
  ["never returns", Effect.never, /did nothing for 4 s/u, 4],
  ["says 10 MB", Effect.die(new Error("x".repeat(10_000_000))), /^x{2000}$/u],
  ["says control characters", Effect.die(new Error("\0\u001b[31m red\r\n\ud800")), /^ \[31m red \ufffd$/u],
]

function thrower(): Error {
  return Object.defineProperty(new Error(), "message", {
    get: () => {
      throw new Error("no message")
    },
  })
}

const faults: ReadonlyArray<Check<Subject>> = [
  ...troubles.map(([what, behaviour, error, haste]) => ({
    name: `holds one key alone when a reaction ${what}, and lets it go when that is mended`,
    check: on(
      Effect.fnUntraced(function* ({ take, plan, work, advance, deadLetter, leaves, operator, idOf }) {
        plan.set("a1", behaviour)
        yield* take("a1", "b1", "a2")
        yield* leaves({ noted: ["b1"], deadLetters: ["a1 retrying", "a2 waiting"] })
        for (let attempts = 1; attempts <= mostAttempts; attempts++) {
          const status = attempts === mostAttempts ? "parked" : "retrying"
          expect(yield* deadLetter("a1")).toMatchObject({ status, attempts, reason: "failed" })
          expect((yield* deadLetter("a1")).error).toMatch(error)
          yield* advance(minute)
          yield* work()
          yield* take(`b${attempts + 1}`)
        }
        plan.clear()
        yield* operator.redrive(yield* idOf("a1"))
        yield* work()
        yield* leaves({ noted: ["b1", "b2", "b3", "b4", "a1", "a2"], deadLetters: ["a1 redriven"] })
      }),
      haste === undefined ? {} : { haste },
    ),
  })),
  {
    name: "leaves no trace of an attempt that failed, and keeps what succeeded before it",
    check: on(
      Effect.fnUntraced(function* ({ sql, addDeadLetters, plan, work, advance, leaves }) {
        yield* addDeadLetters("a1", "a2", "a3")
        plan.set("a2", Effect.asVoid(Effect.orDie(sql`select 1 / 0`)))
        yield* advance("2 seconds")
        yield* work()
        yield* leaves({ noted: ["a1"], deadLetters: ["a1 resolved", "a2 retrying", "a3 waiting"] })
      }),
    ),
  },
  {
    name: "lets each event of a turn break a deferred constraint for a while, as one alone may",
    check: on(
      Effect.fnUntraced(function* ({ sql, addDeadLetters, plan, work, advance, leaves }) {
        const slot = sql`insert into note (reaction, slot) values ('slot', 7)`
        const forAWhile = Effect.asVoid(Effect.orDie(Effect.all([slot, slot, sql`delete from note where slot = 7`])))
        yield* addDeadLetters("a1", "a2")
        plan.set("a1", forAWhile).set("a2", forAWhile)
        yield* advance("2 seconds")
        yield* work()
        yield* leaves({ noted: ["a1", "a2"], deadLetters: ["a1 resolved"] })
      }),
    ),
  },
  {
    name: "undoes a turn by a lost connection, counts nothing, and lets other keys go on meanwhile",
    check: on(
      Effect.fnUntraced(function* ({ addDeadLetters, plan, work, advance, deadLetter, noted, statuses }) {
        yield* addDeadLetters("a1", "a2", "a3")
        yield* addDeadLetters("b1")
        plan.set("a2", connectionLost)
        for (let n = 0; n < 2 * mostAttempts; n++) {
          yield* advance(minute)
          yield* work()
        }
        expect((yield* noted()).toSorted()).toEqual(["a1", "b1"])
        expect(yield* statuses()).toEqual(["a1 resolved", "a2 waiting", "a3 waiting", "b1 resolved"])
        expect(yield* deadLetter("a2")).toMatchObject({ attempts: 0 })
        plan.clear()
        yield* advance(minute)
        yield* work()
        expect((yield* noted()).slice(2)).toEqual(["a2", "a3"])
      }),
    ),
  },
  {
    name: "waits longer each time for an event that cannot be tried, uncounted, and from 1 s again after it was tried",
    check: on(
      Effect.fnUntraced(function* ({ addDeadLetters, plan, turn, advance, deadLetter, now }) {
        yield* addDeadLetters("a1")
        const expectWait = (millis: number) =>
          Effect.gen(function* () {
            const { due, attempts } = yield* deadLetter("a1")
            const wait = due!.getTime() - (yield* now)
            expectJittered(wait, millis)
            yield* advance(wait)
            return attempts
          })
        yield* expectWait(1_000)
        plan.set("a1", connectionLost)
        for (let times = 1; times <= 10; times++) {
          expect(yield* turn).toBe(true)
          expect(yield* expectWait(Math.min(1_000 * 2 ** (times - 1), 300_000))).toBe(1)
        }
        plan.set("a1", bad)
        expect(yield* turn).toBe(true)
        expect(yield* expectWait(2_000)).toBe(2)
        plan.set("a1", connectionLost)
        expect(yield* turn).toBe(true)
        yield* expectWait(1_000)
      }),
    ),
  },
  {
    name: "fails its turn while the database does not answer, and changes nothing",
    check: on(
      Effect.fnUntraced(function* ({
        addDeadLetters,
        plan,
        worker,
        reaction,
        database,
        advance,
        deadLetter,
        deadLetters,
        work,
        leaves,
      }) {
        const away = new DatabaseUnavailable({ reason: "away" })
        const turn = yield* worker([reaction("note")], 1, { ...database, probe: Effect.fail(away) })
        yield* addDeadLetters("a1", "a2")
        plan.set("a1", connectionLost)
        yield* advance("2 seconds")
        const before = yield* deadLetters()
        for (let n = 0; n < 3; n++) expect(Exit.isFailure(yield* Effect.exit(turn))).toBe(true)
        expect(yield* deadLetters()).toEqual(before)
        expect(yield* deadLetter("a1")).toMatchObject({ status: "retrying", attempts: 1 })
        plan.clear()
        yield* work()
        yield* leaves({ noted: ["a1", "a2"], deadLetters: ["a1 resolved"] })
      }),
    ),
  },
  {
    name: "fails its turn while nothing may be written, before it tries",
    check: on(
      Effect.fnUntraced(function* ({ addDeadLetters, worker, reaction, database, advance, leaves }) {
        const writable = Effect.fail(new DatabaseUnavailable({ reason: "the disk is nearly full" }))
        const turn = yield* worker([reaction("note")], 3, { ...database, writable })
        yield* addDeadLetters("a1")
        yield* advance("2 seconds")
        expect(Exit.isFailure(yield* Effect.exit(turn))).toBe(true)
        yield* leaves({ deadLetters: ["a1 retrying"] })
      }),
    ),
  },
  {
    name: "leaves nothing behind when it is interrupted",
    check: on(
      Effect.fnUntraced(function* ({ addDeadLetters, plan, turn, work, advance, deadLetters, noted, leaves }) {
        yield* addDeadLetters("a1", "a2")
        const reached = yield* Deferred.make<void>()
        plan.set("a2", Effect.andThen(Deferred.succeed(reached, undefined), Effect.never))
        yield* advance("2 seconds")
        const before = yield* deadLetters()
        const running = yield* Effect.forkChild(turn)
        yield* Deferred.await(reached)
        yield* Fiber.interrupt(running)
        expect(yield* deadLetters()).toEqual(before)
        expect(yield* noted()).toEqual([])
        plan.clear()
        yield* work()
        yield* leaves({ noted: ["a1", "a2"], deadLetters: ["a1 resolved"] })
      }),
    ),
  },
  {
    name: "makes no dead letter of what another member applied while its own batch failed",
    check: on(
      Effect.fnUntraced(function* ({ consumer, reaction, records, plan, database, work, advance, leaves }) {
        const other = yield* consumer([reaction("note")])
        let transactions = 0
        const zombie = Effect.suspend(() => {
          plan.clear()
          return Effect.andThen(
            other(records("a1")),
            Effect.sync(() => void plan.set("a1", bad)),
          )
        })
        const transaction: typeof database.transaction = (work) =>
          Effect.suspend(() =>
            ++transactions === 2
              ? Effect.andThen(Effect.orDie(zombie), database.transaction(work))
              : database.transaction(work),
          )
        const handle = yield* consumer([reaction("note")], { ...database, transaction })
        plan.set("a1", bad)
        yield* handle(records("a1", "a2"))
        expect(transactions).toBeGreaterThan(1)
        plan.clear()
        yield* advance(minute)
        yield* work()
        yield* leaves({ noted: ["a1", "a2"] })
      }),
    ),
  },
]

const ended = [
  ["resolved", () => Effect.void],
  ["redriven", ({ operator, idOf }: Worked) => Effect.flatMap(idOf("a1"), operator.redrive)],
  ["discarded", ({ operator, idOf }: Worked) => Effect.flatMap(idOf("a1"), operator.discard)],
] as const

const operations: ReadonlyArray<Check<Subject>> = [
  {
    name: "shows a dead letter with all that an operator needs, and how many wait behind it",
    check: on(
      Effect.fnUntraced(function* ({ addDeadLetters, operator, idOf, records, type, now }) {
        const before = yield* now
        yield* addDeadLetters("a1", "a2", "a3")
        const id = yield* idOf("a1")
        const deadLetter = yield* operator.find(id)
        const [record] = records("a1")
        expect(deadLetter).toEqual({
          id,
          module: "suite",
          reaction: "note",
          status: "retrying",
          attempts: 1,
          reason: "failed",
          error: "it cannot be done",
          event: {
            id: "a1",
            type: type.type,
            source: "/suite",
            time: null,
            key: "a",
            data: { n: 0 },
            headers: record!.headers,
          },
          topic: type.type,
          partition: 0,
          offset: 0,
          waiting: 2,
          first_failed_at: expect.any(Date),
          last_failed_at: expect.any(Date),
          next_attempt_at: expect.any(Date),
          redriven_at: null,
          ended_at: null,
          cause: expect.stringMatching(/^[0-9a-f]{16}$/u),
          edited: false,
          raw: '{"n":0}',
          attempt_log: [{ at: expect.any(Date), error: "it cannot be done", took_ms: null }],
        })
        expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/u)
        expect(deadLetter!.first_failed_at!.getTime()).toBeGreaterThanOrEqual(before)
        expect(deadLetter!.next_attempt_at!.getTime()).toBeGreaterThan(deadLetter!.last_failed_at!.getTime())
        const { raw: _raw, attempt_log: _attempts, ...listed } = deadLetter!
        expect(yield* operator.list({}, undefined, 10)).toEqual([listed])
        const waiting = yield* idOf("a2")
        expect(yield* operator.find(waiting)).toBeUndefined()
        expect(yield* operator.redrive(waiting)).toBe(false)
        expect(yield* operator.discard(waiting)).toBe(false)
      }),
    ),
  },
  {
    name: "redrives a parked event at once and anew, and ends it as redriven",
    check: on(
      Effect.fnUntraced(function* ({ take, plan, work, advance, operator, idOf, deadLetter, now, leaves }) {
        plan.set("a1", bad)
        yield* take("a1", "a2")
        for (let n = 1; n < mostAttempts; n++) yield* Effect.andThen(advance(minute), work())
        const id = yield* idOf("a1")
        expect(yield* operator.find(id)).toMatchObject({
          status: "parked",
          attempts: 3,
          next_attempt_at: null,
          waiting: 1,
        })
        expect(yield* operator.redrive(id)).toBe(true)
        expect(operator.wakes()).toBe(1)
        const redriven = yield* operator.find(id)
        expect(redriven).toMatchObject({ status: "retrying", attempts: 0 })
        expect(redriven!.next_attempt_at!.getTime()).toBeLessThanOrEqual(yield* now)
        expect(redriven!.redriven_at).toEqual(redriven!.next_attempt_at)
        yield* work()
        expect(yield* deadLetter("a1")).toMatchObject({ status: "retrying", attempts: 1 })
        plan.clear()
        yield* advance(minute)
        yield* work()
        yield* leaves({ noted: ["a1", "a2"], deadLetters: ["a1 redriven"] })
        expect(yield* operator.find(id)).toMatchObject({ status: "redriven", waiting: 0, next_attempt_at: null })
      }),
    ),
  },
  {
    name: "redrives an event with other data in its place in its key, and keeps the text that came first",
    check: on(
      Effect.fnUntraced(function* ({ handle, records, operator, idOf, work, plan, deadLetter, leaves }) {
        const [a1, ...rest] = records("a1", "a2", "b1")
        yield* handle([{ ...a1!, value: Buffer.from('{"n":"x"}') }, ...rest])
        yield* leaves({ noted: ["b1"], deadLetters: ["a1 retrying", "a2 waiting"] })
        const id = yield* idOf("a1")
        const original = { data: { n: "x" }, raw: '{"n":"x"}' }
        plan.set("a1", bad)
        for (const raw of ['{"n": 1, "more": 12345678901234567890}', '{"n":2}']) {
          expect(yield* operator.redriveWith(id, raw)).toBe(true)
          const found = yield* operator.find(id)
          expect(found).toMatchObject({ status: "retrying", attempts: 0, edited: true, raw, original })
          expect(found!.redriven_at).toEqual(found!.next_attempt_at)
        }
        expect(operator.wakes()).toBe(2)
        yield* work()
        expect(yield* deadLetter("a1")).toMatchObject({ reason: "failed", attempts: 1 })
        plan.clear()
        expect(yield* operator.redrive(id)).toBe(true)
        yield* work()
        yield* leaves({ noted: ["b1", "a1", "a2"], deadLetters: ["a1 redriven"] })
        expect(yield* operator.find(id)).toMatchObject({ edited: true, raw: '{"n":2}', original })
        expect((yield* operator.actions).map(({ action, details }) => [action, details])).toEqual([
          ["redrive", { module: "suite" }],
          ["redrive", { module: "suite", edited: true }],
          ["redrive", { module: "suite", edited: true }],
        ])
      }),
    ),
  },
  {
    name: "refuses other data that does not satisfy the schema, with the place of each fault, and changes nothing",
    check: on(
      Effect.fnUntraced(function* ({ addDeadLetters, operator, idOf, deadLetters }) {
        yield* addDeadLetters("a1")
        const id = yield* idOf("a1")
        const before = yield* deadLetters()
        for (const [data, pointers] of [
          ['{"n":"x","text":5}', ["/data/n", "/data/text"]],
          ['{"n":12345678901234567890}', ["/data/n"]],
          ["{}", ["/data/n"]],
          ["[]", ["/data"]],
          ["null", ["/data"]],
        ] as const) {
          const { errors } = yield* Effect.flip(operator.redriveWith(id, data))
          expect(errors.map((fault) => ("pointer" in fault ? fault.pointer : "none"))).toEqual(pointers)
        }
        expect(yield* deadLetters()).toEqual(before)
        expect(yield* operator.actions).toEqual([])
        expect(operator.wakes()).toBe(0)
      }),
    ),
  },
  {
    name: "leaves a foreign event its id, and a structured one its envelope, when the data is another",
    check: on(
      Effect.fnUntraced(function* ({ consumer, reaction, foreign, type, operator, work, deadLetters, noted }) {
        const handle = yield* consumer([reaction("note")])
        const headers = { "content-type": "application/cloudevents+json" }
        const envelope = `{"specversion":"1.0","id":"s1","source":"/elsewhere","type":"${type.type}","data": {"n":"x"},"big":12345678901234567890}`
        yield* handle([foreign('{"n":"x"}', { key: "f" }), foreign(envelope, { key: "s", headers })])
        const ids = (yield* deadLetters()).map(({ event_id }) => event_id)
        for (const { id } of yield* operator.list({}, undefined, 10)) {
          expect(yield* operator.redriveWith(id, '{"n":1}')).toBe(true)
        }
        const [structured, bare] = yield* operator.list({}, undefined, 10)
        expect(structured!.event).toMatchObject({ id: "s1", headers })
        expect((yield* operator.find(structured!.id))!.raw).toBe(envelope.replace('"x"', "1"))
        expect(bare!.event).toMatchObject({ data: { n: 1 }, source: `/foreign/${type.type}` })
        yield* work()
        expect((yield* noted()).toSorted()).toEqual(ids.toSorted())
      }),
    ),
  },
  {
    name: "gives a record that could not be read to its reactions, once it is redriven with data that can be",
    check: on(
      Effect.fnUntraced(function* ({ handle, foreign, records, operator, work, deadLetters, noted, statuses }) {
        const record = foreign("no JSON", { key: "a" })
        yield* handle([record, ...records("a1")])
        const { event_id } = (yield* deadLetters("*"))[0]!
        const { id } = (yield* operator.list({}, undefined, 1))[0]!
        expect(yield* statuses("*")).toEqual([`${event_id} parked`])
        expect((yield* Effect.flip(operator.redriveWith(id, '"text"'))).errors).toHaveLength(1)
        expect(yield* operator.redriveWith(id, '{"n":1}')).toBe(true)
        yield* work()
        expect(yield* noted()).toEqual(["a1", event_id])
        expect(yield* statuses("*")).toEqual([`${event_id} redriven`])
        yield* handle([record])
        expect(yield* noted()).toEqual(["a1", event_id])
      }),
    ),
  },
  {
    name: "discards an event for good, and lets its key go on with the next",
    check: on(
      Effect.fnUntraced(function* ({ addDeadLetters, take, work, operator, idOf, leaves }) {
        yield* addDeadLetters("a1", "a2")
        expect(yield* operator.discard(yield* idOf("a1"))).toBe(true)
        expect(operator.wakes()).toBe(1)
        yield* work()
        yield* take("a1", "a1'", "a3")
        yield* leaves({ noted: ["a2", "a3"], deadLetters: ["a1 discarded"] })
      }),
    ),
  },
  ...ended.map(([status, end]) => ({
    name: `changes nothing on a dead letter that is ${status}`,
    check: on(
      Effect.fnUntraced(function* (scene) {
        const { addDeadLetters, operator, idOf, work, advance, deadLetters, noted } = scene
        yield* addDeadLetters("a1", "a2")
        const id = yield* idOf("a1")
        yield* end(scene)
        yield* advance("2 seconds")
        yield* work()
        const [before, applied] = [yield* deadLetters(), yield* noted()]
        expect(before).toMatchObject([{ status }])
        const edit = (id: string) => operator.redriveWith(id, '{"n":1}')
        for (const act of [operator.redrive, operator.discard, operator.redrive, edit]) {
          expect(yield* act(id)).toBe(false)
          yield* advance("1 hour")
          yield* work()
        }
        expect(yield* operator.redriveAll({})).toBe(0)
        expect(yield* deadLetters()).toEqual(before)
        expect(yield* noted()).toEqual(applied)
      }),
    ),
  })),
  {
    name: "knows nothing of an unknown id",
    check: on(
      Effect.fnUntraced(function* ({ addDeadLetters, operator, deadLetters }) {
        yield* addDeadLetters("a1")
        const before = yield* deadLetters()
        for (const id of ["01900000-0000-7000-8000-000000000000", "", "' or true --"]) {
          expect(yield* operator.find(id)).toBeUndefined()
          expect(yield* operator.redrive(id)).toBe(false)
          expect(yield* operator.discard(id)).toBe(false)
        }
        expect(yield* deadLetters()).toEqual(before)
      }),
    ),
  },
  {
    name: "ends as discarded what is redriven and discarded at the same instant, and never applies it after",
    check: on(
      Effect.fnUntraced(function* ({ addDeadLetters, operator, idOf, work, advance, noted, statuses }) {
        for (let n = 1; n <= 20; n++) {
          const name = `k${n}x`
          yield* addDeadLetters(name)
          const id = yield* idOf(name)
          const press = [operator.redrive(id), operator.discard(id), operator.redrive(id), operator.discard(id)]
          const [, one, , two] = yield* Effect.all(press, { concurrency: "unbounded" })
          expect([one, two].filter((changed) => changed)).toHaveLength(1)
        }
        yield* advance("1 hour")
        yield* work()
        expect(yield* noted()).toEqual([])
        expect(new Set((yield* statuses()).map((line) => line.split(" ")[1]))).toEqual(new Set(["discarded"]))
      }),
    ),
  },
  {
    name: "redrives 10,000 at once, and only those that match",
    check: on(
      Effect.fnUntraced(function* ({ sql, addDeadLetters, operator, turn, type, noted, now }) {
        yield* addDeadLetters("a1", "a2")
        yield* operator.discard((yield* operator.list({}, undefined, 1))[0]!.id)
        yield* sql`
          insert into held (id, reaction, key, source, event_id, status, attempts, topic, partition, "offset", event, created_at)
          select gen_random_uuid(), case when n = 1 then 'gone' else 'note' end, 'key ' || n, '/suite', 'e' || n, 'parked', 3,
            ${type.type}, 0, n, json_build_object('value', '{"n":1}', 'key', 'key ' || n, 'time', 0, 'headers', json_build_object(
              'ce_specversion', '1.0', 'ce_source', '/suite', 'ce_type', ${type.type}::text, 'ce_id', 'e' || n)), now()
          from generate_series(1, 10000) n`
        expect(yield* operator.redriveAll({ reaction: "nobody" })).toBe(0)
        expect(yield* operator.redriveAll({ type: "nothing" })).toBe(0)
        expect(yield* operator.redriveAll({ reaction: "note", type: type.type })).toBe(9_999)
        expect(yield* operator.redriveAll({})).toBe(10_000)
        const [counted] = yield* sql`
          select count(*)::int as n from held where status = 'retrying' and attempts = 0 and due <= ${new Date(yield* now)}`
        expect(counted).toEqual({ n: 10_000 })
        // Whatever there are many of, the next of a key that only waits gets its turn.
        for (let n = 0; n < 16; n++) expect(yield* turn).toBe(true)
        expect(yield* noted()).toEqual([...Array.from({ length: 14 }, (_, n) => `e${n + 2}`), "a2"])
      }),
    ),
  },
  {
    name: "looks past 30,000 that wait behind a parked one in no time",
    check: on(
      Effect.fnUntraced(function* ({ sql, turn, now }) {
        yield* sql`
          insert into held (id, reaction, key, source, event_id, status, topic, partition, "offset", event, due, created_at)
          select gen_random_uuid(), 'note', 'a', '/suite', 'e' || n, case when n = 1 then 'parked' else 'waiting' end, 't',
            0, n, '{}', case when n > 1 then ${new Date(yield* now)}::timestamptz end, now()
          from generate_series(1, 30000) n`
        const millis: Array<number> = []
        for (let n = 0; n < 10; n++) {
          const before = performance.now()
          expect(yield* turn).toBe(false)
          millis.push(performance.now() - before)
        }
        expect(Math.min(...millis)).toBeLessThan(50)
      }),
    ),
  },
  {
    name: "looks past 50,000 keys with an event that waits for an operator and one behind it, in no time",
    check: on(
      Effect.fnUntraced(function* ({ sql, turn, now, operator }) {
        for (let from = 0; from < 100_000; from += 10_000) {
          yield* sql`
            insert into held (id, reaction, key, source, event_id, status, topic, partition, "offset", event, due, created_at)
            select gen_random_uuid(), 'note', 'k' || n / 2, '/suite', 'e' || n, case n % 2 when 0 then 'parked' else 'waiting' end,
              't', 0, n, '{"headers":{}, "value":"{}"}', case n % 2 when 1 then ${new Date(yield* now)}::timestamptz end, now()
            from generate_series(${from}::int, ${from + 9_999}::int) n`
        }
        const millis: Array<number> = []
        for (let n = 0; n < 10; n++) {
          const before = performance.now()
          expect(yield* turn).toBe(false)
          millis.push(performance.now() - before)
        }
        expect(Math.min(...millis)).toBeLessThan(50)
        const listed: Array<number> = []
        for (let n = 0; n < 5; n++) {
          const before = performance.now()
          expect(yield* operator.list({}, undefined, 50)).toHaveLength(50)
          listed.push(performance.now() - before)
        }
        expect(Math.min(...listed)).toBeLessThan(500)
      }),
    ),
  },
  {
    name: "finds an event within a minute that was queued at the moment when what was in front of it ended",
    check: on(
      Effect.fnUntraced(function* ({ sql, addDeadLetters, take, work, advance, leaves }) {
        yield* addDeadLetters("a1")
        yield* take("a2")
        // As if the dead letter of a2 had been written by a transaction that the end of a1 did not see.
        yield* sql`update held set status = 'resolved', due = null where event_id = 'a1'`
        yield* work()
        yield* advance("61 seconds")
        yield* work()
        yield* leaves({ noted: ["a2"], deadLetters: ["a1 resolved"] })
      }),
    ),
  },
  {
    name: "pages through dead letters newest first, each that stays once, while others change",
    check: on(
      Effect.fnUntraced(function* ({ addDeadLetters, operator, advance, work, idOf }) {
        for (let n = 1; n <= 25; n++) yield* addDeadLetters(`k${n}x`)
        const seen: Array<string> = []
        let before: string | undefined
        for (let page = 0; ; page++) {
          const found = yield* operator.list({}, before, 5)
          if (found.length === 0) break
          seen.push(...found.map(({ event }) => event.id))
          before = found.at(-1)!.id
          // One that was seen ends, one that is still to come ends, and a new one comes.
          yield* operator.discard(found[0]!.id)
          if (page === 1) yield* operator.discard(yield* idOf("k3x"))
          yield* addDeadLetters(`n${page}x`)
        }
        expect(seen).toEqual(Array.from({ length: 25 }, (_, n) => `k${25 - n}x`).filter((name) => name !== "k3x"))
        yield* advance("2 seconds")
        yield* work()
        expect(yield* operator.list({}, undefined, 100)).toEqual([])
        const discarded = yield* operator.list({ statuses: ["discarded"] }, undefined, 100)
        expect(discarded.every(({ status }) => status === "discarded")).toBe(true)
        expect(discarded.length + (yield* operator.list({ statuses: ["resolved"] }, undefined, 100)).length).toBe(30)
      }),
    ),
  },
  {
    name: "parks a record again that cannot be read when it is redriven, and takes it once it can be read",
    check: on(
      Effect.fnUntraced(function* ({ sql, handle, foreign, operator, work, deadLetters, noted }) {
        yield* handle([foreign(`{"n":`, { key: "a" })])
        const [deadLetter] = yield* operator.list({}, undefined, 10)
        expect(deadLetter).toMatchObject({
          reaction: "*",
          status: "parked",
          attempts: 1,
          event: { key: "a", data: `{"n":` },
        })
        yield* operator.redrive(deadLetter!.id)
        yield* work()
        expect(yield* deadLetters("*")).toMatchObject([{ status: "parked", attempts: 1, reason: "malformed" }])
        yield* sql`update held set event = json_build_object('value', '{"n":1}', 'key', 'a', 'time', 0, 'headers', json_build_object())`
        yield* operator.redrive(deadLetter!.id)
        yield* work()
        expect(yield* deadLetters("*")).toMatchObject([{ status: "redriven" }])
        expect(yield* noted()).toHaveLength(1)
      }),
    ),
  },
]

/** Waits until a session waits for a lock of another. */
const someoneWaits = ({ sql }: Scene) =>
  until(
    "somebody waits for a lock",
    Effect.map(
      sql`select 1 from pg_stat_activity
        where application_name = current_setting('application_name') and wait_event_type = 'Lock'`,
      (waiting) => waiting.length > 0,
    ),
  )

/** Runs `meanwhile` while a worker's attempt of `name` is under way, which ends as `end` says; what the turn said. */
const during = <A, E, R>(
  { plan, turn }: Worked,
  name: string,
  meanwhile: (go: Effect.Effect<unknown>) => Effect.Effect<A, E, R>,
  end: Behaviour = Effect.void,
) =>
  Effect.gen(function* () {
    const reached = yield* Deferred.make<void>()
    const go = yield* Deferred.make<void>()
    plan.set(name, Effect.andThen(Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(go)), end))
    const running = yield* Effect.forkChild(turn)
    yield* Deferred.await(reached)
    plan.delete(name)
    const goOn = Deferred.succeed(go, undefined)
    const result = yield* Effect.ensuring(meanwhile(goOn), Effect.andThen(goOn, Fiber.await(running)))
    yield* Fiber.join(running)
    return result
  })

/** An operator acts while the first event of `key` is being retried. Returns whether that changed it. */
const pressedDuring = (scene: Worked, key: string, press: Worked["operator"]["discard"], end?: Behaviour) =>
  Effect.gen(function* () {
    const { addDeadLetters, advance, idOf } = scene
    yield* addDeadLetters(`${key}1`, `${key}2`)
    yield* advance("2 seconds")
    const id = yield* idOf(`${key}1`)
    return yield* during(
      scene,
      `${key}1`,
      Effect.fnUntraced(function* (go) {
        const pressed = yield* Effect.forkChild(press(id))
        yield* someoneWaits(scene)
        yield* go
        return yield* Fiber.join(pressed)
      }),
      end,
    )
  })

const sideBySide: ReadonlyArray<Check<Subject>> = [
  {
    name: "leaves to another worker what that one has in hand, with its key, and takes the next key",
    sideBySide: true,
    check: on(
      Effect.fnUntraced(function* (scene) {
        const { addDeadLetters, advance, turn, leaves } = scene
        yield* addDeadLetters("a1", "a2")
        yield* advance("1 second")
        yield* addDeadLetters("b1", "b2")
        yield* advance("2 seconds")
        yield* during(
          scene,
          "a1",
          Effect.fnUntraced(function* () {
            expect(yield* turn).toBe(true)
            expect(yield* turn).toBe(false)
          }),
        )
        yield* leaves({ noted: expectedAfter, deadLetters: ["a1 resolved", "b1 resolved"] })
      }),
    ),
  },
  {
    name: "keeps once and in order what four workers drain side by side",
    sideBySide: true,
    check: on(
      Effect.fnUntraced(function* ({ addDeadLetters, plan, turn, advance, noted, sql }) {
        const keys = "abcdefghij".split("")
        for (const key of keys) {
          yield* addDeadLetters(...Array.from({ length: 12 }, (_, n) => `${key}${n}`))
        }
        for (const key of keys) {
          plan
            .set(`${key}4`, faltering(1, bad))
            .set(`${key}0`, faltering(1, Effect.asVoid(Effect.orDie(sql`select pg_sleep(0.01)`))))
          plan.set(`${key}8`, faltering(1, bad))
        }
        for (let round = 0; round < 3; round++) {
          yield* advance("2 seconds")
          const works = Array.from({ length: 4 }, () => Effect.repeat(turn, { while: (more) => more === true }))
          yield* Effect.all(works, { concurrency: "unbounded" })
        }
        const all = yield* noted()
        for (const key of keys) {
          const ofKey = all.filter((name) => name.startsWith(key))
          expect(ofKey).toEqual(Array.from({ length: 12 }, (_, n) => `${key}${n}`))
        }
      }),
    ),
  },
  {
    name: "strands nothing that is queued while a worker drains the last of its key",
    sideBySide: true,
    check: on(
      Effect.fnUntraced(function* (scene) {
        const { addDeadLetters, advance, take, work, leaves } = scene
        yield* addDeadLetters("a1", "a2")
        yield* advance("2 seconds")
        yield* during(scene, "a2", () => take("a3", "b1"))
        yield* work()
        yield* take("a4")
        yield* leaves({ noted: ["a1", "a2", "b1", "a3", "a4"], deadLetters: ["a1 resolved"] })
      }),
    ),
  },
  {
    name: "lets an operator wait for the attempt under way, and changes nothing when that took effect",
    sideBySide: true,
    check: on(
      Effect.fnUntraced(function* (scene) {
        const { operator, work, leaves } = scene
        for (const act of [operator.discard, operator.redrive]) {
          const key = act === operator.discard ? "d" : "r"
          const changed = yield* pressedDuring(scene, key, act)
          expect(changed).toBe(false)
          yield* work()
        }
        yield* leaves({ noted: ["d1", "d2", "r1", "r2"], deadLetters: ["d1 resolved", "r1 resolved"] })
      }),
    ),
  },
  {
    name: "does as the operator says once the attempt under way has failed",
    sideBySide: true,
    check: on(
      Effect.fnUntraced(function* (scene) {
        const { operator, deadLetter, work, leaves } = scene
        for (const act of [operator.discard, operator.redrive]) {
          const key = act === operator.discard ? "d" : "r"
          const changed = yield* pressedDuring(scene, key, act, bad)
          expect(changed).toBe(true)
          expect(yield* deadLetter(`${key}1`)).toMatchObject(
            key === "d" ? { status: "discarded", attempts: 2 } : { status: "retrying", attempts: 0 },
          )
          yield* work()
        }
        yield* leaves({ noted: ["d2", "r1", "r2"], deadLetters: ["d1 discarded", "r1 redriven"] })
      }),
    ),
  },
  {
    name: "stands many bulk redrives, discards and workers at the same instant",
    sideBySide: true,
    check: on(
      Effect.fnUntraced(function* ({ records, handle, plan, operator, turn, sql, noted, advance, work, statuses }) {
        const names = Array.from({ length: 60 }, (_, n) => `k${n}x1`)
        // The last one takes effect at once: a reaction that fails for every key adds no dead letter.
        for (const name of names.slice(0, -1)) plan.set(name, bad)
        yield* handle(names.map((name) => ({ ...records(name)[0]!, key: name })))
        plan.clear()
        const ids = yield* sql<{ id: string }>`select id from held order by random()`
        const bulk = [operator.redriveAll({}), operator.redriveAll({ reaction: "note" })]
        const discards = ids.slice(0, 30).map(({ id }) => operator.discard(id))
        const works = [turn, turn, turn].map((one) => Effect.repeat(one, { times: 10 }))
        yield* Effect.all([...bulk, ...works, ...discards, ...bulk], { concurrency: "unbounded" })
        yield* advance("1 hour")
        yield* work()
        const ends = yield* statuses()
        expect(ends.filter((line) => !/ (?:discarded|redriven|resolved)$/u.test(line))).toEqual([])
        const discarded = ends.flatMap((line) => (line.endsWith("discarded") ? [line.split(" ")[0]!] : []))
        expect([...(yield* noted()), ...discarded].sort()).toEqual([...names].sort())
      }),
    ),
  },
]

/** A scene whose reaction is held by the member `n` of the data; all records are of one key. */
const onOrders = (
  play: (
    scene: Worked & {
      /** A record about that order; `more` is added to its data. */
      readonly about: (name: string, order: unknown, more?: object) => Received
      readonly version: (record: Received, version: number) => Received
      readonly keys: Effect.Effect<ReadonlyArray<string>, unknown>
    },
  ) => Effect.Effect<void, unknown, EventBus | Database | SqlClient.SqlClient>,
) =>
  on(
    Effect.fnUntraced(function* (base) {
      const { reaction, consumer, foreign, type, deadLetters } = base
      const handle = yield* consumer([{ ...reaction("note"), heldBy: "n" }])
      const about = (name: string, order: unknown, more: object = {}) => {
        const headers = { ce_specversion: "1.0", ce_id: name, ce_source: "/suite", ce_type: type.type }
        return foreign(JSON.stringify({ n: order, ...more }), { key: "user", headers })
      }
      const version = (record: Received, version: number) => ({
        ...record,
        headers: { ...record.headers, ce_dataschema: `/schemas/${type.type}/${version}` },
      })
      const keys = Effect.map(deadLetters(), (all) => all.map(({ event_id, key }) => `${event_id} by ${key}`))
      yield* play({ ...base, handle, about, version, keys })
    }),
  )

const heldByMember: ReadonlyArray<Check<Subject>> = [
  {
    name: "holds back only later events with the same value, when the reaction is held by a member of the data",
    check: onOrders(
      Effect.fnUntraced(function* ({ handle, about, plan, advance, work, keys, leaves }) {
        plan.set("a1", bad)
        yield* handle([about("a1", 1), about("b1", 2), about("a2", 1), about("b2", 2)])
        yield* leaves({ noted: ["b1", "b2"], deadLetters: ["a1 retrying", "a2 waiting"] })
        expect(yield* keys).toEqual(["a1 by n:1", "a2 by n:1"])
        yield* handle([about("a3", 1), about("b3", 2)])
        yield* leaves({ noted: ["b1", "b2", "b3"], deadLetters: ["a1 retrying", "a2 waiting", "a3 waiting"] })
        plan.clear()
        yield* advance("2 seconds")
        yield* work()
        yield* leaves({ noted: ["b1", "b2", "b3", "a1", "a2", "a3"], deadLetters: ["a1 resolved"] })
      }),
    ),
  },
  {
    name: "reads that member from the data as received, so that an event which fails its schema holds back the same ones",
    check: onOrders(
      Effect.fnUntraced(function* ({ handle, about, keys, leaves }) {
        yield* handle([
          about("a1", 1, { text: 5 }),
          about("b1", 2),
          about("a2", 1),
          about("c1", "three"),
          about("c2", "three"),
        ])
        yield* leaves({ noted: ["b1"], deadLetters: ["a1 retrying", "a2 waiting", "c1 retrying", "c2 waiting"] })
        expect(yield* keys).toEqual(["a1 by n:1", "a2 by n:1", "c1 by n:three", "c2 by n:three"])
      }),
    ),
  },
  {
    name: "reads that member from an event of a newer version too",
    check: onOrders(
      Effect.fnUntraced(function* ({ handle, about, version, keys, leaves, reaction, type, worker, work, advance }) {
        yield* handle([version(about("a1", 1), 2), about("b1", 2), about("a2", 1)])
        yield* leaves({ noted: ["b1"], deadLetters: ["a1 retrying", "a2 waiting"] })
        expect(yield* keys).toEqual(["a1 by n:1", "a2 by n:1"])
        const nextRelease = { ...reaction("note"), heldBy: "n", event: { ...type, version: 2 } }
        yield* advance(minute)
        yield* work(yield* worker([nextRelease]))
        yield* leaves({ noted: ["b1", "a1", "a2"], deadLetters: ["a1 resolved"] })
      }),
    ),
  },
  {
    name: "holds back nothing for an event without a key",
    check: onOrders(
      Effect.fnUntraced(function* ({ handle, about, plan, leaves }) {
        plan.set("a1", bad).set("a2", bad)
        yield* handle([about("a1", 1), about("a2", 1), about("a3", 1)].map((record) => ({ ...record, key: null })))
        yield* leaves({ noted: ["a3"], deadLetters: ["a1 retrying", "a2 retrying"] })
      }),
    ),
  },
  {
    name: "holds back nothing for an event without that member, whatever its key",
    check: onOrders(
      Effect.fnUntraced(function* ({ handle, about, plan, advance, work, deadLetter, leaves }) {
        plan.set("b1", bad)
        yield* handle([about("a1", null), about("b1", 1), about("a2", [1]), about("c1", 2), about("a3", undefined)])
        yield* leaves({ noted: ["c1"], deadLetters: ["a1 retrying", "b1 retrying", "a2 retrying", "a3 retrying"] })
        for (const name of ["a1", "a2", "a3"])
          expect(yield* deadLetter(name)).toMatchObject({ key: null, reason: "schema" })
        plan.clear()
        yield* advance("2 seconds")
        yield* work()
        yield* leaves({
          noted: ["c1", "b1"],
          deadLetters: ["a1 retrying", "b1 resolved", "a2 retrying", "a3 retrying"],
        })
      }),
    ),
  },
  {
    name: "ignores a redelivered copy of an event that is held by a member, in every status of that event",
    check: onOrders(
      Effect.fnUntraced(function* ({ handle, about, plan, work, operator, idOf, leaves }) {
        const again = Effect.suspend(() => handle([about("a1", 1), about("b1", 2), about("a2", 1)]))
        plan.set("a1", Effect.fail(new Reject({ reason: "no" })))
        yield* again
        yield* again
        yield* leaves({ noted: ["b1"], deadLetters: ["a1 parked", "a2 waiting"] })
        plan.clear()
        yield* operator.discard(yield* idOf("a1"))
        yield* again
        yield* work()
        yield* again
        yield* leaves({ noted: ["b1", "a2"], deadLetters: ["a1 discarded"] })
      }),
    ),
  },
  {
    name: "applies an event in a reaction held by a member while it waits in one held by the key",
    check: on(
      Effect.fnUntraced(function* ({ reaction, consumer, foreign, plan, noted, statuses }) {
        const handle = yield* consumer([{ ...reaction("one"), heldBy: "n" }, reaction("two")])
        plan.set("a1", bad)
        const value = (n: number) => JSON.stringify({ n })
        const [a1, b1] = [foreign(value(1), { key: "user" }), foreign(value(2), { key: "user" })]
        const said = { ce_specversion: "1.0", ce_source: "/suite", ce_type: a1.topic }
        yield* handle([
          { ...a1, headers: { ...said, ce_id: "a1" } },
          { ...b1, headers: { ...said, ce_id: "b1" } },
        ])
        expect({ one: yield* noted("one"), two: yield* noted("two") }).toEqual({ one: ["b1"], two: [] })
        expect(yield* statuses("one")).toEqual(["a1 retrying"])
        expect(yield* statuses("two")).toEqual(["a1 retrying", "b1 waiting"])
      }),
    ),
  },
]

const expectedAfter = ["a1", "b1", "b2", "a2"]

/**
 * What DELIVERY.md (*Taking charge*) promises of dead letters: they are retried by schedule, in the order of their key,
 * and each takes effect once; and operators may look, redrive and discard at any moment.
 */
export const deadLettersSuite: ReadonlyArray<Check<Subject>> = [
  ...schedule,
  ...order,
  ...heldByMember,
  ...faults,
  ...operations,
  ...sideBySide,
]
