import { execFile } from "node:child_process"
import { join } from "node:path"

const root = new URL("../../..", import.meta.url).pathname

/** Runs a command of the runtime, such as `smoke.ts`, and says how it ended and what it wrote. */
export const runProgram = (program: string, args: ReadonlyArray<string>) =>
  new Promise<{ readonly code: number; readonly output: string }>((resolve) => {
    const { PATH = "" } = process.env
    const command = [join(root, "runtime/commands", program), ...args]
    const child = execFile(process.execPath, command, { cwd: root, env: { PATH } }, (_error, out, err) =>
      resolve({ code: child.exitCode ?? -1, output: out + err }),
    )
  })
