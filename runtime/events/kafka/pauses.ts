import type { Cause } from "effect"
import type { EachBatchPayload } from "kafkajs"
import { restMillis } from "../../loop/rest.ts"
import { type Partition, partitionName } from "../EventBus.ts"
import { rejectionOf } from "./client.ts"

/** What pausing a partition needs of the payload of one of its batches. */
type Pausable = Pick<EachBatchPayload, "pause"> & { readonly batch: Partition }

/** Stops fetching from the partition of a batch for that long. */
export const pauseFor = (payload: Pausable, millis: number): void => {
  const resume = payload.pause()
  // A consumer that has stopped meanwhile cannot resume, and throws.
  setTimeout(() => void rejectionOf(Promise.resolve().then(resume)), millis)
}

export interface Pauses {
  /** The partition failed: it is paused, for longer each time in a row. Its records are fetched again afterwards. */
  readonly failed: (payload: Pausable, cause: Cause.Cause<unknown>) => void
  readonly succeeded: (partition: Partition) => void
  /** Why a partition failed; undefined while none does. */
  readonly cause: () => Cause.Cause<unknown> | undefined
  /** Forgets all failures, as after a rebalance: the partitions may belong to another member. */
  readonly clear: () => void
}

/** Pauses the partitions that fail, one by one: a batch that throws would in the end stop the whole consumer. */
export const makePauses = (onFailure: () => void): Pauses => {
  const failures = new Map<string, { readonly times: number; readonly cause: Cause.Cause<unknown> }>()
  return {
    failed: (payload, cause) => {
      const name = partitionName(payload.batch)
      const times = (failures.get(name)?.times ?? 0) + 1
      failures.set(name, { times, cause })
      pauseFor(payload, restMillis(times))
      onFailure()
    },
    succeeded: (partition) => void failures.delete(partitionName(partition)),
    cause: () => failures.values().next().value?.cause,
    clear: () => failures.clear(),
  }
}
