import { expect } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { byKey, grouped, newGroup, newTopic, numbered, offsetOf, send } from "../../test/harness/bus.ts"
import { EventBus, partitionName } from "../EventBus.ts"
import { type Check, Log } from "./Log.ts"

/** Records whose time has passed. */
export const ofRetention: ReadonlyArray<Check> = [
  {
    name: "says how long the records of a topic are kept, and has one name for as long as it lives",
    check: Effect.gen(function* () {
      const { open } = yield* Log
      const bus = yield* EventBus
      const [short, long] = [yield* newTopic(1, Duration.hours(1)), yield* newTopic(1)]
      const found = yield* bus.retentions([short, long, "no-topic"])
      expect(
        new Map(
          found.map(({ topic, retention, sooner }) => [topic, [retention && Duration.toMillis(retention), sooner]]),
        ),
        "the retentions of topics that exist",
      ).toEqual(
        new Map([
          [short, [3_600_000, undefined]],
          [long, [undefined, undefined]],
        ]),
      )
      const name = yield* bus.identity
      expect(name, "the name of the log").toMatch(/^(?:embedded|kafka):[\w-]{20,}$/u)
      expect(yield* (yield* open).identity, "the name that another process finds").toBe(name)
    }),
  },
  {
    name: "starts a new group at the oldest record that is kept, where older ones are gone",
    check: Effect.gen(function* () {
      const { age } = yield* Log
      const topic = yield* newTopic(2, Duration.hours(1))
      const group = newGroup(topic)
      yield* send(numbered(topic, 0, 20))
      yield* age(topic)
      yield* send(numbered(topic, 20, 40))
      yield* group.join()
      yield* group.settled
      expect(byKey(group.received()), "what is kept").toEqual(byKey(numbered(topic, 20, 40)))
      for (const [first] of grouped(group.received(), partitionName, offsetOf).values()) {
        expect(first, "the offset of the first, for they go on counting").toBeGreaterThan(0)
      }
    }),
  },
  {
    name: "goes on with a group that was away for longer than records are kept",
    check: Effect.gen(function* () {
      const { age, differences } = yield* Log
      const topic = yield* newTopic(2, Duration.hours(1))
      const group = newGroup(topic)
      yield* send(numbered(topic, 0, 20))
      const first = yield* group.join()
      yield* group.settled
      yield* first.leave
      yield* send(numbered(topic, 20, 40))
      yield* age(topic)
      yield* send(numbered(topic, 40, 60))
      const second = yield* group.join()
      yield* group.settled
      const kept = numbered(topic, differences.keepsForGroups ? 20 : 40, 60)
      expect(byKey(second.mine.flat()), "what is kept for it").toEqual(byKey(kept))
      yield* send(numbered(topic, 60, 80))
      yield* group.settled
      expect(byKey(second.mine.flat()), "and what comes then").toEqual(byKey([...kept, ...numbered(topic, 60, 80)]))
    }),
  },
  {
    name: "goes on with a group that had handled all of a topic of which nothing is left",
    check: Effect.gen(function* () {
      const { age } = yield* Log
      const topic = yield* newTopic(2, Duration.hours(1))
      const group = newGroup(topic)
      yield* send(numbered(topic, 0, 20))
      const first = yield* group.join()
      yield* group.settled
      yield* first.leave
      yield* age(topic)
      const late = newGroup(topic)
      const lone = yield* late.join()
      yield* late.settled
      expect(lone.mine, "what a new group gets").toEqual([])
      const second = yield* group.join()
      yield* send(numbered(topic, 20, 40))
      yield* group.settled
      yield* late.settled
      expect(byKey(second.mine.flat()), "what is new").toEqual(byKey(numbered(topic, 20, 40)))
      expect(byKey(lone.mine.flat()), "what is new").toEqual(byKey(numbered(topic, 20, 40)))
    }),
  },
  {
    name: "returns the oldest offset of each partition, or that it has no record",
    check: Effect.gen(function* () {
      const { age } = yield* Log
      const bus = yield* EventBus
      const topic = yield* newTopic(1, Duration.hours(1))
      const between = (first: number, next: number) => [{ topic, partition: 0, first, next }]
      yield* send(numbered(topic, 0, 20))
      expect(yield* bus.ends([topic]), "what is kept").toEqual(between(0, 20))
      yield* age(topic)
      expect(yield* bus.ends([topic]), "what is kept").toEqual(between(20, 20))
      yield* send(numbered(topic, 20, 25))
      expect(yield* bus.ends([topic]), "what is kept").toEqual(between(20, 25))
    }),
  },
]
