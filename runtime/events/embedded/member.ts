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
import { type LogRow, type LogTable, receivedOf } from "./logTable.ts"

/** Records that a member reads in one turn. */
const perTurn = 500

/** When the scope closes, the running `handle` may take this long; then it is interrupted, and its records come again. */
const closeWithin = "4 seconds"

/** How often in a row a partition failed alone, and until when it is paused (ms of the monotonic clock). */
interface Failing extends Partition {
  readonly times: number
  readonly until: number
}

/** One member of a group. */
export interface EmbeddedMember {
  readonly topics: ReadonlyArray<string>
  readonly wake: Latch.Latch
  /** False once it has left its group. */
  present: boolean
  /** `handle` is running, or the commit after it. */
  handling: boolean
  /** The next offset in its partitions, by name. A missing one is read from the database. */
  readonly next: Map<string, number>
  /** Partitions whose `handle` failed, by name. */
  readonly failing: Map<string, Failing>
  /** A failure was reported, and its recovery was not. */
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
  /** The number of partitions of each topic. */
  readonly counts: ReadonlyMap<string, number>
  readonly ends: (topics: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<End>, EventBusError>
}

/** Members read their positions again: other members may have had their partitions meanwhile. */
const rebalance = (group: Group<EmbeddedMember>) =>
  group.members.forEach((member) => {
    member.next.clear()
    for (const [name, failing] of member.failing) if (ownerOf(group, failing) !== member) member.failing.delete(name)
    member.wake.openUnsafe()
  })

/** Joins the group with a new member that reads until the scope closes. */
export const join = (log: Log, group: Group<EmbeddedMember>, options: Options) =>
  Effect.gen(function* () {
    const loops = yield* Loops
    const member: EmbeddedMember = {
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
  readonly members: Group<EmbeddedMember>
  readonly member: EmbeddedMember
  readonly loops: Loops["Service"]
}

/** Handles the records that are due; true when there may be more. */
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

/** The next offset in each partition of the member, without those that are busy or paused. */
const due = (reader: Reader, now: number) =>
  Effect.gen(function* () {
    const { members, member, counts } = reader
    const mine = partitionsOf(members, member, counts)
    const unknown = mine.filter((partition) => !member.next.has(partitionName(partition)))
    if (unknown.length > 0) {
      for (const position of yield* begin(reader, unknown)) member.next.set(partitionName(position), position.next)
    }
    return mine.flatMap((partition) => {
      const name = partitionName(partition)
      const next = member.next.get(name)
      const isPaused = members.busy.has(name) || (member.failing.get(name)?.until ?? 0) > now
      return next === undefined || isPaused ? [] : [{ ...partition, next }]
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

/** Handles records in one call, and notes failures; true when there may be more to do at once. */
const take = (reader: Reader, records: NonEmptyReadonlyArray<Received>) =>
  Effect.gen(function* () {
    const { members, member, handle, group, table } = reader
    const partitions = new Map(records.map((record) => [partitionName(record), record]))
    const isOwn = ([name, partition]: readonly [string, Partition]) =>
      !members.busy.has(name) && ownerOf(members, partition) === member && member.next.has(name)
    // Since the records were read a partition may have gone to another member, or a position may have moved.
    const spans = spansOf(records, member.next)
    if (![...partitions].every(isOwn) || spans === undefined) return true
    for (const name of partitions.keys()) members.busy.add(name)
    member.handling = true
    const free = Effect.sync(() => {
      member.handling = false
      for (const [name, partition] of partitions) {
        members.busy.delete(name)
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
    for (const name of partitions.keys()) member.failing.delete(name)
    return true
  })

/** Commits the positions in the partitions that the member still has. */
const commit = (
  table: LogTable,
  group: string,
  members: Group<EmbeddedMember>,
  member: EmbeddedMember,
  spans: ReadonlyArray<Span>,
): Effect.Effect<unknown, SqlError.SqlError> =>
  Effect.suspend(() => {
    const own = spans.filter(
      (span) =>
        member.present && ownerOf(members, span) === member && member.next.get(partitionName(span)) === span.from,
    )
    for (const span of own) member.next.set(partitionName(span), span.next)
    return table.commit(group, own)
  })

/** A call failed. After a call for several partitions each is called alone, which shows the one that fails. */
const fail = (reader: Reader, partitions: ReadonlyArray<Partition>, cause: Cause.Cause<unknown>) =>
  Effect.gen(function* () {
    const { member, loops, name } = reader
    if (Cause.squash(cause) instanceof PositionMoved) {
      for (const partition of partitions) member.next.delete(partitionName(partition))
      return true
    }
    // A member that is being stopped is interrupted here; a `handle` that interrupted itself has failed as any other.
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

/** What the records cover of each partition; undefined when a position has moved since they were read. */
const spansOf = (
  records: ReadonlyArray<Received>,
  next: ReadonlyMap<string, number>,
): ReadonlyArray<Span> | undefined => {
  const spans: Array<Span> = []
  for (const [name, those] of Map.groupBy(records, partitionName)) {
    const from = next.get(name)
    const [first] = those
    if (from === undefined || first === undefined || first.offset < from) return undefined
    spans.push({ topic: first.topic, partition: first.partition, from, next: those.at(-1)!.offset + 1 })
  }
  return spans
}

/**
 * Divides rows in order of topic, partition and offset into calls of `handle`: one for all partitions, and one for each
 * that has failed.
 */
const callsOf = (
  rows: ReadonlyArray<LogRow>,
  failing: ReadonlyMap<string, Failing>,
): ReadonlyArray<NonEmptyReadonlyArray<Received>> => {
  const lists = new Map<string, [Received, ...Array<Received>]>()
  for (const row of rows) {
    const record = receivedOf(row)
    const name = failing.has(partitionName(record)) ? partitionName(record) : ""
    const list = lists.get(name)
    if (list === undefined) lists.set(name, [record])
    else list.push(record)
  }
  return [...lists.values()]
}
