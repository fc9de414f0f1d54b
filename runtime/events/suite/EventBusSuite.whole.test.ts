import { describe, expect, it, layer } from "@effect/vitest"
import { Clock, Duration, Effect, Exit, Latch, Scope } from "effect"
import { randomUUID } from "node:crypto"
import {
  EventBus,
  EventBusError,
  type Handle,
  HandleWithin,
  type Outgoing,
  PositionMoved,
  type ReadRequest,
  type Received,
} from "../EventBus.ts"
import { checks, run } from "./EventBusSuite.ts"
import { onEmbedded } from "./onEmbedded.ts"
import { type Broken, isRed, redsOf } from "./red.ts"

type Bus = EventBus["Service"]
type Consume = Parameters<Bus["consume"]>[0]

/** A driver with a fault that shows at the port. */
interface BrokenBus extends Broken {
  readonly breaking: (bus: Bus) => Bus
}

const sending = (change: (records: ReadonlyArray<Outgoing>) => ReadonlyArray<Outgoing>) => (bus: Bus) => ({
  ...bus,
  send: (records: ReadonlyArray<Outgoing>) => bus.send(change(records)),
})

const sendingEach = (change: (record: Outgoing) => Outgoing) => sending((records) => records.map(change))

const handling = (change: (handle: Handle) => Handle) => (bus: Bus) => ({
  ...bus,
  consume: (options: Consume) => bus.consume({ ...options, handle: change(options.handle) }),
})

/** Hands on what there is, if there is anything. */
const some = (handle: Handle, records: ReadonlyArray<Received>) => {
  const [first, ...rest] = records
  return first === undefined ? Effect.void : handle([first, ...rest])
}

/** Reads under other names of groups, which it may choose anew for each member. */
const grouping = (nameOf: (options: Consume) => string) => (bus: Bus) => {
  const names = new Map<string, string>()
  return {
    ...bus,
    consume: (options: Consume) => {
      names.set(options.group, nameOf(options))
      return bus.consume({ ...options, group: names.get(options.group)! })
    },
    lag: (group: string) => bus.lag(names.get(group)!),
  }
}

const reading =
  (change: (options: ReadRequest, read: Bus["read"]) => ReturnType<Bus["read"]>) =>
  (bus: Bus): Bus => ({ ...bus, read: (options) => change(options, bus.read) })

const refuse = (operation: string) => Effect.fail(new EventBusError({ operation, cause: new Error("broken") }))

const poison = "lets no other partition wait for one whose handle always fails"
const slow = "leaves its partitions to a member whose handle takes longer than it may be silent"
const frozen = "gives what a frozen member has to another, if there is one, and loses nothing when it thaws"
const deadline = "interrupts a handle that takes longer than it may, and brings its records again"
const closing = "closes within seconds though a handle hangs, and brings its records again"
const inHand = "has no more in hand than its calls while they are slow, and one for each partition at most"
const positionsOf = (members: number) =>
  `reads at the positions that a group of ${members} keeps, whatever is committed, with what each call covers`
const positionsMoved = "begins again where the positions say when they were moved, also while a member is busy"
const positionsRefuse = "asks again where to begin when a call finds its position moved back, and goes on there"
const positionsUnknown = "handles nothing until it is known where to begin"
const positionsEnds = "says where a topic ends, and since which offset it has what it took at a time or later"
const endsBehind = "returns the ends of topics: behind every record whose send had succeeded"
const named = "says how long the records of a topic are kept, and has one name for as long as it lives"
const readByOffset = "reads a partition in parts, from an offset on, without a group"
const readByTime = "reads a partition from the first record that it took at a time or later"
const readOldest = "reads from the oldest record where those asked for are gone, and nothing behind the end"
const readMissing = "fails to read a partition that does not exist"
const oldest = "returns the oldest offset of each partition, or that it has no record"

const again = (how: string) => `brings the same records again, and skips none, after a handle that ${how}`

