import { createRequire } from "node:module"

const changed = new WeakSet<object>()

/** Changes a part of kafkajs that it does not export, named by its path, once for the process. */
export const changeOnce = <Part extends object>(path: string, change: (part: Part) => void): void => {
  const part = createRequire(import.meta.url)(path) as Part
  if (changed.has(part)) return
  changed.add(part)
  change(part)
}
