import { Schema } from "effect"
import { Instant } from "../http/Instant.ts"

/** An id of a user: the runtime does not know the type of the modules. */
const UserId = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }))

/** A fault that can be switched on, to try things out. */
export const FaultSwitch = Schema.Struct({
  name: Schema.String.annotate({
    description: "`relay.<module>`, `reaction.<name>`, `provider`, `mail` or `events`.",
    examples: ["reaction.inventory.hold-order"],
  }),
  enabled: Schema.Boolean.annotate({ examples: [true] }),
  since: Schema.NullOr(Instant).annotate({ description: "When it was switched on; null while it is off." }),
  user_id: Schema.optionalKey(UserId.annotate({ description: "The only user whose events fail; left out: all." })),
}).annotate({ identifier: "FaultSwitch", description: "A fault that can be switched on." })
export type FaultSwitch = typeof FaultSwitch.Type

export const FaultSwitches = Schema.Struct({ items: Schema.Array(FaultSwitch) }).annotate({
  description: "All faults that this process can be given.",
})

/** The body that switches a fault. */
export const FaultSetting = Schema.Struct({
  enabled: Schema.Boolean.annotate({ examples: [true] }),
  user_id: Schema.optionalKey(UserId),
})
