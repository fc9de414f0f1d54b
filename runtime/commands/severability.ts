import { routesOf } from "../http/openapi/document.ts"
import type { Module } from "../module/Module.ts"
import { modules } from "../modules.ts"
import { importsOf, projectFolder, type SourceFile, sourcesIn } from "./sources.ts"

type Declared = Pick<Module, "name" | "api" | "publishes" | "reactions" | "settings">

/** What a module shares with others, what would have to move with it, and what stops without it. */
export interface Severability {
  /** Events that it reads, with their publishers. */
  readonly eventsIn: ReadonlyArray<string>
  /** Events that it publishes, with the reactions to them. */
  readonly eventsOut: ReadonlyArray<string>
  /** Files of other modules that it imports, directly or through one of them. */
  readonly contracts: ReadonlyArray<string>
  /** Values of the domain that it imports, likewise. */
  readonly values: ReadonlyArray<string>
  /** Files of the runtime that it imports: its ports. */
  readonly ports: ReadonlyArray<string>
  /** Its files that could call another module, because they import its API. */
  readonly calls: ReadonlyArray<string>
  /** Its own tables. */
  readonly tables: ReadonlyArray<string>
  /** Tables of other modules that one of its statements names. */
  readonly foreignTables: ReadonlyArray<string>
  readonly settings: ReadonlyArray<string>
  /** Its files that depend on which modules run. */
  readonly deployment: ReadonlyArray<string>
  /** Paths that are answered 404 without it. */
  readonly paths: ReadonlyArray<string>
  /** Reactions of other modules that get no events without it. */
  readonly silenced: ReadonlyArray<string>
}

const isTest = (path: string) => path.endsWith(".test.ts")

/** Finds what a module shares with `all` modules, from their declarations and sources. */
export const severabilityOf = (
  module: Declared,
  all: ReadonlyArray<Declared>,
  sources: ReadonlyArray<SourceFile>,
): Severability => {
  const own = filesOf(module.name, sources)
  const reached = [...reachedFrom(own, sources)].sort()
  const isOthers = (path: string) => /^modules\/\w+\//u.test(path) && !path.startsWith(`modules/${module.name}/`)
  const [publishers, readers] = [publishersIn(all), readersIn(all)]
  return {
    eventsIn: unique(module.reactions.map(({ event: { type } }) => `${type} (${publishers(type)})`)),
    eventsOut: module.publishes.map(({ type }) => `${type} → ${readers(type).join(", ") || "other programs only"}`),
    contracts: reached.filter(isOthers),
    values: reached.filter((path) => /^modules\/\w+\.ts$/u.test(path)),
    ports: unique(own.flatMap(importsOf).flatMap(({ to }) => (to.startsWith("runtime/") ? [to] : []))).sort(),
    calls: own
      .filter((source) => importsOf(source).some(({ to }) => isOthers(to) && to.endsWith("/api.ts")))
      .map(pathIn),
    tables: tablesOf(own),
    foreignTables: foreignTablesOf(module.name, all, sources),
    settings: Object.keys(module.settings),
    deployment: own.filter(({ text }) => /\bDeployment\b/u.test(text)).map(pathIn),
    paths: unique(routesOf([module]).map(({ path }) => path.split("/", 2).join("/"))),
    silenced: module.publishes
      .flatMap(({ type }) => readers(type))
      .filter((name) => !name.startsWith(`${module.name}.`)),
  }
}

const pathIn = ({ path }: SourceFile) => path

const unique = (words: ReadonlyArray<string>) => [...new Set(words)]

const filesOf = (name: string, sources: ReadonlyArray<SourceFile>) =>
  sources.filter(({ path }) => path.startsWith(`modules/${name}/`) && !isTest(path))

const publishersIn = (all: ReadonlyArray<Declared>) => (type: string) =>
  all.find(({ publishes }) => publishes.some((event) => event.type === type))?.name ?? "no module here"

const readersIn = (all: ReadonlyArray<Declared>) => (type: string) =>
  all.flatMap(({ reactions }) => reactions.filter(({ event }) => event.type === type).map(({ name }) => name))

/** The files of modules that these import, directly or through others. */
const reachedFrom = (own: ReadonlyArray<SourceFile>, sources: ReadonlyArray<SourceFile>): ReadonlySet<string> => {
  const reached = new Set(own.map(pathIn))
  // A set is iterated to its end, including what is added meanwhile.
  for (const path of reached) {
    const source = sources.find((one) => one.path === path)
    for (const { to } of source === undefined ? [] : importsOf(source)) if (to.startsWith("modules/")) reached.add(to)
  }
  return reached
}

const created = /create table (?:if not exists )?([\w.]+)/gu

const tablesOf = (files: ReadonlyArray<SourceFile>) =>
  unique(files.flatMap(({ text }) => [...text.matchAll(created)].map(([, table]) => table!)))

const statement = /\b(?:from|join|into|update) ([a-z_]\w*(?:\.\w+)?)/gu

const foreignTablesOf = (name: string, all: ReadonlyArray<Declared>, sources: ReadonlyArray<SourceFile>) => {
  const own = filesOf(name, sources)
  const its = new Set(tablesOf(own))
  const foreign = new Set(all.filter((one) => one.name !== name).flatMap((one) => tablesOf(filesOf(one.name, sources))))
  // Statements stand between back-ticks; comments may name any table.
  const named = own.flatMap(({ text }) =>
    [...text.matchAll(/`[^`]*`/gu)].flatMap(([part]) => [...part.matchAll(statement)].map(([, table]) => table!)),
  )
  return unique(named.filter((table) => foreign.has(table) && !its.has(table)))
}

const none = (words: ReadonlyArray<string>, separator = ", ") => (words.length === 0 ? "none" : words.join(separator))

/** The answer as text, one line for each part. */
export const textOf = (name: string, one: Severability): string => {
  const rows: ReadonlyArray<readonly [string, string]> = [
    ["events in", none(one.eventsIn)],
    ["events out", none(one.eventsOut, "; ")],
    ["contracts", none(one.contracts)],
    ["values", none(one.values)],
    ["HTTP calls", `to other modules: ${none(one.calls)}`],
    ["tables", `its own: ${none(one.tables)}; of other modules: ${none(one.foreignTables)}`],
    ["settings", none(one.settings)],
    ["deployment", `files that depend on which modules run: ${none(one.deployment)}`],
    ["to move", `modules/${name}/, the contracts and values above, and the runtime (${one.ports.length} ports)`],
    ["without it", `${none(one.paths)} answered 404; without events: ${none(one.silenced)}`],
  ]
  return [name, ...rows.map(([part, words]) => `  ${part.padEnd(12)}${words}`)].join("\n")
}

const main = (args: ReadonlyArray<string>): number => {
  const all = Object.values<Module>(modules)
  const unknown = args.filter((name) => !(name in modules))
  if (unknown.length > 0) {
    console.error(`There is no module ${unknown.join(", ")}. Modules: ${Object.keys(modules).join(", ")}.`)
    return 1
  }
  const sources = sourcesIn(projectFolder, "modules")
  const named = args.length === 0 ? all : all.filter(({ name }) => args.includes(name))
  console.log(named.map((module) => textOf(module.name, severabilityOf(module, all, sources))).join("\n\n"))
  return 0
}

if (import.meta.main) process.exitCode = main(process.argv.slice(2))
