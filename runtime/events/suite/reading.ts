import { expect } from "@effect/vitest"
import { Clock, Duration, Effect, Exit } from "effect"
import { newTopic, numbered, offsetOf, send, textOf, until } from "../../test/harness/bus.ts"
import { EventBus, EventBusError, type ReadRequest } from "../EventBus.ts"
import { type Check, Log } from "./Log.ts"

const read = (topic: string, from: ReadRequest["from"], max: number, partition = 0) =>
  Effect.flatMap(EventBus, (bus) => bus.read({ topic, partition, from, max, within: "20 seconds" }))

const texts = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => String(from + n))

/** Reads without a group. */
export const ofReading: ReadonlyArray<Check> = [
  {
    name: "reads a partition in parts, from an offset on, without a group",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(1)
      const sent = numbered(topic, 0, 20)
      yield* send(sent)
      const first = yield* read(topic, { offset: 5 }, 10)
      expect([first.records.map(offsetOf), first.next, first.end], "the first part").toEqual([
        Array.from({ length: 10 }, (_, n) => 5 + n),
        15,
        20,
      ])
      const { key, value, headers } = first.records[0]!
      expect({ topic, key, value: value && Buffer.from(value), headers }, "a record").toEqual(sent[5])
      const rest = yield* read(topic, { offset: first.next }, 10)
      expect([rest.records.map(textOf), rest.next, rest.end], "the rest").toEqual([texts(15, 20), 20, 20])
      const none = yield* read(topic, { offset: rest.next }, 10)
      expect(none, "nothing more").toEqual({ records: [], next: 20, end: 20 })
      yield* send(numbered(topic, 20, 22))
      expect((yield* read(topic, { offset: rest.next }, 10)).records.map(textOf), "what is new").toEqual(texts(20, 22))
    }),
  },
  {
    name: "reads a partition from the first record that it took at a time or later",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(1)
      for (let n = 0; n < 40; n += 10) {
        yield* send(numbered(topic, n, n + 10))
        // A bus has a clock of its own, by which the time is understood.
        const last = (yield* read(topic, { offset: n + 9 }, 1)).records[0]!.time
        yield* until(
          "time has passed",
          Effect.map(Clock.currentTimeMillis, (now) => now > last + 5),
        )
      }
      const all = (yield* read(topic, { offset: 0 }, 40)).records
      const since = (time: number) => Effect.map(read(topic, { time }, 40), ({ records }) => records.map(textOf))
      for (const n of [0, 10, 20, 30]) {
        expect(yield* since(all[n]!.time), "what is appended since").toEqual(texts(n, 40))
      }
      expect(yield* since(all[9]!.time + 1), "what is appended since").toEqual(texts(10, 40))
      expect(yield* since(0), "all of it").toEqual(texts(0, 40))
      expect(yield* read(topic, { time: all[39]!.time + 1 }, 40), "nothing").toEqual({ records: [], next: 40, end: 40 })
    }),
  },
  {
    name: "reads from the oldest record where those asked for are gone, and nothing behind the end",
    check: Effect.gen(function* () {
      const { age } = yield* Log
      const topic = yield* newTopic(1, Duration.hours(1))
      yield* send(numbered(topic, 0, 20))
      yield* age(topic)
      yield* send(numbered(topic, 20, 30))
      const old = yield* read(topic, { offset: 3 }, 5)
      expect([old.records.map(textOf), old.next, old.end], "from the oldest").toEqual([texts(20, 25), 25, 30])
      expect((yield* read(topic, { time: 0 }, 50)).records.map(textOf), "from the oldest").toEqual(texts(20, 30))
      expect(yield* read(topic, { offset: 99 }, 5), "behind the end").toEqual({ records: [], next: 30, end: 30 })
    }),
  },
  {
    name: "fails to read a partition that does not exist",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(2)
      for (const from of [{ offset: 0 }, { time: 0 }]) {
        const exit = yield* Effect.exit(read(topic, from, 5, 2))
        expect(Exit.findErrorOption(exit), "the answer").toMatchObject({ value: expect.any(EventBusError) })
        const missing = yield* Effect.exit(read(`no-${topic}`, from, 5))
        expect(Exit.findErrorOption(missing), "the answer").toMatchObject({ value: expect.any(EventBusError) })
      }
    }),
  },
]
