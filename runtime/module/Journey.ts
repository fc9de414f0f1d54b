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
      "`waiting`, `due`, `called`, `retrying` or `unknown` while it goes on; then, of a charge or refund, `successful`, `failed` or `refunded`; of a hold `held`, `taken`, `released` or `rejected`; of a mail `sent` or `failed`.",
    examples: ["waiting"],
  }),
  attempts: Schema.Natural.annotate({ description: "Calls that have failed so far.", examples: [0] }),
  next_attempt_at: Schema.optionalKey(Instant),
  why: Schema.optionalKey(Schema.String.annotate({ examples: ["the circuit of the provider is open"] })),
}).annotate({ identifier: "JourneyStep", description: "A call to the outside, or a hold on stock, for an order." })
export type JourneyStep = typeof JourneyStep.Type

/** An event that the order's history has. `data` is as it was received or appended. */
export interface PastEvent {
  readonly id: string
  readonly type: string
  readonly time: Date
  readonly data: unknown
}

/** What a module's own tables say about one order. */
export interface OrderPart {
  /** The order's user; undefined when the module does not have it. */
  readonly user_id?: number
  readonly order?: OrderState
  readonly history?: ReadonlyArray<PastEvent>
  readonly steps?: ReadonlyArray<JourneyStep>
}

/** Orders that wait for something: how many, since when, why, and some of their ids. */
export interface WaitingOrders {
  readonly kind: "order" | "charge" | "refund" | "mail"
  /** The count ends at `mostWaiting`. */
  readonly count: number
  readonly oldest_at: Date
  readonly why: string
  readonly sample: ReadonlyArray<string>
}

/** Orders that wait are not counted further. */
export const mostWaiting = 10_000

/** A module's contribution to the journey of an order and to the overview. It is read-only. */
export interface Journey {
  /** What the module has about an order. */
  readonly of: (order_id: number) => Effect.Effect<OrderPart>
  /** What waits in the module at `now`; nothing when it is empty. */
  readonly waits?: (now: Date) => Effect.Effect<ReadonlyArray<WaitingOrders>>
  /** The ids of what the module owns that has this id: `order` or `user`. */
  readonly find?: (id: number) => Effect.Effect<ReadonlyArray<"order" | "user">>
}
