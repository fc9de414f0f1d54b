import { type Effect, Schema } from "effect"

/** Something that must not be. */
export interface Violation {
  /** The rule that does not hold, such as `paid-once-or-refunded`. */
  readonly invariant: string
  readonly module: string
  /** What it is about, with its id: `order 17`, `product LAPTOP001`. */
  readonly subject: string
  readonly details: string
}

const Units = Schema.Finite.annotate({ examples: [1] })

/**
 * What a module knows of one order, for the comparison with the other modules. What a module does not know of is left
 * out.
 */
export const Facts = Schema.Struct({
  order_id: Schema.Int.annotate({ examples: [17] }),
  status: Schema.String.annotate({ examples: ["processed"] }),
  amount: Schema.optionalKey(Schema.String.annotate({ examples: ["999.90"] })),
  /** What the order needs, of `payment` and `inventory`. */
  steps: Schema.optionalKey(Schema.Array(Schema.String.annotate({ examples: ["payment"] }))),
  /** When it was placed: an ISO 8601 instant. */
  created_at: Schema.optionalKey(Schema.String.annotate({ examples: ["2026-01-02T03:04:05.678Z"] })),
  /** Money or stock of the order is kept. */
  keeps: Schema.optionalKey(Schema.Boolean.annotate({ examples: [true] })),
  /** The module knows that the order ended without success. */
  stopped: Schema.optionalKey(Schema.Boolean.annotate({ examples: [false] })),
  /** What is known of the calls that charge. */
  call: Schema.optionalKey(Schema.Literals(["no", "out", "unknown", "charged"])),
  /** What the provider knows of the charge, where it can be asked. */
  provider: Schema.optionalKey(Schema.Literals(["none", "charged", "refunded"])),
  /** Units: of the order's lines, and by how much the ledger changed stock and reserved units for it. */
  units: Schema.optionalKey(Schema.Struct({ lines: Units, stock: Units, reserved: Units })),
  /** The notifications about it, with repetitions. */
  kinds: Schema.optionalKey(Schema.Array(Schema.String.annotate({ examples: ["order_processed"] }))),
  /** The user sees it. */
  listed: Schema.optionalKey(Schema.Boolean.annotate({ examples: [true] })),
}).annotate({ identifier: "OrderFacts", description: "What one module knows of one order." })
export type Facts = typeof Facts.Type

/** What a module contributes to an audit. It only reads. */
export interface Audit {
  /** Its facts of the first `limit` orders whose id is greater than `after`, in the order of their ids. */
  readonly facts: (after: number, limit: number) => Effect.Effect<ReadonlyArray<Facts>>
  /** What is wrong within the module alone; at most `mostFound` of each kind. */
  readonly violations?: Effect.Effect<ReadonlyArray<Omit<Violation, "module">>>
  /** Reactions whose parked event leaves money or stock of an order where it must not be. */
  readonly stops?: ReadonlyArray<string>
}

/** How many violations of one kind a module looks for. */
export const mostFound = 100
