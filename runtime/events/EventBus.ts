import { Context, type Duration, type Effect, type Latch, Schema, type Scope } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { textOf } from "../loop/defect.ts"

/** A record to send. Header names are lower case; value and headers arrive unchanged, byte by byte. */
export interface Outgoing {
  readonly topic: string
  readonly key: string | null
  readonly value: Uint8Array | null
  readonly headers: Readonly<Record<string, string>>
}

/** A record as read: `offset` counts up within its partition, from 0; `time` is when the log appended it (Unix ms). */
export interface Received extends Outgoing {
  readonly partition: number
  readonly offset: number
  readonly time: number
}

export interface Topic {
  readonly name: string
  /** Partitions of a topic that is created; undefined: `defaultPartitions`. */
  readonly partitions: number | undefined
  /** How long records are kept at least; undefined: for ever. */
  readonly retention: Duration.Duration | undefined
}

/** The current retention of a topic. */
export interface Retention {
  readonly topic: string
  /** How long records are kept at least; undefined: for ever. */
  readonly retention: Duration.Duration | undefined
  /** A setting that may remove records earlier, such as `retention.bytes=1000`; undefined: none. */
  readonly sooner: string | undefined
}

export interface Lag {
  readonly topic: string
  readonly partition: number
  /** Records that the group has not handled yet. */
  readonly records: number
}

/** A partition of a topic. */
export interface Partition {
  readonly topic: string
  readonly partition: number
}

/** The name of a partition, such as `order_created/3`. */
export const partitionName = ({ topic, partition }: Partition): string => `${topic}/${partition}`

/** The records of a partition: from `first` up to, and without, `next`, the offset of the next record to be appended. */
export interface End extends Partition {
  readonly first: number
  readonly next: number
}

/** The next offset that a group reads in a partition. */
export interface Position extends Partition {
  readonly next: number
}

/** What a call of `handle` covers of a partition: the call has every record from `from` up to, and without, `next`. */
export interface Span extends Partition {
  readonly from: number
  readonly next: number
}

/** A part of a partition to read outside of any group. */
export interface ReadRequest extends Partition {
  /** An offset, or the time (Unix ms) since which records are wanted. */
  readonly from: { readonly offset: number } | { readonly time: number }
  /** The most records to return. */
  readonly max: number
  /** How long it may take. */
  readonly within: Duration.Input
}

/** What a `ReadRequest` found. Everything was read when `next` is `end`. */
export interface ReadResult {
  /** In the order of their offsets. */
  readonly records: ReadonlyArray<Received>
  /** The offset at which to continue. */
  readonly next: number
  /** Where the partition ended when it was read. */
  readonly end: number
}

/**
 * Positions that a group stores itself, in the database of its effects: they decide where it reads. The log has a copy,
 * committed a moment later, for tools and for pruning.
 */
export interface Positions {
  /**
   * Where this member begins in partitions that it was just assigned, or after `moved`. Reads the stored positions before
   * it asks for `ends`; otherwise a position that another member has just moved could be beyond the ends.
   */
  readonly begin: (
    partitions: ReadonlyArray<Partition>,
    ends: Effect.Effect<ReadonlyArray<End>, EventBusError>,
  ) => Effect.Effect<ReadonlyArray<Position>, unknown>
  /** Moves the positions over spans without a record, such as a marker that ends a transaction. */
  readonly pass: (spans: ReadonlyArray<Span>) => Effect.Effect<void, unknown>
  /** Opened when something other than this member has moved positions: it begins again in all its partitions. */
  readonly moved: Latch.Latch
}

/** The log is unavailable or has rejected the call. Every call may be repeated. */
export class EventBusError extends Schema.TaggedError<EventBusError>()("EventBusError", {
  operation: Schema.String,
  cause: Schema.Defect(),
}) {
  override get message(): string {
    return `the event log failed to ${this.operation}: ${textOf(this.cause)}`
  }
}

/** An existing topic has another number of partitions than asked for. To go on would break the order of keys. */
export class PartitionsDiffer extends Schema.TaggedError<PartitionsDiffer>()("PartitionsDiffer", {
  topic: Schema.String,
  wanted: Schema.Int,
  found: Schema.Int,
}) {
  override get message(): string {
    return `topic ${this.topic} has ${this.found} partitions, not ${this.wanted}: the number must not change, because the order of keys depends on it`
  }
}

