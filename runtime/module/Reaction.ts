import { Effect, type Exit, Schedule, Schema } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import type { Event, EventType } from "../events/Event.ts"
import { defaultRetry } from "../loop/schedule.ts"

/** This event can never be handled: it is parked at once, for an operator. */
export class Reject extends Schema.TaggedError<Reject>()("Reject", { reason: Schema.String }) {}

/** Not now: the event is retried after `for` (1 s to 24 h), and later events of its key wait. Not a failed attempt. */
export class Postpone extends Schema.TaggedError<Postpone>()("Postpone", { for: Schema.Duration }) {}

type Handle<Input, R> = (input: Input) => Effect.Effect<void, Reject | Postpone, R>

/**
 * Handles one type of event, in the transaction that takes charge of it.
 *
 * `name` must never change: it identifies the reaction in the inbox and in dead letters. Each event takes effect once, and
 * events of one key take effect in order. Other keys and topics have no order, so record an event that arrives early, and
 * never wait for others.
 */
export interface Reaction<out R> {
  readonly name: string
  readonly event: EventType
  readonly decode: (data: unknown) => Exit.Exit<unknown, Schema.SchemaError>
  readonly run: Handle<NonEmptyReadonlyArray<Event<any>>, R>
  /** The member of the data by whose value a failing event holds back later ones; undefined: by the event's key. */
  readonly heldBy: string | undefined
  /** When a failed event is retried; after the end of the schedule the event is parked. */
  readonly retry: Schedule.Schedule<unknown>
  /**
   * Undoes a limited part of everything that the reaction did, and returns whether there is more. Afterwards its topic can be
   * read again from the start. A projection has one.
   */
  readonly reset: Effect.Effect<boolean, never, R> | undefined
  /** Whether the reaction, when added to an existing module, begins with the oldest record instead of the next one. */
  readonly hasHistory: boolean
}

interface Options<Data extends Schema.Codec<any, any>, R> {
  readonly name: string
  readonly event: EventType<string, Data>
  /**
   * A member of the data, such as `order_id`: a failing event holds back only later events with the same value. Without it, a
   * failing event holds back later events of its key. Events with the same value must have the same key, to be ordered.
   */
  readonly heldBy?: keyof Data["Encoded"] & string
  readonly retry?: Schedule.Schedule<unknown>
  readonly reset?: Effect.Effect<boolean, never, R>
  /**
   * Whether the reaction needs all earlier events when it is added, as a table of known users does. Default: true with
   * `reset`, else false. Leave it out for actions: a mail or a charge about an old event would be wrong.
   */
  readonly hasHistory?: boolean
}

/** The key of a dead letter whose reaction is held by `member`, as in `order_id:42`. */
export const heldKey = (member: string, value: string | number): string => `${member}:${value}`

/**
 * A reaction to many events at once, in their order, such as a set statement of a projection. It must itself combine events
 * about the same row. When it fails, it is called again with fewer events, down to one.
 */
export const all = <Data extends Schema.Codec<any, any>, R>(
  options: Options<Data, R> & { readonly handle: Handle<NonEmptyReadonlyArray<Event<Data["Type"]>>, R> },
): Reaction<R> => ({
  name: options.name,
  event: options.event,
  decode: Schema.decodeUnknownExit(options.event.data, { errors: "all" }),
  run: options.handle,
  heldBy: options.heldBy,
  retry: options.retry ?? defaultRetry,
  reset: options.reset,
  hasHistory: options.hasHistory ?? options.reset !== undefined,
})

/** A reaction to one event, for a rule of one aggregate. */
export const each = <Data extends Schema.Codec<any, any>, R>(
  options: Options<Data, R> & { readonly handle: Handle<Event<Data["Type"]>, R> },
): Reaction<R> => all({ ...options, handle: (events) => Effect.forEach(events, options.handle, { discard: true }) })

/** The reaction with at most that many attempts before an event is parked (`RETRY_ATTEMPTS`). */
export const atMost =
  (attempts: number) =>
  <R>(reaction: Reaction<R>): Reaction<R> => ({
    ...reaction,
    retry: reaction.retry.pipe(Schedule.upTo({ times: attempts - 1 })),
  })
