import { Effect, Exit } from "effect"
import type { SqlClient } from "effect/sql"
import type { Inbox } from "../inbox/Inbox.ts"
import { asideOf, type Delivery } from "./Delivery.ts"
import { faultOf } from "./fault.ts"
import { outcomeOf, waiting } from "./outcome.ts"

/**
 * Runs the reaction for one event in a savepoint of the running transaction. Undefined when it went well, else what
 * becomes of the event. Fails by the fault of the infrastructure alone.
 */
export const attempt = (sql: SqlClient.SqlClient, delivery: Delivery) =>
  Effect.gen(function* () {
    if (delivery.run === undefined) return delivery.outcome
    const { reaction, event } = delivery.run
    const exit = yield* Effect.exit(sql.withTransaction(reaction.run([event])))
    if (Exit.isSuccess(exit)) return undefined
    if (faultOf(exit.cause) !== "event") return yield* Effect.failCause(exit.cause)
    return yield* outcomeOf(exit.cause)
  })

/**
 * Takes charge of one delivery in the running transaction: it is applied, or set aside as the outcome says, or was known.
 * Fails by the fault of the infrastructure alone.
 */
export const takeAlone = (sql: SqlClient.SqlClient, inbox: Inbox, delivery: Delivery) =>
  Effect.gen(function* () {
    const [fresh] = yield* inbox.takeCharge([delivery])
    if (fresh === undefined) return "known" as const
    const isHeld = yield* inbox.heldOf([fresh])
    const outcome = isHeld(fresh) ? waiting : yield* attempt(sql, fresh)
    if (outcome === undefined) return "applied" as const
    yield* inbox.setAside([asideOf(fresh, outcome)])
    return outcome
  })
