import { SchemaIssue } from "effect"
import type { InputFault } from "../Problem.ts"

const issuesOf = SchemaIssue.makeFormatterStandardSchemaV1()

type Place = { readonly pointer: string } | { readonly parameter: string }
export type Path = ReadonlyArray<PropertyKey>

/** What is wrong with an input: one fault for each place, with the messages of all issues there. */
export const inputFaultsOf = (
  issue: SchemaIssue.Issue,
  place: (path: Path) => Place,
): ReadonlyArray<typeof InputFault.Type> => {
  const details = new Map<string, { readonly at: Place; readonly messages: Set<string> }>()
  for (const { path = [], message } of issuesOf(issue).issues) {
    const at = place(path.map((part) => (typeof part === "object" ? part.key : part)))
    const id = JSON.stringify(at)
    const known = details.get(id) ?? { at, messages: new Set<string>() }
    details.set(id, known)
    known.messages.add(message)
  }
  return Array.from(details.values(), ({ at, messages }) => ({ ...at, detail: [...messages].join("; ") }))
}

/** A JSON pointer (RFC 6901). */
export const pointerOf = (path: Path): string =>
  path.map((part) => `/${String(part).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("")
