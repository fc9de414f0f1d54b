import { Cause, Duration, Effect, Exit, Fiber, Latch } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import type { SqlError } from "effect/sql"
import { textOf } from "../../loop/defect.ts"
import { loop, Loops } from "../../loop/loop.ts"
import { monotonicMillis } from "../../loop/monotonic.ts"
import {
  type End,
  EventBusError,
  type Handle,
  HandledTooLate,
  HandleWithin,
  type Partition,
  partitionName,
  PositionMoved,
  type Positions,
  type Received,
  type Span,
} from "../EventBus.ts"
import { restMillis } from "../../loop/rest.ts"
import { type Group, ownerOf, partitionsOf } from "./group.ts"
import type { LogTable, Row } from "./logTable.ts"

/** Records that one turn of a member reads. */
const perTurn = 500

/** Closing waits that long for the running `handle`; then it is interrupted, and its records come again. */
const closeWithin = "4 seconds"

/** How often in a row a partition failed by itself, and until when it rests (ms of the monotonic clock). */
interface Failing extends Partition {
  readonly times: number
  readonly until: number
}

/** One member of a group. */
export interface Member {
  readonly topics: ReadonlyArray<string>
  readonly wake: Latch.Latch
  /** It has not left its group. */
  present: boolean
  /** Its `handle` runs, or the commit after it. */
  handling: boolean
  /** Where it goes on in the partitions that it has, by their place; one that is missing is asked for. */
  readonly next: Map<string, number>
  /** Partitions whose `handle` failed, by their place. */
  readonly failing: Map<string, Failing>
  /** A failure was reported, and the recovery is still to be. */
  isFailing: boolean
}

interface Options {
  readonly group: string
  readonly topics: ReadonlyArray<string>
  readonly handle: Handle
  readonly positions?: Positions | undefined
}

interface Log {
  readonly table: LogTable
  /** How many partitions each topic has. */
  readonly counts: ReadonlyMap<string, number>
  readonly ends: (topics: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<End>, EventBusError>
}

/** Members begin anew wherever another has had their partitions meanwhile. */
const rebalance = (group: Group<Member>) =>
  group.members.forEach((member) => {
    member.next.clear()
    for (const [place, failing] of member.failing) if (ownerOf(group, failing) !== member) member.failing.delete(place)
    member.wake.openUnsafe()
  })

/** Joins the group with a member that reads until the scope closes. */
export const join = (log: Log, group: Group<Member>, options: Options) =>
  Effect.gen(function* () {
    const loops = yield* Loops
    const member: Member = {
      topics: options.topics,
      wake: Latch.makeUnsafe(true),
      present: true,
      handling: false,
      next: new Map(),
      failing: new Map(),
      isFailing: false,
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        group.members.push(member)
        rebalance(group)
      }),
      () =>
        Effect.sync(() => {
          member.present = false
          group.members.splice(group.members.indexOf(member), 1)
          rebalance(group)
        }),
    )
    const { moved } = options.positions ?? {}
    if (moved !== undefined) {
      const begin = Effect.sync(() => {
        member.next.clear()
        member.wake.openUnsafe()
      })
      yield* Effect.forkScoped(Effect.forever(moved.await.pipe(Effect.andThen(moved.close), Effect.andThen(begin))))
    }
    const name = `${options.group}.consumer`
    let over = false
    const turn = makeTurn({ ...log, ...options, name, members: group, member, loops })
    const reading = yield* loop({ name, turn, wake: member.wake, poll: "5 seconds", isOver: () => over }).pipe(
      Effect.forkDetach,
    )
    yield* Effect.addFinalizer(() =>
      Effect.gen(function* () {
        over = true
        yield* member.wake.open
        if (member.handling) yield* Effect.timeoutOption(Fiber.await(reading), closeWithin)
        yield* Fiber.interrupt(reading)
      }),
    )
  })

interface Reader extends Log, Options {
  readonly name: string
  readonly members: Group<Member>
  readonly member: Member
  readonly loops: Loops["Service"]
}

/** Handles what is due now, and says whether there may be more. */
const makeTurn = (reader: Reader) =>
  Effect.gen(function* () {
    const { member, table, loops, name } = reader
    const positions = yield* due(reader, yield* monotonicMillis)
    const rows = positions.length === 0 ? [] : yield* table.read(positions, perTurn)
    let more = false
    for (const records of callsOf(rows, member.failing)) more = (yield* take(reader, records)) || more
    if (member.isFailing && member.failing.size === 0) {
      member.isFailing = false
      yield* loops.faltered(name, undefined)
      yield* Effect.logInfo(`${name} recovered`)
    }
    return more
  })

/** Where the member goes on, in the partitions that it has and that do not rest. */
const due = (reader: Reader, now: number) =>
  Effect.gen(function* () {
    const { members, member, counts } = reader
    const mine = partitionsOf(members, member, counts)
    const unknown = mine.filter((partition) => !member.next.has(partitionName(partition)))
    if (unknown.length > 0) {
      for (const position of yield* begin(reader, unknown)) member.next.set(partitionName(position), position.next)
    }
    return mine.flatMap((partition) => {
      const place = partitionName(partition)
      const next = member.next.get(place)
      const rests = members.busy.has(place) || (member.failing.get(place)?.until ?? 0) > now
      return next === undefined || rests ? [] : [{ ...partition, next }]
    })
  })

