import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import type { Module } from "../module/Module.ts"
import { composed, listed, named, publishing, reacting, withModule, withReaction } from "./new/edits.ts"
import { withEvent } from "./new/eventFiles.ts"
import { type Files, placed } from "./new/files.ts"
import { moduleFiles } from "./new/moduleFiles.ts"
import { namesOf, pascal } from "./new/names.ts"
import { nextMigration, reactionEntry, reactionFiles, reactionImports, storeName } from "./new/reactionFiles.ts"

const usage = `npm run new -- module NAME [THING]      a module that owns things: its contract, code, migration, test and README
npm run new -- event MODULE TYPE        an event of a module, such as parcel_sent
npm run new -- reaction MODULE TYPE     a reaction that keeps the last event of each subject in a table`

/** Why a command cannot be done. */
class Refused extends Error {}

const root = new URL("../..", import.meta.url).pathname
const read = (path: string) => readFileSync(join(root, path), "utf8")
const write = (files: Files) => {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
}
const edit = (path: string, change: (text: string) => string) => write({ [path]: change(read(path)) })

const knownModules = async (): Promise<Readonly<Record<string, Module>>> => (await import("../modules.ts")).modules

/** Runs a program of the project in a process of its own, which loads what has just been written. */
const output = (program: string, ...args: ReadonlyArray<string>) =>
  execFileSync(process.execPath, [join(root, program), ...args], { cwd: root, encoding: "utf8" })

/** Formats what was written, and writes the map of README anew. */
const complete = () => {
  output("node_modules/oxfmt/bin/oxfmt", "modules", "runtime")
  const map = output("runtime/commands/map.ts")
  edit("README.md", (readme) => readme.replace(/^\| module \| endpoints [^]*?\n(?=\n)/mu, map))
}

const newModule = async (name: string, thing: string) => {
  const known = await knownModules()
  const names = namesOf(name, thing, Object.keys(known))
  if (typeof names === "string") throw new Refused(names)
  if (existsSync(join(root, "modules", name))) throw new Refused(`there is a folder modules/${name}`)
  write(moduleFiles(names))
  edit("runtime/modules.ts", (source) => withModule(source, name))
  edit("docker/compose.yaml", (compose) => composed(compose, name))
  complete()
  return `modules/${name} serves /${names.plural}. Try: npm test -- modules/${name}`
}

const typePattern = /^[a-z][a-z0-9]*(?:_[a-z0-9]+)+$/u

const moduleNamed = (known: Readonly<Record<string, Module>>, name: string): Module => {
  const module = known[name]
  if (module === undefined) throw new Refused(`there is no module ${name}; modules: ${Object.keys(known).join(", ")}`)
  return module
}

const newEvent = async (name: string, type: string) => {
  const known = await knownModules()
  moduleNamed(known, name)
  if (!typePattern.test(type)) throw new Refused(`${type} is not a type of event such as parcel_sent`)
  const publisher = Object.values(known).find(({ publishes }) => publishes.some((event) => event.type === type))
  if (publisher !== undefined) throw new Refused(`${publisher.name} publishes ${type}`)
  const folder = `modules/${name}`
  edit(`${folder}/contract/events.ts`, (events) => withEvent(events, read(`${folder}/contract/ids.ts`), type))
  edit(`${folder}/module.ts`, (source) => publishing(source, pascal(type)))
  edit(`${folder}/README.md`, (readme) => listed(readme, "publishes", `\`${type}\``))
  complete()
  return `${name} may publish ${type}: append fact(${pascal(type)}, …) in the transaction of the change`
}

const newReaction = async (name: string, type: string) => {
  const known = await knownModules()
  const module = moduleNamed(known, name)
  const publisher = Object.values(known).find(({ publishes }) => publishes.some((event) => event.type === type))
  const event = publisher?.publishes.find((event) => event.type === type)
  if (publisher === undefined || event === undefined) throw new Refused(`no module publishes ${type}`)
  const folder = `modules/${name}`
  if (existsSync(join(root, folder, `${storeName(type)}.ts`))) throw new Refused(`${name} has a ${storeName(type)}`)
  const reaction = {
    module: module.name,
    type,
    publisher: publisher.name,
    subject: event.subject,
    migration: nextMigration(readdirSync(join(root, folder, "migrations")), type),
  }
  write(reactionFiles(reaction))
  const file = `${folder}/reactions.ts`
  const source = withReaction(existsSync(join(root, file)) ? read(file) : undefined, reactionEntry(reaction))
  const imports = placed(
    Object.fromEntries(reactionImports(reaction).map(([from], n) => [`${folder}/${n}`, `"${from}"`])),
  )
  const paths = Object.values(imports).map((quoted) => quoted.slice(1, -1))
  write({ [file]: reactionImports(reaction).reduce((source, [, name], n) => named(source, paths[n]!, name), source) })
  edit(`${folder}/module.ts`, (source) => reacting(source, { store: storeName(type), migration: reaction.migration }))
  edit(`${folder}/README.md`, (readme) => listed(readme, "reacts to", `\`${type}\``))
  complete()
  return `${name} keeps the last ${type} of each ${event.subject}. Try: npm test -- ${folder}`
}

const run = ([what, first, second, ...rest]: ReadonlyArray<string>): Promise<string> => {
  if (first !== undefined && rest.length === 0) {
    if (what === "module") return newModule(first, second ?? first)
    if (what === "event" && second !== undefined) return newEvent(first, second)
    if (what === "reaction" && second !== undefined) return newReaction(first, second)
  }
  throw new Refused(usage)
}

try {
  console.log(await run(process.argv.slice(2)))
} catch (error) {
  if (!(error instanceof Refused)) throw error
  console.error(error.message)
  process.exitCode = 1
}
