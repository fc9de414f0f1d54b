import { routesOf } from "../http/openapi/document.ts"
import type { Module } from "../module/Module.ts"
import { modules } from "../modules.ts"

/** The map of README as Markdown: what each module serves, publishes and reacts to, from its declarations. */
export const mapOf = (modules: ReadonlyArray<Pick<Module, "name" | "api" | "publishes" | "reactions">>): string =>
  ["| module | endpoints | publishes | reacts to |", "|---|---|---|---|", ...modules.map(rowOf)].join("\n")

const rowOf = (module: Parameters<typeof mapOf>[0][number]) => {
  const published = module.publishes.map((event) => event.type)
  const consumed = module.reactions.map(({ event }) => event.type)
  const cells = [
    `[${code(module.name)}](modules/${module.name})`,
    listOf(routesOf([module]).map(({ path }) => code(path.split("/", 2).join("/")))),
    listOf(published.map(code)),
    listOf(consumed.map((type) => `${published.includes(type) ? "its own " : ""}${code(type)}`)),
  ]
  return `| ${cells.join(" | ")} |`
}

const code = (text: string) => `\`${text}\``
const listOf = (words: ReadonlyArray<string>) => [...new Set(words)].join(", ")

if (import.meta.main) console.log(mapOf(Object.values(modules)))