const brokenDrivers: ReadonlyArray<BrokenBus> = [
  {
    driver: "loses a record of each send",
    breaking: sending((records) => records.slice(0, Math.max(1, records.length - 1))),
    red: { "brings every record, with offsets that count up from 0 without gap": "all that was sent" },
  },
  {
    driver: "skips a record when it brings several",
    breaking: handling((handle) => (records) => some(handle, records.length > 2 ? records.toSpliced(1, 1) : records)),
    red: { "brings every record, with offsets that count up from 0 without gap": "what no bus may do" },
  },
  {
    driver: "brings what was committed once more",
    breaking: handling((handle) => {
      let last: ReadonlyArray<Received> = []
      return (records) =>
        Effect.suspend(() => {
          const committed = last
          last = records
          return Effect.andThen(some(handle, committed), handle(records))
        })
    }),
    red: { "brings a record once while nothing fails": "each record once" },
  },
  {
    driver: "sends the first records to a topic twice",
    breaking: (bus) => {
      const known = new Set<string>()
      return sending((records) => {
        const first = records.filter(({ topic }) => !known.has(topic))
        first.forEach(({ topic }) => known.add(topic))
        return [...first, ...records]
      })(bus)
    },
    red: { "keeps each record once, also of the first send to topics that were just made": "the records" },
  },
  {
    driver: "reorders the records of a send",
    breaking: sending((records) => records.toReversed()),
    red: {
      "keeps the order of each key": "the order of each key",
      "shares the partitions between two members of a group, and keeps the order of each key": "the order of each key",
    },
  },
  {
    driver: "sends a large batch in pieces, the last one first",
    breaking: sending((records) => [...records.slice(100), ...records.slice(0, 100)]),
    red: { "keeps the order of 1,000 records of one send": "the order of each key" },
  },
  {
    driver: "reorders the records that it brings",
    breaking: handling((handle) => (records) => some(handle, records.toReversed())),
    red: { "keeps the order of each key": "what no bus may do" },
  },
  {
    driver: "spreads a key over the partitions",
    breaking: (bus) =>
      handling(
        (handle) => (records) =>
          some(
            handle,
            records.map((record) => ({ ...record, key: record.headers["key"]! })),
          ),
      )(sendingEach((record) => ({ ...record, key: null, headers: { key: record.key! } }))(bus)),
    red: { "puts a key into the same partition each time, the one that Java's client would choose": "of each key" },
  },
  {
    driver: "drops headers",
    breaking: sendingEach((record) => ({ ...record, headers: {} })),
    red: { "brings value, key and headers as they were sent, and the time at which it took them": "what was sent" },
  },
  {
    driver: "takes an empty value for none",
    breaking: sendingEach((record) => ({ ...record, value: record.value?.length === 0 ? null : record.value })),
    red: { "brings value, key and headers as they were sent, and the time at which it took them": "what was sent" },
  },
  {
    driver: "has one position for all groups",
    breaking: grouping(({ topics }) => `all of ${topics.join()}`),
    red: { "brings everything to each of two groups": "all that was sent" },
  },
  {
    driver: "forgets its position when a group comes back",
    breaking: (bus) => {
      let members = 0
      return grouping(({ group }) => `${group} ${members++}`)(bus)
    },
    red: {
      "goes on where it was when a group comes back": "only what is new",
      "leaves a partition to the member that is busy with it when another one joins": "in two calls at once",
    },
  },
  {
    driver: "starts a new group at the newest record",
    breaking: (bus) => ({
      ...bus,
      consume: (options) =>
        Effect.flatMap(Clock.currentTimeMillis, (joined) =>
          handling(
            (handle) => (records) =>
              some(
                handle,
                records.filter(({ time }) => time > joined),
              ),
          )(bus).consume(options),
        ),
    }),
    red: {
      "starts a new group at the oldest record": "all that was sent",
      "goes on with a group that was away for longer than records are kept": "what is kept for it",
    },
  },
  {
    driver: "commits the position before the handle has finished",
    breaking: handling(
      (handle) =>
        (...call) =>
          Effect.asVoid(Effect.forkDetach(handle(...call))),
    ),
    red: {
      [again("fails")]: "the offset at which each call begins",
      "brings again what was handled when its member went away before the commit": "all once more",
      "brings to another member what a killed one had in hand, and leaves it the rest": "each key whole and in order",
      [frozen]: "in two calls at once",
      "waits for the running handle when its scope closes, and commits what that finished": "the handle has finished",
    },
  },
  {
    driver: "commits the position whatever became of the handle",
    breaking: handling(
      (handle) =>
        (...call) =>
          Effect.asVoid(Effect.exit(handle(...call))),
    ),
    red: {
      [again("fails")]: "the offset at which each call begins",
      [again("dies")]: "the offset at which each call begins",
      [again("is interrupted")]: "the offset at which each call begins",
    },
  },
  {
    driver: "handles one partition in two calls at once",
    breaking: handling((handle) => (records) => {
      const half = records.length >> 1
      const calls = [records.slice(0, half), records.slice(half)].map((part) => some(handle, part))
      return Effect.all(calls, { concurrency: 2, discard: true })
    }),
    red: {
      "hands partitions over while members come and go, loses nothing, and keeps the order of each key":
        "in two calls at once",
    },
  },
  {
    driver: "gives everything to the member that came first",
    breaking: (bus) => {
      const groups = new Set<string>()
      return {
        ...bus,
        consume: (options) => {
          if (groups.has(options.group)) return Effect.void
          groups.add(options.group)
          return bus.consume(options)
        },
      }
    },
    red: {
      "shares the partitions between two members of a group, and keeps the order of each key":
        "not seen in time: both members get something",
    },
    patience: "10 seconds",
  },
  {
    driver: "reads the topics of a group's first member alone",
    breaking: (bus) => {
      const topics = new Map<string, ReadonlyArray<string>>()
      return {
        ...bus,
        consume: (options) => {
          if (!topics.has(options.group)) topics.set(options.group, options.topics)
          return bus.consume({ ...options, topics: topics.get(options.group)! })
        },
      }
    },
    red: {
      "brings each of a group's topics, also where its members read different ones": "all of the topic that one reads",
    },
  },
  {
    driver: "closes without waiting for the handle",
    breaking: (bus) => ({
      ...bus,
      consume: (options) =>
        Effect.acquireRelease(
          Effect.tap(Scope.make(), (scope) => Scope.provide(bus.consume(options), scope)),
          (scope) => Effect.asVoid(Effect.forkDetach(Scope.close(scope, Exit.void))),
        ),
    }),
    red: {
      "waits for the running handle when its scope closes, and commits what that finished": "the handle has finished",
    },
  },
  {
    driver: "makes a topic only once",
    breaking: (bus) => {
      const made = new Set<string>()
      return {
        ...bus,
        ensure: (topics) =>
          topics.some(({ name }) => made.has(name))
            ? refuse("make a topic twice")
            : Effect.tap(bus.ensure(topics), () => Effect.sync(() => topics.forEach(({ name }) => made.add(name)))),
      }
    },
    red: { "ensures a topic again without changing it": "failed to make a topic twice" },
  },
  {
    driver: "takes a topic with another number of partitions",
    breaking: (bus) => ({
      ...bus,
      ensure: (topics) => Effect.catchTag(bus.ensure(topics), "PartitionsDiffer", () => Effect.void),
    }),
    red: { "refuses a topic with another number of partitions, and changes nothing": "the answer" },
  },
  {
    driver: "gives a new topic one partition",
    breaking: (bus) => ({
      ...bus,
      ensure: (topics) => bus.ensure(topics.map((topic) => ({ ...topic, partitions: topic.partitions ?? 1 }))),
    }),
    red: { "gives a new topic the default number of partitions when none is asked for": "its partitions" },
  },
  {
    driver: "swallows what it cannot send",
    breaking: (bus) => ({ ...bus, send: (records) => Effect.ignore(bus.send(records)) }),
    red: { "fails to send to a topic that does not exist": "the answer" },
  },
  {
    driver: "refuses an empty send",
    breaking: (bus) => ({ ...bus, send: (records) => (records.length === 0 ? refuse("send") : bus.send(records)) }),
    red: { "takes an empty send": "the answer" },
  },
  {
    driver: "takes records for sent that it was only asked to send",
    breaking: (bus) => {
      const asked = new WeakSet<Outgoing>()
      return {
        ...bus,
        send: (records) =>
          Effect.gen(function* () {
            const fresh = records.filter((record) => !asked.has(record))
            fresh.forEach((record) => asked.add(record))
            for (let turn = 0; turn < 10; turn++) yield* Effect.yieldNow
            yield* bus.send(fresh)
          }),
      }
    },
    red: { "takes the same records again after a send that was interrupted": "all, in order" },
  },
  {
    driver: "stops at what fails, with all that it reads",
    breaking: handling((handle) => {
      let failed = false
      return (records) =>
        failed ? Effect.fail("stopped") : Effect.onError(handle(records), () => Effect.sync(() => (failed = true)))
    }),
    red: { [poison]: "not seen in time: all but one are handled" },
    patience: "10 seconds",
  },
  {
    driver: "gives up a handle that is slow",
    breaking: handling(
      (handle) =>
        (...call) =>
          Effect.timeout(handle(...call), "1 second"),
    ),
    red: { [slow]: "not seen in time: the group has handled all" },
    patience: "10 seconds",
  },
  {
    driver: "gives what is slow to a second call",
    breaking: handling((handle) => (records) => {
      const late = Effect.delay(handle(records), "1 second")
      return Effect.asVoid(Effect.all([handle(records), late], { concurrency: 2 }))
    }),
    red: { [slow]: "in two calls at once" },
  },
  {
    driver: "lets a handle take as long as it likes",
    breaking: (bus) => ({
      ...bus,
      consume: (options) => Effect.provideService(bus.consume(options), HandleWithin, "1 day"),
    }),
    red: { [deadline]: "not seen in time: a third call" },
    patience: "10 seconds",
  },
  {
    driver: "waits for a handle for ever when it closes",
    breaking: handling(
      (handle) =>
        (...call) =>
          Effect.uninterruptible(handle(...call)),
    ),
    red: { [closing]: "it has left in time" },
  },
  {
    driver: "reads ahead of what is handled",
    breaking: handling((handle) => {
      const ahead: Array<Received> = []
      return (records) =>
        Effect.suspend(() => {
          ahead.push(...records)
          return ahead.length > 2_000 ? some(handle, ahead) : Effect.void
        })
    }),
    red: { [inHand]: "the records in hand" },
  },
  {
    driver: "sends only so much as one request takes",
    breaking: sending((records) => {
      let bytes = 0
      return records.filter(({ value }) => (bytes += value?.byteLength ?? 0) < 1_000_000)
    }),
    red: { "takes several megabytes in one send, and keeps their order": "each key whole and in order" },
  },
  {
    driver: "reads where its own positions are, whatever those of the group say",
    breaking: (bus) => ({ ...bus, consume: (options) => bus.consume({ ...options, positions: undefined }) }),
    red: {
      [positionsOf(1)]: "not seen in time: the positions are at the end",
      [positionsOf(2)]: "not seen in time: the positions are at the end",
      [positionsMoved]: "not seen in time: the positions are at the end",
      [positionsRefuse]: "not seen in time: the positions are at the end",
    },
    patience: "10 seconds",
  },
  {
    driver: "does not look when positions were moved",
    breaking: (bus) => ({
      ...bus,
      consume: ({ positions, ...options }) =>
        bus.consume({
          ...options,
          positions: positions && { ...positions, moved: Latch.makeUnsafe(false) },
          handle: (records, spans) =>
            options.handle(records, spans).pipe(
              Effect.catchIf(
                (error) => error instanceof PositionMoved,
                () => Effect.never,
              ),
            ),
        }),
    }),
    red: { [positionsMoved]: "not seen in time: the positions are at the end" },
    patience: "10 seconds",
  },
  {
    driver: "tries the same call again for ever when its position was moved back",
    breaking: (bus) => ({
      ...bus,
      consume: (options) =>
        bus.consume({
          ...options,
          handle: (records, spans) =>
            options.handle(records, spans).pipe(
              Effect.catchIf(
                (error) => error instanceof PositionMoved,
                () => refuse("handle"),
              ),
            ),
        }),
    }),
    red: { [positionsRefuse]: "not seen in time: the positions are at the end" },
    patience: "10 seconds",
  },
  {
    driver: "begins at the start of a topic when it is not known where to begin",
    breaking: (bus) => ({
      ...bus,
      consume: ({ positions, ...options }) =>
        bus.consume({
          ...options,
          positions: positions && {
            ...positions,
            begin: (partitions, ends) =>
              Effect.orElseSucceed(positions.begin(partitions, ends), () =>
                partitions.map((partition) => ({ ...partition, next: 0 })),
              ),
          },
        }),
    }),
    red: { [positionsUnknown]: "the answers" },
  },
  {
    driver: "reports smaller spans than its calls cover",
    breaking: (bus) => ({
      ...bus,
      consume: (options) =>
        bus.consume({
          ...options,
          handle: (records, spans = []) =>
            options.handle(
              records,
              spans.map((span) => ({ ...span, from: span.from + 1 })),
            ),
        }),
    }),
    red: { [positionsOf(1)]: "not seen in time: the positions are at the end" },
    patience: "10 seconds",
  },
  {
    driver: "says of a topic that it ends where it begins",
    breaking: (bus) => ({
      ...bus,
      ends: (topics) => Effect.map(bus.ends(topics), (ends) => ends.map((end) => ({ ...end, next: end.first }))),
    }),
    red: { [positionsEnds]: "all that was sent is before the ends" },
  },
  {
    driver: "finds the start of a topic, whatever time it is asked for",
    breaking: (bus) => ({ ...bus, since: (topic) => bus.since(topic, 0) }),
    red: { [positionsEnds]: "where that time begins" },
  },
  {
    driver: "reports the default retention for each topic",
    breaking: (bus) => ({
      ...bus,
      retentions: (topics) =>
        Effect.map(bus.retentions(topics), (all) => all.map((one) => ({ ...one, retention: Duration.days(30) }))),
    }),
    red: { [named]: "the retentions of topics that exist" },
  },
  {
    driver: "has another name in each process",
    breaking: (bus) => ({ ...bus, identity: Effect.sync(() => `embedded:${randomUUID()}`) }),
    red: { [named]: "the name that another process finds" },
  },
  {
    driver: "keeps records for ever",
    breaking: (bus) => ({
      ...bus,
      ensure: (topics) => bus.ensure(topics.map((topic) => ({ ...topic, retention: undefined }))),
    }),
    red: {
      "starts a new group at the oldest record that is kept, where older ones are gone": "what is kept",
      "goes on with a group that had handled all of a topic of which nothing is left": "what a new group gets",
    },
  },
  {
    driver: "returns no lag",
    breaking: (bus) => ({
      ...bus,
      lag: (group) => Effect.map(bus.lag(group), (lags) => lags.map((lag) => ({ ...lag, records: 0 }))),
    }),
    red: {
      "counts as lag what is not finished, and nothing in the end": "the lag while nothing is finished",
      "keeps the position of a group without members, and counts what comes meanwhile": "the lag",
    },
  },
  {
    driver: "remembers where topics end",
    breaking: (bus) => {
      const known = new Map<string, Effect.Success<ReturnType<Bus["ends"]>>>()
      return {
        ...bus,
        ends: (topics) => {
          const ends = known.get(topics.join())
          if (ends !== undefined) return Effect.succeed(ends)
          return Effect.tap(bus.ends(topics), (found) => Effect.sync(() => known.set(topics.join(), found)))
        },
      }
    },
    red: { [endsBehind]: "the ends", [oldest]: "what is kept" },
  },
  {
    driver: "returns the last offset of each partition as its end",
    breaking: (bus) => ({
      ...bus,
      ends: (topics) =>
        Effect.map(bus.ends(topics), (ends) => ends.map((end) => ({ ...end, next: Math.max(0, end.next - 1) }))),
    }),
    red: { [endsBehind]: "the ends" },
  },
  {
    driver: "returns ends of topics that do not exist",
    breaking: (bus) => ({
      ...bus,
      ends: (topics) =>
        Effect.map(bus.ends(topics), (ends) => [
          ...ends,
          ...topics
            .filter((topic) => !ends.some((end) => end.topic === topic))
            .map((topic) => ({ topic, partition: 0, first: 0, next: 0 })),
        ]),
    }),
    red: { [endsBehind]: "the ends of topics that exist" },
  },
  {
    driver: "takes the first record that there ever was for the oldest that is kept",
    breaking: (bus) => ({
      ...bus,
      ends: (topics) => Effect.map(bus.ends(topics), (ends) => ends.map((end) => ({ ...end, first: 0 }))),
    }),
    red: { [oldest]: "what is kept" },
  },
  {
    driver: "reads from the record after the one that was asked for",
    breaking: reading(({ from, ...options }, read) =>
      read({ ...options, from: "offset" in from ? { offset: from.offset + 1 } : from }),
    ),
    red: { [readByOffset]: "the first part" },
  },
  {
    driver: "reads more records than it was asked for",
    breaking: reading((options, read) => read({ ...options, max: options.max + 1 })),
    red: { [readByOffset]: "the first part" },
  },
  {
    driver: "reads on behind a record that it has not returned",
    breaking: reading((options, read) =>
      Effect.map(read(options), (found) => ({ ...found, next: Math.min(found.end, found.next + 1) })),
    ),
    red: { [readByOffset]: "the first part" },
  },
  {
    driver: "reads from the start of a partition, whatever time it is asked for",
    breaking: reading(({ from, ...options }, read) =>
      read({ ...options, from: "time" in from ? { offset: 0 } : from }),
    ),
    red: { [readByTime]: "what is appended since" },
  },
  {
    driver: "reads nothing where the records that were asked for are gone",
    breaking: (bus) => ({
      ...bus,
      read: (options) =>
        Effect.gen(function* () {
          const [kept] = yield* bus.ends([options.topic])
          const isGone = "offset" in options.from && options.from.offset < kept!.first
          return isGone ? { records: [], next: options.from.offset, end: kept!.next } : yield* bus.read(options)
        }),
    }),
    red: { [readOldest]: "from the oldest" },
  },
  {
    driver: "takes a partition that does not exist for one without records",
    breaking: reading((options, read) => Effect.orElseSucceed(read(options), () => ({ records: [], next: 0, end: 0 }))),
    red: { [readMissing]: "the answer" },
  },
  {
    driver: "does not answer",
    breaking: (bus) => ({ ...bus, probe: refuse("answer") }),
    red: { "answers a probe": "the answer" },
  },
]

layer(onEmbedded, { excludeTestServices: true, concurrent: true })("EventBusSuite", (it) => {
  for (const { check, by } of redsOf(brokenDrivers)) {
    describe(check.name, () => {
      for (const broken of by) {
        it.effect(`is red for a driver that ${broken.driver}`, () => isRed(check, broken, run(check, broken)))
      }
    })
  }
})

it("EventBusSuite has no check that was never seen red, and no broken driver for a check that it has not", () => {
  const names = checks.map(({ name }) => name)
  const seen = [...new Set(brokenDrivers.flatMap(({ red }) => Object.keys(red)))]
  expect(seen.toSorted()).toEqual(names.toSorted())
})
