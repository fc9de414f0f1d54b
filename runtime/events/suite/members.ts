import { expect } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Option } from "effect"
import {
  byKey,
  firstsOf,
  grouped,
  lagOf,
  newGroup,
  newTopic,
  numbered,
  offsetOf,
  record,
  send,
  textOf,
  textsOf,
  until,
} from "../../test/harness/bus.ts"
import { EventBus, HandleWithin, type Outgoing, type Received, partitionName } from "../EventBus.ts"
import { type Check, Log } from "./Log.ts"

type Group = ReturnType<typeof newGroup>
type Member = Effect.Success<ReturnType<Group["join"]>>

const isBusy = (member: Member) =>
  until(
    "the member is busy",
    Effect.sync(() => member.mine.length > 0),
  )

const hasAll = (what: string, got: () => ReadonlyArray<Received>, count: number) =>
  until(
    what,
    Effect.sync(() => firstsOf(got()).length >= count),
  )

/** Lets what waits for it go on at the end, so that a check which is red ends too. */
const makeGate = Effect.gen(function* () {
  const gate = yield* Deferred.make<void>()
  const open = Deferred.succeed(gate, undefined)
  yield* Effect.addFinalizer(() => open)
  return { open, passed: Deferred.await(gate) }
})

/** What becomes of members: they are slow, hang, fail, are killed or frozen. */
export const ofMembers: ReadonlyArray<Check> = [
  {
    name: "brings to another member what a killed one had in hand, and leaves it the rest",
    check: Effect.gen(function* () {
      const { process, differences } = yield* Log
      const topic = yield* newTopic(4)
      const group = newGroup(topic)
      const doomed = yield* process
      const victim = yield* group.join(() => Effect.never).pipe(Effect.provideService(EventBus, doomed.bus))
      yield* send(numbered(topic, 0, 40))
      yield* isBusy(victim)
      if (differences.sideBySide) yield* group.join()
      yield* doomed.kill
      yield* victim.dead
      const calls = victim.mine.length
      if (!differences.sideBySide) yield* group.join()
      yield* send(numbered(topic, 40, 80))
      yield* hasAll("the others have all", () => group.calls.flat(), 80)
      yield* group.settled
      expect(victim.mine.length, "the calls of who was killed").toBe(calls)
      const others = group.calls.filter((call) => !victim.mine.includes(call)).flat()
      expect(byKey(firstsOf(others)), "each key whole and in order").toEqual(byKey(numbered(topic, 0, 80)))
    }),
  },
  {
    name: "gives what a frozen member has to another, if there is one, and loses nothing when it thaws",
    check: Effect.gen(function* () {
      const { process, differences } = yield* Log
      const topic = yield* newTopic(4)
      const group = newGroup(topic)
      const gate = yield* makeGate
      const sleeper = yield* process
      const frozen = yield* group.join(() => gate.passed).pipe(Effect.provideService(EventBus, sleeper.bus))
      yield* sleeper.bus.send(numbered(topic, 0, 40))
      yield* isBusy(frozen)
      const home = differences.sideBySide ? yield* EventBus : sleeper.bus
      const other = yield* Effect.forkChild(Effect.provideService(group.join(), EventBus, home))
      yield* sleeper.freeze
      if (differences.sideBySide) {
        yield* frozen.dead
        const { mine } = yield* Fiber.join(other)
        yield* hasAll("the other has all", () => mine.flat(), 40)
      }
      yield* home.send(numbered(topic, 40, 80))
      // Time in which those could be given to who is frozen.
      yield* Effect.sleep("500 millis")
      yield* sleeper.thaw
      yield* gate.open
      const { mine } = yield* Fiber.join(other)
      yield* group.settled
      expect(byKey(firstsOf(group.received())), "each key whole and in order").toEqual(byKey(numbered(topic, 0, 80)))
      let sent = 80
      const more = Effect.suspend(() => home.send(numbered(topic, sent, (sent += 20))))
      const before = [frozen.mine.length, mine.length]
      const bothWork = Effect.sync(() => frozen.mine.length > before[0]! && mine.length > before[1]!)
      yield* until("both members get something again", Effect.andThen(more, bothWork))
      yield* group.settled
      expect(byKey(firstsOf(group.received())), "each key whole and in order").toEqual(byKey(numbered(topic, 0, sent)))
    }),
  },
  {
    name: "leaves its partitions to a member whose handle takes longer than it may be silent",
    check: Effect.gen(function* () {
      const { differences } = yield* Log
      const topic = yield* newTopic(2)
      const group = newGroup(topic)
      const long = Duration.sum(Duration.fromInputUnsafe(differences.silence), Duration.seconds(2))
      yield* send(numbered(topic, 0, 10))
      const first = yield* group.join(() => Effect.sleep(long))
      yield* isBusy(first)
      // A log may delay a member that joins until the others are ready.
      const second = yield* Effect.forkChild(group.join(() => Effect.sleep(long)))
      yield* group.settled
      yield* Fiber.join(second)
      const calls = group.calls.length
      yield* send(numbered(topic, 10, 20))
      yield* group.settled
      expect(textsOf(firstsOf(group.received())), "each record").toEqual(textsOf(numbered(topic, 0, 20)))
      expect(textsOf(group.calls.slice(calls).flat()), "each record once").toEqual(textsOf(numbered(topic, 10, 20)))
    }),
  },
  {
    name: "interrupts a handle that takes longer than it may, and brings its records again",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(1)
      const group = newGroup(topic)
      const gate = yield* makeGate
      let interrupted = 0
      const hangs = gate.passed.pipe(Effect.onInterrupt(() => Effect.sync(() => interrupted++)))
      const handle = () => (group.calls.length > 2 ? Effect.void : hangs)
      yield* send(numbered(topic, 0, 5))
      yield* group.join(handle).pipe(Effect.provideService(HandleWithin, "1 second"))
      yield* until(
        "a third call",
        Effect.sync(() => group.calls.length > 2),
      )
      yield* group.settled
      expect(interrupted, "the calls that were interrupted").toBe(2)
      expect(group.calls[2]!.map(textOf), "the third").toEqual(["0", "1", "2", "3", "4"])
    }),
  },
  {
    name: "closes within seconds though a handle hangs, and brings its records again",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(1)
      const group = newGroup(topic)
      const gate = yield* makeGate
      yield* send(numbered(topic, 0, 5))
      const member = yield* group.join(() => gate.passed)
      yield* isBusy(member)
      const leaving = yield* Effect.forkChild(member.leave)
      const left = yield* Effect.timeoutOption(Fiber.join(leaving), "15 seconds")
      expect(Option.isSome(left), "it has left in time").toBe(true)
      const next = yield* group.join()
      yield* group.settled
      expect(textsOf(firstsOf(next.mine.flat())), "all once more").toEqual(textsOf(numbered(topic, 0, 5)))
    }),
  },
  {
    name: "lets no other partition wait for one whose handle always fails",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(6)
      const group = newGroup(topic)
      const isPoison = ({ key }: Received) => key === "key 0"
      let healed = false
      yield* send(numbered(topic, 0, 60))
      yield* group.join((records) => (!healed && records.some(isPoison) ? Effect.fail("poison") : Effect.void))
      const isFine = Effect.map(
        lagOf(group.name),
        (lags) => lags.length === 6 && lags.filter(({ records }) => records > 0).length === 1,
      )
      yield* until("all but one are handled", isFine)
      yield* send(numbered(topic, 60, 120))
      yield* until("all but one are handled again", isFine)
      healed = true
      yield* group.settled
      expect(byKey(firstsOf(group.received())), "each key whole and in order").toEqual(byKey(numbered(topic, 0, 120)))
    }),
  },
  {
    name: "has no more in hand than its calls while they are slow, and one for each partition at most",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(6)
      const group = newGroup(topic)
      const gate = yield* makeGate
      yield* send(numbered(topic, 0, 6_000, 60))
      const member = yield* group.join(() => gate.passed)
      yield* isBusy(member)
      // Time in which it could go on.
      yield* Effect.sleep("1 second")
      expect(group.received().length, "the records in hand").toBeLessThanOrEqual(1_500)
      const perPartition = [...grouped(group.received(), partitionName, offsetOf).values()].map(({ length }) => length)
      expect(Math.max(...perPartition), "of one partition").toBeLessThanOrEqual(500)
      yield* gate.open
      yield* group.settled
      expect(byKey(firstsOf(group.received())), "each key whole and in order").toEqual(
        byKey(numbered(topic, 0, 6_000, 60)),
      )
    }),
  },
  {
    name: "keeps the position of a group without members, and counts what comes meanwhile",
    check: Effect.gen(function* () {
      const { open } = yield* Log
      const topic = yield* newTopic(3)
      const group = newGroup(topic)
      expect(yield* lagOf(group.name), "the lag of an unknown group").toEqual([])
      const only = yield* group.join()
      yield* group.settled
      yield* send(numbered(topic, 0, 20))
      yield* group.settled
      yield* only.leave
      yield* send(numbered(topic, 20, 50))
      const sum = Effect.map(lagOf(group.name), (lags) => lags.reduce((all, { records }) => all + records, 0))
      expect(yield* sum, "the lag").toBe(30)
      const elsewhere = yield* open
      expect(yield* Effect.provideService(sum, EventBus, elsewhere), "the lag, asked of another process").toBe(30)
    }),
  },
  {
    name: "takes several megabytes in one send, and keeps their order",
    check: Effect.gen(function* () {
      const topic = yield* newTopic(2)
      const group = newGroup(topic)
      const large = numbered(topic, 0, 500).map((one) => record(topic, one.key, `${textOf(one)} ${"x".repeat(10_000)}`))
      yield* group.join()
      yield* send(large)
      yield* group.settled
      const headOf = (text: string | null) => `${text!.split(" ")[0]} of ${text!.length}`
      const short = (records: ReadonlyArray<Outgoing>) =>
        grouped(
          records,
          ({ key }) => key,
          (one) => headOf(textOf(one)),
        )
      expect(short(group.received()), "each key whole and in order").toEqual(short(large))
    }),
  },
]
