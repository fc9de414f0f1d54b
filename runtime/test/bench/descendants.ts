import { readdirSync, readFileSync } from "node:fs"

interface Process {
  readonly pid: string
  readonly parent: string
  readonly millis: number
}

/** User and system time of all that a process has started, directly or not, in ms, from Linux' proc(5). */
export const descendantsMillis = (pid: number): number => {
  const children = Map.groupBy(
    readdirSync("/proc").flatMap((name) => processOf(name) ?? []),
    ({ parent }) => parent,
  )
  const sum = (parent: string): number =>
    (children.get(parent) ?? []).reduce((total, child) => total + child.millis + sum(child.pid), 0)
  return sum(String(pid))
}

/** The same with the process's own; NaN where the system does not report it. */
export const familyMillis = (pid: number): number => {
  try {
    return (processOf(String(pid))?.millis ?? Number.NaN) + descendantsMillis(pid)
  } catch {
    return Number.NaN
  }
}

/** With the time of its children that have ended; clock ticks are 10 ms. */
const processOf = (pid: string): Process | undefined => {
  if (!/^\d+$/u.test(pid)) return undefined
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ")
    return {
      pid,
      parent: fields[1]!,
      millis: fields.slice(11, 15).reduce((total, ticks) => total + Number(ticks) * 10, 0),
    }
  } catch {
    return undefined
  }
}
