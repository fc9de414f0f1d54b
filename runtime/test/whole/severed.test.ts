import { execFileSync } from "node:child_process"
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { describe, expect, it } from "vitest"
import { manifestOf, neededSources } from "../../commands/new/app.ts"
import type { Files } from "../../commands/new/files.ts"
import { severabilityOf } from "../../commands/severability.ts"
import { projectFolder, sourcesIn } from "../../commands/sources.ts"
import type { Module } from "../../module/Module.ts"
import { modules } from "../../modules.ts"
import { deploymentOf } from "../harness/deployment.ts"
import { canStartKafka, startKafka } from "../harness/kafka.ts"
import { start, temporaryFolder } from "../harness/process.ts"
import { walk } from "./groupings.ts"

const all = Object.values<Module>(modules)
const sources = sourcesIn(projectFolder, "modules", "runtime")

const write = (folder: string, files: Files) => {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
}

/** Makes an npm package of the runtime, without modules, and returns its file. */
const packRuntime = (folder: string): string => {
  const needed = neededSources(sources).filter(({ path }) => path.startsWith("runtime/"))
  const page = "runtime/console/page"
  cpSync(join(projectFolder, page), join(folder, page), { recursive: true })
  const files = Object.fromEntries(needed.map(({ path, text }) => [path, text]))
  const manifest = JSON.parse(readFileSync(join(projectFolder, "package.json"), "utf8"))
  const own = manifestOf(manifest, "galleria-runtime", files)
  write(folder, { ...files, "package.json": JSON.stringify(own) })
  const [packed] = JSON.parse(execFileSync("npm", ["pack", "--json"], { cwd: folder, encoding: "utf8" }))
  return join(folder, packed.filename)
}

/**
 * Puts a module into a folder of its own: the unpacked runtime, the module, and what `npm run severability` says has to move
 * with it. The packages are those that are installed here. Node runs no TypeScript below `node_modules`, so the runtime is
 * not there.
 */
const takeOut = (module: Module, runtime: string, folder: string) => {
  execFileSync("tar", ["-xzf", runtime, "-C", folder, "--strip-components=1"])
  const { contracts, values } = severabilityOf(module, all, sources)
  for (const path of [`modules/${module.name}`, ...contracts, ...values]) {
    cpSync(join(projectFolder, path), join(folder, path), { recursive: true })
  }
  const { name } = module
  write(folder, {
    "runtime/modules.ts": `import { ${name} } from "../modules/${name}/module.ts"

export const modules = { ${name} }
`,
  })
  symlinkSync(join(projectFolder, "node_modules"), join(folder, "node_modules"))
}

describe.runIf(await canStartKafka())("A module in a folder of its own", { timeout: 300_000 }, () => {
  it("starts alone, and does its part of every order with the others over Kafka", async () => {
    using packing = temporaryFolder()
    using folder = temporaryFolder()
    using data = temporaryFolder()
    using othersData = temporaryFolder()
    takeOut(modules.inventory, packRuntime(packing.path), folder.path)
    await using kafka = await startKafka()
    const env = { KAFKA_BOOTSTRAP_SERVERS: kafka.bootstrap, USER_WAIT_MS: "5000" }
    const others = ["user", "order", "payment", "notification"]
    await using there = await start({ modules: others, dataDir: othersData.path, env })
    await using alone = await start({ root: folder.path, dataDir: data.path, env })
    const parts = [
      { name: "others", modules: others, galleria: there },
      { name: "inventory", modules: ["inventory"], galleria: alone },
    ]
    expect(await walk(deploymentOf(parts))).toEqual([])
  })
})
