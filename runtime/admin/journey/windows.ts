/** A span of time (Unix ms), both ends included. */
export interface Window {
  readonly from: number
  readonly to: number
}

/** Around a time of an order its events are looked for (ms): they are written shortly before and sent shortly after. */
const around = { before: 2_000, after: 5_000 }

/**
 * Where on the log events of an order may be: around each of these times, and in the last seconds before `now`. Windows
 * that overlap are one; they are in the order of time.
 */
export const windowsAround = (times: ReadonlyArray<number>, now: number): ReadonlyArray<Window> => {
  const windows: Array<Window> = []
  const wanted = [...times, now].map((time) => ({ from: time - around.before, to: time + around.after }))
  for (const window of wanted.sort((a, b) => a.from - b.from)) {
    const last = windows.at(-1)
    if (last !== undefined && window.from <= last.to) {
      windows[windows.length - 1] = { from: last.from, to: Math.max(last.to, window.to) }
    } else windows.push(window)
  }
  return windows
}
