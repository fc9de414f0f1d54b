import type { Random } from "../harness/shoppers.ts"

/** Which modules share a process, and which of them have an embedded database instead of one on PostgreSQL. */
export interface Grouping {
  readonly processes: ReadonlyArray<ReadonlyArray<string>>
  readonly embedded: ReadonlyArray<string>
}

/** Every way to divide modules among processes: 52 for five modules. */
export const divisionsOf = (modules: ReadonlyArray<string>): ReadonlyArray<Grouping["processes"]> => {
  const [first, ...others] = modules
  if (first === undefined) return [[]]
  return divisionsOf(others).flatMap((processes) => [
    [[first], ...processes],
    ...processes.map((joined) => processes.map((one) => (one === joined ? [first, ...one] : one))),
  ])
}

/** So many different divisions; each module has an embedded database with a chance of one in three. */
export const drawGroupings = (
  modules: ReadonlyArray<string>,
  count: number,
  random: Random,
): ReadonlyArray<Grouping> => {
  const left = [...divisionsOf(modules)]
  const draw = () => left.splice(Math.floor(random() * left.length), 1)
  return Array.from({ length: Math.min(count, left.length) }, draw)
    .flat()
    .map((processes) => ({ processes, embedded: modules.filter(() => random() < 1 / 3) }))
}

/** As it is given to `npm run groupings`: `user+order payment --embedded payment`. */
export const titleOf = ({ processes, embedded }: Grouping): string =>
  [
    ...processes.map((modules) => modules.join("+")),
    ...(embedded.length === 0 ? [] : ["--embedded", embedded.join(",")]),
  ].join(" ")

/** Reads what `titleOf` writes; fails with a sentence where a module is missing, named twice or unknown. */
export const groupingOf = (
  named: ReadonlyArray<string>,
  embedded: string | undefined,
  modules: ReadonlyArray<string>,
): Grouping => {
  const grouping = {
    processes: named.map((process) => process.split("+")),
    embedded: embedded === undefined ? [] : embedded.split(","),
  }
  if (grouping.processes.flat().toSorted().join() !== modules.toSorted().join()) {
    throw new Error(`${named.join(" ")} does not name each module once: ${modules.join(", ")}`)
  }
  const unknown = grouping.embedded.filter((name) => !modules.includes(name))
  if (unknown.length > 0) throw new Error(`--embedded: there is no module ${unknown.join(", ")}`)
  return grouping
}

/** Those of the whole tests; each module on its own is tested by *Five processes over Kafka and PostgreSQL*. */
export const fixedGroupings: ReadonlyArray<Grouping> = [
  { processes: [["user", "order", "payment", "inventory", "notification"]], embedded: [] },
  { processes: [["order"], ["user", "payment", "inventory", "notification"]], embedded: [] },
  { processes: [["user", "order"], ["payment", "inventory"], ["notification"]], embedded: ["payment", "notification"] },
  { processes: [["user", "payment"], ["order", "notification"], ["inventory"]], embedded: ["user", "order"] },
  {
    processes: [
      ["order", "inventory", "payment"],
      ["user", "notification"],
    ],
    embedded: ["user", "order", "payment", "inventory", "notification"],
  },
]
