import { importsOf, type SourceFile } from "../sources.ts"
import { composed, withModule } from "./edits.ts"
import type { Files } from "./files.ts"
import { moduleFiles } from "./moduleFiles.ts"
import { capital, type Names } from "./names.ts"

/** The programs, tests and configuration whose imports are copied with them. */
const entries = [
  "runtime/main.ts",
  ...["contracts", "map", "new", "replay", "severability"].map((name) => `runtime/commands/${name}.ts`),
  ...["harness/globalSetup.ts", "harness/scenario.ts", "imports.ts", "declarations.ts"].map(
    (name) => `runtime/test/${name}`,
  ),
  "runtime/vitest.config.ts",
]

/** Other files, copied as they are: a path, or the folder of one kind of file. */
export const isCopied = (path: string): boolean =>
  [
    "tsconfig.json",
    ".oxlintrc.json",
    ".oxfmtrc.json",
    ".gitignore",
    "LICENSE",
    "docker/make-env",
    "runtime/needsNode24.cjs",
    "runtime/compileCache.js",
  ].includes(path) ||
  path.startsWith("docker/Dockerfile") ||
  (path.startsWith("runtime/console/") && !path.includes(".test.")) ||
  /^runtime\/(?!test\/).*\.d\.ts$/u.test(path) ||
  /^runtime\/(?!test\/).*\.md$/u.test(path) ||
  /^modules\/[A-Z]\w*\.ts$/u.test(path)

/** The sources that a program of its own needs: the entries with all that they import, without modules. */
export const neededSources = (sources: ReadonlyArray<SourceFile>): ReadonlyArray<SourceFile> => {
  const byPath = new Map(sources.map((source) => [source.path, source]))
  const reached = new Set(entries)
  // A set is iterated to its end, including what is added meanwhile.
  for (const path of reached) {
    const source = byPath.get(path)
    const isOfModule = /^modules\/[a-z]/u.test(path) || path === "runtime/modules.ts"
    for (const { to } of source === undefined || isOfModule ? [] : importsOf(source))
      if (byPath.has(to)) reached.add(to)
  }
  return sources.filter(
    ({ path }) => reached.has(path) && path !== "runtime/modules.ts" && !/^modules\/[a-z]/u.test(path),
  )
}

