import { ofContracts } from "./contracts.ts"
import { ofDelivery } from "./delivery.ts"
import { ofEvents } from "./events.ts"
import { ofHttp } from "./http.ts"
import type { Mutant } from "./Mutant.ts"
import { ofProcesses } from "./processes.ts"
import { ofTasks } from "./tasks.ts"

/** Of each rule of `DELIVERY.md`, and of what else is promised, at least one. */
export const mutants: ReadonlyArray<Mutant> = [
  ...ofDelivery,
  ...ofEvents,
  ...ofTasks,
  ...ofHttp,
  ...ofProcesses,
  ...ofContracts,
]
