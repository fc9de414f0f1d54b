import { readdirSync, readFileSync } from "node:fs"

/**
 * Sends SIGSTOP and returns once no thread of the process runs: a busy machine still runs some for milliseconds after
 * the signal was sent. A process that has ended counts as frozen. Without `/proc` it returns at once.
 */
export const freeze = (pid: number): void => {
  try {
    process.kill(pid, "SIGSTOP")
  } catch {
    return
  }
  const deadline = Date.now() + 10_000
  while (!statesOf(pid).every((state) => "TtZX".includes(state))) {
    if (Date.now() > deadline) throw new Error(`process ${pid} still runs 10 s after SIGSTOP`)
    Atomics.wait(clock, 0, 0, 1)
  }
}

const clock = new Int32Array(new SharedArrayBuffer(4))

/** The state of each thread, one letter: proc_pid_stat(5). */
const statesOf = (pid: number): ReadonlyArray<string> => {
  try {
    return readdirSync(`/proc/${pid}/task`).map((thread) => {
      const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, "latin1")
      return stat.charAt(stat.lastIndexOf(")") + 2)
    })
  } catch {
    return []
  }
}
