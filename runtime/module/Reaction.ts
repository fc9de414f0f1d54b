import { Effect, Schedule, Schema } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import type { Event, EventType } from "../events/Event.ts"
import { defaultRetry } from "../loop/schedule.ts"

/** This event can never be handled: it is parked at once, and a person looks. */
export class Reject extends Schema.TaggedError<Reject>()("Reject", { reason: Schema.String }) {}

/** Not now: the event, and those of its key behind it, are tried again after `for`, 1 s to 24 h. It is no failed attempt. */
export class Postpone extends Schema.TaggedError<Postpone>()("Postpone", { for: Schema.Duration }) {}

type Handle<Input, R> = (input: Input) => Effect.Effect<void, Reject | Postpone, R>

/**
 * What a module does about one type of event, in the transaction that takes charge of it.
 *
 * `name` is stable: it identifies the reaction in the inbox and in the parking lot, so it survives every refactoring.
 * A reaction handles exactly one type. Each event takes effect once; those of a key in order; different keys and
 * different topics in any order, so a fact that comes early is recorded, never waited for.
 */
export interface Reaction<out R> {
  readonly name: string
  readonly event: EventType
  readonly decode: (data: unknown) => Effect.Effect<unknown, Schema.SchemaError>
  readonly run: Handle<NonEmptyReadonlyArray<Event<any>>, R>
  /** The member of the data by which failing events hold back later ones; undefined: the event's key. */
  readonly heldBy: string | undefined
  /** When an event that failed is tried again; once it is done, the event is parked. */
  readonly retry: Schedule.Schedule<unknown>
  /**
   * Undoes a bounded part of all that it ever did, and says whether there is more: its topic can then be read again from
   * the start. A projection has one.
   */
  readonly reset: Effect.Effect<boolean, never, R> | undefined
  /** Added to a module that has read its topic before, it begins with the oldest record; else with what comes next. */
  readonly hasHistory: boolean
}

interface Options<Data extends Schema.Codec<any, any>, R> {
  readonly name: string
  readonly event: EventType<string, Data>
  /**
   * A member of the data, such as `order_id`: an event that fails holds back later ones with the same value there, and
   * no others. Left out, it holds back those of its key. Events of one such value must have one key, for their order.
   */
  readonly heldBy?: keyof Data["Encoded"] & string
  readonly retry?: Schedule.Schedule<unknown>
  readonly reset?: Effect.Effect<boolean, never, R>
  /**
   * Whether it has to know all that happened before it was added, as a table of known users does. A reaction with
   * `reset` always does. Leave it out for what acts: a mail or a charge about what is long past is wrong.
   */
  readonly hasHistory?: boolean
}

/** The key of a dead letter whose reaction is held by `member`, as in `order_id:42`. */
export const heldKey = (member: string, value: string | number): string => `${member}:${value}`

/**
 * A reaction to many events at once, in their order: the set statement of a projection. It must fold two events of
 * one row itself. When it fails, it is called again with fewer, down to one.
 */
export const all = <Data extends Schema.Codec<any, any>, R>(
  options: Options<Data, R> & { readonly handle: Handle<NonEmptyReadonlyArray<Event<Data["Type"]>>, R> },
): Reaction<R> => ({
  name: options.name,
  event: options.event,
  decode: Schema.decodeUnknownEffect(options.event.data, { errors: "all" }),
  run: options.handle,
  heldBy: options.heldBy,
  retry: options.retry ?? defaultRetry,
  reset: options.reset,
  hasHistory: options.hasHistory ?? options.reset !== undefined,
})

/** A reaction to one event: the rule of one aggregate. */
export const each = <Data extends Schema.Codec<any, any>, R>(
  options: Options<Data, R> & { readonly handle: Handle<Event<Data["Type"]>, R> },
): Reaction<R> => all({ ...options, handle: (events) => Effect.forEach(events, options.handle, { discard: true }) })

/** The same reaction, whose events are parked after that many attempts at the latest (`RETRY_ATTEMPTS`). */
export const atMost =
  (attempts: number) =>
  <R>(reaction: Reaction<R>): Reaction<R> => ({
    ...reaction,
    retry: reaction.retry.pipe(Schedule.upTo({ times: attempts - 1 })),
  })
