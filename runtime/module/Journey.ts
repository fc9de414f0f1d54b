import { type Effect, Schema } from "effect"
import { Instant } from "../http/Instant.ts"

/** An order as its own module has it. */
export const OrderState = Schema.Struct({
  status: Schema.String.annotate({ examples: ["created"] }),
  amount: Schema.String.annotate({ examples: ["100.50"] }),
  created_at: Instant,
}).annotate({ identifier: "OrderState", description: "The order as its own module has it." })
export type OrderState = typeof OrderState.Type

/** What a module does for an order beside its events: a call to the outside, or a hold on stock. */
export const JourneyStep = Schema.Struct({
  kind: Schema.Literals(["charge", "refund", "hold", "mail"]),
  at: Instant.pipe(Schema.annotateEncoded({ description: "When it began." })),
  until: Schema.optionalKey(Instant.pipe(Schema.annotateEncoded({ description: "When a hold expires." }))),
  state: Schema.String.annotate({
    description:
      "Of a call that is to be made `waiting`, `due`, `called`, `retrying` or `unknown`; later, of a charge `successful`, `failed` or `refunded`, of a mail `sent` or `failed`. Of a hold `expected`, `held`, `taken`, `released` or `rejected`.",
    examples: ["waiting"],
  }),
  attempts: Schema.Natural.annotate({ description: "Calls that have failed so far.", examples: [0] }),
  next_attempt_at: Schema.optionalKey(Instant),
  why: Schema.optionalKey(Schema.String.annotate({ examples: ["the circuit of the provider is open"] })),
}).annotate({ identifier: "JourneyStep", description: "A call to the outside, or a hold on stock, for an order." })
export type JourneyStep = typeof JourneyStep.Type

/** A step as a module's own tables have it. While `task` has a row, that row says when and how often it is tried. */
export interface OrderStep extends Pick<JourneyStep, "kind" | "at" | "state" | "why"> {
  readonly task?: { readonly name: string; readonly id: string }
}

/** An event in the history of an order. `data` is as it was received or appended. */
export interface PastEvent {
  readonly id: string
  readonly type: string
  readonly time: Date
  readonly data: unknown
}

/** What a module's own tables have about one order. */
export interface OrderPart {
  readonly user_id?: number
  readonly order?: OrderState
  readonly history?: ReadonlyArray<PastEvent>
  readonly steps?: ReadonlyArray<OrderStep>
}

/** Orders that wait for a module. `count` ends at `mostWaiting`. */
export interface WaitingOrders {
  readonly module: string
  readonly count: number
  readonly oldest_at: Date
  readonly why: string
  /** The ids of some of the orders. */
  readonly sample: ReadonlyArray<string>
}

/** Orders that wait are not counted further. */
export const mostWaiting = 10_000

/** A module's contribution to the journey of an order, and to the overview. It is read-only. */
export interface Journey {
  /** What the module has about an order; undefined: nothing. */
  readonly of?: (order_id: number) => Effect.Effect<OrderPart | undefined>
  /** The tasks that call something outside, by name. `ofOrder`: their ids are those of orders. */
  readonly calls?: Readonly<Record<string, { readonly kind: "charge" | "refund" | "mail"; readonly ofOrder: boolean }>>
  /** Orders that should be further at `now`, and the modules that they wait for. */
  readonly waits?: (now: Date) => Effect.Effect<ReadonlyArray<WaitingOrders>>
  /** What the module owns under this id. */
  readonly find?: (id: number) => Effect.Effect<ReadonlyArray<"order" | "user">>
}
