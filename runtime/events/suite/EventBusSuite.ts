import { expect, layer } from "@effect/vitest"
import { Cause, Clock, Deferred, type Duration, Effect, Exit, Fiber, type Layer, References } from "effect"
import { randomUUID } from "node:crypto"
import {
  byKey,
  firstsOf,
  grouped,
  lagOf,
  newGroup,
  newTopic,
  numbered,
  offsetOf,
  Patience,
  record,
  send,
  textOf,
  textsOf,
  until,
} from "../../test/harness/bus.ts"
import {
  defaultPartitions,
  EventBus,
  EventBusError,
  type Outgoing,
  PartitionsDiffer,
  partitionName,
} from "../EventBus.ts"
import { partitionOf } from "../partition.ts"
import { type Check, Log } from "./Log.ts"
import { ofMembers } from "./members.ts"
import { ofRetention } from "./retention.ts"
import { ofPositions } from "./positions.ts"
import { ofReading } from "./reading.ts"

/**
 * Registers the checks as tests of `EventBus (<name>)`. Checks are data, so that they can also be run against drivers
 * that are broken. Each makes topics and groups of its own on a bus of its own, so they share one log, and run side by
 * side, for most of them wait.
 */
export const eventBusSuite = <E>(driver: { readonly name: string; readonly log: Layer.Layer<Log, E> }) =>
  layer(driver.log, { excludeTestServices: true, concurrent: true })(`EventBus (${driver.name})`, (it) => {
    for (const check of checks) it.effect(check.name, () => run(check))
  })

/** Runs a check, without the log of the loops that it makes falter. */
export const run = ({ check }: Check, { breaking = (bus) => bus, patience }: Fault = {}) =>
  Effect.gen(function* () {
    const log = yield* Log
    const broken = Log.of({
      ...log,
      open: Effect.map(log.open, breaking),
      process: Effect.map(log.process, (process) => ({ ...process, bus: breaking(process.bus) })),
    })
    yield* check.pipe(
      Effect.provideService(EventBus, yield* broken.open),
      Effect.provideService(Log, broken),
      Effect.provideService(Patience, patience ?? log.differences.patience),
    )
  }).pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "None"))

/** What is to be wrong with a driver, and how long to wait for the facts that it does not bring about. */
export interface Fault {
  readonly breaking?: ((bus: EventBus["Service"]) => EventBus["Service"]) | undefined
  readonly patience?: Duration.Input | undefined
}

/** How a handle may end badly, each of which brings its records again. */
const endings: ReadonlyArray<readonly [how: string, ending: Effect.Effect<void, unknown>]> = [
  ["fails", Effect.fail("refused")],
  ["dies", Effect.die(new Error("broken"))],
  ["is interrupted", Effect.interrupt],
]

