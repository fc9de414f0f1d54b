import { existsSync } from "node:fs"
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises"
import { dirname, join } from "node:path"

/** Puts there what isn't. It appears by a rename, complete, so several processes may do it at once. */
export const cached = async (target: string, make: (path: string) => Promise<void>): Promise<void> => {
  if (existsSync(target)) return
  await mkdir(dirname(target), { recursive: true })
  const work = await mkdtemp(join(dirname(target), "new-"))
  try {
    const made = join(work, "made")
    await make(made)
    await rename(made, target).catch((error) => {
      // Another process was first.
      if (!existsSync(target)) throw error
    })
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}
