import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Break, breaksOf, type ReadersOf } from "../contract/breaks.ts"
import { type Contract, contractOf, folderOf, readContract, writeContract } from "../contract/released.ts"
import type { Module } from "../module/Module.ts"
import { modules } from "../modules.ts"

const usage = `npm run contracts                        what would break a reader or a client since the last release; exit 1 if anything would
npm run contracts -- accept              records a release; raises the version of an event where that mends a break
npm run contracts -- accept --breaking   also records breaks that no version mends`

/** The reactions to a type of event in these modules. */
export const readersIn =
  (modules: ReadonlyArray<Pick<Module, "reactions">>): ReadersOf =>
  (type) =>
    modules.flatMap(({ reactions }) => reactions.filter(({ event }) => event.type === type).map(({ name }) => name))

/** What a release of a module would break, and what it would add. */
export const reviewOf = (released: Contract, today: Contract, readersOf: ReadersOf) => {
  const known = new Set(released.events.map(({ type, version }) => `${type} ${version}`))
  const versions = today.events.map(({ type, version }) => `${type} ${version}`)
  return {
    breaks: breaksOf(released, today, readersOf),
    unreleased: [
      ...versions.filter((version) => !known.has(version)),
      ...(released.openapi === undefined ? ["the endpoints"] : []),
    ],
  }
}

/** The contract with a higher version of the events that need one. */
export const raised = (contract: Contract, breaks: ReadonlyArray<Break>): Contract => {
  const types = new Set(breaks.map(({ mendedByVersionOf }) => mendedByVersionOf))
  return {
    ...contract,
    events: contract.events.map((event) => {
      if (!types.has(event.type)) return event
      const version = event.version + 1
      return { ...event, version, schema: { ...event.schema, $id: `/schemas/${event.type}/${version}` } }
    }),
  }
}

/** The source of a contract with another version of an event. */
export const withVersion = (source: string, type: string, version: number): string => {
  const start = source.indexOf(`define("${type}", {`)
  if (start === -1) throw new Error(`the definition of ${type} is not found: set its version to ${version} by hand`)
  const next = source.indexOf("define(", start + 1)
  const end = next === -1 ? source.length : next
  const definition = source.slice(start, end)
  const has = /\bversion: \d+/u
  const changed = has.test(definition)
    ? definition.replace(has, `version: ${version}`)
    : definition.replace("{", `{\n  version: ${version},`)
  return source.slice(0, start) + changed + source.slice(end)
}

const accept = (module: Module, contract: Contract, breaks: ReadonlyArray<Break>) => {
  const release = raised(contract, breaks)
  const file = join(folderOf(module.name), "../events.ts")
  for (const { type, version } of release.events) {
    if (contract.events.some((event) => event.type === type && event.version === version)) continue
    writeFileSync(file, withVersion(readFileSync(file, "utf8"), type, version))
    console.log(`${module.name}: ${type} has version ${version} now`)
  }
  writeContract(folderOf(module.name), release)
}

const main = (args: ReadonlyArray<string>): number => {
  const isAccept = args[0] === "accept"
  const options = isAccept ? args.slice(1) : args
  if (options.some((option) => !isAccept || option !== "--breaking")) {
    console.error(usage)
    return 1
  }
  const all = Object.values<Module>(modules)
  const reviews = all.map((module) => {
    const contract = contractOf(module)
    return { module, contract, ...reviewOf(readContract(folderOf(module.name)), contract, readersIn(all)) }
  })
  for (const { module, breaks, unreleased } of reviews) {
    for (const { words } of breaks) console.log(`✗ ${module.name}: ${words}`)
    if (unreleased.length > 0 && !isAccept) console.log(`${module.name}: not released yet: ${unreleased.join(", ")}`)
  }
  const breaks = reviews.flatMap((review) => review.breaks)
  const refused = isAccept ? breaks.filter((one) => one.mendedByVersionOf === undefined) : breaks
  if (refused.length > 0 && !options.includes("--breaking")) {
    const hint = isAccept ? "No version mends them; see --breaking." : "`npm run contracts -- accept` raises versions."
    console.log(`${refused.length} ${refused.length === 1 ? "change breaks" : "changes break"} a contract. ${hint}`)
    return 1
  }
  if (isAccept) for (const { module, contract, breaks } of reviews) accept(module, contract, breaks)
  console.log(isAccept ? "The contracts are recorded as released." : "No change breaks a released contract.")
  return 0
}

if (import.meta.main) process.exitCode = main(process.argv.slice(2))