export const checks: ReadonlyArray<Check> = [
  {
    name: "brings every record, with offsets that count up from 0 without gap",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(3)
      const group = newGroup(topic)
      yield* send(numbered(topic, 0, 20))
      yield* group.join()
      yield* send(numbered(topic, 20, 21))
      yield* send(numbered(topic, 21, 60))
      yield* group.settled
      expect(textsOf(group.received()), "all that was sent").toEqual(textsOf(numbered(topic, 0, 60)))
      for (const offsets of grouped(group.received(), partitionName, offsetOf).values()) {
        expect(offsets, "the offsets of a partition").toEqual([...offsets.keys()])
      }
    }),
  },
  {
    name: "keeps the order of each key",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(3)
      const group = newGroup(topic)
      yield* group.join()
      for (let n = 0; n < 100; n += 20) yield* send(numbered(topic, n, n + 20))
      yield* group.settled
      expect(byKey(group.received()), "the order of each key").toEqual(byKey(numbered(topic, 0, 100)))
    }),
  },
  {
    name: "shares the partitions between two members of a group, and keeps the order of each key",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(6)
      const group = newGroup(topic)
      const members = [yield* group.join(), yield* group.join()]
      let sent = 0
      const more = Effect.suspend(() => send(numbered(topic, sent, (sent += 20))))
      const busy = Effect.sync(() => members.every(({ mine }) => mine.length > 1))
      yield* until("both members get something", Effect.andThen(more, busy))
      yield* group.settled
      expect(byKey(firstsOf(group.received())), "the order of each key").toEqual(byKey(numbered(topic, 0, sent)))
    }),
  },
  {
    name: "keeps the order of 1,000 records of one send",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(3)
      const group = newGroup(topic)
      yield* group.join()
      yield* send(numbered(topic, 0, 1_000))
      yield* group.settled
      expect(byKey(group.received()), "the order of each key").toEqual(byKey(numbered(topic, 0, 1_000)))
    }),
  },
  {
    name: "puts a key into the same partition each time, the one that Java's client would choose",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(6)
      const group = newGroup(topic)
      const keys = ["", " ", "ž", "😀", "user-1", ...Array.from({ length: 40 }, (_, n) => String(n))]
      yield* group.join()
      yield* send(keys.map((key) => record(topic, key, "first")))
      yield* send(keys.map((key) => record(topic, key, "second")))
      yield* group.settled
      const found = grouped(
        group.received(),
        ({ key }) => key,
        ({ partition }) => partition,
      )
      const expected = new Map(keys.map((key) => [key, [partitionOf(key, 6), partitionOf(key, 6)]]))
      expect(found, "the partitions of each key").toEqual(expected)
    }),
  },
  {
    name: "brings value, key and headers as they were sent, and the time at which it took them",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(1)
      const group = newGroup(topic)
      const values = [
        Uint8Array.from({ length: 256 }, (_, byte) => byte),
        Uint8Array.from([0xff, 0xfe, 0x00]),
        new Uint8Array(0),
        null,
        Buffer.alloc(900_000, "0123456789abcdef"),
        // A view into a larger buffer, as a client's own buffers are.
        new Uint8Array(Uint8Array.from([9, 1, 2, 3, 9]).buffer, 1, 3),
      ]
      const keys = [null, "", " ", "7", 'a key with "quotes", a \\ and a\nline', "žluťoučký 😀", "k".repeat(1_000)]
      const headers = [
        {},
        { empty: "" },
        { quotes: `"'\\`, lines: "a\r\n\tb", space: " ", null: "null", zero: "0" },
        { unicode: "žluťoučký 😀 \u2028", "x-dots.and-dashes_1": "1", long: "h".repeat(10_000) },
      ]
      const sent = [
        ...values.map((value) => ({ topic, key: "value", value, headers: {} })),
        ...keys.map((key) => ({ topic, key, value: Buffer.from("key"), headers: {} })),
        ...headers.map((headers) => ({ topic, key: "headers", value: Buffer.from("headers"), headers })),
      ]
      const plain = ({ key, value, headers }: Outgoing) => ({
        key,
        value: value === null ? null : Buffer.from(value).toString("hex"),
        headers,
      })
      yield* group.join()
      const before = yield* Clock.currentTimeMillis
      yield* send(sent)
      const after = yield* Clock.currentTimeMillis
      yield* group.settled
      expect(group.received().map(plain), "what was sent").toEqual(sent.map(plain))
      for (const { time } of group.received()) {
        // A bus has a clock of its own.
        expect(time, "its time").toBeGreaterThan(before - 10_000)
        expect(time, "its time").toBeLessThan(after + 10_000)
      }
    }),
  },
  {
    name: "brings everything to each of two groups",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(3)
      const groups = [newGroup(topic), newGroup(topic)]
      for (const group of groups) yield* group.join()
      yield* send(numbered(topic, 0, 50))
      for (const group of groups) {
        yield* group.settled
        expect(textsOf(group.received()), "all that was sent").toEqual(textsOf(numbered(topic, 0, 50)))
      }
    }),
  },
  {
    name: "brings a record once while nothing fails",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(3)
      const group = newGroup(topic)
      yield* group.join()
      for (const n of [0, 30, 60]) {
        yield* send(numbered(topic, n, n + 30))
        yield* group.settled
      }
      expect(textsOf(group.received()), "each record once").toEqual(textsOf(numbered(topic, 0, 90)))
    }),
  },
  {
    name: "keeps each record once, also of the first send to topics that were just made",
    check: Effect.gen(function* () {
      const topics = yield* Effect.all(
        Array.from({ length: 8 }, () => newTopic(6)),
        { concurrency: 4 },
      )
      const all = topics.flatMap((topic) => numbered(topic, 0, 60, 60))
      yield* send(all)
      const group = newGroup(...topics)
      yield* group.join()
      yield* group.settled
      expect(group.received().length, "the records").toBe(all.length)
    }),
  },
  ...endings.map(([how, ending]) => ({
    name: `brings the same records again, and skips none, after a handle that ${how}`,
    check: Effect.gen(function* () {
      const topic = yield* newTopic(1)
      const group = newGroup(topic)
      let left = 0
      const seen: Array<number> = []
      const bus = yield* EventBus
      yield* group.join(() =>
        Effect.gen(function* () {
          if (left === 0) return
          seen.push(...(yield* bus.lag(group.name)).map(({ records }) => records))
          left--
          yield* ending
        }),
      )
      for (const n of [0, 5]) {
        left = 2
        group.calls.length = 0
        yield* send(numbered(topic, n, n + 5))
        yield* group.settled
        const starts = group.calls.slice(0, 3).map(([first]) => first!.offset)
        expect(starts, "the offset at which each call begins").toEqual([n, n, n])
        expect(textsOf(firstsOf(group.received())), "all that was sent").toEqual(textsOf(numbered(topic, n, n + 5)))
      }
      expect(seen, "the lag while nothing succeeds").toEqual([5, 5, 5, 5])
    }),
  })),
  {
    name: "brings again what was handled when its member went away before the commit",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(1)
      const group = newGroup(topic)
      yield* send(numbered(topic, 0, 5))
      const effects: Array<string | null> = []
      const crashing = yield* group.join((records) =>
        Effect.suspend(() => {
          effects.push(...records.map(textOf))
          return Effect.fail("lost before the commit")
        }),
      )
      yield* until(
        "all is handled",
        Effect.sync(() => effects.length >= 5),
      )
      yield* crashing.leave
      const next = yield* group.join()
      yield* group.settled
      expect(next.mine.flat().map(textOf), "all once more").toEqual(["0", "1", "2", "3", "4"])
    }),
  },
  {
    name: "goes on where it was when a group comes back",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(3)
      const group = newGroup(topic)
      const first = yield* group.join()
      yield* send(numbered(topic, 0, 20))
      yield* group.settled
      yield* first.leave
      yield* send(numbered(topic, 20, 40))
      const second = yield* group.join()
      yield* group.settled
      expect(textsOf(second.mine.flat()), "only what is new").toEqual(textsOf(numbered(topic, 20, 40)))
    }),
  },
  {
    name: "starts a new group at the oldest record",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(3)
      yield* send(numbered(topic, 0, 20))
      const early = newGroup(topic)
      yield* early.join()
      yield* early.settled
      const late = newGroup(topic)
      yield* late.join()
      yield* late.settled
      expect(textsOf(late.received()), "all that was sent").toEqual(textsOf(numbered(topic, 0, 20)))
    }),
  },
  {
    name: "hands partitions over while members come and go, loses nothing, and keeps the order of each key",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(4)
      const group = newGroup(topic)
      let sent = 0
      let enough = false
      const flow = Effect.gen(function* () {
        while (!enough) {
          yield* send(numbered(topic, sent, sent + 20))
          sent += 20
          yield* Effect.sleep("10 millis")
        }
      })
      const slow = group.join(() => Effect.sleep("5 millis"))
      const works = (member: { readonly mine: ReadonlyArray<unknown> }) => {
        const before = member.mine.length
        return until(
          "a member gets something",
          Effect.sync(() => member.mine.length > before + 2),
        )
      }
      const sender = yield* Effect.forkChild(flow)
      const first = yield* slow
      yield* works(first)
      const second = yield* slow
      yield* works(second)
      yield* works(first)
      yield* first.leave
      yield* works(second)
      const third = yield* slow
      yield* works(third)
      yield* works(second)
      enough = true
      yield* Fiber.join(sender)
      yield* group.settled
      expect(byKey(firstsOf(group.received())), "each key whole and in order").toEqual(byKey(numbered(topic, 0, sent)))
    }),
  },
  {
    name: "leaves a partition to the member that is busy with it when another one joins",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(4)
      const group = newGroup(topic)
      const free = yield* Deferred.make<void>()
      yield* send(numbered(topic, 0, 40))
      yield* group.join(() => Deferred.await(free))
      yield* Effect.addFinalizer(() => Deferred.succeed(free, undefined))
      yield* until(
        "the first member is busy",
        Effect.sync(() => group.calls.length > 0),
      )
      // A log may delay a member that joins until the others are ready.
      const joined = yield* Effect.forkChild(group.join())
      yield* send(numbered(topic, 40, 80))
      // As long as a machine that is busy may take to bring the other one what it must not.
      yield* Effect.sleep("1 second")
      yield* Deferred.succeed(free, undefined)
      yield* Fiber.join(joined)
      yield* group.settled
      expect(byKey(firstsOf(group.received())), "each key whole and in order").toEqual(byKey(numbered(topic, 0, 80)))
    }),
  },
  {
    name: "brings each of a group's topics, also where its members read different ones",
    check: Effect.gen(function* () {
      const [old, added] = [yield* newTopic(3), yield* newTopic(3)]
      const group = newGroup(old, added)
      yield* group.join(undefined, [old])
      yield* group.join()
      yield* send([...numbered(old, 0, 30), ...numbered(added, 0, 30)])
      yield* group.settled
      const texts = grouped(
        firstsOf(group.received()),
        ({ topic }) => topic,
        (record) => record,
      )
      expect(textsOf(texts.get(old) ?? []), "all of the topic that both read").toEqual(textsOf(numbered(old, 0, 30)))
      expect(textsOf(texts.get(added) ?? []), "all of the topic that one reads").toEqual(textsOf(numbered(old, 0, 30)))
    }),
  },
  {
    name: "waits for the running handle when its scope closes, and commits what that finished",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(1)
      const group = newGroup(topic)
      let finished = false
      const member = yield* group.join(() =>
        Effect.delay(
          Effect.sync(() => (finished = true)),
          "200 millis",
        ),
      )
      yield* send([record(topic, "a", "0")])
      yield* until(
        "the handle runs",
        Effect.sync(() => group.calls.length > 0),
      )
      yield* member.leave
      expect(finished, "the handle has finished").toBe(true)
      expect(yield* lagOf(group.name), "the position").toEqual([{ topic, partition: 0, records: 0 }])
    }),
  },
  {
    name: "ensures a topic again without changing it",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(3)
      const bus = yield* EventBus
      const group = newGroup(topic)
      yield* send(numbered(topic, 0, 20))
      yield* bus.ensure([{ name: topic, partitions: 3, retention: undefined }])
      yield* bus.ensure([{ name: topic, partitions: undefined, retention: undefined }])
      yield* send(numbered(topic, 20, 40))
      yield* group.join()
      yield* group.settled
      expect(byKey(group.received()), "all that was sent").toEqual(byKey(numbered(topic, 0, 40)))
      expect(yield* lagOf(group.name), "its partitions").toHaveLength(3)
    }),
  },
  {
    name: "refuses a topic with another number of partitions, and changes nothing",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(3)
      const bus = yield* EventBus
      const group = newGroup(topic)
      yield* send(numbered(topic, 0, 20))
      const refused = yield* Effect.exit(bus.ensure([{ name: topic, partitions: 5, retention: undefined }]))
      expect(refused, "the answer").toEqual(Exit.fail(new PartitionsDiffer({ topic, wanted: 5, found: 3 })))
      yield* send(numbered(topic, 20, 40))
      yield* group.join()
      yield* group.settled
      expect(byKey(group.received()), "all that was sent").toEqual(byKey(numbered(topic, 0, 40)))
      expect(yield* lagOf(group.name), "its partitions").toHaveLength(3)
    }),
  },
  {
    name: "gives a new topic the default number of partitions when none is asked for",
    check: Effect.gen(function* () {
      const bus = yield* EventBus
      const ends = yield* bus.ends([yield* newTopic(undefined)])
      expect(ends, "its partitions").toHaveLength(defaultPartitions)
    }),
  },
  {
    name: "fails to send to a topic that does not exist",
    check: Effect.gen(function* () {
      const answer = yield* Effect.exit(send([record(`suite-${randomUUID()}`, "a", "0")]))
      const error = Exit.isFailure(answer) ? Cause.squash(answer.cause) : undefined
      expect(error, "the answer").toBeInstanceOf(EventBusError)
    }),
  },
  {
    name: "takes an empty send",
    check: Effect.gen(function* () {
      expect(yield* Effect.exit(send([])), "the answer").toEqual(Exit.void)
    }),
  },
  {
    name: "takes the same records again after a send that was interrupted",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(1)
      const group = newGroup(topic)
      const all = numbered(topic, 0, 50, 1)
      for (let n = 0; n < 5; n++) {
        const sending = yield* Effect.forkChild(send(all))
        for (let turn = 0; turn < n; turn++) yield* Effect.yieldNow
        yield* Fiber.interrupt(sending)
      }
      yield* send(all)
      yield* group.join()
      yield* group.settled
      expect(group.received().slice(-50).map(textOf), "all, in order").toEqual(all.map(textOf))
    }),
  },
  {
    name: "counts as lag what is not finished, and nothing in the end",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(3)
      const group = newGroup(topic)
      const free = yield* Deferred.make<void>()
      const sent = numbered(topic, 0, 30)
      yield* group.join(() => Deferred.await(free))
      yield* Effect.addFinalizer(() => Deferred.succeed(free, undefined))
      yield* send(sent)
      yield* until(
        "the handle runs",
        Effect.sync(() => group.calls.length > 0),
      )
      const lagWith = (count: (partition: number) => number) =>
        [0, 1, 2].map((partition) => ({ topic, partition, records: count(partition) }))
      const inPartition = (partition: number) => sent.filter(({ key }) => partitionOf(key!, 3) === partition).length
      const byPartition = Effect.map(lagOf(group.name), (lags) => lags.toSorted((a, b) => a.partition - b.partition))
      expect(yield* byPartition, "the lag while nothing is finished").toEqual(lagWith(inPartition))
      yield* Deferred.succeed(free, undefined)
      yield* group.settled
      expect(yield* byPartition, "the lag in the end").toEqual(lagWith(() => 0))
    }),
  },
  {
    name: "returns the ends of topics: behind every record whose send had succeeded",
    check: Effect.gen(function* () {
      const [topic, other] = [yield* newTopic(3), yield* newTopic(2)]
      const bus = yield* EventBus
      const counts = [0, 0, 0]
      const endsOf = (...topics: ReadonlyArray<string>) =>
        Effect.map(bus.ends(topics), (ends) =>
          ends.toSorted((a, b) => (a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1)),
        )
      const expected = () => counts.map((next, partition) => ({ topic, partition, first: 0, next }))
      expect(yield* endsOf(topic), "the ends of what is new").toEqual(expected())
      for (let n = 0; n < 10; n++) {
        const sent = numbered(topic, 5 * n, 5 * n + 5)
        yield* send(sent)
        for (const { key } of sent) counts[partitionOf(key!, 3)]!++
        expect(yield* endsOf(topic), "the ends").toEqual(expected())
      }
      const senders = Array.from({ length: 4 }, (_, sender) =>
        Effect.gen(function* () {
          for (let n = 0; n < 5; n++) {
            const one = record(topic, `sender ${sender}`, String(n))
            yield* send([one])
            const acknowledged = ++counts[partitionOf(one.key!, 3)]!
            const end = (yield* endsOf(topic))[partitionOf(one.key!, 3)]!
            expect(end.next, "the end behind what is acknowledged").toBeGreaterThanOrEqual(acknowledged)
          }
        }),
      )
      yield* Effect.all(senders, { concurrency: "unbounded" })
      expect(yield* endsOf(topic), "the ends").toEqual(expected())
      const both = yield* endsOf(topic, other, `suite-${randomUUID()}`)
      const none = [0, 1].map((partition) => ({ topic: other, partition, first: 0, next: 0 }))
      expect(both, "the ends of topics that exist").toHaveLength(5)
      expect(both, "the ends of topics that exist").toEqual(expect.arrayContaining([...expected(), ...none]))
      expect(yield* endsOf(), "the ends of no topics").toEqual([])
    }),
  },
  {
    name: "answers a probe",
    check: Effect.gen(function* () {
      const bus = yield* EventBus
      expect(yield* Effect.exit(bus.probe), "the answer").toEqual(Exit.void)
    }),
  },
  ...ofMembers,
  ...ofPositions,
  ...ofReading,
  ...ofRetention,
]
