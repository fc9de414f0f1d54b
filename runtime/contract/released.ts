import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { EventType } from "../events/Event.ts"
import { documentOf } from "../http/openapi/document.ts"
import type { Json } from "../http/openapi/jsonSchema.ts"
import type { Module } from "../module/Module.ts"
import { schemaOf } from "./eventSchema.ts"
import { type Sample, samplesOf } from "./samples.ts"

/** A version of an event as it was released, and payloads that a release may have published. */
export interface ReleasedEvent extends Pick<EventType, "type" | "version" | "key" | "subject" | "keptForever"> {
  readonly schema: Json
  readonly golden: ReadonlyArray<Sample>
}

/** The contract of a module: every version of its events, and its OpenAPI document. */
export interface Contract {
  readonly events: ReadonlyArray<ReleasedEvent>
  /** Undefined before the first release. */
  readonly openapi: Json | undefined
}

const modulesFolder = new URL("../../modules", import.meta.url).pathname

/** The folder of a module's released contract. */
export const folderOf = (module: string, modules: string = modulesFolder) => join(modules, module, "contract/released")

/** The contract that a module declares today. */
export const contractOf = ({ api, publishes }: Pick<Module, "api" | "publishes">): Contract => ({
  events: publishes.map(({ type, version, key, subject, keptForever, ...event }) => {
    const schema = schemaOf({ ...event, type, version, key, subject, keptForever })
    return { type, version, key, subject, keptForever, schema, golden: samplesOf(schema) }
  }),
  openapi: documentOf([{ api }]),
})

const eventFile = /^(\w+\.[1-9]\d*)\.json$/u

const readJson = (file: string): any => JSON.parse(readFileSync(file, "utf8"))

/** Reads a released contract; without its folder nothing was released. */
export const readContract = (folder: string): Contract => {
  const files = existsSync(folder) ? readdirSync(folder).sort() : []
  return {
    events: files.flatMap((file) => {
      const name = eventFile.exec(file)?.[1]
      if (name === undefined) return []
      return [{ ...readJson(join(folder, file)), golden: readJson(join(folder, `${name}.golden.json`)) }]
    }),
    openapi: files.includes("openapi.json") ? readJson(join(folder, "openapi.json")) : undefined,
  }
}

/**
 * Records a contract as released. Earlier versions of events stay, and so do the golden payloads of earlier releases of the
 * same version.
 */
export const writeContract = (folder: string, { events, openapi }: Contract): void => {
  mkdirSync(folder, { recursive: true })
  const write = (name: string, value: unknown) =>
    writeFileSync(join(folder, name), `${JSON.stringify(value, undefined, 2)}\n`)
  const earlier = readContract(folder).events
  for (const { golden, ...event } of events) {
    const known = earlier.find(({ type, version }) => type === event.type && version === event.version)?.golden ?? []
    write(`${event.type}.${event.version}.json`, event)
    write(`${event.type}.${event.version}.golden.json`, allOf([...known, ...golden]))
  }
  write("openapi.json", openapi)
}

/** Each payload once. */
const allOf = (samples: ReadonlyArray<Sample>) => [
  ...new Map(samples.map((sample) => [JSON.stringify(sample.data), sample])).values(),
]

/** A record of a module's events, as it was on the log; `data` is its value. */
export interface LoggedRecord {
  readonly topic: string
  readonly key: string
  readonly headers: Readonly<Record<string, string>>
  readonly data: unknown
}

/** What a release of the module published in a recorded run, in the order of time; empty when none was recorded. */
export const readLog = (folder: string): ReadonlyArray<LoggedRecord> => {
  const file = join(folder, "log.jsonl")
  if (!existsSync(file)) return []
  return readFileSync(file, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as LoggedRecord)
}

/** The schema of a released version of an event; undefined if there is none. */
export const releasedSchema = (type: string, version: number): Json | undefined =>
  readdirSync(modulesFolder)
    .map((module) => join(folderOf(module), `${type}.${version}.json`))
    .filter(existsSync)
    .map((file) => readJson(file).schema)[0]
