import { variants as position } from "./position.ts"
import { variants as range } from "./range.ts"
import { variants as reactions } from "./reactions.ts"
import { variants as reset } from "./reset.ts"
import type { Variant } from "./Variant.ts"

/** Every variant of the protocol, by part. */
export const variants: ReadonlyArray<Variant> = [...position, ...range, ...reactions, ...reset]
