import { readdirSync, readFileSync } from "node:fs"
import { dirname, join, normalize, relative } from "node:path"

/** A source file as the net sees it: its path from the project's folder, and what it says. */
export interface Source {
  readonly path: string
  readonly text: string
}

export interface Import {
  readonly from: string
  /** A path from the project's folder, or the name of a package. */
  readonly to: string
}

/** All TypeScript of `folders`. */
export const sourcesIn = (root: string, ...folders: ReadonlyArray<string>): ReadonlyArray<Source> =>
  folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
      .map((entry) => join(entry.parentPath, entry.name))
      .map((file) => ({ path: relative(root, file), text: readFileSync(file, "utf8") })),
  )

const specifier = /(?:(?<!\.)\bfrom|\bimport)\s*\(?\s*["']([^"'\n]+)["']/gu

export const importsOf = ({ path, text }: Source): ReadonlyArray<Import> =>
  [...text.matchAll(specifier)].map((match) => {
    const said = match[1]!
    return { from: path, to: said.startsWith(".") ? normalize(join(dirname(path), said)) : said }
  })

/** What the runtime offers to modules: the ports, and no other file (see runtime/README.md). */
const ports = [
  "runtime/module/Module.ts",
  "runtime/module/Audit.ts",
  "runtime/module/Journey.ts",
  "runtime/module/Reaction.ts",
  "runtime/module/Faults.ts",
  "runtime/module/Task.ts",
  "runtime/module/Tasks.ts",
  "runtime/events/Event.ts",
  "runtime/outbox/Outbox.ts",
  "runtime/module/Deliveries.ts",
  "runtime/sql/Database.ts",
  "runtime/http/Problem.ts",
  "runtime/http/Idempotency.ts",
  "runtime/http/Page.ts",
]

/** What a contract may use of them: vocabulary, no service. */
const contractPorts = [
  "runtime/events/Event.ts",
  "runtime/http/Problem.ts",
  "runtime/http/Page.ts",
  "runtime/http/Idempotency.ts",
]

const isEffect = (to: string) => /^effect(?:\/|$)/u.test(to)
/** Schemas, and endpoints made of them. */
const isVocabulary = (to: string) => to === "effect" || to === "effect/http-api"
/** Values of the domain that several modules speak, such as modules/Money.ts. */
const isSharedValue = (to: string) => /^modules\/[A-Z]\w*\.ts$/u.test(to)
const moduleOf = (path: string) => /^modules\/([a-z]\w*)\//u.exec(path)?.[1]
const isTest = (path: string) => /(?:^|\/)(?:test|suite)\//u.test(path) || path.endsWith(".test.ts")

interface Rule {
  readonly who: string
  readonly applies: (from: string) => boolean
  readonly allows: (to: string, from: string) => boolean
}

const drivers: Readonly<Record<string, RegExp>> = {
  "runtime/events/embedded/": /^runtime\/(?:events|loop|sql)\/|^node:/u,
  "runtime/events/kafka/":
    /^runtime\/(?:events|loop|telemetry)\/|^kafkajs(?:$|\/src\/consumer\/batch\.js$)|^@platformatic\/wasm-utils$|^node:/u,
  "runtime/cache/redis/": /^runtime\/cache\/|^redis$/u,
  "runtime/sql/postgres/": /^runtime\/(?:loop|sql)\/|^@effect\/sql-pg$|^pg$|^node:/u,
  "runtime/sql/embedded/": /^runtime\/(?:loop|sql)\/|^@electric-sql\/pglite$|^@effect\/sql-pg$|^node:/u,
}

/** Drivers of a module's own ports, and the packages that only they may import. */
const driversOfModules: Readonly<Record<string, RegExp>> = {
  "modules/notification/mailer/": /^nodemailer(?:\/|$)/u,
}

/** Who may import what. A file is held to the first rule that applies to it. */
const rules: ReadonlyArray<Rule> = [
  {
    who: "a contract",
    applies: (from) => /^modules\/\w+\/contract\//u.test(from),
    allows: (to, from) =>
      isVocabulary(to) ||
      isSharedValue(to) ||
      contractPorts.includes(to) ||
      to.startsWith(`${dirname(from)}/`) ||
      /^modules\/\w+\/contract\/ids\.ts$/u.test(to),
  },
  {
    who: "a value that modules share",
    applies: isSharedValue,
    allows: (to) => isVocabulary(to) || isSharedValue(to),
  },
  {
    who: "a module",
    applies: (from) => moduleOf(from) !== undefined && !isTest(from),
    allows: (to, from) =>
      isEffect(to) ||
      isSharedValue(to) ||
      ports.includes(to) ||
      moduleOf(to) === moduleOf(from) ||
      Object.entries(driversOfModules).some(([folder, packages]) => from.startsWith(folder) && packages.test(to)) ||
      /^modules\/\w+\/contract\//u.test(to),
  },
  {
    who: "a driver",
    applies: (from) => !isTest(from) && Object.keys(drivers).some((folder) => from.startsWith(folder)),
    allows: (to, from) =>
      isEffect(to) || Object.entries(drivers).some(([folder, allowed]) => from.startsWith(folder) && allowed.test(to)),
  },
  {
    who: "the runtime",
    applies: (from) => from.startsWith("runtime/") && !isTest(from),
    allows: (to, from) => {
      if (to.startsWith("modules/")) return from === "runtime/modules.ts" && /^modules\/\w+\/module\.ts$/u.test(to)
      // Drivers are chosen in one place; the settings that they take are read in another.
      const isSetting = /\/(?:address|settings)\.ts$/u.test(to)
      if (Object.keys(drivers).some((folder) => to.startsWith(folder))) {
        return from === "runtime/drivers.ts" || (from === "runtime/config.ts" && isSetting)
      }
      return !/^(?:@electric-sql\/pglite|kafkajs|redis$)/u.test(to)
    },
  },
]

/** Sentences that name each import that is not allowed, and each module that reaches for the process. */
export const violations = (sources: ReadonlyArray<Source>): ReadonlyArray<string> =>
  sources.flatMap((source) => {
    const rule = rules.find(({ applies }) => applies(source.path))
    if (rule === undefined) return []
    const wrong = importsOf(source)
      .filter(({ to, from }) => !rule.allows(to, from))
      .map(({ from, to }) => `${rule.who} must not import ${to} (${from})`)
    const reaches = moduleOf(source.path) !== undefined && !isTest(source.path) && /\bprocess\.\w/u.test(source.text)
    return reaches ? [...wrong, `a module must not use the process (${source.path})`] : wrong
  })

/**
 * The folders of the runtime, and the files beside them, from the bottom up: each imports from itself and from those before it.
 * The drivers' folders belong to their ports.
 */
const rooms = [
  "loop",
  "telemetry",
  "sql",
  "cache",
  "events",
  "http",
  "outbox",
  "module",
  "tasks",
  "delivery",
  "health",
  "admin",
  "console",
  "remote",
  "remote",
  "config.ts",
  "modules.ts",
  "drivers.ts",
  "topics.ts",
  "ports.ts",
  "startModule.ts",
  "routes.ts",
  "consoleProcess.ts",
  "compose.ts",
  "main.ts",
  "commands",
]

const roomOf = (path: string) => /^runtime\/([^/]+)/u.exec(path)?.[1]

/** Whether it is in the room of that place in the order, or in one before it; what tests have is in none. */
const isAtMost = (own: number) => (path: string) => {
  const room = rooms.indexOf(roomOf(path)!)
  return room !== -1 && room <= own
}

/** Sentences that name each import from a room above, and each room that is not in the order. */
export const upward = (sources: ReadonlyArray<Source>): ReadonlyArray<string> =>
  sources
    .filter(({ path }) => path.startsWith("runtime/") && !isTest(path) && !/\/vitest[^/]*$/u.test(path))
    .flatMap((source) => {
      const own = rooms.indexOf(roomOf(source.path)!)
      if (own === -1) return [`${roomOf(source.path)} is not in the order of rooms (${source.path})`]
      return importsOf(source)
        .filter(({ to }) => to.startsWith("runtime/") && !isAtMost(own)(to))
        .map(({ to }) => `${source.path} must not import ${to}, which is above it`)
    })

const exported = /^export (?:abstract )?(?:class|const|function|interface|type) ([A-Z]\w*)/gmu

/** Sentences that name each word that the runtime exports with two meanings. */
export const sharedWords = (sources: ReadonlyArray<Source>): ReadonlyArray<string> => {
  const files = new Map<string, Set<string>>()
  for (const { path, text } of sources) {
    if (!path.startsWith("runtime/") || isTest(path) || path.startsWith("runtime/delivery/model/")) continue
    for (const [, word] of text.matchAll(exported)) files.set(word!, (files.get(word!) ?? new Set()).add(path))
  }
  return [...files].flatMap(([word, paths]) => (paths.size > 1 ? [`${word} means ${[...paths].join(" and ")}`] : []))
}

/** What the rules name and no source has. */
export const ghosts = (sources: ReadonlyArray<Source>): ReadonlyArray<string> => {
  const paths = sources.map(({ path }) => path)
  const isThere = (named: string) =>
    paths.some((path) => path === named || path.startsWith(`${named.replace(/\/$/u, "")}/`))
  const named = [...ports, ...contractPorts, ...Object.keys(drivers), ...Object.keys(driversOfModules)]
  return [...named, ...rooms.map((room) => `runtime/${room}`)].filter((path) => !isThere(path))
}

const vague = /^(?:utils?|commons?|shared|helpers?|types?|constants?|misc|lib)$/iu
const says = /^export (?:abstract )?(?:class|const|function|interface|type) (\w+(?:Impl|Live|Manager))\b/gmu

/** Sentences that name each file, folder and export whose name says nothing: a thing stands beside its user. */
export const vagueNames = (sources: ReadonlyArray<Source>): ReadonlyArray<string> =>
  sources.flatMap(({ path, text }) => [
    ...path
      .replace(/\.ts$/u, "")
      .split("/")
      .filter((part) => vague.test(part))
      .map((part) => `${part} says nothing (${path})`),
    ...[...text.matchAll(says)].map(([, name]) => `${name} says how, not what (${path})`),
  ])

/** The modules: folders with a module.ts. */
export const modulesIn = (sources: ReadonlyArray<Source>): ReadonlyArray<string> =>
  sources.flatMap(({ path }) => /^modules\/(\w+)\/module\.ts$/u.exec(path)?.[1] ?? []).sort()
