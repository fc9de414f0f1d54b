import { Context, type Duration, type Effect, type Latch, Schema, type Scope } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { textOf } from "../loop/defect.ts"

/** What goes onto a topic. Header names are lower case; value and headers arrive as they were sent, byte by byte. */
export interface Outgoing {
  readonly topic: string
  readonly key: string | null
  readonly value: Uint8Array | null
  readonly headers: Readonly<Record<string, string>>
}

/** What comes from a topic: `offset` counts up within a partition, from 0, and `time` is when the bus took it (ms). */
export interface Received extends Outgoing {
  readonly partition: number
  readonly offset: number
  readonly time: number
}

export interface Topic {
  readonly name: string
  /** How many partitions it gets when it does not exist yet; undefined: the bus' default of 6. */
  readonly partitions: number | undefined
  /** How long a record stays at least; undefined: for ever. */
  readonly retention: Duration.Duration | undefined
}

/** How long the log keeps the records of a topic, as it is set now. */
export interface Retention {
  readonly topic: string
  /** A record stays at least as long; undefined: for ever. */
  readonly retention: Duration.Duration | undefined
  /** What may remove a record before that, such as `retention.bytes=1000`; undefined: nothing. */
  readonly sooner: string | undefined
}

export interface Lag {
  readonly topic: string
  readonly partition: number
  /** Records that the group has not finished. */
  readonly records: number
}

/** A partition of a topic. */
export interface Partition {
  readonly topic: string
  readonly partition: number
}

/** The name of a partition, such as `order_created/3`. */
export const partitionName = ({ topic, partition }: Partition): string => `${topic}/${partition}`

/** What a partition holds: the records from `first` up to `next`, the offset that its next record gets. */
export interface End extends Partition {
  readonly first: number
  readonly next: number
}

/** Where a group goes on in a partition. */
export interface Position extends Partition {
  readonly next: number
}

/** What a call of `handle` covers of one partition: there is no other record from `from` up to `next`. */
export interface Span extends Partition {
  readonly from: number
  readonly next: number
}

/**
 * Positions that a group keeps by itself, in the database of its effects: they decide where it reads. The bus keeps a copy
 * of its own, some moments behind, for tools and for pruning.
 */
export interface Positions {
  /**
   * Where this member begins in partitions that it was just given, or after `moved`. Reads the kept positions before it
   * asks for `ends`, so that what another member has just finished is not taken for more than there is.
   */
  readonly begin: (
    partitions: ReadonlyArray<Partition>,
    ends: Effect.Effect<ReadonlyArray<End>, EventBusError>,
  ) => Effect.Effect<ReadonlyArray<Position>, unknown>
  /** Spans without any record for the group, such as a marker that ends a transaction. */
  readonly pass: (spans: ReadonlyArray<Span>) => Effect.Effect<void, unknown>
  /** Opened when positions were moved by anyone but this member: it begins anew everywhere. */
  readonly moved: Latch.Latch
}

/** The bus is away or refuses. Nothing that it was asked to keep is lost by asking again. */
export class EventBusError extends Schema.TaggedError<EventBusError>()("EventBusError", {
  operation: Schema.String,
  cause: Schema.Defect(),
}) {
  override get message(): string {
    return `the event log failed to ${this.operation}: ${textOf(this.cause)}`
  }
}

/** A topic that exists has another number of partitions than was asked for: going on would break the order of keys. */
export class PartitionsDiffer extends Schema.TaggedError<PartitionsDiffer>()("PartitionsDiffer", {
  topic: Schema.String,
  wanted: Schema.Int,
  found: Schema.Int,
}) {
  override get message(): string {
    return `topic ${this.topic} has ${this.found} partitions, not ${this.wanted}: the number must not change, for it decides the order of keys`
  }
}

