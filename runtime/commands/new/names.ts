/** The names of a new module and of the thing that it owns. */
export interface Names {
  /** `shipping` */
  readonly module: string
  /** `parcel` */
  readonly noun: string
  /** `parcels`: its table, and the first segment of its paths. */
  readonly plural: string
  /** `Parcel` */
  readonly Noun: string
  /** `Parcels`: the use cases. */
  readonly Plural: string
}

/** A module of the program: its name, the types of its events and the paths of its endpoints. */
export interface Known {
  readonly name: string
  readonly types: ReadonlyArray<string>
  readonly paths: ReadonlyArray<string>
}

const word = /^[a-z][a-z0-9]{0,19}$/u

/** Names that are paths or folders of the runtime, or words of SQL. */
const reserved = new Set(
  [
    "admin",
    "console",
    "docs",
    "livez",
    "metrics",
    "problems",
    "readyz",
    "schemas",
    "group",
    "table",
    "user",
    "task",
  ].flatMap((noun) => [noun, pluralOf(noun)]),
)

export const capital = (text: string) => text.slice(0, 1).toUpperCase() + text.slice(1)

/** `order_created` as `OrderCreated`. */
export const pascal = (text: string) => text.split(/[_-]/u).map(capital).join("")

/** The plural of an English noun, by the rules; irregular nouns get an `s`. */
export function pluralOf(noun: string): string {
  if (/(?:s|x|z|ch|sh)$/u.test(noun)) return `${noun}es`
  return /[^aeiou]y$/u.test(noun) ? `${noun.slice(0, -1)}ies` : `${noun}s`
}

/** The names of a module; a sentence where they are not possible. */
export const namesOf = (module: string, noun: string, known: ReadonlyArray<Known>): Names | string => {
  for (const name of [module, noun]) {
    if (!word.test(name)) return `${name} is not 1 to 20 lower-case letters and digits, beginning with a letter`
    if (reserved.has(name) && name !== "user") return `${name} is reserved`
  }
  const plural = pluralOf(noun)
  for (const { name, types, paths } of known) {
    if (name === module) return `there is a module ${module}`
    if (types.includes(`${noun}_created`)) return `${name} already publishes ${noun}_created`
    if (paths.some((path) => path.split("/")[1] === plural)) return `${name} already serves /${plural}`
  }
  return { module, noun, plural, Noun: capital(noun), Plural: capital(plural) }
}