/**
 * An event log of partitioned topics, written by key and read by consumer groups: the port of the embedded log and of
 * Kafka. Every driver passes `EventBusSuite.ts`.
 *
 * **Order.** Records of one key land in one partition (murmur2 of the key, as Java's client does), those of one
 * `send` in the order given. A partition is read in the order of its offsets. Between partitions and between topics
 * there is no order. Order per key needs one sender at a time, with one `send` in flight.
 *
 * **Durability.** When `send` succeeds, all its records are stored. When it fails or is interrupted, any of them may have
 * been stored: send them again, and readers get copies.
 *
 * **Delivery.** At least once to each group. A group's position in a partition moves only after `handle` has
 * succeeded; unhandled records are delivered again after a failure, a crash or a rebalance. A new group begins at the
 * oldest record. A group with `Positions` begins at these, and nowhere else. Records are removed when their retention has
 * passed.
 */
export class EventBus extends Context.Service<
  EventBus,
  {
    /** Creates the topics that do not exist. Idempotent. */
    readonly ensure: (topics: ReadonlyArray<Topic>) => Effect.Effect<void, EventBusError | PartitionsDiffer>

    /** Appends the records; see *Order* and *Durability*. An empty list is fine. */
    readonly send: (records: ReadonlyArray<Outgoing>) => Effect.Effect<void, EventBusError>

    /**
     * Joins `group` with a new member that reads `topics` until the scope closes.
     *
     * A call of `handle` has records of one or more partitions, of any of the topics; those of a partition are in order and
     * without gap. No two calls of a group have the same partition at once, as far as the log can know: a member that
     * was frozen may still run when another has taken over, so `handle` must be idempotent.
     * When `handle` fails, the same records are delivered again after a pause; none is skipped. A failure holds up its own
     * partition only: after a call for several partitions has failed, each is called alone. A call that takes longer than
     * `HandleWithin` is interrupted, which is a failure.
     * A member buffers no more than the records of its calls: the rest waits in the log.
     * When the scope closes, the member waits some seconds for the running `handle`, commits, and leaves the group.
     */
    readonly consume: (options: {
      readonly group: string
      readonly topics: ReadonlyArray<string>
      readonly handle: Handle
      /** Undefined: the log stores the group's positions. */
      readonly positions?: Positions | undefined
    }) => Effect.Effect<void, EventBusError, Scope.Scope>

    /** The lag of `group` in each partition of the topics that it reads. */
    readonly lag: (group: string) => Effect.Effect<ReadonlyArray<Lag>, EventBusError>

    /**
     * Where each partition of the topics begins and ends: every record whose `send` had succeeded before the call is
     * before the end. Topics that do not exist are left out.
     */
    readonly ends: (topics: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<End>, EventBusError>

    /** In each partition of a topic the first offset appended at `time` (Unix ms) or later, or its end. */
    readonly since: (topic: string, time: number) => Effect.Effect<ReadonlyArray<Position>, EventBusError>

    /**
     * Reads records outside of any group, so that no position moves. Begins at the offset (or at the oldest record that is
     * kept, if that is later), or at the first record appended at the time or later, as far as the clock of the log never
     * went back. Returns at most `max` records, and fewer, with `next` before `end`, where time is short. Fails when the topic
     * or partition does not exist, or the log does not answer within `within`.
     */
    readonly read: (reading: ReadRequest) => Effect.Effect<ReadResult, EventBusError>

    /** The retention of the topics. Topics that do not exist are left out. */
    readonly retentions: (topics: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<Retention>, EventBusError>

    /** The unique identity of this log, such as `kafka:MkU3OEVBNTcwNTJENDM2Qk`. It never changes. */
    readonly identity: Effect.Effect<string, EventBusError>

    /** Succeeds when the log responds and, as far as this process knows, accepts records. */
    readonly probe: Effect.Effect<void, EventBusError>
  }
>()("galleria/EventBus") {}

/** How long a call of `handle` may take; read when `consume` is called. */
export const HandleWithin = Context.Reference<Duration.Input>("galleria/events/HandleWithin", {
  defaultValue: () => "30 seconds",
})

/** A call of `handle` took longer than `HandleWithin`. */
export class HandledTooLate extends Schema.TaggedError<HandledTooLate>()("HandledTooLate", { millis: Schema.Number }) {
  override get message(): string {
    return `the records were not handled within ${this.millis / 1_000} s`
  }
}

/** `spans` has what the call covers of each partition of its records. */
export type Handle = (
  records: NonEmptyReadonlyArray<Received>,
  spans?: ReadonlyArray<Span>,
) => Effect.Effect<void, unknown>

/**
 * `handle` or `pass` fails with this when the stored position is before what the call covers, because it was moved back.
 * The member asks for the position again and reads from there.
 */
export class PositionMoved extends Schema.TaggedError<PositionMoved>()("PositionMoved", {
  topic: Schema.String,
  partition: Schema.Int,
}) {
  override get message(): string {
    return `the position in ${partitionName(this)} was moved back`
  }
}

/** The default of `PARTITIONS`. */
export const defaultPartitions = 6
