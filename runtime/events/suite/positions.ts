import { expect } from "@effect/vitest"
import { Clock, Effect, Latch } from "effect"
import {
  byKey,
  firstsOf,
  grouped,
  newGroup,
  newTopic,
  numbered,
  offsetOf,
  send,
  textsOf,
  until,
} from "../../test/harness/bus.ts"
import { EventBus, type Handle, type Position, PositionMoved, type Positions, partitionName } from "../EventBus.ts"
import type { Check } from "./Log.ts"

/** Positions as a database keeps them: moved by what is handled, and by hand. */
const kept = () => {
  const next = new Map<string, number>()
  const begun: Array<Position> = []
  let fails = 0
  const moved = Latch.makeUnsafe(false)
  const positions: Positions = {
    begin: (partitions, ends) =>
      Effect.gen(function* () {
        if (fails-- > 0) return yield* Effect.fail("not known yet")
        yield* ends
        const all = partitions.map((partition) => ({ ...partition, next: next.get(partitionName(partition)) ?? 0 }))
        begun.push(...all)
        return all
      }),
    pass: (spans) => Effect.forEach(spans, advance, { discard: true }),
    moved,
  }
  const advance = (span: Position & { readonly from: number }) =>
    Effect.suspend(() => {
      const at = next.get(partitionName(span)) ?? 0
      if (at < span.from) return Effect.fail(new PositionMoved(span))
      next.set(partitionName(span), Math.max(at, span.next))
      return Effect.void
    })
  const handle: Handle = (_, spans = []) => Effect.forEach(spans, advance, { discard: true })
  return {
    positions,
    handle,
    begun,
    next,
    /** Moves the position in every partition of a topic, as a replay does. */
    move: (topic: string, to: number) =>
      Effect.suspend(() => {
        for (const name of next.keys()) if (name.startsWith(`${topic}/`)) next.set(name, to)
        return moved.open
      }),
    failing: (times: number) => void (fails = times),
  }
}

/** The group has all that was sent, as its own positions say. */
const reached = (own: ReturnType<typeof kept>, records: number) =>
  until(
    "the positions are at the end",
    Effect.sync(() => [...own.next.values()].reduce((sum, next) => sum + next, 0) >= records),
  )

/** A group that keeps its own positions. */
export const ofPositions: ReadonlyArray<Check> = [
  ...[1, 2].map((members) => ({
    name: `reads at the positions that a group of ${members} keeps, whatever is committed, with what each call covers`,
    check: Effect.gen(function* () {
      const topic = yield* newTopic(4)
      yield* send(numbered(topic, 0, 40))
      const group = newGroup(topic)
      const before = yield* group.join()
      yield* group.settled
      yield* before.leave
      const calls = group.calls.length
      const own = kept()
      const covered: Array<{ readonly name: string; readonly from: number; readonly next: number }> = []
      for (let n = 0; n < members; n++) {
        yield* group.join(
          (records, spans = []) =>
            Effect.tap(own.handle(records, spans), () =>
              Effect.sync(() => covered.push(...spans.map((span) => ({ ...span, name: partitionName(span) })))),
            ),
          undefined,
          own.positions,
        )
      }
      yield* reached(own, 40)
      yield* send(numbered(topic, 40, 60))
      yield* reached(own, 60)
      const received = group.calls.slice(calls).flat()
      expect(byKey(firstsOf(received)), "each key whole and in order").toEqual(byKey(numbered(topic, 0, 60)))
      for (const [name, spans] of Map.groupBy(covered, ({ name }) => name)) {
        const ends = spans.toSorted((a, b) => a.next - b.next)
        expect(ends[0]!.from, `where ${name} begins`).toBe(0)
        expect(
          ends.every(({ from }, n) => n === 0 || from <= ends[n - 1]!.next),
          `${name} without gap`,
        ).toBe(true)
      }
      yield* group.settled
    }),
  })),
  {
    name: "begins again where the positions say when they were moved, also while a member is busy",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(4)
      yield* send(numbered(topic, 0, 40))
      const group = newGroup(topic)
      const own = kept()
      yield* group.join(own.handle, undefined, own.positions)
      yield* reached(own, 40)
      const calls = group.calls.length
      yield* send(numbered(topic, 40, 60))
      yield* own.move(topic, 0)
      yield* reached(own, 60)
      const again = group.calls.slice(calls).flat()
      const firsts = grouped(firstsOf(again), partitionName, offsetOf).values()
      expect(
        [...firsts].map((offsets) => Math.min(...offsets)),
        "the offsets that come again",
      ).toEqual([0, 0, 0, 0])
      expect(textsOf(firstsOf(again)), "all that there is").toEqual(textsOf(numbered(topic, 0, 60)))
    }),
  },
  {
    name: "asks again where to begin when a call finds its position moved back, and goes on there",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(1)
      yield* send(numbered(topic, 0, 10))
      const group = newGroup(topic)
      const own = kept()
      yield* group.join(own.handle, undefined, own.positions)
      yield* reached(own, 10)
      // Without a notification, as when it was lost.
      for (const name of own.next.keys()) own.next.set(name, 3)
      const calls = group.calls.length
      yield* send(numbered(topic, 10, 12))
      yield* reached(own, 12)
      const offsets = new Set(group.calls.slice(calls).flat().map(offsetOf))
      expect(
        [3, 4, 5, 6, 7, 8, 9, 10, 11].filter((offset) => !offsets.has(offset)),
        "what is missing",
      ).toEqual([])
    }),
  },
  {
    name: "handles nothing until it is known where to begin",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(2)
      yield* send(numbered(topic, 0, 20))
      const group = newGroup(topic)
      const own = kept()
      own.failing(3)
      yield* group.join(own.handle, undefined, own.positions)
      yield* reached(own, 20)
      expect(textsOf(firstsOf(group.received())), "all that was sent").toEqual(textsOf(numbered(topic, 0, 20)))
      expect(own.begun.length, "the answers").toBeGreaterThan(0)
    }),
  },
  {
    name: "says where a topic ends, and since which offset it has what it took at a time or later",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(3)
      const bus = yield* EventBus
      const sizes = Effect.map(bus.ends([topic, "no such topic"]), (ends) =>
        ends.map(({ first, next }) => [first, next]),
      )
      expect(yield* sizes, "an empty topic").toEqual([
        [0, 0],
        [0, 0],
        [0, 0],
      ])
      yield* send(numbered(topic, 0, 20))
      const group = newGroup(topic)
      yield* group.join()
      yield* group.settled
      const ends = yield* bus.ends([topic])
      expect(
        ends.reduce((sum, { next }) => sum + next, 0),
        "all that was sent is before the ends",
      ).toBe(20)
      // A bus has a clock of its own, by which the time is understood.
      const last = Math.max(...group.received().map(({ time }) => time))
      yield* until(
        "time has passed",
        Effect.map(Clock.currentTimeMillis, (now) => now > last + 5),
      )
      yield* send(numbered(topic, 20, 40))
      yield* group.settled
      const since = yield* bus.since(topic, last + 1)
      expect(
        since.map(({ partition, next }) => ({ partition, next })).toSorted((a, b) => a.partition - b.partition),
        "where that time begins",
      ).toEqual(ends.map(({ partition, next }) => ({ partition, next })))
      const after = yield* bus.since(topic, last + 3_600_000)
      expect(
        after.reduce((sum, { next }) => sum + next, 0),
        "a time that nothing came after",
      ).toBe(40)
      const all = yield* bus.since(topic, 0)
      expect(
        all.reduce((sum, { next }) => sum + next, 0),
        "the start",
      ).toBe(0)
    }),
  },
]
