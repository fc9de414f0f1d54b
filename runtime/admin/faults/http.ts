import { Clock, Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { NotFound } from "../../http/Problem.ts"
import type { FaultRegistry, FaultState } from "../../module/Faults.ts"
import { actor } from "../actor.ts"
import type { DeadLetters } from "../DeadLetters.ts"
import type { FaultSwitch } from "../FaultSwitch.ts"
import { faultsApi } from "./api.ts"

/** `/admin/faults`. `record` lists an action. */
export const faultsHttp = (faults: FaultRegistry, record: DeadLetters["Service"]["record"]) =>
  HttpApiBuilder.group(faultsApi, "faults", (handlers) =>
    handlers.handleAll({
      list: () => Effect.sync(() => ({ items: faults.list().map(shownOf) })),
      set: ({ params: { name }, payload: { enabled, user_id } }) =>
        Effect.gen(function* () {
          const known = faults.list().find((fault) => fault.name === name)
          const now = yield* Clock.currentTimeMillis
          const since = enabled ? (known?.since ?? now) : undefined
          const fault = faults.set({ name, since, userId: enabled ? user_id : undefined })
          if (fault === undefined) return yield* new NotFound({})
          const state = enabled ? `on${user_id === undefined ? "" : ` for user ${user_id}`}` : "off"
          yield* Effect.logWarning(`The fault ${name} is switched ${state}`)
          const action = enabled ? "switch a fault on" : "switch a fault off"
          const details = user_id === undefined || !enabled ? {} : { user_id }
          // A switch has to work while the database does not.
          yield* Effect.ignoreCause(record({ actor: yield* actor, action, target: name, details }))
          return shownOf(fault)
        }),
    }),
  )

const shownOf = ({ name, since, userId }: FaultState): FaultSwitch => ({
  name,
  enabled: since !== undefined,
  since: since === undefined ? null : new Date(since),
  ...(userId === undefined ? {} : { user_id: userId }),
})
