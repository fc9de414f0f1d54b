import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { basename, dirname, join, relative, resolve } from "node:path"
import { routesOf } from "../http/openapi/document.ts"
import type { Module } from "../module/Module.ts"
import { isCopied, manifestOf, neededSources, ownFiles, renamed } from "./new/app.ts"
import {
  composed,
  configured,
  declaring,
  documented,
  listed,
  named,
  publishing,
  withEntry,
  withModule,
  withStore,
} from "./new/edits.ts"
import { withEvent } from "./new/eventFiles.ts"
import { type Files, placed } from "./new/files.ts"
import { moduleFiles } from "./new/moduleFiles.ts"
import { namesOf, pascal } from "./new/names.ts"
import { sourcesIn } from "./sources.ts"
import { callsName, requestEntry, settingEntry, taskEntry, taskFiles, urlSetting } from "./new/taskFiles.ts"
import {
  nextMigration,
  reactionEntry,
  reactionFiles,
  reactionImports,
  storeName,
  tableOf,
} from "./new/reactionFiles.ts"

const usage = `npm run new -- module NAME [THING]      a module that owns things: its contract, code, migration, test and README
npm run new -- event MODULE TYPE        an event of a module, such as parcel_sent
npm run new -- reaction MODULE TYPE     a reaction that keeps the last event of each subject in a table
npm run new -- task MODULE NAME TYPE    a task that posts the data of each event of a type to an address outside
npm run new -- app FOLDER               a program of its own on this runtime, with a sample module`

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
  const known = Object.values(await knownModules()).map((module) => ({
    name: module.name,
    types: module.publishes.map(({ type }) => type),
    paths: routesOf([module]).map(({ path }) => path),
  }))
  const names = namesOf(name, thing, known)
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

/** An event by its type, and the module that publishes it. */
const published = (known: Readonly<Record<string, Module>>, type: string) => {
  for (const publisher of Object.values(known)) {
    const event = publisher.publishes.find((event) => event.type === type)
    if (event !== undefined) return { publisher, event }
  }
  throw new Refused(`no module publishes ${type}; npm run new -- event MODULE ${type} adds it to one`)
}

/** The README of a module that also reacts to an event, by means of one more table. */
const reacting = (readme: string, type: string, isOwn: boolean, table: string) =>
  listed(listed(readme, "reacts to", `${isOwn ? "its own " : ""}\`${type}\``), "tables", `\`${table}\``)

const newEvent = async (name: string, type: string) => {
  const known = await knownModules()
  moduleNamed(known, name)
  if (!typePattern.test(type)) {
    throw new Refused(`${type} is not a type of event: lower-case words and digits joined by _, such as parcel_sent`)
  }
  const publisher = Object.values(known).find(({ publishes }) => publishes.some((event) => event.type === type))
  if (publisher !== undefined) throw new Refused(`${publisher.name} already publishes ${type}`)
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
  const { publisher, event } = published(known, type)
  const folder = `modules/${name}`
  if (existsSync(join(root, folder, `${storeName(type)}.ts`)))
    throw new Refused(`${name} already has a ${storeName(type)}`)
  const reaction = {
    module: module.name,
    type,
    publisher: publisher.name,
    subject: event.subject,
    migration: nextMigration(readdirSync(join(root, folder, "migrations")), tableOf(type)),
  }
  write(reactionFiles(reaction))
  addTo(`${folder}/reactions.ts`, "reactions", reactionEntry(reaction), reactionImports(reaction))
  edit(`${folder}/module.ts`, (source) =>
    declaring(withStore(source, { store: storeName(type), migration: reaction.migration }), "reactions"),
  )
  edit(`${folder}/README.md`, (readme) => reacting(readme, type, publisher === module, tableOf(type)))
  complete()
  return `${name} keeps the last ${type} of each ${event.subject}. Try: npm test -- ${folder}`
}

/** Adds an entry to a list or object that a file exports, and its imports, whose paths begin with the project's folder. */
const addTo = (
  path: string,
  name: string,
  entry: string,
  imports: ReadonlyArray<readonly [file: string, name: string]>,
  braces?: "[]" | "{}",
) => {
  const source = withEntry(existsSync(join(root, path)) ? read(path) : undefined, name, entry, braces)
  const at = (file: string) => (file.startsWith("~/") ? placed({ [path]: `"${file}"` })[path]!.slice(1, -1) : file)
  write({ [path]: imports.reduce((source, [file, name]) => named(source, at(file), name), source) })
}