const begin = ({ table, group, positions, ends }: Reader, partitions: ReadonlyArray<Partition>) =>
  Effect.gen(function* () {
    if (positions === undefined) {
      const rows = yield* table.begin(group, partitions)
      return rows.map((row) => ({ ...row, next: Number(row.next) }))
    }
    const found = yield* positions.begin(partitions, ends([...new Set(partitions.map(({ topic }) => topic))]))
    yield* table.commit(group, found)
    return found
  })

/** Handles records of one topic, and notes what failed; true when that has to be seen again at once. */
const take = (reader: Reader, records: NonEmptyReadonlyArray<Received>) =>
  Effect.gen(function* () {
    const { members, member, handle, group, table } = reader
    const partitions = new Map(records.map((record) => [partitionName(record), record]))
    const isOurs = ([place, partition]: readonly [string, Partition]) =>
      !members.busy.has(place) && ownerOf(members, partition) === member && member.next.has(place)
    // Another member may have got a partition, or the position have moved, since the records were read.
    const spans = spansOf(records, member.next)
    if (![...partitions].every(isOurs) || spans === undefined) return true
    for (const place of partitions.keys()) members.busy.add(place)
    member.handling = true
    const free = Effect.sync(() => {
      member.handling = false
      for (const [place, partition] of partitions) {
        members.busy.delete(place)
        ownerOf(members, partition)?.wake.openUnsafe()
      }
    })
    const millis = Duration.toMillis(yield* HandleWithin)
    const exit = yield* handle(records, spans).pipe(
      Effect.timeoutOrElse({ duration: millis, orElse: () => new HandledTooLate({ millis }) }),
      Effect.andThen(commit(table, group, members, member, spans)),
      Effect.ensuring(free),
      Effect.exit,
    )
    if (Exit.isFailure(exit)) return yield* fail(reader, [...partitions.values()], exit.cause)
    for (const place of partitions.keys()) member.failing.delete(place)
    return true
  })

/** Moves the position, where the partition is still the member's. */
const commit = (
  table: LogTable,
  group: string,
  members: Group<Member>,
  member: Member,
  spans: ReadonlyArray<Span>,
): Effect.Effect<unknown, SqlError.SqlError> =>
  Effect.suspend(() => {
    const ours = spans.filter(
      (span) =>
        member.present && ownerOf(members, span) === member && member.next.get(partitionName(span)) === span.from,
    )
    for (const span of ours) member.next.set(partitionName(span), span.next)
    return table.commit(group, ours)
  })

/** A call failed: of several partitions it is not known which is to blame, until each comes by itself. */
const fail = (reader: Reader, partitions: ReadonlyArray<Partition>, cause: Cause.Cause<unknown>) =>
  Effect.gen(function* () {
    const { member, loops, name } = reader
    if (Cause.squash(cause) instanceof PositionMoved) {
      for (const partition of partitions) member.next.delete(partitionName(partition))
      return true
    }
    // A member that is being stopped ends here; a handle that interrupted itself has failed like any other.
    yield* Effect.yieldNow
    if (!member.isFailing) yield* Effect.logWarning(`${name} failed; retrying with back-off`, cause)
    member.isFailing = true
    yield* loops.faltered(name, textOf(Cause.squash(cause)).split("\n")[0])
    const now = yield* monotonicMillis
    const isOne = partitions.length === 1
    for (const partition of partitions) {
      const times = (member.failing.get(partitionName(partition))?.times ?? 0) + (isOne ? 1 : 0)
      const rest = isOne ? restMillis(times) : 0
      member.failing.set(partitionName(partition), { ...partition, times, until: now + rest })
      if (isOne) yield* Effect.forkDetach(Effect.delay(member.wake.open, rest))
    }
    return !isOne
  })

/** What records cover of each partition; undefined when one of these is no longer where it was read from. */
const spansOf = (
  records: ReadonlyArray<Received>,
  next: ReadonlyMap<string, number>,
): ReadonlyArray<Span> | undefined => {
  const spans: Array<Span> = []
  for (const [place, those] of Map.groupBy(records, partitionName)) {
    const from = next.get(place)
    const [first] = those
    if (from === undefined || first === undefined || first.offset < from) return undefined
    spans.push({ topic: first.topic, partition: first.partition, from, next: those.at(-1)!.offset + 1 })
  }
  return spans
}

/**
 * Rows in order of topic, partition and offset become one call for each topic, but for what has failed: that becomes
 * one for each partition.
 */
const callsOf = (
  rows: ReadonlyArray<Row>,
  failing: ReadonlyMap<string, Failing>,
): ReadonlyArray<NonEmptyReadonlyArray<Received>> => {
  const lists = new Map<string, [Received, ...Array<Received>]>()
  for (const row of rows) {
    const record: Received = { ...row, offset: Number(row.offset), time: row.time.getTime() }
    const name = failing.has(partitionName(record)) ? partitionName(record) : record.topic
    const list = lists.get(name)
    if (list === undefined) lists.set(name, [record])
    else list.push(record)
  }
  return [...lists.values()]
}
