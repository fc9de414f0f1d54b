import { spawn } from "node:child_process"

/** Cleans up behind this process, when it says so or is gone. */
export interface Guard {
  /** A line for the script to read. */
  readonly write: (line: string) => void
  /** Lets the script come to its end, and waits for it. */
  readonly release: () => Promise<void>
}

/**
 * Runs a script of the shell beside this process. Its standard input ends with the release or once this process is
 * gone, even by kill -9: what comes after `cat`, or a loop of `read`, is done in any case.
 */
export const startGuard = (script: string, ...args: ReadonlyArray<string>): Guard => {
  const shell = spawn("sh", ["-c", script, "guard", ...args], { detached: true, stdio: ["pipe", "ignore", "ignore"] })
  const gone = new Promise<void>((resolve) => {
    shell.once("exit", () => resolve()).once("error", () => resolve())
  })
  shell.stdin.on("error", () => {})
  return {
    write: (line) => void shell.stdin.write(`${line}\n`),
    release: () => {
      shell.stdin.end()
      return gone
    },
  }
}
