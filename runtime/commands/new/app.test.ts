import { describe, expect, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import manifest from "../../../package.json" with { type: "json" }
import { importsOf, projectFolder, sourcesIn } from "../sources.ts"
import { isCopied, manifestOf, neededSources, ownFiles, renamed, withoutModules } from "./app.ts"
import { namesOf } from "./names.ts"

const read = (path: string) => readFileSync(join(projectFolder, path), "utf8")
const needed = neededSources(sourcesIn(projectFolder, "modules", "runtime"))
const sample = namesOf("note", "note", [])
const own =
  typeof sample === "string" ? {} : ownFiles("shop", sample, read("runtime/modules.ts"), read("docker/compose.yaml"))

/** Their texts have the imports of the files that they make. */
const templates = /^runtime\/commands\/new\/(?:app|edits|\w+Files)\.ts$/u

describe("a program of its own", () => {
  it("has every file that its files import, and no module of this one", () => {
    const paths = new Set([...needed.map(({ path }) => path), ...Object.keys(own)])
    const files = [...needed, ...Object.entries(own).map(([path, text]) => ({ path, text }))]
    const missing = files
      .filter(({ path }) => path.endsWith(".ts") && !templates.test(path))
      .flatMap(importsOf)
      .filter(({ to }) => /^(?:modules|runtime)\//u.test(to) && !paths.has(to) && !isCopied(to))
    expect(missing).toEqual([])
    expect(paths).toContain("runtime/main.ts")
    expect([...paths].filter((path) => /^modules\/(?!note\/)[a-z]/u.test(path))).toEqual([])
  })

  it.each([
    ["tsconfig.json", true],
    ["docker/Dockerfile.dockerignore", true],
    ["docker/compose.yaml", false],
    ["runtime/sql/postgres/README.md", true],
    ["runtime/delivery/relay.ts", false],
    ["modules/Money.test.ts", false],
    ["modules/Money.ts", true],
    ["modules/order/README.md", false],
  ])("copies %s as it is: %s", (path, expected) => expect(isCopied(path)).toBe(expected))

  it("has the scripts whose programs it has, and the packages that it imports", () => {
    const files = Object.fromEntries(needed.map(({ path, text }) => [path, text]))
    const copied = { ...files, "runtime/needsNode24.cjs": "", "runtime/compileCache.js": "" }
    const { name, scripts, dependencies, devDependencies } = manifestOf(manifest, "shop", copied)
    expect(name).toBe("shop")
    expect(Object.keys(scripts)).toEqual(expect.arrayContaining(["dev", "start", "test", "check", "new", "contracts"]))
    for (const script of ["bench", "smoke", "test:whole", "mutants"]) expect(scripts).not.toHaveProperty(script)
    expect(dependencies).not.toHaveProperty("nodemailer")
    expect(dependencies).toMatchObject({ effect: manifest.dependencies.effect, kafkajs: manifest.dependencies.kafkajs })
    expect(devDependencies).not.toHaveProperty("fastify")
    expect(devDependencies).toHaveProperty("vitest")
  })

  it("runs the sample alone", () => {
    expect(own["runtime/modules.ts"]).toContain("modules = { note } satisfies")
    expect(own["runtime/modules.ts"]).not.toContain("order")
  })

  it("has containers of Kafka and of the sample", () => {
    const compose = withoutModules(read("docker/compose.yaml"))
    const services = compose.slice(compose.search(/^services:/mu))
    expect([...services.matchAll(/^ {2}([\w-]+):/gmu)].map(([, name]) => name)).toEqual([
      "kafka",
      "kafka-ui",
      "kafka-data",
    ])
    expect(own["docker/compose.yaml"]).toMatch(/MODULE_URLS: note=http:\/\/note:8000$/mu)
    expect(own["docker/compose.yaml"]).toMatch(/"127\.0\.0\.1:8001:8000"/u)
  })

  it("has its own name", () => {
    expect(renamed("Galleria: galleria_outbox", "galleria", "shop")).toBe("Shop: shop_outbox")
  })
})