const newTask = async (name: string, what: string, type: string) => {
  const known = await knownModules()
  const module = moduleNamed(known, name)
  const { publisher } = published(known, type)
  if (!/^[a-z][a-z0-9]{0,19}$/u.test(what))
    throw new Refused(`${what} is not 1 to 20 lower-case letters and digits, beginning with a letter`)
  if (module.tasks.some((task) => task.name === `${name}.${what}`))
    throw new Refused(`${name} already has a task ${what}`)
  const folder = `modules/${name}`
  const migration = nextMigration(readdirSync(join(root, folder, "migrations")), `${what}_calls`)
  const task = { module: name, name: what, type, publisher: publisher.name, migration }
  const [calls, setting] = [callsName(what), urlSetting(task)]
  write(taskFiles(task))
  addTo(
    `${folder}/settings.ts`,
    "settings",
    settingEntry(task),
    [
      ["effect", "Config"],
      ["effect", "Schema"],
    ],
    "{}",
  )
  const callsFile = `~/${folder}/${calls}.ts`
  const ofTask = ["~/runtime/module/Task.ts", "task"] as const
  addTo(`${folder}/tasks.ts`, "tasks", taskEntry(task), [
    ofTask,
    [callsFile, what],
    [callsFile, `type ${pascal(what)}Call`],
    [callsFile, calls],
  ])
  addTo(`${folder}/reactions.ts`, "reactions", requestEntry(task), [
    ["~/runtime/module/Reaction.ts", "all"],
    [`~/modules/${publisher.name}/contract/events.ts`, pascal(type)],
    [callsFile, calls],
  ])
  edit(`${folder}/module.ts`, (source) =>
    (["reactions", "tasks", "settings"] as const).reduce(declaring, withStore(source, { store: calls, migration })),
  )
  edit(`${folder}/README.md`, (readme) =>
    [["tasks", `${name}.${what}`] as const, ["settings", setting] as const].reduce(
      (readme, [row, entry]) => listed(readme, row, `\`${entry}\``),
      reacting(readme, type, publisher === module, `${what}_calls`),
    ),
  )
  edit("docker/compose.yaml", (compose) => configured(compose, name, setting))
  edit("runtime/SETTINGS.md", (settings) =>
    documented(settings, setting, `where \`${name}.${what}\` posts the data of each \`${type}\`; unset: nowhere`),
  )
  complete()
  return `${name} posts the data of each ${type} to ${setting}. Try: npm test -- ${folder}`
}

/** All files below a folder, by their paths from the project's folder. */
const filesBelow = (folder: string) =>
  readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))

const newApp = (folder: string) => {
  const to = resolve(folder)
  const name = basename(to)
  if (!/^[a-z][a-z0-9]{1,19}$/u.test(name)) {
    throw new Refused(
      `${name} is not a name of 2 to 20 lower-case letters and digits: it becomes the name of the program`,
    )
  }
  if (existsSync(to) && readdirSync(to).length > 0) throw new Refused(`${to} is not empty`)
  const sample = namesOf("note", "note", [])
  if (typeof sample === "string") throw new Refused(sample)
  const single = ["tsconfig.json", ".oxlintrc.json", ".oxfmtrc.json", ".gitignore", "LICENSE"]
  const others = [...single, ...["docker", "modules", "runtime"].flatMap(filesBelow)].filter(isCopied)
  const sources = neededSources(sourcesIn(root, "modules", "runtime")).map(({ path }) => path)
  const manifest = JSON.parse(read("package.json"))
  const files: Files = {
    ...Object.fromEntries([...others, ...sources].map((path) => [path, read(path)])),
    ...ownFiles(name, sample, read("runtime/modules.ts"), read("docker/compose.yaml")),
  }
  const own = { ...files, "package.json": `${JSON.stringify(manifestOf(manifest, name, files), undefined, 2)}\n` }
  for (const [path, text] of Object.entries(own)) {
    const file = join(to, path)
    mkdirSync(dirname(file), { recursive: true })
    const isProgram = /^(?:\.ci\/run|docker\/make-env)$/u.test(path)
    writeFileSync(file, renamed(text, manifest.name, name), { mode: isProgram ? 0o755 : 0o644 })
  }
  const format = ["modules", "runtime", "package.json", "tsconfig.json"]
  execFileSync(process.execPath, [join(root, "node_modules/oxfmt/bin/oxfmt"), ...format], { cwd: to })
  // Keeps the versions of this project, and leaves out the packages that are not needed.
  writeFileSync(join(to, "package-lock.json"), read("package-lock.json"))
  execFileSync("npm", ["install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund"], { cwd: to })
  return `${to} is a program of its own, with the sample module note. There: npm ci && npm run dev`
}

const run = async ([what, first, second, ...rest]: ReadonlyArray<string>): Promise<string> => {
  if (what === "task" && first !== undefined && second !== undefined && rest.length === 1) {
    return newTask(first, second, rest[0]!)
  }
  if (first !== undefined && rest.length === 0) {
    if (what === "app" && second === undefined) return newApp(first)
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