/**
 * A log of topics with partitions, written by key and read by groups: the port under which Galleria runs on its
 * embedded log or on Kafka. `EventBusSuite.ts` holds every driver to what is said here.
 *
 * **Order.** Records of one key land in one partition (murmur2 of the key, as Java's client does), those of one
 * `send` in the order given. A partition is read in the order of its offsets. Between partitions and between topics
 * there is no order. Order per key needs one sender at a time: whoever sends has one `send` in flight.
 *
 * **Durability.** When `send` succeeds, all its records are kept. When it fails or is interrupted, any part of them
 * may have been kept all the same: sending them again is right, and readers see a copy.
 *
 * **Delivery.** At least once to each group. A group's position in a partition moves only after `handle` has
 * succeeded; whatever was not finished comes again: after a failure, a crash, a rebalance. A group that is new starts
 * at the oldest record that is kept. A group with `Positions` of its own begins where these say, and nowhere else.
 * A record is gone when its retention has passed.
 */
export class EventBus extends Context.Service<
  EventBus,
  {
    /** Makes the topics that don't exist yet; repeating it changes nothing. */
    readonly ensure: (topics: ReadonlyArray<Topic>) => Effect.Effect<void, EventBusError | PartitionsDiffer>

    /** Appends the records; see *Order* and *Durability*. An empty list is fine. */
    readonly send: (records: ReadonlyArray<Outgoing>) => Effect.Effect<void, EventBusError>

    /**
     * Joins `group` as one more member that reads `topics`, and reads until the scope closes.
     *
     * A call of `handle` brings records of one topic, of one or more of its partitions, those of a partition in order
     * and without gap. A partition is never in two calls of one group at once, as far as the bus can know: a member
     * that was frozen may still be busy when another has taken over, so `handle` must stand repetition.
     * When `handle` fails, the same records come again after a pause; the bus never skips. Whatever fails holds up its
     * own partition alone: where a call of several fails, each comes by itself. A call that takes longer than
     * `HandleWithin` is interrupted, and has failed.
     * A member has no more in hand than its calls: what is slow to handle waits in the log.
     * Closing the scope waits some seconds for the running `handle`, commits what it finished, and leaves the group.
     */
    readonly consume: (options: {
      readonly group: string
      readonly topics: ReadonlyArray<string>
      readonly handle: Handle
      /** Left out, the bus keeps the group's positions. */
      readonly positions?: Positions | undefined
    }) => Effect.Effect<void, EventBusError, Scope.Scope>

    /** How far `group` is behind, for each partition of the topics that it reads. */
    readonly lag: (group: string) => Effect.Effect<ReadonlyArray<Lag>, EventBusError>

    /**
     * Where the topics begin and end, partition by partition: every record whose `send` had succeeded when this was
     * called is before the end. Topics that do not exist are left out.
     */
    readonly ends: (topics: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<End>, EventBusError>

    /** In each partition of a topic the first offset whose record the bus took at `time` (ms) or later, else its end. */
    readonly since: (topic: string, time: number) => Effect.Effect<ReadonlyArray<Position>, EventBusError>

    /** How long the records of these topics are kept. Topics that do not exist are left out. */
    readonly retentions: (topics: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<Retention>, EventBusError>

    /** The name of this log, which no other log has, such as `kafka:MkU3OEVBNTcwNTJENDM2Qk`. It never changes. */
    readonly identity: Effect.Effect<string, EventBusError>

    /** Succeeds when the bus answers. */
    readonly probe: Effect.Effect<void, EventBusError>
  }
>()("galleria/EventBus") {}

/** How long a call of `handle` may take; read where `consume` is called. */
export const HandleWithin = Context.Reference<Duration.Input>("galleria/events/HandleWithin", {
  defaultValue: () => "30 seconds",
})

/** A call of `handle` took longer than `HandleWithin`. */
export class HandledTooLate extends Schema.TaggedError<HandledTooLate>()("HandledTooLate", { millis: Schema.Number }) {
  override get message(): string {
    return `the records were not handled within ${this.millis / 1_000} s`
  }
}

/** `spans` say what the call covers, for each partition of its records; a bus always gives them. */
export type Handle = (
  records: NonEmptyReadonlyArray<Received>,
  spans?: ReadonlyArray<Span>,
) => Effect.Effect<void, unknown>

/**
 * A `handle`, or `pass`, fails with this when the group's own position is before what the call covers: something moved
 * it back. The bus asks for the position again and goes on there.
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
