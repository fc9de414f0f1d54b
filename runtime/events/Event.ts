import { Schema } from "effect"

/**
 * A type of event: its name, which is also its topic, the schema and version of its data, and its key.
 *
 * Within a version fields may be added, but not renamed or removed.
 */
export interface EventType<Type extends string = string, Data extends Schema.Codec<any, any> = Schema.Codec<any, any>> {
  readonly type: Type
  readonly version: number
  readonly data: Data
  /** The member of the data that is the record's key: a topic keeps the order of events of one key. */
  readonly key: string
  /** The member of the data that has the aggregate's id: CloudEvents' `subject`. */
  readonly subject: string
  /** Records of its topic are never removed, so that a module that is added later can read the whole history. */
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

/** An event that a decision returns, before it is stored. */
export interface Fact<E extends EventType = EventType> {
  readonly event: E
  readonly data: E["data"]["Type"]
}

export const fact = <E extends EventType>(event: E, data: E["data"]["Type"]): Fact<E> => ({ event, data })

/** An event as a reaction gets it. `source` and `id` together identify it; events of one `key` are in order. */
export interface Event<Data = unknown> {
  readonly id: string
  readonly source: string
  readonly type: string
  readonly time: Date
  readonly key: string | null
  readonly data: Data
  /** The data as received: without defaults, and with members that this release does not know. */
  readonly received: unknown
}
