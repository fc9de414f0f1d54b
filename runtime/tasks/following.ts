import type { Effect } from "effect"
import type { Task } from "../module/Task.ts"
import { placeOf, traced } from "../telemetry/trace.ts"
import type { Due } from "./taskTable.ts"

/** Runs a part of a task as work that follows from the additions of its rows. */
export const following =
  (part: "begin" | "call" | "end", task: Task<never>, rows: ReadonlyArray<Due>) =>
  <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    traced(
      {
        name: `${part} ${task.name}`,
        kind: "internal",
        causes: rows.flatMap(({ traceparent }) => placeOf(traceparent) ?? []),
        attributes: { "galleria.task": task.name },
      },
      () => work,
    )
