import { variants as floor } from "./floor.ts"
import { variants as forgetting } from "./forgetting.ts"
import { variants as inbox } from "./inbox.ts"
import { variants as outbox } from "./outbox.ts"
import { variants as position } from "./position.ts"
import { variants as postpone } from "./postpone.ts"
import { variants as range } from "./range.ts"
import { variants as reactions } from "./reactions.ts"
import { variants as ready } from "./ready.ts"
import { variants as reset } from "./reset.ts"
import { variants as task } from "./task.ts"
import type { Variant } from "./Variant.ts"

/** Every variant of the protocol, by part, in the order of DELIVERY.md. */
export const variants: ReadonlyArray<Variant> = [
  ...outbox,
  ...floor,
  ...inbox,
  ...postpone,
  ...ready,
  ...position,
  ...range,
  ...reactions,
  ...reset,
  ...forgetting,
  ...task,
]
