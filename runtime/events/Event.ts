import { Schema } from "effect"

/**
 * A kind of event: its name, which is also its topic; the version of its data; and what keeps its order.
 *
 * Within a version a field may be added, none renamed or removed.
 */
export interface EventType<Type extends string = string, Data extends Schema.Codec<any, any> = Schema.Codec<any, any>> {
  readonly type: Type
  readonly version: number
  readonly data: Data
  /** The member of the data that is the record's key: events of one key keep their order within the topic. */
  readonly key: string
  /** The member that names what the event is about: the aggregate's id, CloudEvents' `subject`. */
  readonly subject: string
  /** Its topic is never pruned, so that a module which is added later learns all of it. */
  readonly keptForever: boolean
}

export const define = <const Type extends string, Data extends Schema.Codec<any, any>>(
  type: Type,
  options: {
    readonly data: Data
    readonly key: keyof Data["Type"] & string
    readonly subject: keyof Data["Type"] & string
    readonly version?: number
    readonly keptForever?: boolean
  },
): EventType<Type, Data> => ({ version: 1, keptForever: false, ...options, type })

/** Something that happened, not yet written down: what a decision returns. */
export interface Fact<E extends EventType = EventType> {
  readonly event: E
  readonly data: E["data"]["Type"]
}

export const fact = <E extends EventType>(event: E, data: E["data"]["Type"]): Fact<E> => ({ event, data })

/** An event as a reaction meets it. `source` and `id` together identify it; `key` is what it is ordered by. */
export interface Event<Data = unknown> {
  readonly id: string
  readonly source: string
  readonly type: string
  readonly time: Date
  readonly key: string | null
  readonly data: Data
  /** The data as it came: before defaults, and with the members that this release does not know. */
  readonly received: unknown
}
