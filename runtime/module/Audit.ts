import { type Effect, Schema } from "effect"

/** A violated invariant. */
export interface Violation {
  /** The invariant, such as `paid-once-or-refunded`. */
  readonly invariant: string
  readonly module: string
  /** The affected object, with its id: `order 17`, `product LAPTOP001`. */
  readonly subject: string
  readonly details: string
}

const Units = Schema.Finite.annotate({ examples: [1] })

/**
 * A module's facts about one order, for the comparison with the other modules. Facts that a module does not have are left
 * out.
 */
export const Facts = Schema.Struct({
  order_id: Schema.Int.annotate({ examples: [17] }),
  status: Schema.String.annotate({ examples: ["processed"] }),
  amount: Schema.optionalKey(Schema.String.annotate({ examples: ["999.90"] })),
  /** The order's steps, out of `payment` and `inventory`. */
  steps: Schema.optionalKey(Schema.Array(Schema.String.annotate({ examples: ["payment"] }))),
  /** When the order was placed, in ISO 8601. */
  created_at: Schema.optionalKey(Schema.String.annotate({ examples: ["2026-01-02T03:04:05.678Z"] })),
  /** Whether money or stock is kept for the order. */
  keeps: Schema.optionalKey(Schema.Boolean.annotate({ examples: [true] })),
  /** Whether the module has processed an event that the order failed or was cancelled. */
  stopped: Schema.optionalKey(Schema.Boolean.annotate({ examples: [false] })),
  /** The state of the calls that charge. */
  call: Schema.optionalKey(Schema.Literals(["no", "out", "unknown", "charged"])),
  /** The provider's state of the charge, where it can be queried. */
  provider: Schema.optionalKey(Schema.Literals(["none", "charged", "refunded"])),
  /** Units of the order's lines, and the ledger's changes of stock and reserved units for the order. */
  units: Schema.optionalKey(Schema.Struct({ lines: Units, stock: Units, reserved: Units })),
  /** The kinds of the notifications about the order, with duplicates. */
  kinds: Schema.optionalKey(Schema.Array(Schema.String.annotate({ examples: ["order_processed"] }))),
  /** Whether the order is in its user's list. */
  listed: Schema.optionalKey(Schema.Boolean.annotate({ examples: [true] })),
}).annotate({ identifier: "OrderFacts", description: "One module's facts about one order." })
export type Facts = typeof Facts.Type

/** A module's contribution to an audit. It is read-only. */
export interface Audit {
  /** Facts about the first `limit` orders whose id is greater than `after`, ordered by id. */
  readonly facts: (after: number, limit: number) => Effect.Effect<ReadonlyArray<Facts>>
  /** Violations within the module; at most `mostFound` of each kind. */
  readonly violations?: Effect.Effect<ReadonlyArray<Omit<Violation, "module">>>
  /** Reactions whose parked events leave money or stock of an order in a wrong place. */
  readonly stops?: ReadonlyArray<string>
}

/** Maximum number of violations of one kind that a module reports. */
export const mostFound = 100
