import { performance } from "node:perf_hooks"

/** Between two looks at how much the process works, in milliseconds. */
const lookMillis = 1_000

/** At rest a process works for less than this part of the time, in so many looks in a row. */
const rest = { utilization: 0.03, looks: 3 }

/** The process has to have grown by so many bytes since the last collection. */
const leastGrowth = 32 * 1024 * 1024

/** What is known of the process, and what can be done. */
interface Memory {
  /** Which part of the time the process has worked since the last call, from 0 to 1. */
  readonly utilization: () => number
  /** Resident memory, in bytes. */
  readonly resident: () => number
  readonly collect: () => void
}

/** One look: collects when the process is at rest and has grown. */
export const makeLook = ({ utilization, resident, collect }: Memory) => {
  let calm = 0
  let after = 0
  return (): void => {
    calm = utilization() < rest.utilization ? calm + 1 : 0
    if (calm < rest.looks || resident() - after < leastGrowth) return
    collect()
    after = resident()
  }
}

/**
 * Returns memory to the operating system while the process is at rest, until it ends. Node collects garbage when memory is
 * allocated, so a process that rests keeps what its start or a load has left behind. A collection takes about 0.1 s, in
 * which no request is answered, so there is none while more than a few requests a second arrive.
 *
 * Needs `node --expose-gc`, and does nothing without.
 */
export const returnMemoryAtRest = (): void => {
  const { gc } = globalThis
  if (gc === undefined) return
  let last = performance.eventLoopUtilization()
  const look = makeLook({
    utilization: () => {
      const before = last
      last = performance.eventLoopUtilization()
      return performance.eventLoopUtilization(last, before).utilization
    },
    resident: () => process.memoryUsage.rss(),
    // Of the kinds of collection this one also shrinks the heap.
    collect: () => gc({ type: "major", execution: "sync", flavor: "last-resort" }),
  })
  setInterval(look, lookMillis).unref()
}