/** The manifest with the scripts and packages that the copied files need. */
export const manifestOf = (manifest: any, name: string, files: Files): any => {
  const packages = new Set(
    Object.entries(files).flatMap(([path, text]) => importsOf({ path, text }).map(({ to }) => packageOf(to))),
  )
  const isTool = (one: string) =>
    /^(?:@effect\/tsgo|oxfmt|oxlint|oxlint-tsgolint|typescript|vitest|@types\/node)$/u.test(one)
  const isNeeded = (one: string) => isTool(one) || packages.has(one) || packages.has(one.replace(/^@types\//u, ""))
  const chosen = (all: object) => Object.fromEntries(Object.entries(all).filter(([one]) => isNeeded(one)))
  const runs = (script: string) =>
    [...script.matchAll(/runtime\/[\w./]+\.(?:ts|json|js|cjs)\b/gu)].every(([path]) => path in files)
  return {
    ...manifest,
    name,
    description: "A backend of modules that share only events.",
    scripts: Object.fromEntries(Object.entries<string>(manifest.scripts).filter(([, script]) => runs(script))),
    dependencies: chosen(manifest.dependencies),
    devDependencies: chosen(manifest.devDependencies),
  }
}

const packageOf = (to: string) => to.split("/", to.startsWith("@") ? 2 : 1).join("/")

const keptInCompose = new Set(["kafka", "kafka-ui", "kafka-data"])

/** A service or volume, with the comments before it. */
const composeBlock = /(?:^ {2}#[^\n]*\n)*^ {2}([\w-]+):[^\n]*\n(?:(?: {3,}[^\n]*)?\n)*/gmu

/** The compose file with Kafka and its console, and no module. */
export const withoutModules = (compose: string): string => {
  const at = compose.search(/^services:/mu)
  const head = compose
    .slice(0, at)
    .replace(/^(?:#[^\n]*\n)*/u, "# A container and a PostgreSQL for each module, Kafka, and Kafka UI.\n")
    .replaceAll(/MODULE_URLS: \S*/gu, 'MODULE_URLS: ""')
  return (
    head + compose.slice(at).replaceAll(composeBlock, (block, name: string) => (keptInCompose.has(name) ? block : ""))
  )
}

/** The text with the program's own name in place of this one's. */
export const renamed = (text: string, from: string, to: string) =>
  text.replaceAll(capital(from), capital(to)).replaceAll(from, to)

/** The files that are not copies: the sample module, what lists it, the checks and the README. */
export const ownFiles = (name: string, sample: Names, modulesTs: string, compose: string): Files => ({
  ...moduleFiles(sample),
  "runtime/modules.ts": withModule(
    modulesTs.replaceAll(/^import \{ \w+ \} from [^\n]*\n/gmu, "").replace(/modules = \{[^}]*\}/u, "modules = {}"),
    sample.module,
  ),
  "docker/compose.yaml": composed(withoutModules(compose), sample.module),
  "runtime/test/structure.test.ts": structureTest,
  ".ci/run": `#!/usr/bin/env bash
# Everything that must hold before a change lands.
set -euo pipefail
cd "$(dirname "$0")/.."
npm ci --no-audit --no-fund
npm run --silent check
npm run --silent contracts
npm test --silent
`,
  "README.md": readmeOf(name, sample),
})

const structureTest = `import { describe, expect, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { mapOf } from "../commands/map.ts"
import { projectFolder, sourcesIn } from "../commands/sources.ts"
import type { Module } from "../module/Module.ts"
import { modules } from "../modules.ts"
import { modulesIn, upward, vagueNames, violations } from "./imports.ts"

const sources = sourcesIn(projectFolder, "modules", "runtime")

describe("the structure", () => {
  it("has no forbidden import", () => expect(violations(sources)).toEqual([]))

  it("has folders in one order, each of which imports only from those before it", () => {
    expect(upward(sources)).toEqual([])
  })

  it("has no names without meaning", () => expect(vagueNames(sources)).toEqual([]))

  it("runs every module that there is", () => expect(Object.keys(modules).sort()).toEqual(modulesIn(sources)))

  it("has a map in README that is the one that is printed", () => {
    const readme = readFileSync(\`\${projectFolder}/README.md\`, "utf8")
    expect(readme).toContain(\`\\n\\n\${mapOf(Object.values<Module>(modules))}\\n\\n\`)
  })
})
`

const readmeOf = (name: string, { module, noun, plural }: Names) => `# ${capital(name)}

A backend of modules that share only events, on a runtime that delivers them. All modules run in one process, on an embedded
database and event log, or each in a process of its own, over Apache Kafka and PostgreSQL.

\`\`\`sh
npm ci && npm run dev        # http://localhost:8000; data in .data/, reload on change
npm test                     # the tests of the modules, and the rules of their structure
curl localhost:8000/${plural} --json '{"name": "First"}'
docker/make-env && docker compose -f docker/compose.yaml up --build --wait
\`\`\`

| module | endpoints | publishes | reacts to |
|---|---|---|---|
| [\`${module}\`](modules/${module}) | \`/${plural}\` | \`${noun}_created\` |  |

\`/docs\` describes the endpoints and events of the modules that run. \`${module}\` is a sample: change it, or remove it once there
is another module.

- \`npm run new -- module shipping parcel\` makes a module, \`-- event shipping parcel_sent\` an event, and
  \`-- reaction shipping ${noun}_created\` a reaction, with tests.
- \`npm run contracts\` names each change that breaks another program; \`-- accept\` records a release.
- \`npm run severability\` lists what a module shares with others.
- \`npm run check\` checks types, lint and format; \`.ci/run\` is what must pass before a change lands.

How it works: [\`runtime/README.md\`](runtime/README.md), [\`DELIVERY.md\`](runtime/DELIVERY.md),
[\`SETTINGS.md\`](runtime/SETTINGS.md), [\`OPERATING.md\`](runtime/OPERATING.md). These describe the runtime by the modules of a
shop, for which it was written, and name tests that are not part of this copy.
`
