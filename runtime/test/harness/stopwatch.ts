import { monitorEventLoopDelay } from "node:perf_hooks"

/**
 * Starts a watch, and returns what stops it: how many milliseconds passed, and how many without the longest time for which
 * a busy machine let this process stand still. The latter is for limits from above.
 */
export const stopwatch = () => {
  const standing = monitorEventLoopDelay()
  standing.enable()
  const began = performance.now()
  return () => {
    const millis = performance.now() - began
    standing.disable()
    return { millis, ownMillis: millis - standing.max / 1e6 }
  }
}
