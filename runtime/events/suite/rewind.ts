import { expect } from "@effect/vitest"
import { Clock, Effect, Exit } from "effect"
import {
  byKey,
  firstsOf,
  grouped,
  lagOf,
  newGroup,
  newTopic,
  numbered,
  offsetOf,
  placeOf,
  send,
  textsOf,
  until,
} from "../../testing/bus.ts"
import { EventBus } from "../EventBus.ts"
import type { Check } from "./Log.ts"

type Group = ReturnType<typeof newGroup>

const rewind = <E>(group: Group, topic: string, meanwhile: Effect.Effect<void, E>, from?: number) =>
  Effect.flatMap(EventBus, (bus) => bus.rewind({ group: group.name, topic, from, meanwhile }))

/** What came after there had been that many calls. */
const since = (group: Group, calls: number) => group.calls.slice(calls).flat()

const again = (group: Group, calls: number, count: number) =>
  until(
    "the topic comes again",
    Effect.sync(() => firstsOf(since(group, calls)).length >= count),
  )

const handled = (topic: string, members: number) =>
  Effect.gen(function* () {
    const group = newGroup(topic)
    const joined = []
    for (let n = 0; n < members; n++) joined.push(yield* group.join())
    yield* group.settled
    return { group, joined }
  })

/** A group reads a topic again. */
export const ofRewind: ReadonlyArray<Check> = [
  ...[1, 2].map((members) => ({
    name: `brings a topic again, all of it, to a group of ${members} that is rewound, and to no other`,
    check: Effect.gen(function* () {
      const topic = yield* newTopic(4)
      yield* send(numbered(topic, 0, 40))
      const { group } = yield* handled(topic, members)
      const { group: other } = yield* handled(topic, 1)
      const calls = group.calls.length
      const others = other.calls.length
      yield* rewind(group, topic, Effect.void)
      yield* again(group, calls, 40)
      yield* send(numbered(topic, 40, 60))
      yield* group.settled
      yield* other.settled
      const firsts = grouped(since(group, calls), placeOf, offsetOf).values()
      expect(
        [...firsts].map(([first]) => first),
        "the offsets that come next",
      ).toEqual([0, 0, 0, 0])
      expect(byKey(firstsOf(since(group, calls))), "each key whole and in order").toEqual(byKey(numbered(topic, 0, 60)))
      expect(textsOf(since(other, others)), "what the other got").toEqual(textsOf(numbered(topic, 40, 60)))
    }),
  })),
  {
    name: "brings a topic again from the first record that it took at a given time or later",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(3)
      yield* send(numbered(topic, 0, 20))
      const { group } = yield* handled(topic, 1)
      // A bus has a clock of its own, by which `from` is understood.
      const last = Math.max(...group.received().map(({ time }) => time))
      yield* until(
        "time has passed",
        Effect.map(Clock.currentTimeMillis, (now) => now > last + 5),
      )
      yield* send(numbered(topic, 20, 40))
      yield* group.settled
      const calls = group.calls.length
      yield* rewind(group, topic, Effect.void, last + 1)
      yield* again(group, calls, 20)
      yield* group.settled
      expect(byKey(firstsOf(since(group, calls))), "what was taken since").toEqual(byKey(numbered(topic, 20, 40)))
      const end = group.calls.length
      yield* rewind(group, topic, Effect.void, last + 3_600_000)
      yield* send(numbered(topic, 40, 50))
      yield* group.settled
      expect(byKey(firstsOf(since(group, end))), "only what is new").toEqual(byKey(numbered(topic, 40, 50)))
    }),
  },
  {
    name: "handles nothing of a topic for a group while that is rewound",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(4)
      const group = newGroup(topic)
      const bus = yield* EventBus
      let running = 0
      const slow = Effect.acquireUseRelease(
        Effect.sync(() => running++),
        () => Effect.sleep("5 millis"),
        () => Effect.sync(() => running--),
      )
      yield* group.join(() => slow)
      yield* bus.send(numbered(topic, 0, 40))
      yield* group.settled
      const seen: Array<number> = []
      let calls = 0
      const meanwhile = Effect.gen(function* () {
        calls = group.calls.length
        seen.push(running)
        yield* Effect.orDie(bus.send(numbered(topic, 40, 80)))
        yield* Effect.sleep("700 millis")
        seen.push(running, group.calls.length - calls)
      })
      // Records are under way when it begins.
      yield* bus.send(numbered(topic, 80, 200))
      yield* rewind(group, topic, meanwhile)
      expect(seen, "the handles that ran").toEqual([0, 0, 0])
      yield* again(group, calls, 200)
      yield* group.settled
      const firsts = grouped(since(group, calls), placeOf, offsetOf).values()
      expect(
        [...firsts].map(([first]) => first),
        "the offsets that come next",
      ).toEqual([0, 0, 0, 0])
    }),
  },
  {
    name: "changes nothing when what is to happen meanwhile fails",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(3)
      yield* send(numbered(topic, 0, 20))
      const { group } = yield* handled(topic, 1)
      const calls = group.calls.length
      const exit = yield* Effect.exit(rewind(group, topic, Effect.fail("not now")))
      expect(exit, "the answer").toEqual(Exit.fail("not now"))
      yield* send(numbered(topic, 20, 40))
      yield* group.settled
      expect(textsOf(since(group, calls)), "only what is new").toEqual(textsOf(numbered(topic, 20, 40)))
    }),
  },
  {
    name: "rewinds a group that has no member, and leaves its other topics where they are",
    check: Effect.gen(function* () {
      const [topic, other] = [yield* newTopic(3), yield* newTopic(3)]
      const group = newGroup(topic, other)
      const first = yield* group.join()
      yield* send([...numbered(topic, 0, 20), ...numbered(other, 0, 20)])
      yield* group.settled
      yield* first.leave
      const calls = group.calls.length
      yield* rewind(group, topic, Effect.void)
      const lags = yield* lagOf(group.name)
      const sumOf = (name: string) =>
        lags.filter((lag) => lag.topic === name).reduce((sum, one) => sum + one.records, 0)
      expect([sumOf(topic), sumOf(other)], "the lag of both topics").toEqual([20, 0])
      yield* group.join()
      yield* group.settled
      expect(textsOf(since(group, calls)), "the one topic").toEqual(textsOf(numbered(topic, 0, 20)))
    }),
  },
]
